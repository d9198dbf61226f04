package hashes

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"strconv"
	"strings"
)

// Bounds of what a hash holds, in bytes.
const (
	maxSalt   = 128
	minOutput = 16
	maxOutput = 128
)

// decode reads the spellings of base64 that exports have: of either
// alphabet, with a dot for the plus (passlib), padded or not.
func decode(s string) ([]byte, error) {
	s = strings.NewReplacer(".", "+", "-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	b, err := base64.RawStdEncoding.DecodeString(s)
	if err != nil {
		return nil, ErrDamaged
	}
	return b, nil
}

// output reads what a hash must be equal to.
func output(s string, read func(string) ([]byte, error)) ([]byte, error) {
	b, err := read(s)
	if err != nil || len(b) < minOutput || len(b) > maxOutput {
		return nil, ErrDamaged
	}
	return b, nil
}

// saltOf reads a salt.
func saltOf(s string, read func(string) ([]byte, error)) ([]byte, error) {
	b, err := read(s)
	if err != nil || len(b) > maxSalt {
		return nil, ErrDamaged
	}
	return b, nil
}

// verbatim is an encoding that is none.
func verbatim(s string) ([]byte, error) { return []byte(s), nil }

// cost reads a decimal number from 1 to most.
func cost(s string, most uint64) (int, error) {
	n, err := strconv.ParseUint(s, 10, 64)
	switch {
	case err != nil && !strings.ContainsFunc(s, notDigit) && s != "", err == nil && n > most:
		return 0, ErrCostly
	case err != nil || n == 0:
		return 0, ErrDamaged
	}
	return int(n), nil
}

func notDigit(r rune) bool { return r < '0' || r > '9' }

// parameters reads "a=1,b=2" and demands the names in that order.
func parameters(s string, names ...string) ([]string, error) {
	parts := strings.Split(s, ",")
	if len(parts) != len(names) {
		return nil, ErrDamaged
	}
	for i, name := range names {
		value, ok := strings.CutPrefix(parts[i], name+"=")
		if !ok {
			return nil, ErrDamaged
		}
		parts[i] = value
	}
	return parts, nil
}

// sum finds a digest by name; nil if there is none.
func sum(name string) func() hash.Hash {
	switch name {
	case "md5":
		return md5.New
	case "sha1":
		return sha1.New
	case "sha256":
		return sha256.New
	case "sha512":
		return sha512.New
	}
	return nil
}

package hashes

import (
	"crypto/pbkdf2"
	"encoding/hex"
	"strconv"
	"strings"
)

func decimal(n int) string { return strconv.Itoa(n) }

// rounds checks PBKDF2's cost and returns the check. Every block of the
// output costs all rounds.
func rounds(alg, iterations string, salt, want []byte) (func([]byte) bool, error) {
	h := sum(alg)
	n, err := cost(iterations, maxPBKDF2)
	if err != nil {
		return nil, err
	}
	size := h().Size()
	if (len(want)+size-1)/size*n > maxPBKDF2 {
		return nil, ErrCostly
	}
	return digest(want, func(password []byte) []byte {
		out, err := pbkdf2.Key(h, string(password), salt, n, len(want))
		if err != nil {
			return nil
		}
		return out
	}), nil
}

// pbkdf2As reads rounds$salt$hash as passlib and OpenLDAP have it, and
// i=rounds,l=length$salt$hash as Auth0 has it.
func pbkdf2As(alg string) parser {
	return func(rest string) (func([]byte) bool, error) {
		parts := strings.Split(rest, "$")
		if len(parts) != 3 {
			return nil, ErrDamaged
		}
		salt, want, err := fields(parts[1], decode, parts[2], decode)
		if err != nil {
			return nil, err
		}
		n := parts[0]
		if values, err := parameters(n, "i", "l"); err == nil {
			if values[1] != decimal(len(want)) {
				return nil, ErrDamaged
			}
			n = values[0]
		}
		return rounds(alg, strings.TrimPrefix(n, "i="), salt, want)
	}
}

// pbkdf2Django reads rounds$salt$hash, the salt as it is.
func pbkdf2Django(alg string) parser {
	return func(rest string) (func([]byte) bool, error) {
		parts := strings.Split(rest, "$")
		if len(parts) != 3 {
			return nil, ErrDamaged
		}
		salt, want, err := fields(parts[1], verbatim, parts[2], decode)
		if err != nil {
			return nil, err
		}
		return rounds(alg, parts[0], salt, want)
	}
}

// pbkdf2Werkzeug reads digest:rounds$salt$hash, the salt as it is, the hash in hex.
func pbkdf2Werkzeug(rest string) (func([]byte) bool, error) {
	parts := strings.Split(rest, "$")
	alg, n, ok := strings.Cut(parts[0], ":")
	if !ok || len(parts) != 3 || alg == "md5" || sum(alg) == nil {
		return nil, ErrDamaged
	}
	salt, want, err := fields(parts[1], verbatim, parts[2], hex.DecodeString)
	if err != nil {
		return nil, err
	}
	return rounds(alg, n, salt, want)
}

// ldap reads the base64 of a digest with the salt behind it (RFC 2307 5.3).
func ldap(alg string, salty bool) parser {
	return func(rest string) (func([]byte) bool, error) {
		raw, err := decode(rest)
		size := sum(alg)().Size()
		if err != nil || len(raw) < size || salty != (len(raw) > size) || len(raw) > size+maxSalt {
			return nil, ErrDamaged
		}
		return mixed(alg, nil, raw[size:], raw[:size]), nil
	}
}

// salted reads digest$prefix or suffix$salt$hash in base64: one pass of a
// digest over salt and password, as sites had it that made their own.
func salted(rest string) (func([]byte) bool, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 4 || sum(parts[0]) == nil {
		return nil, ErrDamaged
	}
	salt, want, err := fields(parts[2], decode, parts[3], decode)
	if err != nil || len(want) != sum(parts[0])().Size() {
		return nil, ErrDamaged
	}
	switch parts[1] {
	case "prefix":
		return mixed(parts[0], salt, nil, want), nil
	case "suffix":
		return mixed(parts[0], nil, salt, want), nil
	}
	return nil, ErrDamaged
}

// mixed checks one pass of a digest.
func mixed(alg string, before, after, want []byte) func([]byte) bool {
	return digest(want, func(password []byte) []byte {
		h := sum(alg)()
		h.Write(before)
		h.Write(password)
		h.Write(after)
		return h.Sum(nil)
	})
}

package hashes

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha256"
	"encoding/hex"
	"math/bits"
	"strings"

	"golang.org/x/crypto/argon2"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/scrypt"
)

// argon reads v=19$m=…,t=…,p=…$salt$hash (PHC string format).
func argon(id bool) parser {
	return func(rest string) (func([]byte) bool, error) {
		parts := strings.Split(rest, "$")
		if len(parts) != 4 || parts[0] != "v=19" {
			return nil, ErrDamaged
		}
		values, err := parameters(parts[1], "m", "t", "p")
		if err != nil {
			return nil, err
		}
		var costs [3]int
		for i, most := range []uint64{maxMemory, maxArgonWork, maxArgonLanes} {
			if costs[i], err = cost(values[i], most); err != nil {
				return nil, err
			}
		}
		m, t, p := costs[0], costs[1], costs[2]
		if m*t > maxArgonWork {
			return nil, ErrCostly
		}
		salt, err := saltOf(parts[2], decode)
		if err != nil {
			return nil, err
		}
		want, err := output(parts[3], decode)
		if err != nil {
			return nil, err
		}
		key := argon2.Key
		if id {
			key = argon2.IDKey
		}
		return digest(want, func(password []byte) []byte {
			return key(password, salt, uint32(t), uint32(m), uint8(p), uint32(len(want)))
		}), nil
	}
}

func plain(password []byte) []byte { return password }

// sha256Hex is what Django hashes before bcrypt, whose limit is 72 bytes.
func sha256Hex(password []byte) []byte {
	sum := sha256.Sum256(password)
	return []byte(hex.EncodeToString(sum[:]))
}

// bcryptAs reads cost$salt-and-hash.
func bcryptAs(prefix string, before func([]byte) []byte) parser {
	return func(rest string) (func([]byte) bool, error) {
		if len(rest) != 56 || rest[2] != '$' || strings.ContainsFunc(rest[3:], notCrypt64) {
			return nil, ErrDamaged
		}
		rounds, err := cost(rest[:2], maxBcrypt)
		if err != nil {
			return nil, err
		}
		if rounds < bcrypt.MinCost {
			return nil, ErrDamaged
		}
		whole := []byte(prefix + rest)
		return func(password []byte) bool {
			return bcrypt.CompareHashAndPassword(whole, before(password)) == nil
		}, nil
	}
}

// stretched checks scrypt's costs and returns the check.
func stretched(n, r, p string, salt, want []byte) (func([]byte) bool, error) {
	blocks, err := cost(n, maxScryptWork)
	if err != nil {
		return nil, err
	}
	size, err := cost(r, 1<<10)
	if err != nil {
		return nil, err
	}
	lanes, err := cost(p, 1<<10)
	if err != nil {
		return nil, err
	}
	switch {
	case blocks < 2 || bits.OnesCount(uint(blocks)) != 1:
		return nil, ErrDamaged
	case blocks*size*lanes > maxScryptWork || 128*blocks*size > maxMemory<<10:
		return nil, ErrCostly
	}
	return digest(want, func(password []byte) []byte {
		out, err := scrypt.Key(password, salt, blocks, size, lanes, len(want))
		if err != nil {
			return nil
		}
		return out
	}), nil
}

// fields reads a salt and an output, each in its encoding.
func fields(salt string, readSalt func(string) ([]byte, error), out string, readOut func(string) ([]byte, error)) (s, o []byte, err error) {
	if s, err = saltOf(salt, readSalt); err != nil {
		return nil, nil, err
	}
	o, err = output(out, readOut)
	return s, o, err
}

// scryptPHC reads ln=…,r=…,p=…$salt$hash.
func scryptPHC(rest string) (func([]byte) bool, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 3 {
		return nil, ErrDamaged
	}
	values, err := parameters(parts[0], "ln", "r", "p")
	if err != nil {
		return nil, err
	}
	log, err := cost(values[0], 20)
	if err != nil {
		return nil, err
	}
	salt, want, err := fields(parts[1], decode, parts[2], decode)
	if err != nil {
		return nil, err
	}
	return stretched(decimal(1<<log), values[1], values[2], salt, want)
}

// scryptWerkzeug reads N:r:p$salt$hash, the salt as it is and the hash in hex.
func scryptWerkzeug(rest string) (func([]byte) bool, error) {
	parts := strings.Split(rest, "$")
	costs := strings.Split(parts[0], ":")
	if len(parts) != 3 || len(costs) != 3 {
		return nil, ErrDamaged
	}
	salt, want, err := fields(parts[1], verbatim, parts[2], hex.DecodeString)
	if err != nil {
		return nil, err
	}
	return stretched(costs[0], costs[1], costs[2], salt, want)
}

// scryptDjango reads N$salt$r$p$hash, the salt as it is.
func scryptDjango(rest string) (func([]byte) bool, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 5 {
		return nil, ErrDamaged
	}
	salt, want, err := fields(parts[1], verbatim, parts[4], decode)
	if err != nil {
		return nil, err
	}
	return stretched(parts[0], parts[2], parts[3], salt, want)
}

// scryptColons reads N:r:p:salt:hash in base64.
func scryptColons(rest string) (func([]byte) bool, error) {
	parts := strings.Split(rest, ":")
	if len(parts) != 5 {
		return nil, ErrDamaged
	}
	salt, want, err := fields(parts[3], decode, parts[4], decode)
	if err != nil {
		return nil, err
	}
	return stretched(parts[0], parts[1], parts[2], salt, want)
}

// bareScrypt splits N$r$p$salt$hash in hex, as Cognito's import has it: the
// one form without a name, told by its five fields of which three are numbers.
func bareScrypt(s string) ([]string, bool) {
	parts := strings.Split(s, "$")
	if len(parts) != 5 {
		return nil, false
	}
	for _, p := range parts[:3] {
		if p == "" || strings.ContainsFunc(p, notDigit) {
			return nil, false
		}
	}
	return parts, true
}

func scryptBare(parts []string) (func([]byte) bool, error) {
	salt, want, err := fields(parts[3], hex.DecodeString, parts[4], hex.DecodeString)
	if err != nil {
		return nil, err
	}
	return stretched(parts[0], parts[1], parts[2], salt, want)
}

// firebaseScrypt reads ln=…,r=…$salt$separator$signer key$hash, which is what
// Firebase exports of a user and of the project, in one line. scrypt makes an AES key
// that encrypts the project's signer key.
func firebaseScrypt(rest string) (func([]byte) bool, error) {
	parts := strings.Split(rest, "$")
	if len(parts) != 5 {
		return nil, ErrDamaged
	}
	values, err := parameters(parts[0], "ln", "r")
	if err != nil {
		return nil, err
	}
	log, err := cost(values[0], 20)
	if err != nil {
		return nil, err
	}
	rounds, err := cost(values[1], 64)
	if err != nil {
		return nil, err
	}
	if rounds<<log > maxScryptWork {
		return nil, ErrCostly
	}
	var bytes [4][]byte
	for i, part := range parts[1:] {
		if bytes[i], err = saltOf(part, decode); err != nil {
			return nil, err
		}
	}
	salt, signer, want := append(bytes[0], bytes[1]...), bytes[2], bytes[3]
	if len(want) < minOutput || len(want) != len(signer) {
		return nil, ErrDamaged
	}
	return digest(want, func(password []byte) []byte {
		key, err := scrypt.Key(password, salt, 1<<log, rounds, 1, 32)
		if err != nil {
			return nil
		}
		block, err := aes.NewCipher(key)
		if err != nil {
			return nil
		}
		out := make([]byte, len(signer))
		cipher.NewCTR(block, make([]byte, aes.BlockSize)).XORKeyStream(out, signer)
		return out
	}), nil
}

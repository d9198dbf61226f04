// Package secret owns random values, password hashes, sealed envelopes,
// key derivation and Hidden, the string that never prints.
//
// It knows no records, pools or files' meaning beyond the key file that wraps
// data keys. It and keyring, store (transaction ids) and authtest are the only
// packages that read the system's randomness.
package secret

import (
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
)

// Bytes returns n random bytes.
func Bytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: it ends the process instead
	return b
}

// Token returns n random bytes as unpadded base64url.
func Token(n int) string { return base64.RawURLEncoding.EncodeToString(Bytes(n)) }

// UUID returns a random (version 4) UUID in lower case (RFC 9562 5.4).
func UUID() string {
	b := Bytes(16)
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	s := hex.EncodeToString(b)
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// Alphanumeric returns n random characters of [0-9A-Za-z], all equally likely.
func Alphanumeric(n int) string {
	const letters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	out := make([]byte, 0, n)
	for len(out) < n {
		for _, b := range Bytes(n) {
			if b &= 63; int(b) < len(letters) && len(out) < n {
				out = append(out, letters[b])
			}
		}
	}
	return string(out)
}

// Derive returns a 32-byte key for one purpose from a root key
// (HKDF-SHA-256, RFC 5869); the parts of info are length-prefixed.
func Derive(root []byte, info ...string) []byte {
	var joined []byte
	for _, s := range info {
		joined = appendPart(joined, []byte(s))
	}
	key, err := hkdf.Key(sha256.New, root, nil, string(joined), sha256.Size)
	if err != nil {
		panic(err) // only for lengths that are constants here
	}
	return key
}

// MAC is HMAC-SHA-256 over length-prefixed parts, 32 bytes.
func MAC(key []byte, parts ...[]byte) []byte {
	h := hmac.New(sha256.New, key)
	for _, p := range parts {
		h.Write(appendPart(nil, p))
	}
	return h.Sum(nil)
}

// appendPart appends a part with its length, so that parts cannot run into one another.
func appendPart(b, part []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(len(part)))
	return append(b, part...)
}

// Equal compares in constant time (lengths may leak).
func Equal(a, b []byte) bool { return subtle.ConstantTimeCompare(a, b) == 1 }

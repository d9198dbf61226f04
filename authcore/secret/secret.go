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
	"errors"
	"fmt"
	"log/slog"
)

// mask is what a Hidden prints as.
const mask = "***"

// Hidden is a secret string: it prints as ***, and refuses to be encoded.
type Hidden struct{ value string }

// Hide makes a Hidden of s.
func Hide(s string) Hidden { return Hidden{value: s} }

// Reveal returns the secret.
func (h Hidden) Reveal() string { return h.value }

// String returns ***.
func (Hidden) String() string { return mask }

// GoString returns ***.
func (Hidden) GoString() string { return mask }

// Format prints *** for every verb.
func (Hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) } // a fmt.State keeps its own error

// LogValue logs ***.
func (Hidden) LogValue() slog.Value { return slog.StringValue(mask) }

// errEncoded is why a Hidden is never part of JSON or text.
var errEncoded = errors.New("secret: a hidden value is not to be encoded")

// MarshalJSON refuses.
func (Hidden) MarshalJSON() ([]byte, error) { return nil, errEncoded }

// MarshalText refuses.
func (Hidden) MarshalText() ([]byte, error) { return nil, errEncoded }

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

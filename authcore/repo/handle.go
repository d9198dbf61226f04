package repo

import (
	"encoding/base64"

	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// handleBytes is a partition byte and 256 random bits.
const handleBytes = 1 + 32

// NewHandle returns a random handle (44 characters, 256 random bits) that
// carries its partition. Only its hash is stored.
func NewHandle(p store.Partition) string {
	b := append([]byte{byte(p)}, secret.Bytes(handleBytes-1)...)
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseHandle returns a handle's partition and the name (hash) it is stored
// under; ok is false if it cannot be a handle.
func ParseHandle(handle string) (p store.Partition, name string, ok bool) {
	if len(handle) != base64.RawURLEncoding.EncodedLen(handleBytes) {
		return 0, "", false
	}
	// Strict: one handle has one spelling. The decoder skips line ends, which
	// shorten the result.
	b, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	if err != nil || len(b) != handleBytes {
		return 0, "", false
	}
	return store.Partition(b[0]), encodedHash(handle), true
}

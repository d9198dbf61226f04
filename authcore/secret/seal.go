package secret

import (
	"golang.org/x/crypto/chacha20poly1305"
)

// sealedV1 is the first byte of what Seal returns: XChaCha20-Poly1305, a
// 24-byte nonce, then ciphertext and tag.
const sealedV1 = 1

// Seal encrypts with XChaCha20-Poly1305 under a 32-byte key; the associated
// data must be given again to Open. Its random nonce is long enough for any
// number of messages under one key. It panics if the key has another length.
func Seal(key, plaintext, associated []byte) []byte {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		panic(err)
	}
	out := make([]byte, 1+aead.NonceSize(), 1+aead.NonceSize()+len(plaintext)+aead.Overhead())
	out[0] = sealedV1
	copy(out[1:], Bytes(aead.NonceSize()))
	return aead.Seal(out, out[1:], plaintext, associated)
}

// Open reverses Seal, or returns ErrSealed.
func Open(key, sealed, associated []byte) ([]byte, error) {
	aead, err := chacha20poly1305.NewX(key)
	if err != nil {
		return nil, ErrSealed
	}
	if len(sealed) < 1+aead.NonceSize()+aead.Overhead() || sealed[0] != sealedV1 {
		return nil, ErrSealed
	}
	nonce, body := sealed[1:1+aead.NonceSize()], sealed[1+aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, body, associated)
	if err != nil {
		return nil, ErrSealed
	}
	return plain, nil
}

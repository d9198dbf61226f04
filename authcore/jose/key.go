package jose

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

const (
	// rsaBits is the size of new RSA keys; smaller ones are refused.
	rsaBits = 2048
	// maxRSABits bounds what a foreign key can cost.
	maxRSABits = 8192
)

// Key is a private signing key. Its zero value is useless.
type Key struct {
	id     string
	alg    Alg
	raw    crypto.Signer
	jwk    jwk.Key
	signer jws.Signer
}

// Generate makes a key from the system's randomness (ES256: P-256; RS256: 2048 bits); its id is its RFC 7638 thumbprint.
func Generate(alg Alg) (*Key, error) {
	var raw crypto.Signer
	var err error
	switch alg {
	case ES256:
		raw, err = ecdsa.GenerateKey(elliptic.P256(), nil)
	case RS256:
		raw, err = rsa.GenerateKey(nil, rsaBits)
	default:
		return nil, fmt.Errorf("jose: no algorithm %q", alg)
	}
	if err != nil {
		return nil, fmt.Errorf("jose: making a key: %w", err)
	}
	return newKey(raw)
}

// newKey names a private key and fixes its algorithm.
func newKey(raw crypto.Signer) (*Key, error) {
	alg, err := algOf(raw.Public())
	if err != nil {
		return nil, err
	}
	if !sound(raw) {
		return nil, errors.New("jose: a private key that does not fit its public half")
	}
	j, err := jwk.FromRaw(raw)
	if err != nil {
		return nil, fmt.Errorf("jose: key: %w", err)
	}
	thumb, err := j.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("jose: thumbprint: %w", err)
	}
	k := &Key{id: base64.RawURLEncoding.EncodeToString(thumb), alg: alg, raw: raw, jwk: j}
	if k.signer, err = jws.NewSigner(jwa.SignatureAlgorithm(alg)); err != nil {
		return nil, fmt.Errorf("jose: signer: %w", err)
	}
	return k, label(j, k.id, alg)
}

// label names a JWK and says what it is for (RFC 7517 4.2, 4.4, 4.5).
func label(j jwk.Key, kid string, alg Alg) error {
	for name, value := range map[string]any{jwk.KeyIDKey: kid, jwk.AlgorithmKey: jwa.SignatureAlgorithm(alg), jwk.KeyUsageKey: string(jwk.ForSignature)} {
		if err := j.Set(name, value); err != nil {
			return fmt.Errorf("jose: key: %w", err)
		}
	}
	return nil
}

// algOf is the one algorithm that a public key verifies.
func algOf(public crypto.PublicKey) (Alg, error) {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if _, err := p.ECDH(); err == nil && p.Curve == elliptic.P256() { // ECDH: the point lies on the curve
			return ES256, nil
		}
	case *rsa.PublicKey:
		if n := p.N.BitLen(); n >= rsaBits && n <= maxRSABits {
			return RS256, nil
		}
	}
	return "", errors.New("jose: neither a P-256 key nor an RSA key of 2048 to 8192 bits")
}

// sound reports whether a private key is in range and fits its public half:
// jwx panics on some that are not.
func sound(raw crypto.Signer) bool {
	switch k := raw.(type) {
	case *ecdsa.PrivateKey:
		private, err := k.ECDH()
		if err != nil {
			return false
		}
		half, err := k.PublicKey.ECDH()
		return err == nil && private.PublicKey().Equal(half)
	case *rsa.PrivateKey:
		return k.Validate() == nil
	}
	return false
}

// ParseKey reads what Marshal wrote.
func ParseKey(private []byte) (*Key, error) {
	j, err := jwk.ParseKey(private)
	if err != nil {
		return nil, errors.New("jose: a stored key cannot be read") // the cause might quote it
	}
	var raw any
	if err := j.Raw(&raw); err != nil {
		return nil, errors.New("jose: a stored key cannot be read")
	}
	signer, ok := raw.(crypto.Signer)
	if !ok {
		return nil, errors.New("jose: a stored key is not a private key")
	}
	return newKey(signer)
}

// Marshal returns the private JWK. It is secret.
func (k *Key) Marshal() ([]byte, error) {
	out, err := json.Marshal(k.jwk)
	if err != nil {
		return nil, fmt.Errorf("jose: key: %w", err)
	}
	return out, nil
}

// ID is the kid.
func (k *Key) ID() string { return k.id }

// Alg is the only algorithm the key signs with.
func (k *Key) Alg() Alg { return k.alg }

// String names the key without showing it.
func (k *Key) String() string { return string(k.alg) + " key " + k.id }

// Format names the key for every verb, without showing it.
func (k *Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, k.String()) } // a fmt.State keeps its own error

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

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// rsaBits is the size of new RSA keys; smaller ones are refused.
const rsaBits = 2048

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
	for name, value := range map[string]any{jwk.KeyIDKey: k.id, jwk.AlgorithmKey: jwa.SignatureAlgorithm(alg), jwk.KeyUsageKey: "sig"} {
		if err := j.Set(name, value); err != nil {
			return nil, fmt.Errorf("jose: key: %w", err)
		}
	}
	return k, nil
}

// algOf is the one algorithm that a public key verifies.
func algOf(public crypto.PublicKey) (Alg, error) {
	switch p := public.(type) {
	case *ecdsa.PublicKey:
		if p.Curve == elliptic.P256() {
			return ES256, nil
		}
	case *rsa.PublicKey:
		if p.N.BitLen() >= rsaBits {
			return RS256, nil
		}
	}
	return "", errors.New("jose: neither a P-256 key nor an RSA key of at least 2048 bits")
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

// GoString names the key without showing it.
func (k *Key) GoString() string { return k.String() }

// public is a verification key.
type public struct {
	alg      Alg
	raw      crypto.PublicKey
	verifier jws.Verifier
}

// Set is an immutable set of public keys by kid.
type Set struct {
	keys map[string]public
	jwks []byte
}

// NewSet returns the public halves of keys.
func NewSet(keys ...*Key) *Set {
	set := jwk.NewSet()
	for _, k := range keys {
		pub, err := k.jwk.PublicKey()
		if err == nil {
			err = set.AddKey(pub)
		}
		if err != nil {
			panic(fmt.Sprintf("jose: %v: %v", k, err)) // every Key has passed newKey; AddKey refuses only duplicates of one object
		}
	}
	s, err := newSet(set)
	if err != nil {
		panic(err)
	}
	return s
}

// ParseSet reads a JWKS (RFC 7517 5); keys it cannot use, without a kid among
// them, are skipped.
func ParseSet(jwks []byte) (*Set, error) {
	set, err := jwk.Parse(jwks)
	if err != nil {
		return nil, fmt.Errorf("jose: key set: %w", err)
	}
	return newSet(set)
}

func newSet(set jwk.Set) (*Set, error) {
	s := &Set{keys: map[string]public{}}
	for i := range set.Len() {
		j, _ := set.Key(i)
		p, err := publicOf(j)
		if err != nil || j.KeyID() == "" {
			continue
		}
		s.keys[j.KeyID()] = p
	}
	var err error
	if s.jwks, err = json.Marshal(set); err != nil {
		return nil, fmt.Errorf("jose: key set: %w", err)
	}
	return s, nil
}

// publicOf readies a JWK for verification.
func publicOf(j jwk.Key) (public, error) {
	half, err := j.PublicKey()
	if err != nil {
		return public{}, err
	}
	var raw any
	if err := half.Raw(&raw); err != nil {
		return public{}, err
	}
	alg, err := algOf(raw)
	if err != nil {
		return public{}, err
	}
	if named := j.Algorithm().String(); named != "" && named != string(alg) {
		return public{}, fmt.Errorf("jose: a key for %s", named)
	}
	v, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
	return public{alg: alg, raw: raw, verifier: v}, err
}

// JWKS returns the set as JSON (RFC 7517 5), with use and alg.
func (s *Set) JWKS() []byte { return s.jwks }

// Has reports whether the set holds kid.
func (s *Set) Has(kid string) bool {
	_, ok := s.keys[kid]
	return ok
}

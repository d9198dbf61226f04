package jose

import (
	"crypto"
	"encoding/json"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
)

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

// named is a public key with the kid it goes by.
type named struct {
	kid string
	raw crypto.PublicKey
}

// NewSet returns the public halves of keys.
func NewSet(keys ...*Key) *Set {
	var halves []named
	for _, k := range keys {
		halves = append(halves, named{k.id, k.raw.Public()})
	}
	s, err := newSet(halves)
	if err != nil {
		panic(err) // every Key has passed newKey
	}
	return s
}

// ParseSet reads a JWKS (RFC 7517 5). Keys that it cannot use are skipped:
// without a kid, with one that an earlier key has, for encryption, of another
// algorithm, too weak or too large. Of private keys it takes the public half.
func ParseSet(jwks []byte) (*Set, error) {
	set, err := jwk.Parse(jwks)
	if err != nil {
		return nil, fmt.Errorf("jose: key set: %w", err)
	}
	var usable []named
	for i := range set.Len() {
		j, _ := set.Key(i)
		if raw, err := publicOf(j); err == nil && j.KeyID() != "" {
			usable = append(usable, named{j.KeyID(), raw})
		}
	}
	return newSet(usable)
}

// publicOf is the key that a JWK verifies with.
func publicOf(j jwk.Key) (crypto.PublicKey, error) {
	if use := j.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return nil, fmt.Errorf("jose: a key for %q", use)
	}
	half, err := j.PublicKey()
	if err != nil {
		return nil, err
	}
	var raw any
	if err := half.Raw(&raw); err != nil {
		return nil, err
	}
	alg, err := algOf(raw)
	if err != nil {
		return nil, err
	}
	if meant := j.Algorithm().String(); meant != "" && meant != string(alg) {
		return nil, fmt.Errorf("jose: a key for %q", meant)
	}
	return raw, nil
}

// newSet readies keys for verification, and for publication: what is
// published is made of them alone, so that nothing else of what was read
// comes along.
func newSet(keys []named) (*Set, error) {
	s := &Set{keys: map[string]public{}}
	published := jwk.NewSet()
	for _, k := range keys {
		if s.Has(k.kid) {
			continue
		}
		alg, err := algOf(k.raw)
		if err != nil {
			return nil, err
		}
		verifier, err := jws.NewVerifier(jwa.SignatureAlgorithm(alg))
		if err != nil {
			return nil, fmt.Errorf("jose: verifier: %w", err)
		}
		s.keys[k.kid] = public{alg: alg, raw: k.raw, verifier: verifier}
		if err := publish(published, k, alg); err != nil {
			return nil, err
		}
	}
	var err error
	if s.jwks, err = json.Marshal(published); err != nil {
		return nil, fmt.Errorf("jose: key set: %w", err)
	}
	return s, nil
}

// publish adds a key to a JWKS.
func publish(to jwk.Set, k named, alg Alg) error {
	j, err := jwk.FromRaw(k.raw)
	if err != nil {
		return fmt.Errorf("jose: key set: %w", err)
	}
	if err := label(j, k.kid, alg); err != nil {
		return err
	}
	if err := to.AddKey(j); err != nil {
		return fmt.Errorf("jose: key set: %w", err)
	}
	return nil
}

// JWKS returns the set as JSON (RFC 7517 5): public parts, kid, use and alg.
func (s *Set) JWKS() []byte { return s.jwks }

// Has reports whether the set holds kid.
func (s *Set) Has(kid string) bool {
	_, ok := s.keys[kid]
	return ok
}

// Package jose owns signing keys, signing, and verification with the
// algorithm fixed by the key. It is the only package that imports jwx.
//
// It accepts compact JWS only: no JWE, no JSON serialisation, no "none", no
// detached or unencoded payload, no crit; jku, jwk, x5u and x5c of a token are
// never used. It knows no claims beyond strict decoding: which claims must
// hold is the caller's.
package jose

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// Alg is a signature algorithm (RFC 7518 3.1).
type Alg string

// The algorithms this build signs and verifies with.
const (
	ES256 Alg = "ES256"
	RS256 Alg = "RS256"
)

const (
	// MaxToken is the longest token that is looked at, in bytes.
	MaxToken = 16 << 10
	// maxKeyID is the longest kid that is looked up.
	maxKeyID = 128
)

// ErrToken means that a token is not one of ours, or is damaged.
var ErrToken = errors.New("jose: invalid token")

// header is what is read of a protected header. The other members that name
// keys (jku, jwk, x5u, x5c) are not even decoded.
type header struct {
	Alg  string          `json:"alg"`
	Kid  string          `json:"kid,omitempty"`
	Typ  string          `json:"typ,omitempty"`
	Crit json.RawMessage `json:"crit,omitempty"`
	B64  json.RawMessage `json:"b64,omitempty"`
	Enc  json.RawMessage `json:"enc,omitempty"`
	Zip  json.RawMessage `json:"zip,omitempty"`
}

// Sign returns a compact JWS (RFC 7515 7.1) over the JSON of claims, with kid,
// alg and typ in the header.
func (k *Key) Sign(typ string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("jose: claims: %w", err)
	}
	head, err := json.Marshal(header{Alg: string(k.alg), Kid: k.id, Typ: typ})
	if err != nil {
		return "", fmt.Errorf("jose: header: %w", err)
	}
	b64 := base64.RawURLEncoding
	out := make([]byte, 0, b64.EncodedLen(len(head))+b64.EncodedLen(len(payload))+b64.EncodedLen(256)+2)
	out = b64.AppendEncode(out, head)
	out = append(out, '.')
	out = b64.AppendEncode(out, payload)
	signature, err := k.signer.Sign(out, k.raw)
	if err != nil {
		return "", fmt.Errorf("jose: signing: %w", err)
	}
	out = append(out, '.')
	return string(b64.AppendEncode(out, signature)), nil
}

// Verified is a token whose signature and header hold.
type Verified struct {
	Type    string // typ, lower case, without "application/" (RFC 7515 4.1.9)
	KeyID   string
	Payload []byte
}

// Verify checks a compact JWS against the set: size, shape, kid, alg of that
// key, signature. It says nothing about the claims. Every failure is ErrToken.
func (s *Set) Verify(token string) (Verified, error) {
	if len(token) > MaxToken {
		return Verified{}, ErrToken
	}
	head, rest, ok1 := strings.Cut(token, ".")
	body, sig, ok2 := strings.Cut(rest, ".")
	if !ok1 || !ok2 || head == "" || body == "" || sig == "" || strings.Contains(sig, ".") {
		return Verified{}, ErrToken
	}
	b64 := base64.RawURLEncoding.Strict()
	rawHead, err1 := b64.DecodeString(head)
	payload, err2 := b64.DecodeString(body)
	signature, err3 := b64.DecodeString(sig)
	if err1 != nil || err2 != nil || err3 != nil || strings.ContainsAny(token, "\r\n") {
		return Verified{}, ErrToken
	}
	var h header
	if err := Decode(rawHead, &h); err != nil {
		return Verified{}, ErrToken
	}
	if h.Crit != nil || h.B64 != nil || h.Enc != nil || h.Zip != nil || h.Kid == "" || len(h.Kid) > maxKeyID {
		return Verified{}, ErrToken
	}
	key, ok := s.keys[h.Kid]
	if !ok || h.Alg != string(key.alg) {
		return Verified{}, ErrToken
	}
	if err := key.verifier.Verify([]byte(token[:len(head)+1+len(body)]), signature, key.raw); err != nil {
		return Verified{}, ErrToken
	}
	typ := strings.TrimPrefix(strings.ToLower(h.Typ), "application/")
	return Verified{Type: typ, KeyID: h.Kid, Payload: payload}, nil
}

package token

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

const badHint = "The id_token_hint is not an ID token of this issuer."

// Hint is what an ID token of ours says about whom a request means.
type Hint struct {
	Sub     pool.UserID   `json:"s"`
	Client  pool.ClientID `json:"c"`           // whom it was issued to
	Session string        `json:"n,omitempty"` // name of the SSO session (sid); empty in old ones
}

// sealedHint begins a hint that SealHint made; no JWT begins so.
const sealedHint = "gh1."

// unreadableHint stands for a hint that was none.
const unreadableHint = "unreadable"

// SealHint makes of an id_token_hint that was posted one that may stand in an
// address, which is kept in histories and logs: it says the same to ReadHint,
// and nothing to anybody else.
func (s *Service) SealHint(ctx context.Context, p *pool.Pool, raw string) (string, error) {
	hint, err := s.ReadHint(ctx, p, raw)
	if errors.Is(err, fault.InvalidRequest) {
		return unreadableHint, nil
	}
	if err != nil {
		return "", err
	}
	key, err := s.repo.Secret(ctx, p.ID, "hint")
	if err != nil {
		return "", fmt.Errorf("token: key to seal: %w", err)
	}
	plain, err := json.Marshal(hint)
	if err != nil {
		return "", fmt.Errorf("token: seal: %w", err)
	}
	return sealedHint + base64.RawURLEncoding.EncodeToString(secret.Seal(key, plain, []byte(p.ID))), nil
}

// openHint reverses SealHint.
func (s *Service) openHint(ctx context.Context, p *pool.Pool, sealed string) (*Hint, error) {
	key, err := s.repo.Secret(ctx, p.ID, "hint")
	if err != nil {
		return nil, fmt.Errorf("token: key to open: %w", err)
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, badHint)
	}
	plain, err := secret.Open(key, raw, []byte(p.ID))
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, badHint)
	}
	var h Hint
	if err := json.Unmarshal(plain, &h); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, badHint)
	}
	return &h, nil
}

// identity is what is read of an ID token.
type identity struct {
	Issuer   string        `json:"iss"`
	Sub      pool.UserID   `json:"sub"`
	Audience jose.Audience `json:"aud"`
	Use      string        `json:"token_use"` // "id"
	Session  string        `json:"sid"`
}

// ReadHint reads an id_token_hint (OIDC Core 3.1.2.1, RP-Initiated Logout 1.0,
// 2), or what SealHint made of one: type, key, signature and issuer count,
// expired ones are fine. fault.InvalidRequest.
func (s *Service) ReadHint(ctx context.Context, p *pool.Pool, raw string) (*Hint, error) {
	if sealed, ok := strings.CutPrefix(raw, sealedHint); ok {
		return s.openHint(ctx, p, sealed)
	}
	set, err := s.keys.Set(ctx, p.ID, pool.TokenKeys)
	if err != nil {
		return nil, fmt.Errorf("token: keys: %w", err)
	}
	v, err := set.Verify(raw)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, badHint)
	}
	var id identity
	if err := jose.Decode(v.Payload, &id); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, badHint)
	}
	if v.Type != verifiedID || id.Use != useID || id.Issuer != p.Issuer || !id.Sub.Valid() ||
		len(id.Audience) != 1 || id.Audience[0] == "" {
		return nil, fault.New(fault.InvalidRequest, badHint)
	}
	return &Hint{Sub: id.Sub, Client: pool.ClientID(id.Audience[0]), Session: id.Session}, nil
}

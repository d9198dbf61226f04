package token

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Hint is what an ID token of ours says about whom a request means.
type Hint struct {
	Sub     pool.UserID
	Client  pool.ClientID // whom it was issued to
	Session string        // name of the SSO session (sid); empty in old ones
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
// 2): type, key, signature and issuer count, expired ones are fine.
// fault.InvalidRequest.
func (s *Service) ReadHint(ctx context.Context, p *pool.Pool, raw string) (*Hint, error) {
	const bad = "The id_token_hint is not an ID token of this issuer."
	set, err := s.keys.Set(ctx, p.ID, pool.TokenKeys)
	if err != nil {
		return nil, fmt.Errorf("token: keys: %w", err)
	}
	v, err := set.Verify(raw)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, bad)
	}
	var id identity
	if err := jose.Decode(v.Payload, &id); err != nil {
		return nil, fault.Wrap(fault.InvalidRequest, err, bad)
	}
	if v.Type != verifiedID || id.Use != useID || id.Issuer != p.Issuer || !id.Sub.Valid() ||
		len(id.Audience) != 1 || id.Audience[0] == "" {
		return nil, fault.New(fault.InvalidRequest, bad)
	}
	return &Hint{Sub: id.Sub, Client: pool.ClientID(id.Audience[0]), Session: id.Session}, nil
}

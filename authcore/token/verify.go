package token

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// leeway is how far clocks may differ.
const leeway = 30 * time.Second

// Access is a verified access token.
type Access struct {
	Issuer    string        `json:"iss"`
	Sub       string        `json:"sub"`
	Audience  jose.Audience `json:"aud"`
	Expires   int64         `json:"exp"`
	NotBefore int64         `json:"nbf"`
	IssuedAt  int64         `json:"iat"`
	ID        string        `json:"jti"`
	Client    pool.ClientID `json:"client_id"`
	Scope     string        `json:"scope"`
	AuthTime  int64         `json:"auth_time,omitempty"`
	ACR       string        `json:"acr,omitempty"`
	AMR       []string      `json:"amr,omitempty"`
	Epoch     uint32        `json:"ep,omitempty"`
	Use       string        `json:"token_use"` // "access"
	Username  string        `json:"username,omitempty"`
	OriginJTI string        `json:"origin_jti,omitempty"`
	Version   int           `json:"version"` // 2, as Cognito's
	Groups    []string      `json:"cognito:groups,omitempty"`

	KeyID string `json:"-"`
}

// Machine reports whether the token speaks for its client alone (sub =
// client_id). No client id looks like a UUID and every user's sub is one.
func (a *Access) Machine() bool { return a.Sub == string(a.Client) }

// VerifyAccess checks everything of an access token but its audience and
// scope: type, key, signature, issuer, times (30 s leeway), token_use, and
// Standing. fault.InvalidToken if anything is wrong.
func (s *Service) VerifyAccess(ctx context.Context, p *pool.Pool, token string) (*Access, error) {
	set, err := s.keys.Set(ctx, p.ID, pool.TokenKeys)
	if err != nil {
		return nil, fmt.Errorf("token: keys: %w", err)
	}
	v, err := set.Verify(token)
	if err != nil {
		return nil, fault.Wrap(fault.InvalidToken, err, "the token is not valid")
	}
	if v.Type != typAccess {
		return nil, badToken("this is not an access token")
	}
	a := &Access{KeyID: v.KeyID}
	if err := jose.Decode(v.Payload, a); err != nil {
		return nil, fault.Wrap(fault.InvalidToken, err, "the token is not valid")
	}
	if err := a.wellFormed(p); err != nil {
		return nil, err
	}
	if err := s.Standing(ctx, p, a); err != nil {
		return nil, err
	}
	return a, nil
}

// wellFormed checks what cannot change.
func (a *Access) wellFormed(p *pool.Pool) error {
	switch {
	case a.Use != useAccess:
		return badToken("this is not an access token")
	case a.Issuer != p.Issuer:
		return badToken("the token was issued by another issuer")
	case a.Sub == "" || a.Client == "" || a.ID == "" || len(a.Audience) == 0 || slices.Contains(a.Audience, ""):
		return badToken("a claim is missing")
	case a.Expires <= 0 || a.IssuedAt <= 0 || a.NotBefore <= 0 || a.Expires < a.IssuedAt:
		return badToken("a time is missing or makes no sense")
	case a.Machine() != (a.OriginJTI == ""):
		return badToken("a claim is missing")
	}
	return nil
}

// Standing checks what can change after an access token was verified, without
// I/O: times, its key still in the set, its client still enabled, its family
// (a machine's: it alone) and its user's epoch not revoked. GroupsOf returns what is left of a.Groups.
func (s *Service) Standing(ctx context.Context, p *pool.Pool, a *Access) error {
	now := s.now().Unix()
	const slack = int64(leeway / time.Second)
	switch {
	case a.Expires <= now-slack:
		return badToken("the token has expired")
	case a.NotBefore > now+slack || a.IssuedAt > now+slack:
		return badToken("the token is not valid yet")
	}
	if c := p.Client(a.Client); c == nil || c.Disabled {
		return badToken("the client is unknown or disabled")
	}
	set, err := s.keys.Set(ctx, p.ID, pool.TokenKeys)
	if err != nil {
		return fmt.Errorf("token: keys: %w", err)
	}
	if !set.Has(a.KeyID) {
		return badToken("the token's key is retired")
	}
	if !s.revoked.stands(p.ID, pool.UserID(a.Sub), a.Epoch, a.revokedAs()) {
		return badToken("the token was revoked")
	}
	return nil
}

// revokedAs is the name under which an access token is revoked: its family's,
// or its own if it has none.
func (a *Access) revokedAs() string {
	if a.Machine() {
		return a.ID
	}
	return a.OriginJTI
}

// GroupsOf returns the token's groups that the user still has.
func (s *Service) GroupsOf(p *pool.Pool, a *Access) []string {
	now, known := s.revoked.groups(p.ID, pool.UserID(a.Sub))
	if !known {
		return a.Groups
	}
	var left []string
	for _, g := range a.Groups {
		if slices.Contains(now, g) {
			left = append(left, g)
		}
	}
	return left
}

// badToken is the refusal of an access token; why is safe to show.
func badToken(why string) error { return fault.New(fault.InvalidToken, why) }

package token

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Introspection is what a token means at this moment (RFC 7662 2.2). Of one
// that is not active nothing else is told, not even why.
type Introspection struct {
	Active    bool          `json:"active"`
	Scope     string        `json:"scope,omitempty"`
	Client    pool.ClientID `json:"client_id,omitempty"`
	Username  string        `json:"username,omitempty"`
	Type      string        `json:"token_type,omitempty"` // Bearer; refresh tokens have none
	Expires   int64         `json:"exp,omitempty"`
	IssuedAt  int64         `json:"iat,omitempty"`
	NotBefore int64         `json:"nbf,omitempty"`
	Sub       string        `json:"sub,omitempty"`
	Audience  jose.Audience `json:"aud,omitempty"`
	Issuer    string        `json:"iss,omitempty"`
	ID        string        `json:"jti,omitempty"`
	ACR       string        `json:"acr,omitempty"`
	AuthTime  int64         `json:"auth_time,omitempty"`
}

// Introspect tells a client about an access token that was issued to it or
// that is for a resource it may ask for, and about its own refresh tokens.
// Every other token is not active to it. It asks the store, so that what was
// revoked anywhere is not active any more.
func (s *Service) Introspect(ctx context.Context, p *pool.Pool, caller *pool.Client, raw string) (Introspection, error) {
	var answer Introspection
	var err error
	if t, ok := parseRefresh(raw); ok {
		answer, err = s.introspectRefresh(ctx, p, caller, t)
	} else {
		answer, err = s.introspectAccess(ctx, p, caller, raw)
	}
	switch fault.CodeOf(err) {
	case fault.InvalidToken, fault.InvalidGrant:
		return Introspection{}, nil
	}
	return answer, err
}

func (s *Service) introspectAccess(ctx context.Context, p *pool.Pool, caller *pool.Client, raw string) (Introspection, error) {
	a, err := s.VerifyAccess(ctx, p, raw)
	if err != nil {
		return Introspection{}, err
	}
	meant := func(aud string) bool { return slices.Contains(caller.Resources, aud) }
	if a.Client != caller.ID && !slices.ContainsFunc(a.Audience, meant) {
		return Introspection{}, badToken("the token is of another client and for another resource")
	}
	if err := s.Ended(ctx, p, a); err != nil {
		return Introspection{}, err
	}
	if !a.Machine() {
		if _, err := s.user(ctx, p, pool.UserID(a.Sub), a.Epoch); err != nil {
			return Introspection{}, err
		}
	}
	return Introspection{
		Active: true, Scope: a.Scope, Client: a.Client, Username: a.Username, Type: "Bearer",
		Expires: a.Expires, IssuedAt: a.IssuedAt, NotBefore: a.NotBefore,
		Sub: a.Sub, Audience: a.Audience, Issuer: a.Issuer, ID: a.ID, ACR: a.ACR, AuthTime: a.AuthTime,
	}, nil
}

// introspectRefresh: active is what Refresh would take. The audience of a
// refresh token is the issuer, so that no API takes one for its own.
func (s *Service) introspectRefresh(ctx context.Context, p *pool.Pool, caller *pool.Client, t presented) (Introspection, error) {
	f, err := s.findFamily(ctx, p, caller, t)
	if err != nil {
		return Introspection{}, err
	}
	earlier := t.gen+1 == f.Gen && within(s.now().Sub(f.Rotated), p.Token.ReuseGrace)
	if f.Dead || t.gen != f.Gen && !earlier {
		return Introspection{}, badGrant("the refresh token is not valid")
	}
	user, err := s.user(ctx, p, f.Sub, f.Epoch)
	if err != nil {
		return Introspection{}, err
	}
	return Introspection{
		Active: true, Scope: strings.Join(f.Scopes, " "), Client: f.Client, Username: user.Username,
		Expires: f.Expires.Unix(), IssuedAt: f.Rotated.Unix(),
		Sub: string(f.Sub), Audience: jose.Audience{p.Issuer}, Issuer: p.Issuer, ACR: f.ACR, AuthTime: f.AuthTime.Unix(),
	}, nil
}

// introspectionJWT is the claims of RFC 9701 5. It has neither sub nor exp,
// and a type of its own: nobody takes it for an access or ID token.
type introspectionJWT struct {
	Issuer   string        `json:"iss"`
	Audience pool.ClientID `json:"aud"`
	IssuedAt int64         `json:"iat"`
	Token    Introspection `json:"token_introspection"`
}

// SignIntrospection makes the JWT of an answer to caller (RFC 9701): signed
// with the pool's token key, of the algorithm of the caller's ID tokens, else RS256.
func (s *Service) SignIntrospection(ctx context.Context, p *pool.Pool, caller *pool.Client, answer Introspection) (string, error) {
	key, err := s.keys.Signer(ctx, p.ID, pool.TokenKeys, cmp.Or(caller.IDAlg, jose.RS256))
	if err != nil {
		return "", fmt.Errorf("token: key of introspection: %w", err)
	}
	signed, err := key.Sign(typIntrospection, introspectionJWT{
		Issuer: p.Issuer, Audience: caller.ID, IssuedAt: s.now().Unix(), Token: answer,
	})
	if err != nil {
		return "", fmt.Errorf("token: sign introspection: %w", err)
	}
	return signed, nil
}

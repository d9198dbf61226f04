package token

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// The typ headers of what is signed here (RFC 9068 2.1, RFC 7519 5.1).
const (
	typAccess        = "at+jwt"
	typID            = "JWT"
	typAssertion     = "gatehouse+jwt"
	typIntrospection = "token-introspection+jwt" // RFC 9701 5

	verifiedID = "jwt" // typID as jose.Verified has it
)

// The token_use claims (Cognito's).
const (
	useAccess = "access"
	useID     = "id"
)

// minting is a token response in the making. Keys are found before anything
// is spent: what can fail for lack of a key fails then.
type minting struct {
	pool   *pool.Pool
	client *pool.Client
	target pool.Target

	accessKey  *jose.Key
	accessLife time.Duration
	idKey      *jose.Key // nil: no ID token

	user    *pool.User
	family  *pool.Family
	nonce   string
	refresh string
}

// prepare finds the keys and lifetimes of what will be issued.
func (s *Service) prepare(ctx context.Context, p *pool.Pool, c *pool.Client, t pool.Target) (*minting, error) {
	m := &minting{pool: p, client: c, target: t, accessLife: accessLife(p, c, t.Audience)}
	var err error
	if m.accessKey, err = s.keys.Signer(ctx, p.ID, pool.TokenKeys, accessAlg(p, t.Audience)); err != nil {
		return nil, fmt.Errorf("token: key of access tokens: %w", err)
	}
	if slices.Contains(t.Scopes, pool.ScopeOpenID) {
		if m.idKey, err = s.keys.Signer(ctx, p.ID, pool.TokenKeys, idAlg(p, c)); err != nil {
			return nil, fmt.Errorf("token: key of ID tokens: %w", err)
		}
	}
	return m, nil
}

// issue signs the tokens of a user.
func (s *Service) issue(m *minting) (*Issued, error) {
	now := s.now()
	access, err := m.accessKey.Sign(typAccess, m.userAccess(now))
	if err != nil {
		return nil, fmt.Errorf("token: sign access token: %w", err)
	}
	out := &Issued{
		Access: access, Refresh: m.refresh, Life: m.accessLife,
		Scopes: m.target.Scopes, Sub: m.user.Sub,
	}
	if m.idKey != nil {
		if out.ID, err = m.idKey.Sign(typID, m.idClaims(now, access)); err != nil {
			return nil, fmt.Errorf("token: sign ID token: %w", err)
		}
	}
	return out, nil
}

// Machine issues an access token to a client by its own authority (RFC 6749
// 4.4). target comes from pool.ResolveMachineTarget. There is no user in it,
// no refresh token and no ID token beside it. fault.InvalidScope if the
// target holds an OIDC scope.
func (s *Service) Machine(ctx context.Context, p *pool.Pool, c *pool.Client, t pool.Target) (*Issued, error) {
	if slices.ContainsFunc(t.Scopes, pool.IsOIDCScope) {
		return nil, fault.New(fault.InvalidScope, "a client without a user cannot have OpenID Connect scopes")
	}
	m, err := s.prepare(ctx, p, c, t)
	if err != nil {
		return nil, err
	}
	access := m.base(s.now())
	access.Sub = string(c.ID)
	signed, err := m.accessKey.Sign(typAccess, access)
	if err != nil {
		return nil, fmt.Errorf("token: sign access token: %w", err)
	}
	return &Issued{Access: signed, Life: m.accessLife, Scopes: t.Scopes}, nil
}

// base is what access tokens of users and machines have in common (RFC 9068 2.2).
func (m *minting) base(now time.Time) Access {
	return Access{
		Issuer: m.pool.Issuer, Audience: m.audience(),
		Expires: now.Add(m.accessLife).Unix(), NotBefore: now.Unix(), IssuedAt: now.Unix(), ID: secret.UUID(),
		Client: m.client.ID, Scope: strings.Join(m.target.Scopes, " "), Use: useAccess, Version: 2,
	}
}

// audience is the target; openid adds the issuer, so that userinfo, which
// requires it, works.
func (m *minting) audience() jose.Audience {
	aud := jose.Audience{m.target.Audience}
	if m.target.Audience != m.pool.Issuer && slices.Contains(m.target.Scopes, pool.ScopeOpenID) {
		aud = append(aud, m.pool.Issuer)
	}
	return aud
}

func (m *minting) userAccess(now time.Time) Access {
	a := m.base(now)
	a.Sub, a.Username, a.Groups = string(m.user.Sub), m.user.Username, m.user.Groups
	a.AuthTime, a.ACR, a.AMR = m.family.AuthTime.Unix(), m.family.ACR, m.family.AMR
	a.Epoch, a.OriginJTI = m.family.Epoch, m.family.OriginJTI
	return a
}

// accessLife: a client's own value wins over its resource's, and that over
// the pool's. None outlives a revocation.
func accessLife(p *pool.Pool, c *pool.Client, audience string) time.Duration {
	life := p.Token.Access
	if r := p.Resources[audience]; r != nil && r.TokenTTL > 0 {
		life = r.TokenTTL
	}
	if c.Access > 0 {
		life = c.Access
	}
	return min(life, repo.RevocationLife-leeway)
}

// accessAlg is what the resource asks for, else the pool's.
func accessAlg(p *pool.Pool, audience string) jose.Alg {
	if r := p.Resources[audience]; r != nil && r.Alg != "" {
		return r.Alg
	}
	return p.Token.Alg
}

func idAlg(p *pool.Pool, c *pool.Client) jose.Alg {
	if c.IDAlg != "" {
		return c.IDAlg
	}
	return p.Token.IDAlg
}

func idLife(p *pool.Pool, c *pool.Client) time.Duration {
	if c.IDLife > 0 {
		return c.IDLife
	}
	return p.Token.ID
}

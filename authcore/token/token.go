// Package token turns orders into tokens and back: authorization codes
// (redeemed in one commit with what they buy), ID, access and refresh tokens,
// families, assertions, verification, revocation, introspection, and hints.
//
// It does not authenticate clients, ask for consent or decide what a client
// may be granted: an order says what to issue. Browser sessions are package
// session's; here they are read, and a site's session is made of a code.
//
// What is spent or ended is committed first, then what it buys: a crash in
// between revokes too much, never too little.
package token

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// Keys is what the service needs of the key ring.
type Keys interface {
	Signer(ctx context.Context, id pool.ID, use pool.KeyUse, alg jose.Alg) (*jose.Key, error)
	Set(ctx context.Context, id pool.ID, use pool.KeyUse) (*jose.Set, error)
}

// Config says what a Service stands on.
type Config struct {
	Repo   *repo.Repo
	Keys   Keys
	Now    func() time.Time // nil: time.Now
	Logger *slog.Logger     // nil: discards
}

// Service issues and verifies. It is safe for concurrent use; pools are arguments.
type Service struct {
	repo    *repo.Repo
	keys    Keys
	now     func() time.Time
	log     *slog.Logger
	revoked *Revocations
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{
		repo: c.Repo, keys: c.Keys, now: c.Now, log: c.Logger,
		revoked: newRevocations(c.Repo, c.Now, c.Logger),
	}
}

// Revocations returns the service's.
func (s *Service) Revocations() *Revocations { return s.revoked }

// Issued is a token response (RFC 6749 5.1).
type Issued struct {
	Access  string
	ID      string // empty without openid
	Refresh string // empty if not granted
	Life    time.Duration
	Scopes  []string
	Sub     pool.UserID // for the request event
}

// badGrant is the refusal of a code or refresh token; why is safe to show and
// tells nothing about tokens of others.
func badGrant(why string) error { return fault.New(fault.InvalidGrant, why) }

// user returns the user that a grant speaks for, if what was issued under
// epoch still stands.
func (s *Service) user(ctx context.Context, p *pool.Pool, sub pool.UserID, epoch uint32) (*pool.User, error) {
	u, err := s.repo.User(ctx, p.ID, sub)
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		return nil, badGrant("the sign-in has ended")
	case err != nil:
		return nil, fmt.Errorf("token: read user: %w", err)
	case !u.Stands(epoch):
		return nil, badGrant("the sign-in has ended")
	}
	return u, nil
}

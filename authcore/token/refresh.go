package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// RefreshOrder is what a client presents to refresh.
type RefreshOrder struct {
	Client   *pool.Client // authenticated
	Token    string
	Scopes   []string // narrows; nil: all granted
	Resource string   // narrows; empty: the first granted
}

// errReused means that a refresh token was used again after its grace.
var errReused = errors.New("token: a refresh token was used again")

// Refresh issues new tokens (RFC 6749 6): rotation, a grace in which the same
// successor is returned, and reuse detection that ends the family.
// fault.InvalidGrant if the token is dead; fault.InvalidScope and
// fault.InvalidTarget for what was not granted.
//
// What the user may not grant any more, or the client not have, is left out.
//
// A family ends with its absolute life, its user, a raised epoch, its
// client's grant, and when its session is signed out of, unless
// offline_access was granted. A session that merely ran out does not end it:
// an application is not a browser.
func (s *Service) Refresh(ctx context.Context, p *pool.Pool, o RefreshOrder) (*Issued, error) {
	token, ok := parseRefresh(o.Token)
	if !ok {
		return nil, badGrant("the refresh token is not valid")
	}
	family, err := s.findFamily(ctx, p, o.Client, token)
	if err != nil {
		return nil, err
	}
	user, err := s.user(ctx, p, family.Sub, family.Epoch)
	if err != nil {
		return nil, err
	}
	granted, err := stillGranted(p, o.Client, user, family.Scopes)
	if err != nil {
		return nil, err
	}
	target, err := pool.NarrowTarget(p, granted, family.Resources, o.Scopes, o.Resource)
	if err != nil {
		return nil, err
	}
	m, err := s.prepare(ctx, p, o.Client, target)
	if err != nil {
		return nil, err
	}
	if family, err = s.rotate(ctx, p, o.Client, token); err != nil {
		return nil, err
	}
	m.user, m.family = user, family
	if m.refresh, err = s.refreshToken(ctx, p.ID, token.part, family); err != nil {
		return nil, err
	}
	return s.issue(m)
}

// stillGranted are those of the granted scopes that the user may let the client
// have as of now: an operator may have left, and the client's list may have
// become shorter. fault.InvalidGrant if nothing is left.
func stillGranted(p *pool.Pool, c *pool.Client, u *pool.User, granted []string) ([]string, error) {
	left := slices.DeleteFunc(slices.Clone(p.MayGrant(u, granted)), func(scope string) bool { return !slices.Contains(c.Scopes, scope) })
	if len(left) == 0 && len(granted) > 0 {
		return nil, badGrant("nothing that was granted may be given any more")
	}
	return left, nil
}

// findFamily reads the family of a token and checks that the token is
// genuine and presented by the client that it was issued to. It changes
// nothing: tokens of others cannot be burnt.
func (s *Service) findFamily(ctx context.Context, p *pool.Pool, c *pool.Client, t presented) (*pool.Family, error) {
	family, err := s.genuine(ctx, p, t)
	switch {
	case err != nil:
		return nil, err
	case family.Client != c.ID:
		return nil, badGrant("the refresh token was issued to another client")
	case !c.HasGrant(pool.GrantRefresh):
		return nil, badGrant("the client may not refresh any more")
	}
	return family, s.notRevoked(ctx, p, family)
}

// genuine returns the family that a token was made by; fault.InvalidGrant if
// there is none.
func (s *Service) genuine(ctx context.Context, p *pool.Pool, t presented) (*pool.Family, error) {
	e, err := repo.Get(ctx, s.repo, repo.FamilyKey(p.ID, t.part, t.family))
	switch {
	case err != nil:
		return nil, fmt.Errorf("token: read family: %w", err)
	case !e.Found:
		return nil, badGrant("the refresh token is not valid")
	}
	key, err := s.refreshKey(ctx, p.ID, &e.Value)
	switch {
	case err != nil:
		return nil, err
	case !t.genuine(key) || !e.Value.Refresh:
		return nil, badGrant("the refresh token is not valid")
	}
	return &e.Value, nil
}

// notRevoked asks the directory, before rotate looks at the family itself:
// the family's mark of death may have been lost with the last second before a
// crash, the revocation was not.
func (s *Service) notRevoked(ctx context.Context, p *pool.Pool, family *pool.Family) error {
	ended, err := s.revokedOnDisk(ctx, p, family.Sub, family.OriginJTI)
	if err != nil || !ended {
		return err
	}
	if err := s.markDead(ctx, p, family.Sub, []string{family.OriginJTI}); err != nil {
		return err
	}
	return badGrant("the sign-in has ended")
}

// rotate makes the successor of the presented token current, in one commit,
// and returns the family as it is then. Of racing ones one rotates and the
// others find its successor within the grace.
func (s *Service) rotate(ctx context.Context, p *pool.Pool, c *pool.Client, t presented) (*pool.Family, error) {
	var family pool.Family
	_, err := s.repo.Update(ctx, p.ID, t.part, func(tx *repo.Tx) error {
		key := repo.FamilyKey(p.ID, t.part, t.family)
		e, err := repo.Read(tx, key)
		switch {
		case err != nil:
			return err
		case !e.Found || e.Value.Dead:
			return badGrant("the sign-in has ended")
		}
		family = e.Value
		epoch, err := failoverEpoch(tx, p.ID, t)
		if err != nil {
			return err
		}
		next, err := s.judge(ctx, tx, p, c, t, family, epoch)
		if err != nil || next == family.Gen {
			return err
		}
		family.Gen, family.Rotated, family.StoreEp = next, tx.Now(), epoch
		return repo.Put(tx, key, family, e.Expires)
	})
	switch {
	case errors.Is(err, errReused):
		return nil, s.endReused(ctx, p, &family)
	case err != nil:
		return nil, fmt.Errorf("token: rotate: %w", err)
	}
	return &family, nil
}

// judge compares the presented generation with the current one and returns
// the one that shall be current; it is the same for a retry, and for clients
// that keep their token.
func (s *Service) judge(ctx context.Context, tx *repo.Tx, p *pool.Pool, c *pool.Client, t presented, f pool.Family, epoch uint32) (uint32, error) {
	next := t.gen + 1
	if c.KeepRefresh {
		next = t.gen
	}
	switch {
	case t.gen == f.Gen:
		return next, nil
	case t.gen+1 == f.Gen && within(tx.Now().Sub(f.Rotated), p.Token.ReuseGrace):
		return f.Gen, nil
	case t.gen < f.Gen:
		return 0, errReused
	case t.gen == f.Gen+1 && epoch > f.StoreEp:
		// Under a good MAC, a generation that the store does not know: a
		// rotation that was acknowledged got lost in a failover.
		return next, nil
	}
	s.log.WarnContext(ctx, "a refresh token is ahead of its family",
		"pool", p.Name, "client", f.Client, "sub", f.Sub, "presented", t.gen, "current", f.Gen)
	return 0, badGrant("the refresh token is not valid")
}

// within reports whether an age is inside the grace; a clock that was set
// back does not make the grace longer.
func within(age, grace time.Duration) bool { return -grace <= age && age < grace }

// failoverEpoch is the store's current one: the epoch of an entry that is not there.
func failoverEpoch(tx *repo.Tx, id pool.ID, t presented) (uint32, error) {
	e, err := repo.Read(tx, repo.CodeKey(id, t.part, t.family)) // codes are named by hashes
	if err != nil {
		return 0, err
	}
	return e.Epoch, nil
}

// endReused ends a family whose earlier token has come back: somebody else
// has a copy (RFC 9700 4.14.2).
func (s *Service) endReused(ctx context.Context, p *pool.Pool, f *pool.Family) error {
	s.log.WarnContext(ctx, "a refresh token was used again; its family is ended",
		"pool", p.Name, "client", f.Client, "sub", f.Sub)
	if err := s.EndFamilies(ctx, p, f.Sub, []string{f.OriginJTI}); err != nil {
		return fmt.Errorf("token: end a reused family: %w", err)
	}
	return badGrant("the refresh token was used before")
}

// refreshLife is the absolute life of a client's families.
func refreshLife(p *pool.Pool, c *pool.Client) time.Duration {
	if c.Refresh > 0 {
		return c.Refresh
	}
	return p.Token.Refresh
}

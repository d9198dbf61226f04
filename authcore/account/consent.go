package account

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

var errGone = fault.New(fault.NotFound, "the user does not exist")

// Consented reports whether a user has let a client have all these scopes at a
// redirect host and resource (empty: the issuer) before.
func (s *Service) Consented(ctx context.Context, p *pool.Pool, sub pool.UserID, want pool.Consent) (bool, error) {
	e, err := repo.Get(ctx, s.repo, repo.ConsentKey(p.ID, sub, want.Client, want.Host, want.Resource))
	if err != nil {
		return false, fmt.Errorf("account: read consent: %w", err)
	}
	return e.Found && covers(e.Value.Scopes, want.Scopes), nil
}

// covers reports whether all that is wanted was given.
func covers(given, wanted []string) bool {
	return !slices.ContainsFunc(wanted, func(scope string) bool { return !slices.Contains(given, scope) })
}

// Consent remembers what a user lets a client have; scopes add to those of
// before. fault.NotFound, fault.Forbidden: nothing is kept of somebody who was
// deleted or disabled meanwhile.
func (s *Service) Consent(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, given pool.Consent) error {
	if err := s.authorizeAndRecord(ctx, by, verbConsent, target{p.ID, sub}); err != nil {
		return err
	}
	key := repo.ConsentKey(p.ID, sub, given.Client, given.Host, given.Resource)
	_, err := s.repo.Update(ctx, p.ID, repo.UserPartition(p.ID, sub), func(tx *repo.Tx) error {
		switch u, err := repo.ReadUser(tx, sub); {
		case err != nil:
			return err
		case !u.Found:
			return errGone
		case u.Value.Disabled:
			return errNotAdmitted
		}
		before, err := repo.Read(tx, key)
		if err != nil {
			return err
		}
		now := given
		now.Scopes = slices.Concat(before.Value.Scopes, given.Scopes)
		slices.Sort(now.Scopes)
		now.Scopes = slices.Compact(now.Scopes)
		now.At = tx.Now().UTC()
		return repo.Put(tx, key, now, time.Time{})
	})
	if err != nil {
		return fmt.Errorf("account: remember consent: %w", err)
	}
	return nil
}

// Consents lists what a user has let clients have.
func (s *Service) Consents(ctx context.Context, p *pool.Pool, sub pool.UserID) ([]pool.Consent, error) {
	all, err := s.repo.Consents(ctx, p.ID, sub)
	if err != nil {
		return nil, fmt.Errorf("account: list consents: %w", err)
	}
	return all, nil
}

// Withdraw forgets everything that a user has let a client have. The client
// is asked about again; its refresh tokens are the caller's to end.
func (s *Service) Withdraw(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, client pool.ClientID) error {
	if err := s.authorizeAndRecord(ctx, by, verbWithdraw, target{p.ID, sub}); err != nil {
		return err
	}
	all, err := s.Consents(ctx, p, sub)
	if err != nil {
		return err
	}
	_, err = s.repo.Update(ctx, p.ID, repo.UserPartition(p.ID, sub), func(tx *repo.Tx) error {
		for _, c := range all {
			if c.Client == client {
				repo.Delete(tx, repo.ConsentKey(p.ID, sub, c.Client, c.Host, c.Resource))
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("account: withdraw consent: %w", err)
	}
	return nil
}

package account

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The first-user link. One entry per pool, in its home partition, names the
// sub that the link makes. Whoever submits the form claims the entry by
// compare-and-swap and then creates that sub, so that a link makes one user at
// most, whatever crashes or races: a sub can be created once. A claim is taken
// back when the creation failed, and by the next FirstLink, which keeps the
// sub: a slow submitter of an older link and the submitter of the new one want
// to create the same user, and one of them fails. Any other creation of a user
// fences the sub and deletes the entry first (repo.CreateUser).

// settleTime is how long taking back a claim may last after its request has gone.
const settleTime = 5 * time.Second

// FirstLink makes the pool's first-user link anew and returns its token;
// fault.Conflict if the pool has users. It is good once and for an hour.
func (s *Service) FirstLink(ctx context.Context, p *pool.Pool) (token string, err error) {
	if err := s.authorizeAndRecord(ctx, pool.Caller{Kind: pool.System, Name: "start"}, verbFirstLink, target{p.ID, ""}); err != nil {
		return "", err
	}
	if err := s.vacant(ctx, p); err != nil {
		return "", err
	}
	part := repo.HomePartition(p.ID)
	token = repo.NewHandle(part)
	_, name, _ := repo.ParseHandle(token)
	fresh := pool.UserID(secret.UUID())
	err = s.updateFirst(ctx, p, func(tx *repo.Tx, have repo.Entry[pool.FirstUser]) error {
		next := pool.FirstUser{Sub: fresh, Link: name}
		if have.Found {
			next.Sub = have.Value.Sub
		}
		return repo.Put(tx, repo.FirstUserKey(p.ID), next, tx.Now().Add(firstLife))
	})
	if err != nil {
		return "", fmt.Errorf("account: first-user link: %w", err)
	}
	// A user may have come while the link was made.
	if err := s.vacant(ctx, p); err != nil {
		return "", errors.Join(err, s.dropFirst(ctx, p, name))
	}
	return token, nil
}

// vacant returns fault.Conflict if the pool has users.
func (s *Service) vacant(ctx context.Context, p *pool.Pool) error {
	has, err := s.repo.HasUsers(ctx, p.ID)
	switch {
	case err != nil:
		return fmt.Errorf("account: look for users: %w", err)
	case has:
		return fault.New(fault.Conflict, "the pool has users")
	}
	return nil
}

// updateFirst changes the entry in one commit.
func (s *Service) updateFirst(ctx context.Context, p *pool.Pool, fn func(*repo.Tx, repo.Entry[pool.FirstUser]) error) error {
	_, err := s.repo.Update(ctx, p.ID, repo.HomePartition(p.ID), func(tx *repo.Tx) error {
		have, err := repo.Read(tx, repo.FirstUserKey(p.ID))
		if err != nil {
			return err
		}
		return fn(tx, have)
	})
	return err
}

// dropFirst deletes the entry of a link.
func (s *Service) dropFirst(ctx context.Context, p *pool.Pool, name string) error {
	return s.updateFirst(ctx, p, func(tx *repo.Tx, have repo.Entry[pool.FirstUser]) error {
		if have.Found && sameName(have.Value.Link, name) {
			repo.Delete(tx, repo.FirstUserKey(p.ID))
		}
		return nil
	})
}

// openFirst looks at the first-user link; fault.NotFound unless it is this one
// and the pool has no users.
func (s *Service) openFirst(ctx context.Context, p *pool.Pool, part store.Partition, name string) (*Link, error) {
	first, err := repo.Get(ctx, s.repo, repo.FirstUserKey(p.ID))
	switch {
	case err != nil:
		return nil, fmt.Errorf("account: read link: %w", err)
	case !first.Found || !sameName(first.Value.Link, name):
		return nil, errNoLink
	}
	err = s.vacant(ctx, p)
	switch {
	case errors.Is(err, fault.Conflict):
		return nil, errNoLink
	case err != nil:
		return nil, err
	}
	return &Link{First: true, name: name, part: part, sub: first.Value.Sub}, nil
}

// spendFirst makes the first user. Everything that can be wrong with the
// answer is found out before the link is claimed.
func (s *Service) spendFirst(ctx context.Context, by pool.Caller, p *pool.Pool, link *Link, identifier, password string) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, verbSpendFirst, target{p.ID, link.sub}); err != nil {
		return nil, err
	}
	// The first user is an operator, whose word for an address is as good as
	// that of the operator who adds a user.
	u, err := s.draft(pool.UserID(secret.UUID()), NewUser{
		Identifier: identifier, Groups: []string{pool.OperatorsGroup}, Verified: true,
	})
	if err != nil {
		return nil, err
	}
	if u.Password, err = s.hash(ctx, p, u, password); err != nil {
		return nil, err
	}
	u.Status = pool.Confirmed
	sub, err := s.claim(ctx, p, link.name)
	if err != nil {
		return nil, err
	}
	made, err := s.createFirst(ctx, p, link.name, u, sub)
	if err == nil {
		return made, nil
	}
	s.unclaim(ctx, p, link.name)
	if errors.Is(err, fault.Conflict) || errors.Is(err, fault.Forbidden) {
		return nil, fault.Wrap(fault.NotFound, err, "the link was used")
	}
	return nil, err
}

// claim marks the link as being used and returns the sub to create.
func (s *Service) claim(ctx context.Context, p *pool.Pool, name string) (pool.UserID, error) {
	var sub pool.UserID
	err := s.updateFirst(ctx, p, func(tx *repo.Tx, have repo.Entry[pool.FirstUser]) error {
		switch {
		case !have.Found || !sameName(have.Value.Link, name):
			return errNoLink
		case have.Value.Claimed:
			return errClaimed
		}
		sub = have.Value.Sub
		have.Value.Claimed = true
		return repo.Put(tx, repo.FirstUserKey(p.ID), have.Value, have.Expires)
	})
	if err != nil {
		return "", fmt.Errorf("account: claim link: %w", err)
	}
	return sub, nil
}

// createFirst creates the claimed sub. If another creation had fenced the sub
// and then never happened, the link gets another sub, once.
func (s *Service) createFirst(ctx context.Context, p *pool.Pool, name string, u *pool.User, sub pool.UserID) (*pool.User, error) {
	made, err := s.store(ctx, p, named(u, sub))
	if !errors.Is(err, fault.Conflict) || s.vacant(ctx, p) != nil {
		return made, err
	}
	next := pool.UserID(secret.UUID())
	err = s.updateFirst(ctx, p, func(tx *repo.Tx, have repo.Entry[pool.FirstUser]) error {
		if !have.Found || !sameName(have.Value.Link, name) || have.Value.Sub != sub || !have.Value.Claimed {
			return errNoLink
		}
		have.Value.Sub = next
		return repo.Put(tx, repo.FirstUserKey(p.ID), have.Value, have.Expires)
	})
	if err != nil {
		return nil, fmt.Errorf("account: move link: %w", err)
	}
	return s.store(ctx, p, named(u, next))
}

// named gives a draft another sub.
func named(u *pool.User, sub pool.UserID) *pool.User {
	out := *u
	if out.Username == string(out.Sub) {
		out.Username = string(sub)
	}
	out.Sub = sub
	return &out
}

// unclaim takes a claim back, also when the request that made it has gone. If
// that fails, the next FirstLink makes the link anew.
func (s *Service) unclaim(ctx context.Context, p *pool.Pool, name string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), settleTime)
	defer cancel()
	err := s.updateFirst(ctx, p, func(tx *repo.Tx, have repo.Entry[pool.FirstUser]) error {
		if !have.Found || !have.Value.Claimed || !sameName(have.Value.Link, name) {
			return nil
		}
		have.Value.Claimed = false
		return repo.Put(tx, repo.FirstUserKey(p.ID), have.Value, have.Expires)
	})
	if err != nil {
		s.log.WarnContext(ctx, "first-user link stays claimed", "pool", string(p.ID), "error", err)
	}
}

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

const (
	firstLife  = time.Hour      // of the first-user link
	inviteLife = 24 * time.Hour // of an invitation
)

// Errors of links. A link that is unknown, spent, void or expired is the same.
var (
	errNoLink  = fault.New(fault.NotFound, "the link is unknown, was used, or has expired")
	errClaimed = fault.New(fault.Conflict, "somebody is just using this link")
)

// Link is what a one-time link is for.
type Link struct {
	First bool
	User  *pool.User // nil if First

	name string // the token's hash
	part store.Partition
	sub  pool.UserID
}

// Invite returns the token of a one-time link, good for 24 hours, with which
// the user sets a password. Whatever raises the user's epoch voids it.
// fault.NotFound; fault.Conflict if the user is disabled.
func (s *Service) Invite(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID) (token string, err error) {
	if err := s.authorizeAndRecord(ctx, by, verbInvite, target{p.ID, sub}); err != nil {
		return "", err
	}
	u, err := s.repo.User(ctx, p.ID, sub)
	if err != nil {
		return "", err
	}
	if u.Disabled {
		return "", fault.New(fault.Conflict, "the user is disabled")
	}
	part := repo.UserPartition(p.ID, sub)
	token = repo.NewHandle(part)
	_, name, _ := repo.ParseHandle(token)
	_, err = s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		return repo.Put(tx, repo.InviteKey(p.ID, part, name), pool.Invite{Sub: sub, Epoch: u.Epoch}, tx.Now().Add(inviteLife))
	})
	if err != nil {
		return "", fmt.Errorf("account: invite: %w", err)
	}
	return token, nil
}

// OpenLink looks at a link without spending it; fault.NotFound if it is
// unknown, spent or expired.
func (s *Service) OpenLink(ctx context.Context, p *pool.Pool, token string) (*Link, error) {
	part, name, ok := repo.ParseHandle(token)
	if !ok {
		return nil, errNoLink
	}
	if part == repo.HomePartition(p.ID) {
		link, err := s.openFirst(ctx, p, part, name)
		if !errors.Is(err, fault.NotFound) {
			return link, err
		}
	}
	invite, err := repo.Get(ctx, s.repo, repo.InviteKey(p.ID, part, name))
	switch {
	case err != nil:
		return nil, fmt.Errorf("account: read link: %w", err)
	case !invite.Found:
		return nil, errNoLink
	}
	u, err := s.repo.User(ctx, p.ID, invite.Value.Sub)
	switch {
	case errors.Is(err, fault.NotFound) || err == nil && !invites(u, invite.Value.Epoch):
		return nil, errNoLink
	case err != nil:
		return nil, fmt.Errorf("account: read user: %w", err)
	}
	return &Link{User: u, name: name, part: part, sub: u.Sub}, nil
}

// invites reports whether an invitation made under epoch still stands.
func invites(u *pool.User, epoch uint32) bool { return !u.Disabled && u.Epoch == epoch }

// SpendLink spends a link: it makes the first user (identifier needed, an
// operator), or sets the invited user's password, and returns the user.
// A bad identifier (fault.Invalid) or password (*PasswordProblem) spends
// nothing. fault.NotFound if the link is not good, or has just been spent by
// somebody else; fault.Conflict while somebody else is spending it.
func (s *Service) SpendLink(ctx context.Context, by pool.Caller, p *pool.Pool, token, identifier, password string) (*pool.User, error) {
	link, err := s.OpenLink(ctx, p, token)
	if err != nil {
		return nil, err
	}
	if link.First {
		return s.spendFirst(ctx, by, p, link, identifier, password)
	}
	return s.spendInvite(ctx, by, p, link, password)
}

// spendInvite needs one commit: the password raises the epoch, and with that
// voids the invitation. Of two who spend it one finds the epoch raised, and a
// crash afterwards leaves an entry that opens nothing until it expires.
func (s *Service) spendInvite(ctx context.Context, by pool.Caller, p *pool.Pool, link *Link, password string) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, verbSpendInvite, target{p.ID, link.sub}); err != nil {
		return nil, err
	}
	entry, err := s.hash(ctx, p, link.User, password)
	if err != nil {
		return nil, err
	}
	u, err := s.repo.UpdateUser(ctx, p.ID, link.sub, func(u *pool.User) error {
		if !invites(u, link.User.Epoch) {
			return errNoLink
		}
		confirm(u, entry)
		return nil
	})
	switch {
	case errors.Is(err, fault.NotFound):
		return nil, errNoLink
	case err != nil:
		return nil, fmt.Errorf("account: set password: %w", err)
	}
	_, err = s.repo.Update(ctx, p.ID, link.part, func(tx *repo.Tx) error {
		repo.Delete(tx, repo.InviteKey(p.ID, link.part, link.name))
		return nil
	})
	if err != nil {
		s.log.WarnContext(ctx, "spent invitation not deleted yet", "pool", string(p.ID), "error", err)
	}
	return u, nil
}

// sameName compares hashes of link tokens.
func sameName(a, b string) bool { return secret.Equal([]byte(a), []byte(b)) }

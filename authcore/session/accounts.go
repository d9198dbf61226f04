package session

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// MaxAccounts is how many accounts one browser may be signed in with at once.
const MaxAccounts = 5

// separator stands between the ids in a cookie; no id has one.
const separator = "."

// Accounts returns the SSO sessions that the value of an SSO cookie names, the
// one that was used or chosen last first; those that have ended are left out.
// The value is the sessions' ids joined with dots.
func (s *Service) Accounts(ctx context.Context, p *pool.Pool, cookie string) ([]*Live, error) {
	var all []*Live
	seen := map[string]bool{}
	// One piece more than there may be holds the rest, which is no id.
	for _, id := range strings.SplitN(cookie, separator, MaxAccounts+1) {
		if seen[id] || len(seen) == MaxAccounts {
			continue
		}
		seen[id] = true
		live, err := s.Find(ctx, p, id)
		switch {
		case errors.Is(err, fault.NotFound):
		case err != nil:
			return nil, err
		default:
			all = append(all, live)
		}
	}
	return all, nil
}

// JoinAccounts is the cookie value of sessions in this order; at most
// MaxAccounts are kept.
func JoinAccounts(all []*Live) string {
	var ids []string
	for _, live := range all {
		if live.ID != "" && len(ids) < MaxAccounts && !slices.Contains(ids, live.ID) {
			ids = append(ids, live.ID)
		}
	}
	return strings.Join(ids, separator)
}

// List returns a user's SSO sessions that stand, latest first. Those that a
// build made which kept no list are missing until they are used.
func (s *Service) List(ctx context.Context, p *pool.Pool, sub pool.UserID) ([]*Live, error) {
	user, err := s.repo.User(ctx, p.ID, sub)
	switch {
	case errors.Is(err, fault.NotFound):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("session: read user: %w", err)
	}
	names, err := s.repo.SessionNames(ctx, p.ID, sub)
	if err != nil {
		return nil, fmt.Errorf("session: list: %w", err)
	}
	var all []*Live
	for _, name := range names {
		sess, ends, err := s.sso(ctx, p, repo.UserPartition(p.ID, sub), name)
		switch {
		case errors.Is(err, fault.NotFound):
		case err != nil:
			return nil, err
		case sess.Sub == sub && user.Stands(sess.Epoch) && sess.Replaced == "":
			all = append(all, &Live{Name: name, Session: sess, User: user, Expires: ends})
		}
	}
	slices.SortStableFunc(all, func(a, b *Live) int { return b.Session.Used.Compare(a.Session.Used) })
	return all, nil
}

// EndNamed ends an SSO session of a user by its name, as End does. fault.NotFound
// if the user has no such session.
func (s *Service) EndNamed(ctx context.Context, p *pool.Pool, sub pool.UserID, name string) error {
	part := repo.UserPartition(p.ID, sub)
	e, err := repo.Get(ctx, s.repo, repo.SessionKey(p.ID, part, name))
	switch {
	case err != nil:
		return fmt.Errorf("session: read: %w", err)
	case !e.Found || e.Value.Sub != sub: // others' sessions lie in the same partition
		return notFound()
	}
	return s.end(ctx, p, part, name)
}

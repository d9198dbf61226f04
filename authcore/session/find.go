package session

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Live is a session that stands, with its user as of now.
type Live struct {
	ID      string // the handle, a secret; empty in lists of sessions
	Name    string // as other records refer to it
	Session pool.Session
	User    *pool.User
	Expires time.Time // idle or absolute end, whichever is first
}

// LiveSite is a site session that stands.
type LiveSite struct {
	Name    string
	Session pool.SiteSession
	User    *pool.User
	Expires time.Time // idle or absolute end, its own or its parent's, whichever is first
}

// notFound says the same whatever the reason.
func notFound() error { return fault.New(fault.NotFound, "there is no such session") }

// Find returns the SSO session of a cookie; fault.NotFound if it is unknown,
// expired, idle too long, of a lower epoch or of a disabled user.
func (s *Service) Find(ctx context.Context, p *pool.Pool, id string) (*Live, error) {
	part, name, ok := repo.ParseHandle(id)
	if !ok {
		return nil, notFound()
	}
	sess, ends, err := s.sso(ctx, p, part, name)
	if err != nil {
		return nil, err
	}
	if sess.Replaced != "" {
		return nil, notFound()
	}
	user, err := s.user(ctx, p, sess.Sub, sess.Epoch)
	if err != nil {
		return nil, err
	}
	return &Live{ID: id, Name: name, Session: sess, User: user, Expires: ends}, nil
}

// FindSite returns the site session of a cookie at the site of a client;
// fault.NotFound as in Find, and when its parent has ended.
func (s *Service) FindSite(ctx context.Context, p *pool.Pool, site pool.ClientID, id string) (*LiveSite, error) {
	part, name, ok := repo.ParseHandle(id)
	if !ok {
		return nil, notFound()
	}
	e, err := repo.Get(ctx, s.repo, repo.SiteSessionKey(p.ID, part, name))
	if err != nil {
		return nil, fmt.Errorf("session: read: %w", err)
	}
	if !e.Found || e.Value.Client != site {
		return nil, notFound()
	}
	child := e.Value
	var parent pool.Session
	var parentEnds time.Time
	if child.Parent, parent, parentEnds, err = s.current(ctx, p, part, child.Parent); err != nil {
		return nil, err
	}
	// The absolute life counts from the sign-in, the parent's beginning.
	ends := earlier(earlier(e.Expires, p.Session.End(parent.Created, child.Used)), parentEnds)
	if parent.Sub != child.Sub || parent.Epoch != child.Epoch || !s.between(child.Created, ends) {
		return nil, notFound()
	}
	user, err := s.user(ctx, p, child.Sub, child.Epoch)
	if err != nil {
		return nil, err
	}
	return &LiveSite{Name: name, Session: child, User: user, Expires: ends}, nil
}

// current reads an SSO session, or the one that has taken its place.
func (s *Service) current(ctx context.Context, p *pool.Pool, part store.Partition, name string) (string, pool.Session, time.Time, error) {
	for range maxEarlier + 1 {
		sess, ends, err := s.sso(ctx, p, part, name)
		if err != nil || sess.Replaced == "" {
			return name, sess, ends, err
		}
		name = sess.Replaced
	}
	return "", pool.Session{}, time.Time{}, notFound()
}

// sso reads an SSO session that has not run out, and its end: the stored one,
// or that of a policy which has become stricter.
func (s *Service) sso(ctx context.Context, p *pool.Pool, part store.Partition, name string) (pool.Session, time.Time, error) {
	e, err := repo.Get(ctx, s.repo, repo.SessionKey(p.ID, part, name))
	if err != nil {
		return pool.Session{}, time.Time{}, fmt.Errorf("session: read: %w", err)
	}
	ends := earlier(e.Expires, p.Session.End(e.Value.Created, e.Value.Used))
	if e.Value.Replaced != "" { // how long it may lie idle is the other's to say
		ends = earlier(e.Expires, e.Value.Created.Add(p.Session.Absolute))
	}
	if !e.Found || !s.between(e.Value.Created, ends) {
		return pool.Session{}, time.Time{}, notFound()
	}
	return e.Value, ends, nil
}

// between reports whether a session that lives from created to ends is alive.
func (s *Service) between(created, ends time.Time) bool {
	now := s.now()
	return now.Before(ends) && created.Sub(now) <= maxAhead
}

// user returns who a session belongs to, if what was issued under epoch still stands.
func (s *Service) user(ctx context.Context, p *pool.Pool, sub pool.UserID, epoch uint32) (*pool.User, error) {
	u, err := s.repo.User(ctx, p.ID, sub)
	switch {
	case fault.CodeOf(err) == fault.NotFound || err == nil && !u.Stands(epoch):
		return nil, notFound()
	case err != nil:
		return nil, fmt.Errorf("session: read user: %w", err)
	}
	return u, nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

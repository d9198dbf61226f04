package signin

import (
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// accounts returns the browser's SSO sessions, the one in use first.
func (s *pages) accounts(r *http.Request) ([]*session.Live, error) {
	return s.config.Sessions.Accounts(r.Context(), s.site.Pool, s.cookies.Get(r, mux.CookieSSO))
}

// live returns the browser's SSO session in use, or nil.
func (s *pages) live(r *http.Request) (*session.Live, error) {
	all, err := s.accounts(r)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// keep makes these the browser's sessions.
func (s *pages) keep(w http.ResponseWriter, all []*session.Live) {
	if len(all) == 0 {
		s.cookies.Clear(w, mux.CookieSSO)
		return
	}
	s.cookies.Set(w, mux.CookieSSO, session.JoinAccounts(all), s.site.Pool.Session.Absolute)
}

// begin signs the browser in, beside the accounts that are signed in there. An
// earlier session of the same person is replaced: its cookie is good no more,
// and both cookies get new values, but what other applications hold goes on.
// Beyond the accounts that a browser may have, the one that was used longest
// ago is signed out. The session's name comes back; fault.Conflict if the
// attempt has succeeded already.
func (s *pages) begin(w http.ResponseWriter, r *http.Request, proof session.Proof) (name string, err error) {
	ctx := r.Context()
	all, err := s.accounts(r)
	if err != nil {
		return "", err
	}
	others := slices.DeleteFunc(slices.Clone(all), func(l *session.Live) bool { return l.User.Sub == proof.Sub })
	for _, same := range without(all, others) {
		proof.Replaces = append(proof.Replaces, same.Name)
	}
	kept := others[:min(len(others), session.MaxAccounts-1)]
	if err := s.endAll(r, without(others, kept)); err != nil {
		return "", fmt.Errorf("signin: end the session that was used longest ago: %w", err)
	}
	proof.Address, proof.Agent = mux.ClientOf(r).Address, r.UserAgent()
	id, err := s.config.Sessions.Start(ctx, s.site.Pool, proof)
	if err != nil {
		return "", err
	}
	live, err := s.config.Sessions.Find(ctx, s.site.Pool, id)
	if err != nil {
		return "", err
	}
	s.keep(w, append([]*session.Live{live}, kept...))
	s.cookies.Set(w, mux.CookiePre, flow.NewCookie(), 0)
	mux.EventOf(ctx).User = string(proof.Sub)
	return live.Name, nil
}

// endAll ends sessions of the browser; fault.Busy if one is in use.
func (s *pages) endAll(r *http.Request, some []*session.Live) error {
	for _, live := range some {
		err := s.config.Sessions.End(r.Context(), s.site.Pool, live.ID)
		switch {
		case errors.Is(err, fault.Conflict):
			return fault.Wrap(fault.Busy, err, "the session is in use: try again")
		case err != nil:
			return err
		}
	}
	return nil
}

// without returns the sessions of all that are not in some.
func without(all, some []*session.Live) []*session.Live {
	return slices.DeleteFunc(slices.Clone(all), func(l *session.Live) bool { return slices.Contains(some, l) })
}

// names reports whether what was typed leads to the user.
func names(typed string, u *pool.User) bool {
	id, err := pool.ParseIdentifier(typed)
	return err == nil && (slices.Contains(u.Identifiers(), id) || id.Value == string(u.Sub))
}

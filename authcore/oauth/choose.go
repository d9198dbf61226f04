package oauth

import (
	"net/http"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// freshLife is for how long a sign-in that a request asked for answers that
// request: an address with an old wish in it does not get round a new one.
const freshLife = 30 * time.Minute

// choice is which of a browser's sessions answers a request.
type choice struct {
	live     *session.Live // nil: none can
	signedIn bool          // the browser is, as anybody
	wrong    bool          // signed in as one whom the request cannot be answered with: asking again is of no use
	selects  bool          // the person is to choose
	fresh    bool          // a sign-in must be a new one
	several  bool          // the browser has several accounts, and login_hint names none of them
}

// sessions returns the SSO sessions of the browser, last used first.
func (e *endpoints) sessions(r *http.Request) ([]*session.Live, error) {
	cookie := e.cookies.Get(r, mux.CookieSSO)
	if cookie == "" {
		return nil, nil
	}
	return e.config.Sessions.Accounts(r.Context(), e.site.Pool, cookie)
}

// choose decides which session answers: the one that the person chose; the
// one that was begun for this request; else the one that the hints name; else
// the first.
func (req *request) choose(all []*session.Live, now time.Time) choice {
	c := choice{signedIn: len(all) > 0}
	if req.claimed != "" && c.signedIn && find(all, req.named) == nil {
		c.wrong = true
		return c
	}
	if chosen := find(all, func(l *session.Live) bool { return req.account != "" && l.Name == req.account }); chosen != nil {
		if c.fresh = !req.satisfied(chosen, now); !c.fresh {
			c.live = chosen
			return c
		}
	}
	fresh := slices.DeleteFunc(slices.Clone(all), func(l *session.Live) bool { return !req.isFresh(l, now) })
	if len(fresh) > 0 {
		c.live = find(fresh, func(l *session.Live) bool { return req.satisfied(l, now) })
		c.wrong = c.live == nil
		return c
	}
	if c.fresh { // the one that was chosen must sign in again
		return c
	}
	if c.selects = c.signedIn && req.wants(promptSelect); c.selects {
		return c
	}
	named := find(all, req.named)
	if named != nil && req.satisfied(named, now) {
		c.live = named
		return c
	}
	c.several = named == nil && len(all) > 1 && req.wanted() == ""
	// A login_hint is a wish: whoever signs in for the request answers it.
	c.fresh = c.signedIn || req.wants(promptLogin) || req.wants(promptSelect) || req.maxAge >= 0 || req.wanted() != "" || req.loginHint != ""
	return c
}

func find(all []*session.Live, is func(*session.Live) bool) *session.Live {
	if i := slices.IndexFunc(all, is); i >= 0 {
		return all[i]
	}
	return nil
}

// named reports whether the hints name the user of a session; where there are
// none, everybody is meant.
func (req *request) named(live *session.Live) bool {
	if sub := req.wanted(); sub != "" {
		return live.User.Sub == sub
	}
	return req.loginHint == "" || answersTo(live.User, req.loginHint)
}

// wanted is the only user who will do; empty if anybody will.
func (req *request) wanted() pool.UserID {
	if req.claimed != "" {
		return req.claimed
	}
	return req.subject
}

// answersTo reports whether a login_hint leads to the user.
func answersTo(u *pool.User, hint string) bool {
	if hint == string(u.Sub) {
		return true
	}
	id, err := pool.ParseIdentifier(hint)
	return err == nil && slices.Contains(u.Identifiers(), id)
}

// isFresh reports whether a session was begun because a request wanted a new
// sign-in.
func (req *request) isFresh(live *session.Live, now time.Time) bool {
	begun := live.Session.AuthTime
	return req.fresh > 0 && begun.UnixMilli() >= req.fresh && now.Sub(begun) <= freshLife
}

// satisfied reports whether a session is recent enough, and of the right user.
func (req *request) satisfied(live *session.Live, now time.Time) bool {
	fresh := req.isFresh(live, now)
	switch {
	case req.subject != "" && req.subject != live.User.Sub, req.claimed != "" && req.claimed != live.User.Sub:
		return false
	case req.wants(promptLogin) && !fresh:
		return false
	case req.maxAge >= 0 && now.Sub(live.Session.AuthTime) > req.maxAge && !fresh:
		return false
	}
	return true
}

// freshAsked reports whether the address says already, and not too long ago,
// that a sign-in must be new.
func (req *request) freshAsked(now time.Time) bool {
	age := now.Sub(time.UnixMilli(req.fresh))
	return age >= 0 && age <= freshLife
}

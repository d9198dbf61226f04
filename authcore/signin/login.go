package signin

import (
	"errors"
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// outcomeWrong is what the event says of a refused answer, whatever was wrong.
const outcomeWrong = "wrong_credentials"

// showLogin asks for identifier and password. Who is signed in already goes
// on, unless the application wants a fresh sign-in.
func (s *pages) showLogin(w http.ResponseWriter, r *http.Request) error {
	c, err := s.carry(r)
	if err != nil {
		return err
	}
	live, err := s.live(r)
	switch {
	case err != nil:
		return err
	case live != nil && c.fresh > live.Session.AuthTime.UnixMilli():
	case live != nil && c.waiting:
		mux.Redirect(w, r, s.next(c))
		return nil
	case live != nil:
		return s.showSignedIn(w, r, live)
	}
	return s.ask(w, r, c, http.StatusOK, page.NoProblem, "")
}

func (s *pages) showSignedIn(w http.ResponseWriter, r *http.Request, live *session.Live) error {
	mux.EventOf(r.Context()).User = string(live.User.Sub)
	if s.site.Home != "" {
		mux.Redirect(w, r, s.site.Home)
		return nil
	}
	return s.show(w, r, http.StatusOK, page.SignedIn{
		Frame: s.frame(r), Account: accountOf(live.User), Links: s.site.Links, SignOut: s.path(logoutPath),
	})
}

// ask shows the form with an attempt of its own.
func (s *pages) ask(w http.ResponseWriter, r *http.Request, c carried, status int, problem page.Problem, identifier string) error {
	pre := s.cookies.Get(r, mux.CookiePre)
	if len(pre) != preLength {
		pre = newPre()
		s.cookies.Set(w, mux.CookiePre, pre, 0)
	}
	sealed, prompt, err := s.config.Flow.Start(r.Context(), s.site.Pool, binding(c, pre), identifier)
	if err != nil {
		return err
	}
	return s.askAgain(w, r, c, status, problem, sealed, prompt)
}

// askAgain shows the form with an attempt that is there already.
func (s *pages) askAgain(w http.ResponseWriter, r *http.Request, c carried, status int, problem page.Problem, sealed string, ask prompt.Prompt) error {
	return s.showOnTheWay(w, r, status, page.SignIn{
		Frame: s.frame(r), Action: s.path(loginPath) + c.suffix(), Hidden: []page.Hidden{{Name: fieldAttempt, Value: sealed}},
		Prompt: ask, Problem: problem, ClientName: c.clientName,
	}, c.scheme)
}

// preLength is the length of a pre-session cookie's value.
const preLength = 43

func binding(c carried, pre string) flow.Binding {
	return flow.Binding{Face: flow.FacePage, Client: c.binding, Cookie: pre}
}

// login takes the answer.
func (s *pages) login(w http.ResponseWriter, r *http.Request) error {
	c, err := s.carry(r)
	if err != nil {
		return err
	}
	form, err := mux.BodyForm(r)
	if err != nil {
		return err
	}
	event := mux.EventOf(r.Context())
	pre := s.cookies.Get(r, mux.CookiePre)
	if pre == "" {
		return &pageError{cause: page.CauseCookies, next: s.path(loginPath) + c.suffix(),
			err: fault.New(fault.Invalid, "the browser sent no cookie back")}
	}
	identifier := mux.One(form, flow.FieldIdentifier)
	outcome, err := s.config.Flow.Answer(r.Context(), s.site.Pool, binding(c, pre), mux.One(form, fieldAttempt), prompt.Answer{
		flow.FieldIdentifier: identifier,
		flow.FieldPassword:   mux.One(form, flow.FieldPassword),
	}, flow.Visit{Address: mux.ClientOf(r).Address, Device: s.cookies.Get(r, mux.CookieDevice)})
	switch {
	case errors.Is(err, flow.ErrExpired):
		return s.expired(w, r, c, identifier)
	case busy(err):
		event.Outcome, event.Err = string(fault.Busy), err
		return s.ask(w, r, c, http.StatusServiceUnavailable, page.TooBusy, identifier)
	case err != nil:
		return err
	case outcome.Wrong:
		event.Outcome = outcomeWrong
		return s.askAgain(w, r, c, http.StatusForbidden, page.WrongCredentials, outcome.Sealed, *outcome.Ask)
	}
	return s.finish(w, r, c, outcome.Done)
}

// finish starts the session and leads on.
func (s *pages) finish(w http.ResponseWriter, r *http.Request, c carried, done *flow.Done) error {
	err := s.begin(w, r, session.Proof{
		Attempt: done.Attempt, Sub: done.Sub, Epoch: done.Epoch, At: done.At, ACR: done.ACR, AMR: done.AMR,
	})
	// A form that was sent twice has succeeded already: the way on finds the
	// session of the first time, or asks anew.
	if err != nil && fault.CodeOf(err) != fault.Conflict { // the outermost: begin wraps the conflict of an earlier session
		return err
	}
	if err != nil {
		event := mux.EventOf(r.Context())
		event.Outcome, event.Err = string(fault.Conflict), err
	}
	mux.Redirect(w, r, s.next(c))
	return nil
}

// expired shows the form again with what was typed. If the same person has
// signed in meanwhile in another tab, this one goes on to its own target.
func (s *pages) expired(w http.ResponseWriter, r *http.Request, c carried, identifier string) error {
	mux.EventOf(r.Context()).Outcome = string(page.AttemptExpired)
	live, err := s.live(r)
	switch {
	case err != nil:
		return err
	case live != nil && names(identifier, live.User) && c.fresh <= live.Session.AuthTime.UnixMilli():
		mux.Redirect(w, r, s.next(c))
		return nil
	}
	return s.ask(w, r, c, http.StatusBadRequest, page.AttemptExpired, identifier)
}

// names reports whether what was typed leads to the user.
func names(typed string, u *pool.User) bool {
	id, err := pool.ParseIdentifier(typed)
	return err == nil && (slices.Contains(u.Identifiers(), id) || id.Value == string(u.Sub))
}

// next is where a signed-in browser goes on: to the authorization endpoint,
// which judges the request, or home.
func (s *pages) next(c carried) string {
	if c.waiting {
		return s.url(authorizePath) + c.suffix()
	}
	return s.home()
}

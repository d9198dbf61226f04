package signin

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

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
// on, unless a fresh sign-in is wanted.
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
	case live != nil && (c.waiting || c.account):
		mux.Redirect(w, r, s.next(c))
		return nil
	case live != nil:
		return s.showSignedIn(w, r, live)
	}
	return s.ask(w, r, c, http.StatusOK, page.NoProblem, c.hint)
}

func (s *pages) showSignedIn(w http.ResponseWriter, r *http.Request, live *session.Live) error {
	mux.EventOf(r.Context()).User = string(live.User.Sub)
	if s.site.Home != "" {
		mux.Redirect(w, r, s.site.Home)
		return nil
	}
	return s.show(w, r, http.StatusOK, page.SignedIn{
		Frame: s.frame(r), Account: live.User.Label(), Links: s.site.Links,
		SignOut: s.path(logoutPath), Manage: s.path(accountPath),
	})
}

// ask shows the form with an attempt of its own.
func (s *pages) ask(w http.ResponseWriter, r *http.Request, c carried, status int, problem page.Problem, identifier string) error {
	pre := s.cookies.Get(r, mux.CookiePre)
	if len(pre) != flow.CookieLength {
		pre = flow.NewCookie()
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
	view := page.SignIn{
		Frame: s.frame(r), Action: s.path(loginPath) + c.suffix(), Hidden: []page.Hidden{{Name: fieldAttempt, Value: sealed}},
		Prompt: ask, Problem: problem, ClientName: c.clientName,
	}
	all, err := s.accounts(r)
	if err != nil {
		return err
	}
	if view.Accounts = choices(all, c); len(view.Accounts) > 0 {
		view.Select = s.path(selectPath) + c.suffix()
	}
	return s.showOnTheWay(w, r, status, view, c.scheme)
}

// askChange asks for a new password in the place of the right one.
func (s *pages) askChange(w http.ResponseWriter, r *http.Request, c carried, status int, problem page.Problem, sealed, who string) error {
	return s.showOnTheWay(w, r, status, page.ChangePassword{
		Frame: s.frame(r), Action: s.path(loginPath) + c.suffix(),
		Hidden:  []page.Hidden{{Name: fieldAttempt, Value: sealed}, {Name: fieldWho, Value: who}},
		Prompt:  prompt.Prompt{Kind: prompt.ChangePassword, Fields: []prompt.Field{{Name: flow.FieldPassword, Type: prompt.NewPassword}}},
		Problem: problem, Account: who, MinLength: s.site.Pool.Password.MinLength,
	}, c.scheme)
}

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
	pre := s.cookies.Get(r, mux.CookiePre)
	if pre == "" {
		return &pageError{cause: page.CauseCookies, next: s.path(loginPath) + c.suffix(),
			err: fault.New(fault.Invalid, "the browser sent no cookie back")}
	}
	outcome, err := s.config.Flow.Answer(r.Context(), s.site.Pool, binding(c, pre), mux.One(form, fieldAttempt), prompt.Answer{
		flow.FieldIdentifier: mux.One(form, flow.FieldIdentifier),
		flow.FieldPassword:   mux.One(form, flow.FieldPassword),
	}, flow.Visit{Address: mux.ClientOf(r).Address, Device: s.cookies.Get(r, mux.CookieDevice)})
	if err != nil {
		return s.unanswered(w, r, c, form, err)
	}
	return s.proceed(w, r, c, outcome)
}

// proceed leads to the next question, the same one again, or on.
func (s *pages) proceed(w http.ResponseWriter, r *http.Request, c carried, outcome *flow.Outcome) error {
	event := mux.EventOf(r.Context())
	switch {
	case outcome.Done != nil:
		return s.finish(w, r, c, outcome.Done)
	case outcome.Ask.Kind == prompt.ChangePassword && outcome.Problem == "":
		event.Outcome = string(prompt.ChangePassword)
		return s.askChange(w, r, c, http.StatusOK, page.NoProblem, outcome.Sealed, outcome.Account)
	case outcome.Ask.Kind == prompt.ChangePassword:
		event.Outcome = outcome.Problem
		return s.askChange(w, r, c, http.StatusBadRequest, page.Problem(outcome.Problem), outcome.Sealed, outcome.Account)
	}
	event.Outcome = outcomeWrong
	return s.askAgain(w, r, c, http.StatusForbidden, page.WrongCredentials, outcome.Sealed, *outcome.Ask)
}

// unanswered shows the form again after an answer that could not be judged.
func (s *pages) unanswered(w http.ResponseWriter, r *http.Request, c carried, form url.Values, err error) error {
	event := mux.EventOf(r.Context())
	who := mux.One(form, fieldWho)
	if len(who) > pool.MaxIdentifier {
		who = ""
	}
	switch {
	case errors.Is(err, flow.ErrExpired):
		return s.expired(w, r, c, cmp.Or(mux.One(form, flow.FieldIdentifier), who))
	case !busy(err):
		return err
	}
	event.Outcome, event.Err = string(fault.Busy), err
	if who != "" {
		return s.askChange(w, r, c, http.StatusServiceUnavailable, page.TooBusy, mux.One(form, fieldAttempt), who)
	}
	return s.ask(w, r, c, http.StatusServiceUnavailable, page.TooBusy, mux.One(form, flow.FieldIdentifier))
}

// finish starts the session and leads on.
func (s *pages) finish(w http.ResponseWriter, r *http.Request, c carried, done *flow.Done) error {
	name, err := s.begin(w, r, session.Proof{
		Attempt: done.Attempt, Sub: done.Sub, Epoch: done.Epoch, At: done.At, ACR: done.ACR, AMR: done.AMR,
	})
	// A form that was sent twice has succeeded already: the way on finds the
	// session of the first time, or asks anew.
	if err != nil && fault.CodeOf(err) != fault.Conflict { // the outermost: begin wraps the conflict of an earlier session
		return err
	}
	to := s.nextAs(c, name)
	if err != nil {
		event := mux.EventOf(r.Context())
		event.Outcome, event.Err = string(fault.Conflict), err
		if to, err = s.nextAfter(r, c); err != nil {
			return err
		}
	}
	if done.Device != "" {
		s.cookies.Set(w, mux.CookieDevice, done.Device, flow.DeviceLife)
	}
	mux.Redirect(w, r, to)
	return nil
}

// nextAfter is next for a form that had succeeded before. Where others are
// signed in, and it is not known whether the answer of the first time has
// arrived, the person says who goes on: none of them does in the place of who
// has signed in.
func (s *pages) nextAfter(r *http.Request, c carried) (string, error) {
	others, err := s.accounts(r)
	if err != nil || len(others) == 0 {
		return s.nextAs(c, ""), err
	}
	return s.url(selectPath) + c.suffix(), nil
}

// expired shows the form again with what was typed. If the same person has
// signed in meanwhile in another tab, this one goes on to its own target.
func (s *pages) expired(w http.ResponseWriter, r *http.Request, c carried, identifier string) error {
	mux.EventOf(r.Context()).Outcome = string(page.AttemptExpired)
	all, err := s.accounts(r)
	if err != nil {
		return err
	}
	for _, live := range all {
		if names(identifier, live.User) && c.fresh <= live.Session.AuthTime.UnixMilli() {
			return s.goOnAs(w, r, c, all, live)
		}
	}
	return s.ask(w, r, c, http.StatusBadRequest, page.AttemptExpired, identifier)
}

// next is where a signed-in browser goes on: to the authorization endpoint,
// which judges the request, to the account page, or home.
func (s *pages) next(c carried) string {
	switch {
	case c.waiting:
		return s.url(authorizePath) + c.suffix()
	case c.account:
		return s.url(accountPath)
	}
	return s.home()
}

// nextAs is next for somebody who has just signed in or was chosen: where it
// may matter which of several accounts is used, it is this one.
func (s *pages) nextAs(c carried, name string) string {
	if c.waiting && c.chooses {
		c.query = c.with(flow.ParamAccount, name)
	}
	return s.next(c)
}

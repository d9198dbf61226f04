package signin

import (
	"errors"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// fieldCurrent is the current password; the new one is flow.FieldPassword.
const fieldCurrent = "current_password"

func (s *pages) showPassword(w http.ResponseWriter, m mine) error {
	return s.askNewPassword(w, m, http.StatusOK, page.NoProblem)
}

func (s *pages) passwordExpired(w http.ResponseWriter, m mine) error {
	return s.askNewPassword(w, m, http.StatusBadRequest, page.AttemptExpired)
}

func (s *pages) askNewPassword(w http.ResponseWriter, m mine, status int, problem page.Problem) error {
	hidden, err := s.hidden(m)
	if err != nil {
		return err
	}
	if problem != page.NoProblem {
		mux.EventOf(m.Context()).Outcome = string(problem)
	}
	return s.show(w, m.Request, status, page.ChangePassword{
		Frame: s.frame(m.Request), Action: s.path(passwordPath), Hidden: hidden, Problem: problem,
		Prompt: prompt.Prompt{Kind: prompt.ChangePassword, Fields: []prompt.Field{
			{Name: fieldCurrent, Type: prompt.CurrentPassword},
			{Name: flow.FieldPassword, Type: prompt.NewPassword},
		}},
		Account: m.live.User.Label(), MinLength: s.site.Pool.Password.MinLength, Back: s.path(accountPath),
	})
}

// changePassword takes the current password, which counts as a guess, and the
// new one. Everything that was issued before ends; this browser stays signed in,
// in a new session.
func (s *pages) changePassword(w http.ResponseWriter, m mine) error {
	ctx, p := m.Context(), s.site.Pool
	right, err := s.config.Flow.Confirm(ctx, p, m.sub(), mux.One(m.form, fieldCurrent), s.visit(m.Request))
	if err != nil {
		return s.passwordError(w, m, err)
	}
	if !right {
		return s.askNewPassword(w, m, http.StatusForbidden, page.PasswordWrong)
	}
	u, err := s.config.Accounts.ChangePassword(ctx, m.self(), p, m.sub(), m.live.User.Epoch, mux.One(m.form, flow.FieldPassword))
	if err != nil {
		return s.passwordError(w, m, err)
	}
	_, err = s.begin(w, m.Request, session.Proof{Sub: u.Sub, Epoch: u.Epoch, ACR: pool.AAL1, AMR: []string{flow.MethodPassword}})
	if err != nil {
		// The password is changed: the person can sign in with it.
		return &pageError{cause: page.CauseUnavailable, next: s.path(s.signInFirst()), err: err}
	}
	device, err := s.config.Flow.RememberDevice(ctx, p, s.cookies.Get(m.Request, mux.CookieDevice), u.Sub) // known by the old password no more
	if err != nil {
		return err
	}
	s.cookies.Set(w, mux.CookieDevice, device, flow.DeviceLife)
	return s.done(w, m, page.PasswordChanged)
}

// visit is where an answer comes from.
func (s *pages) visit(r *http.Request) flow.Visit {
	return flow.Visit{Address: mux.ClientOf(r).Address, Device: s.cookies.Get(r, mux.CookieDevice)}
}

// passwordError shows the form again if another answer may do better.
func (s *pages) passwordError(w http.ResponseWriter, m mine, err error) error {
	password := (*account.PasswordProblem)(nil)
	switch {
	case errors.As(err, &password):
		return s.askNewPassword(w, m, http.StatusBadRequest, page.Problem(password.Problem))
	case busy(err):
		mux.EventOf(m.Context()).Err = err
		return s.askNewPassword(w, m, http.StatusServiceUnavailable, page.TooBusy)
	case errors.Is(err, fault.Conflict), errors.Is(err, fault.NotFound): // somebody else was first: the session has ended
		mux.Redirect(w, m.Request, s.url(s.signInFirst()))
		return nil
	}
	return err
}

package signin

import (
	"errors"
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// showSignup shows what a one-time link is for. It spends nothing: mail
// scanners and previews open links too.
func (s *pages) showSignup(w http.ResponseWriter, r *http.Request) error {
	params, err := mux.Form(r)
	if err != nil {
		return err
	}
	token := mux.One(params, fieldLink)
	link, err := s.config.Accounts.OpenLink(r.Context(), s.site.Pool, token)
	if err != nil {
		return s.linkError(err)
	}
	return s.askPassword(w, r, http.StatusOK, page.NoProblem, link, token, "")
}

// askPassword shows the form of a link.
func (s *pages) askPassword(w http.ResponseWriter, r *http.Request, status int, problem page.Problem, link *account.Link, token, identifier string) error {
	view := page.SetPassword{
		Frame: s.frame(r), Action: s.path(signupPath) + locales(r), Hidden: []page.Hidden{{Name: fieldLink, Value: token}},
		Prompt: prompt.Prompt{Kind: prompt.SetPassword}, Problem: problem, First: link.First,
		MinLength: s.site.Pool.Password.MinLength,
	}
	if link.First {
		view.Prompt.Fields = append(view.Prompt.Fields, prompt.Field{
			Name: flow.FieldIdentifier, Type: prompt.Identifier, Value: identifier[:min(len(identifier), pool.MaxIdentifier)],
		})
	} else {
		view.Account = link.User.Label()
	}
	view.Prompt.Fields = append(view.Prompt.Fields, prompt.Field{Name: flow.FieldPassword, Type: prompt.NewPassword})
	return s.show(w, r, status, view)
}

// locales is the query that keeps a page's form in the languages of its own.
func locales(r *http.Request) string {
	if want := mux.One(r.URL.Query(), paramLocales); want != "" {
		return suffix(url.Values{paramLocales: {want}}.Encode())
	}
	return ""
}

// signup spends a link and signs its person in.
func (s *pages) signup(w http.ResponseWriter, r *http.Request) error {
	form, err := mux.BodyForm(r)
	if err != nil {
		return err
	}
	token, identifier := mux.One(form, fieldLink), mux.One(form, flow.FieldIdentifier)
	u, err := s.config.Accounts.SpendLink(r.Context(), visitor(r), s.site.Pool, token, identifier, mux.One(form, flow.FieldPassword))
	if err != nil {
		return s.signupProblem(w, r, err, token, identifier)
	}
	_, err = s.begin(w, r, session.Proof{Sub: u.Sub, Epoch: u.Epoch, ACR: pool.AAL1, AMR: []string{flow.MethodPassword}})
	if err != nil {
		// The password is set: the person can sign in with it.
		return &pageError{cause: page.CauseUnavailable, next: s.path(loginPath), err: err}
	}
	mux.Redirect(w, r, s.home())
	return nil
}

// signupProblem shows the form again if another answer may do better.
func (s *pages) signupProblem(w http.ResponseWriter, r *http.Request, err error, token, identifier string) error {
	status, problem := http.StatusBadRequest, page.NoProblem
	password := (*account.PasswordProblem)(nil)
	switch {
	case errors.As(err, &password):
		problem = page.Problem(password.Problem)
	case errors.Is(err, fault.Invalid):
		problem = page.IdentifierBad
	case busy(err):
		status, problem = http.StatusServiceUnavailable, page.TooBusy
	default:
		return s.linkError(err)
	}
	link, openErr := s.config.Accounts.OpenLink(r.Context(), s.site.Pool, token)
	if openErr != nil {
		return s.linkError(openErr)
	}
	mux.EventOf(r.Context()).Outcome = string(problem)
	return s.askPassword(w, r, status, problem, link, token, identifier)
}

// linkError says that a link is not good, or is just being used.
func (s *pages) linkError(err error) error {
	if errors.Is(err, fault.NotFound) || errors.Is(err, fault.Conflict) {
		return &pageError{cause: page.CauseBadLink, next: s.path(loginPath), err: err}
	}
	return err
}

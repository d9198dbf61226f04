package signin

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// showLogout signs out, or asks whether to. A GET ends sessions only if it is
// a navigation with a proof that the person meant them.
func (s *pages) showLogout(w http.ResponseWriter, r *http.Request) error {
	if len(r.URL.RawQuery) > flow.MaxQuery {
		return errTooLong
	}
	return s.answerLogout(w, r, http.StatusOK)
}

// logout takes the answer of the page that asks, and logout requests that
// applications post (RP-Initiated Logout 1.0, 2). Those come from another site,
// where cookies are held back and prove nothing: a GET does the rest.
func (s *pages) logout(w http.ResponseWriter, r *http.Request) error {
	if mux.SameOrigin(r) {
		return s.answerLogout(w, r, http.StatusBadRequest)
	}
	params, err := mux.Form(r)
	if err != nil {
		return err
	}
	if hint := mux.One(params, paramHint); hint != "" {
		sealed, err := s.config.Hints.SealHint(r.Context(), s.site.Pool, hint)
		if err != nil {
			return err
		}
		params[paramHint] = []string{sealed}
	}
	query := url.Values(params).Encode()
	if len(query) > flow.MaxQuery {
		return errTooLong
	}
	mux.Redirect(w, r, s.url(logoutPath)+suffix(query))
	return nil
}

// answerLogout is the rest of both; status is that of a question.
func (s *pages) answerLogout(w http.ResponseWriter, r *http.Request, status int) error {
	params, err := mux.Form(r)
	if err != nil {
		return err
	}
	req, err := s.logoutRequest(r, params)
	if err != nil {
		return err
	}
	all, err := s.accounts(r)
	if err != nil {
		return err
	}
	asked, err := s.asked(r, all, req.ticket)
	if err != nil {
		return err
	}
	meant := req.meant(all)
	switch {
	case len(asked) > 0 && navigation(r):
		return s.signOut(w, r, req, all, asked)
	case len(all) == 0, req.proven && (len(meant) == 0 || navigation(r)):
		return s.signOut(w, r, req, all, meant)
	}
	if len(meant) == 0 {
		meant = all
	}
	return s.confirm(w, r, status, req, meant)
}

// ticketSeparator stands between the names of the sessions of one ticket; no
// name has one.
const ticketSeparator = "."

// asked returns the browser's sessions that a ticket names.
func (s *pages) asked(r *http.Request, all []*session.Live, ticket string) ([]*session.Live, error) {
	if len(all) == 0 || ticket == "" {
		return nil, nil
	}
	names, err := s.config.Flow.OpenLogoutTicket(r.Context(), s.site.Pool, ticket)
	if err != nil || names == "" {
		return nil, err
	}
	named := strings.Split(names, ticketSeparator)
	return slices.DeleteFunc(slices.Clone(all), func(l *session.Live) bool { return !slices.Contains(named, l.Name) }), nil
}

// navigation reports whether a request is a browser's top-level navigation
// that a person sees, as far as the browser tells.
func navigation(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return (mode == "" || mode == "navigate") && (dest == "" || dest == "document") &&
		r.Header.Get("Sec-Purpose") == "" && r.Method != http.MethodHead
}

// confirm asks whether to sign out of some of the browser's accounts.
func (s *pages) confirm(w http.ResponseWriter, r *http.Request, status int, req *logoutRequest, some []*session.Live) error {
	var named, labels []string
	for _, live := range some {
		named = append(named, live.Name)
		labels = append(labels, live.User.Label())
	}
	ticket, err := s.config.Flow.SealLogoutTicket(r.Context(), s.site.Pool, strings.Join(named, ticketSeparator))
	if err != nil {
		return err
	}
	return s.showOnTheWay(w, r, status, page.ConfirmSignOut{
		Frame: s.frame(r), Action: s.path(logoutPath) + suffix(req.carried), Hidden: []page.Hidden{{Name: fieldTicket, Value: ticket}},
		Account: strings.Join(labels, ", "), ClientName: req.clientName(), Stay: s.home(),
	}, req.to)
}

// signOut ends some of the browser's sessions, with each its sessions at every
// site, and leads on.
func (s *pages) signOut(w http.ResponseWriter, r *http.Request, req *logoutRequest, all, some []*session.Live) error {
	if err := s.endAll(r, some); err != nil {
		return err
	}
	if len(some) > 0 {
		mux.EventOf(r.Context()).User = string(some[0].User.Sub)
	}
	rest := without(all, some)
	s.keep(w, rest)
	// A site session of this origin may be the child of another session. Other
	// sites' links do not end it unasked.
	if len(rest) == 0 && (len(some) > 0 || mux.SameOrigin(r)) {
		if err := s.endSite(w, r); err != nil {
			return err
		}
	}
	if req.to != "" {
		mux.Redirect(w, r, req.to)
		return nil
	}
	return s.show(w, r, http.StatusOK, page.SignedOut{
		Frame: s.frame(r), Continue: s.onwards(), Back: req.back(), ClientName: req.clientName(),
	})
}

// endSite ends the site session of this origin.
func (s *pages) endSite(w http.ResponseWriter, r *http.Request) error {
	if id := s.cookies.Get(r, mux.CookieSite); id != "" {
		if err := s.config.Sessions.EndSite(r.Context(), s.site.Pool, id); err != nil {
			return err
		}
	}
	s.cookies.Clear(w, mux.CookieSite)
	return nil
}

// onwards is the link on the page that says that the person is signed out.
func (s *pages) onwards() string {
	if s.site.Home != "" {
		return s.site.Home
	}
	return s.path(loginPath)
}

package signin

import (
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// showLogout asks whether to sign out. A ticket, which only our own pages
// hand out and which names this browser's session, is the answer already.
func (s *pages) showLogout(w http.ResponseWriter, r *http.Request) error {
	params, err := mux.Form(r)
	if err != nil {
		return err
	}
	live, err := s.live(r)
	if err != nil {
		return err
	}
	asked, err := s.asked(r, live, mux.One(params, fieldTicket))
	switch {
	case err != nil:
		return err
	case live == nil || asked && navigation(r):
		return s.signOut(w, r, live)
	}
	return s.confirm(w, r, http.StatusOK, live)
}

// logout ends the session that the form names.
func (s *pages) logout(w http.ResponseWriter, r *http.Request) error {
	form, err := mux.BodyForm(r)
	if err != nil {
		return err
	}
	live, err := s.live(r)
	if err != nil {
		return err
	}
	asked, err := s.asked(r, live, mux.One(form, fieldTicket))
	switch {
	case err != nil:
		return err
	case live == nil || asked:
		return s.signOut(w, r, live)
	}
	return s.confirm(w, r, http.StatusBadRequest, live)
}

// asked reports whether a ticket is good and names the browser's session.
func (s *pages) asked(r *http.Request, live *session.Live, ticket string) (bool, error) {
	if live == nil || ticket == "" {
		return false, nil
	}
	name, err := s.config.Flow.OpenLogoutTicket(r.Context(), s.site.Pool, ticket)
	return err == nil && name != "" && name == live.Name, err
}

// navigation reports whether a request is a browser's top-level navigation,
// as far as the browser tells.
func navigation(r *http.Request) bool {
	mode, dest := r.Header.Get("Sec-Fetch-Mode"), r.Header.Get("Sec-Fetch-Dest")
	return (mode == "" || mode == "navigate") && (dest == "" || dest == "document")
}

func (s *pages) confirm(w http.ResponseWriter, r *http.Request, status int, live *session.Live) error {
	ticket, err := s.config.Flow.SealLogoutTicket(r.Context(), s.site.Pool, live.Name)
	if err != nil {
		return err
	}
	return s.show(w, r, status, page.ConfirmSignOut{
		Frame: s.frame(r), Action: s.path(logoutPath), Hidden: []page.Hidden{{Name: fieldTicket, Value: ticket}},
		Account: accountOf(live.User),
	})
}

// signOut ends the browser's session, with it the session at every site, and
// forgets the cookies of this origin.
func (s *pages) signOut(w http.ResponseWriter, r *http.Request, live *session.Live) error {
	ctx := r.Context()
	if live != nil {
		mux.EventOf(ctx).User = string(live.User.Sub)
		if err := s.config.Sessions.End(ctx, s.site.Pool, s.cookies.Get(r, mux.CookieSSO)); err != nil {
			return err
		}
	}
	// A site session of this origin may be the child of another session. Other
	// sites' links do not end it unasked.
	if live != nil || mux.SameOrigin(r) {
		if id := s.cookies.Get(r, mux.CookieSite); id != "" {
			if err := s.config.Sessions.EndSite(ctx, s.site.Pool, id); err != nil {
				return err
			}
		}
		s.cookies.Clear(w, mux.CookieSite)
	}
	s.cookies.Clear(w, mux.CookieSSO)
	return s.show(w, r, http.StatusOK, page.SignedOut{Frame: s.frame(r), Continue: s.onwards()})
}

// onwards is the link on the page that says that the person is signed out.
func (s *pages) onwards() string {
	if s.site.Home != "" {
		return s.site.Home
	}
	return s.path(loginPath)
}

// Package signin is the HTML face of flow and account: the pages at which
// people sign in, follow a one-time link and sign out.
//
// It owns these pages' addresses, cookies and order of steps. What is asked
// and whether an answer is right is flow's, what a link does is account's, a
// session's life is session's, every visible word is the Renderer's. The
// authorization request that led here is carried along as an opaque query;
// judging it is the authorization endpoint's.
package signin

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Config says what a Handler stands on.
type Config struct {
	Accounts *account.Service
	Flow     *flow.Machine
	Sessions *session.Service
	Renderer page.Renderer
}

// Handler serves the pages of any number of pools.
type Handler struct{ config Config }

// New returns a Handler.
func New(c Config) *Handler { return &Handler{config: c} }

// Site is the login host of a pool.
type Site struct {
	Pool   *pool.Pool
	Origin string      // https://login.example.com
	Prefix string      // "" or "/_auth"
	Home   string      // where people go on whom no application waits for; empty: the page that says they are signed in
	Links  []page.Link // shown on that page
}

// Paths below the site's prefix.
const (
	loginPath     = flow.LoginPath
	signupPath    = "/signup"
	logoutPath    = "/logout"
	authorizePath = flow.AuthorizePath
)

// Names of form fields, stable across releases; those of prompts are flow's.
const (
	fieldAttempt = "attempt"
	fieldLink    = "link"
	fieldTicket  = "ticket"
)

// retryAfter is the wait that a busy server asks for, in seconds.
const retryAfter = "2"

// pages are the pages of one site.
type pages struct {
	config  Config
	site    Site
	cookies mux.Cookies
}

// Mount registers the pages of a site.
func (h *Handler) Mount(m *mux.Mux, site Site) {
	s := &pages{config: h.config, site: site, cookies: mux.Cookies{Origin: site.Origin, Pool: string(site.Pool.ID)}}
	m.Page("GET "+loginPath, s.showLogin)
	m.Page("POST "+loginPath, s.login)
	m.Page("GET "+signupPath, s.showSignup)
	m.Page("POST "+signupPath, s.signup)
	m.Page("GET "+logoutPath, s.showLogout)
	m.Page("POST "+logoutPath, s.logout)
}

// path returns one of the site's paths as a form or link names it.
func (s *pages) path(p string) string { return s.site.Prefix + p }

// url returns the absolute address of one of the site's paths.
func (s *pages) url(p string) string { return s.site.Origin + s.site.Prefix + p }

// home is where people go on whom no application waits for.
func (s *pages) home() string {
	if s.site.Home != "" {
		return s.site.Home
	}
	return s.url(loginPath)
}

func (s *pages) frame(r *http.Request) page.Frame {
	return page.Frame{Brand: s.site.Pool.Brand, Locales: mux.Locales(r)}
}

// show renders a page.
func (s *pages) show(w http.ResponseWriter, r *http.Request, status int, p page.Page) error {
	return s.showOnTheWay(w, r, status, p, "")
}

// showOnTheWay renders a page whose form leads to a redirect URI of a scheme.
func (s *pages) showOnTheWay(w http.ResponseWriter, r *http.Request, status int, p page.Page, scheme string) error {
	d, err := s.config.Renderer.Render(r.Context(), p)
	if err != nil {
		return fmt.Errorf("signin: render: %w", err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	mux.WriteDocument(w, r, status, document(d, formTargets(s.site.Origin, scheme)...))
	return nil
}

func document(d page.Document, targets ...string) mux.Document {
	return mux.Document{HTML: d.HTML, Styles: d.StyleHashes, Scripts: d.ScriptHashes, FormTargets: targets}
}

// live returns the browser's SSO session, or nil.
func (s *pages) live(r *http.Request) (*session.Live, error) {
	id := s.cookies.Get(r, mux.CookieSSO)
	if id == "" {
		return nil, nil
	}
	live, err := s.config.Sessions.Find(r.Context(), s.site.Pool, id)
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	return live, err
}

// begin signs the browser in. Nothing from before the sign-in stays good: the
// browser's earlier session is ended, whoever's it was, and both cookies get
// new values. fault.Conflict if the attempt has succeeded already.
func (s *pages) begin(w http.ResponseWriter, r *http.Request, proof session.Proof) error {
	ctx := r.Context()
	if old := s.cookies.Get(r, mux.CookieSSO); old != "" {
		err := s.config.Sessions.End(ctx, s.site.Pool, old)
		switch {
		case errors.Is(err, fault.Conflict): // not to be taken for that of Start
			return fault.Wrap(fault.Busy, err, "the earlier session is in use: try again")
		case err != nil:
			return fmt.Errorf("signin: end the earlier session: %w", err)
		}
	}
	id, err := s.config.Sessions.Start(ctx, s.site.Pool, proof)
	if err != nil {
		return err
	}
	s.cookies.Set(w, mux.CookieSSO, id, s.site.Pool.Session.Absolute)
	s.cookies.Set(w, mux.CookiePre, newPre(), 0)
	mux.EventOf(ctx).User = string(proof.Sub)
	return nil
}

// newPre makes the value of a pre-session cookie.
func newPre() string { return secret.Token(32) }

// visitor is who changes something here.
func visitor(r *http.Request) pool.Caller {
	return pool.Caller{Kind: pool.Visitor, Address: mux.ClientOf(r).Address}
}

// accountOf is what people know an account by.
func accountOf(u *pool.User) string {
	for _, s := range []string{u.Email, u.Phone} {
		if s != "" {
			return s
		}
	}
	if u.Username != string(u.Sub) {
		return u.Username
	}
	return u.Name
}

// busy reports whether err will pass if the same is tried again in a moment.
func busy(err error) bool { return errors.Is(err, fault.Busy) }

// Package signin is the HTML face of flow and account: the pages at which
// people sign in, choose among their accounts, follow a one-time link, see and
// change what is theirs, and sign out.
//
// It owns these pages' addresses, cookies and order of steps. What is asked
// and whether an answer is right is flow's, what a link does is account's, a
// session's life is session's, every visible word is the Renderer's. The
// authorization request that led here is carried along as an opaque query;
// judging it is the authorization endpoint's.
package signin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Hints reads ID tokens that say whom a request means; token.Service does.
type Hints interface {
	// ReadHint returns fault.InvalidRequest for what is no ID token of the pool.
	ReadHint(ctx context.Context, p *pool.Pool, raw string) (*token.Hint, error)
	// SealHint makes of one that was posted one that may stand in an address.
	SealHint(ctx context.Context, p *pool.Pool, raw string) (string, error)
}

// Config says what a Handler stands on.
type Config struct {
	Accounts *account.Service
	Flow     *flow.Machine
	Sessions *session.Service
	Hints    Hints
	Families Families
	Renderer page.Renderer
	Now      func() time.Time // nil: time.Now
}

// Handler serves the pages of any number of pools.
type Handler struct{ config Config }

// New returns a Handler.
func New(c Config) *Handler {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Handler{config: c}
}

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
	selectPath    = flow.SelectPath
	signupPath    = "/signup"
	logoutPath    = "/logout"
	accountPath   = "/account"
	authorizePath = flow.AuthorizePath
)

// Names of form fields, stable across releases; those of prompts are flow's.
const (
	fieldAttempt = "attempt"
	fieldLink    = "link"
	fieldTicket  = "ticket"
	fieldWho     = "who" // account whose password is being changed, as its page shows it
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
	m.Page("GET "+selectPath, s.showSelect)
	m.Page("POST "+selectPath, s.choose)
	m.Entry("GET "+logoutPath, s.showLogout)
	m.Entry("POST "+logoutPath, s.logout)
	s.mountAccount(m)
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

// showOnTheWay renders a page whose form leads on to an address of an
// application; its scheme alone will do, and empty says that there is none.
func (s *pages) showOnTheWay(w http.ResponseWriter, r *http.Request, status int, p page.Page, to string) error {
	d, err := s.config.Renderer.Render(r.Context(), p)
	if err != nil {
		return fmt.Errorf("signin: render: %w", err)
	}
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	mux.WriteDocument(w, r, status, document(d, mux.FormTargets(s.site.Origin, to)...))
	return nil
}

func document(d page.Document, targets ...string) mux.Document {
	return mux.Document{HTML: d.HTML, Styles: d.StyleHashes, Scripts: d.ScriptHashes, FormTargets: targets}
}

// visitor is who changes something here.
func visitor(r *http.Request) pool.Caller {
	return pool.Caller{Kind: pool.Visitor, Address: mux.ClientOf(r).Address}
}

// busy reports whether err will pass if the same is tried again in a moment.
func busy(err error) bool { return errors.Is(err, fault.Busy) }

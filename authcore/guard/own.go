package guard

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// own answers the paths that are the site's own, by the original request URI.
func (g *Gate) own(w http.ResponseWriter, r *http.Request, s *site, c credentials, client mux.Client) (handled bool, err error) {
	if !mayBeOwn(client.OrigURI) {
		return false, nil
	}
	u, err := url.ParseRequestURI(client.OrigURI)
	if err != nil {
		return false, &Denial{Status: http.StatusBadRequest, Cause: fault.New(fault.InvalidRequest, "the request target is not a path")}
	}
	switch u.Path {
	case CallbackPath:
		return true, only(w, r, http.MethodGet, func() error { return g.guard.callback(w, r, s, c, u.Query()) })
	case mePath:
		return true, only(w, r, http.MethodGet, func() error { return g.guard.me(w, r, s, c) })
	case logoutPath:
		if !s.OneSite { // there the login host is in front of us and answers
			return true, g.guard.logout(w, r, s, c)
		}
	}
	if metadata := s.metadata[u.Path]; metadata != nil {
		if isPreflight(r) {
			return true, openToAll(w)
		}
		return true, only(w, r, http.MethodGet, func() error { return writeMetadata(w, metadata) })
	}
	if strings.HasPrefix(u.Path, ownPrefix) {
		return false, &Denial{Status: http.StatusNotFound, Browser: navigation(r), Cause: fault.New(fault.NotFound, "there is nothing here")}
	}
	return false, nil
}

// mayBeOwn spares the many requests that are not for us a closer look: theirs
// is a plain path, in which nothing of ours can be hidden by an encoding.
func mayBeOwn(uri string) bool {
	return !strings.HasPrefix(uri, "/") || strings.Contains(uri, "%") ||
		strings.HasPrefix(uri, ownPrefix) || strings.HasPrefix(uri, wellKnown)
}

// only lets one method through (HEAD goes with GET).
func only(w http.ResponseWriter, r *http.Request, method string, h func() error) error {
	if r.Method == method || method == http.MethodGet && r.Method == http.MethodHead {
		return h()
	}
	return &Denial{
		Status: http.StatusMethodNotAllowed, Header: http.Header{"Allow": {method}},
		Cause: fault.New(fault.NotSupported, "the method is not allowed here"),
	}
}

// writeMetadata is the protected resource metadata (RFC 9728 3.2).
func writeMetadata(w http.ResponseWriter, metadata map[string]any) error {
	body, err := json.Marshal(metadata)
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Del(allowCredentials)
	h.Set(allowOrigin, "*")
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("X-Content-Type-Options", "nosniff")
	_, err = w.Write(body)
	return err
}

// openToAll answers the preflight for a document that scripts of every origin
// may read, with headers of their protocol's (MCP sends its version).
func openToAll(w http.ResponseWriter) error {
	h := w.Header()
	h.Del(allowCredentials)
	h.Set(allowOrigin, "*")
	h.Set(allowMethods, "GET, HEAD")
	h.Set(allowHeaders, "*")
	h.Set(corsMaxAge, "600")
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// me tells a site's own pages who is signed in.
func (g *Guard) me(w http.ResponseWriter, r *http.Request, s *site, c credentials) error {
	if c.cookie == "" {
		return notSignedIn(s)
	}
	e, err := g.session(r.Context(), s, c.cookie)
	if errors.Is(err, fault.NotFound) {
		return notSignedIn(s)
	}
	if err != nil {
		return unavailable(r, err)
	}
	mux.WriteJSON(w, http.StatusOK, meBody(e.principal))
	return nil
}

// notSignedIn answers a script; it is never a redirect.
func notSignedIn(s *site) *Denial {
	return &Denial{
		Status: http.StatusUnauthorized, Cause: errAnonymous,
		Header: http.Header{"Cache-Control": {"no-store"}, "Www-Authenticate": {s.challenge}},
	}
}

// meBody uses the claims' standard names (OIDC Core 5.1).
func meBody(p *pool.Principal) map[string]any {
	body := map[string]any{"sub": p.Sub, "auth_time": p.AuthTime.Unix(), "acr": p.ACR, "amr": p.AMR}
	for name, value := range map[string]string{"name": p.Name, "email": p.Email, "preferred_username": p.Username} {
		if value != "" {
			body[name] = value
		}
	}
	if len(p.Groups) > 0 {
		body["groups"] = p.Groups
	}
	return body
}

// meant reports whether a person asked to sign out at the site itself: by a
// form or script of its pages, or by a link that was followed. An image is not
// a link.
func meant(r *http.Request, s *site) bool {
	own := r.Header.Get("Sec-Fetch-Site") == "same-origin" || r.Header.Get("Origin") == s.Origin
	return own && (r.Method == http.MethodPost || navigation(r))
}

// logout ends the site session and goes on at the login host's. Another site
// cannot make a browser do it: without a same-origin proof the login host asks.
func (g *Guard) logout(w http.ResponseWriter, r *http.Request, s *site, c credentials) error {
	to := s.Login + "/logout"
	if c.cookie == "" || !meant(r, s) {
		mux.Redirect(w, r, to)
		return nil
	}
	live, err := g.sessions.FindSite(r.Context(), s.Pool, s.Client.ID, c.cookie)
	switch {
	case errors.Is(err, fault.NotFound):
	case err != nil:
		return unavailable(r, err)
	default:
		ticket, err := g.logoutTicket(r.Context(), s.Pool, live.Session.Parent)
		if err != nil {
			return unavailable(r, err)
		}
		if err := g.sessions.EndSite(r.Context(), s.Pool, c.cookie); err != nil {
			return unavailable(r, err)
		}
		to += "?ticket=" + url.QueryEscape(ticket)
	}
	s.cookies.Clear(w, mux.CookieSite)
	mux.Redirect(w, r, to)
	return nil
}

package oauth

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
)

// refuse sends an error to the client (RFC 6749 4.1.2.1).
func (e *endpoints) refuse(w http.ResponseWriter, r *http.Request, req *request, err error) error {
	event := mux.EventOf(r.Context())
	code, description := mux.OAuthError(err, event.Reference)
	event.Outcome, event.Err = code, err
	pairs := []string{"error", code}
	if description != "" {
		pairs = append(pairs, "error_description", description)
	}
	return e.respond(w, r, req, pairs...)
}

// respond sends an authorization response, in the way that the client asked
// for. state and iss (RFC 9207 2) are always with it.
func (e *endpoints) respond(w http.ResponseWriter, r *http.Request, req *request, pairs ...string) error {
	if req.state != "" {
		pairs = append(pairs, "state", req.state)
	}
	pairs = append(pairs, "iss", e.site.Pool.Issuer)
	if req.formPost {
		return e.post(w, r, req, pairs)
	}
	mux.Redirect(w, r, mux.WithQuery(req.redirect, pairs...))
	return nil
}

// post sends a page whose form takes the parameters to the redirect URI
// (OAuth 2.0 Form Post Response Mode 1.0).
func (e *endpoints) post(w http.ResponseWriter, r *http.Request, req *request, pairs []string) error {
	view := page.FormPost{Frame: e.frame(r), Action: req.redirect, ClientName: req.client.Name}
	for i := 0; i < len(pairs); i += 2 {
		view.Hidden = append(view.Hidden, page.Hidden{Name: pairs[i], Value: pairs[i+1]})
	}
	return e.show(w, r, req, view)
}

func (e *endpoints) frame(r *http.Request) page.Frame {
	return page.Frame{Brand: e.site.Pool.Brand, Locales: mux.Locales(r)}
}

// show renders a page whose form leads to the client in the end.
func (e *endpoints) show(w http.ResponseWriter, r *http.Request, req *request, view page.Page) error {
	d, err := e.config.Renderer.Render(r.Context(), view)
	if err != nil {
		return fmt.Errorf("oauth: render: %w", err)
	}
	mux.WriteDocument(w, r, http.StatusOK, mux.Document{
		HTML: d.HTML, Styles: d.StyleHashes, Scripts: d.ScriptHashes, FormTargets: mux.FormTargets(e.site.Origin, req.redirect),
	})
	return nil
}

// formPostable reports whether a browser can post a form to a redirect URI.
func formPostable(redirect string) bool {
	return strings.HasPrefix(redirect, "https://") || strings.HasPrefix(redirect, "http://")
}

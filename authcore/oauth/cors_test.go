package oauth_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

const (
	spaOrigin   = "https://spa.example.com"
	webOrigin   = "https://web.example.com"
	offOrigin   = "https://off.example.com"
	alienOrigin = "https://evil.example.com"
)

// newCORSHost has two clients with origins, and a disabled one.
func newCORSHost(t *testing.T) *host {
	h := newHost(t)
	for id, origin := range map[pool.ClientID]string{"spa": spaOrigin, "web": webOrigin, "off": offOrigin} {
		h.pool.Clients[id].Origins = []string{origin}
	}
	return h
}

// readable reports whether the script of an origin may read an answer, and
// fails if more is opened than that.
func readable(t *testing.T, res *http.Response, origin string) bool {
	t.Helper()
	if res.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error("credentials are allowed")
	}
	switch got := res.Header.Get("Access-Control-Allow-Origin"); got {
	case "":
		return false
	case origin:
		return true
	default:
		t.Errorf("open to %q", got)
		return false
	}
}

func TestPreflights(t *testing.T) {
	h := newCORSHost(t)
	for path, open := range map[string]bool{
		"/oauth2/token": true, "/oauth2/userInfo": true, "/oauth2/revoke": true,
		"/oauth2/introspect": false, "/oauth2/authorize": false,
	} {
		for origin, known := range map[string]bool{spaOrigin: true, webOrigin: true, offOrigin: false, alienOrigin: false,
			"null": false, spaOrigin + ".evil.example": false, "http://spa.example.com": false, "*": false} {
			r, err := http.NewRequestWithContext(t.Context(), "OPTIONS", h.URL+path, nil)
			must(t, err)
			res := h.sent(r, []string{"Origin", origin, "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"})
			if got := readable(t, res.Response, origin); got != (open && known) || res.StatusCode != 204 {
				t.Errorf("%s from %s: %v, %d", path, origin, got, res.StatusCode)
			}
			if open != (res.Header.Get("Vary") == "Origin") {
				t.Errorf("%s: Vary %q", path, res.Header.Get("Vary"))
			}
			if open && known && !strings.Contains(res.Header.Get("Access-Control-Allow-Headers"), "Authorization") {
				t.Errorf("%s: %v", path, res.Header)
			}
		}
	}
}

// A script reads the answers to its own client and no others.
func TestCORSOfTheTokenEndpoints(t *testing.T) {
	h := newCORSHost(t)
	spa := func(pairs ...string) url.Values {
		form := url.Values{"client_id": {"spa"}}
		for i := 0; i < len(pairs); i += 2 {
			form.Set(pairs[i], pairs[i+1])
		}
		return form
	}
	for _, origin := range []string{spaOrigin, webOrigin, alienOrigin, "null", ""} {
		own := origin == spaOrigin
		code := h.code(nil)
		a := h.redeem(h.code(nil))
		for name, res := range map[string]reply{
			"token": h.send("/oauth2/token", spa("grant_type", "authorization_code", "code", code, "redirect_uri", callback,
				"code_verifier", verifier), "Origin", origin),
			"token, an error":  h.send("/oauth2/token", spa("grant_type", "authorization_code", "code", code), "Origin", origin),
			"revoke":           h.send("/oauth2/revoke", spa("token", a.Refresh), "Origin", origin),
			"revoke, an error": h.send("/oauth2/revoke", spa(), "Origin", origin),
		} {
			if got := readable(t, res.Response, origin); got != own || res.Header.Get("Vary") != "Origin" {
				t.Errorf("%s from %q: %v, %v", name, origin, got, res.Header)
			}
		}
		for name, res := range map[string]reply{
			"an unknown client": h.send("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"nobody"}}, "Origin", origin),
			"a disabled client": h.send("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"off"}}, "Origin", origin),
			"introspection":     h.send("/oauth2/introspect", url.Values{"token": {"x"}, "client_id": {"web"}, "client_secret": {"older"}}, "Origin", origin),
		} {
			if readable(t, res.Response, origin) {
				t.Errorf("%s from %q is open", name, origin)
			}
		}
	}
	res := h.send("/oauth2/token", url.Values{"grant_type": {"refresh_token"}, "client_id": {"off"}}, "Origin", offOrigin)
	if readable(t, res.Response, offOrigin) {
		t.Error("a disabled client's scripts are let in")
	}
	res = h.send("/oauth2/token", spa("grant_type", "password"), "Origin", spaOrigin)
	if readable(t, res.Response, spaOrigin) != true || !strings.Contains(res.body, "unsupported_grant_type") {
		t.Errorf("a wrong grant: %v %s", res.Header, res.body)
	}
}

// A script must see that its token has run out, to fetch another.
func TestCORSOfUserInfo(t *testing.T) {
	h := newCORSHost(t)
	access := h.redeem(h.code(nil)).Access
	ask := func(origin, access string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), "GET", h.URL+"/oauth2/userInfo", nil)
		must(t, err)
		return h.sent(r, []string{"Origin", origin, "Authorization", "Bearer " + access}).Response
	}
	for origin, want := range map[string][2]bool{ // with a token of spa, with none that is good
		spaOrigin: {true, true}, webOrigin: {false, true}, alienOrigin: {false, false}, offOrigin: {false, false},
	} {
		good, bad := ask(origin, access), ask(origin, "x")
		if got := [2]bool{readable(t, good, origin), readable(t, bad, origin)}; got != want || good.StatusCode != 200 || bad.StatusCode != 401 {
			t.Errorf("%s: %v, %d, %d", origin, got, good.StatusCode, bad.StatusCode)
		}
		if want[1] && !strings.Contains(bad.Header.Get("Access-Control-Expose-Headers"), "WWW-Authenticate") {
			t.Errorf("%s: %v", origin, bad.Header)
		}
		if good.Header.Get("Vary") != "Origin" || bad.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: Vary %q, %q", origin, good.Header.Get("Vary"), bad.Header.Get("Vary"))
		}
	}
}

// Metadata and keys are for everybody, and the pages for no script at all.
func TestCORSOfTheRest(t *testing.T) {
	h := newCORSHost(t)
	for path, want := range map[string]string{
		"/.well-known/openid-configuration": "*", "/.well-known/oauth-authorization-server": "*", "/.well-known/jwks.json": "*",
		"/oauth2/authorize?" + query(nil).Encode(): "",
	} {
		r, err := http.NewRequestWithContext(t.Context(), "GET", h.URL+path, nil)
		must(t, err)
		r.Header.Set("Origin", spaOrigin)
		res, err := http.DefaultTransport.RoundTrip(r)
		must(t, err)
		res.Body.Close()
		if got := res.Header.Get("Access-Control-Allow-Origin"); got != want || res.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s: %q", path, got)
		}
	}
}

package oauth_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

func pageOf(t *testing.T, res *http.Response) form {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != 200 || res.Header.Get("Location") != "" {
		t.Fatalf("%d %s: %s", res.StatusCode, res.Header.Get("Location"), b)
	}
	return formOf(string(b))
}

// A client may want its answer by a form, codes and errors alike.
func TestFormPost(t *testing.T) {
	h := newHost(t)
	mode := func(change map[string]string) string {
		q := map[string]string{"response_mode": "form_post", "state": `a"><b> &c=d`}
		for name, value := range change {
			q[name] = value
		}
		return h.address(q)
	}
	res := h.surf("GET", mode(nil), nil)
	policy := res.Header.Get("Content-Security-Policy")
	f := pageOf(t, res)
	if f.action != callback || len(f.hidden) != 3 || f.hidden.Get("state") != `a"><b> &c=d` || f.hidden.Get("iss") != h.URL {
		t.Errorf("%q %v", f.action, f.hidden)
	}
	if a := h.redeem(f.hidden.Get("code")); a.status != 200 || a.ID == "" {
		t.Errorf("%+v", a)
	}
	if res.Header.Get("Cache-Control") != "no-store" || !strings.Contains(policy, "form-action 'self' https:") || !strings.Contains(policy, "script-src 'sha256-") || strings.Contains(policy, "unsafe") {
		t.Error(res.Header)
	}
	for want, change := range map[string]map[string]string{
		"invalid_scope": {"scope": "nobodys"}, "invalid_target": {"resource": "https://evil.example"}, "invalid_request": {"code_challenge": ""},
		"unsupported_response_type": {"response_type": "token"}, "login_required": {"prompt": "none", "max_age": "0"}, "request_not_supported": {"request": "x"},
	} {
		h.advance(2e9)
		f := pageOf(t, h.surf("GET", mode(change), nil))
		if f.action != callback || f.hidden.Get("error") != want || f.hidden.Get("state") != `a"><b> &c=d` || f.hidden.Get("iss") != h.URL || f.hidden.Has("code") {
			t.Errorf("%s: %q %v", want, f.action, f.hidden)
		}
	}
	f = pageOf(t, h.surf("GET", mode(nil)+"&scope=openid", nil))
	if f.hidden.Get("error") != "invalid_request" {
		t.Errorf("repeated: %v", f.hidden)
	}
	// The registered query of the redirect URI stays in the form's target.
	f = pageOf(t, h.surf("GET", mode(map[string]string{"client_id": "web", "redirect_uri": callback + "?tenant=1"}), nil))
	if f.action != callback+"?tenant=1" || f.hidden.Get("code") == "" {
		t.Errorf("%q %v", f.action, f.hidden)
	}
	// A form goes to http on the person's own machine, but to no app's scheme.
	f = pageOf(t, h.surf("GET", mode(map[string]string{"client_id": "app", "redirect_uri": "http://127.0.0.1:5123/cb"}), nil))
	if f.action != "http://127.0.0.1:5123/cb" || f.hidden.Get("code") == "" {
		t.Errorf("%q %v", f.action, f.hidden)
	}
	to := h.to(mode(map[string]string{"client_id": "app", "redirect_uri": "com.example.app:/cb"}))
	if !strings.HasPrefix(to.String(), "com.example.app:/cb?") || to.Query().Get("error") != "invalid_request" {
		t.Error(to)
	}
	// Nothing is ever sent to a stranger, by a form as little as by a redirect.
	res = h.surf("GET", mode(map[string]string{"redirect_uri": "https://evil.example/"}), nil)
	if b, _ := io.ReadAll(res.Body); res.StatusCode != 400 || strings.Contains(string(b), "<form") {
		t.Error(res.StatusCode)
	}
}

func TestFormPostAfterConsent(t *testing.T) {
	h := asking(t)
	change := map[string]string{"response_mode": "form_post"}
	f, _ := h.question(change)
	if got := pageOf(t, h.decide(f, "deny")); got.action != callback || got.hidden.Get("error") != "access_denied" || got.hidden.Get("state") != "st" {
		t.Errorf("%q %v", got.action, got.hidden)
	}
	if got := pageOf(t, h.decide(f, "allow")); got.action != callback || got.hidden.Get("code") == "" || got.hidden.Get("iss") != h.URL {
		t.Errorf("%q %v", got.action, got.hidden)
	}
}

// Claims by name reach the ID token and userinfo, each where it was asked for,
// and no claim of a scope that the client may not have.
func TestClaimsParameter(t *testing.T) {
	h := newHost(t)
	const asked = `{"userinfo":{"name":{"essential":true},"https://other.example/claim":null,"acr":null},` +
		`"id_token":{"email":null,"email_verified":{"value":true},"auth_time":{"essential":true},"nobodys":{"values":[1,{}]},"acr":{"values":["phr","aal2"]}},"more":[]}`
	a := h.redeem(h.code(map[string]string{"claims": asked}))
	id := claims(t, a.ID)
	if id["email"] != "ann@example.com" || id["email_verified"] != true || id["name"] != nil || id["auth_time"] == nil || id["acr"] != "aal1" {
		t.Errorf("%v", id)
	}
	_, info := h.userInfo(a.Access)
	if info["name"] != "Ann" || info["email"] != nil || info["sub"] != string(h.user.Sub) {
		t.Errorf("%v", info)
	}
	// Not asked for, not given.
	if id := claims(t, h.redeem(h.code(nil)).ID); id["email"] != nil {
		t.Errorf("%v", id)
	}
	spa := h.pool.Clients["spa"]
	spa.Scopes = slices.DeleteFunc(slices.Clone(spa.Scopes), func(s string) bool { return s == "email" })
	a = h.redeem(h.code(map[string]string{"claims": asked}))
	if id := claims(t, a.ID); id["email"] != nil || id["email_verified"] != nil {
		t.Errorf("the client may not have the scope email: %v", id)
	}
	if _, info := h.userInfo(a.Access); info["name"] != "Ann" {
		t.Errorf("%v", info)
	}
}

// What a server may ignore is ignored, and what cannot be had unasked.
func TestVoluntaryWishes(t *testing.T) {
	h := newHost(t)
	for _, change := range []map[string]string{
		{"acr_values": "phr"}, {"acr_values": "urn:other aal2"}, {"display": "popup"}, {"display": "page"}, {"ui_locales": "de-CH tlh"},
		{"claims_locales": "se"}, {"extra": "foobar"}, {"claims": `{"id_token":{"acr":{"value":"phr"}}}`},
	} {
		if got := h.authorize(change); got.Get("code") == "" {
			t.Errorf("%v: %v", change, got)
		}
	}
	for _, acr := range []string{"phr", "aal2"} {
		change := map[string]string{"claims": `{"id_token":{"acr":{"essential":true,"values":["` + acr + `"]}}}`}
		if got := h.authorize(change); got.Get("error") != "unmet_authentication_requirements" || got.Get("error_description") == "" {
			t.Errorf("%s: %v", acr, got)
		}
	}
}

// A request without scope or resource gets the client's defaults, and several
// resources are granted together.
func TestDefaultsOfRequests(t *testing.T) {
	h := newHost(t)
	spa := h.pool.Clients["spa"]
	spa.DefaultScopes, spa.DefaultResource = []string{"openid", "email", "orders.read"}, orders
	a := h.redeem(h.code(map[string]string{"scope": ""}))
	if a.Scope != "openid email orders.read" || jsonOf(t, claims(t, a.Access)["aud"]) != jsonOf(t, []string{orders, h.URL}) {
		t.Errorf("%+v", a)
	}
	a = h.redeem(h.code(map[string]string{"scope": "openid"}))
	if a.Scope != "openid" || jsonOf(t, claims(t, a.Access)["aud"]) != jsonOf(t, []string{orders, h.URL}) {
		t.Errorf("the default resource: %+v", a)
	}
	several := h.address(map[string]string{"scope": ""}) + "&resource=" + url.QueryEscape(stock) + "&resource=" + url.QueryEscape(orders)
	a = h.redeem(h.to(several).Query().Get("code"))
	if jsonOf(t, claims(t, a.Access)["aud"]) != jsonOf(t, []string{stock, h.URL}) {
		t.Errorf("%+v", a)
	}
	if a = h.refresh(a.Refresh, "resource", orders); a.Scope != "openid email orders.read" {
		t.Errorf("%+v", a)
	}
}

package oauth_test

import (
	"net/url"
	"testing"
)

// Signing out of an application: it revokes what it holds, and all of it is
// dead from then on.
func TestRevocation(t *testing.T) {
	for name, pick := range map[string]func(answer) string{
		"refresh token": func(a answer) string { return a.Refresh },
		"access token":  func(a answer) string { return a.Access },
	} {
		for _, hint := range []string{"", "refresh_token", "access_token", "something_else"} {
			h := newHost(t)
			got, other := h.redeem(h.code(nil)), h.redeem(h.code(nil))
			form := url.Values{"client_id": {"spa"}, "token": {pick(got)}, "token_type_hint": {hint}}
			for range 2 { // once more is as good
				if res := h.send("/oauth2/revoke", form); res.StatusCode != 200 || res.body != "" || res.Header.Get("Cache-Control") != "no-store" {
					t.Errorf("%s, hint %q: %d %s", name, hint, res.StatusCode, res.body)
				}
			}
			if a := h.refresh(got.Refresh); a.Error != "invalid_grant" {
				t.Errorf("%s, hint %q: the refresh token lives: %+v", name, hint, a)
			}
			if res, _ := h.userInfo(got.Access); res.StatusCode != 401 {
				t.Errorf("%s, hint %q: the access token lives: %d", name, hint, res.StatusCode)
			}
			if res, _ := h.userInfo(other.Access); res.StatusCode != 200 {
				t.Errorf("%s, hint %q: another sign-in ended: %d", name, hint, res.StatusCode)
			}
			h.wantQuietLog(t, got.Access, got.Refresh)
		}
	}
}

func TestRevocationByAConfidentialClient(t *testing.T) {
	h := newHost(t)
	h.addAPI("api", orders, "")
	raw := h.machineToken()
	ask := func() string {
		return h.send("/oauth2/introspect", url.Values{"token": {raw}}, "Authorization", basic("api", "api-secret")).body
	}
	if ask() == inactive {
		t.Fatal("not active to begin with")
	}
	res := h.send("/oauth2/revoke", url.Values{"client_id": {"batch"}, "client_secret": {"batch-secret"}, "token": {raw}})
	if res.StatusCode != 200 || ask() != inactive {
		t.Errorf("%d; afterwards %s", res.StatusCode, ask())
	}
}

func TestRevocationRefusals(t *testing.T) {
	h := newHost(t)
	h.refusedClients("/oauth2/revoke")
	got := h.redeem(h.code(nil))
	as := []string{"Authorization", basic("web", "older")}
	h.wantRefusal("another's refresh token", h.send("/oauth2/revoke", url.Values{"token": {got.Refresh}}, as...), 400, "invalid_grant")
	h.wantRefusal("another's access token", h.send("/oauth2/revoke", url.Values{"token": {got.Access}}, as...), 400, "invalid_grant")
	h.wantRefusal("an ID token", h.send("/oauth2/revoke", url.Values{"token": {got.ID}, "client_id": {"spa"}}), 400, "unsupported_token_type")
	for _, raw := range []string{"nonsense", got.Refresh[:70] + "AA", got.Access + "A", "eyJhbGciOiJub25lIn0.e30."} {
		if res := h.send("/oauth2/revoke", url.Values{"token": {raw}, "client_id": {"spa"}}); res.StatusCode != 200 {
			t.Errorf("an unknown token: %d %s", res.StatusCode, res.body)
		}
	}
	if res, _ := h.userInfo(got.Access); res.StatusCode != 200 {
		t.Errorf("something was revoked: %d", res.StatusCode)
	}
	if a := h.refresh(got.Refresh); a.status != 200 {
		t.Errorf("something was revoked: %+v", a)
	}
}

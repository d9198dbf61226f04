package oauth_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
)

const inactive = `{"active":false}`

// An API asks what the token means that it was called with.
func TestIntrospection(t *testing.T) {
	h := newHost(t)
	h.addAPI("api", orders, "")
	h.addAPI("stockapi", stock, "")
	got := h.redeem(h.code(map[string]string{"scope": "openid orders.read"}))
	ask := func(client, raw string) reply {
		return h.send("/oauth2/introspect", url.Values{"token": {raw}, "token_type_hint": {"refresh_token"}}, "Authorization", basic(client, "api-secret"))
	}
	res := ask("api", got.Access)
	var seen map[string]any
	must(t, json.Unmarshal([]byte(res.body), &seen))
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if seen["active"] != true || seen["sub"] != string(h.user.Sub) || seen["client_id"] != "spa" || seen["scope"] != "openid orders.read" ||
		seen["iss"] != h.URL || seen["token_type"] != "Bearer" || seen["acr"] != "aal1" {
		t.Errorf("%v", seen)
	}
	for name, res := range map[string]reply{
		"another API":     ask("stockapi", got.Access),
		"a refresh token": ask("api", got.Refresh),
		"an ID token":     ask("api", got.ID),
		"noise":           ask("api", "noise"),
		"a lot of noise":  ask("api", strings.Repeat("x", 4000)),
	} {
		if res.StatusCode != 200 || res.body != inactive {
			t.Errorf("%s: %d %s", name, res.StatusCode, res.body)
		}
	}
	h.send("/oauth2/revoke", url.Values{"token": {got.Refresh}, "client_id": {"spa"}})
	if res := ask("api", got.Access); res.StatusCode != 200 || res.body != inactive {
		t.Errorf("revoked: %d %s", res.StatusCode, res.body)
	}
	h.wantQuietLog(t, got.Access, got.Refresh, got.ID, "api-secret")
}

func TestIntrospectionRefusals(t *testing.T) {
	h := newHost(t)
	h.refusedClients("/oauth2/introspect")
	got := h.redeem(h.code(nil))
	h.wantRefusal("a public client", h.send("/oauth2/introspect", url.Values{"client_id": {"spa"}, "token": {got.Access}}), 401, "invalid_client")
	h.wantRefusal("a bearer token", h.send("/oauth2/introspect", url.Values{"token": {got.Access}}, "Authorization", "Bearer "+got.Access), 401, "invalid_client")
}

// RFC 9701: an API that keeps proof asks for the answer signed.
func TestSignedIntrospection(t *testing.T) {
	h := newHost(t)
	h.addAPI("api", orders, "")
	h.addAPI("es", orders, jose.ES256)
	got := h.redeem(h.code(map[string]string{"scope": "openid orders.read"}))
	const signed = "application/token-introspection+jwt"
	for _, c := range []struct {
		client, accept, token string
		want                  string
	}{
		{"api", signed, got.Access, "RS256"},
		{"es", signed, got.Access, "ES256"},
		{"api", "application/json;q=0.5, " + strings.ToUpper(signed) + "; q=0.9", got.Access, "RS256"},
		{"api", signed, "noise", "RS256"},
		{"api", signed + ";q=0", got.Access, ""},
		{"api", signed + ";q=x", got.Access, ""},
		{"api", "application/jwt, */*", got.Access, ""},
		{"api", "application/json", got.Access, ""},
		{"api", "", got.Access, ""},
	} {
		res := h.send("/oauth2/introspect", url.Values{"token": {c.token}}, "Authorization", basic(c.client, "api-secret"), "Accept", c.accept)
		if c.want == "" {
			if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("%q: %d %v", c.accept, res.StatusCode, res.Header)
			}
			continue
		}
		if res.StatusCode != 200 || res.Header.Get("Content-Type") != signed || res.Header.Get("Vary") != "Accept" ||
			res.Header.Get("Cache-Control") != "no-store" || algOf(t, res.body) != c.want {
			t.Errorf("%q: %d %v %s", c.accept, res.StatusCode, res.Header, algOf(t, res.body))
		}
		payload := claims(t, res.body)
		inner, _ := payload["token_introspection"].(map[string]any)
		if payload["aud"] != c.client || payload["iss"] != h.URL || inner["active"] != (c.token != "noise") {
			t.Errorf("%v", payload)
		}
		if res, _ := h.userInfo(res.body); res.StatusCode != 401 {
			t.Errorf("it is taken for an access token: %d", res.StatusCode)
		}
	}
}

// algOf reads the alg of a JWT that begins as those of RFC 9701 do.
func algOf(t *testing.T, jwt string) string {
	t.Helper()
	head, _, _ := strings.Cut(jwt, ".")
	header := claims(t, "."+head+".")
	if header["typ"] != "token-introspection+jwt" {
		t.Errorf("header %v", header)
	}
	alg, _ := header["alg"].(string)
	return alg
}

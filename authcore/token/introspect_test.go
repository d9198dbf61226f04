package token_test

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// api is an upstream that has tokens explained to it.
func api(resources ...string) *pool.Client {
	return &pool.Client{
		ID: "api", Resources: resources,
		Secrets: []pool.ClientSecret{pool.NewClientSecret(secret.Hide("a secret of the API"))},
	}
}

// introspect returns the answer as it is on the wire.
func (w *world) introspect(caller *pool.Client, raw string) map[string]any {
	w.t.Helper()
	answer, err := w.svc.Introspect(w.t.Context(), w.pool, caller, raw)
	must(w.t, err)
	b, err := json.Marshal(answer)
	must(w.t, err)
	var members map[string]any
	must(w.t, json.Unmarshal(b, &members))
	if !answer.Active && string(b) != `{"active":false}` {
		w.t.Errorf("inactive, and yet: %s", b)
	}
	return members
}

func (w *world) active(caller *pool.Client, raw string) bool {
	w.t.Helper()
	return w.introspect(caller, raw)["active"] == true
}

func TestIntrospectionTellsWhatATokenSays(t *testing.T) {
	w := newWorld(t)
	got, machine := w.tokens("shop", "openid orders.read"), w.machine()
	_, payload := claims(t, got.Access)
	seen := w.introspect(api(orders), got.Access)
	want := []string{"acr", "active", "aud", "auth_time", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sub", "token_type", "username"}
	if !slices.Equal(names(seen), want) || seen["token_type"] != "Bearer" || seen["username"] != "alice" {
		t.Errorf("%v", seen)
	}
	for _, name := range []string{"acr", "auth_time", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sub"} {
		if seen[name] != payload[name] {
			t.Errorf("%s: %v, the token says %v", name, seen[name], payload[name])
		}
	}
	seen = w.introspect(api(orders), machine.Access)
	want = []string{"active", "aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sub", "token_type"}
	if !slices.Equal(names(seen), want) || seen["sub"] != "batch" || seen["aud"] != orders {
		t.Errorf("of a machine: %v", seen)
	}
	seen = w.introspect(w.pool.Clients["shop"], got.Refresh)
	want = []string{"acr", "active", "aud", "auth_time", "client_id", "exp", "iat", "iss", "scope", "sub", "username"}
	if !slices.Equal(names(seen), want) || seen["aud"] != issuer || seen["scope"] != "openid orders.read" {
		t.Errorf("of a refresh token: %v", seen)
	}
}

// Whoever asks sees what is theirs and nothing else.
func TestIntrospectionIsForWhomTheTokenIs(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid orders.read")
	bill := w.tokens("shop", "billing.read")
	plain := w.tokens("shop", "openid")
	shop := w.pool.Clients["shop"]
	for _, c := range []struct {
		name   string
		caller *pool.Client
		raw    string
		want   bool
	}{
		{"its API", api(orders), got.Access, true},
		{"an API of several", api(billing, orders), got.Access, true},
		{"its client", shop, got.Access, true},
		{"another API", api(billing), got.Access, false},
		{"an API without resources", api(), got.Access, false},
		{"the other token's API", api(billing), bill.Access, true},
		{"half a name", api(orders[:len(orders)-1], orders+"/"), got.Access, false},
		{"a token for the issuer alone", api(orders, billing), plain.Access, false},
		{"its client, for the issuer alone", shop, plain.Access, true},
		{"refresh token, its client", shop, got.Refresh, true},
		{"refresh token, its API", api(orders), got.Refresh, false},
		{"ID token, its client", shop, got.ID, false},
		{"ID token, its API", api(orders, "shop"), got.ID, false},
		{"nothing", shop, "", false},
		{"noise", shop, "a.b.c", false},
		{"a damaged token", shop, got.Access[:len(got.Access)-4] + "AAAA", false},
	} {
		if is := w.active(c.caller, c.raw); is != c.want {
			t.Errorf("%s: active %v", c.name, is)
		}
	}
	other := w.newPool("other", "https://other.example.com")
	for _, raw := range []string{got.Access, got.Refresh} {
		if answer, err := w.svc.Introspect(t.Context(), other, other.Clients["shop"], raw); err != nil || answer.Active {
			t.Errorf("at another pool: %+v, %v", answer, err)
		}
	}
}

func TestIntrospectionOfWhatHasEnded(t *testing.T) {
	for name, end := range map[string]func(w *world, got *token.Issued){
		"revoked":         func(w *world, got *token.Issued) { must(w.t, w.revoke("shop", got.Refresh)) },
		"revoked by node": func(w *world, got *token.Issued) { elsewhere(w, got) },
		"raised epoch":    func(w *world, _ *token.Issued) { w.update(func(u *pool.User) { u.Epoch++ }) },
		"disabled user":   func(w *world, _ *token.Issued) { w.update(func(u *pool.User) { u.Disabled = true }) },
		"gone user": func(w *world, _ *token.Issued) {
			must(w.t, w.repo.DeleteUser(w.t.Context(), w.pool.ID, w.user.Sub))
		},
		"expired":         func(w *world, _ *token.Issued) { w.clock.move(31 * 24 * time.Hour) },
		"disabled client": func(w *world, _ *token.Issued) { w.pool.Clients["shop"].Disabled = true },
	} {
		w := newWorld(t)
		got := w.tokens("shop", "openid orders.read offline_access")
		if !w.active(api(orders), got.Access) {
			t.Fatal("not active to begin with")
		}
		end(w, got)
		if w.active(api(orders), got.Access) {
			t.Errorf("%s: the access token is active", name)
		}
		if name != "disabled client" && w.active(w.pool.Clients["shop"], got.Refresh) {
			t.Errorf("%s: the refresh token is active", name)
		}
	}
}

// elsewhere revokes at a node that this one has not heard of yet.
func elsewhere(w *world, got *token.Issued) {
	w.t.Helper()
	node := token.New(token.Config{Repo: w.repo, Keys: w.ring, Now: w.clock.now})
	must(w.t, node.Revoke(w.t.Context(), w.pool, w.pool.Clients["shop"], got.Access))
	if _, err := w.verify(got.Access); err != nil {
		w.t.Errorf("heard of already: %v", err)
	}
}

func TestIntrospectionOfARevokedMachineToken(t *testing.T) {
	w := newWorld(t)
	got := w.machine()
	node := token.New(token.Config{Repo: w.repo, Keys: w.ring, Now: w.clock.now})
	must(t, node.Revoke(t.Context(), w.pool, w.pool.Clients["batch"], got.Access))
	if w.active(api(orders), got.Access) || !w.active(api(orders), w.machine().Access) {
		t.Error("the wrong token is active")
	}
}

func TestIntrospectionOfRotatedRefreshTokens(t *testing.T) {
	w := newWorld(t)
	shop := w.pool.Clients["shop"]
	first := w.tokens("shop", "openid")
	second, err := w.refresh("shop", first.Refresh)
	must(t, err)
	if !w.active(shop, first.Refresh) || !w.active(shop, second.Refresh) {
		t.Error("within the grace both are good")
	}
	w.clock.move(time.Minute)
	if w.active(shop, first.Refresh) || !w.active(shop, second.Refresh) {
		t.Error("after the grace the successor alone is good")
	}
	if _, err := w.refresh("shop", second.Refresh); err != nil {
		t.Errorf("asking has ended it: %v", err)
	}
	shop.Grants = []string{pool.GrantCode}
	if w.active(shop, second.Refresh) {
		t.Error("the client may not refresh any more")
	}
}

// RFC 9701 5, 8.1: the signed answer cannot be taken for a token.
func TestSignedIntrospection(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid orders.read")
	caller := api(orders)
	answer, err := w.svc.Introspect(t.Context(), w.pool, caller, got.Access)
	must(t, err)
	for want, set := range map[string]jose.Alg{"RS256": "", "ES256": jose.ES256} {
		caller.IDAlg = set
		signed, err := w.svc.SignIntrospection(t.Context(), w.pool, caller, answer)
		must(t, err)
		header, payload := claims(t, signed)
		if header["typ"] != "token-introspection+jwt" || header["alg"] != want {
			t.Errorf("%v", header)
		}
		if !slices.Equal(names(payload), []string{"aud", "iat", "iss", "token_introspection"}) ||
			payload["aud"] != "api" || payload["iss"] != issuer || payload["iat"] != float64(w.clock.now().Unix()) {
			t.Errorf("%v", payload)
		}
		if inner := payload["token_introspection"].(map[string]any); inner["active"] != true || inner["sub"] != string(w.user.Sub) {
			t.Errorf("%v", inner)
		}
		_, err = w.verify(signed)
		wantCode(t, err, fault.InvalidToken)
		_, err = w.svc.ReadHint(t.Context(), w.pool, signed)
		wantCode(t, err, fault.InvalidRequest)
		if w.active(caller, signed) {
			t.Error("it is taken for a token")
		}
	}
	signed, err := w.svc.SignIntrospection(t.Context(), w.pool, caller, token.Introspection{})
	must(t, err)
	_, payload := claims(t, signed)
	if inner := payload["token_introspection"].(map[string]any); len(inner) != 1 || inner["active"] != false {
		t.Errorf("%v", inner)
	}
}

// Who asks for the directory's word need not wait for the feed.
func TestEndedDoesNotWaitForTheFeed(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid orders.read")
	a, err := w.verify(got.Access)
	must(t, err)
	must(t, w.svc.Ended(t.Context(), w.pool, a))
	elsewhere(w, got)
	wantCode(t, w.svc.Ended(t.Context(), w.pool, a), fault.InvalidToken)
}

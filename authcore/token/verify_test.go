package token_test

import (
	"encoding/base64"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

func names(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }

func TestAccessTokenClaims(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid orders.read")
	header, payload := claims(t, got.Access)
	if header["typ"] != "at+jwt" || header["alg"] != "ES256" {
		t.Errorf("header %v", header)
	}
	want := []string{
		"acr", "amr", "aud", "auth_time", "client_id", "cognito:groups", "exp", "iat", "iss", "jti", "nbf",
		"origin_jti", "scope", "sub", "token_use", "username", "version",
	}
	if got := names(payload); !slices.Equal(got, want) { // ep is 0, and left out
		t.Errorf("claims %v", got)
	}
	now := float64(w.clock.now().Unix())
	for name, v := range map[string]any{
		"iss": issuer, "sub": string(w.user.Sub), "client_id": "shop", "scope": "openid orders.read", "token_use": "access",
		"username": "alice", "version": 2.0, "acr": "aal1", "exp": now + 900, "iat": now, "nbf": now, "auth_time": now,
	} {
		if payload[name] != v {
			t.Errorf("%s = %v, want %v", name, payload[name], v)
		}
	}
	w.update(func(u *pool.User) { u.Epoch = 7 })
	if _, payload := claims(t, w.tokens("shop", "orders.read").Access); payload["ep"] != 7.0 || payload["aud"] != orders {
		t.Errorf("ep %v, aud %v", payload["ep"], payload["aud"])
	}
	if _, payload := claims(t, w.tokens("shop", "openid").Access); payload["aud"] != issuer {
		t.Errorf("aud %v without a resource", payload["aud"])
	}
}

func TestLivesAndAlgorithms(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid billing.read")
	header, payload := claims(t, got.Access)
	if got.Life != 5*time.Minute || header["alg"] != "RS256" || payload["exp"].(float64)-payload["iat"].(float64) != 300 {
		t.Errorf("resource's own: %v, %v", got.Life, header)
	}
	c := w.pool.Clients["shop"]
	c.Access, c.IDLife, c.IDAlg = 2*time.Minute, time.Minute, jose.ES256
	got = w.tokens("shop", "openid billing.read")
	header, payload = claims(t, got.ID)
	if got.Life != 2*time.Minute || header["alg"] != "ES256" || payload["exp"].(float64)-payload["iat"].(float64) != 60 {
		t.Errorf("client's own: %v, %v, %v", got.Life, header, payload)
	}
	c.Access = 1000 * time.Hour
	if got := w.tokens("shop", "orders.read"); got.Life >= 24*time.Hour {
		t.Errorf("outlives its revocation: %v", got.Life)
	}
}

func TestIDTokenClaims(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	header, payload := claims(t, got.ID)
	if header["typ"] != "JWT" || header["alg"] != "RS256" {
		t.Errorf("header %v", header)
	}
	want := []string{"acr", "amr", "at_hash", "aud", "auth_time", "cognito:groups", "cognito:username", "exp", "iat", "iss", "nonce", "origin_jti", "sid", "sub", "token_use"}
	if got := names(payload); !slices.Equal(got, want) {
		t.Errorf("claims %v", got)
	}
	if payload["aud"] != "shop" || payload["nonce"] != "n-0S6_WzA2Mj" || payload["token_use"] != "id" || payload["cognito:username"] != "alice" {
		t.Errorf("%v", payload)
	}
	_, payload = claims(t, w.tokens("shop", "openid email profile").ID)
	if payload["email"] != "alice@example.com" || payload["email_verified"] != true || payload["name"] != "Alice Example" || payload["preferred_username"] != "alice" {
		t.Errorf("%v", payload)
	}
}

func TestClaimsOfAUser(t *testing.T) {
	u := &pool.User{Sub: "s", Username: "s", Email: "a@example.com", Phone: "+15550100", PhoneVerified: true}
	raw, err := json.Marshal(token.ClaimsOf(u, []string{"profile", "email", "phone"}))
	must(t, err)
	if want := `{"email":"a@example.com","email_verified":false,"phone_number":"+15550100","phone_number_verified":true}`; string(raw) != want {
		t.Errorf("%s", raw)
	}
	if raw, _ := json.Marshal(token.ClaimsOf(u, []string{"openid"})); string(raw) != "{}" {
		t.Errorf("openid alone tells %s", raw)
	}
}

func TestMachineTokens(t *testing.T) {
	w := newWorld(t)
	c := w.pool.Clients["batch"]
	target, err := pool.ResolveMachineTarget(w.pool, c, nil, nil)
	must(t, err)
	got, err := w.svc.Machine(t.Context(), w.pool, c, target)
	must(t, err)
	if got.ID != "" || got.Refresh != "" || got.Sub != "" {
		t.Errorf("issued %+v", got)
	}
	_, payload := claims(t, got.Access)
	want := []string{"aud", "client_id", "exp", "iat", "iss", "jti", "nbf", "scope", "sub", "token_use", "version"}
	if got := names(payload); !slices.Equal(got, want) {
		t.Errorf("claims %v", got)
	}
	a, err := w.verify(got.Access)
	must(t, err)
	if !a.Machine() || a.Sub != "batch" || a.Audience[0] != orders || a.Scope != "orders.read" {
		t.Errorf("%+v", a)
	}
	_, err = w.svc.Machine(t.Context(), w.pool, c, pool.Target{Audience: issuer, Scopes: []string{"openid"}})
	wantCode(t, err, fault.InvalidScope)
}

// good is an access token of a user as the service makes it, to be spoilt.
func (w *world) good() token.Access {
	w.t.Helper()
	a, err := w.verify(w.tokens("shop", "orders.read").Access)
	must(w.t, err)
	return *a
}

func TestVerifyRefuses(t *testing.T) {
	w := newWorld(t)
	good := w.good()
	now := w.clock.now().Unix()
	key := w.ring.keys[pool.TokenKeys][0]
	foreign := testKeys()[2]
	for name, c := range map[string]struct {
		key   *jose.Key
		typ   string
		spoil func(*token.Access)
	}{
		"issuer":            {spoil: func(a *token.Access) { a.Issuer += "/" }},
		"no issuer":         {spoil: func(a *token.Access) { a.Issuer = "" }},
		"use id":            {spoil: func(a *token.Access) { a.Use = "id" }},
		"no use":            {spoil: func(a *token.Access) { a.Use = "" }},
		"expired":           {spoil: func(a *token.Access) { a.Expires = now - 30 }},
		"no expiry":         {spoil: func(a *token.Access) { a.Expires = 0 }},
		"negative expiry":   {spoil: func(a *token.Access) { a.Expires = -1 }},
		"nbf ahead":         {spoil: func(a *token.Access) { a.NotBefore = now + 31 }},
		"iat ahead":         {spoil: func(a *token.Access) { a.IssuedAt = now + 31 }},
		"no iat":            {spoil: func(a *token.Access) { a.IssuedAt = 0 }},
		"ends before start": {spoil: func(a *token.Access) { a.Expires = a.IssuedAt - 1 }},
		"no sub":            {spoil: func(a *token.Access) { a.Sub = "" }},
		"no client":         {spoil: func(a *token.Access) { a.Client = "" }},
		"unknown client":    {spoil: func(a *token.Access) { a.Client = "nobody" }},
		"no jti":            {spoil: func(a *token.Access) { a.ID = "" }},
		"no aud":            {spoil: func(a *token.Access) { a.Audience = nil }},
		"empty aud":         {spoil: func(a *token.Access) { a.Audience = jose.Audience{""} }},
		"user, no family":   {spoil: func(a *token.Access) { a.OriginJTI = "" }},
		"machine, family":   {spoil: func(a *token.Access) { a.Sub = string(a.Client) }},
		"typ JWT":           {typ: "JWT"},
		"typ assertion":     {typ: "gatehouse+jwt"},
		"no typ":            {typ: "-"},
		"assertion key":     {key: foreign},
	} {
		t.Run(name, func(t *testing.T) {
			a, k, typ := good, key, "at+jwt"
			if c.spoil != nil {
				c.spoil(&a)
			}
			if c.key != nil {
				k = c.key
			}
			if c.typ != "" {
				typ = strings.TrimPrefix(c.typ, "-")
			}
			jwt, err := k.Sign(typ, a)
			must(t, err)
			_, err = w.verify(jwt)
			wantCode(t, err, fault.InvalidToken)
		})
	}
	for name, fine := range map[string]func(*token.Access){
		"just expired": func(a *token.Access) { a.Expires = now - 29; a.IssuedAt = now - 60 },
		"nbf at 30":    func(a *token.Access) { a.NotBefore, a.IssuedAt = now+30, now+30 },
	} {
		a := good
		fine(&a)
		jwt, err := key.Sign("at+jwt", a)
		must(t, err)
		if _, err := w.verify(jwt); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOddClaimsAreRefused(t *testing.T) {
	w := newWorld(t)
	_, payload := claims(t, w.tokens("shop", "orders.read").Access)
	key := w.ring.keys[pool.TokenKeys][0]
	for name, odd := range map[string]any{
		"exp": 1e300, "iat": "soon", "nbf": 1.5, "aud": 7, "scope": []string{"orders.read"}, "sub": []string{"x"}, "ep": -1,
		"AUD": "https://evil.example.com", "Token_Use": "access",
	} {
		p := maps.Clone(payload)
		p[name] = odd
		jwt, err := key.Sign("at+jwt", p)
		must(t, err)
		_, err = w.verify(jwt)
		if fault.CodeOf(err) != fault.InvalidToken {
			t.Errorf("%s = %v: %v", name, odd, err)
		}
	}
}

func TestOtherTokensNeverPassAsAccessTokens(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	assertion, err := w.svc.Assertion(t.Context(), w.pool, orders, &pool.Principal{Kind: pool.Person, Sub: w.user.Sub})
	must(t, err)
	for name, jwt := range map[string]string{
		"ID token": got.ID, "refresh token": got.Refresh, "assertion": assertion, "nothing": "", "dots": "..", "opaque": "opaque",
		"cut": got.Access[:len(got.Access)-2], "stripped": got.Access[:strings.LastIndexByte(got.Access, '.')+1],
		"none": base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","typ":"at+jwt"}`)) + got.Access[strings.IndexByte(got.Access, '.'):],
	} {
		_, err := w.verify(jwt)
		if fault.CodeOf(err) != fault.InvalidToken {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := w.newPool("other", "https://other.example.com")
	_, err = w.svc.VerifyAccess(t.Context(), other, got.Access)
	wantCode(t, err, fault.InvalidToken)
}

func TestStanding(t *testing.T) {
	for name, end := range map[string]func(*world, *token.Access){
		"time":     func(w *world, _ *token.Access) { w.clock.move(15*time.Minute + 30*time.Second) },
		"disabled": func(w *world, _ *token.Access) { w.pool.Clients["shop"].Disabled = true },
		"removed":  func(w *world, _ *token.Access) { delete(w.pool.Clients, "shop") },
		"key":      func(w *world, _ *token.Access) { w.ring.replace(pool.TokenKeys, testKeys()[1:2]...) },
		"family": func(w *world, a *token.Access) {
			must(w.t, w.svc.EndFamilies(w.t.Context(), w.pool, w.user.Sub, []string{a.OriginJTI}))
		},
		"epoch": func(w *world, _ *token.Access) {
			w.update(func(u *pool.User) { u.Epoch++ })
			must(w.t, w.svc.Revocations().Load(w.t.Context(), w.pool.ID))
		},
		"disabled user": func(w *world, _ *token.Access) {
			w.update(func(u *pool.User) { u.Disabled = true })
			must(w.t, w.svc.Revocations().Load(w.t.Context(), w.pool.ID))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			a := w.good()
			must(t, w.svc.Standing(t.Context(), w.pool, &a))
			end(w, &a)
			wantCode(t, w.svc.Standing(t.Context(), w.pool, &a), fault.InvalidToken)
		})
	}
}

func TestStandingAllocatesNothing(t *testing.T) {
	w := newWorld(t)
	a := w.good()
	set, err := w.ring.Set(t.Context(), w.pool.ID, pool.TokenKeys)
	must(t, err)
	svc := token.New(token.Config{Repo: w.repo, Keys: fixed{w.ring, set}, Now: w.clock.now})
	if n := testing.AllocsPerRun(100, func() {
		if svc.Standing(t.Context(), w.pool, &a) != nil || len(svc.GroupsOf(w.pool, &a)) != 2 {
			t.Fatal("does not stand")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAssertions(t *testing.T) {
	w := newWorld(t)
	at := w.clock.now().Add(-time.Hour)
	who := &pool.Principal{
		Kind: pool.Person, Sub: w.user.Sub, Username: "alice", Email: "alice@example.com", Groups: []string{"staff"},
		Client: "shop", Scopes: []string{"orders.read", "orders.write"}, AuthTime: at, ACR: pool.AAL1, AMR: []string{"pwd"},
	}
	jwt, err := w.svc.Assertion(t.Context(), w.pool, orders, who)
	must(t, err)
	header, payload := claims(t, jwt)
	now := float64(w.clock.now().Unix())
	for name, v := range map[string]any{
		"iss": issuer, "aud": orders, "sub": string(w.user.Sub), "client_id": "shop", "scope": "orders.read orders.write",
		"acr": "aal1", "auth_time": float64(at.Unix()), "iat": now, "exp": now + 60, "email": "alice@example.com",
	} {
		if payload[name] != v {
			t.Errorf("%s = %v, want %v", name, payload[name], v)
		}
	}
	if header["typ"] != "gatehouse+jwt" || header["alg"] != "ES256" || header["kid"] != testKeys()[2].ID() || payload["jti"] != nil {
		t.Errorf("header %v", header)
	}
	if v, err := jose.NewSet(testKeys()[2]).Verify(jwt); err != nil || v.Type != "gatehouse+jwt" {
		t.Errorf("verified: %v, %v", v.Type, err)
	}
	jwt, err = w.svc.Assertion(t.Context(), w.pool, orders, &pool.Principal{Kind: pool.Machine, Client: "batch"})
	must(t, err)
	if _, payload := claims(t, jwt); payload["sub"] != "batch" || payload["client_id"] != "batch" || payload["groups"] != nil {
		t.Errorf("machine: %v", payload)
	}
	_, err = w.svc.Assertion(t.Context(), w.pool, orders, &pool.Principal{})
	wantCode(t, err, fault.Invalid)

	for range 200 {
		who.Groups = append(who.Groups, strings.Repeat("g", 60))
	}
	jwt, err = w.svc.Assertion(t.Context(), w.pool, orders, who)
	must(t, err)
	if _, payload := claims(t, jwt); len(jwt) > 4<<10 || payload["groups_truncated"] != true {
		t.Errorf("%d bytes with many groups", len(jwt))
	}
}

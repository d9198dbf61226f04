package token_test

import (
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// An ID token says whom it was about, long after it has expired.
func TestHint(t *testing.T) {
	w := newWorld(t)
	o := w.order("shop", "openid")
	got, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, w.code(o)))
	must(t, err)
	want := token.Hint{Sub: w.user.Sub, Client: "shop", Session: o.SessionName}
	for _, later := range []time.Duration{0, 90 * 24 * time.Hour} {
		w.clock.move(later)
		if hint, err := w.svc.ReadHint(t.Context(), w.pool, got.ID); err != nil || *hint != want {
			t.Errorf("after %v: %+v, %v", later, hint, err)
		}
	}
}

// A hint that was posted goes on in an address, sealed: it says the same, here
// alone, and to nobody else.
func TestASealedHint(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	want, err := w.svc.ReadHint(t.Context(), w.pool, got.ID)
	must(t, err)
	sealed, err := w.svc.SealHint(t.Context(), w.pool, got.ID)
	must(t, err)
	if hint, err := w.svc.ReadHint(t.Context(), w.pool, sealed); err != nil || *hint != *want {
		t.Errorf("%+v, %v", hint, err)
	}
	if strings.Contains(sealed, got.ID[:20]) || len(sealed) > 400 {
		t.Errorf("%d bytes: %s", len(sealed), sealed)
	}
	for name, bad := range map[string]string{
		"cut": sealed[:len(sealed)-3], "changed": sealed[:30] + "AA" + sealed[32:], "empty": "gh1.", "no base64": "gh1.%%",
	} {
		_, err := w.svc.ReadHint(t.Context(), w.pool, bad)
		if fault.CodeOf(err) != fault.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is no hint does not become one, nor does it stay to be read.
	sealed, err = w.svc.SealHint(t.Context(), w.pool, got.Access)
	must(t, err)
	if strings.Contains(got.Access, sealed) {
		t.Error("an access token goes on in the address")
	}
	_, err = w.svc.ReadHint(t.Context(), w.pool, sealed)
	wantCode(t, err, fault.InvalidRequest)
}

func TestWhatIsNoHint(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	sub := string(w.user.Sub)
	sign := func(typ string, claims map[string]any) string {
		key, err := w.ring.Signer(t.Context(), w.pool.ID, pool.TokenKeys, w.pool.Token.IDAlg)
		must(t, err)
		raw, err := key.Sign(typ, claims)
		must(t, err)
		return raw
	}
	claims := func(change string, value any) map[string]any {
		c := map[string]any{"iss": issuer, "sub": sub, "aud": "shop", "token_use": "id"}
		c[change] = value
		return c
	}
	if _, err := w.svc.ReadHint(t.Context(), w.pool, sign("JWT", claims("iss", issuer))); err != nil {
		t.Errorf("an old one without sid: %v", err)
	}
	assertion, err := w.svc.Assertion(t.Context(), w.pool, orders, &pool.Principal{Kind: pool.Person, Sub: w.user.Sub})
	must(t, err)
	for name, raw := range map[string]string{
		"nothing":              "",
		"an access token":      got.Access,
		"a refresh token":      got.Refresh,
		"an assertion":         assertion,
		"a broken signature":   got.ID[:len(got.ID)-4] + "AAAA",
		"no signature":         got.ID[:strings.LastIndex(got.ID, ".")+1],
		"another type":         sign("at+jwt", claims("iss", issuer)),
		"introspection":        sign("token-introspection+jwt", claims("iss", issuer)),
		"another use":          sign("JWT", claims("token_use", "access")),
		"another issuer":       sign("JWT", claims("iss", issuer+"/")),
		"no user":              sign("JWT", claims("sub", "shop")),
		"two audiences":        sign("JWT", claims("aud", []string{"shop", "two"})),
		"an empty audience":    sign("JWT", claims("aud", "")),
		"claims of wrong type": sign("JWT", claims("sid", 7)),
	} {
		if _, err := w.svc.ReadHint(t.Context(), w.pool, raw); fault.CodeOf(err) != fault.InvalidRequest {
			t.Errorf("%s: %v", name, err)
		}
	}
	other := *w.pool
	other.Issuer = "https://other.example.com"
	_, err = w.svc.ReadHint(t.Context(), &other, got.ID)
	wantCode(t, err, fault.InvalidRequest)
}

// Claims that were asked for by name come where they were asked for, without
// the scope that would bring them, and stay through refreshes.
func TestClaimsByName(t *testing.T) {
	w := newWorld(t)
	w.update(func(u *pool.User) { u.Claims = map[string]string{"nickname": "Al", "address": "1 Long Road\nLondon"} })
	w.pool.Clients["shop"].Scopes = append(w.pool.Clients["shop"].Scopes, "address")
	o := w.order("shop", "openid", func(o *token.CodeOrder) {
		o.IDClaims = []string{"nickname", "address", "locale", "acr", "unheard_of"}
		o.InfoClaims = []string{"email", "nickname"}
	})
	got, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, w.code(o)))
	must(t, err)
	next, err := w.refresh("shop", got.Refresh)
	must(t, err)
	for _, tokens := range []*token.Issued{got, next} {
		_, id := claims(t, tokens.ID)
		if a, _ := id["address"].(map[string]any); id["nickname"] != "Al" || a["formatted"] != "1 Long Road\nLondon" || id["acr"] != "aal1" {
			t.Errorf("%v", id)
		}
		for _, name := range []string{"locale", "email", "name", "unheard_of"} {
			if v, there := id[name]; there {
				t.Errorf("%s is %v", name, v)
			}
		}
		access, err := w.verify(tokens.Access)
		must(t, err)
		asked, err := w.svc.InfoClaims(t.Context(), w.pool, access)
		if err != nil || strings.Join(asked, " ") != "email nickname" {
			t.Errorf("%v, %v", asked, err)
		}
	}
	access, err := w.verify(next.Access)
	must(t, err)
	must(t, w.svc.EndFamilies(t.Context(), w.pool, w.user.Sub, []string{access.OriginJTI}))
	_, err = w.svc.InfoClaims(t.Context(), w.pool, access)
	wantCode(t, err, fault.InvalidToken)
}

// OIDC Core 12.2.
func TestRefreshedIDTokens(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid orders.read")
	_, first := claims(t, got.ID)
	w.clock.move(time.Hour)
	next, err := w.refresh("shop", got.Refresh)
	must(t, err)
	_, second := claims(t, next.ID)
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "sid", "origin_jti"} {
		if first[name] != second[name] || first[name] == nil {
			t.Errorf("%s: %v became %v", name, first[name], second[name])
		}
	}
	if _, there := second["nonce"]; there || first["nonce"] == nil {
		t.Errorf("nonce: %v, then %v", first["nonce"], second["nonce"])
	}
	if second["iat"] == first["iat"] || second["exp"] == first["exp"] {
		t.Errorf("times did not move: %v", second)
	}
}

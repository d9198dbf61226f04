package conformance

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// scopeModules show which claims a scope opens, and that it opens no others
// (OIDC Core 5.4).
func scopeModules() modules {
	return modules{
		"oidcc-scope-profile":                     func(p *party) { p.scope("openid profile") },
		"oidcc-scope-email":                       func(p *party) { p.scope("openid email") },
		"oidcc-scope-address":                     func(p *party) { p.scope("openid address") },
		"oidcc-scope-phone":                       func(p *party) { p.scope("openid phone") },
		"oidcc-scope-all":                         func(p *party) { p.scope("openid profile email address phone") },
		"oidcc-ensure-other-scope-order-succeeds": func(p *party) { p.scope("email openid") },
		"oidcc-claims-essential":                  claimsEssential,
	}
}

// annsClaims is what a client may know of ann, by scope. updated_at is a time
// and looked at apart.
func annsClaims(scope string) map[string]any {
	switch scope {
	case "email":
		return map[string]any{"email": annMail, "email_verified": true}
	case "phone":
		return map[string]any{"phone_number": annPhone, "phone_number_verified": true}
	case "address":
		return map[string]any{"address": map[string]any{"formatted": annClaims()["address"]}}
	case "profile":
		claims := map[string]any{"name": "Ann Example", "preferred_username": ann}
		for name, value := range annClaims() {
			claims[name] = value
		}
		delete(claims, "address")
		return claims
	}
	return nil
}

// scope asks for a scope and compares both places that claims are in with what
// it opens.
func (p *party) scope(scope string) {
	p.t.Helper()
	t := p.passes(p.request("scope", scope))
	granted := strings.Fields(t.Scope)
	asked := strings.Fields(scope)
	slices.Sort(granted)
	slices.Sort(asked)
	if !slices.Equal(granted, asked) {
		p.t.Errorf("granted is %q, asked for was %q", t.Scope, scope)
	}
	want := map[string]any{}
	for _, s := range asked {
		maps.Copy(want, annsClaims(s))
	}
	p.says("userinfo", p.userinfo(t), want, slices.Contains(asked, "profile"))
	p.says("the ID token", t.claims, want, slices.Contains(asked, "profile"))
}

// says compares the claims about a person with what is wanted.
func (p *party) says(where string, claims, want map[string]any, updated bool) {
	p.t.Helper()
	got := maps.Clone(claims)
	at, has := got["updated_at"].(float64)
	delete(got, "updated_at")
	if has != updated || has && (at <= 0 || int64(at) > time.Now().Unix()) {
		p.t.Errorf("%s says updated_at %v", where, claims["updated_at"])
	}
	maps.DeleteFunc(got, func(name string, _ any) bool { return slices.Contains(ofTheToken(), name) })
	if !reflect.DeepEqual(got, want) {
		p.t.Errorf("%s says of the person\n%v, want\n%v", where, got, want)
	}
}

// ofTheToken are the claims that are about no scope's business: those of OIDC
// Core 2 and of the sign-in, and Cognito's (DESIGN 6).
func ofTheToken() []string {
	return []string{
		"iss", "sub", "aud", "exp", "iat", "nonce", "auth_time", "acr", "amr", "azp", "at_hash", "sid",
		"token_use", "origin_jti", "cognito:username",
	}
}

// claimsEssential asks for one claim by name and gets that one (OIDC Core 5.5).
func claimsEssential(p *party) {
	t := p.passes(p.request("claims", `{"userinfo":{"name":{"essential":true}}}`))
	p.says("userinfo", p.userinfo(t), map[string]any{"name": "Ann Example"}, false)
	p.says("the ID token", t.claims, map[string]any{}, false)
}

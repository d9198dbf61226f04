package oauth_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// fullProfile gives the user a value for every standard claim.
func (h *host) fullProfile() {
	h.t.Helper()
	claims := map[string]string{}
	for _, name := range pool.ProfileClaims() {
		claims[name] = "the " + name
	}
	for _, name := range []string{"profile", "picture", "website"} {
		claims[name] = "https://ann.example.com/" + name
	}
	claims["birthdate"], claims["locale"], claims["zoneinfo"] = "1980-02-29", "en-GB", "Europe/London"
	_, err := h.repo.UpdateUser(h.t.Context(), h.pool.ID, h.user.Sub, func(u *pool.User) error {
		u.Claims, u.Phone, u.PhoneVerified = claims, "+15550100", true
		return nil
	})
	must(h.t, err)
	c := h.pool.Clients["spa"]
	c.Scopes = append(slices.Clone(c.Scopes), pool.ScopeAddress)
}

// Each scope tells what OIDC Core 5.4 says, at userinfo and in the ID token alike.
func TestScopesBringStandardClaims(t *testing.T) {
	h := newHost(t)
	h.fullProfile()
	profile := "birthdate family_name gender given_name locale middle_name name nickname picture profile updated_at website zoneinfo"
	for scope, want := range map[string]string{
		"openid":                             "",
		"openid profile":                     profile,
		"openid email":                       "email email_verified",
		"openid phone":                       "phone_number phone_number_verified",
		"openid address":                     "address",
		"openid profile email phone address": "address email email_verified phone_number phone_number_verified " + profile,
	} {
		a := h.redeem(h.code(map[string]string{"scope": scope}))
		res, info := h.userInfo(a.Access)
		names := slices.DeleteFunc(slices.Sorted(maps.Keys(info)), func(n string) bool { return n == "sub" })
		wanted := strings.Fields(want)
		slices.Sort(wanted)
		if res.StatusCode != 200 || !slices.Equal(names, wanted) {
			t.Errorf("%s: %d %v", scope, res.StatusCode, names)
		}
		id := claims(t, a.ID)
		if info["sub"] != id["sub"] {
			t.Errorf("%s: sub is %v and %v", scope, info["sub"], id["sub"])
		}
		for _, name := range wanted {
			if got, want := jsonOf(t, id[name]), jsonOf(t, info[name]); got != want {
				t.Errorf("%s: %s is %s and %s", scope, name, got, want)
			}
		}
	}
	_, info := h.userInfo(h.redeem(h.code(map[string]string{"scope": "openid profile email phone address"})).Access)
	if got := jsonOf(t, info["address"]); got != `{"formatted":"the address"}` {
		t.Errorf("address is %s", got)
	}
	if info["email_verified"] != true || info["phone_number_verified"] != true || info["given_name"] != "the given_name" {
		t.Errorf("%v", info)
	}
	if at, number := info["updated_at"].(float64); !number || time.Since(time.Unix(int64(at), 0)).Abs() > time.Hour {
		t.Errorf("updated_at is %v", info["updated_at"])
	}
}

// What was asked for by name in the authorization request comes here, and
// comes after refreshes too.
func TestClaimsByNameAtUserInfo(t *testing.T) {
	h := newHost(t)
	h.fullProfile()
	a := h.redeem(h.code(map[string]string{"claims": `{"id_token": {"locale": {"essential": true}},
		"userinfo": {"nickname": null, "email": null, "email_verified": {"essential": true}, "sub": null, "password": null, "unheard_of": null}}`}))
	if id := claims(t, a.ID); id["locale"] != "en-GB" || id["nickname"] != nil {
		t.Errorf("%v", id)
	}
	for _, access := range []string{a.Access, h.refresh(a.Refresh).Access} {
		res, info := h.userInfo(access)
		want := map[string]any{"sub": string(h.user.Sub), "nickname": "the nickname", "email": "ann@example.com", "email_verified": true}
		if res.StatusCode != 200 || !maps.Equal(info, want) {
			t.Errorf("%d %v", res.StatusCode, info)
		}
	}
}

// OIDC Core 5.3.1, RFC 6750 2: in the header or in the body of a form, once.
func TestWaysToUserInfo(t *testing.T) {
	h := newHost(t)
	access := h.redeem(h.code(map[string]string{"scope": "openid email"})).Access
	form := url.Values{"access_token": {access}}.Encode()
	for _, c := range []struct {
		name, method, query, body string
		header                    []string
		status                    int
		challenge                 string
	}{
		{"GET", "GET", "", "", []string{"Authorization", "Bearer " + access}, 200, ""},
		{"any case", "GET", "", "", []string{"Authorization", "bEARER " + access}, 200, ""},
		{"POST, header", "POST", "", "", []string{"Authorization", "Bearer " + access}, 200, ""},
		{"POST, header, an empty form", "POST", "", "a=b", []string{"Authorization", "Bearer " + access}, 200, ""},
		{"POST, body", "POST", "", form, nil, 200, ""},
		{"both", "POST", "", form, []string{"Authorization", "Bearer " + access}, 400, ""},
		{"twice in the body", "POST", "", form + "&" + form, nil, 400, ""},
		{"two headers", "GET", "", "", []string{"Authorization", "Bearer " + access, "Authorization", "Bearer " + access}, 400, ""},
		{"the address", "GET", form, "", nil, 401, "Bearer"},
		{"the address of a POST", "POST", form, "a=b", nil, 401, "Bearer"},
		{"nothing", "GET", "", "", nil, 401, "Bearer"},
		{"another scheme", "GET", "", "", []string{"Authorization", basic("web", "older")}, 401, "Bearer"},
		{"a broken token", "GET", "", "", []string{"Authorization", "Bearer x"}, 401, `Bearer error="invalid_token", error_description="the token is not valid"`},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, h.URL+"/oauth2/userInfo?"+c.query, strings.NewReader(c.body))
		must(t, err)
		if c.body != "" {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		}
		res := h.sent(r, c.header)
		if res.StatusCode != c.status || res.Header.Get("WWW-Authenticate") != c.challenge || res.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %d, %q, %s", c.name, res.StatusCode, res.Header.Get("WWW-Authenticate"), res.body)
		}
		if c.challenge == "Bearer" && res.body != "" { // RFC 6750 3.1: no error code
			t.Errorf("%s: %s", c.name, res.body)
		}
		var info map[string]any
		if c.status == 200 && (json.Unmarshal([]byte(res.body), &info) != nil || info["email"] != "ann@example.com") {
			t.Errorf("%s: %s", c.name, res.body)
		}
	}
	h.wantQuietLog(t, access)
}

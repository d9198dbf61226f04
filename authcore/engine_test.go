package authcore_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func TestFromTheLinkToTheApplication(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/hello?x=1")
	if b.status != http.StatusOK || b.body != "upstream" || b.url.String() != appOrigin+"/hello?x=1" {
		t.Fatalf("%d at %s: %s", b.status, b.url, b.body)
	}
	h := w.reached.Header
	if h.Get("X-Auth-User") == "" || h.Get("X-Auth-Email") != "ann@example.com" || h.Get("X-Auth-Groups") != pool.OperatorsGroup || h.Get("X-Auth-Client") != "" {
		t.Errorf("headers %v", h)
	}
	if h.Get("Cookie") != "" {
		t.Errorf("our cookies reached the upstream: %s", h.Get("Cookie"))
	}
	if w.who.Principal.Kind != pool.Person || !w.who.Principal.Browser || w.who.Resource != appOrigin {
		t.Errorf("%+v", w.who)
	}
	claims := payload(t, h.Get("X-Auth-Assertion"))
	if claims["aud"] != appOrigin || claims["sub"] != h.Get("X-Auth-User") || claims["exp"].(float64)-claims["iat"].(float64) > 60 {
		t.Errorf("assertion %v", claims)
	}
	if links, err := w.engine.FirstLinks(context.Background()); err != nil || len(links) != 0 {
		t.Errorf("a pool with users prints a link: %v, %v", links, err)
	}
}

// payload decodes a JWT's claims without judging them.
func payload(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(raw, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// TestTheMatrix: every kind of condition against every kind of caller.
func TestTheMatrix(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	foreign := newWorld(t)
	foreign.firstUser("ann@example.com")
	expired := w.machine("orders.read")
	w.clock.add(16 * time.Minute)
	user := b.grant("openid orders.read")["access_token"].(string)
	callers := []struct{ name, token string }{
		{"nobody", ""}, {"machine", w.machine("orders.read")}, {"user", user}, {"wrong audience", w.machine("stock.read")},
		{"expired", expired}, {"foreign", foreign.machine("orders.read")}, {"damaged", user[:len(user)-4] + "AAAA"},
		{"id token", b.grant("openid orders.read")["id_token"].(string)}, {"browser", "cookie"},
	}
	invalid := `error="invalid_token"`
	for _, c := range []struct {
		name string
		rule guard.Rule
		want map[string]string // caller → status and what the challenge holds
	}{
		{"nothing asked", guard.Rule{}, map[string]string{
			"nobody": "401", "machine": "200", "user": "200", "wrong audience": "401 " + invalid, "expired": "401 " + invalid,
			"foreign": "401 " + invalid, "damaged": "401 " + invalid, "id token": "401 " + invalid, "browser": "200"}},
		{"scope held", guard.Rule{Scopes: []string{"orders.read"}}, map[string]string{
			"nobody": `401 scope="orders.read"`, "machine": "200", "user": "200", "wrong audience": "401 " + invalid,
			"expired": "401 " + invalid, "browser": `401 scope="orders.read"`}},
		{"scope not held", guard.Rule{Scopes: []string{"orders.write"}}, map[string]string{
			"nobody": "401", "machine": `403 error="insufficient_scope"`, "user": `403 scope="orders.write"`, "browser": "401"}},
		{"client", guard.Rule{Clients: []string{"batch"}}, map[string]string{"nobody": "401", "machine": "200", "user": "403", "browser": "401"}},
		{"group held", guard.Rule{Groups: [][]string{{"staff", "operators"}}}, map[string]string{
			"nobody": "401", "machine": "403", "user": "200", "browser": "200"}},
		{"group not held", guard.Rule{Groups: [][]string{{"staff"}}}, map[string]string{"machine": "403", "user": "403", "browser": "403"}},
		{"browser", guard.Rule{Browser: true}, map[string]string{"nobody": "401", "machine": "403", "user": "403", "browser": "200"}},
		{"api", guard.Rule{API: true}, map[string]string{"nobody": "401", "machine": "200", "user": "200", "browser": "401"}},
	} {
		c.rule.Mode = guard.Require
		w.gate(apiOrigin, c.rule)
		w.gate(appOrigin, c.rule)
		for _, caller := range callers {
			want, ok := c.want[caller.name]
			if !ok {
				continue
			}
			target, token := apiOrigin, caller.token
			r, err := http.NewRequest(http.MethodGet, target+"/x", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			if token == "cookie" { // a script of the application's own page
				r, err = http.NewRequest(http.MethodGet, appOrigin+"/x", http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				r.Header.Set("Sec-Fetch-Mode", "cors")
				for _, ck := range b.jar.Cookies(r.URL) {
					r.AddCookie(ck)
				}
			} else if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			res, err := w.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			status, challenge, _ := strings.Cut(want, " ")
			header := res.Header.Get("WWW-Authenticate")
			if http.StatusText(res.StatusCode) == "" || status != itoa(res.StatusCode) || !strings.Contains(header, challenge) {
				t.Errorf("%s, %s: %d, challenge %q, want %s", c.name, caller.name, res.StatusCode, header, want)
			}
			if (res.StatusCode == http.StatusOK) != (w.reached != nil) {
				t.Errorf("%s, %s: %d, reached %v", c.name, caller.name, res.StatusCode, w.reached != nil)
			}
			if res.StatusCode == http.StatusUnauthorized && !strings.HasPrefix(header, "Bearer resource_metadata=") {
				t.Errorf("%s, %s: a 401 with the challenge %q", c.name, caller.name, header)
			}
			if caller.name == "nobody" && strings.Contains(header, "error=") {
				t.Errorf("%s: an error code for nobody: %q", c.name, header)
			}
		}
	}
}

func itoa(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}

func TestSecondLinesAddUp(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	write := b.grant("orders.read orders.write")["access_token"].(string)
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require, Scopes: []string{"orders.read"}}, guard.Rule{Mode: guard.Require, Scopes: []string{"orders.write"}})
	if res := w.call("POST", apiOrigin+"/", w.machine("orders.read")); res.StatusCode != http.StatusForbidden || w.reached != nil {
		t.Errorf("%d", res.StatusCode)
	}
	if res := w.call("POST", apiOrigin+"/", write); res.StatusCode != http.StatusOK || w.reached.Header.Get("X-Auth-Scopes") != "orders.read,orders.write" {
		t.Errorf("%d %v", res.StatusCode, w.reached)
	}
	if got := w.reached.Header.Get("Authorization"); got != "Bearer "+write {
		t.Errorf("the token did not go on to its resource: %q", got)
	}
	// A route for people, tightened by group, is read from the cookie once.
	w.gate(appOrigin, guard.Rule{Mode: guard.Require}, guard.Rule{Mode: guard.Require, Groups: [][]string{{"operators"}}})
	if b.get(appOrigin + "/"); b.body != "upstream" {
		t.Errorf("%d %s", b.status, b.body)
	}
	w.gate(appOrigin, guard.Rule{Mode: guard.Require}, guard.Rule{Mode: guard.Require, Groups: [][]string{{"staff"}}})
	if b.get(appOrigin + "/"); b.status != http.StatusForbidden || w.reached != nil || !strings.Contains(b.body, "<html") {
		t.Errorf("%d %s", b.status, b.body)
	}
}

func TestPublicPathsAndRoutes(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	for _, target := range []string{appOrigin + "/healthz"} {
		if res := w.call("GET", target, ""); res.StatusCode != http.StatusOK || w.who.Principal.Kind != pool.Anonymous {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
	}
	for _, target := range []string{appOrigin + "/healthz/..%2fx", appOrigin + "/x?/healthz", appOrigin + "//healthz"} {
		if res := w.call("GET", target, ""); res.StatusCode != http.StatusUnauthorized || w.reached != nil {
			t.Errorf("%s: %d", target, res.StatusCode)
		}
	}
	b.get(appOrigin + "/")
	w.gate(appOrigin, guard.Rule{Mode: guard.Public})
	if b.get(appOrigin + "/any"); w.reached == nil || w.reached.Header.Get("X-Auth-User") == "" {
		t.Error("a signed-in caller of a public route is named")
	}
	// A token that does not open this site is neither believed nor passed on.
	if res := w.call("GET", appOrigin+"/any", w.machine("orders.read")); res.StatusCode != http.StatusOK || w.reached.Header.Get("Authorization") != "" || w.reached.Header.Get("X-Auth-Client") != "" {
		t.Errorf("%d %v", res.StatusCode, w.reached.Header)
	}
	// Somebody else's token is the upstream's business.
	if res := w.call("GET", appOrigin+"/any", "opaque"); res.StatusCode != http.StatusOK || w.reached.Header.Get("Authorization") != "Bearer opaque" {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestSigningOutEndsEverything(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	tokens := b.grant("openid orders.read")
	access, refresh := tokens["access_token"].(string), tokens["refresh_token"].(string)
	if w.call("GET", apiOrigin+"/", access).StatusCode != http.StatusOK {
		t.Fatal("the token does not work")
	}
	site := b.jar.Cookies(b.url)
	b.get(appOrigin + "/_auth/logout") // not from the application's own page: the login host asks
	if b.url.Host != "login.localhost" || !strings.Contains(b.body, "<form") {
		t.Fatalf("%d at %s", b.status, b.url)
	}
	b.submit(nil)
	if b.status != http.StatusOK {
		t.Fatalf("%d at %s: %s", b.status, b.url, b.body)
	}
	if b.get(appOrigin + "/"); b.url.Path != "/login" {
		t.Errorf("still signed in at %s", b.url)
	}
	_ = site
	if res := w.call("GET", apiOrigin+"/", access); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the access token still works: %d", res.StatusCode)
	}
	if status, answer := w.token(map[string][]string{"grant_type": {"refresh_token"}, "client_id": {"web"}, "refresh_token": {refresh}}, ""); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("the refresh token still works: %d %v", status, answer)
	}
}

func TestDisablingEndsEverything(t *testing.T) {
	w := newWorld(t)
	w.firstUser("root@example.com")
	if status, answer := w.admin("POST", "/users", map[string]any{"identifier": "bob@example.com", "password": password, "groups": []string{"staff"}}); status != 200 {
		t.Fatal(answer)
	}
	b := w.browser()
	b.get(appOrigin + "/a")
	b.submit(map[string]string{"identifier": "BOB@example.com", "password": password})
	if b.body != "upstream" || b.url.Path != "/a" {
		t.Fatalf("%d at %s: %s", b.status, b.url, b.body)
	}
	if got := w.reached.Header.Get("X-Auth-Email"); got != "bob@example.com" {
		t.Errorf("e-mail %q", got)
	}
	access := b.grant("orders.read")["access_token"].(string)
	for _, verb := range []string{"disable", "enable", "disable"} {
		if status, answer := w.admin("POST", "/users/bob@example.com/"+verb, nil); status != 200 {
			t.Fatal(answer)
		}
		if !b.signedOutSoon() {
			t.Errorf("%s: still signed in at %s", verb, b.url)
		}
		if res := w.call("GET", apiOrigin+"/", access); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: the access token works: %d", verb, res.StatusCode)
		}
	}
	b.submit(map[string]string{"identifier": "bob@example.com", "password": password})
	if b.url.Path != "/login" || b.status != http.StatusForbidden {
		t.Errorf("a disabled user signed in: %d at %s", b.status, b.url)
	}
}

func TestAChangedPasswordEndsSessions(t *testing.T) {
	w := newWorld(t)
	w.firstUser("root@example.com")
	if status, answer := w.admin("POST", "/users", map[string]any{"identifier": "bob", "password": password, "groups": []string{"staff"}}); status != 200 {
		t.Fatal(answer)
	}
	w.gate(appOrigin, guard.Rule{Mode: guard.Require, Groups: [][]string{{"staff"}}})
	b := w.browser()
	b.get(appOrigin + "/")
	b.submit(map[string]string{"identifier": "bob", "password": password})
	if b.body != "upstream" {
		t.Fatalf("%d at %s", b.status, b.url)
	}
	if status, answer := w.admin("POST", "/users/bob/password", map[string]any{"password": password + "!"}); status != 200 {
		t.Fatal(answer)
	}
	if !b.signedOutSoon() {
		t.Errorf("a changed password left the session alive at %s", b.url)
	}
}

func TestSessionsEndWithTime(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	for range 40 { // in use: alive for longer than it may idle
		w.clock.add(time.Hour)
		if b.get(appOrigin + "/"); b.body != "upstream" {
			t.Fatalf("%d at %s", b.status, b.url)
		}
	}
	w.clock.add(12*time.Hour + time.Minute)
	if b.get(appOrigin + "/"); b.url.Path != "/login" {
		t.Errorf("idle for 12 hours and still signed in at %s", b.url)
	}
}

func TestAnotherOriginIsNobodys(t *testing.T) {
	w := newWorld(t)
	w.handlers["http://evil.localhost"] = w.handlers[appOrigin]
	if res := w.call("GET", "http://evil.localhost/", ""); res.StatusCode != http.StatusMisdirectedRequest || w.reached != nil {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestCallbacksOfOthersAreRefused(t *testing.T) {
	w := newWorld(t)
	victim := w.browser()
	attacker := w.firstUser("ann@example.com")
	// The attacker's own code, carried to the victim's browser.
	r, err := http.NewRequest(http.MethodGet, appOrigin+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	res, err := w.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	attacker.get(res.Header.Get("Location")) // ends at the callback, without the transaction's cookie
	if attacker.url.Path != guard.CallbackPath || attacker.status != http.StatusBadRequest {
		t.Fatalf("%d at %s", attacker.status, attacker.url)
	}
	victim.get(attacker.url.String())
	if victim.status != http.StatusBadRequest || len(victim.jar.Cookies(victim.url)) != 0 {
		t.Errorf("%d %v", victim.status, victim.jar.Cookies(victim.url))
	}
}

func TestTabsDoNotDisturbOneAnother(t *testing.T) {
	w := newWorld(t)
	w.firstUser("ann@example.com")
	b := w.browser()
	b.get(appOrigin + "/first")
	first := *b
	b.get(appOrigin + "/second")
	b.submit(map[string]string{"identifier": "ann@example.com", "password": password})
	if b.url.Path != "/second" || b.body != "upstream" {
		t.Errorf("%d at %s", b.status, b.url)
	}
	first.submit(map[string]string{"identifier": "ann@example.com", "password": password})
	if first.url.Path != "/first" || first.body != "upstream" {
		t.Errorf("%d at %s", first.status, first.url)
	}
}

func TestCrossSiteWritesNeedProof(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	for name, c := range map[string]struct {
		header http.Header
		want   int
	}{
		"own page":     {http.Header{"Origin": {appOrigin}, "Sec-Fetch-Site": {"same-origin"}}, 200},
		"another site": {http.Header{"Origin": {"https://evil.example"}, "Sec-Fetch-Site": {"cross-site"}}, 403},
		"sibling":      {http.Header{"Origin": {otherOrigin}, "Sec-Fetch-Site": {"same-site"}}, 403},
		"null":         {http.Header{"Origin": {"null"}}, 403},
		"says nothing": {http.Header{}, 403},
		"two origins":  {http.Header{"Origin": {appOrigin, "https://evil.example"}}, 403},
	} {
		r, err := http.NewRequest(http.MethodPost, appOrigin+"/x", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = c.header.Clone()
		for _, ck := range b.jar.Cookies(r.URL) {
			r.AddCookie(ck)
		}
		res, err := w.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != c.want {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

func TestMeTellsTheSitesOwnPages(t *testing.T) {
	w := newWorld(t)
	if res := w.call("GET", appOrigin+"/_auth/me", ""); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("%d", res.StatusCode)
	}
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	b.get(appOrigin + "/_auth/me")
	var me map[string]any
	if err := json.Unmarshal([]byte(b.body), &me); err != nil || me["sub"] == "" || me["acr"] != "aal1" {
		t.Errorf("%s, %v", b.body, err)
	}
	if b.get(appOrigin + "/_auth/unknown"); b.status != http.StatusNotFound || w.reached != nil {
		t.Errorf("%d", b.status)
	}
}

func TestTheIssuerDoesNotMove(t *testing.T) {
	w := newWorld(t)
	c := config()
	c.Pools[0].Login.Origin = "http://elsewhere.localhost"
	if _, err := authcore.New(context.Background(), c, w.state); err == nil || !strings.Contains(err.Error(), "issuer") {
		t.Errorf("%v", err)
	}
	c.Pools[0].Issuer = "http://elsewhere.localhost"
	e, err := authcore.New(context.Background(), c, w.state)
	if err != nil {
		t.Fatal(err)
	}
	e.Close()
}

func TestAClientMayNameASite(t *testing.T) {
	c := config()
	c.Pools[0].Clients[0].Resources = []string{appOrigin, apiOrigin}
	newWorld(t).configure(c)

	unplaced := c.Pools[0]
	unplaced.Sites = nil
	if err := (&authcore.Config{Pools: []authcore.PoolConfig{unplaced}}).Validate(); err != nil {
		t.Errorf("before sites are known: %v", err)
	}
	c.Pools[0].Clients[0].Resources = []string{"https://elsewhere.example.com"}
	if err := c.Validate(); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a resource that is none: %v", err)
	}
	state := newWorld(t).state
	c.Pools[0].Sites = nil
	if _, err := authcore.New(t.Context(), c, state); err == nil || !strings.Contains(err.Error(), "elsewhere") {
		t.Errorf("a resource that is none, in a pool without sites: %v", err)
	}
}

func TestARefusedConfigurationLeavesThePoolsOfTheOldOne(t *testing.T) {
	w := newWorld(t)
	w.firstUser("ann@example.com")
	c := config()
	c.Pools[0].Clients = nil
	e, err := authcore.New(context.Background(), c, w.state)
	if err != nil {
		t.Fatal(err)
	}
	if _, answer := w.admin("GET", "/clients", nil); len(answer["clients"].([]any)) != 3 {
		t.Errorf("%v", answer)
	}
	e.Close() // as when another app of that configuration did not start
	if _, answer := w.admin("GET", "/clients", nil); len(answer["clients"].([]any)) != 5 {
		t.Errorf("%v", answer)
	}
}

func TestTheAdminAPIRefuses(t *testing.T) {
	w := newWorld(t)
	w.firstUser("ann@example.com")
	for _, c := range []struct {
		method, path string
		in           any
		want         int
	}{
		{"GET", "/users/nobody@example.com", nil, 404},
		{"POST", "/users", map[string]any{"identifier": "not an identifier\n"}, 400},
		{"POST", "/users", map[string]any{"identifier": "ann@example.com"}, 409},
		{"POST", "/users", map[string]any{"identifier": "bob", "groups": []string{"nope"}}, 400},
		{"POST", "/users", map[string]any{"identifier": "bob", "password": "password"}, 400},
		{"POST", "/users", map[string]any{"identifier": "bob", "admin": true}, 400},
		{"POST", "/users/ann@example.com/promote", nil, 404},
		{"GET", "/users?limit=100000", nil, 400},
		{"GET", "/users?after=forged", nil, 400},
		{"GET", "/clients/nope", nil, 404},
		{"POST", "/keys/rotate", map[string]any{"use": "nope"}, 400},
	} {
		if status, answer := w.admin(c.method, c.path, c.in); status != c.want || answer["error"] == nil || answer["message"] == "" {
			t.Errorf("%s %s: %d %v", c.method, c.path, status, answer)
		}
	}
	if _, answer := w.admin("GET", "/clients/batch", nil); strings.Contains(toJSON(t, answer), batchSecret) {
		t.Error("a secret is shown")
	}
	if _, answer := w.admin("GET", "/users/ann@example.com", nil); strings.Contains(toJSON(t, answer), "argon2") {
		t.Error("a hash is shown")
	}
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

package authcore_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

const (
	webBack = "http://127.0.0.1:7777/callback"
	webBye  = "http://127.0.0.1/bye"
	verify  = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// ask opens the web client's authorization request with more parameters.
func (b *browser) ask(pairs ...string) {
	b.w.t.Helper()
	sum := sha256.Sum256([]byte(verify))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {webBack}, "scope": {"openid email offline_access"}, "state": {secret.Token(8)},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	b.get(loginOrigin + "/oauth2/authorize?" + q.Encode())
}

// granted redeems the code that the browser has arrived with.
func (b *browser) granted() (tokens, id map[string]any) {
	b.w.t.Helper()
	code := b.url.Query().Get("code")
	if code == "" {
		b.w.t.Fatalf("no code at %s (%d):\n%s", b.url, b.status, b.body)
	}
	status, tokens := b.w.token(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"web"}, "code": {code}, "redirect_uri": {webBack}, "code_verifier": {verify},
	}, "")
	if status != http.StatusOK {
		b.w.t.Fatal(tokens)
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(tokens["id_token"].(string), ".")[1])
	if err != nil {
		b.w.t.Fatal(err)
	}
	if err := json.Unmarshal(payload, &id); err != nil {
		b.w.t.Fatal(err)
	}
	return tokens, id
}

// link follows a link of the page whose address begins with a prefix.
func (b *browser) link(prefix string) {
	b.w.t.Helper()
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(b.body, -1) {
		if to := html.UnescapeString(m[1]); strings.HasPrefix(to, prefix) {
			b.get(loginOrigin + to)
			return
		}
	}
	b.w.t.Fatalf("no link to %s at %s:\n%s", prefix, b.url, b.body)
}

// pick chooses an account on the page that shows them.
func (b *browser) pick(label string) {
	b.w.t.Helper()
	for _, m := range regexp.MustCompile(`(?s)name="account" value="([^"]*)".*?<bdi>([^<]*)</bdi>`).FindAllStringSubmatch(b.body, -1) {
		if m[2] == label {
			b.submit(map[string]string{"account": m[1]})
			return
		}
	}
	b.w.t.Fatalf("%s is not offered at %s:\n%s", label, b.url, b.body)
}

// twoPeople is a world in which ann and bob have accounts, and a browser in
// which ann is signed in.
func twoPeople(t *testing.T) (*world, *browser) {
	t.Helper()
	w := newWorld(t)
	c := config()
	c.Pools[0].Clients[0].Logouts = []string{webBye}
	w.configure(c)
	b := w.firstUser("ann@example.com")
	if status, answer := w.admin("POST", "/users", map[string]string{"identifier": "bob@example.com", "password": password}); status >= 300 {
		t.Fatal(status, answer)
	}
	w.clock.add(time.Minute)
	return w, b
}

// TestTwoAccountsInOneBrowser goes the whole way: another account beside the
// first, the choice between them, an application and a site with each, and a
// sign-out that concerns one of them.
func TestTwoAccountsInOneBrowser(t *testing.T) {
	w, b := twoPeople(t)
	b.ask("prompt", "select_account")
	if b.url.Path != "/select" {
		t.Fatalf("at %s", b.url)
	}
	b.link("/login")
	b.submit(map[string]string{"identifier": "bob@example.com", "password": password})
	bobs, bob := b.granted()
	if bob["email"] != "bob@example.com" {
		t.Fatalf("%v", bob)
	}
	b.ask("prompt", "select_account")
	b.pick("ann@example.com")
	_, ann := b.granted()
	if ann["email"] != "ann@example.com" {
		t.Fatalf("%v", ann)
	}
	// The one that was chosen last is in use, unless the application means another.
	b.ask()
	if _, id := b.granted(); id["sub"] != ann["sub"] {
		t.Errorf("in use: %v", id["email"])
	}
	b.ask("id_token_hint", bobs["id_token"].(string), "prompt", "none")
	if _, id := b.granted(); id["sub"] != bob["sub"] {
		t.Errorf("the hint means bob, not %v", id["email"])
	}
	b.ask("login_hint", "bob@example.com")
	if _, id := b.granted(); id["sub"] != bob["sub"] {
		t.Errorf("the hint means bob, not %v", id["email"])
	}
	b.get(appOrigin + "/")
	if b.status != http.StatusOK || w.reached.Header.Get("X-Auth-User") != ann["sub"] {
		t.Errorf("%d at %s as %q", b.status, b.url, w.reached.Header.Get("X-Auth-User"))
	}

	b.get(loginOrigin + "/logout?" + url.Values{
		"id_token_hint": {bobs["id_token"].(string)}, "post_logout_redirect_uri": {webBye}, "state": {"s"},
	}.Encode())
	if b.url.String() != webBye+"?state=s" {
		t.Fatalf("at %s", b.url)
	}
	b.ask("id_token_hint", bobs["id_token"].(string), "prompt", "none")
	if got := b.url.Query().Get("error"); got != "login_required" {
		t.Errorf("bob is signed in: %s", b.url)
	}
	b.get(appOrigin + "/")
	if b.status != http.StatusOK || b.url.Path != "/" {
		t.Errorf("ann was signed out too: %d at %s", b.status, b.url)
	}
}

// TestAFreshSignInOfAnotherAccount: prompt=login with two accounts ends in one
// sign-in and no loop, whoever signs in.
func TestAFreshSignInOfAnotherAccount(t *testing.T) {
	w, b := twoPeople(t)
	for _, who := range []string{"bob@example.com", "ann@example.com", "ann@example.com"} {
		for _, how := range [][]string{{"prompt", "login"}, {"max_age", "0"}, {"prompt", "login select_account"}} {
			w.clock.add(time.Minute)
			b.ask(how...)
			if b.url.Path == "/select" {
				b.link("/login")
			}
			b.submit(map[string]string{"identifier": who, "password": password})
			if _, id := b.granted(); id["email"] != who {
				t.Errorf("%v: %v", how, id)
			}
		}
	}
}

// TestAnAccountThatIsTooOldSignsInAgain: to choose it is not enough.
func TestAnAccountThatIsTooOldSignsInAgain(t *testing.T) {
	w, b := twoPeople(t)
	w.clock.add(time.Hour)
	b.ask("prompt", "select_account", "max_age", "60")
	b.pick("ann@example.com")
	if b.url.Path != "/login" {
		t.Fatalf("at %s", b.url)
	}
	b.submit(map[string]string{"identifier": "ann@example.com", "password": password})
	if _, id := b.granted(); id["email"] != "ann@example.com" {
		t.Errorf("%v", id)
	}
}

// TestTheLogoutEndpointIsDescribed: applications find it in the metadata, and
// what it takes from Cognito's clients does the same.
func TestTheLogoutEndpointIsDescribed(t *testing.T) {
	_, b := twoPeople(t)
	b.get(loginOrigin + "/.well-known/openid-configuration")
	var metadata map[string]any
	if err := json.Unmarshal([]byte(b.body), &metadata); err != nil {
		t.Fatal(err)
	}
	if metadata["end_session_endpoint"] != loginOrigin+"/logout" {
		t.Errorf("%v", metadata["end_session_endpoint"])
	}
	b.get(appOrigin + "/")
	b.get(loginOrigin + "/logout?client_id=web&logout_uri=" + url.QueryEscape(webBye))
	if b.url.String() != webBye {
		t.Fatalf("at %s", b.url)
	}
	if !b.signedOutSoon() {
		t.Error("still in the application")
	}
	b.get(loginOrigin + "/logout?client_id=web&redirect_uri=" + url.QueryEscape(webBack) + "&response_type=code&scope=openid&state=s")
	if b.url.Path != "/login" || b.url.Query().Get("client_id") != "web" || !slices.Equal(b.url.Query()["redirect_uri"], []string{webBack}) {
		t.Errorf("at %s", b.url)
	}
}

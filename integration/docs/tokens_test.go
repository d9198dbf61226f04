package docs

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const docPassword = "seven lanterns by the gate"

// tokenWorld runs the configuration of docs/tokens-and-headers.md. The shop's
// callback is at a port where nothing listens, so that browsers stop there.
func tokenWorld(t *testing.T) (*harness.Server, harness.Client) {
	t.Helper()
	shop := harness.Client{ID: "shop", Redirect: "http://127.0.0.1:1/callback"}
	files := page{text: tokensPage(t)}.blocks("caddyfile")
	if len(files) != 1 {
		t.Fatalf("%d Caddyfiles on the page, want 1", len(files))
	}
	return run(t, strings.NewReplacer(
		"redirect https://shop.example.com/callback", "redirect "+shop.Redirect,
		"logout_redirect https://shop.example.com/", "logout_redirect http://127.0.0.1:1/",
	).Replace(files[0]), harness.NewUpstream(t)), shop
}

// TestTokenExamples runs the page's lines about introspection and revocation.
func TestTokenExamples(t *testing.T) {
	s, _ := tokenWorld(t)
	out := shell(t, s, t.TempDir(), marked(t, tokensPage(t), "sh", "tokens"))
	first, rest, _ := strings.Cut(out, "}")
	var answer struct {
		Active bool   `json:"active"`
		Scope  string `json:"scope"`
		Client string `json:"client_id"`
	}
	if err := json.Unmarshal([]byte(first+"}"), &answer); err != nil || !answer.Active || answer.Scope != "orders.read" || answer.Client != batch.ID {
		t.Fatalf("what the API is told: %v %s", err, out)
	}
	signed, last, _ := strings.Cut(strings.TrimSpace(rest), "{")
	said := claims(t, strings.TrimSpace(signed))
	for _, name := range []string{"iss", "aud", "iat", "token_introspection"} {
		if said[name] == nil {
			t.Errorf("the signed answer has no %s: %v", name, said)
		}
	}
	if len(said) != 4 || strings.TrimSpace(last) != `"active":false}` {
		t.Errorf("signed: %v; after the revocation: %q", said, last)
	}
}

// TestLogoutExamples opens each of the page's addresses in a browser that is
// signed in.
func TestLogoutExamples(t *testing.T) {
	s, shop := tokenWorld(t)
	login := harness.Provider{Base: s.URL("login")}
	s.AddUser("ann@example.com", docPassword)
	lines := strings.Fields(marked(t, tokensPage(t), "text", "logout"))
	ends := []string{"http://127.0.0.1:1/?state=xyz", "http://127.0.0.1:1/", s.URL("login") + "/login"}
	if len(lines) != len(ends) {
		t.Fatalf("%d addresses, want %d", len(lines), len(ends))
	}
	for i, line := range lines {
		b := harness.NewBrowser(t)
		got, err := login.Redeem(shop, login.GetCode(t, b, shop, "openid", "ann@example.com", docPassword))
		if err != nil || got.ID == "" {
			t.Fatalf("%+v, %v", got, err)
		}
		line = strings.NewReplacer("$ID_TOKEN", got.ID, "https://shop.example.com/callback", url.QueryEscape(shop.Redirect),
			"https://shop.example.com/", url.QueryEscape("http://127.0.0.1:1/"), "https://login.example.com", s.URL("login")).Replace(line)
		b.Get(line)
		if !strings.HasPrefix(b.URL.String(), ends[i]) {
			t.Errorf("%s: %d at %s, want %s", line, b.Status, b.URL, ends[i])
		}
		again, _ := login.Authorize(shop, "openid", url.Values{"prompt": {"none"}})
		if b.Get(again); b.URL.Query().Get("error") != "login_required" {
			t.Errorf("%s: still signed in: %s", line, b.URL)
		}
		if after, err := login.Refresh(shop, got.Refresh); err != nil || after.Error != "invalid_grant" {
			t.Errorf("%s: the refresh token: %+v, %v", line, after, err)
		}
	}
}

var described = regexp.MustCompile(`error_description="[^"]*"`)

// TestStepUpExample compares the challenge that the page shows with a real
// one, and follows it to a token that is let in.
func TestStepUpExample(t *testing.T) {
	s, shop := tokenWorld(t)
	login := harness.Provider{Base: s.URL("login")}
	answer, _ := harness.Call(t, http.MethodGet, s.URL("orders")+"/refunds/1", login.Machine(t, harness.Client{ID: batch.ID, Secret: secretOf("BATCH_SECRET")}, "orders.read"))
	want := strings.ReplaceAll(strings.TrimSpace(marked(t, tokensPage(t), "text", "step-up")), "https://orders.example.com", s.URL("orders"))
	got := answer.Header.Get("WWW-Authenticate")
	if answer.StatusCode != http.StatusUnauthorized || described.ReplaceAllString(got, "") != described.ReplaceAllString(want, "") {
		t.Errorf("%s\n got %s\nwant %s", answer.Status, got, want)
	}

	s.AddUser("ann@example.com", docPassword)
	target, verifier := login.Authorize(shop, "openid orders.read", url.Values{"max_age": {"300"}, "acr_values": {"aal1"}})
	b := harness.NewBrowser(t)
	b.Get(target)
	b.SignIn("ann@example.com", docPassword)
	tokens, err := login.Redeem(shop, harness.Code{Value: b.URL.Query().Get("code"), Verifier: verifier})
	if err != nil || tokens.Access == "" {
		t.Fatalf("%+v, %v", tokens, err)
	}
	if answer, _ := harness.Call(t, http.MethodGet, s.URL("orders")+"/refunds/1", tokens.Access); answer.StatusCode != http.StatusOK {
		t.Errorf("with a new sign-in: %s", answer.Status)
	}
}

// TestScriptsExample asks as a browser does before a script of the shop calls.
func TestScriptsExample(t *testing.T) {
	s, _ := tokenWorld(t)
	shop := s.URL("shop")
	for _, c := range []struct {
		target, origin string
		allowed        bool
	}{
		{s.URL("login") + "/oauth2/token", shop, true},
		{s.URL("login") + "/oauth2/userInfo", shop, true},
		{s.URL("login") + "/oauth2/revoke", shop, true},
		{s.URL("login") + "/oauth2/introspect", shop, false},
		{s.URL("login") + "/oauth2/token", "https://evil.example", false},
		{s.URL("orders") + "/", shop, true},
		{s.URL("orders") + "/", "https://evil.example", false},
	} {
		header := http.Header{"Origin": {c.origin}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}}
		answer, _, err := harness.Do(http.MethodOptions, c.target, header)
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Header.Get("Access-Control-Allow-Origin") == c.origin && answer.StatusCode < 300; got != c.allowed {
			t.Errorf("%s from %s: %s %v", c.target, c.origin, answer.Status, answer.Header)
		}
	}
}

// TestParametersAndScopesAreDocumented holds the tables against what discovery
// and the tokens say.
func TestParametersAndScopesAreDocumented(t *testing.T) {
	text := tokensPage(t)
	s, _ := tokenWorld(t)
	_, body := harness.Call(t, http.MethodGet, s.URL("login")+"/.well-known/openid-configuration", "")
	var said map[string]any
	if err := json.Unmarshal([]byte(body), &said); err != nil {
		t.Fatal(err)
	}
	spans := map[string]bool{}
	for _, m := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		spans[m[1]] = true
	}
	for _, member := range []string{"prompt_values_supported", "response_modes_supported", "response_types_supported", "grant_types_supported", "acr_values_supported", "claims_supported"} {
		list, _ := said[member].([]any)
		if len(list) == 0 {
			t.Errorf("discovery says nothing of %s", member)
		}
		for _, v := range list {
			if name, _ := v.(string); !spans[name] {
				t.Errorf("%s: %v is not on the page", member, v)
			}
		}
	}
	for name, address := range said {
		path, of := strings.CutPrefix(strings.TrimSpace(toText(address)), s.URL("login"))
		if strings.HasSuffix(name, "_endpoint") && (!of || !spans[path]) {
			t.Errorf("%s %v is not on the page", name, address)
		}
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `(profile|email|phone|address)` \\| (.*) \\|$").FindAllStringSubmatch(text, -1) {
		told, known := map[string]bool{}, map[string]bool{}
		for _, span := range codeSpan.FindAllStringSubmatch(m[2], -1) {
			told[span[1]] = span[1] != "formatted"
		}
		delete(told, "formatted")
		for _, name := range token.UserClaimNames() {
			if token.ScopeOfClaim(name) == m[1] {
				known[name] = true
			}
		}
		compare(t, "in the row of "+m[1], told, known)
	}
}

func toText(v any) string {
	s, _ := v.(string)
	return s
}

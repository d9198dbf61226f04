package browser

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// tools skips the test where a browser cannot be driven; `make tools` installs what is missing.
func tools(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("drives a browser: not in -short")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing")
	}
	if _, err := os.Stat("node_modules/playwright-core"); err != nil {
		t.Skip("node_modules is missing: run `make tools`")
	}
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Skip("chromium is missing: run `make tools`")
	}
}

// node runs a script with the variables and returns what it printed; it fails
// the test if it fails.
func node(t *testing.T, vars map[string]string, script string, args ...string) string {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium)
	for name, value := range vars {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", script, err, out)
	}
	t.Logf("%s", out)
	return string(out)
}

// place is where login and application stand.
type place struct {
	name, caddyfile string
	app, login      string   // addresses; login with its prefix
	javascript      []string // "on", "off"
}

const global = `{
	admin {{admin}}
	skip_install_trust
	auto_https disable_redirects
	gatehouse {
		brand "Gatehouse demo"
		group staff
		client shop {
			name "The shop"
			redirect {{shop}}/callback
			scopes openid email
		}
	}
}
http://localhost:{{port ready}} {
	respond ready
}
`

// places are one host and two, without TLS and with it. Under .localhost the
// two hosts are different sites to a browser, under gatehouse.test they are one.
var places = []place{
	{"one host", global + `
http://localhost:{{port app}} {
	gatehouse
	reverse_proxy {{up}}
}
`, "http://localhost:{{port app}}", "http://localhost:{{port app}}/_auth", []string{"on", "off"}},
	{"two hosts", global + `
http://login.localhost:{{port login}} {
	gatehouse_login
}
http://app.localhost:{{port app}} {
	gatehouse_require
	reverse_proxy {{up}}
}
`, "http://app.localhost:{{port app}}", "http://login.localhost:{{port login}}", []string{"on", "off"}},
	{"one host, TLS", global + `
https://app.gatehouse.test:{{port app}} {
	tls internal
	gatehouse
	reverse_proxy {{up}}
}
`, "https://app.gatehouse.test:{{port app}}", "https://app.gatehouse.test:{{port app}}/_auth", []string{"on"}},
	{"two hosts, TLS", global + `
https://login.gatehouse.test:{{port login}} {
	tls internal
	gatehouse_login
}
https://app.gatehouse.test:{{port app}} {
	tls internal
	gatehouse_require
	reverse_proxy {{up}}
}
`, "https://app.gatehouse.test:{{port app}}", "https://login.gatehouse.test:{{port login}}", []string{"on", "off"}},
}

// start starts a server at the place, in front of the upstream.
func (p place) start(t *testing.T, up *harness.Upstream, shop string) *harness.Server {
	t.Helper()
	return harness.Start(t, p.caddyfile, harness.Options{Ready: "ready", Vars: map[string]string{"up": up.Address, "shop": shop}})
}

// newShop is an application that is a client of the login host. Its callback
// leads on, with what it was sent, to a home on another origin; at /stay it answers that there is
// nothing to show, and the browser stays where it is.
func newShop(t *testing.T) string {
	t.Helper()
	home := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "the shop") // a browser that went away needs no page
	}))
	t.Cleanup(home.Close)
	shop := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stay" {
			w.WriteHeader(http.StatusNoContent)
			return
		}
		_ = r.ParseForm() // what is damaged is missed by the walk
		http.Redirect(w, r, home.URL+"/welcome?"+r.Form.Encode(), http.StatusSeeOther)
	}))
	t.Cleanup(shop.Close)
	return shop.URL
}

// TestHostedLogin walks through the pages in Chromium, with JavaScript and without.
func TestHostedLogin(t *testing.T) {
	tools(t)
	for _, p := range places {
		for _, javascript := range p.javascript {
			t.Run(p.name+", JavaScript "+javascript, func(t *testing.T) {
				t.Parallel()
				up := harness.NewUpstream(t)
				shop := newShop(t)
				s := p.start(t, up, shop)
				vars := map[string]string{"APP": s.Expand(p.app), "LOGIN": s.Expand(p.login), "SHOP": shop, "JAVASCRIPT": javascript, "FIRST_LINK": s.FirstLink()}
				node(t, vars, "walk.js", "firstUser", "signInAndOut")
				vars["INVITE_LINK"] = invite(t, s, "bob@example.com", "--group", "staff")
				node(t, vars, "walk.js", "client", "invited", "tabs", "policy", "showPassword")
				identified(t, up)
			})
		}
	}
}

// invite adds a user by the command line and returns the printed link.
func invite(t *testing.T, s *harness.Server, args ...string) string {
	t.Helper()
	out := s.CLI(append([]string{"user", "add"}, args...)...)
	for _, word := range strings.Fields(out) {
		if strings.Contains(word, "/signup?link=") {
			return word
		}
	}
	t.Fatalf("no link in %q", out)
	return ""
}

// identified asserts that all that reached the upstream came from a known
// user and brought neither a cookie of ours nor a token of a browser.
func identified(t *testing.T, up *harness.Upstream) {
	t.Helper()
	seen := up.Take()
	if len(seen) == 0 {
		t.Fatal("nothing reached the upstream")
	}
	for _, r := range seen {
		if r.Header.Get("X-Auth-User") == "" || r.Header.Get("X-Auth-Assertion") == "" {
			t.Errorf("%s %s without an identity: %v", r.Method, r.URI, r.Header)
		}
		if strings.Contains(r.Header.Get("Cookie"), "gh-") || r.Header.Get("Authorization") != "" {
			t.Errorf("%s %s with a credential: %v", r.Method, r.URI, r.Header)
		}
	}
}

package clients

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// examples is the directory of the example, seen from this package.
const examples = "../../examples"

// library is npm's oidc-client-ts as the example's page loads it.
const library = "node_modules/oidc-client-ts/dist/browser/oidc-client-ts.min.js"

// stranger is a site of no client: its scripts get no answers.
const stranger = `
http://localhost:{{port stranger}} {
	header Content-Type text/html
	respond "<!doctype html><title>Elsewhere</title>"
}
`

// TestSinglePageApp uses examples/spa in Chromium: a person signs in, calls
// the API, renews, and signs out; a stranger's script is told nothing.
func TestSinglePageApp(t *testing.T) {
	if testing.Short() {
		t.Skip("drives a browser: not in -short")
	}
	chromium, err := exec.LookPath("chromium")
	if err != nil {
		t.Skip("chromium is missing: run `make tools`")
	}
	if _, err := os.Stat(library); err != nil {
		t.Skip("node_modules is missing: run `make tools`")
	}
	s, up := startApp(t)
	s.AddUser(person, password, "--name", "Zoë Example")

	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "spa.js")
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "APP="+s.URL("spa"), "LOGIN="+s.URL("login"), "API="+s.URL("api"),
		"STRANGER="+s.URL("stranger"), "PERSON="+person, "PASSWORD="+password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	seen := up.Take()
	if len(seen) != 3 {
		t.Errorf("%d calls reached the API, want the app's three: %+v", len(seen), seen)
	}
	for _, r := range seen {
		if r.Method != "GET" || r.Header.Get("X-Auth-Client") != "spa" || r.Header.Get("X-Auth-User") == "" || r.Header.Get("Origin") != s.URL("spa") {
			t.Errorf("%s %s of %q for %q", r.Method, r.URI, r.Header.Get("X-Auth-Client"), r.Header.Get("X-Auth-User"))
		}
	}
}

// startApp runs the example as it stands. Its hosts become localhost at a port
// each, its directory one with the library in it.
func startApp(t *testing.T) (*harness.Server, *harness.Upstream) {
	t.Helper()
	dir, up := t.TempDir(), harness.NewUpstream(t)
	s := harness.New(t, "", harness.Options{Ready: "login", Vars: map[string]string{"up": up.Address}})
	local := regexp.MustCompile(`(https://)?(\w+)\.example\.com`)
	here := func(path string) string {
		return s.Expand(local.ReplaceAllString(readFile(t, path), "http://localhost:{{port $2}}"))
	}
	for _, name := range []string{"index.html", "app.css", "app.js"} {
		writeFile(t, filepath.Join(dir, name), here(filepath.Join(examples, "spa", name)))
	}
	writeFile(t, filepath.Join(dir, filepath.Base(library)), readFile(t, library))

	caddyfile := here(filepath.Join(examples, "spa.Caddyfile"))
	for old, new := range map[string]string{"/srv/spa": dir, "localhost:4000": up.Address, "{\n\tgatehouse {": "{\n\tadmin {{admin}}\n\tgatehouse {"} {
		if strings.Count(caddyfile, old) != 1 {
			t.Fatalf("the example has %q %d times", old, strings.Count(caddyfile, old))
		}
		caddyfile = strings.Replace(caddyfile, old, new, 1)
	}
	s.Configure(caddyfile + stranger)
	s.Run()
	return s, up
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(bytes.TrimSpace(raw)) + "\n"
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

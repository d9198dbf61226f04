package docs

import (
	"context"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// TestBehindAProxyThatEndsTLS runs the example of a CDN with the test as the
// CDN: what it says about https is believed, and only because its address is
// trusted.
func TestBehindAProxyThatEndsTLS(t *testing.T) {
	text := read(t, "examples", "cdn.Caddyfile")
	start := func(t *testing.T, trusted string) (*harness.Server, *harness.Upstream) {
		upstream := harness.NewUpstream(t)
		caddyfile := strings.Replace(text, "203.0.113.0/24 2001:db8::/32", trusted, 1)
		caddyfile = globals.ReplaceAllString(caddyfile, "{\n\tadmin {{admin}}\n\thttp_port {{port app}}\n")
		return harness.Start(t, proxyTo.ReplaceAllString(caddyfile, "reverse_proxy "+upstream.Address), harness.Options{Ready: "app"}), upstream
	}
	ask := func(t *testing.T, s *harness.Server, proto string) (int, string) {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL("app")+"/page", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "app.example.com"
		r.Header.Set("Accept", "text/html")
		if proto != "" {
			r.Header.Set("X-Forwarded-Proto", proto)
		}
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if err := res.Body.Close(); err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, res.Header.Get("Location")
	}
	s, upstream := start(t, "127.0.0.0/8 ::1/128")
	status, location := ask(t, s, "https")
	to, err := url.Parse(location)
	if err != nil || status != http.StatusFound || !strings.HasPrefix(location, "https://app.example.com/_auth/oauth2/authorize?") ||
		to.Query().Get("redirect_uri") != "https://app.example.com/_auth/callback" {
		t.Errorf("through the CDN: %d %s", status, location)
	}
	other, _ := start(t, "203.0.113.0/24")
	if status, location := ask(t, other, "https"); strings.Contains(location, "https%3A%2F%2Fapp.example.com%2F_auth%2Fcallback") {
		t.Errorf("a stranger's X-Forwarded-Proto is believed: %d %s", status, location)
	}
	if seen := upstream.Take(); len(seen) > 0 {
		t.Errorf("a stranger reached the upstream: %+v", seen)
	}
}

// TestPlainGo builds and runs the program without Caddy, and signs in to it.
func TestPlainGo(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program: not in -short")
	}
	dir := t.TempDir()
	binary := filepath.Join(dir, "plain-go")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./examples/plain-go")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	address := "localhost:" + strconv.Itoa(harness.FreePort(t))
	run := func() (*harness.Output, func()) {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		out := &harness.Output{}
		cmd := exec.CommandContext(ctx, binary, "-listen", address, "-data", filepath.Join(dir, "data"))
		cmd.Stderr = out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		return out, func() {
			defer cancel()
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Error(err)
			}
			if err := cmd.Wait(); err != nil {
				t.Errorf("the program ended with %v:\n%s", err, out)
			}
		}
	}
	wait := func(out *harness.Output) {
		t.Helper()
		for deadline := time.Now().Add(20 * time.Second); ; {
			res, err := http.Get("http://" + address + "/") //nolint:noctx // a probe
			if err == nil {
				_ = res.Body.Close()
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("it does not answer: %v\n%s", err, out)
			}
		}
	}
	out, stop := run()
	wait(out)
	link := regexp.MustCompile(`http://\S+`).FindString(out.String())
	b := harness.NewBrowser(t)
	b.MakeFirstUser(link, "ann@example.com", "seven lanterns by the gate")
	if b.URL.String() != "http://"+address+"/" || !strings.Contains(b.Body, "Hello, ann@example.com") {
		t.Errorf("%d at %s:\n%s", b.Status, b.URL, b.Body)
	}
	stop()
	out, stop = run()
	defer stop()
	wait(out)
	if b.Get("http://" + address + "/"); !strings.Contains(b.Body, "Hello, ann@example.com") {
		t.Errorf("the session did not survive a restart: %d at %s:\n%s", b.Status, b.URL, b.Body)
	}
	stranger := harness.NewBrowser(t)
	if stranger.Get("http://" + address + "/"); stranger.URL.Path != "/_auth/login" {
		t.Errorf("a stranger is at %s", stranger.URL)
	}
	if _, err := os.Stat(filepath.Join(dir, "data", "gatehouse.db")); err != nil {
		t.Error(err)
	}
}

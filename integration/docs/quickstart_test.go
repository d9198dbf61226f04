package docs

import (
	"encoding/json"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// TestQuickStart follows docs/quick-start.md step by step, with its own
// Caddyfiles: the first user by the printed link, one more by the command
// line, the machine client and its API.
func TestQuickStart(t *testing.T) {
	text := read(t, "docs", "quick-start.md")
	files := page{text: text}.blocks("caddyfile")
	if len(files) != 5 {
		t.Fatalf("%d Caddyfiles in the quick start, want 5", len(files))
	}
	if three := (page{text: read(t, "README.md")}).blocks("caddyfile"); len(three) != 1 || three[0] != files[0] || strings.Count(three[0], "\n") != 4 {
		t.Errorf("README and quick start do not show the same three lines: %q", three)
	}

	t.Run("three lines", func(t *testing.T) {
		upstream := harness.NewUpstream(t)
		s := run(t, files[0], upstream)
		b := harness.NewBrowser(t)
		b.MakeFirstUser(s.FirstLink(), "first@example.com", "seven lanterns by the gate")
		h := only(t, upstream)
		if h.Get("X-Auth-User") == "" || h.Get("X-Auth-Email") != "first@example.com" || h.Get("X-Auth-Groups") != "operators" {
			t.Errorf("the app is told %v", h)
		}
		b.Get(s.URL("app") + "/_auth/logout")
		b.Submit(nil)
		b.Get(s.URL("app") + "/")
		if !strings.HasSuffix(b.URL.Path, "/login") || len(upstream.Take()) != 0 {
			t.Errorf("after the sign-out: %d at %s", b.Status, b.URL)
		}
	})

	t.Run("more users", func(t *testing.T) {
		upstream := harness.NewUpstream(t)
		s := run(t, files[1], upstream)
		command := regexp.MustCompile(`(?m)^\./caddy gatehouse (user add .*)$`).FindStringSubmatch(text)
		if command == nil {
			t.Fatal("no command that adds a user")
		}
		var user struct{ Link, Email string }
		if out := s.CLI(append(strings.Fields(command[1]), "--json")...); json.Unmarshal([]byte(out), &user) != nil || user.Link == "" {
			t.Fatal(out)
		}
		b := harness.NewBrowser(t)
		b.Get(user.Link)
		b.Submit(map[string]string{"password": "eight lanterns by the gate"})
		if h := only(t, upstream); h.Get("X-Auth-Email") != user.Email || h.Get("X-Auth-Groups") != "staff" {
			t.Errorf("the app is told %v", h)
		}
	})

	t.Run("an API", func(t *testing.T) {
		upstream := harness.NewUpstream(t)
		s := run(t, files[2], upstream)
		login := harness.Provider{Base: s.URL("app") + "/_auth"}
		token := login.Machine(t, harness.Client{ID: "nightly-batch", Secret: secretOf("BATCH_SECRET")}, "orders.read")
		lines := page{text: text}.blocks("sh")
		shell(t, s, t.TempDir(), strings.Replace(lines[len(lines)-1], "curl -H", "curl -s -H", 1))
		if client := only(t, upstream).Get("X-Auth-Client"); client != "nightly-batch" {
			t.Errorf("the API is told %q", client)
		}
		answer, _ := harness.Call(t, http.MethodPost, s.URL("orders")+"/", token)
		challenge := answer.Header.Get("WWW-Authenticate")
		if answer.StatusCode != http.StatusForbidden || !strings.Contains(challenge, `scope="orders.write"`) || len(upstream.Take()) != 0 {
			t.Errorf("writing: %s, challenge %q", answer.Status, challenge)
		}
	})
}

// TestAccessLogsHoldNoCodes signs in with the access log of the quick start.
func TestAccessLogsHoldNoCodes(t *testing.T) {
	files := page{text: read(t, "docs", "quick-start.md")}.blocks("caddyfile")
	s := run(t, files[len(files)-1], harness.NewUpstream(t))
	link := s.FirstLink()
	b := harness.NewBrowser(t)
	b.MakeFirstUser(link, "first@example.com", "seven lanterns by the gate")
	_, token, _ := strings.Cut(link, "link=")
	secrets := []string{token}
	for _, hop := range b.Hops {
		if u, err := url.Parse(hop); err == nil && u.Query().Has("code") {
			secrets = append(secrets, u.Query().Get("code"))
		}
	}
	const hint = "eyJhbGciOiJub25lIn0.e30.a-person"
	b.Get(s.URL("app") + "/_auth/logout?id_token_hint=" + hint)
	secrets = append(secrets, hint)
	s.Stop() // so that everything is written
	logs := 0
	for line := range strings.Lines(s.Logs()) {
		if !strings.Contains(line, `"logger":"http.log.access`) {
			continue // the link stands where a person looks, once
		}
		logs++
		for _, secret := range secrets {
			if strings.Contains(line, secret) {
				t.Errorf("logged: %s", line)
			}
		}
	}
	if len(secrets) < 3 || logs < 4 {
		t.Errorf("%d secrets on the way, %d lines of the access log", len(secrets), logs)
	}
}

// only returns the headers of the one request that has reached the upstream.
func only(t *testing.T, u *harness.Upstream) http.Header {
	t.Helper()
	seen := u.Take()
	if len(seen) != 1 {
		t.Fatalf("%d requests reached the upstream, want 1", len(seen))
	}
	return seen[0].Header
}

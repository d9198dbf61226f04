package docs

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestQuickStart follows docs/quick-start.md step by step, with its own
// Caddyfiles: the first user by the printed link, one more by the command
// line, the machine client and its API.
func TestQuickStart(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join(root, "docs", "quick-start.md"))
	if err != nil {
		t.Fatal(err)
	}
	files := page{text: string(raw)}.blocks("caddyfile")
	if len(files) != 4 {
		t.Fatalf("%d Caddyfiles in the quick start, want 4", len(files))
	}
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	if three := (page{text: string(readme)}).blocks("caddyfile"); len(three) != 1 || three[0] != files[0] || strings.Count(three[0], "\n") != 4 {
		t.Errorf("README and quick start do not show the same three lines: %q", three)
	}

	t.Run("three lines", func(t *testing.T) {
		seen := make(chan http.Header, 1)
		s := run(t, files[0], http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
		follow(t, s, s.link, url.Values{"identifier": {"first@example.com"}, "password": {"seven lanterns by the gate"}})
		h := <-seen
		if h.Get("X-Auth-User") == "" || h.Get("X-Auth-Email") != "first@example.com" || h.Get("X-Auth-Groups") != "operators" {
			t.Errorf("the app is told %v", h)
		}
	})

	t.Run("more users", func(t *testing.T) {
		seen := make(chan http.Header, 1)
		s := run(t, files[1], http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header }))
		command := regexp.MustCompile(`(?m)^\./caddy (gatehouse user add .*)$`).FindStringSubmatch(string(raw))
		if command == nil {
			t.Fatal("no command that adds a user")
		}
		out, err := caddy(t, s.home, "", append(strings.Fields(command[1]), "--json")...)
		var user struct{ Link, Email string }
		if err != nil || json.Unmarshal([]byte(out), &user) != nil || user.Link == "" {
			t.Fatalf("%v: %s", err, out)
		}
		follow(t, s, user.Link, url.Values{"password": {"eight lanterns by the gate"}})
		if h := <-seen; h.Get("X-Auth-Email") != user.Email || h.Get("X-Auth-Groups") != "staff" {
			t.Errorf("the app is told %v", h)
		}
	})

	t.Run("an API", func(t *testing.T) {
		seen := make(chan string, 1)
		s := run(t, files[2], http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen <- r.Header.Get("X-Auth-Client") }))
		c := s.client(t, false)
		token := machineToken(t, s, c, "app")
		for method, want := range map[string]int{http.MethodGet: http.StatusOK, http.MethodPost: http.StatusForbidden} {
			r, err := http.NewRequestWithContext(t.Context(), method, s.origin("orders")+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Authorization", "Bearer "+token)
			answer, err := c.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = body(t, answer)
			if answer.StatusCode != want {
				t.Errorf("%s: %s, want %d", method, answer.Status, want)
			}
			if challenge := answer.Header.Get("WWW-Authenticate"); want == http.StatusForbidden && !strings.Contains(challenge, `scope="orders.write"`) {
				t.Errorf("the refusal does not name the scope: %q", challenge)
			}
		}
		if client := <-seen; client != "nightly-batch" {
			t.Errorf("the API is told %q", client)
		}
	})
}

var hidden = regexp.MustCompile(`<input type="hidden" name="([^"]+)" value="([^"]*)">`)

// follow opens a one-time link, fills in its form as a person would, and goes
// where it leads: to the app, whose upstream must answer.
func follow(t *testing.T, s *server, link string, form url.Values) {
	t.Helper()
	c := s.client(t, true)
	page, err := c.Get(link)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range hidden.FindAllStringSubmatch(body(t, page), -1) {
		form.Set(m[1], m[2])
	}
	address, _, _ := strings.Cut(link, "?")
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{
		"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"text/html"},
		"Sec-Fetch-Site": {"same-origin"}, "Sec-Fetch-Mode": {"navigate"}, "Origin": {page.Request.URL.Scheme + "://" + page.Request.URL.Host},
	}
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	if text := body(t, answer); answer.StatusCode != http.StatusOK || text != "" {
		t.Fatalf("the link led to %s: %s\n%s", answer.Request.URL, answer.Status, text)
	}
}

// machineToken gets a token for the machine client of the documents.
func machineToken(t *testing.T, s *server, c *http.Client, host string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, s.origin(host)+"/_auth/oauth2/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("nightly-batch", secretOf("BATCH_SECRET"))
	answer, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	var out struct {
		Token string `json:"access_token"`
	}
	if text := body(t, answer); json.Unmarshal([]byte(text), &out) != nil || out.Token == "" {
		t.Fatalf("token endpoint: %s %s", answer.Status, text)
	}
	return out.Token
}

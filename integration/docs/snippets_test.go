package docs

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

const tokensPage = root + "/docs/tokens-and-headers.md"

// world is a pool with two APIs; what reaches the second is written down.
type world struct {
	issuer, orders, stock string
	upstream              string // that stands behind orders
	seen                  chan http.Header
}

const (
	batch       = "nightly-batch"
	batchSecret = "0123456789abcdef0123456789abcdef"
)

func newWorld(t *testing.T) *world {
	login, orders, stock := freeAddress(t), freeAddress(t), freeAddress(t)
	w := &world{
		issuer: "http://" + login, orders: "http://" + orders, stock: "http://" + stock,
		upstream: freeAddress(t), seen: make(chan http.Header, 1),
	}
	echo := newLocal(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { w.seen <- r.Header }))
	serve(t, login, fmt.Sprintf(`{
	gatehouse {
		store memory
		resource %[2]s orders.read
		resource %[3]s stock.read
		client %[6]s {
			secret %[7]s
			grant client_credentials orders.read stock.read
		}
	}
}
%[1]s {
	gatehouse_login
}
%[2]s {
	gatehouse_require scope:orders.read
	reverse_proxy %[4]s
}
%[3]s {
	gatehouse_require scope:stock.read
	reverse_proxy %[5]s
}
`, w.issuer, w.orders, w.stock, w.upstream, echo, batch, batchSecret))
	return w
}

// token gets a machine token for a scope.
func (w *world) token(t *testing.T, scope string) string {
	t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.issuer+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(batch, batchSecret)
	answer, err := http.DefaultClient.Do(r)
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

// get asks for the root of a site with one header and returns the answer.
func get(t *testing.T, address, header, value string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != "" {
		r.Header.Set(header, value)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, body(t, answer)
}

// assertion is what the upstream of stock is told.
func (w *world) assertion(t *testing.T) string {
	t.Helper()
	if status, text := get(t, w.stock, "Authorization", "Bearer "+w.token(t, "stock.read")); status != http.StatusOK {
		t.Fatalf("stock: %d %s", status, text)
	}
	return (<-w.seen).Get("X-Auth-Assertion")
}

// snippet is a program of the page: its language and what it verifies.
type snippet struct{ language, verifies, code string }

func snippets(t *testing.T) []snippet {
	raw, err := os.ReadFile(tokensPage)
	if err != nil {
		t.Fatal(err)
	}
	var out []snippet
	for _, m := range fence.FindAllStringSubmatch(string(raw), -1) {
		if verifies := strings.TrimSpace(m[2]); verifies != "" {
			out = append(out, snippet{m[1], verifies, m[3]})
		}
	}
	if len(out) != 4 {
		t.Fatalf("the page has %d programs, want one for assertions and one for access tokens in Go and in JavaScript", len(out))
	}
	return out
}

// start runs the program as the upstream of orders until the test ends.
func (s snippet) start(t *testing.T, w *world) {
	t.Helper()
	dir := t.TempDir()
	var cmd *exec.Cmd
	switch s.language {
	case "go":
		source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
		write(t, source, s.code)
		build := exec.Command("go", "build", "-o", program, source)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("the snippet does not compile: %v\n%s", err, out)
		}
		cmd = exec.Command(program)
	case "js":
		modules, err := filepath.Abs("node_modules")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(modules); err != nil {
			t.Skip("skipped: the npm packages are not installed: run `make tools`")
		}
		if err := os.Symlink(modules, filepath.Join(dir, "node_modules")); err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "main.mjs"), s.code)
		cmd = exec.Command("node", "main.mjs")
	default:
		t.Fatalf("no way to run %s", s.language)
	}
	_, port, _ := net.SplitHostPort(w.upstream)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "ISSUER="+w.issuer, "RESOURCE="+w.orders, "LISTEN="+w.upstream, "PORT="+port)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
	deadline := time.Now().Add(20 * time.Second)
	for {
		if c, err := net.Dial("tcp", w.upstream); err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("the program does not listen")
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestVerificationSnippets runs the page's programs as upstreams: through the
// gate they answer, and what reaches them around it is refused.
func TestVerificationSnippets(t *testing.T) {
	w := newWorld(t)
	token, other, assertion := w.token(t, "orders.read"), w.token(t, "stock.read"), w.assertion(t)
	for _, s := range snippets(t) {
		t.Run(s.language+" "+s.verifies, func(t *testing.T) {
			s.start(t, w)
			status, text := get(t, w.orders, "Authorization", "Bearer "+token)
			if status != http.StatusOK || text != "Hello, "+batch+"\n" {
				t.Errorf("through the gate: %d %q", status, text)
			}
			direct := "http://" + w.upstream
			header, prefix, foreign, wrongKind := "X-Auth-Assertion", "", assertion, token
			if s.verifies == "access" {
				header, prefix, foreign, wrongKind = "Authorization", "Bearer ", other, assertion
			}
			for name, value := range map[string]string{
				"nothing": "", "nonsense": "a.b.c", "for another API": foreign, "of another kind": wrongKind, "changed": token[:len(token)-8] + "AAAAAAAA",
			} {
				if status, text := get(t, direct, header, prefix+value); status != http.StatusUnauthorized {
					t.Errorf("around the gate, %s: %d %q", name, status, text)
				}
			}
		})
	}
}

// TestClaimsAreDocumented looks at real tokens: whatever is in one must be on the page.
func TestClaimsAreDocumented(t *testing.T) {
	raw, err := os.ReadFile(tokensPage)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	for heading, token := range map[string]string{"## The assertion": w.assertion(t), "## Access tokens": w.token(t, "orders.read")} {
		_, section, found := strings.Cut(string(raw), heading+"\n")
		if !found {
			t.Fatalf("no section %q", heading)
		}
		section, _, _ = strings.Cut(section, "\n## ")
		documented := codeSpans(section)
		for name := range claims(t, token) {
			if !slices.Contains(documented, name) {
				t.Errorf("%s: the claim %q is not in its table", heading, name)
			}
		}
	}
}

// TestHeadersAreDocumented looks at what an upstream gets.
func TestHeadersAreDocumented(t *testing.T) {
	raw, err := os.ReadFile(tokensPage)
	if err != nil {
		t.Fatal(err)
	}
	documented := codeSpans(string(raw))
	w := newWorld(t)
	if status, _ := get(t, w.stock, "Authorization", "Bearer "+w.token(t, "stock.read")); status != http.StatusOK {
		t.Fatal(status)
	}
	found := 0
	for name := range <-w.seen {
		if strings.HasPrefix(name, "X-Auth-") {
			found++
			if !slices.Contains(documented, name) {
				t.Errorf("the header %s is not on the page", name)
			}
		}
	}
	if found < 3 {
		t.Errorf("only %d identity headers arrived", found)
	}
}

// codeSpans returns what stands in backquotes in the first cells of tables.
func codeSpans(text string) []string {
	var out []string
	for _, line := range regexp.MustCompile(`(?m)^\| ([^|]+)\|`).FindAllStringSubmatch(text, -1) {
		for _, m := range codeSpan.FindAllStringSubmatch(line[1], -1) {
			out = append(out, m[1])
		}
	}
	return out
}

func claims(t *testing.T, token string) map[string]any {
	t.Helper()
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", token)
	}
	var out map[string]any
	raw, err := io.ReadAll(base64.NewDecoder(base64.RawURLEncoding, strings.NewReader(parts[1])))
	if err != nil || json.Unmarshal(raw, &out) != nil {
		t.Fatalf("not a JWT: %q", token)
	}
	return out
}

package docs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// tokensPage is the page for developers of upstreams.
func tokensPage(t *testing.T) string { return read(t, "docs", "tokens-and-headers.md") }

// world is a pool with two APIs, orders and stock.
type world struct {
	*harness.Server
	login    harness.Provider
	upstream string            // address that orders is proxied to
	stock    *harness.Upstream // behind stock
}

var batch = harness.Client{ID: "nightly-batch", Secret: "0123456789abcdef0123456789abcdef"}

func newWorld(t *testing.T) *world {
	w := &world{upstream: fmt.Sprintf("127.0.0.1:%d", harness.FreePort(t)), stock: harness.NewUpstream(t)}
	w.Server = harness.Start(t, `{
	admin {{admin}}
	gatehouse {
		store memory
		resource http://localhost:{{port orders}} orders.read
		resource http://localhost:{{port stock}} stock.read
		client {{client}} {
			secret {{secret}}
			grant client_credentials orders.read stock.read
		}
	}
}
http://localhost:{{port login}} {
	gatehouse_login
}
http://localhost:{{port orders}} {
	gatehouse_require scope:orders.read
	reverse_proxy {{upstream}}
}
http://localhost:{{port stock}} {
	gatehouse_require scope:stock.read
	reverse_proxy {{echo}}
}
`, harness.Options{Vars: map[string]string{"client": batch.ID, "secret": batch.Secret, "upstream": w.upstream, "echo": w.stock.Address}})
	w.login = harness.Provider{Base: w.URL("login")}
	return w
}

// told is what the upstream of stock is told of the machine client.
func (w *world) told(t *testing.T) http.Header {
	t.Helper()
	if answer, text := harness.Call(t, http.MethodGet, w.URL("stock")+"/", w.login.Machine(t, batch, "stock.read")); answer.StatusCode != http.StatusOK {
		t.Fatalf("stock: %s %s", answer.Status, text)
	}
	return only(t, w.stock)
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
	return send(t, r)
}

// send sends a request and reads the answer.
func send(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

// snippet is a program of the page: its language and what it verifies.
type snippet struct{ language, verifies, code string }

func snippets(t *testing.T) []snippet {
	var out []snippet
	for _, m := range fence.FindAllStringSubmatch(tokensPage(t), -1) {
		if verifies := strings.TrimSpace(m[2]); verifies != "" && (m[1] == "go" || m[1] == "js") {
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
	cmd.Env = append(os.Environ(), "ISSUER="+w.login.Base, "RESOURCE="+w.URL("orders"), "LISTEN="+w.upstream, "PORT="+port)
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
	token, other := w.login.Machine(t, batch, "orders.read"), w.login.Machine(t, batch, "stock.read")
	assertion := w.told(t).Get("X-Auth-Assertion") // for stock
	for _, s := range snippets(t) {
		t.Run(s.language+" "+s.verifies, func(t *testing.T) {
			s.start(t, w)
			status, text := get(t, w.URL("orders"), "Authorization", "Bearer "+token)
			if status != http.StatusOK || text != "Hello, "+batch.ID+"\n" {
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
	w := newWorld(t)
	for heading, token := range map[string]string{
		"## The assertion": w.told(t).Get("X-Auth-Assertion"), "## Access tokens": w.login.Machine(t, batch, "orders.read"),
	} {
		_, section, found := strings.Cut(tokensPage(t), heading+"\n")
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
	documented := codeSpans(tokensPage(t))
	found := 0
	for name := range newWorld(t).told(t) {
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

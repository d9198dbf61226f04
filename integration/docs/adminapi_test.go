package docs

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// marked returns the one block of a language that a page marks with a word.
func marked(t *testing.T, text, language, mark string) string {
	t.Helper()
	for _, m := range fence.FindAllStringSubmatch(text, -1) {
		if m[1] == language && strings.TrimSpace(m[2]) == mark {
			return m[3]
		}
	}
	t.Fatalf("no block %s %s", language, mark)
	return ""
}

// shell runs lines of a document as a person would, in a folder of its own,
// and returns what they print. What names https://login.example.com goes to
// the server. Every command must succeed.
func shell(t *testing.T, s *harness.Server, dir, lines string, env ...string) string {
	t.Helper()
	for _, tool := range []string{"bash", "curl", "jq", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: %s is not installed", tool)
		}
	}
	lines = strings.NewReplacer("curl -s ", "curl -sS --fail-with-body ", "127.0.0.1:8999", "127.0.0.1:1").Replace(lines) // nothing listens there
	lines = exampleURI.ReplaceAllStringFunc(lines, func(m string) string {
		return s.URL(exampleURI.FindStringSubmatch(m)[1])
	})
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", lines)
	cmd.Dir = dir
	cmd.Env = append(append(os.Environ(), secrets()...), env...)
	var out, problems bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s%s\n%s", err, out.String(), problems.String(), lines)
	}
	return out.String()
}

// TestAdminAPIExamples runs every line of docs/admin-api.md on the
// configuration that it shows: a program, and an operator in a browser.
func TestAdminAPIExamples(t *testing.T) {
	text := read(t, "docs", "admin-api.md")
	s := run(t, page{text: text}.blocks("caddyfile")[0], harness.NewUpstream(t))
	dir := t.TempDir()

	out := shell(t, s, dir, marked(t, text, "sh", "machine"))
	d := json.NewDecoder(strings.NewReader(out))
	var answers []map[string]any
	for d.More() {
		var answer map[string]any
		if err := d.Decode(&answer); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		answers = append(answers, answer)
	}
	if len(answers) != 5 || answers[0]["link"] == nil || answers[1]["profile"] == nil || len(answers[2]["groups"].([]any)) != 0 || len(answers[3]["users"].([]any)) != 1 || answers[4]["sub"] != answers[0]["sub"] {
		t.Errorf("a program: %s", out)
	}
	if out := shell(t, s, dir, marked(t, text, "sh", "socket"), "DATA="+s.Data); !strings.Contains(out, "alice@example.com") {
		t.Errorf("the socket: %s", out)
	}

	s.AddUser("boss@example.com", "seven lanterns by the gate", "--group", "operators")
	s.AddUser("guest@example.com", "seven lanterns by the gate")
	address := strings.TrimSpace(shell(t, s, dir, marked(t, text, "sh", "authorize")))
	b := harness.NewBrowser(t)
	b.Get(address)
	b.SignIn("boss@example.com", "seven lanterns by the gate")
	code := b.URL.Query().Get("code")
	if code == "" {
		t.Fatalf("no code: %d at %s", b.Status, b.URL)
	}
	if out := shell(t, s, dir, marked(t, text, "sh", "exchange"), "CODE="+code); out != `{"groups":[{"name":"operators"},{"name":"staff"}]}` {
		t.Errorf("an operator: %s", out)
	}
	b = harness.NewBrowser(t)
	b.Get(address)
	b.SignIn("guest@example.com", "seven lanterns by the gate")
	if q := b.URL.Query(); q.Get("error") != "access_denied" {
		t.Errorf("somebody else: %d at %s", b.Status, b.URL)
	}
	answer, body := harness.Call(t, http.MethodGet, s.URL("login")+"/admin/v1/openapi.json", "")
	if answer.StatusCode != http.StatusOK || body != read(t, "docs", "openapi.json") {
		t.Errorf("the document: %s", answer.Status)
	}
}

var operationRow = regexp.MustCompile("(?m)^\\| `((?:GET|POST) [^`]+)` \\|")

// TestAdminOperationsAreOnThePage compares the page's table with the document.
func TestAdminOperationsAreOnThePage(t *testing.T) {
	var doc struct{ Paths map[string]map[string]any }
	if err := json.Unmarshal([]byte(read(t, "docs", "openapi.json")), &doc); err != nil {
		t.Fatal(err)
	}
	told, known := map[string]bool{}, map[string]bool{}
	for _, m := range operationRow.FindAllStringSubmatch(read(t, "docs", "admin-api.md"), -1) {
		told[m[1]] = true
	}
	for path, methods := range doc.Paths {
		for method := range methods {
			known[strings.ToUpper(method)+" "+path] = true
		}
	}
	compare(t, "in the table of docs/admin-api.md", told, known)
}

// TestCommandLineExamples runs the lines of docs/cli.md beside a server.
func TestCommandLineExamples(t *testing.T) {
	s := run(t, "{\n\tgatehouse {\n\t\tgroup staff\n\t}\n}\n\nlogin.example.com {\n\tgatehouse_login\n}\n", harness.NewUpstream(t))
	text := read(t, "docs", "cli.md")
	bin := t.TempDir()
	if err := os.Symlink(harness.Binary(t), filepath.Join(bin, "caddy")); err != nil {
		t.Fatal(err)
	}
	env := []string{"PATH=" + bin + ":" + os.Getenv("PATH"), "PASSWORD=seven lanterns by the gate", "XDG_DATA_HOME=" + filepath.Dir(filepath.Dir(s.Data))}
	first := page{text: text}.blocks("sh")[0]
	if out := shell(t, s, s.Dir, first, env...); !strings.Contains(out, "/signup?link=") {
		t.Errorf("%s", out)
	}
	out := shell(t, s, s.Dir, marked(t, text, "sh", "example"), env...)
	for _, want := range []string{"confirmed", "Alice Liddell", `given_name="Alice"`, "staff", "SESSION", "published"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
}

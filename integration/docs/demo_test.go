package docs

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// ports are those of the demo, by the name of what listens there.
var ports = map[string]string{"app": "8080", "api": "8081", "appbehind": "8090", "apibehind": "8091"}

// startDemo starts Caddyfile.example on ports of its own and returns its directory for secrets too.
func startDemo(t *testing.T) (s *harness.Server, dir string) {
	t.Helper()
	dir = t.TempDir()
	write(t, filepath.Join(dir, "demo-client-secret"), secretOf("DEMO"))
	files, err := filepath.Abs(filepath.Join(root, "examples", "demo"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(read(t, "Caddyfile.example"), "{\n", "{\n\tadmin {{admin}}\n", 1)
	text = strings.ReplaceAll(text, "root examples/demo", "root "+files)
	for name, port := range ports {
		text = strings.ReplaceAll(text, ":"+port, ":{{port "+name+"}}")
	}
	return harness.Start(t, text, harness.Options{Env: []string{"DEMO=" + dir}, Ready: "app"}), dir
}

// TestDemo follows what `make run` prints: the first user reaches the app and
// sees the headers; the machine client's lines get the answers that they say.
func TestDemo(t *testing.T) {
	s, dir := startDemo(t)
	b := harness.NewBrowser(t)
	b.MakeFirstUser(s.FirstLink(), "first@example.com", "seven lanterns by the gate")
	if b.URL.String() != s.URL("app")+"/" || !strings.Contains(b.Body, "Hello, first@example.com") || !strings.Contains(b.Body, "<dd>operators</dd>") {
		t.Errorf("the first user sees %d at %s:\n%s", b.Status, b.URL, b.Body)
	}

	script := exec.Command(filepath.Join(root, "xcaddy", "demo.sh"))
	script.Env = append(os.Environ(), "DEMO="+dir)
	printed, err := script.Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := regexp.MustCompile(`(?m)^    (TOKEN=|curl ).*$`).FindAllString(string(printed), -1)
	if len(lines) != 4 {
		t.Fatalf("%d lines to run, want 4:\n%s", len(lines), printed)
	}
	commands := strings.Join(lines, "\n")
	for name, port := range ports {
		commands = strings.ReplaceAll(commands, "localhost:"+port, "localhost:"+strconv.Itoa(s.Port(name)))
	}
	out, err := exec.Command("bash", "-c", commands).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, commands)
	}
	var told, got []string
	for _, m := range regexp.MustCompile(`# (\d{3})`).FindAllStringSubmatch(string(printed), -1) {
		told = append(told, m[1])
	}
	for _, m := range regexp.MustCompile(`(?m)^HTTP/1.1 (\d{3})`).FindAllStringSubmatch(string(out), -1) {
		got = append(got, m[1])
	}
	if len(told) != 3 || strings.Join(told, " ") != strings.Join(got, " ") || !strings.Contains(string(out), `"client": "demo-batch"`) {
		t.Errorf("the script promises %v, the server answers\n%s", told, out)
	}
}

// TestDemoEscapes sends the demo's upstreams what only a gate may say: it must
// never become markup or another JSON member.
func TestDemoEscapes(t *testing.T) {
	s, _ := startDemo(t)
	const hostile = `<script>alert(1)</script>","admin":"`
	for name, header := range map[string]string{"appbehind": "X-Auth-Name", "apibehind": "X-Auth-Client"} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL(name)+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set(header, hostile)
		status, text := send(t, r)
		if status != http.StatusOK || strings.Contains(text, "<script>") || strings.Contains(text, `,"admin":`) || !strings.Contains(text, "alert(1)") {
			t.Errorf("%s: %d %s", name, status, text)
		}
	}
}

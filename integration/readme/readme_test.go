package readme

import (
	"errors"
	"io/fs"
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

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	app   = "http://localhost:8080"
	login = app + "/_auth"
	api   = "http://localhost:8081"

	first    = "first@example.com"
	password = "nine lanterns by the gate"

	noToken = ""
	invalid = "invalid_token"
	lacking = "insufficient_scope"
)

var description = regexp.MustCompile(` error_description="[ -~]+",`)

// challenge is what an API at the origin answers to a token with the error,
// but for the description.
func challenge(origin, err string) string {
	if err != "" {
		err = `, error="` + err + `"`
	}
	return `Bearer resource_metadata="` + origin + `/.well-known/oauth-protected-resource"` + err + `, scope="orders.read"`
}

// challenged reports whether the headers hold exactly the challenge.
func challenged(h http.Header, origin, err string) bool {
	all := h.Values("WWW-Authenticate")
	return len(all) == 1 && description.ReplaceAllString(all[0], "") == challenge(origin, err)
}

// TestReadme is the way of a stranger.
func TestReadme(t *testing.T) {
	if testing.Short() {
		t.Skip("builds and runs the product: not in -short")
	}
	t.Parallel()
	d := runDemo(t)
	t.Run("the printed link, in a browser", func(t *testing.T) { walk(t, d.link(t)) })
	t.Run("the printed curl lines", d.curl)
	t.Run("tokens of people", people)
	t.Run("a foreign token", foreign)
}

// demo is the process group that the README's command started.
type demo struct {
	dir    string
	output *harness.Output
}

// runDemo runs the README's command in a copy of the tree until the app answers.
func runDemo(t *testing.T) *demo {
	t.Helper()
	for _, port := range []string{"8080", "8081", "8090", "8091", "2019"} {
		if c, err := net.DialTimeout("tcp", "127.0.0.1:"+port, time.Second); err == nil {
			_ = c.Close()
			t.Fatalf("something listens on port %s, which the README's demo uses: end it first", port)
		}
	}
	d := &demo{dir: copyTree(t), output: &harness.Output{}}
	cmd := exec.Command("bash", "-c", command(t, d.dir))
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = d.dir, stranger(t), d.output, d.output
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	t.Cleanup(func() {
		interrupt(t, cmd.Process.Pid, done)
		if t.Failed() {
			t.Logf("what it printed:\n%s", d.output)
		}
	})
	for deadline := time.Now().Add(5 * time.Minute); !answers(app); time.Sleep(50 * time.Millisecond) {
		select {
		case err := <-done:
			done <- err
			t.Fatalf("the command ended: %v", err)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatal("the app does not answer")
		}
	}
	return d
}

// command is the first command of the README.
func command(t *testing.T, dir string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "```sh\n")
	block, _, closed := strings.Cut(rest, "\n```")
	if !found || !closed || block != "make run" {
		t.Fatalf("the README begins with %q, want make run", block)
	}
	return block
}

// stranger is the environment of somebody who has Go and nothing else. The
// caches of Go stay, so that no test downloads or compiles the world.
func stranger(t *testing.T) []string {
	t.Helper()
	out, err := exec.Command("go", "env", "GOMODCACHE", "GOCACHE", "GOPROXY", "GOSUMDB").Output()
	if err != nil {
		t.Fatal(err)
	}
	values := strings.Split(strings.TrimSpace(string(out)), "\n")
	return []string{
		"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "TMPDIR=" + os.TempDir(),
		"GOMODCACHE=" + values[0], "GOCACHE=" + values[1], "GOPROXY=" + values[2], "GOSUMDB=" + values[3],
	}
}

// copyTree copies what a checkout holds, as far as running it needs it.
func copyTree(t *testing.T) string {
	t.Helper()
	source, target := filepath.Join("..", ".."), t.TempDir()
	left := []string{".git", ".run", "caddy", "integration", "node_modules"}
	err := filepath.WalkDir(source, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(source, path)
		if err != nil {
			return err
		}
		if slices.Contains(left, rel) {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(target, rel), 0o755)
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(target, rel), data, info.Mode().Perm())
	})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// interrupt is Ctrl+C in the terminal of the demo, and asserts that it helps.
func interrupt(t *testing.T, pid int, done chan error) {
	t.Helper()
	if err := syscall.Kill(-pid, syscall.SIGINT); err != nil && !errors.Is(err, syscall.ESRCH) {
		t.Error(err)
	}
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Error("Ctrl+C did not end the demo: killed")
		_ = syscall.Kill(-pid, syscall.SIGKILL)
		<-done
	}
	if answers(app) {
		t.Error("the app still answers after Ctrl+C")
	}
}

func answers(address string) bool {
	client := http.Client{Timeout: 2 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Get(address)
	if err != nil {
		return false
	}
	return res.Body.Close() == nil && res.StatusCode != http.StatusServiceUnavailable
}

var linkForm = regexp.MustCompile(`http://\S+/signup\?link=\S+`)

// link is the first-user link that the demo printed: exactly one.
func (d *demo) link(t *testing.T) string {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if links := linkForm.FindAllString(d.output.String(), -1); len(links) == 1 {
			return links[0]
		} else if len(links) > 1 {
			t.Fatalf("more than one link was printed: %q", links)
		}
	}
	t.Fatal("no link was printed")
	return ""
}

// walk makes the first user in Chromium and reads the app's page; where no
// browser can be driven, it says so and goes the same way without one.
func walk(t *testing.T, link string) {
	t.Helper()
	chromium, err := exec.LookPath("chromium")
	_, noNode := exec.LookPath("node")
	_, noModules := os.Stat("../browser/node_modules/playwright-core")
	if err := errors.Join(err, noNode, noModules); err != nil {
		b := harness.NewBrowser(t)
		b.MakeFirstUser(link, first, password)
		b.Get(app)
		if b.Status != http.StatusOK || !strings.Contains(b.Body, "<dd>"+first+"</dd>") {
			t.Fatalf("the app: %d at %s\n%s", b.Status, b.URL, b.Body)
		}
		t.Skipf("without Chromium, run `make tools`: %v", err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "walk.mjs")
	cmd.Env = append(os.Environ(), "CHROMIUM="+chromium, "LINK="+link, "APP="+app, "IDENTIFIER="+first, "PASSWORD="+password)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

var (
	tokenLine = regexp.MustCompile(`(?m)^ +(TOKEN=.*)$`)
	curlLine  = regexp.MustCompile(`(?m)^ +(curl -i .*?) +# (\d{3})`)
)

// curl runs the printed lines and holds the answers against the printed statuses.
func (d *demo) curl(t *testing.T) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("curl is missing")
	}
	printed := d.output.String()
	token, lines := tokenLine.FindStringSubmatch(printed), curlLine.FindAllStringSubmatch(printed, -1)
	if token == nil || len(lines) != 3 {
		t.Fatalf("%d curl lines were printed, want 3 and one that gets a token:\n%s", len(lines), printed)
	}
	want := map[string]string{
		"200": `"client": "demo-batch"`,
		"403": `error="insufficient_scope"`,
		"401": "Www-Authenticate: " + challenge(api, noToken) + "\r\n",
	}
	for _, line := range lines {
		cmd := exec.CommandContext(t.Context(), "bash", "-c", token[1]+"\n"+line[1])
		cmd.Dir = d.dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", line[1], err)
		}
		if !strings.HasPrefix(string(out), "HTTP/1.1 "+line[2]) || want[line[2]] == "" || !strings.Contains(string(out), want[line[2]]) {
			t.Errorf("%s\npromises %s and answers\n%s", line[1], line[2], out)
		}
	}
}

// people asks the API with tokens of the first user: the right one, one
// without the scope, one for the issuer alone, and an ID token.
func people(t *testing.T) {
	provider := harness.Provider{Base: login}
	web := harness.Client{ID: "demo-web", Redirect: "http://127.0.0.1:1/callback"}
	b := harness.NewBrowser(t)
	right := redeem(t, provider, web, provider.GetCode(t, b, web, "openid orders.read", first, password))
	writing := redeem(t, provider, web, provider.GetCode(t, b, web, "orders.write", first, password))
	audience := redeem(t, provider, web, provider.GetCode(t, b, web, "openid", first, password))

	opens(t, right.Access)
	refuses(t, "without the scope", writing.Access, http.StatusForbidden, lacking)
	refuses(t, "of another audience", audience.Access, http.StatusUnauthorized, invalid)
	refuses(t, "an ID token", right.ID, http.StatusUnauthorized, invalid)
	refuses(t, "cut short", right.Access[:len(right.Access)-4], http.StatusUnauthorized, invalid)
	refuses(t, "none", "", http.StatusUnauthorized, noToken)

	// The other way round: the app takes none of them either, for it is another resource.
	if res, _ := harness.Call(t, http.MethodGet, app, right.Access); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the app answers %d to a token of the API", res.StatusCode)
	}
}

func redeem(t *testing.T, p harness.Provider, c harness.Client, code harness.Code) *harness.Answer {
	t.Helper()
	a, err := p.Redeem(c, code)
	if err != nil || a.Status != http.StatusOK || a.Access == "" {
		t.Fatalf("redeeming: %+v, %v", a, err)
	}
	return a
}

// foreign asks with a token of another issuer that names the same audience,
// client and scope.
func foreign(t *testing.T) {
	s := harness.Start(t, `{
	admin {{admin}}
	gatehouse {
		resource `+api+` orders.read
		client demo-batch {
			secret {env.BATCH_SECRET}
			grant client_credentials orders.read
		}
	}
}
http://localhost:{{port login}} {
	gatehouse_login
}
`, harness.Options{Env: []string{"BATCH_SECRET=the-secret-of-another-issuer"}})
	token := harness.Provider{Base: s.URL("login")}.Machine(t, harness.Client{ID: "demo-batch", Secret: "the-secret-of-another-issuer"}, "orders.read")
	refuses(t, "of another issuer", token, http.StatusUnauthorized, invalid)
}

// TestExpiredToken waits for a token's end, and for the leeway after it.
func TestExpiredToken(t *testing.T) {
	t.Parallel()
	const leeway = 30 * time.Second
	s := harness.Start(t, `{
	admin {{admin}}
	gatehouse {
		resource http://localhost:{{port api}} {
			scope orders.read "Read orders"
			token_ttl 1s
		}
		client batch {
			secret {env.BATCH_SECRET}
			grant client_credentials orders.read
		}
	}
}
http://localhost:{{port api}} {
	gatehouse_require scope:orders.read
	respond orders
}
http://localhost:{{port login}} {
	gatehouse_login
}
`, harness.Options{Env: []string{"BATCH_SECRET=the-secret-of-the-batch"}})
	machine := harness.Client{ID: "batch", Secret: "the-secret-of-the-batch"}
	provider := harness.Provider{Base: s.URL("login")}
	issued := time.Now()
	answer, err := provider.Token(machine, url.Values{"grant_type": {"client_credentials"}})
	if err != nil || answer.Life != 1 {
		t.Fatalf("%+v, %v", answer, err)
	}
	res, _ := harness.Call(t, http.MethodGet, s.URL("api"), answer.Access)
	for res.StatusCode == http.StatusOK {
		if time.Since(issued) > leeway+5*time.Second {
			t.Fatal("the token outlives its end and the leeway")
		}
		time.Sleep(250 * time.Millisecond)
		res, _ = harness.Call(t, http.MethodGet, s.URL("api"), answer.Access)
	}
	if age := time.Since(issued); age < leeway {
		t.Errorf("the token lived %v", age)
	}
	if res.StatusCode != http.StatusUnauthorized || !challenged(res.Header, s.URL("api"), invalid) {
		t.Errorf("an expired token: %d, %q", res.StatusCode, res.Header.Values("WWW-Authenticate"))
	}
	fresh := provider.Machine(t, machine, "orders.read")
	if res, _ := harness.Call(t, http.MethodGet, s.URL("api"), fresh); res.StatusCode != http.StatusOK {
		t.Errorf("a fresh token: %d", res.StatusCode)
	}
}

func opens(t *testing.T, token string) {
	t.Helper()
	if res, body := harness.Call(t, http.MethodGet, api, token); res.StatusCode != http.StatusOK || !strings.Contains(body, `"client": "demo-web"`) {
		t.Errorf("the right token: %d\n%s", res.StatusCode, body)
	}
}

// refuses asserts the status, the whole challenge, and that nothing of the API is told.
func refuses(t *testing.T, what, token string, status int, err string) {
	t.Helper()
	res, body := harness.Call(t, http.MethodGet, api, token)
	if res.StatusCode != status || !challenged(res.Header, api, err) || strings.Contains(body, "orders\": [") {
		t.Errorf("a token %s: %d, %q\n%s", what, res.StatusCode, res.Header.Values("WWW-Authenticate"), body)
	}
}

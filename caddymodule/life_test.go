package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

// running is Caddy in this process, on a configuration.
type running struct {
	t    *testing.T
	port int
}

// run starts Caddy; $PORT in the text is a free port on the loopback.
func run(t *testing.T, text string) *running {
	t.Helper()
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &running{t, l.Addr().(*net.TCPAddr).Port}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := caddy.Stop(); err != nil {
			t.Error(err)
		}
		if n := len(held()); n > 0 {
			t.Errorf("%d states are left", n)
		}
	})
	if err := c.load(text); err != nil {
		t.Fatal(err)
	}
	return c
}

// load loads a configuration, as `caddy reload` does.
func (c *running) load(text string) error {
	raw, err := c.json(text)
	if err != nil {
		return err
	}
	return caddy.Load(raw, true)
}

// json adapts a configuration whose global options are left open.
func (c *running) json(text string) ([]byte, error) {
	global := "{\n\tadmin off\n\tpersist_config off\n\tdefault_bind 127.0.0.1\n"
	if !strings.Contains(text, "servers {") {
		global += "\tservers {\n\t\tprotocols h1\n\t}\n"
	}
	raw, _, err := adapt(c.t, strings.ReplaceAll(global+text, "$PORT", fmt.Sprint(c.port)))
	return raw, err
}

// url is an address at the running server.
func (c *running) url(path string) string { return fmt.Sprintf("http://localhost:%d%s", c.port, path) }

// get asks once, without following redirects.
func (c *running) get(path string, header ...string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url(path), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(r)
}

// do sends a request on a connection of its own.
func (c *running) do(r *http.Request) (*http.Response, string) {
	c.t.Helper()
	transport := &http.Transport{DisableKeepAlives: true}
	res, err := transport.RoundTrip(r)
	// A connection that the kernel gave to the listener of a refused
	// configuration, which Caddy then closes, is reset. Bare Caddy does the same.
	for range 5 {
		if err == nil || r.Body != nil || !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, io.EOF) {
			break
		}
		res, err = transport.RoundTrip(r)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		c.t.Fatal(err)
	}
	return res, string(body)
}

// held lists the shared states of this process.
func held() (list []*shared) {
	states.Range(func(_, v any) bool {
		if s, ok := v.(*shared); ok {
			list = append(list, s)
		}
		return true
	})
	return list
}

// site is a one-site configuration; options stand in the global option.
func site(options, directives string) string {
	return "\tgatehouse {\n" + options + "\n\t}\n}\nhttp://localhost:$PORT {\n" + directives + "\n}\n"
}

func TestAReloadKeepsTheState(t *testing.T) {
	c := run(t, site("", "gatehouse\nrespond hello"))
	if len(held()) != 1 {
		t.Fatal(held())
	}
	s := held()[0]
	for i := range 5 {
		if err := c.load(site(fmt.Sprintf("brand B%d", i), "gatehouse\nrespond hello")); err != nil {
			t.Fatal(err)
		}
		if refs, _ := states.References(s.key); refs != 1 || len(held()) != 1 || held()[0] != s {
			t.Fatalf("round %d: %d references, %d states", i, refs, len(held()))
		}
	}
	if n := len(s.logs.loggers); n != 1 {
		t.Errorf("%d loggers are kept", n)
	}
	if res, body := c.get("/_auth/login"); res.StatusCode != http.StatusOK || !strings.Contains(body, "B4") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

func TestARefusedReloadLeavesTheOldOneAlone(t *testing.T) {
	c := run(t, site("", "gatehouse\nrespond hello"))
	s := held()[0]
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := taken.Close(); err != nil {
			t.Error(err)
		}
	}()
	for name, text := range map[string]string{
		"open door":         site("", "route {\n\treverse_proxy localhost:1\n\tgatehouse\n}"),
		"issuer would move": "\tgatehouse\n}\nhttp://localhost:$PORT {\n\tgatehouse_login\n}\n",
		"another key":       site("encryption_key file {env.OTHER_KEY}", "gatehouse"),
		"absent secret":     site("client a {\n\tsecret {env.GATEHOUSE_TEST_UNSET}\n\tgrant client_credentials\n}", "gatehouse"),
		"port taken":        site("brand new", "gatehouse") + fmt.Sprintf("http://%s {\n}\n", taken.Addr()),
	} {
		key := filepath.Join(t.TempDir(), "key")
		if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("OTHER_KEY", key)
		if err := c.load(text); err == nil {
			t.Errorf("%s: it was taken", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
		if refs, _ := states.References(s.key); refs != 1 || len(held()) != 1 {
			t.Errorf("%s: %d references, %d states", name, refs, len(held()))
		}
		if res, _ := c.get("/"); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
		if res, _ := c.get("/_auth/login"); res.StatusCode != http.StatusOK {
			t.Errorf("%s: login: %d", name, res.StatusCode)
		}
	}
}

// Requests see nothing of reloads, and nothing of a configuration stays.
func TestReloadsUnderTraffic(t *testing.T) {
	c := run(t, site("", "gatehouse\nrespond hello"))
	s := held()[0]
	reload := func(i int) {
		if err := c.load(site(fmt.Sprintf("brand B%d", i), "gatehouse\nrespond hello")); err != nil {
			t.Fatal(err)
		}
	}
	reload(0)
	before := ours()
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var answers atomic.Int64
	for range 3 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				res, err := http.Get(c.url("/_auth/login"))
				if err != nil {
					continue // Caddy itself drops a few connections at a reload
				}
				if res.StatusCode != http.StatusOK {
					t.Errorf("%d", res.StatusCode)
				}
				answers.Add(1)
				if _, err := io.Copy(io.Discard, res.Body); err != nil {
					t.Error(err)
				}
				if err := res.Body.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := 0; i < 25 || answers.Load() < 100 && i < 1000; i++ {
		reload(i + 1)
	}
	close(stop)
	clients.Wait()
	if answers.Load() < 100 {
		t.Errorf("only %d answers", answers.Load())
	}
	if list := held(); len(list) != 1 || list[0] != s || s.inside.Load() != 0 {
		t.Errorf("%d states, %d requests inside", len(list), s.inside.Load())
	}
	if after := ours(); before == 0 || after > before {
		t.Errorf("%d goroutines of ours before, %d after", before, after)
	}
}

// ours counts the goroutines that run code of this module, tests aside.
func ours() (n int) {
	buf := make([]byte, 4<<20)
	for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if strings.Contains(stack, "github.com/gatehouse-auth/gatehouse/") && !strings.Contains(stack, "_test.go") {
			n++
		}
	}
	return n
}

// `caddy validate` may run beside the server, and leaves it alone.
func TestValidateBesideTheServer(t *testing.T) {
	text := site("encryption_key file {env.KEY_FILE}", "gatehouse\nrespond hello")
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KEY_FILE", key)
	c := run(t, text)
	s := held()[0]
	raw, err := c.json(text)
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := json.Unmarshal(raw, &cfg); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := caddy.Validate(&cfg); err != nil {
			t.Fatal(err)
		}
	}
	if refs, _ := states.References(s.key); refs != 1 || len(held()) != 1 {
		t.Errorf("%d references, %d states", refs, len(held()))
	}
	if res, _ := c.get("/_auth/login"); res.StatusCode != http.StatusOK {
		t.Errorf("%d", res.StatusCode)
	}
}

// A reload may change the store; the admin socket goes on with the new one.
func TestAReloadChangesTheStore(t *testing.T) {
	c := run(t, site("store memory", "gatehouse"))
	memory := held()[0]
	if err := c.load(site("store sqlite", "gatehouse")); err != nil {
		t.Fatal(err)
	}
	if list := held(); len(list) != 1 || list[0] == memory {
		t.Fatal(list)
	}
	if refs, _ := states.References(socketPath(memory.key.socket)); refs != 1 {
		t.Errorf("%d references to the socket", refs)
	}
	info, err := os.Stat(memory.key.socket)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if out, _, err := command(t, "", "user", "list"); err != nil || !strings.Contains(out, "USER") {
		t.Errorf("%s %v", out, err)
	}
	if dir, err := os.Stat(filepath.Dir(memory.key.socket)); err != nil || dir.Mode().Perm() != 0o700 {
		t.Errorf("%v %v", dir, err)
	}
}

func TestTheFirstUserLinkIsPrintedOncePerProcess(t *testing.T) {
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = file
	defer func() { os.Stderr = stderr }()
	c := run(t, site("", "gatehouse"))
	for range 2 {
		if err := c.load(site("brand x", "gatehouse")); err != nil {
			t.Fatal(err)
		}
	}
	os.Stderr = stderr
	out, err := os.ReadFile(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(out), c.url("/_auth/signup?link=")); n != 1 {
		t.Errorf("%d links in:\n%s", n, out)
	}
}

// Caddy cleans a configuration up while its last requests are under way.
func TestRequestsOutliveTheirConfiguration(t *testing.T) {
	key := storage{backend: "memory", socket: filepath.Join(t.TempDir(), "admin.sock")}
	start := func() *App {
		s, err := acquire(t.Context(), key, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		a := &App{shared: s, ready: make(chan struct{}), log: slog.New(slog.DiscardHandler)}
		a.held.Store(true)
		close(a.ready)
		return a
	}
	older, newer := start(), start()
	if err := older.Cleanup(); err != nil {
		t.Fatal(err)
	}
	if err := older.Cleanup(); err != nil { // twice gives back once
		t.Fatal(err)
	}
	leave, err := older.enter(httptest.NewRequest("GET", "/", nil))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- newer.Cleanup() }()
	for !newer.shared.closing.Load() {
		time.Sleep(time.Millisecond) // until the other goroutine has come to it
	}
	if _, err := newer.enter(httptest.NewRequest("GET", "/", nil)); err == nil {
		t.Error("a request came in while closing")
	}
	select {
	case err := <-done:
		t.Fatal("closed under a request", err)
	default:
	}
	leave()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestRequestsWaitForTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg, cancel := context.WithCancel(context.Background())
		defer cancel()
		early := func(ctx context.Context, a *App) (int, time.Duration) {
			begin := time.Now()
			w := httptest.NewRecorder()
			err := (&Gate{app: a}).ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx), nil)
			var he caddyhttp.HandlerError
			if !errors.As(err, &he) || w.Header().Get("Retry-After") == "" {
				t.Errorf("%v %v", err, w.Header())
			}
			return he.StatusCode, time.Since(begin)
		}
		a := &App{ctx: caddy.Context{Context: cfg}, ready: make(chan struct{})}
		if code, after := early(t.Context(), a); code != 503 || after != startWait {
			t.Errorf("%d after %v", code, after)
		}
		gone, leave := context.WithTimeout(t.Context(), time.Second)
		defer leave()
		if code, after := early(gone, a); code != 503 || after != time.Second {
			t.Errorf("the client went: %d after %v", code, after)
		}
		time.AfterFunc(2*time.Second, cancel)
		if code, after := early(t.Context(), a); code != 503 || after != 2*time.Second {
			t.Errorf("the start was refused: %d after %v", code, after)
		}
	})
}

func TestTheSocket(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	path := filepath.Join(t.TempDir(), "admin.sock")
	first, err := listenAdmin(path, log)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := listenAdmin(path, log); err == nil || !strings.Contains(err.Error(), "another server answers") {
		t.Errorf("a living one: %v", err)
	}
	if err := first.Destruct(); err != nil {
		t.Fatal(err)
	}

	// What a killed process leaves behind.
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	l.(*net.UnixListener).SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	stale, err := listenAdmin(path, log)
	if err != nil {
		t.Fatalf("a stale one: %v", err)
	}
	if err := stale.Destruct(); err != nil {
		t.Fatal(err)
	}

	if err := os.WriteFile(path, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := listenAdmin(path, log); err == nil || !strings.Contains(err.Error(), "no socket") {
		t.Errorf("a file: %v", err)
	}
	if _, err := listenAdmin(filepath.Join(t.TempDir(), strings.Repeat("x", 100)), log); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("a long name: %v", err)
	}
}

func TestAStoreWithoutItsKeyIsNotOpened(t *testing.T) {
	c := run(t, site("", "gatehouse"))
	key := held()[0].key
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(key.keyFile); err != nil {
		t.Fatal(err)
	}
	err := c.load(site("", "gatehouse"))
	if err == nil || !strings.Contains(err.Error(), "bring the key file back") {
		t.Error(err)
	}
	if _, err := os.Stat(key.keyFile); err == nil {
		t.Error("a new key was made for an old store")
	}
}

// The configuration that Caddy keeps and shows has no secret.
func TestTheStoredConfigurationHasNoSecret(t *testing.T) {
	t.Setenv("SECRET", "a-secret-value-of-the-test")
	text := "{\n" + site("client batch {\n\tsecret {env.SECRET}\n\tgrant client_credentials\n}", "gatehouse")
	app, err := placed(t, strings.ReplaceAll(text, "$PORT", "8080"))
	if err != nil {
		t.Fatal(err)
	}
	if got := app.config.Pools[0].Clients[0].Secrets[0].Reveal(); got != "a-secret-value-of-the-test" {
		t.Errorf("resolved to %q", got)
	}
	for _, v := range []any{app, app.Pools, app.config} {
		if text := fmt.Sprintf("%+v %#v", v, v); strings.Contains(text, "a-secret-value") {
			t.Errorf("printed: %s", text)
		}
		if text, err := json.Marshal(v); err == nil && strings.Contains(string(text), "a-secret-value") {
			t.Errorf("encoded: %s", text)
		}
	}
}

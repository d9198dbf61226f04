package docs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// root is the repository, seen from this package.
const root = "../.."

var built struct {
	sync.Once
	path string
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.path != "" && os.Getenv("GATEHOUSE_BINARY") == "" {
		_ = os.RemoveAll(filepath.Dir(built.path))
	}
	os.Exit(code)
}

// binary is Caddy with Gatehouse, built once; GATEHOUSE_BINARY names one that is there.
func binary(t *testing.T) string {
	t.Helper()
	built.Do(func() {
		if built.path = os.Getenv("GATEHOUSE_BINARY"); built.path != "" {
			return
		}
		dir, err := os.MkdirTemp("", "gatehouse-docs")
		if err != nil {
			built.err = err
			return
		}
		built.path = filepath.Join(dir, "caddy")
		build := exec.Command("go", "build", "-trimpath", "-o", built.path, "./xcaddy")
		build.Dir, build.Env = root, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			built.err = errors.New(string(out))
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.path
}

// environment is a fresh home and the variables that the documents name.
func environment(home string) []string {
	env := append(os.Environ(), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "DEMO="+home)
	for _, name := range []string{"SHOP_SECRET", "BATCH_SECRET", "BATCH_SECRET_OLD"} {
		env = append(env, name+"="+secretOf(name))
	}
	return env
}

// secretOf is the value of a variable that a document names as a secret.
func secretOf(name string) string { return "0123456789abcdef" + strings.ToLower(name) }

// caddy runs a command of the binary in the repository and returns what it
// printed to standard output; what it says on standard error is in the failure.
func caddy(t *testing.T, home string, stdin string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary(t), args...)
	var out, err bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = root, environment(home), strings.NewReader(stdin), &out, &err
	if e := cmd.Run(); e != nil {
		return out.String(), errors.Join(e, errors.New(err.String()))
	}
	return out.String(), nil
}

// server is a running Caddy.
type server struct {
	address string // that all sites listen on
	home    string
	link    string // of the first user
}

var firstLink = regexp.MustCompile(`http://\S+/signup\?link=\S+`)

// run starts a Caddyfile whose sites are *.example.com on a loopback port, as
// http://*.localhost:port, with upstream behind every proxy.
func run(t *testing.T, caddyfile string, upstream http.Handler) *server {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := net.SplitHostPort(address)
	back := newLocal(t, upstream)
	caddyfile = regexp.MustCompile(`reverse_proxy \S+`).ReplaceAllString(caddyfile, "reverse_proxy "+back)
	caddyfile = regexp.MustCompile(`https://(\w+)\.example\.com`).ReplaceAllString(caddyfile, "http://$1.localhost:"+port)
	caddyfile = regexp.MustCompile(`(?m)^(\w+)\.example\.com \{`).ReplaceAllString(caddyfile, "http://$1.localhost:"+port+" {")
	return serve(t, address, caddyfile)
}

// serve starts a Caddyfile; its sites listen on the loopback alone.
func serve(t *testing.T, address, caddyfile string) *server {
	t.Helper()
	s := &server{address: address, home: t.TempDir()}
	file := filepath.Join(s.home, "Caddyfile")
	if err := os.WriteFile(file, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	adapted, err := caddy(t, s.home, "", "adapt", "--adapter", "caddyfile", "--config", file)
	if err != nil {
		t.Fatalf("%v\n%s", err, caddyfile)
	}
	var config map[string]any
	if err := json.Unmarshal([]byte(regexp.MustCompile(`":(\d+)"`).ReplaceAllString(adapted, `"127.0.0.1:$1"`)), &config); err != nil {
		t.Fatal(err)
	}
	config["admin"] = map[string]any{"disabled": true}
	raw, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.home, "caddy.json"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s.start(t)
	return s
}

// start runs the binary until the test ends and waits until the server answers.
func (s *server) start(t *testing.T) {
	logFile := filepath.Join(s.home, "log")
	log, err := os.Create(logFile)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary(t), "run", "--config", filepath.Join(s.home, "caddy.json"))
	cmd.Env, cmd.Stdout, cmd.Stderr = environment(s.home), log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(20*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait()
		timer.Stop()
		_ = log.Close()
		if t.Failed() {
			raw, _ := os.ReadFile(logFile)
			t.Logf("server log:\n%s", raw)
		}
	})
	deadline := time.Now().Add(30 * time.Second)
	for {
		raw, _ := os.ReadFile(logFile)
		if bytes.Contains(raw, []byte("serving initial configuration")) {
			s.link = firstLink.FindString(string(raw))
			return
		}
		if cmd.ProcessState != nil || time.Now().After(deadline) {
			t.Fatalf("the server does not start:\n%s", raw)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// origin is the address of a site, such as http://login.localhost:1234.
func (s *server) origin(host string) string {
	_, port, _ := net.SplitHostPort(s.address)
	return "http://" + host + ".localhost:" + port
}

// client is a browser without a screen: it keeps cookies, follows redirects
// only if told to, and finds *.localhost on the loopback.
func (s *server) client(t *testing.T, follow bool) *http.Client {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", s.address)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	c := &http.Client{Jar: jar, Transport: transport, Timeout: 30 * time.Second}
	if !follow {
		c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	}
	return c
}

// newLocal serves a handler on a loopback port and returns its host:port.
func newLocal(t *testing.T, h http.Handler) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return l.Addr().String()
}

func freeAddress(t *testing.T) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// body reads an answer.
func body(t *testing.T, r *http.Response) string {
	t.Helper()
	defer r.Body.Close()
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

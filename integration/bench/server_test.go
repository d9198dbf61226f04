package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	clientID     = "bench"
	clientSecret = "a-secret-for-the-bench-alone"
	scope        = "orders.read"
	// assertionSize is about that of a real one, in bytes.
	assertionSize = 480
)

// server is one Caddy process with a bare and a gated site to one upstream.
type server struct {
	command            *exec.Cmd
	admin, login       string // host:port
	bare, gated        string
	nameless, headered string // the gate without identity headers; no gate, but headers as large as the gate's
	log                string
}

// start builds the binary, unless GATEHOUSE_BINARY names one, and runs it.
func start(b *testing.B) *server {
	b.Helper()
	dir := b.TempDir()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("x", 64))
	}))
	b.Cleanup(upstream.Close)
	s := &server{log: filepath.Join(dir, "log")}
	for _, address := range []*string{&s.admin, &s.login, &s.bare, &s.gated, &s.nameless, &s.headered} {
		*address = freeAddress(b)
	}
	config := filepath.Join(dir, "Caddyfile")
	if err := os.WriteFile(config, []byte(s.caddyfile(strings.TrimPrefix(upstream.URL, "http://"))), 0o600); err != nil {
		b.Fatal(err)
	}
	log, err := os.Create(s.log)
	if err != nil {
		b.Fatal(err)
	}
	s.command = exec.Command(binary(b, dir), "run", "--config", config, "--adapter", "caddyfile")
	s.command.Env = append(os.Environ(), "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir, "HOME="+dir)
	s.command.Stdout, s.command.Stderr = log, log
	if err := s.command.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.stop(b, log) })
	s.await(b)
	return s
}

// caddyfile is the configuration: all sites have one upstream and differ in the gate alone.
func (s *server) caddyfile(upstream string) string {
	return strings.NewReplacer(
		"ADMIN", s.admin, "LOGIN", s.login, "BARE", s.bare, "GATED", s.gated, "NAMELESS", s.nameless, "HEADERED", s.headered,
		"UPSTREAM", upstream, "SCOPE", scope, "CLIENT", clientID, "SECRET", clientSecret, "LONG", strings.Repeat("a", assertionSize),
	).Replace(`{
	admin ADMIN
	auto_https off
	log {
		level WARN
	}
	gatehouse {
		store memory
		resource http://GATED SCOPE {
			signing_alg RS256
		}
		client CLIENT {
			secret SECRET
			grant client_credentials SCOPE
		}
	}
}
http://LOGIN {
	gatehouse_login
}
http://BARE {
	reverse_proxy UPSTREAM
}
http://GATED {
	gatehouse_require scope:SCOPE
	reverse_proxy UPSTREAM
}
http://NAMELESS {
	gatehouse_require scope:SCOPE {
		resource http://GATED
		headers none
	}
	reverse_proxy UPSTREAM
}
http://HEADERED {
	request_header X-Auth-Client CLIENT
	request_header X-Auth-Scopes SCOPE
	request_header X-Auth-Assertion LONG
	reverse_proxy UPSTREAM
}
`)
}

// binary returns the path of Caddy with Gatehouse.
func binary(b *testing.B, dir string) string {
	if path := os.Getenv("GATEHOUSE_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(dir, "binary")
	build := exec.Command("go", "build", "-o", path, "github.com/gatehouse-auth/gatehouse/xcaddy")
	if out, err := build.CombinedOutput(); err != nil {
		b.Fatalf("build: %v\n%s", err, out)
	}
	return path
}

// freeAddress returns an address of a loopback port that is free now.
func freeAddress(b *testing.B) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// await waits until the login host answers.
func (s *server) await(b *testing.B) {
	deadline := time.Now().Add(30 * time.Second)
	for {
		r, err := http.Get("http://" + s.login + "/.well-known/openid-configuration")
		if err == nil {
			_ = r.Body.Close()
			if r.StatusCode == http.StatusOK {
				return
			}
		}
		if time.Now().After(deadline) {
			log, _ := os.ReadFile(s.log)
			b.Fatalf("the server does not answer: %v\n%s", err, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// stop ends the process.
func (s *server) stop(b *testing.B, log *os.File) {
	_ = s.command.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- s.command.Wait() }()
	select {
	case <-done:
	case <-time.After(15 * time.Second):
		b.Error("the server did not stop")
		_ = s.command.Process.Kill()
		<-done
	}
	_ = log.Close()
}

// token gets the machine client's access token.
func (s *server) token(b *testing.B) string {
	b.Helper()
	r, err := http.NewRequest(http.MethodPost, "http://"+s.login+"/oauth2/token", strings.NewReader(url.Values{"grant_type": {"client_credentials"}}.Encode()))
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(clientID, clientSecret)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer answer.Body.Close()
	var body struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil || body.Token == "" {
		b.Fatalf("token endpoint: %s: %v", answer.Status, err)
	}
	return body.Token
}

// cpu is the processor time that the process has used.
func (s *server) cpu(b *testing.B) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.command.Process.Pid))
	if err != nil {
		return 0 // not Linux: only the throughput is reported
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	var ticks int
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

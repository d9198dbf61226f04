package harness

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	startTime = 30 * time.Second // a start may take this long on a busy machine
	stopTime  = 15 * time.Second
)

// Options says how a Server is started.
type Options struct {
	Dir   string            // data, configuration and log; empty: a new temporary one
	Store string            // what {{store}} becomes; empty: sqlite
	Env   []string          // NAME=value, besides those of the test process
	Vars  map[string]string // further {{name}} variables
	// Ready is the name of the port whose site must answer; empty: the first in the Caddyfile.
	Ready string
}

// Server is one process of the binary.
type Server struct {
	Dir  string // XDG_DATA_HOME and more
	Data string // Gatehouse's own data directory

	t       testing.TB
	binary  string
	options Options
	ports   map[string]int
	config  string // path of the Caddyfile
	cmd     *exec.Cmd
	done    chan error
	output  *Output
	started time.Duration
}

// Start starts the binary on a Caddyfile and waits until it answers. In the
// Caddyfile {{port NAME}} stands for a free port of that name, {{admin}} for
// the address of the admin endpoint, {{store}} for Options.Store, and {{NAME}}
// for a variable. Its global options must hold `admin {{admin}}`.
func Start(t testing.TB, caddyfile string, o Options) *Server {
	t.Helper()
	s := New(t, caddyfile, o)
	s.Run()
	return s
}

// New prepares a server that is not started yet.
func New(t testing.TB, caddyfile string, o Options) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = shortDir(t)
	}
	if o.Store == "" {
		o.Store = "sqlite"
	}
	s := &Server{
		Dir: o.Dir, Data: filepath.Join(o.Dir, "data", "caddy", "gatehouse"), t: t, binary: Binary(t), options: o,
		ports: map[string]int{}, config: filepath.Join(o.Dir, "Caddyfile"), output: &Output{},
	}
	s.Configure(caddyfile)
	t.Cleanup(func() {
		s.Stop()
		if t.Failed() {
			t.Logf("output of the server:\n%s", s.Logs())
		}
	})
	return s
}

// shortDir is a temporary directory with a name that does not grow with the
// test's: a socket's may have only 103 bytes.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "gh")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

var variable = regexp.MustCompile(`\{\{(port )?([a-z0-9_]+)\}\}`)

// Configure writes another Caddyfile; ports keep their numbers.
func (s *Server) Configure(caddyfile string) {
	s.t.Helper()
	if err := os.WriteFile(s.config, []byte(s.Expand(caddyfile)), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// Expand replaces the variables of a text.
func (s *Server) Expand(text string) string {
	return variable.ReplaceAllStringFunc(text, func(m string) string {
		parts := variable.FindStringSubmatch(m)
		switch {
		case parts[1] != "":
			return strconv.Itoa(s.Port(parts[2]))
		case parts[2] == "admin":
			return "127.0.0.1:" + strconv.Itoa(s.Port("admin"))
		case parts[2] == "store":
			return s.options.Store
		}
		if v, ok := s.options.Vars[parts[2]]; ok {
			return v
		}
		return m
	})
}

// Port returns the port of a name, choosing a free one the first time.
func (s *Server) Port(name string) int {
	if p, ok := s.ports[name]; ok {
		return p
	}
	if s.options.Ready == "" && name != "admin" {
		s.options.Ready = name
	}
	s.ports[name] = FreePort(s.t)
	return s.ports[name]
}

// Ports returns the names of all ports that were asked for, sorted.
func (s *Server) Ports() []string { return slices.Sorted(maps.Keys(s.ports)) }

// URL returns http://localhost:PORT of a named port.
func (s *Server) URL(name string) string { return "http://localhost:" + strconv.Itoa(s.Port(name)) }

// Admin returns the address of Caddy's admin endpoint.
func (s *Server) Admin() string { return "127.0.0.1:" + strconv.Itoa(s.Port("admin")) }

// env is the environment of the server and of the command line beside it.
func (s *Server) env() []string {
	return append(os.Environ(), append([]string{
		"HOME=" + s.Dir, "XDG_DATA_HOME=" + filepath.Join(s.Dir, "data"), "XDG_CONFIG_HOME=" + filepath.Join(s.Dir, "config"),
	}, s.options.Env...)...)
}

// Run starts the process and waits until it answers.
func (s *Server) Run() {
	s.t.Helper()
	if err := s.TryRun(); err != nil {
		s.t.Fatalf("%v\n%s", err, s.Logs())
	}
}

// TryRun is Run for a server that may be refused.
func (s *Server) TryRun() error {
	began := time.Now()
	cmd := exec.Command(s.binary, "run", "--config", s.config, "--adapter", "caddyfile")
	cmd.Env, cmd.Dir, cmd.Stdout, cmd.Stderr = s.env(), s.Dir, s.output, s.output
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	s.cmd, s.done = cmd, done
	for {
		if s.answers() {
			s.started = time.Since(began)
			return nil
		}
		select {
		case err := <-done:
			s.cmd = nil
			return fmt.Errorf("the server ended: %w", errors.Join(errors.New("exit"), err))
		case <-time.After(10 * time.Millisecond):
		}
		if time.Since(began) > startTime {
			s.Kill9()
			return errors.New("the server does not answer")
		}
	}
}

// answers reports whether the site of the ready port answers anything but "starting".
func (s *Server) answers() bool {
	c := http.Client{Timeout: 2 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := c.Get(s.URL(s.options.Ready) + "/")
	if err != nil {
		return false
	}
	return errors.Join(res.Body.Close()) == nil && res.StatusCode != http.StatusServiceUnavailable
}

// StartTime is how long the last start took, from the process to the first answer.
func (s *Server) StartTime() time.Duration { return s.started }

// PID is the process id, or 0.
func (s *Server) PID() int {
	if s.cmd == nil {
		return 0
	}
	return s.cmd.Process.Pid
}

// Stop ends the process as an operator does, and waits for it. It may be
// called twice.
func (s *Server) Stop() { s.end(syscall.SIGTERM) }

// Kill9 ends the process at once, as a crash does.
func (s *Server) Kill9() { s.end(syscall.SIGKILL) }

func (s *Server) end(signal os.Signal) {
	if s.cmd == nil {
		return
	}
	cmd, done := s.cmd, s.done
	s.cmd = nil
	if err := cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Errorf("signal: %v", err)
	}
	select {
	case <-done:
	case <-time.After(stopTime):
		s.t.Error("the server did not stop: killed")
		_ = cmd.Process.Kill()
		<-done
	}
}

// Restart stops the process and starts it again.
func (s *Server) Restart() {
	s.t.Helper()
	s.Stop()
	s.Run()
}

// Reload loads the configuration as it is on disk now, by `caddy reload`.
func (s *Server) Reload() error {
	out, err := s.Caddy(nil, "reload", "--config", s.config, "--adapter", "caddyfile", "--address", s.Admin(), "--force")
	if err != nil {
		return fmt.Errorf("reload: %w\n%s", err, out)
	}
	return nil
}

// Caddy runs the binary with the server's environment and returns what it
// printed to standard output; an error carries what it printed to standard error.
func (s *Server) Caddy(stdin io.Reader, args ...string) (string, error) {
	out, errs, err := s.Exec(stdin, args...)
	if err != nil {
		return out, fmt.Errorf("%w: %s", err, errs)
	}
	return out, nil
}

// Exec is Caddy for those who read standard error of what succeeds as well.
func (s *Server) Exec(stdin io.Reader, args ...string) (stdout, stderr string, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, s.binary, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.env(), s.Dir, stdin, &out, &errs
	err = cmd.Run()
	return out.String(), errs.String(), err
}

// CLI runs `caddy gatehouse …` and fails the test if it fails.
func (s *Server) CLI(args ...string) string {
	s.t.Helper()
	out, err := s.Caddy(nil, append([]string{"gatehouse"}, args...)...)
	if err != nil {
		s.t.Fatalf("caddy gatehouse %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// AddUser adds a user with a password.
func (s *Server) AddUser(identifier, password string, args ...string) {
	s.t.Helper()
	args = append([]string{"gatehouse", "user", "add", identifier, "--password-stdin"}, args...)
	if _, err := s.Caddy(strings.NewReader(password), args...); err != nil {
		s.t.Fatal(err)
	}
}

// Logs is all that the server has printed.
func (s *Server) Logs() string { return s.output.String() }

var linkForm = regexp.MustCompile(`https?://\S+/signup\?link=\S+`)

// FirstLink returns the last first-user link that was printed.
func (s *Server) FirstLink() string {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if all := linkForm.FindAllString(s.Logs(), -1); len(all) > 0 {
			return all[len(all)-1]
		}
		if time.Now().After(deadline) {
			s.t.Fatalf("no first-user link was printed:\n%s", s.Logs())
		}
	}
}

// Output collects what a process prints. It is safe for concurrent use.
type Output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write serves exec.Cmd.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(p)
}

// String is all that was printed so far.
func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

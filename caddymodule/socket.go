package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/caddyserver/caddy/v2"
)

// maxSocketPath is the longest name that a Unix socket may have on every
// system, in bytes.
const maxSocketPath = 103

// socketPath is the key of an admin socket among what configurations share.
type socketPath string

// adminSocket serves the admin API to whoever may open a file of mode 0600.
// It belongs to the states that reloads share, never to one configuration:
// the state that came last answers.
type adminSocket struct {
	server *http.Server
	done   chan error

	mu     sync.Mutex
	states []*shared
}

// joinSocket finds the socket or makes it, and lets s answer on it.
func joinSocket(path string, s *shared, log *slog.Logger) (*adminSocket, error) {
	v, _, err := states.LoadOrNew(socketPath(path), func() (caddy.Destructor, error) { return listenAdmin(path, log) })
	if err != nil {
		return nil, err
	}
	a := v.(*adminSocket)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.states = append(a.states, s)
	return a, nil
}

// part takes s off the socket; the last one to go closes it.
func (a *adminSocket) part(path string, s *shared) error {
	a.mu.Lock()
	a.states = slices.DeleteFunc(a.states, func(other *shared) bool { return other == s })
	a.mu.Unlock()
	_, err := states.Delete(socketPath(path))
	return err
}

// ServeHTTP lets the state that came last answer.
func (a *adminSocket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	var s *shared
	if n := len(a.states); n > 0 {
		s = a.states[n-1]
	}
	a.mu.Unlock()
	if s == nil || !s.enter() {
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	defer s.leave()
	if r.Method == http.MethodPost && r.URL.Path == backupPath {
		w.Header().Set(keyHeader, s.key.keyPlace())
		s.state.ServeBackup(w, r, s.key.spare())
		return
	}
	s.state.Admin().ServeHTTP(w, r)
}

// listenAdmin serves on a socket. One that a dead process left behind is
// replaced; one that answers belongs to another server.
func listenAdmin(path string, log *slog.Logger) (*adminSocket, error) {
	l, err := listenSocket(path)
	if err != nil {
		return nil, fmt.Errorf("gatehouse: admin socket %s: %w", path, err)
	}
	a := &adminSocket{done: make(chan error, 1)}
	a.server = &http.Server{Handler: a, ReadHeaderTimeout: 10 * time.Second, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn)}
	go func() { a.done <- a.server.Serve(l) }()
	return a, nil
}

// listenSocket listens on a socket of mode 0600.
func listenSocket(path string) (net.Listener, error) {
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("its name is longer than the %d bytes that a socket may have: choose a shorter data directory with XDG_DATA_HOME", maxSocketPath)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	if err := removeStale(path); err != nil {
		return nil, err
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(err, l.Close())
	}
	return l, nil
}

// removeStale removes a socket that nobody serves any more, and nothing else.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket == 0 {
		return errors.New("something that is no socket stands there: take it away")
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		return errors.Join(errors.New("another server answers there: stop it, or give each its own data directory with XDG_DATA_HOME"), c.Close())
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err // alive but busy, or somebody else's
	}
	return os.Remove(path)
}

// Destruct stops serving; calls under way get a moment to end.
func (a *adminSocket) Destruct() error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second) // the last configuration has gone: there is no other
	defer cancel()
	if err := a.server.Shutdown(ctx); err != nil {
		return errors.Join(a.server.Close(), <-a.done)
	}
	if err := <-a.done; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

// states holds what configurations share, by what it connects to: states by
// their storage, the admin socket by its path. A reload starts the new
// configuration before it stops the old one: both find the same state here,
// and the store is opened once.
var states = caddy.NewUsagePool()

// drainWait is how long the last configuration waits for its requests before
// the store is closed under them.
const drainWait = 5 * time.Second

// StoreConfig says where state lies.
type StoreConfig struct {
	// Backend is "sqlite" (default) or "memory", which forgets everything.
	Backend string `json:"backend,omitempty"`
	// Path is the file of an SQLite store; gatehouse/gatehouse.db in Caddy's
	// data directory by default.
	Path string `json:"path,omitempty"`
}

// KeyConfig says where the key-encryption key is. Exactly one member is set.
type KeyConfig struct {
	// File is a key file of mode 0600.
	File string `json:"file,omitempty"`
	// Env is the name of an environment variable that holds the key.
	Env string `json:"env,omitempty"`
	// Where is the place in the configuration, for errors.
	Where string `json:"where,omitempty"`
}

// storage is a resolved StoreConfig and KeyConfig. It is comparable: two
// configurations that connect to the same share one state.
type storage struct {
	backend, path   string
	keyFile, keyEnv string
	createKey       bool
	socket          string
}

// dataDir is where Gatehouse keeps its files by default.
func dataDir() string { return filepath.Join(caddy.AppDataDir(), "gatehouse") }

// storage resolves the configuration's defaults.
func (a *App) storage() storage { return resolveStorage(a.Store, a.EncryptionKey, dataDir()) }

func resolveStorage(st *StoreConfig, key *KeyConfig, dir string) storage {
	s := storage{backend: "sqlite", path: filepath.Join(dir, "gatehouse.db"), socket: filepath.Join(dir, "admin.sock")}
	if st != nil && st.Backend != "" {
		s.backend = st.Backend
	}
	if st != nil && st.Path != "" {
		s.path = st.Path
	}
	if s.backend == "memory" {
		s.path = ""
	} else if abs, err := filepath.Abs(s.path); err == nil {
		s.path = abs
	}
	switch {
	case key != nil && key.File != "":
		s.keyFile = key.File
	case key != nil && key.Env != "":
		s.keyEnv = key.Env
	case s.backend == "sqlite":
		s.keyFile, s.createKey = filepath.Join(filepath.Dir(s.path), "gatehouse.key"), true
	}
	return s
}

// validate looks at what can be judged without opening anything.
func (s storage) validate() error {
	if s.backend != "sqlite" && s.backend != "memory" {
		return fmt.Errorf("gatehouse: this build has no store %q: it has sqlite and memory", s.backend)
	}
	if s.createKey {
		return nil // the key file may be still to be made
	}
	_, err := s.keys()
	return err
}

// keys loads the key-encryption keys; a store in memory needs none that last.
func (s storage) keys() (*secret.Keys, error) {
	switch {
	case s.keyFile != "":
		keys, err := secret.LoadKeys(s.keyFile, s.createKey)
		if err != nil {
			return nil, fmt.Errorf("gatehouse: %w", err)
		}
		return keys, nil
	case s.keyEnv != "":
		text, ok := os.LookupEnv(s.keyEnv)
		if !ok {
			return nil, fmt.Errorf("gatehouse: encryption_key: the environment variable %s is not set", s.keyEnv)
		}
		keys, err := secret.ParseKeys(text)
		if err != nil {
			return nil, fmt.Errorf("gatehouse: encryption_key: environment variable %s: %w", s.keyEnv, err)
		}
		return keys, nil
	}
	return secret.NewKeys(), nil
}

// keyPlace says where the key-encryption keys are.
func (s storage) keyPlace() string {
	if s.keyEnv != "" {
		return "the environment variable " + s.keyEnv
	}
	return s.keyFile
}

// spare is where a backup is made before it is given out: beside the store.
func (s storage) spare() string { return s.path + ".backup" }

// open opens the store for a state that is to be built on it.
func (s storage) open(ctx context.Context, c *authcore.StateConfig) error {
	if s.backend == "memory" {
		c.Directory = memstore.New(memstore.Options{})
		return nil
	}
	st, err := sqlitestore.Open(ctx, s.path, sqlitestore.Options{Logger: c.Logger})
	if err != nil {
		return fmt.Errorf("gatehouse: %w", err)
	}
	c.Directory = st
	return nil
}

// openState opens the store and builds the state on it.
func (s storage) openState(ctx context.Context, log *slog.Logger) (*authcore.State, error) {
	if s.createKey && exists(s.path) && !exists(s.keyFile) {
		return nil, fmt.Errorf("gatehouse: the store %s is there, but not the key that opens it, %s: bring the key file back, or name another with encryption_key", s.path, s.keyFile)
	}
	keys, err := s.keys()
	if err != nil {
		return nil, err
	}
	c := authcore.StateConfig{Keys: keys, Logger: log}
	if err := s.open(ctx, &c); err != nil {
		return nil, err
	}
	state, err := authcore.Open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("gatehouse: %w", err)
	}
	return state, nil
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// shared is what configurations share: the state and the admin socket. It
// outlives any of them, and closes when the last one has gone and its
// requests have ended.
type shared struct {
	key   storage
	state *authcore.State
	admin *adminSocket
	logs  *logs
	once  sync.Once // the first-user links are printed once per process start

	inside  atomic.Int64 // requests that hold a reference
	closing atomic.Bool
	left    chan struct{} // told, while closing, that nobody may be inside any more
}

// acquire joins the shared state or opens it. ctx bounds only the opening:
// what is opened must not end with the configuration that happens to be first.
func acquire(ctx context.Context, key storage, log *slog.Logger) (*shared, error) {
	if err := key.conflict(); err != nil {
		return nil, err
	}
	v, _, err := states.LoadOrNew(key, func() (caddy.Destructor, error) {
		s := &shared{key: key, logs: &logs{}, left: make(chan struct{}, 1)}
		s.logs.use(log)
		var err error
		if s.state, err = key.openState(ctx, slog.New(relay{to: s.logs})); err != nil {
			return nil, err
		}
		if s.admin, err = joinSocket(key.socket, s, log); err != nil {
			return nil, errors.Join(err, s.state.Close())
		}
		return s, nil
	})
	if err != nil {
		return nil, err
	}
	s := v.(*shared)
	s.logs.use(log)
	return s, nil
}

// conflict refuses to open a store a second time with another key: the first
// holds its lock, and would be taken for another process.
func (s storage) conflict() (err error) {
	states.Range(func(key, _ any) bool {
		if other, ok := key.(storage); ok && s.path != "" && other.path == s.path && other != s {
			err = fmt.Errorf("gatehouse: the running configuration opened the store %s with another encryption_key: restart to change it, a reload cannot", s.path)
		}
		return err == nil
	})
	return err
}

// release gives back one configuration's share.
func (s *shared) release(log *slog.Logger) error {
	s.logs.drop(log)
	if _, err := states.Delete(s.key); err != nil {
		return fmt.Errorf("gatehouse: closing: %w", err)
	}
	return nil
}

// enter takes a request's reference; false once the state is closing.
func (s *shared) enter() bool {
	s.inside.Add(1)
	if s.closing.Load() {
		s.leave()
		return false
	}
	return true
}

// leave gives a request's reference back.
func (s *shared) leave() {
	if s.inside.Add(-1) == 0 && s.closing.Load() {
		select {
		case s.left <- struct{}{}:
		default:
		}
	}
}

// Destruct closes the state when no configuration uses it any more; requests
// that are still under way get a while to end.
func (s *shared) Destruct() error {
	s.closing.Store(true)
	deadline := time.NewTimer(drainWait)
	defer deadline.Stop()
	for expired := false; s.inside.Load() > 0 && !expired; {
		select {
		case <-s.left:
		case <-deadline.C:
			expired = true
		}
	}
	return errors.Join(s.admin.part(s.key.socket, s), s.state.Close())
}

// greet prints a link for each pool that has no users, once per process
// start: to standard error, where a person looks, never to a log.
func (s *shared) greet(ctx context.Context, e *authcore.Engine) {
	s.once.Do(func() {
		links, err := e.FirstLinks(ctx)
		if err != nil {
			fmt.Fprintf(os.Stderr, "\ngatehouse: no first-user link could be made: %v\n", err)
			return
		}
		for _, name := range sortedKeys(links) {
			whose := "Gatehouse"
			if name != defaultPool {
				whose = fmt.Sprintf("The pool %q", name)
			}
			fmt.Fprintf(os.Stderr, "\n%s has no users yet. Make the first one, its operator, here (once, within an hour):\n\n    %s\n\n", whose, links[name])
		}
	})
}

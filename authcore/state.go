package authcore

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/admin"
	"github.com/gatehouse-auth/gatehouse/authcore/factor/password"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/store"
)

// keyRefresh is how often signing keys are read again from the store.
const keyRefresh = 5 * time.Second

// State is what outlives a configuration: store, keys, caches, feeds. Every
// configuration of a process that names the same store shares one.
type State struct {
	stores   []store.Store
	now      func() time.Time
	log      *slog.Logger
	repo     *repo.Repo
	keys     *keyring.Ring
	tokens   *token.Service
	sessions *session.Service
	accounts *account.Service
	flow     *flow.Machine
	guard    *guard.Guard
	admin    *admin.API
	socket   http.Handler // the admin API over all pools

	backingUp chan struct{} // holds the one backup that may be under way

	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	engines []*Engine // attached, oldest first
}

// Open builds the state on open stores and starts its background work, which
// ends with Close. It takes ownership of the stores, on failure too.
func Open(ctx context.Context, c StateConfig) (*State, error) {
	s := &State{stores: []store.Store{c.Directory}, now: c.Now, log: c.Logger, backingUp: make(chan struct{}, 1)}
	if c.Session != nil && c.Session != c.Directory {
		s.stores = append(s.stores, c.Session)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.build(c)
	if err := s.begin(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// build puts the services together: the parts list of Gatehouse.
func (s *State) build(c StateConfig) {
	s.repo = repo.New(repo.Config{Directory: c.Directory, Session: c.Session, Keys: c.Keys, Now: s.now, Logger: s.log})
	s.keys = keyring.New(keyring.Config{Repo: s.repo, Now: s.now, Logger: s.log})
	s.tokens = token.New(token.Config{Repo: s.repo, Keys: s.keys, Now: s.now, Logger: s.log})
	s.sessions = session.New(session.Config{Repo: s.repo, Families: s.tokens, Now: s.now, Logger: s.log})
	passwords := password.New(password.Config{Hasher: secret.NewHasher(c.Hashing), Now: s.now})
	s.accounts = account.New(account.Config{Repo: s.repo, Passwords: passwords, Now: s.now, Logger: s.log})
	s.flow = flow.New(flow.Config{Repo: s.repo, Passwords: passwords, Accounts: s.accounts, Now: s.now, Logger: s.log})
	s.guard = guard.New(guard.Config{
		Tokens: s.tokens, Sessions: s.sessions, Secret: s.repo.Secret, LogoutTicket: s.flow.SealLogoutTicket, Now: s.now, Logger: s.log,
	})
	s.admin = admin.New(admin.Config{
		Accounts: s.accounts, Sessions: s.sessions, Tokens: s.tokens, Keys: s.keys, Pool: s.pool, Link: s.link, Logger: s.log,
	})
	s.socket = s.admin.Transfer(s.admin.Socket())
}

// begin loads what must be known before anything is served and follows it.
func (s *State) begin(ctx context.Context) error {
	background, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop = stop
	pools := s.knownPools(background)
	if _, err := s.repo.Pools(ctx); err != nil {
		return fmt.Errorf("authcore: reading the store: %w", err)
	}
	ready := make(chan struct{})
	s.done.Go(func() {
		s.tokens.Revocations().Follow(background, pools, func() { close(ready) })
	})
	s.done.Go(func() { s.refreshKeys(background) })
	s.done.Go(func() { s.guard.Watch(background) })
	select {
	case <-ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("authcore: loading revocations: %w", ctx.Err())
	}
}

// refreshKeys keeps the key ring current until ctx ends.
func (s *State) refreshKeys(ctx context.Context) {
	tick := time.NewTicker(keyRefresh)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := s.keys.Refresh(ctx); err != nil && ctx.Err() == nil {
				s.log.WarnContext(ctx, "signing keys not read again", "error", err)
			}
		}
	}
}

// knownPools returns the ids of all stored pools. While the store cannot be
// asked they are those of the last time: what follows them tries again.
func (s *State) knownPools(ctx context.Context) func() []pool.ID {
	var known []pool.ID
	return func() []pool.ID {
		stored, err := s.repo.Pools(ctx)
		if err != nil {
			s.log.WarnContext(ctx, "pools not read again", "error", err)
			return known
		}
		known = known[:0]
		for _, p := range stored {
			known = append(known, p.ID)
		}
		return known
	}
}

// Close ends the background work and closes the stores.
func (s *State) Close() error {
	if s.stop != nil {
		s.stop()
	}
	s.done.Wait()
	var errs []error
	for _, st := range s.stores {
		errs = append(errs, st.Close())
	}
	return errors.Join(errs...)
}

// Streams is how many answers under way are watched over.
func (s *State) Streams() int { return s.guard.Streams() }

// SweepStreams looks at every answer under way at once; it happens by itself
// twice a second.
func (s *State) SweepStreams(ctx context.Context) { s.guard.Sweep(ctx) }

// Admin is the admin API (JSON) over all pools, for the admin socket:
// whoever reaches it is an operator.
func (s *State) Admin() http.Handler { return s.socket }

// attach makes an engine's pools the current ones.
func (s *State) attach(e *Engine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines = append(s.engines, e)
}

// detach forgets an engine; the one before it, if it still stands, is current
// again: that is what a refused reload needs.
func (s *State) detach(e *Engine) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engines = slices.DeleteFunc(s.engines, func(other *Engine) bool { return other == e })
}

// current returns the engine that was attached last, or nil.
func (s *State) current() *Engine {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.engines) == 0 {
		return nil
	}
	return s.engines[len(s.engines)-1]
}

// pool finds a pool by name: as configured now, or else as stored, with every
// policy at its default (the command line on a store that no server runs).
func (s *State) pool(ctx context.Context, name string) (*pool.Pool, error) {
	if e := s.current(); e != nil {
		if h := e.pools[name]; h != nil {
			return h.pool, nil
		}
		return nil, fault.New(fault.NotFound, "no pool is named "+name)
	}
	id, err := s.repo.Pool(ctx, name)
	if err != nil {
		return nil, err
	}
	return resolve(PoolConfig{Name: name}, id)
}

// link is the address at which a one-time link's token is good.
func (s *State) link(p *pool.Pool, token string) string {
	return p.Issuer + "/signup?link=" + token
}

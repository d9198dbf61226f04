package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/loginui"
)

func init() {
	caddy.RegisterModule(new(App))
}

// defaultPool is the pool of options that stand outside any `pool` block.
const defaultPool = "default"

// startWait is how long a request waits for an app that is still starting:
// Caddy may listen before it.
const startWait = 5 * time.Second

// App is Gatehouse's configuration: store, keys and pools.
//
// An empty App is the pool "default" in an embedded file in Caddy's data
// directory.
type App struct {
	// Store is where state lies; an embedded SQLite file by default.
	Store *StoreConfig `json:"store,omitempty"`
	// EncryptionKey is what wraps the data keys; a key file beside the
	// embedded store by default.
	EncryptionKey *KeyConfig `json:"encryption_key,omitempty"`
	// Pools are the user pools by name. The pool "default" always exists.
	Pools map[string]*Pool `json:"pools,omitempty"`

	ctx    caddy.Context
	log    *slog.Logger
	config authcore.Config // pools, secrets resolved; places are filled in by Start
	gates  []*Gate
	logins []*Login

	mu     sync.Mutex
	ready  chan struct{} // closed when Start has succeeded
	shared *shared
	engine *authcore.Engine
}

// CaddyModule returns the module's information.
func (*App) CaddyModule() caddy.ModuleInfo {
	return caddy.ModuleInfo{ID: "gatehouse", New: func() caddy.Module { return new(App) }}
}

// Provision resolves the configuration. It opens and makes nothing: `caddy
// validate` runs it beside a running server.
func (a *App) Provision(ctx caddy.Context) error {
	a.ctx, a.log, a.ready = ctx, ctx.Slogger(), make(chan struct{})
	ui, err := loginui.New(loginui.Options{})
	if err != nil {
		return fmt.Errorf("gatehouse: %w", err)
	}
	a.config = authcore.Config{Renderer: ui, Logger: a.log}
	return a.resolve()
}

// Validate reports what is wrong with the configuration as far as it can be
// known without a store.
func (a *App) Validate() error {
	if err := a.storage().validate(); err != nil {
		return err
	}
	return a.config.Validate()
}

// Start pairs handlers with origins, opens the shared state or joins it, and
// builds the engine. On failure nothing that was running is touched.
func (a *App) Start() error {
	if err := a.place(); err != nil {
		return err
	}
	s, err := acquire(a.storage(), a.log)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.shared = s
	a.mu.Unlock()
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	engine, err := authcore.New(ctx, a.config, s.state)
	if err != nil {
		return fmt.Errorf("gatehouse: %w", err)
	}
	a.mu.Lock()
	a.engine = engine
	a.mu.Unlock()
	for _, l := range a.logins {
		if l.handler, err = engine.Login(l.Pool); err != nil && !l.elsewhere {
			return fmt.Errorf("%s: %w", l.Where, err)
		}
	}
	for _, g := range a.gates {
		g.engine = engine
		if g.gate, err = engine.Gate(authcore.GateConfig{Pool: g.Pool, Rule: g.rule, Origins: g.origins}); err != nil {
			return fmt.Errorf("%s: %w", g.Where, err)
		}
	}
	close(a.ready)
	s.greet(ctx, engine)
	return nil
}

// Stop does nothing: requests of this configuration may still be under way,
// so everything is released in Cleanup.
func (a *App) Stop() error { return nil }

// Cleanup releases what Start took; after a failed Start too.
func (a *App) Cleanup() error {
	a.mu.Lock()
	engine, s := a.engine, a.shared
	a.engine, a.shared = nil, nil
	a.mu.Unlock()
	if engine != nil {
		engine.Close()
	}
	if s == nil {
		return nil
	}
	return s.release()
}

// errStarting is what a request sees that came before the app was ready.
var errStarting = errors.New("gatehouse is still starting")

// enter waits until the app has started and takes a reference that keeps the
// store open as long as the request lasts; leave gives it back.
func (a *App) enter(r *http.Request) (leave func(), err error) {
	select {
	case <-a.ready:
	default:
		timer := time.NewTimer(startWait)
		defer timer.Stop()
		select {
		case <-a.ready:
		case <-r.Context().Done():
			return nil, caddyhttp.Error(http.StatusServiceUnavailable, r.Context().Err())
		case <-timer.C:
			return nil, caddyhttp.Error(http.StatusServiceUnavailable, errStarting)
		}
	}
	a.mu.Lock()
	s := a.shared
	a.mu.Unlock()
	if s == nil || !s.enter() {
		return nil, caddyhttp.Error(http.StatusServiceUnavailable, errStarting)
	}
	return s.leave, nil
}

// app returns the running configuration's App, loading an empty one if the
// configuration has none.
func appOf(ctx caddy.Context) (*App, error) {
	m, err := ctx.App("gatehouse")
	if err != nil {
		return nil, fmt.Errorf("gatehouse: %w", err)
	}
	return m.(*App), nil
}

// Interface guards.
var (
	_ caddy.App          = (*App)(nil)
	_ caddy.Provisioner  = (*App)(nil)
	_ caddy.Validator    = (*App)(nil)
	_ caddy.CleanerUpper = (*App)(nil)
)

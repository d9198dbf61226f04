package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
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
	// Pools are the user pools by name; the pool "default" alone by default.
	Pools map[string]*Pool `json:"pools,omitempty"`

	ctx    caddy.Context
	log    *slog.Logger
	config authcore.Config // pools, secrets resolved; places are filled in by Start
	gates  []*Gate
	logins []*Login

	ready  chan struct{} // closed when Start has succeeded
	engine *authcore.Engine
	// shared stays after Cleanup: late requests of this configuration are
	// served as long as another one keeps the state open.
	shared *shared
	held   atomic.Bool // a share of shared is ours to give back
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
	a.config = authcore.Config{Renderer: ui}
	return a.resolve()
}

// Validate reports what is wrong with the configuration as far as it can be
// known without a store.
func (a *App) Validate() error {
	if err := a.storage().validate(); err != nil {
		if a.EncryptionKey != nil {
			return at(a.EncryptionKey.Where, err)
		}
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
	ctx, cancel := context.WithTimeout(a.ctx, time.Minute)
	defer cancel()
	s, err := acquire(ctx, a.storage(), a.log)
	if err != nil {
		return err
	}
	a.shared = s
	a.held.Store(true)
	if a.engine, err = authcore.New(ctx, a.config, s.state); err != nil {
		return fmt.Errorf("gatehouse: %w", err)
	}
	for _, l := range a.logins {
		if l.at == "" {
			continue // the pool's login is at another site
		}
		if l.handler, err = a.engine.Login(l.Pool); err != nil {
			return at(l.Where, err)
		}
	}
	for _, g := range a.gates {
		if g.gate, err = a.engine.Gate(authcore.GateConfig{Pool: g.Pool, Rule: g.rule, Origins: g.origins}); err != nil {
			return at(g.Where, err)
		}
	}
	close(a.ready)
	s.greet(ctx, a.engine)
	return nil
}

// Stop does nothing: requests of this configuration may still be under way,
// so everything is released in Cleanup.
func (a *App) Stop() error { return nil }

// Cleanup releases what Start took; after a failed Start too.
func (a *App) Cleanup() error {
	if !a.held.CompareAndSwap(true, false) {
		return nil
	}
	if a.engine != nil {
		a.engine.Close()
	}
	return a.shared.release(a.log)
}

// errStarting and errStopped are what requests see that came too early or too late.
var (
	errStarting = errors.New("gatehouse is still starting")
	errStopped  = errors.New("gatehouse has stopped")
)

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
		case <-a.ctx.Done(): // the start was refused
			return nil, caddyhttp.Error(http.StatusServiceUnavailable, errStopped)
		case <-timer.C:
			return nil, caddyhttp.Error(http.StatusServiceUnavailable, errStarting)
		}
	}
	if !a.shared.enter() {
		return nil, caddyhttp.Error(http.StatusServiceUnavailable, errStopped)
	}
	return a.shared.leave, nil
}

// appOf returns the running configuration's App, loading an empty one if the
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

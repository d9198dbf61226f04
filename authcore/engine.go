package authcore

import (
	"context"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/guard"
)

// State is what outlives a configuration: store, keys, caches, feeds. Every
// configuration of a process that names the same store shares one.
type State struct{ _ struct{} }

// Open builds the state on open stores and starts its background work, which
// ends with Close. It takes ownership of the stores.
func Open(ctx context.Context, c StateConfig) (*State, error) { panic("unbuilt") }

// Close ends the background work and closes the stores.
func (s *State) Close() error { panic("unbuilt") }

// Admin is the admin API (JSON) over all stored pools, for the admin socket:
// whoever reaches it is an operator.
func (s *State) Admin() http.Handler { panic("unbuilt") }

// Engine is one configuration at work.
type Engine struct{ _ struct{} }

// Validate returns every problem of a configuration that can be found without
// a store, joined.
func (c *Config) Validate() error { panic("unbuilt") }

// New resolves a configuration against the state: pools get their stored
// identity, keys are made. Nothing shared changes but what is missing is made.
func New(ctx context.Context, c Config, s *State) (*Engine, error) { panic("unbuilt") }

// Login serves a pool's login host: paths at the root, or under /_auth.
// Matches tells which paths are its own.
func (e *Engine) Login(pool string) (LoginHandler, error) { panic("unbuilt") }

// LoginHandler is an http.Handler that knows its paths.
type LoginHandler interface {
	http.Handler
	Matches(path string) bool
}

// Gate returns a gate.
func (e *Engine) Gate(c GateConfig) (*guard.Gate, error) { panic("unbuilt") }

// FirstLinks returns a link per pool that has no users, made anew; to be
// printed once at process start.
func (e *Engine) FirstLinks(ctx context.Context) (map[string]string, error) { panic("unbuilt") }

// DenialPage renders the page for a person whom a gate refused.
func (e *Engine) DenialPage(w http.ResponseWriter, r *http.Request, pool string, d *guard.Denial) {
	panic("unbuilt")
}

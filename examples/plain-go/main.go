// Plain-go is a Go server without Caddy that has a whole identity system
// inside: the hosted login under /_auth on its own origin, and a gate in front
// of everything else. Run it, follow the link that it prints, and you are the
// first user of the application at http://localhost:8080.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"html"
	"log"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/loginui"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

func main() {
	listen := flag.String("listen", "localhost:8080", "`host:port` to serve at, as people write it")
	data := flag.String("data", "data", "`directory` of the store and its key")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *data); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, listen, data string) (err error) {
	state, err := open(ctx, data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.Close()) }()

	origin := "http://" + listen
	engine, err := configure(ctx, state, origin)
	if err != nil {
		return err
	}
	defer engine.Close()
	handler, err := handler(engine, origin)
	if err != nil {
		return err
	}
	if err := greet(ctx, engine); err != nil {
		return err
	}
	return serve(ctx, listen, handler)
}

// open opens the store, which is one file, and the key that it is sealed with.
func open(ctx context.Context, data string) (*authcore.State, error) {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return nil, err
	}
	keys, err := secret.LoadKeys(filepath.Join(data, "gatehouse.key"), true)
	if err != nil {
		return nil, err
	}
	store, err := sqlitestore.Open(ctx, filepath.Join(data, "gatehouse.db"), sqlitestore.Options{})
	if err != nil {
		return nil, err
	}
	return authcore.Open(ctx, authcore.StateConfig{Directory: store, Keys: keys})
}

// configure is what a Caddyfile would say: one pool, whose login is at this
// origin under /_auth, and one site, this origin too.
func configure(ctx context.Context, state *authcore.State, origin string) (*authcore.Engine, error) {
	ui, err := loginui.New(loginui.Options{})
	if err != nil {
		return nil, err
	}
	return authcore.New(ctx, authcore.Config{Renderer: ui, Pools: []authcore.PoolConfig{{
		Brand: "Plain Go",
		Login: authcore.LoginConfig{Origin: origin, Prefix: "/_auth"},
		Sites: []authcore.SiteConfig{{Origin: origin}},
	}}}, state)
}

// handler puts the login in front of the gate, and the gate in front of the
// application.
func handler(engine *authcore.Engine, origin string) (http.Handler, error) {
	login, err := engine.Login("default")
	if err != nil {
		return nil, err
	}
	gate, err := engine.Gate(authcore.GateConfig{Pool: "default", Rule: guard.Rule{Mode: guard.Require}, Origins: []string{origin}})
	if err != nil {
		return nil, err
	}
	gated := gate.Middleware(http.HandlerFunc(application), func(w http.ResponseWriter, r *http.Request, d *guard.Denial) {
		engine.DenialPage(w, r, "default", d)
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if login.Matches(r.URL.Path) {
			login.ServeHTTP(w, r)
			return
		}
		gated.ServeHTTP(w, r)
	}), nil
}

// application is any handler: it finds who is calling in the request.
func application(w http.ResponseWriter, r *http.Request) {
	who := guard.IdentityOf(r.Context()).Principal
	name := who.Name
	for _, other := range []string{who.Email, who.Username} {
		if name == "" {
			name = other
		}
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	fmt.Fprintf(w, "<!doctype html><title>Plain Go</title><h1>Hello, %s</h1><p><a href=\"/_auth/logout\">Sign out</a></p>\n", html.EscapeString(name))
}

// greet prints the link that makes the first user, if there is none: to a
// person, never to a log.
func greet(ctx context.Context, engine *authcore.Engine) error {
	links, err := engine.FirstLinks(ctx)
	for _, link := range links {
		fmt.Fprintf(os.Stderr, "Make the first user here (once, within an hour):\n\n    %s\n\n", link)
	}
	return err
}

// serve answers until ctx ends, and then lets requests finish.
func serve(ctx context.Context, listen string, h http.Handler) error {
	server := &http.Server{Addr: listen, Handler: h, ReadHeaderTimeout: 10 * time.Second}
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return <-stopped
}

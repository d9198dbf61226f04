package streams

import (
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	password = "a long enough password"
	friend   = "https://friend.example.com" // listed in cors

	caddyfile = `{
	admin {{admin}}
	skip_install_trust
	auto_https disable_redirects
	grace_period 2s
	gatehouse {
		store {{store}}
		group staff auditors
		session {
			idle {{session}}
			absolute {{session}}
		}
		token {
			access {{life}}
		}
		client shop {
			redirect http://127.0.0.1:1/callback
			scopes openid
			resources http://localhost:{{port app}} https://localhost:{{port tls}}
		}
	}
}
(site) {
	gatehouse_require /team/* group:staff
	@call path */call
	reverse_proxy @call {{up}} {
		transport http {
			versions h2c 2
		}
	}
	@flush path */flush/*
	reverse_proxy @flush {{up}} {
		flush_interval -1
		stream_close_delay 1m
	}
	reverse_proxy {{up}} {
		stream_close_delay 1m
	}
}
http://localhost:{{port app}} {
	gatehouse {
		cors https://friend.example.com
	}
	import site
}
https://localhost:{{port tls}} {
	tls internal
	gatehouse_require {
		cors https://friend.example.com
	}
	import site
}
`
)

// world is a server, what is behind it, and how to reach it.
type world struct {
	t        *testing.T
	server   *harness.Server
	up       *upstream
	provider harness.Provider
	roots    *x509.CertPool
	app, tls string // origins
	count    *atomic.Int64
}

// start starts a server whose access tokens and sessions live for a while.
func start(t *testing.T, store, life, session string) *world {
	t.Helper()
	up := newUpstream(t)
	// Caddy answers extended CONNECT over HTTP/2 only if it is told to.
	s := harness.Start(t, caddyfile, harness.Options{
		Store: store, Ready: "app", Env: []string{"GODEBUG=http2xconnect=1"}, Vars: map[string]string{"up": up.address, "life": life, "session": session},
	})
	w := &world{t: t, server: s, up: up, app: s.URL("app"), tls: strings.Replace(s.URL("tls"), "http:", "https:", 1), roots: x509.NewCertPool(), count: new(atomic.Int64)}
	w.provider = harness.Provider{Base: w.app + "/_auth"}
	pem, err := os.ReadFile(filepath.Join(s.Dir, "data", "caddy", "pki", "authorities", "local", "root.crt"))
	if err != nil || !w.roots.AppendCertsFromPEM(pem) {
		t.Fatalf("the certificate of the server's authority: %v", err)
	}
	return w
}

// person is somebody who is signed in at both sites in one browser.
type person struct {
	name    string
	browser *harness.Browser
	token   map[string]string // by origin
}

// person adds a user, in groups if they are named, and signs in.
func (w *world) person(name string, groups ...string) *person {
	w.t.Helper()
	var flags []string
	for _, g := range groups {
		flags = append(flags, "--group", g)
	}
	w.server.AddUser(name, password, flags...)
	return w.signIn(name)
}

// signIn is one more browser of a user, with tokens of its own.
func (w *world) signIn(name string) *person {
	w.t.Helper()
	p := &person{name: name, browser: harness.NewBrowser(w.t), token: map[string]string{}}
	p.browser.Trust(w.roots)
	p.browser.Get(w.app + "/")
	p.browser.SignIn(name, password)
	for _, origin := range []string{w.app, w.tls} {
		if p.browser.Get(origin + "/"); p.browser.Status != http.StatusOK || p.browser.URL.String() != origin+"/" {
			w.t.Fatalf("%s is not signed in: %d at %s", name, p.browser.Status, p.browser.URL)
		}
		p.token[origin] = w.accessToken(p, origin)
	}
	return p
}

func (w *world) accessToken(p *person, origin string) string {
	w.t.Helper()
	shop := harness.Client{ID: "shop", Redirect: "http://127.0.0.1:1/callback"}
	target, verifier := w.provider.Authorize(shop, "openid", url.Values{"resource": {origin}})
	p.browser.Get(target)
	a, err := w.provider.Redeem(shop, harness.Code{Value: p.browser.URL.Query().Get("code"), Verifier: verifier})
	if err != nil || a.Status != http.StatusOK {
		w.t.Fatalf("a token for %s: %+v, %v", origin, a, err)
	}
	return a.Access
}

// cookie is what the person's browser sends along with a stream's request.
func (p *person) cookie(origin string) http.Header {
	var all []string
	for _, c := range p.browser.Cookies(origin + "/") {
		all = append(all, c.Name+"="+c.Value)
	}
	return http.Header{"Cookie": {strings.Join(all, "; ")}, "Origin": {origin}, "Sec-Fetch-Site": {"same-origin"}}
}

func (p *person) bearer(origin string) http.Header {
	return http.Header{"Authorization": {"Bearer " + p.token[origin]}}
}

// identity is a user's id.
var identity = regexp.MustCompile(`^[0-9a-f-]{36}$`)

// id names one more stream.
func (w *world) id() string {
	w.count.Add(1)
	return w.last()
}

// last names the newest.
func (w *world) last() string { return fmt.Sprint("stream", w.count.Load()) }

// post sends a form as a program does.
func (w *world) post(t *testing.T, target, form string) {
	t.Helper()
	res, err := http.Post(target, "application/x-www-form-urlencoded", strings.NewReader(form))
	if err != nil || res.Body.Close() != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %+v, %v", target, res, err)
	}
}

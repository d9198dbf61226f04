package authcore_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/loginui"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

// clock is a clock that moves when told to.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// The places of the tests' world. Nothing listens there: requests go to the
// handlers directly.
const (
	loginOrigin = "http://login.localhost"
	appOrigin   = "http://app.localhost"
	apiOrigin   = "http://api.localhost"
	otherOrigin = "http://other.localhost"
	batchSecret = "batch-secret-of-the-tests"
	password    = "correct horse battery staple"
)

// world is a whole engine on the memory store: a login host, an application
// and two APIs, with upstreams that remember what reached them.
type world struct {
	t        *testing.T
	clock    *clock
	state    *authcore.State
	engine   *authcore.Engine
	handlers map[string]http.Handler // by origin
	reached  *http.Request           // last request at an upstream
	who      guard.Identity
	denial   *guard.Denial
}

func config() authcore.Config {
	return authcore.Config{Pools: []authcore.PoolConfig{{
		Groups: []string{"staff"},
		Login:  authcore.LoginConfig{Origin: loginOrigin},
		Sites:  []authcore.SiteConfig{{Origin: appOrigin}, {Origin: apiOrigin, API: true}, {Origin: otherOrigin, API: true}},
		Resources: []authcore.ResourceConfig{
			{ID: apiOrigin, Scopes: []string{"orders.read", "orders.write"}}, {ID: otherOrigin, Scopes: []string{"stock.read"}},
		},
		Clients: []authcore.ClientConfig{
			{ID: "web", Name: "The web shop", Redirects: []string{"http://127.0.0.1/callback"}, Native: true,
				Scopes: []string{"openid", "email", "profile", "offline_access", "orders.read", "orders.write", "stock.read"}},
			{ID: "batch", Secrets: []secret.Hidden{secret.Hide(batchSecret)}, Grants: []authcore.GrantConfig{
				{Type: "client_credentials", Scopes: []string{"orders.read", "stock.read"}}}},
		},
	}}}
}

func newWorld(t *testing.T) *world { t.Helper(); return newWorldLogging(t, nil) }

func newWorldLogging(t *testing.T, log *slog.Logger) *world {
	t.Helper()
	w := &world{t: t, clock: &clock{t: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}, handlers: map[string]http.Handler{}}
	var err error
	w.state, err = authcore.Open(context.Background(), authcore.StateConfig{
		Directory: memstore.New(memstore.Options{Now: w.clock.now}), Keys: secret.NewKeys(), Now: w.clock.now, Logger: log,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		w.engine.Close()
		if err := w.state.Close(); err != nil {
			t.Error(err)
		}
	})
	w.configure(config())
	return w
}

// configure puts a configuration to work.
func (w *world) configure(c authcore.Config) {
	w.t.Helper()
	ui, err := loginui.New(loginui.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	c.Renderer = ui
	engine, err := authcore.New(context.Background(), c, w.state)
	if err != nil {
		w.t.Fatal(err)
	}
	if w.engine != nil {
		w.engine.Close()
	}
	w.engine = engine
	login, err := engine.Login("default")
	if err != nil {
		w.t.Fatal(err)
	}
	w.handlers[loginOrigin] = login
	w.gate(appOrigin, guard.Rule{Mode: guard.Require, Public: []string{"/healthz"}})
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require, Scopes: []string{"orders.read"}})
	w.gate(otherOrigin, guard.Rule{Mode: guard.Require, Scopes: []string{"stock.read"}})
}

// gate puts gates in a row in front of an origin's upstream.
func (w *world) gate(origin string, rules ...guard.Rule) {
	w.t.Helper()
	next := http.Handler(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		w.reached = r.Clone(context.Background())
		_, _ = rw.Write([]byte("upstream"))
	}))
	for i := len(rules) - 1; i >= 0; i-- {
		g, err := w.engine.Gate(authcore.GateConfig{Pool: "default", Rule: rules[i], Origins: []string{origin}})
		if err != nil {
			w.t.Fatal(err)
		}
		inner := next
		next = http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			err := g.Handle(rw, r, func(rw http.ResponseWriter, r *http.Request, who guard.Identity) error {
				w.who = who
				inner.ServeHTTP(rw, r)
				return nil
			})
			if d, ok := err.(*guard.Denial); ok {
				w.denial = d
				for name, values := range d.Header {
					rw.Header()[name] = values
				}
				w.engine.DenialPage(rw, r, "default", d)
			} else if err != nil {
				w.t.Error(err)
			}
		})
	}
	w.handlers[origin] = next
}

// RoundTrip hands a request to the handler of its origin.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	origin := r.URL.Scheme + "://" + r.URL.Host
	h := w.handlers[origin]
	in := httptest.NewRequest(r.Method, r.URL.RequestURI(), r.Body)
	in.Host, in.Header = r.URL.Host, r.Header.Clone()
	in.ContentLength = r.ContentLength
	in = in.WithContext(mux.WithClient(r.Context(), mux.Client{Address: "192.0.2.1", Origin: origin, OrigURI: r.URL.RequestURI()}))
	out := httptest.NewRecorder()
	w.reached, w.denial = nil, nil
	if h == nil {
		out.WriteHeader(http.StatusTeapot) // an application's own address, such as a callback
	} else {
		h.ServeHTTP(out, in)
	}
	res := out.Result()
	res.Request = r
	return res, nil
}

// browser is a person's browser: cookies, forms, navigations.
type browser struct {
	w      *world
	jar    http.CookieJar
	url    *url.URL
	status int
	header http.Header
	body   string
}

func (w *world) browser() *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		w.t.Fatal(err)
	}
	return &browser{w: w, jar: jar}
}

// do sends one request and follows redirects as navigations, until an address
// where nobody of ours answers.
func (b *browser) do(method, target string, form url.Values) {
	b.w.t.Helper()
	var from *url.URL
	for range 12 {
		u, err := url.Parse(target)
		if err != nil {
			b.w.t.Fatal(err)
		}
		r, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
		if err != nil {
			b.w.t.Fatal(err)
		}
		r.Header.Set("Accept", "text/html")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Sec-Fetch-Site", "none")
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", u.Scheme+"://"+u.Host)
			r.Header.Set("Sec-Fetch-Site", "same-origin")
		}
		if from != nil && from.Host != u.Host {
			r.Header.Set("Sec-Fetch-Site", "same-site")
		}
		for _, c := range b.jar.Cookies(u) {
			r.AddCookie(c)
		}
		res, err := b.w.RoundTrip(r)
		if err != nil {
			b.w.t.Fatal(err)
		}
		b.jar.SetCookies(u, res.Cookies())
		body, err := io.ReadAll(res.Body)
		if err != nil {
			b.w.t.Fatal(err)
		}
		b.url, b.status, b.header, b.body = u, res.StatusCode, res.Header, string(body)
		location := res.Header.Get("Location")
		if location == "" {
			return
		}
		next, err := u.Parse(location)
		if err != nil {
			b.w.t.Fatal(err)
		}
		method, target, form, from = http.MethodGet, next.String(), nil, u
	}
	b.w.t.Fatalf("a redirect loop at %s", b.url)
}

func (b *browser) get(target string) { b.w.t.Helper(); b.do(http.MethodGet, target, nil) }

// submit fills in the page's form and sends it.
func (b *browser) submit(values map[string]string) {
	b.w.t.Helper()
	doc, err := html.Parse(strings.NewReader(b.body))
	if err != nil {
		b.w.t.Fatal(err)
	}
	action, form := b.url.String(), url.Values{}
	found := false
	for n := range doc.Descendants() {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch {
		case n.Type == html.ElementNode && n.Data == "form":
			found = true
			if u, err := b.url.Parse(attr["action"]); err == nil && attr["action"] != "" {
				action = u.String()
			}
		case n.Type == html.ElementNode && n.Data == "input" && attr["name"] != "":
			form.Set(attr["name"], attr["value"])
		}
	}
	if !found {
		b.w.t.Fatalf("no form at %s (%d):\n%s", b.url, b.status, b.body)
	}
	for name, value := range values {
		form.Set(name, value)
	}
	b.do(http.MethodPost, action, form)
}

// firstUser makes the first user by the link and stays signed in.
func (w *world) firstUser(identifier string) *browser {
	w.t.Helper()
	links, err := w.engine.FirstLinks(context.Background())
	if err != nil || links["default"] == "" {
		w.t.Fatal(links, err)
	}
	b := w.browser()
	b.get(links["default"])
	b.submit(map[string]string{"identifier": identifier, "password": password})
	return b
}

// admin calls the admin API.
func (w *world) admin(method, path string, in any) (int, map[string]any) {
	w.t.Helper()
	raw, err := json.Marshal(in)
	if err != nil {
		w.t.Fatal(err)
	}
	out := httptest.NewRecorder()
	w.state.Admin().ServeHTTP(out, httptest.NewRequest(method, "/v1/pools/default"+path, strings.NewReader(string(raw))))
	var answer map[string]any
	if err := json.Unmarshal(out.Body.Bytes(), &answer); err != nil {
		w.t.Fatalf("%d %s: %v", out.Code, out.Body, err)
	}
	return out.Code, answer
}

// call sends an API request with a bearer token, if there is one.
func (w *world) call(method, target, token string) *http.Response {
	w.t.Helper()
	r, err := http.NewRequest(method, target, http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := w.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

// token calls the token endpoint.
func (w *world) token(form url.Values, basic string) (int, map[string]any) {
	w.t.Helper()
	r, err := http.NewRequest(http.MethodPost, loginOrigin+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if basic != "" {
		id, sec, _ := strings.Cut(basic, ":")
		r.SetBasicAuth(id, sec)
	}
	res, err := w.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		w.t.Fatal(err)
	}
	return res.StatusCode, answer
}

// machine gets a token for the batch client.
func (w *world) machine(scope string) string {
	w.t.Helper()
	status, answer := w.token(url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}, "batch:"+batchSecret)
	if status != http.StatusOK {
		w.t.Fatal(answer)
	}
	return answer["access_token"].(string)
}

// grant runs the code flow of the web client in a browser that is signed in.
func (b *browser) grant(scope string) map[string]any {
	b.w.t.Helper()
	verifier := secret.Token(32)
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"http://127.0.0.1:7777/callback"}, "scope": {scope},
		"state": {"s"}, "code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	b.get(loginOrigin + "/oauth2/authorize?" + q.Encode())
	code := b.url.Query().Get("code")
	if code == "" || b.url.Query().Get("iss") != loginOrigin {
		b.w.t.Fatalf("no code at %s", b.url)
	}
	status, answer := b.w.token(url.Values{
		"grant_type": {"authorization_code"}, "client_id": {"web"}, "code": {code}, "redirect_uri": {"http://127.0.0.1:7777/callback"}, "code_verifier": {verifier},
	}, "")
	if status != http.StatusOK {
		b.w.t.Fatal(answer)
	}
	return answer
}

// signedOutSoon reports whether the application sends the browser to sign in,
// once the feed of revocations has brought the news: at most a moment later.
func (b *browser) signedOutSoon() bool {
	b.w.t.Helper()
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); runtime.Gosched() {
		if b.get(appOrigin + "/"); b.url.Path == "/login" {
			return true
		}
	}
	return false
}

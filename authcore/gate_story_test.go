package authcore_test

import (
	"context"
	"errors"
	"io"
	"iter"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

const spaOrigin = "http://spa.localhost"

// send sends one request with a browser's cookies for its address, and headers.
func (b *browser) send(method, target string, header map[string]string) *http.Response {
	b.w.t.Helper()
	r, err := http.NewRequest(method, target, http.NoBody)
	if err != nil {
		b.w.t.Fatal(err)
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	for _, c := range b.jar.Cookies(r.URL) {
		r.AddCookie(c)
	}
	res, err := b.w.RoundTrip(r)
	if err != nil {
		b.w.t.Fatal(err)
	}
	return res
}

func TestAnOldSignInIsDoneAgain(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	w.gate(appOrigin, guard.Rule{Mode: guard.Require}, guard.Rule{Mode: guard.Require, ACR: pool.AAL1, MaxAge: 5 * time.Minute})
	if b.get(appOrigin + "/pay"); b.body != "upstream" {
		t.Fatalf("a fresh sign-in: %d at %s", b.status, b.url)
	}
	w.clock.add(6 * time.Minute)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		res := b.send(method, appOrigin+"/pay", map[string]string{"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin", "Origin": appOrigin})
		want := `, error="insufficient_user_authentication", error_description="the sign-in is too long ago for this", acr_values="aal1", max_age="300"`
		if got := res.Header.Get("WWW-Authenticate"); res.StatusCode != http.StatusUnauthorized || w.reached != nil || !strings.HasSuffix(got, want) {
			t.Errorf("%s by a script: %d %q", method, res.StatusCode, got)
		}
	}
	for range 2 { // and once more when the next five minutes are over
		b.get(appOrigin + "/pay?order=7&x=%2F")
		if b.url.Path != "/login" || w.reached != nil {
			t.Fatalf("not asked to sign in: %d at %s", b.status, b.url)
		}
		b.submit(map[string]string{"identifier": "ann@example.com", "password": password})
		if b.body != "upstream" || b.url.String() != appOrigin+"/pay?order=7&x=%2F" {
			t.Fatalf("%d at %s", b.status, b.url)
		}
		if b.get(appOrigin + "/pay"); b.body != "upstream" {
			t.Errorf("right after: %d at %s", b.status, b.url)
		}
		w.clock.add(6 * time.Minute)
	}
}

// A form whose sign-in ended meanwhile is not swallowed: its sender sees why,
// and gets back to it.
func TestAFormOfAnEndedSignInIsExplained(t *testing.T) {
	w := newWorld(t)
	ann := w.firstUser("ann@example.com")
	ann.get(appOrigin + "/")
	w.clock.add(6 * time.Minute)
	w.gate(appOrigin, guard.Rule{Mode: guard.Require, MaxAge: 5 * time.Minute})
	for _, c := range []struct {
		b             *browser
		referer, back string
	}{
		{ann, appOrigin + "/form?a=1", "/form?a=1"}, {w.browser(), appOrigin + "/form?a=1", "/form?a=1"}, {w.browser(), "", "/"},
		{w.browser(), "http://evil.localhost/form", "/"}, {w.browser(), appOrigin + ".evil.example/form", "/"}, {w.browser(), appOrigin + "//evil.example", "/"},
	} {
		res := c.b.send(http.MethodPost, appOrigin+"/save", map[string]string{
			"Origin": appOrigin, "Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate", "Referer": c.referer})
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusUnauthorized || w.reached != nil || !w.denial.Browser || w.denial.Retry != appOrigin+c.back ||
			!strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer resource_metadata=") || !strings.Contains(string(body), `href="`+appOrigin+c.back+`"`) {
			t.Errorf("from %q: %d %+v %v", c.referer, res.StatusCode, w.denial, err)
		}
	}
	// Where only tokens are taken, nobody can sign in.
	w.gate(appOrigin, guard.Rule{Mode: guard.Require, API: true})
	res := ann.send(http.MethodPost, appOrigin+"/save", map[string]string{"Origin": appOrigin, "Sec-Fetch-Mode": "navigate"})
	if res.StatusCode != http.StatusUnauthorized || w.denial.Browser {
		t.Errorf("%d %+v", res.StatusCode, w.denial)
	}
}

func TestASignInOfAnotherApplicationMayBeTooOld(t *testing.T) {
	w := newWorld(t)
	w.gate(appOrigin, guard.Rule{Mode: guard.Require, MaxAge: 5 * time.Minute})
	b := w.firstUser("ann@example.com")
	w.clock.add(time.Hour)
	if b.get(appOrigin + "/first"); b.url.Path != "/login" {
		t.Fatalf("an hour's sign-in at the login host opened the site: %d at %s", b.status, b.url)
	}
	b.submit(map[string]string{"identifier": "ann@example.com", "password": password})
	if b.body != "upstream" || b.url.Path != "/first" {
		t.Errorf("%d at %s", b.status, b.url)
	}
}

func TestPreflightsAreAnsweredByTheGate(t *testing.T) {
	w := newWorld(t)
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require, Scopes: []string{"orders.read"}, CORS: []string{"http://other.localhost", spaOrigin}, Public: []string{"/open"}})
	ask := func(target, origin string) *http.Response {
		return w.browser().send(http.MethodOptions, target, map[string]string{
			"Origin": origin, "Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"})
	}
	for _, path := range []string{"/orders", "/open", "/_auth/me", "/_auth/callback"} {
		res := ask(apiOrigin+path, spaOrigin)
		if res.StatusCode != http.StatusNoContent || w.reached != nil {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		for name, want := range map[string]string{
			"Access-Control-Allow-Origin": spaOrigin, "Access-Control-Allow-Credentials": "true", "Access-Control-Max-Age": "600",
			"Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE", "Access-Control-Allow-Headers": "authorization,content-type",
			"Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers",
		} {
			if got := strings.Join(res.Header.Values(name), ", "); got != want {
				t.Errorf("%s: %s = %q, want %q", path, name, got, want)
			}
		}
		for _, origin := range []string{"http://evil.localhost", "null", "http://spa.localhost.evil.example", "https://spa.localhost"} {
			if res := ask(apiOrigin+path, origin); res.StatusCode != http.StatusForbidden || w.reached != nil || shares(res) || res.Header.Get("Vary") == "" {
				t.Errorf("%s from %s: %d %v", path, origin, res.StatusCode, res.Header)
			}
		}
	}
	// The resource's metadata is for everybody's scripts, at every gate.
	for _, origin := range []string{apiOrigin, appOrigin} {
		for _, from := range []string{spaOrigin, "http://evil.localhost"} {
			about := origin + "/.well-known/oauth-protected-resource"
			for _, res := range []*http.Response{ask(about, from), w.browser().send(http.MethodGet, about, map[string]string{"Origin": from})} {
				if res.StatusCode >= 300 || res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Access-Control-Allow-Credentials") != "" {
					t.Errorf("%s from %s: %d %v", about, from, res.StatusCode, res.Header)
				}
			}
		}
	}
	// Without cors a preflight is a request like any other, and one that
	// nobody stands behind.
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require, Scopes: []string{"orders.read"}})
	if res := ask(apiOrigin+"/orders", spaOrigin); res.StatusCode != http.StatusUnauthorized || w.reached != nil || shares(res) {
		t.Errorf("without cors: %d %v", res.StatusCode, res.Header)
	}
	// Other OPTIONS are no preflights.
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require, CORS: []string{spaOrigin}})
	if res := w.browser().send(http.MethodOptions, apiOrigin+"/orders", map[string]string{"Origin": spaOrigin}); res.StatusCode != http.StatusUnauthorized || w.reached != nil {
		t.Errorf("a bare OPTIONS: %d", res.StatusCode)
	}
}

// shares reports whether an answer opens itself to scripts of another origin.
func shares(res *http.Response) bool {
	for name := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			return true
		}
	}
	return false
}

func TestListedOriginsReadEveryAnswer(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	staff := [][]string{{"staff"}}
	for _, origin := range []string{spaOrigin, "http://evil.localhost"} {
		for name, c := range map[string]struct {
			rules []guard.Rule
			b     *browser
			path  string
			want  int
		}{
			"let in":                {[]guard.Rule{{}}, b, "/", 200},
			"nobody":                {[]guard.Rule{{}}, w.browser(), "/", 401},
			"not a member":          {[]guard.Rule{{Groups: staff}}, b, "/", 403},
			"refused further on":    {[]guard.Rule{{}, {Groups: staff}}, b, "/", 403},
			"who am I":              {[]guard.Rule{{}}, b, "/_auth/me", 200},
			"who is nobody":         {[]guard.Rule{{}}, w.browser(), "/_auth/me", 401},
			"what is not there":     {[]guard.Rule{{}}, b, "/_auth/nothing", 404},
			"a public path":         {[]guard.Rule{{Public: []string{"/open"}}}, w.browser(), "/open", 200},
			"two lines that say so": {[]guard.Rule{{}, {CORS: []string{"http://third.localhost", spaOrigin}}}, b, "/", 200},
		} {
			for i := range c.rules {
				c.rules[i].Mode = guard.Require
			}
			c.rules[0].CORS = []string{spaOrigin}
			w.gate(appOrigin, c.rules...)
			res := c.b.send(http.MethodGet, appOrigin+c.path, map[string]string{"Origin": origin, "Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-site"})
			if res.StatusCode != c.want || !strings.Contains(strings.Join(res.Header.Values("Vary"), ","), "Origin") {
				t.Errorf("%s from %s: %d %v", name, origin, res.StatusCode, res.Header)
			}
			if origin != spaOrigin {
				if shares(res) {
					t.Errorf("%s from %s: %v", name, origin, res.Header)
				}
				continue
			}
			for header, want := range map[string]string{
				"Access-Control-Allow-Origin": spaOrigin, "Access-Control-Allow-Credentials": "true", "Access-Control-Expose-Headers": "WWW-Authenticate",
			} {
				if got := strings.Join(res.Header.Values(header), "|"); got != want {
					t.Errorf("%s: %s = %q", name, header, got)
				}
			}
		}
	}
}

// An origin in cors may act with the cookie; another of the same site may not.
func TestListedOriginsWriteWithTheCookie(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	cors := guard.Rule{Mode: guard.Require, CORS: []string{spaOrigin}, Public: []string{"/open"}}
	for _, c := range []struct {
		name, origin, path string
		rules              []guard.Rule
		want               int
		named              bool
	}{
		{"listed", spaOrigin, "/", []guard.Rule{cors}, 200, true},
		{"own", appOrigin, "/", []guard.Rule{cors}, 200, true},
		{"another", "http://evil.localhost", "/", []guard.Rule{cors}, 403, false},
		{"null", "null", "/", []guard.Rule{cors}, 403, false},
		{"listed by the first line", spaOrigin, "/", []guard.Rule{cors, {Mode: guard.Require}}, 200, true},
		{"no cors", spaOrigin, "/", []guard.Rule{{Mode: guard.Require}}, 403, false},
		{"public, listed", spaOrigin, "/open", []guard.Rule{cors}, 200, true},
		{"public, another", "http://evil.localhost", "/open", []guard.Rule{cors}, 200, false},
	} {
		w.gate(appOrigin, c.rules...)
		for _, h := range []map[string]string{{"method": http.MethodPost}, {"method": http.MethodDelete}, {"method": http.MethodGet, "Upgrade": "websocket", "Connection": "Upgrade"}} {
			method := h["method"]
			delete(h, "method")
			h["Origin"], h["Sec-Fetch-Site"] = c.origin, "same-site"
			if c.origin == appOrigin {
				h["Sec-Fetch-Site"] = "same-origin"
			}
			res := b.send(method, appOrigin+c.path, h)
			named := w.reached != nil && w.reached.Header.Get("X-Auth-User") != ""
			if res.StatusCode != c.want || named != c.named {
				t.Errorf("%s: %s %v: %d, named %v", c.name, method, h, res.StatusCode, named)
			}
		}
	}
}

// deaf is a store whose feed can be made to break.
type deaf struct {
	*memstore.Store
	broken atomic.Bool
	cancel chan struct{}
}

func (s *deaf) Watch(ctx context.Context, after store.Cursor) iter.Seq2[store.Change, error] {
	broken := errors.New("the feed broke")
	if s.broken.Load() {
		return func(yield func(store.Change, error) bool) { yield(store.Change{}, broken) }
	}
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		select {
		case <-s.cancel:
		case <-ctx.Done():
		}
		cancel()
	}()
	return func(yield func(store.Change, error) bool) {
		defer cancel()
		for c, err := range s.Store.Watch(ctx, after) {
			if s.broken.Load() {
				err = broken
			}
			if !yield(c, err) || err != nil {
				return
			}
		}
	}
}

func TestAStrictGateDoubtsOldNews(t *testing.T) {
	w := &world{t: t, clock: &clock{t: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}, handlers: map[string]http.Handler{}}
	st := &deaf{Store: memstore.New(memstore.Options{Now: w.clock.now}), cancel: make(chan struct{})}
	var err error
	w.state, err = authcore.Open(context.Background(), authcore.StateConfig{Directory: st, Keys: secret.NewKeys(), Now: w.clock.now})
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
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	strict := guard.Rule{Mode: guard.Require, Strict: true, Public: []string{"/open"}}
	w.gate(appOrigin, strict)
	w.gate(apiOrigin, strict)
	token := w.machine("orders.read")
	check := func(when string, want int, named bool) {
		t.Helper()
		b.get(appOrigin + "/")
		if b.status != want || want != 200 && (b.header.Get("Retry-After") != "5" || w.reached != nil || !strings.Contains(b.body, "<html")) {
			t.Errorf("%s: a session: %d %v", when, b.status, b.header)
		}
		if res := w.call("GET", apiOrigin+"/", token); res.StatusCode != want || want != 200 && (res.Header.Get("Retry-After") != "5" || w.reached != nil) {
			t.Errorf("%s: a token: %d %v", when, res.StatusCode, res.Header)
		}
		b.get(appOrigin + "/open")
		if got := w.reached != nil && w.reached.Header.Get("X-Auth-User") != ""; b.status != 200 || got != named {
			t.Errorf("%s: a public path: %d, named %v", when, b.status, got)
		}
	}
	w.clock.add(time.Minute)
	check("while the feed holds", 200, true)
	doubting, trusting := make(chan struct{}, 1), make(chan struct{}, 1)
	bearer := http.Header{"Authorization": {"Bearer " + token}}
	w.open(w.serve(apiOrigin, strict, talks("text/event-stream", doubting)), bearer)
	w.open(w.serve(apiOrigin, guard.Rule{Mode: guard.Require}, talks("text/event-stream", trusting)), bearer)
	st.broken.Store(true)
	close(st.cancel)
	stale := func() bool { // the break is noticed by another goroutine
		w.clock.add(6 * time.Second)
		b.get(appOrigin + "/")
		return b.status == http.StatusServiceUnavailable
	}
	for deadline := time.Now().Add(5 * time.Second); !stale() && time.Now().Before(deadline); runtime.Gosched() {
	}
	check("six seconds after it broke", http.StatusServiceUnavailable, false)
	w.clock.add(-time.Second)
	check("five seconds after it broke", http.StatusOK, true)
	w.clock.add(time.Second)
	check("six seconds after it broke, again", http.StatusServiceUnavailable, false)
	for deadline := time.Now().Add(5 * time.Second); w.state.Streams() > 1 && time.Now().Before(deadline); runtime.Gosched() {
		w.clock.add(6 * time.Second)
		w.state.SweepStreams(t.Context())
	}
	within(t, doubting)
	if n := w.state.Streams(); n != 1 || len(trusting) != 0 {
		t.Errorf("%d streams are left where old news will do", n)
	}
	w.gate(appOrigin, guard.Rule{Mode: guard.Require})
	if b.get(appOrigin + "/"); b.body != "upstream" {
		t.Errorf("a gate that is not strict: %d", b.status)
	}
	// Nobody is told 503 who would be refused anyway.
	if res := w.call("GET", apiOrigin+"/", ""); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("nobody: %d", res.StatusCode)
	}
}

// forgetful is a cookie jar that does not keep every cookie.
type forgetful struct {
	http.CookieJar
	keeps func(host, name string) bool
}

func (j *forgetful) SetCookies(u *url.URL, cookies []*http.Cookie) {
	var kept []*http.Cookie
	for _, c := range cookies {
		if j.keeps(u.Host, c.Name) {
			kept = append(kept, c)
		}
	}
	j.CookieJar.SetCookies(u, kept)
}

func (b *browser) forget(keeps func(host, name string) bool) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		b.w.t.Fatal(err)
	}
	for _, host := range []string{"login.localhost", "app.localhost"} {
		u := &url.URL{Scheme: "http", Host: host}
		jar.SetCookies(u, b.jar.Cookies(u))
	}
	b.jar = &forgetful{CookieJar: jar, keeps: keeps}
}

func TestALoopIsExplained(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.forget(func(_, name string) bool { return !strings.HasPrefix(name, "gh-site-") })
	// The world follows twelve redirects; each round is three.
	b.get(appOrigin + "/deep")
	if b.status != http.StatusBadRequest || w.denial == nil || !errors.Is(w.denial, guard.ErrLoop) || b.url.String() != appOrigin+"/deep" || w.denial.Retry != appOrigin+"/deep" {
		t.Fatalf("%d at %s: %v", b.status, b.url, w.denial)
	}
	if !strings.Contains(b.body, `href="`+appOrigin+`/deep"`) || !strings.Contains(b.body, "<html") {
		t.Errorf("no way forward:\n%s", b.body)
	}
	// To try again is up to the person, and works when the cause is gone.
	b.jar.(*forgetful).keeps = func(string, string) bool { return true }
	if b.get(w.denial.Retry); b.body != "upstream" || b.url.Path != "/deep" {
		t.Errorf("%d at %s", b.status, b.url)
	}
}

// Sign-ins that are not in a row are no loop, however many there are.
func TestManySignInsAreNoLoop(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	for i := range 8 {
		b.get(appOrigin + "/")
		if b.body != "upstream" {
			t.Fatalf("sign-in %d: %d at %s: %v", i, b.status, b.url, w.denial)
		}
		u := &url.URL{Scheme: "http", Host: "app.localhost"}
		for _, c := range b.jar.Cookies(u) {
			if strings.HasPrefix(c.Name, "gh-site-") {
				b.jar.SetCookies(u, []*http.Cookie{{Name: c.Name, MaxAge: -1, Path: "/"}})
			}
		}
		w.clock.add(5 * time.Second)
	}
}

func TestRefusedCookiesAreExplained(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.forget(func(host, _ string) bool { return host == "login.localhost" })
	b.get(appOrigin + "/deep")
	if b.url.Path != guard.CallbackPath || b.status != http.StatusBadRequest || !errors.Is(w.denial, guard.ErrCookies) {
		t.Fatalf("%d at %s: %v", b.status, b.url, w.denial)
	}
	if !strings.Contains(strings.ToLower(b.body), "cookie") || !strings.Contains(b.body, `href="`+appOrigin+`/"`) {
		t.Errorf("not explained:\n%s", b.body)
	}
	b.jar.(*forgetful).keeps = func(string, string) bool { return true }
	if b.get(w.denial.Retry); b.body != "upstream" {
		t.Errorf("with cookies: %d at %s", b.status, b.url)
	}
}

// Whoever comes to the callback by another way than a sign-in under way gets on.
func TestCallbacksFromNowhereLeadOn(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	res := b.send(http.MethodGet, appOrigin+"/kept", map[string]string{"Sec-Fetch-Mode": "navigate"})
	u := &url.URL{Scheme: "http", Host: "app.localhost"}
	b.jar.SetCookies(u, res.Cookies())
	begun := b.jar.Cookies(u)
	b.jar.SetCookies(u, []*http.Cookie{{Name: begun[0].Name, MaxAge: -1, Path: "/"}})
	res = b.send(http.MethodGet, res.Header.Get("Location"), map[string]string{"Sec-Fetch-Mode": "navigate"})
	callback := res.Header.Get("Location")
	if !strings.HasPrefix(callback, appOrigin+guard.CallbackPath+"?") || len(begun) != 1 {
		t.Fatalf("%d %v, %v", res.StatusCode, res.Header, begun)
	}
	explained := func(name, retry string) {
		t.Helper()
		if b.status != http.StatusBadRequest || w.denial == nil || !w.denial.Browser || w.denial.Retry != appOrigin+retry || errors.Is(w.denial, guard.ErrLoop) ||
			!strings.Contains(b.body, `href="`+appOrigin+retry+`"`) {
			t.Errorf("%s: %d at %s: %+v", name, b.status, b.url, w.denial)
		}
	}
	// Too long ago, in a browser that kept its cookie for longer than it may.
	w.clock.add(61 * time.Minute)
	b.jar.SetCookies(u, begun)
	b.get(callback)
	explained("an old sign-in", "/kept")
	b.get(w.denial.Retry)
	if b.body != "upstream" || b.url.Path != "/kept" {
		t.Fatalf("from there: %d at %s", b.status, b.url)
	}
	// Signed in, by the back button or a bookmark: there is nothing to do.
	for address, want := range map[string]string{
		callback: "/kept", appOrigin + guard.CallbackPath: "/", appOrigin + guard.CallbackPath + "?state=hops": "/", appOrigin + guard.CallbackPath + "?code=x&state=%00%0d": "/",
	} {
		if b.get(address); b.body != "upstream" || b.url.String() != appOrigin+want {
			t.Errorf("%s: %d at %s: %v", address, b.status, b.url, w.denial)
		}
	}
	b.jar, _ = cookiejar.New(nil)
	for _, address := range []string{callback, appOrigin + guard.CallbackPath, appOrigin + guard.CallbackPath + "?error=access_denied&state=hops"} {
		b.get(address)
		explained(address, "/")
	}
	if b.get(w.denial.Retry); b.url.Path != "/login" {
		t.Errorf("a stranger: %d at %s", b.status, b.url)
	}
}

// A raw '#' is cut off by some and read as part of the path by others.
func TestAFragmentInATargetOpensNothing(t *testing.T) {
	w := newWorld(t)
	g, err := w.engine.Gate(authcore.GateConfig{Pool: "default", Rule: guard.Rule{Mode: guard.Require, Public: []string{"/static/*", "/healthz"}}, Origins: []string{appOrigin}})
	if err != nil {
		t.Fatal(err)
	}
	for target, want := range map[string]bool{"/static/x": true, "/static/x#": false, "/healthz#/../admin": false, "/static/..#/x": false, "/static/%23": false, "/static/x?a#b": true} {
		r := newRequest(t, target)
		reached := false
		err := g.Handle(discard{}, r, func(http.ResponseWriter, *http.Request, guard.Identity) error { reached = true; return nil })
		if reached != want || !want && err == nil {
			t.Errorf("%s: reached %v, %v", target, reached, err)
		}
	}
}

// newRequest parses a request as it stands on the wire.
func newRequest(t *testing.T, target string) *http.Request {
	t.Helper()
	u, err := url.ParseRequestURI(target)
	if err != nil {
		t.Fatal(err)
	}
	r := &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(""))}
	return r.WithContext(mux.WithClient(context.Background(), mux.Client{Origin: appOrigin, OrigURI: target}))
}

type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// Every preset has names of its own; no preset lets another's through.
func TestPresetsNameTheCallerInTheirWords(t *testing.T) {
	w := newWorld(t)
	c := config()
	c.Pools[0].Groups = append(c.Pools[0].Groups, "night-shift")
	w.configure(c)
	w.firstUser("root@example.com")
	status, answer := w.admin("POST", "/users", map[string]any{"identifier": "bob@example.com", "password": password, "groups": []string{"staff", "night-shift"}})
	if status != http.StatusOK {
		t.Fatal(answer)
	}
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require})
	b := w.browser()
	b.get(apiOrigin + "/")
	b.submit(map[string]string{"identifier": "bob@example.com", "password": password})
	b.get(apiOrigin + "/")
	sub := w.reached.Header.Get("X-Auth-User")
	if len(sub) != 36 {
		t.Fatalf("%d at %s: %q", b.status, b.url, sub)
	}
	const groups = "night-shift,staff"
	user, machine := b.grant("orders.read")["access_token"].(string), w.machine("orders.read")
	families := []string{"X-Auth-", "Remote-", "X-Forwarded-", "X-Amzn-Oidc-"}
	for preset, c := range map[string]struct{ session, token, machine map[string]string }{
		"": {
			map[string]string{"X-Auth-User": sub, "X-Auth-Email": "bob@example.com", "X-Auth-Groups": groups, "X-Auth-Assertion": "jwt"},
			map[string]string{"X-Auth-User": sub, "X-Auth-Groups": groups, "X-Auth-Scopes": "orders.read", "X-Auth-Client": "web", "X-Auth-Assertion": "jwt"},
			map[string]string{"X-Auth-Scopes": "orders.read", "X-Auth-Client": "batch", "X-Auth-Assertion": "jwt"},
		},
		"remote": {
			map[string]string{"Remote-User": sub, "Remote-Email": "bob@example.com", "Remote-Groups": groups},
			map[string]string{"Remote-User": sub, "Remote-Groups": groups}, nil,
		},
		"x-forwarded": {
			map[string]string{"X-Forwarded-User": sub, "X-Forwarded-Email": "bob@example.com", "X-Forwarded-Groups": groups},
			map[string]string{"X-Forwarded-User": sub, "X-Forwarded-Groups": groups}, nil,
		},
		"alb": {
			map[string]string{"X-Amzn-Oidc-Identity": sub, "X-Amzn-Oidc-Data": "jwt"},
			map[string]string{"X-Amzn-Oidc-Identity": sub, "X-Amzn-Oidc-Data": "jwt"}, map[string]string{"X-Amzn-Oidc-Data": "jwt"},
		},
		"none": {},
	} {
		w.gate(apiOrigin, guard.Rule{Mode: guard.Require, Headers: preset})
		for name, want := range map[string]map[string]string{"session": c.session, user: c.token, machine: c.machine} {
			smuggled := map[string]string{"X-Auth-Name": "x", "Remote-User": "x", "Remote_groups": "x", "X-Forwarded-User": "x", "X-Amzn-Oidc-Accesstoken": "x"}
			sender := b
			if name != "session" {
				smuggled["Authorization"] = "Bearer " + name
				sender = w.browser()
			}
			res := sender.send(http.MethodGet, apiOrigin+"/", smuggled)
			if res.StatusCode != http.StatusOK {
				t.Fatalf("%q: %d", preset, res.StatusCode)
			}
			got := map[string]string{}
			for header, values := range w.reached.Header {
				for _, family := range families {
					if strings.HasPrefix(strings.ReplaceAll(header, "_", "-"), family) {
						got[header] = strings.Join(values, "|")
					}
				}
			}
			for _, signed := range []string{"X-Auth-Assertion", "X-Amzn-Oidc-Data"} {
				if strings.Count(got[signed], ".") == 2 {
					got[signed] = "jwt"
				}
			}
			if !maps.Equal(got, want) {
				t.Errorf("preset %q, %.12s: %v, want %v", preset, name, got, want)
			}
		}
	}
}

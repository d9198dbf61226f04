package authcore_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
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

func TestSignInsUnderWayAreBounded(t *testing.T) {
	w := newWorld(t)
	w.firstUser("ann@example.com")
	b := w.browser()
	for i := range 9 {
		b.get(appOrigin + "/" + strconv.Itoa(i))
		w.clock.add(time.Second)
	}
	last := *b
	b.url.Host = "app.localhost"
	var kept int
	for _, c := range b.jar.Cookies(b.url) {
		if strings.HasPrefix(c.Name, "gh-tx-") {
			kept++
		}
	}
	if kept != 5 {
		t.Errorf("%d sign-ins are under way in one browser", kept)
	}
	last.url.Host = "login.localhost"
	last.submit(map[string]string{"identifier": "ann@example.com", "password": password})
	if last.url.Path != "/8" || last.body != "upstream" {
		t.Errorf("the youngest sign-in: %d at %s", last.status, last.url)
	}
}

// brittle is a store that can be made to fail.
type brittle struct {
	*memstore.Store
	down    atomic.Bool // answers nothing
	full    atomic.Bool // takes nothing
	refused atomic.Int64
}

func (s *brittle) Get(ctx context.Context, keys ...store.Key) ([]store.Entry, error) {
	if s.down.Load() {
		return nil, errors.New("the disk is gone")
	}
	return s.Store.Get(ctx, keys...)
}

func (s *brittle) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	if s.down.Load() || s.full.Load() {
		s.refused.Add(1)
		return store.Receipt{}, errors.New("the disk is full")
	}
	return s.Store.Commit(ctx, t)
}

func brittleWorld(t *testing.T) (*world, *brittle) {
	t.Helper()
	w := &world{t: t, clock: &clock{t: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}, handlers: map[string]http.Handler{}}
	st := &brittle{Store: memstore.New(memstore.Options{Now: w.clock.now})}
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
	return w, st
}

func TestAKnownSessionOutlivesTheStore(t *testing.T) {
	w, st := brittleWorld(t)
	b := w.firstUser("ann@example.com")
	if b.get(appOrigin + "/"); b.body != "upstream" {
		t.Fatalf("%d at %s", b.status, b.url)
	}
	token := w.machine("orders.read")
	st.down.Store(true)
	w.clock.add(time.Minute) // past what is believed without a look at the store
	for i := range 3 {
		if b.get(appOrigin + "/"); b.body != "upstream" {
			t.Errorf("request %d: %d %s", i, b.status, b.body)
		}
	}
	if res := w.call("GET", apiOrigin+"/", token); res.StatusCode != http.StatusOK {
		t.Errorf("a token: %d", res.StatusCode)
	}
	w.clock.add(13 * time.Hour) // past the idle life
	if b.get(appOrigin + "/"); b.status != http.StatusServiceUnavailable || w.reached != nil {
		t.Errorf("a session that has run out: %d", b.status)
	}
}

func TestEachLineWantsItsOwnResource(t *testing.T) {
	w := newWorld(t)
	c := config()
	c.Pools[0].Resources = append(c.Pools[0].Resources, authcore.ResourceConfig{ID: apiOrigin + "/admin", Scopes: []string{"admin.read"}})
	w.configure(c)
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require}, guard.Rule{Mode: guard.Require, Resource: apiOrigin + "/admin"})
	if res := w.call("GET", apiOrigin+"/", w.machine("orders.read")); res.StatusCode != http.StatusUnauthorized || w.reached != nil ||
		!strings.Contains(res.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("a token of another resource: %d %v", res.StatusCode, res.Header)
	}
	w.gate(apiOrigin, guard.Rule{Mode: guard.Public, Resource: apiOrigin + "/admin"}, guard.Rule{Mode: guard.Require, Resource: apiOrigin})
	if res := w.call("GET", apiOrigin+"/", w.machine("orders.read")); res.StatusCode != http.StatusOK || w.reached.Header.Get("X-Auth-Client") != "batch" {
		t.Errorf("the right token behind a public line: %d", res.StatusCode)
	}
}

func TestAnImageSignsNobodyOut(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	r, err := http.NewRequest(http.MethodGet, appOrigin+"/_auth/logout", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	r.Header.Set("Sec-Fetch-Mode", "no-cors")
	r.Header.Set("Sec-Fetch-Dest", "image")
	for _, c := range b.jar.Cookies(b.url) {
		r.AddCookie(c)
	}
	res, err := w.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(res.Header.Get("Location"), "ticket") || len(res.Cookies()) > 0 {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if b.get(appOrigin + "/"); b.body != "upstream" {
		t.Errorf("an image ended the session: %d at %s", b.status, b.url)
	}
}

// Routes for errors run on the request as it came, whose cookies the site's
// gate took away: the person must not be led to sign in, again and again.
func TestErrorRoutesKnowWhoTheRequestIs(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	gate := func(r guard.Rule) *guard.Gate {
		g, err := w.engine.Gate(authcore.GateConfig{Pool: "default", Rule: r, Origins: []string{appOrigin}})
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	site, errorRoute := gate(guard.Rule{Mode: guard.Require}), gate(guard.Rule{Mode: guard.Require})
	failed := errors.New("no upstream")
	request := func(cookies bool) *http.Request {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		if cookies {
			for _, c := range b.jar.Cookies(b.url) {
				r.AddCookie(c)
			}
		}
		ctx := mux.WithClient(context.Background(), mux.Client{Origin: appOrigin, OrigURI: "/"})
		return r.WithContext(guard.WithMemory(ctx, new(guard.Memory)))
	}
	r := request(true)
	err := site.Handle(httptest.NewRecorder(), r, func(http.ResponseWriter, *http.Request, guard.Identity) error { return failed })
	if !errors.Is(err, failed) || len(r.Header["Cookie"]) != 0 {
		t.Fatalf("%v %v", err, r.Header)
	}
	r.Header.Set("X_Auth-User", "smuggled")
	var seen *http.Request
	next := func(_ http.ResponseWriter, r *http.Request, who guard.Identity) error {
		seen = r
		return nil
	}
	if err := errorRoute.Handle(httptest.NewRecorder(), r, next); err != nil || seen == nil {
		t.Fatalf("the error route was not reached: %v", err)
	}
	alias := slices.ContainsFunc(slices.Collect(maps.Keys(seen.Header)), func(name string) bool { return strings.Contains(name, "_") })
	if seen.Header.Get("X-Auth-User") == "" || alias {
		t.Errorf("%v", seen.Header)
	}
	// Who was refused is not named where nobody is.
	r, seen = request(true), nil
	staff := gate(guard.Rule{Mode: guard.Require, Groups: [][]string{{"staff"}}})
	if err := staff.Handle(httptest.NewRecorder(), r, next); err == nil || seen != nil {
		t.Fatal("who is not of the group was let in")
	}
	if err := gate(guard.Rule{Mode: guard.Public}).Handle(httptest.NewRecorder(), r, next); err != nil || seen == nil || seen.Header.Get("X-Auth-User") != "" {
		t.Errorf("%v %v", err, seen)
	}
	// A stranger is remembered as one.
	r, seen = request(false), nil
	for _, g := range []*guard.Gate{site, errorRoute} {
		out := httptest.NewRecorder()
		if err := g.Handle(out, r, next); err != nil || out.Code != http.StatusFound || seen != nil {
			t.Errorf("%v %d", err, out.Code)
		}
	}
}

// A public path takes requests of other sites, but no word of theirs for who
// sent them.
func TestCrossSiteWritesToPublicPathsAreAnonymous(t *testing.T) {
	w := newWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	for _, c := range []struct {
		origin, site string
		named        bool
	}{{appOrigin, "same-origin", true}, {apiOrigin, "same-site", false}, {"", "", false}} {
		r, err := http.NewRequest(http.MethodPost, appOrigin+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		for _, cookie := range b.jar.Cookies(b.url) {
			r.AddCookie(cookie)
		}
		res, err := w.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		if named := w.reached != nil && w.reached.Header.Get("X-Auth-User") != ""; res.StatusCode != http.StatusOK || named != c.named ||
			named != (w.who.Principal.Kind == pool.Person) {
			t.Errorf("from %q: %d, named %v", c.origin, res.StatusCode, named)
		}
	}
}

func TestARememberedTokenDiesWithItsIssuer(t *testing.T) {
	w := newWorld(t)
	token := w.machine("orders.read")
	if res := w.call("GET", apiOrigin+"/", token); res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode)
	}
	c := config()
	c.Pools[0].Issuer = "http://elsewhere.localhost"
	w.configure(c)
	if res := w.call("GET", apiOrigin+"/", token); res.StatusCode != http.StatusUnauthorized || w.reached != nil {
		t.Errorf("%d", res.StatusCode)
	}
}

func TestAStoreThatTakesNothingIsAskedOnce(t *testing.T) {
	w, st := brittleWorld(t)
	b := w.firstUser("ann@example.com")
	b.get(appOrigin + "/")
	st.full.Store(true)
	w.clock.add(6 * time.Minute)
	b.get(appOrigin + "/")
	first := st.refused.Load()
	for range 5 {
		if b.get(appOrigin + "/"); b.body != "upstream" {
			t.Fatalf("%d at %s", b.status, b.url)
		}
	}
	if more := st.refused.Load() - first; first == 0 || more != 0 {
		t.Errorf("the use of the session was recorded %d times in vain, and then %d times", first, more)
	}
	st.full.Store(false)
	for range 4 { // past the idle life, with a use now and then
		w.clock.add(4 * time.Hour)
		if b.get(appOrigin + "/"); b.body != "upstream" {
			t.Fatalf("%d at %s", b.status, b.url)
		}
	}
}

func TestAResourceOfOneGateIsNotThatOfItsNeighbours(t *testing.T) {
	w := newWorld(t)
	admin := apiOrigin + "/admin"
	c := config()
	p := &c.Pools[0]
	p.Resources = append(p.Resources, authcore.ResourceConfig{ID: admin, Scopes: []string{"admin.read"}})
	p.Sites = append(p.Sites, authcore.SiteConfig{Origin: apiOrigin, Resource: admin})
	p.Clients[1].Grants[0].Scopes = append(p.Clients[1].Grants[0].Scopes, "admin.read")
	w.configure(c)
	token := w.machine("admin.read")
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require})
	if res := w.call("GET", apiOrigin+"/", token); res.StatusCode != http.StatusUnauthorized || w.reached != nil {
		t.Errorf("a gate of the origin: %d", res.StatusCode)
	}
	for path, resource := range map[string]string{"": apiOrigin, "/admin": admin} {
		var about struct {
			Resource string
			Scopes   []string `json:"scopes_supported"`
		}
		res := w.call("GET", apiOrigin+"/.well-known/oauth-protected-resource"+path, "")
		if err := json.NewDecoder(res.Body).Decode(&about); err != nil || about.Resource != resource || len(about.Scopes) == 0 {
			t.Errorf("metadata of %s: %d %+v %v", resource, res.StatusCode, about, err)
		}
	}
	// A further line of the same way wants what the first one wants.
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require, Resource: admin}, guard.Rule{Mode: guard.Require, Scopes: []string{"admin.read"}})
	if res := w.call("GET", apiOrigin+"/", token); res.StatusCode != http.StatusOK || w.who.Resource != admin {
		t.Errorf("a line that names no resource of its own: %d", res.StatusCode)
	}
}

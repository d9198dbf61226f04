package guard

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func TestOneOriginIsListedOrNone(t *testing.T) {
	rule := Rule{CORS: []string{"https://spa.example"}}
	for _, c := range []struct {
		h    http.Header
		want string
	}{
		{http.Header{"Origin": {"https://spa.example"}}, "https://spa.example"},
		{http.Header{"Origin": {"https://spa.example", "https://spa.example"}}, ""},
		{http.Header{"Origin": {"https://spa.example.evil.example"}}, ""},
		{http.Header{"Origin": {"http://spa.example"}}, ""},
		{http.Header{"Origin": {"https://SPA.example"}}, ""},
		{http.Header{"Origin": {"null"}}, ""},
		{http.Header{"Origin": {""}}, ""},
		{http.Header{}, ""},
	} {
		if got := rule.listed(c.h); got != c.want {
			t.Errorf("%v: %q", c.h, got)
		}
	}
}

func TestTheGatesWordOnCORSIsTheOnlyOne(t *testing.T) {
	for _, origin := range []string{"https://spa.example", ""} {
		server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, _ *http.Request) {
			share(out.Header(), origin)
			w := &sharing{ResponseWriter: out, origin: origin}
			h := w.Header()
			w.WriteHeader(http.StatusEarlyHints)
			for _, name := range []string{allowOrigin, allowCredentials, allowMethods, allowHeaders, corsMaxAge} {
				h.Add(name, "*")
			}
			h.Add(exposeHeaders, "X-Total, www-authenticate")
			h.Set("Vary", "Accept")
			w.WriteHeader(http.StatusTeapot)
		}))
		defer server.Close()
		res, err := http.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode != http.StatusTeapot {
			t.Errorf("%d", res.StatusCode)
		}
		for name, want := range map[string]string{
			allowOrigin: origin, allowCredentials: map[bool]string{true: "true"}[origin != ""], allowMethods: "", allowHeaders: "", corsMaxAge: "",
			exposeHeaders: map[bool]string{true: "WWW-Authenticate, X-Total"}[origin != ""], "Vary": "Accept|Origin",
		} {
			if got := strings.Join(res.Header[name], "|"); got != want {
				t.Errorf("for %q: %s = %q, want %q", origin, name, got, want)
			}
		}
	}
	out := httptest.NewRecorder()
	w := &sharing{ResponseWriter: out, origin: "https://spa.example"}
	if err := http.NewResponseController(w).Flush(); err != nil || out.Header().Get(allowOrigin) != "https://spa.example" || !out.Flushed {
		t.Errorf("flushed before anything was written: %v %v", err, out.Header())
	}
	if _, _, err := w.Hijack(); err == nil {
		t.Error("a recorder was hijacked")
	}
}

func TestAPreflightRepeatsOnlyTokens(t *testing.T) {
	for asked, want := range map[string]string{
		"PUT": "GET, HEAD, POST, PUT, PATCH, DELETE", "PROPFIND": "GET, HEAD, POST, PUT, PATCH, DELETE, PROPFIND",
		"A, B": "GET, HEAD, POST, PUT, PATCH, DELETE", "X\r\nSet-Cookie: a": "GET, HEAD, POST, PUT, PATCH, DELETE",
	} {
		if got := methodsFor(asked); got != want {
			t.Errorf("%q: %q", asked, got)
		}
	}
	for list, want := range map[string]bool{
		"content-type": true, "authorization, x-a,x-b": true, "": false, "x-a\r\nset-cookie: b": false, "x:a": false, "\u00e4": false,
		strings.Repeat("a", maxRequestHeaders+1): false,
	} {
		if got := validList(list); got != want {
			t.Errorf("%.20q: %v", list, got)
		}
	}
}

func TestSignInsInARowAreCounted(t *testing.T) {
	now := time.Unix(1_900_000_000, 0)
	s := &site{cookies: mux.Cookies{Origin: "https://app.example", Pool: "p"}}
	c := credentials{}
	for i := range 5 {
		if got := looping(s, c, now); got != (i >= maxHops) {
			t.Errorf("after %d sign-ins: %v", i, got)
		}
		out := httptest.NewRecorder()
		countHop(out, s, c, now)
		set := out.Result().Cookies()
		if len(set) != 1 || set[0].MaxAge != 10 || !set[0].HttpOnly {
			t.Fatalf("%v", set)
		}
		c.cookies = []string{set[0].Name + "=" + set[0].Value}
		now = now.Add(2 * time.Second)
	}
	if looping(s, c, now.Add(hopWindow)) {
		t.Error("sign-ins of long ago count")
	}
	for _, damaged := range []string{"", "9_a", "-1_a", "3_", "3", "x_y", "3_zzzzzzzzzzzzzzzzzz"} {
		if looping(s, credentials{cookies: []string{s.cookies.Name(cookieHops) + "=" + damaged}}, now) {
			t.Errorf("%q counts", damaged)
		}
	}
	h := http.Header{"Cookie": {c.cookies[0] + "; theirs=1"}}
	if mux.StripCookies(h); h.Get("Cookie") != "theirs=1" {
		t.Errorf("the upstream sees %q", h)
	}
}

func TestASignInUnderWayTellsItsTime(t *testing.T) {
	for id, ok := range map[string]bool{"lqzw1a2b_abc": true, "hops": false, "_abc": false, "": false, "+_": false} {
		if _, got := txTime(id); got != ok {
			t.Errorf("%q: %v", id, got)
		}
	}
	s := &site{Site: Site{Pool: &pool.Pool{}}, cookies: mux.Cookies{Origin: "https://app.example", Pool: "p"}}
	var kept []string
	for _, kind := range []string{"tx-hops", "tx-a1", "tx-a2", "tx-a3", "tx-a4", "tx-a5"} {
		kept = append(kept, s.cookies.Name(kind)+"=x")
	}
	out := httptest.NewRecorder()
	dropOldest(out, credentials{cookies: []string{strings.Join(kept, "; ")}}, s)
	if set := out.Result().Cookies(); len(set) != 1 || set[0].Name != s.cookies.Name("tx-a1") {
		t.Errorf("dropped: %v", set)
	}
}

// A handler that only sets headers and returns has said so, too.
func TestTheGatesWordOnCORSHoldsForAnAnswerWithoutAWord(t *testing.T) {
	rec := httptest.NewRecorder()
	share(rec.Header(), "")
	w := &sharing{ResponseWriter: rec}
	w.Header().Set(allowOrigin, "https://evil.example")
	w.Header().Set(allowCredentials, "true")
	w.done()
	if got := rec.Header(); got.Get(allowOrigin) != "" || got.Get(allowCredentials) != "" {
		t.Error(got)
	}
}

// A refused preflight goes on to the routes for errors, without what only the
// gate may say.
func TestARefusedPreflightIsCleanedToo(t *testing.T) {
	p := &pool.Pool{ID: "xx-edge-1_AbC123xyz", Issuer: "https://login.example.com"}
	origin := "https://app.example.com"
	g, err := New(Config{}).Gate(Rule{Mode: Require, CORS: []string{"https://spa.example"}}, []Site{{Pool: p, Origin: origin, Client: pool.SiteClient(origin)}})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodOptions, origin+"/", http.NoBody)
	r.Header = http.Header{"Origin": {"https://evil.example"}, requestMethod: {"GET"}, "X-Auth-User": {"admin"}, "Cookie": {"__Host-gh-site-0123456789abcdef=x"}}
	var d *Denial
	err = g.Handle(httptest.NewRecorder(), r.WithContext(mux.WithClient(r.Context(), mux.Client{Origin: origin, OrigURI: "/"})), nil)
	if !errors.As(err, &d) || d.Status != http.StatusForbidden || r.Header.Get("X-Auth-User") != "" || r.Header.Get("Cookie") != "" {
		t.Error(err, r.Header)
	}
}

package signin_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/signin"
)

func TestSignIn(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b := w.browser()
	res := b.get("/login?"+request).want(200, "The Shop")
	if got := res.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' https:;") {
		t.Errorf("policy %q", got)
	}
	if action, form := res.form(); action != "/login?"+request || form.Get("attempt") == "" {
		t.Errorf("%s %v", action, form)
	}
	pre := b.cookie(mux.CookiePre)
	if len(pre) != 43 {
		t.Fatalf("pre-session cookie %q", pre)
	}
	if again := b.get("/login"); len(again.Cookies()) != 0 {
		t.Error("the pre-session cookie of other tabs was replaced")
	}
	done := b.answer(res, " ANN@example.com", right)
	done.redirects(origin + "/oauth2/authorize?" + request)
	if got := w.live(b.cookie(mux.CookieSSO)); got != u.Sub {
		t.Errorf("signed in as %q", got)
	}
	if b.cookie(mux.CookiePre) == pre {
		t.Error("the pre-session cookie has stayed")
	}
	for _, c := range done.Cookies() {
		if !strings.HasPrefix(c.Name, "__Host-gh-") || !c.Secure || !c.HttpOnly || c.SameSite != http.SameSiteLaxMode || c.Path != "/" || c.Domain != "" {
			t.Errorf("%+v", c)
		}
		if life := time.Duration(c.MaxAge) * time.Second; strings.Contains(c.Name, "-sso-") && life != w.pool.Session.Absolute {
			t.Errorf("the session cookie lives for %s", life)
		}
	}
	live, err := w.sessions.Find(t.Context(), w.pool, b.cookie(mux.CookieSSO))
	must(t, err)
	if s := live.Session; s.ACR != "aal1" || len(s.AMR) != 1 || s.AMR[0] != "pwd" || !s.AuthTime.Equal(w.clock.now()) {
		t.Errorf("%+v", s)
	}
}

func TestSignedInGoesOn(t *testing.T) {
	w := newWorldAt(t, signin.Site{Origin: origin, Links: []page.Link{{Label: "The app", URL: "https://app.example.com"}}})
	w.user("ann@example.com")
	b := w.signedIn("ann@example.com")
	b.get("/login").want(200, "ann@example.com", "https://app.example.com", `href="/logout"`)
	b.get("/login?" + request).redirects(origin + "/oauth2/authorize?" + request)
	b.get("/login?" + request + "&gh_fresh=1").redirects(origin + "/oauth2/authorize?" + request + "&gh_fresh=1")

	// An application that wants a fresh sign-in gets one, and no loop.
	w.clock.move(time.Minute)
	old := b.cookie(mux.CookieSSO)
	fresh := request + "&gh_fresh=" + strconv.FormatInt(w.clock.now().UnixMilli(), 10)
	res := b.get("/login?"+fresh).want(200, `name="password"`)
	b.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + fresh)
	b.get("/login?" + fresh).redirects(origin + "/oauth2/authorize?" + fresh)
	if w.live(old) != "" {
		t.Error("the earlier session is alive")
	}
}

func TestHome(t *testing.T) {
	w := newWorldAt(t, signin.Site{Origin: origin, Prefix: "/_auth", Home: origin + "/"})
	w.user("ann@example.com")
	b := w.browser()
	res := b.get("/_auth/login").want(200)
	if action, _ := res.form(); action != "/_auth/login" {
		t.Error(action)
	}
	b.answer(res, "ann@example.com", right).redirects(origin + "/")
	b.get("/_auth/login").redirects(origin + "/")
	b.get("/_auth/login?" + request).redirects(origin + "/_auth/oauth2/authorize?" + request)
}

// TestRefusalsAreEqual is G01: status, headers and bytes.
func TestRefusalsAreEqual(t *testing.T) {
	w := newWorld(t)
	w.user("known@example.com")
	locked := w.user("locked@example.com")
	disabled := w.user("disabled@example.com")
	must(t, w.accounts.Disable(t.Context(), operator, w.pool, disabled.Sub))
	for range 6 {
		w.browser().fail("locked@example.com")
	}
	ask := func(identifier, word string) (string, http.Header) {
		b := w.browser()
		res := b.answer(b.get("/login?"+request), identifier, word).want(http.StatusForbidden)
		if b.cookie(mux.CookieSSO) != "" {
			t.Error("signed in", identifier)
		}
		res.Header.Del("Content-Length") // the identifier's own length
		return res.masked(identifier), res.Header
	}
	wantBody, wantHeader := ask("known@example.com", "wrong password")
	for name, c := range map[string][2]string{
		"unknown":   {"nobody@example.com", right},
		"name":      {"nobody", right},
		"malformed": {"a@b@c", right},
		"disabled":  {"disabled@example.com", right},
		"locked":    {"locked@example.com", right},
	} {
		body, header := ask(c[0], c[1])
		if body != wantBody {
			t.Errorf("%s: the pages differ:\n%s\n%s", name, body, wantBody)
		}
		for k := range wantHeader {
			if strings.Join(header[k], "\n") != strings.Join(wantHeader[k], "\n") {
				t.Errorf("%s: %s is %q, else %q", name, k, header[k], wantHeader[k])
			}
		}
		if len(header) != len(wantHeader) {
			t.Errorf("%s: other headers", name)
		}
	}
	w.clock.move(time.Second)
	b := w.browser()
	b.answer(b.get("/login"), "locked@example.com", right).redirects(origin + "/login")
	if w.live(b.cookie(mux.CookieSSO)) != locked.Sub {
		t.Error("still locked")
	}
}

func (b *browser) fail(identifier string) {
	b.t.Helper()
	b.answer(b.get("/login"), identifier, "wrong password").want(http.StatusForbidden)
}

func TestWrongAnswerKeepsWhatWasTyped(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b := w.browser()
	res := b.answer(b.get("/login?"+request), "Ann@example.com", "wrong password").want(403, `value="Ann@example.com"`, `aria-invalid`)
	if strings.Contains(res.body, "wrong password") {
		t.Error("the page shows the password")
	}
	if action, _ := res.form(); action != "/login?"+request {
		t.Error(action)
	}
	b.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + request)
	if w.live(b.cookie(mux.CookieSSO)) != u.Sub {
		t.Error("not signed in")
	}
}

// TestFixation is F03: nothing that was in the browser before stays good.
func TestFixation(t *testing.T) {
	w := newWorld(t)
	eve, ann := w.user("eve@example.com"), w.user("ann@example.com")
	planted := w.signedIn("eve@example.com").cookie(mux.CookieSSO)
	if w.live(planted) != eve.Sub {
		t.Fatal("no session to plant")
	}
	b := w.browser()
	b.jar[b.cookies.Name(mux.CookiePre)] = strings.Repeat("e", 43)
	fresh := "&gh_fresh=" + strconv.FormatInt(w.clock.now().Add(time.Second).UnixMilli(), 10)
	res := b.get("/login?" + request + fresh)
	b.jar[b.cookies.Name(mux.CookieSSO)] = planted
	b.answer(res, "ann@example.com", right)
	got := b.cookie(mux.CookieSSO)
	if !slices.Equal(w.all(got), []pool.UserID{ann.Sub, eve.Sub}) || strings.HasPrefix(got, planted) {
		t.Errorf("the session's id was not changed: %v", w.all(got))
	}
	if w.live(planted) != eve.Sub {
		t.Error("the planted session is somebody else's now")
	}
	if b.cookie(mux.CookiePre) == strings.Repeat("e", 43) {
		t.Error("the planted pre-session cookie is alive")
	}

	// Who has planted a session of Ann's own has none after her next sign-in.
	planted = w.signedIn("ann@example.com").cookie(mux.CookieSSO)
	w.clock.move(2 * time.Second)
	b = w.browser()
	res = b.get("/login?" + request)
	b.jar[b.cookies.Name(mux.CookieSSO)] = planted
	b.answer(res, "ann@example.com", right)
	if got := b.cookie(mux.CookieSSO); !slices.Equal(w.all(got), []pool.UserID{ann.Sub}) || w.live(planted) != "" {
		t.Errorf("signed in as %v, the planted session is %q's", w.all(got), w.live(planted))
	}
}

// Who presses the button twice does not go on as somebody else who is signed
// in there too.
func TestASecondClickIsNobodyElses(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	w.user("bob@example.com")
	b := w.signedIn("bob@example.com")
	w.clock.move(time.Second)
	fresh := request + "&gh_fresh=" + strconv.FormatInt(w.clock.now().UnixMilli(), 10)
	res := b.get("/login?" + fresh)
	first, second := b.copy(), b.copy()
	first.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + fresh)
	second.answer(res, "ann@example.com", right).redirects(origin + "/select?" + fresh)
	// The answer of the first time arrives late.
	b.jar = first.jar
	b.get("/select?"+fresh).want(200, "ann@example.com", "bob@example.com")
}

func TestAttemptSucceedsOnce(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.browser()
	res := b.get("/login?" + request)
	first, second := b.copy(), b.copy()
	first.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + request)
	// The second click leads on as well, but to no session of its own.
	second.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + request)
	if first.cookie(mux.CookieSSO) == "" || second.cookie(mux.CookieSSO) != "" {
		t.Error("the attempt has succeeded twice")
	}

	res = b.get("/login")
	var all sync.WaitGroup
	tabs := make([]*browser, 12)
	for i := range tabs {
		tabs[i] = b.copy()
		all.Go(func() { tabs[i].answer(res, "ann@example.com", right) })
	}
	all.Wait()
	won := 0
	for _, tab := range tabs {
		if tab.cookie(mux.CookieSSO) != "" {
			won++
		}
	}
	if won != 1 {
		t.Errorf("%d sessions from one attempt", won)
	}
}

func TestExpiredAttempt(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.browser()
	res := b.get("/login?" + request)
	w.clock.move(10 * time.Minute)
	res = b.answer(res, "ann@example.com", right).want(400, `value="ann@example.com"`, `role="status"`)
	if b.cookie(mux.CookieSSO) != "" {
		t.Fatal("signed in")
	}
	b.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + request)
}

// TestAttemptIsTheBrowsers is F11, login CSRF: somebody else's form, or a form
// without the cookie it came with, signs nobody in.
func TestAttemptIsTheBrowsers(t *testing.T) {
	w := newWorld(t)
	w.user("eve@example.com")
	eve := w.browser()
	res := eve.get("/login")
	victim := w.browser()
	victim.get("/login")
	victim.answer(res, "eve@example.com", right).want(400)
	if victim.cookie(mux.CookieSSO) != "" {
		t.Error("signed in by another browser's form")
	}
	bare := w.browser()
	bare.answer(res, "eve@example.com", right).want(400, `href="/login"`)
	if len(bare.jar) != 0 {
		t.Error("signed in without the cookie")
	}
	action, form := res.form()
	form.Set("identifier", "eve@example.com")
	form.Set("password", right)
	for name, headers := range map[string][]string{
		"another site":  {"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"},
		"sibling":       {"Origin", "https://evil.example.com", "Sec-Fetch-Site", "same-site"},
		"null":          {"Origin", "null", "Sec-Fetch-Site", ""},
		"nothing":       {"Origin", "", "Sec-Fetch-Site", ""},
		"another port":  {"Origin", origin + ":8443", "Sec-Fetch-Site", ""},
		"contradicting": {"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"},
	} {
		eve.post(action, form, headers...).want(403)
		if eve.cookie(mux.CookieSSO) != "" {
			t.Fatalf("%s: signed in", name)
		}
	}
	eve.post(action, form, "Origin", origin, "Sec-Fetch-Site", "").redirects(origin + "/login") // an old browser
}

// TestAttemptIsTheRequests: an attempt for one application is none for another.
func TestAttemptIsTheRequests(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.browser()
	_, form := b.get("/login?client_id=shop").form()
	form.Set("identifier", "ann@example.com")
	form.Set("password", right)
	b.post("/login?client_id=app", form).want(400)
	b.post("/login", form).want(400)
	form.Add("attempt", form.Get("attempt"))
	b.post("/login?client_id=shop", form).want(400) // which of the two?
	if b.cookie(mux.CookieSSO) != "" {
		t.Error("signed in")
	}
}

// TestTabs is F12: each tab reaches its own target.
func TestTabs(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user("ann@example.com"), w.user("bob@example.com")
	b := w.browser()
	one, two, three := b.get("/login?client_id=shop&state=1"), b.get("/login?client_id=shop&state=2"), b.get("/login?client_id=shop&state=3")
	b.answer(two, "ann@example.com", right).redirects(origin + "/oauth2/authorize?client_id=shop&state=2")
	session := b.cookie(mux.CookieSSO)
	b.answer(one, "ann@example.com", right).redirects(origin + "/oauth2/authorize?client_id=shop&state=1")
	if b.cookie(mux.CookieSSO) != session {
		t.Error("the other tab's session was replaced")
	}
	// Somebody else does not go on as Ann.
	res := b.answer(three, "bob@example.com", right).want(400, `value="bob@example.com"`)
	b.answer(res, "bob@example.com", right).redirects(origin + "/oauth2/authorize?client_id=shop&state=3")
	if got := w.all(b.cookie(mux.CookieSSO)); !slices.Equal(got, []pool.UserID{bob.Sub, ann.Sub}) {
		t.Errorf("signed in as %v", got)
	}
}

// A sixth account ends the one that was used longest ago. If that cannot be
// done now, nobody is signed in.
func TestASessionInUseIsNoSuccess(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for i := range 5 {
		name := fmt.Sprintf("p%d@example.com", i)
		w.user(name)
		b.add(name)
	}
	six := w.user("six@example.com")
	fresh := "/login?" + request + "&gh_fresh=" + strconv.FormatInt(w.clock.now().Add(time.Second).UnixMilli(), 10)
	w.families.inUse.Store(true)
	b.answer(b.get(fresh), "six@example.com", right).want(503)
	if slices.Contains(b.subs(), six.Sub) {
		t.Error("signed in all the same")
	}
	w.families.inUse.Store(false)
	b.answer(b.get(fresh), "six@example.com", right).want(303)
	if got := b.subs(); len(got) != 5 || got[0] != six.Sub {
		t.Errorf("signed in as %v", got)
	}
}

func TestBusy(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.browser()
	res := b.get("/login?" + request)
	w.passwords.full.Store(true)
	res = b.answer(res, "ann@example.com", right).want(503, `value="ann@example.com"`)
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.passwords.full.Store(false)
	b.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + request)
}

func TestQueriesAreCarriedButNotBelieved(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	for query, target := range map[string]string{
		"client_id=shop&redirect_uri=https://evil.example/":               " https:",
		"client_id=shop&redirect_uri=https://shop.example.com/callback/x": " https:",
		"client_id=shop&redirect_uri=https://shop.example.com/callback":   " https:",
		"client_id=shop":               " https:",
		"client_id=shop&client_id=app": " https:",
		"client_id=closed":             " https:",
		"client_id=nobody&redirect_uri=https://evil.example": " https:",
		"client_id=app": " https:",
		"client_id=app&redirect_uri=com.example.app:/back":  " https: com.example.app:",
		"client_id=app&redirect_uri=http://[::1]:7777/back": " https: http:",
		"redirect_uri=https://evil.example":                 " https:",
		"client_id=shop&x=%zz":                              " https:",
		`client_id=shop&x="><script>`:                       " https:",
		"client_id=shop&x=\xc3\xa9|^`\\{}[]#?":              " https:",
		"client_id=sh%6fp&x=%":                              " https:",
		"%":                                                 " https:",
	} {
		b := w.browser()
		r := httptest.NewRequest(http.MethodGet, origin+"/login", nil)
		r.URL.RawQuery = query
		r = r.WithContext(mux.WithClient(t.Context(), mux.Client{OrigURI: "/login?" + query}))
		res := b.send(r).want(200)
		if got := res.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self'"+target+"; ") {
			t.Errorf("%s: policy %q", query, got)
		}
		if strings.Contains(res.body, "<script>\"") || strings.Contains(res.body, "Closed") {
			t.Errorf("%s: shown", query)
		}
		done := b.answer(res, "ann@example.com", right)
		want := origin + "/login"
		if strings.Contains(query, "client_id") {
			want = origin + "/oauth2/authorize?"
		}
		if to := done.Header.Get("Location"); !strings.HasPrefix(to, want) {
			t.Errorf("%s: leads to %q", query, to)
		} else if u, err := url.Parse(to); err != nil || u.Host != "login.example.com" || u.Fragment != "" {
			t.Errorf("%s: leads to %q", query, to)
		}
	}
	b := w.browser()
	b.get("/login?client_id=shop&x=" + strings.Repeat("x", 8<<10)).want(400)
}

func TestHostileForms(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	for name, change := range map[string]func(url.Values){
		"nothing":           func(f url.Values) { clear(f) },
		"no attempt":        func(f url.Values) { f.Del("attempt") },
		"two identifiers":   func(f url.Values) { f.Add("identifier", "bob@example.com") },
		"two passwords":     func(f url.Values) { f.Add("password", right) },
		"long identifier":   func(f url.Values) { f.Set("identifier", strings.Repeat("a", 30000)) },
		"long password":     func(f url.Values) { f.Set("password", strings.Repeat("a", 60000)) },
		"NUL":               func(f url.Values) { f.Set("password", right+"\x00") },
		"not UTF-8":         func(f url.Values) { f.Set("identifier", "\xff") },
		"template":          func(f url.Values) { f.Set("identifier", "{{.Style}}{http.request.host}") },
		"HTML":              func(f url.Values) { f.Set("identifier", `"><script>alert(1)</script>`) },
		"password as array": func(f url.Values) { f.Del("password"); f.Set("password[]", right) },
	} {
		b := w.browser()
		action, form := b.get("/login").form()
		form.Set("identifier", "ann@example.com")
		form.Set("password", right)
		change(form)
		res := b.post(action, form)
		if res.StatusCode != 400 && res.StatusCode != 403 {
			t.Errorf("%s: %s", name, res.Status)
		}
		if b.cookie(mux.CookieSSO) != "" || strings.Contains(res.body, "<script>alert") {
			t.Errorf("%s: taken\n%s", name, res.body)
		}
	}
}

func TestErrorPages(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	b.get("/nothing").want(404)
	b.post("/login", url.Values{}, "Content-Type", "application/json").want(400)
	for err, words := range map[error]string{
		fault.New(fault.InvalidClient, "redirect_uri is not registered"): "redirect_uri is not registered",
		fault.New(fault.Internal, "a secret"):                            "",
		fault.New(fault.Unavailable, "the store is away"):                "",
	} {
		m := mux.New(mux.Options{ErrorPage: signin.ErrorPage(renderer(t), "Example", "")})
		m.Page("GET /x", func(http.ResponseWriter, *http.Request) error { return err })
		rec := httptest.NewRecorder()
		m.ServeHTTP(rec, httptest.NewRequest(http.MethodGet, origin+"/x", nil))
		if body := rec.Body.String(); rec.Code != mux.StatusOf(err) && rec.Code != 400 || !strings.Contains(body, words) || strings.Contains(body, "a secret") {
			t.Errorf("%v: %d\n%s", err, rec.Code, body)
		}
	}
}

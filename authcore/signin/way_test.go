package signin_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/signin"
)

const another = "another good passphrase"

// mustChange creates somebody whose password an operator has chosen.
func (w *world) mustChange(identifier string) *pool.User {
	w.t.Helper()
	u, err := w.accounts.Create(w.t.Context(), operator, w.pool, account.NewUser{Identifier: identifier, Password: right, MustChange: true})
	must(w.t, err)
	return u
}

func TestAPasswordThatMustBeChanged(t *testing.T) {
	w := newWorld(t)
	ann := w.mustChange("ann@example.com")
	b := w.browser()
	asked := "/login?" + request + "&ui_locales=de"
	b.answer(b.get(asked), "ann@example.com", "wrong password").want(403)
	res := b.answer(b.get(asked), "ann@example.com", right).want(200, "ann@example.com", `autocomplete="new-password"`, `lang="de"`)
	if b.cookie(mux.CookieSSO) != "" {
		t.Fatal("signed in with the operator's password")
	}
	if got := res.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' https:;") {
		t.Errorf("policy %q", got)
	}
	change := func(from *response, word string) *response {
		action, form := from.form()
		if action != asked {
			t.Fatalf("leads to %s", action)
		}
		form.Set("password", word)
		return b.post(action, form)
	}
	for word, problem := range map[string]string{"short": "8", right: "", "password123": ""} {
		if again := change(res, word).want(400, `autocomplete="new-password"`, "ann@example.com", `role="alert"`); !strings.Contains(again.body, problem) {
			t.Errorf("%s: %s", word, again.body)
		}
	}
	w.passwords.full.Store(true)
	res = change(res, another).want(503, `autocomplete="new-password"`, "ann@example.com")
	w.passwords.full.Store(false)
	change(res, another).redirects(origin + "/oauth2/authorize?" + request + "&ui_locales=de")
	if got := b.subs(); !slices.Equal(got, []pool.UserID{ann.Sub}) {
		t.Fatalf("signed in as %v", got)
	}
	// The page is still there in another tab, or the button was pressed twice.
	change(res, "a third good one").redirects(origin + "/oauth2/authorize?" + request + "&ui_locales=de")
	stranger := w.browser()
	stranger.get("/login")
	action, form := res.form()
	form.Set("password", "a third good one")
	stranger.post(action, form).want(400, `value="ann@example.com"`, `name="password"`)
	stranger.answer(stranger.get("/login"), "ann@example.com", right).want(403)
	stranger.answer(stranger.get("/login"), "ann@example.com", another).redirects(origin + "/login")
}

func TestAPasswordChangeThatLayOpenForTooLong(t *testing.T) {
	w := newWorld(t)
	w.mustChange("ann@example.com")
	b := w.browser()
	action, form := b.answer(b.get("/login?"+request), "ann@example.com", right).want(200).form()
	w.clock.move(11 * time.Minute)
	form.Set("password", another)
	res := b.post(action, form).want(400, `value="ann@example.com"`, `autocomplete="current-password"`)
	res = b.answer(res, "ann@example.com", right).want(200, `autocomplete="new-password"`)
	b.answer(res, "", another).redirects(origin + "/oauth2/authorize?" + request)
}

func TestADeviceIsRemembered(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	w.mustChange("bob@example.com")
	b := w.browser()
	b.answer(b.get("/login"), "ann@example.com", "wrong password").want(403)
	if b.cookie(mux.CookieDevice) != "" {
		t.Error("a wrong password makes a device known")
	}
	res := b.answer(b.get("/login"), "ann@example.com", right)
	first := b.cookie(mux.CookieDevice)
	for _, c := range res.Cookies() {
		if c.Name == b.cookies.Name(mux.CookieDevice) && (c.MaxAge != int(flow.DeviceLife/time.Second) || !c.HttpOnly || !c.Secure || c.SameSite != http.SameSiteLaxMode) {
			t.Errorf("%+v", c)
		}
	}
	if first == "" {
		t.Fatal("no cookie")
	}
	b.get("/logout?ticket=x")
	action, form := b.get("/logout").form()
	b.post(action, form).want(200)
	if b.cookie(mux.CookieDevice) != first {
		t.Error("signing out makes the device unknown")
	}
	res = b.answer(b.get("/login"), "bob@example.com", right).want(200)
	b.answer(res, "", another).want(303)
	if got := b.cookie(mux.CookieDevice); got == "" || got == first {
		t.Error("the one whose password was changed is not known here")
	}
	// Strangers lock the account for themselves, not for the known device.
	for i := range 100 {
		stranger := w.browser()
		stranger.address = "203.0.113." + strconv.Itoa(i/5) // an address alone is slowed down
		stranger.fail("ann@example.com")
	}
	unknown := w.browser()
	unknown.address = "203.0.113.77"
	unknown.answer(unknown.get("/login"), "ann@example.com", right).want(403)
	b.answer(b.get("/login?"+request+"&gh_fresh=99999999999999"), "ann@example.com", right).want(303)
}

func TestASessionSaysWhereItBegan(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.browser()
	b.address = "198.51.100.4"
	action, form := b.get("/login").form()
	form.Set("identifier", "ann@example.com")
	form.Set("password", right)
	b.post(action, form, "User-Agent", "Mozilla/5.0 "+strings.Repeat("x", 500)).want(303)
	s := b.sessionsOf()[0].Session
	if s.Address != "198.51.100.4" || len(s.Agent) != 256 || !strings.HasPrefix(s.Agent, "Mozilla/5.0 xx") {
		t.Errorf("%q %q", s.Address, s.Agent)
	}
}

// TestLanguagesStay: ui_locales holds on every page of the way, errors too.
func TestLanguagesStay(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	const german = `lang="de"`
	asked := "/login?" + request + "&ui_locales=de"
	b := w.browser()
	res := b.get(asked).want(200, german)
	res = b.answer(res, "ann@example.com", "wrong password").want(403, german)
	w.passwords.full.Store(true)
	res = b.answer(res, "ann@example.com", right).want(503, german)
	w.passwords.full.Store(false)
	w.clock.move(11 * time.Minute)
	res = b.answer(res, "ann@example.com", right).want(400, german)
	w.browser().answer(res, "ann@example.com", right).want(400, german) // the page about cookies
	action, form := res.form()
	b.post(action, form, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").want(403, german)
	b.post(action, form, "Content-Type", "text/plain").want(400, german)
	b.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + request + "&ui_locales=de")
	res = b.get("/select?"+request+"&ui_locales=de").want(200, german)
	action, _ = res.form()
	b.post(action, url.Values{"account": {"x"}}).want(400, german)
	b.get("/logout?client_id=nobody&ui_locales=de").want(400, german)
	res = b.get("/logout?ui_locales=de").want(200, german)
	action, form = res.form()
	b.post(action, url.Values{}).want(400, german)
	b.post(action, form).want(200, german)
	b.get("/logout?ui_locales=fr+de", "Accept-Language", "en").want(200, german)
	b.get("/login", "Accept-Language", "de-AT,en;q=0.5").want(200, german)

	u, err := w.accounts.Create(t.Context(), operator, w.pool, account.NewUser{Identifier: "bob@example.com"})
	must(t, err)
	link, err := w.accounts.Invite(t.Context(), operator, w.pool, u.Sub)
	must(t, err)
	res = b.get("/signup?link="+link+"&ui_locales=de").want(200, german)
	b.answer(res, "", "short").want(400, german)
}

// TestALoopIsExplained: with a link on and one to sign out.
func TestALoopIsExplained(t *testing.T) {
	m := mux.New(mux.Options{Prefix: "/_auth", ErrorPage: signin.ErrorPage(renderer(t), "Example", "/_auth")})
	m.Page("GET /x", func(http.ResponseWriter, *http.Request) error {
		return fault.Wrap(fault.Invalid, flow.ErrLoop, "round and round")
	})
	m.Page("GET /y", func(http.ResponseWriter, *http.Request) error { return fault.New(fault.Forbidden, "not you") })
	m.Page("POST /z", func(http.ResponseWriter, *http.Request) error { return nil })
	send := func(method, target string) *response {
		rec := httptest.NewRecorder()
		m.ServeHTTP(rec, httptest.NewRequest(method, origin+target, nil))
		return &response{Response: rec.Result(), t: t, body: rec.Body.String()}
	}
	loop := send("GET", "/_auth/x").want(400, `href="/_auth/login"`, `href="/_auth/logout"`)
	if damaged := send("GET", "/_auth/nothing"); strings.Contains(loop.body, "404") || damaged.body == loop.body {
		t.Error("a loop looks like something else")
	}
	send("GET", "/_auth/y").want(403, `href="/_auth/logout"`)
	send("POST", "/_auth/z?a=b&x=%22").want(403, `href="/_auth/z?a=b&amp;x=%22"`)
}

// TestAlwaysAWayOn: whatever a browser brings to a page, it leads on to a form
// that works, and no redirect leads to where it came from.
func TestAlwaysAWayOn(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	ann := w.signedInAs("ann@example.com").cookie(mux.CookieSSO)
	for what, cookie := range map[string]string{
		"none": "", "garbage": "x", "dots": "....", "ended": endedSession(w), "unknown": strings.Repeat("A", 44),
		"ended and unknown": endedSession(w) + "." + strings.Repeat("A", 44), "long": strings.Repeat("a.", 4000),
	} {
		for _, start := range []string{"/login", "/login?" + request, "/login?next=account", "/select", "/select?" + request, "/login?gh_fresh=x", "/login?gh_fresh=-1"} {
			b := w.browser()
			if cookie != "" {
				b.jar[b.cookies.Name(mux.CookieSSO)] = cookie
			}
			res := b.follow(start).want(200, `name="password"`)
			b.answer(res, "ann@example.com", right).want(303)
			if len(b.subs()) != 1 || strings.Contains(b.cookie(mux.CookieSSO), ".") {
				t.Errorf("%s at %s: %q", what, start, b.cookie(mux.CookieSSO))
			}
			// The back button brings the form again; what is typed there leads on.
			b.answer(res, "ann@example.com", right).want(303)
			b.answer(res, "ann@example.com", "wrong now").want(303)
		}
	}
	for _, start := range []string{"/login", "/login?next=account", "/select", "/select?" + request} {
		b := w.browser()
		b.jar[b.cookies.Name(mux.CookieSSO)] = ann + "." + strings.Repeat("A", 44) + ".x"
		if res := b.follow(start); res.StatusCode == 200 && !strings.Contains(res.body, "ann@example.com") {
			t.Errorf("%s: %s", start, res.body)
		}
	}
}

// TestOddRequests: what a browser, or what sits before it, says of a request
// never ends the way.
func TestOddRequests(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.browser()
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "", "Sec-Fetch-Mode", "", "Sec-Fetch-Dest", ""},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"},
		{"Sec-Fetch-Dest", "iframe"},
		{"Sec-Fetch-Site", "bogus", "Sec-Fetch-Mode", "bogus", "Sec-Fetch-Dest", "bogus"},
		{"Sec-Purpose", "prefetch"},
	} {
		action, form := b.get("/login?"+request, headers...).want(200).form()
		form.Set("identifier", "ann@example.com")
		form.Set("password", right)
		// Without a proof of where the form was, the page leads to the form again.
		res := b.post(action, form, "Origin", "", "Sec-Fetch-Site", "").want(403)
		res = b.get(res.link("/login"), headers...).want(200)
		b.answer(res, "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + request)
		action, form = b.get("/logout", headers...).want(200, "ann@example.com").form()
		b.post(action, form).want(200)
	}
}

// endedSession is the cookie of somebody who has signed out.
func endedSession(w *world) string {
	b := w.signedInAs("ann@example.com")
	cookie := b.cookie(mux.CookieSSO)
	must(w.t, w.sessions.End(w.t.Context(), w.pool, cookie))
	return cookie
}

// follow follows redirects among the pages.
func (b *browser) follow(target string) *response {
	b.t.Helper()
	for range 4 {
		res := b.get(target)
		if res.StatusCode != http.StatusFound {
			return res
		}
		to, err := res.Location()
		must(b.t, err)
		if to.Path != "/login" && to.Path != "/select" {
			return res
		}
		target = to.RequestURI()
	}
	b.t.Fatalf("no end of redirects, last to %s", target)
	return nil
}

// TestCookiesRefused: the form shows; sending it explains, with a link to try again.
func TestCookiesRefused(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	for range 3 {
		bare := w.browser()
		res := bare.get("/login?"+request).want(200, `name="password"`)
		clear(bare.jar)
		res = bare.answer(res, "ann@example.com", right).want(400)
		if to := res.link("/login"); to != "/login?"+request {
			t.Errorf("leads to %s", to)
		}
		if len(res.Cookies()) != 0 {
			t.Error("an answer that was not taken changes cookies")
		}
	}
	bare := w.browser()
	bare.get("/select?" + request).redirects(origin + "/login?" + request)
	bare.post("/select?"+request, url.Values{"account": {"x"}}).redirects(origin + "/login?" + request)
	bare.get("/logout").want(200, `href="/login"`)
}

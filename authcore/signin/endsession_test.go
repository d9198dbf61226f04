package signin_test

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/signin"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// tokens are what the shop gets in a session.
func (w *world) tokens(live *session.Live) *token.Issued {
	w.t.Helper()
	must(w.t, w.ring.Ensure(w.t.Context(), w.pool.ID))
	const verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	shop := w.pool.Clients["shop"]
	sum := sha256.Sum256([]byte(verifier))
	code, err := w.families.IssueCode(w.t.Context(), w.pool, token.CodeOrder{
		Client: shop, RedirectURI: shop.RedirectURIs[0], Scopes: []string{"openid"},
		Challenge: base64.RawURLEncoding.EncodeToString(sum[:]), Session: live.Session, SessionName: live.Name,
	})
	must(w.t, err)
	issued, err := w.families.RedeemCode(w.t.Context(), w.pool, token.Redemption{
		Client: shop, Code: code, RedirectURI: shop.RedirectURIs[0], Verifier: verifier,
	})
	must(w.t, err)
	return issued
}

// logoutOf is a logout request.
func logoutOf(pairs ...string) string {
	query := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		query.Set(pairs[i], pairs[i+1])
	}
	return "/logout?" + query.Encode()
}

// TestLogoutWithAHint ends the hint's account and no other, at once.
func TestLogoutWithAHint(t *testing.T) {
	for name, after := range map[string]time.Duration{"good": 0, "expired": 3 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			_, bob := w.user("ann@example.com"), w.user("bob@example.com")
			b := w.signedInAs("ann@example.com", "bob@example.com")
			ann := b.sessionsOf()[1]
			issued := w.tokens(ann)
			w.clock.move(after)
			b.get(logoutOf("id_token_hint", issued.ID, "post_logout_redirect_uri", bye, "state", "a b&c")).redirects(bye + "?state=a+b%26c")
			if got := b.subs(); !slices.Equal(got, []pool.UserID{bob.Sub}) || w.live(ann.ID) != "" {
				t.Errorf("signed in as %v", got)
			}
			if _, err := w.families.Refresh(t.Context(), w.pool, token.RefreshOrder{Client: w.pool.Clients["shop"], Token: issued.Refresh}); fault.CodeOf(err) != fault.InvalidGrant {
				t.Errorf("the family outlives its session: %v", err)
			}
			// Once more, and after everybody has gone: the same.
			b.get(logoutOf("id_token_hint", issued.ID, "post_logout_redirect_uri", bye)).redirects(bye)
			if got := b.subs(); !slices.Equal(got, []pool.UserID{bob.Sub}) {
				t.Errorf("signed in as %v", got)
			}
			w.browser().get(logoutOf("id_token_hint", issued.ID, "post_logout_redirect_uri", bye)).redirects(bye)
		})
	}
}

func TestLogoutWithAHintAlone(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	b.jar[b.cookies.Name(mux.CookieSite)] = repo.NewHandle(0)
	id := w.tokens(b.sessionsOf()[0]).ID
	b.get(logoutOf("id_token_hint", id, "client_id", "shop", "state", "x")).want(200, `href="/login"`)
	if len(b.subs()) != 0 || b.cookie(mux.CookieSSO) != "" || b.cookie(mux.CookieSite) != "" {
		t.Errorf("left: %v", b.jar)
	}
}

// TestTheWayBackToTheApplication: who is not sent anywhere finds a link to the
// application, at an address that it has registered.
func TestTheWayBackToTheApplication(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	back := w.pool.Clients["shop"].LogoutURIs[0]
	res := b.get(logoutOf("id_token_hint", w.tokens(b.sessionsOf()[0]).ID)).want(200, "signed out")
	if res.link(back) != back {
		t.Errorf("no link to %s", back)
	}
	w.browser().get("/logout").want(200)
}

func TestLogoutKeepsTheAddressesOwnQuery(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	id := w.tokens(b.sessionsOf()[0]).ID
	b.get(logoutOf("id_token_hint", id, "post_logout_redirect_uri", bye+"?from=a%20b", "state", "é")).redirects(bye + "?from=a%20b&state=%C3%A9")
}

// TestLogoutByGETNeedsANavigation: what no person sees ends nothing.
func TestLogoutByGETNeedsANavigation(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	for _, request := range []string{
		logoutOf("id_token_hint", w.tokens(b.sessionsOf()[0]).ID, "post_logout_redirect_uri", bye),
		logoutOf("client_id", "shop", "logout_uri", bye),
	} {
		for name, headers := range map[string][]string{
			"frame":    {"Sec-Fetch-Dest", "iframe"},
			"image":    {"Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"},
			"script":   {"Sec-Fetch-Mode", "cors", "Sec-Fetch-Dest", "empty"},
			"prefetch": {"Sec-Purpose", "prefetch;prerender"},
		} {
			b.get(request, headers...).want(200, "ann@example.com").form()
			if len(b.subs()) != 1 {
				t.Fatalf("%s: ended by %s", request, name)
			}
		}
		b.send(httptest.NewRequest(http.MethodHead, origin+request, nil)).want(200)
		if len(b.subs()) != 1 {
			t.Fatalf("%s: ended by HEAD", request)
		}
	}
}

// TestLogoutAsksWithoutAHint: a registered address alone is no proof that the
// person wants to go (RP-Initiated Logout 1.0, 2 and 6).
func TestLogoutAsksWithoutAHint(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	w.user("bob@example.com")
	b := w.signedInAs("ann@example.com", "bob@example.com")
	res := b.get(logoutOf("client_id", "shop", "post_logout_redirect_uri", bye, "state", "s", "ui_locales", "de")).
		want(200, "The Shop", "ann@example.com", "bob@example.com", `lang="de"`)
	if len(b.subs()) != 2 {
		t.Fatal("ended unasked")
	}
	action, form := res.form()
	b.post(action, url.Values{}).want(400, `lang="de"`).form()
	b.post(action, form).redirects(bye + "?state=s")
	if len(b.subs()) != 0 || b.cookie(mux.CookieSSO) != "" {
		t.Errorf("still signed in as %v", b.subs())
	}
	// Nobody is signed in any more: nothing to ask.
	b.get(logoutOf("client_id", "shop", "post_logout_redirect_uri", bye)).redirects(bye)
	b.get("/logout").want(200, `href="/login"`)
}

// TestAQuestionIsAboutWhoItNames: who signs in while it is open stays.
func TestAQuestionIsAboutWhoItNames(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	bob := w.user("bob@example.com")
	b := w.signedInAs("ann@example.com")
	action, form := b.get("/logout").want(200).form()
	b.add("bob@example.com")
	b.post(action, form).want(200)
	if got := b.subs(); !slices.Equal(got, []pool.UserID{bob.Sub}) {
		t.Errorf("signed in as %v", got)
	}
}

func TestLogoutHintNarrowsTheQuestion(t *testing.T) {
	w := newWorld(t)
	_, bob := w.user("ann@example.com"), w.user("bob@example.com")
	b := w.signedInAs("ann@example.com", "bob@example.com")
	res := b.get(logoutOf("client_id", "shop", "post_logout_redirect_uri", bye, "logout_hint", "ann@example.com")).want(200, "ann@example.com")
	if strings.Contains(res.body, "bob@example.com") {
		t.Error("the question is about somebody else too")
	}
	action, form := res.form()
	b.post(action, form).redirects(bye)
	if got := b.subs(); !slices.Equal(got, []pool.UserID{bob.Sub}) {
		t.Errorf("signed in as %v", got)
	}
	b.get(logoutOf("logout_hint", "nobody@example.com")).want(200, "bob@example.com")
}

// TestWrongLogoutRequests are refused or asked about; none redirects and none
// ends anything, and each page has a way on.
func TestWrongLogoutRequests(t *testing.T) {
	w := newWorld(t)
	w.pool.Clients["other"] = &pool.Client{ID: "other", Name: "Other", LogoutURIs: []string{"https://other.example.com/bye"}}
	w.pool.Clients["closed"].LogoutURIs = []string{"https://closed.example.com/bye"}
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	issued := w.tokens(b.sessionsOf()[0])
	const back = "post_logout_redirect_uri"
	for name, c := range map[string]struct {
		pairs  []string
		status int
	}{
		"foreign address":        {[]string{"id_token_hint", issued.ID, back, "https://evil.example/"}, 400},
		"another client's":       {[]string{"id_token_hint", issued.ID, back, "https://other.example.com/bye"}, 400},
		"a query more":           {[]string{"id_token_hint", issued.ID, back, bye + "?x=1"}, 400},
		"a redirect URI":         {[]string{"id_token_hint", issued.ID, back, "https://shop.example.com/callback"}, 400},
		"hint of another client": {[]string{"id_token_hint", issued.ID, "client_id", "other", back, "https://other.example.com/bye"}, 400},
		"unknown client":         {[]string{"client_id", "nobody", back, bye}, 400},
		"disabled client":        {[]string{"client_id", "closed", back, "https://closed.example.com/bye"}, 400},
		"foreign logout_uri":     {[]string{"client_id", "shop", "logout_uri", "https://evil.example/"}, 400},
		"foreign redirect_uri":   {[]string{"client_id", "shop", "redirect_uri", "https://evil.example/", "response_type", "code"}, 400},
		"damaged hint":           {[]string{"id_token_hint", issued.ID + "x", back, bye}, 200},
		"damaged hint, client":   {[]string{"id_token_hint", issued.ID[1:], "client_id", "shop", back, bye}, 200},
		"an access token":        {[]string{"id_token_hint", issued.Access, "client_id", "shop", back, bye}, 200},
		"no client":              {[]string{back, bye}, 200},
		"no client, logout_uri":  {[]string{"logout_uri", bye}, 200},
		"no more than a state":   {[]string{"state", "x"}, 200},
	} {
		res := b.get(logoutOf(c.pairs...)).want(c.status)
		if len(b.subs()) != 1 {
			t.Fatalf("%s: ended", name)
		}
		if c.status == 400 {
			res.link("/logout")
			continue
		}
		// The person may sign out all the same, and goes nowhere else.
		action, form := res.form()
		if strings.Contains(action, "bye") || form.Get("ticket") == "" {
			t.Errorf("%s: %s", name, action)
		}
	}
	for _, twice := range []string{"client_id=shop&client_id=other", back + "=a&" + back + "=b", "id_token_hint=a&id_token_hint=b"} {
		b.get("/logout?" + twice).want(400)
	}
	b.get("/logout?x=" + strings.Repeat("x", 8<<10)).want(400)
	action, form := b.get(logoutOf("id_token_hint", issued.ID+"x", back, bye)).form()
	b.post(action, form).want(200, `href="/login"`)
}

// TestPostedLogoutRequests: a form of another site is carried to a GET, which
// has the cookies; the POST itself acts on none.
func TestPostedLogoutRequests(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	form := url.Values{"id_token_hint": {w.tokens(b.sessionsOf()[0]).ID}, "post_logout_redirect_uri": {bye}, "state": {"s"}}
	foreign := []string{"Origin", "https://shop.example.com", "Sec-Fetch-Site", "cross-site"}
	res := b.post("/logout?ui_locales=de", form, foreign...).want(303)
	to, err := res.Location()
	must(t, err)
	if strings.Contains(to.RawQuery, form.Get("id_token_hint")) {
		t.Error("the ID token stands in an address")
	}
	if len(b.subs()) != 1 || to.Path != "/logout" || to.Query().Get("ui_locales") != "de" {
		t.Fatalf("%s, signed in as %v", to, b.subs())
	}
	b.get(to.RequestURI(), "Sec-Fetch-Site", "cross-site").redirects(bye + "?state=s")
	if len(b.subs()) != 0 {
		t.Error("not signed out")
	}
	b.post("/logout", url.Values{"state": {strings.Repeat("x", 9000)}}, foreign...).want(400)
	b.post("/logout", form, append(foreign, "Content-Type", "application/json")...).want(400)
	b.post("/logout?state=1", form, foreign...).want(400)

	// An application on the login host's own origin needs no detour.
	b = w.signedInAs("ann@example.com")
	form.Set("id_token_hint", w.tokens(b.sessionsOf()[0]).ID)
	b.post("/logout", form).redirects(bye + "?state=s")
	if len(b.subs()) != 0 {
		t.Error("not signed out")
	}
}

// TestCognitosLogout: a registered address of a known client is enough.
func TestCognitosLogout(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	w.user("bob@example.com")
	b := w.signedInAs("ann@example.com", "bob@example.com")
	sessions := b.sessionsOf()
	b.get(logoutOf("client_id", "shop", "logout_uri", bye)).redirects(bye)
	if len(b.subs()) != 0 || w.live(sessions[0].ID) != "" || w.live(sessions[1].ID) != "" {
		t.Error("not everybody is signed out")
	}
	b.get(logoutOf("client_id", "shop", "logout_uri", bye)).redirects(bye)

	b = w.signedInAs("ann@example.com")
	res := b.get("/logout?" + request).want(302)
	to, err := res.Location()
	must(t, err)
	want, err := url.ParseQuery(request)
	must(t, err)
	if len(b.subs()) != 0 || to.Path != "/login" || to.RawQuery != want.Encode() {
		t.Errorf("%s, signed in as %v", to, b.subs())
	}
	b.answer(b.get(to.RequestURI()), "ann@example.com", right).redirects(origin + "/oauth2/authorize?" + want.Encode())
}

// TestATicketNamesOneSession: the sign-out of one site's session leaves the
// browser's other accounts alone.
func TestATicketNamesOneSession(t *testing.T) {
	w := newWorld(t)
	_, bob := w.user("ann@example.com"), w.user("bob@example.com")
	b := w.signedInAs("ann@example.com", "bob@example.com")
	ticket, err := w.flow.SealLogoutTicket(t.Context(), w.pool, b.sessionsOf()[1].Name)
	must(t, err)
	b.get("/logout?ticket=" + ticket).want(200)
	if got := b.subs(); !slices.Equal(got, []pool.UserID{bob.Sub}) {
		t.Errorf("signed in as %v", got)
	}
	b.get("/logout?ticket="+ticket).want(200, "bob@example.com").form() // over: it asks
}

func TestLogoutOfASessionInUse(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	w.tokens(b.sessionsOf()[0])
	action, form := b.get("/logout").form()
	w.families.inUse.Store(true)
	b.post(action, form).want(503)
	w.families.inUse.Store(false)
	b.post(action, form).want(200)
}

// TestLogoutBelowAPrefix: where login host and application share an origin.
func TestLogoutBelowAPrefix(t *testing.T) {
	w := newWorldAt(t, signin.Site{Origin: origin, Prefix: "/_auth", Home: origin + "/"})
	w.user("ann@example.com")
	b := w.browser()
	b.answer(b.get("/_auth/login"), "ann@example.com", right).redirects(origin + "/")
	res := b.get("/_auth/logout?client_id=shop&post_logout_redirect_uri="+url.QueryEscape("https://evil.example")).want(400, `href="/_auth/logout"`)
	action, form := b.get(res.link("/_auth/logout")).form()
	b.post(action, form).want(200, `href="`+origin+`/"`)
}

package signin_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// TestSignOut is F06: the cookie is dead afterwards, wherever it is shown.
func TestSignOut(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b := w.signedIn("ann@example.com")
	session := b.cookie(mux.CookieSSO)
	res := b.get("/logout").want(200, "ann@example.com")
	if w.live(session) != u.Sub {
		t.Fatal("a GET has ended the session")
	}
	action, form := res.form()
	b.post(action, url.Values{}).want(400)
	b.post(action, url.Values{"ticket": {"x"}}).want(400)
	b.post(action, form, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").want(303)
	if w.live(session) != u.Sub || b.cookie(mux.CookieSSO) != session {
		t.Fatal("ended unasked")
	}
	b.jar[b.cookies.Name(mux.CookieSite)] = repo.NewHandle(0)
	b.post(action, form).want(200, `href="/login"`)
	if w.live(session) != "" {
		t.Error("the session is alive")
	}
	if b.cookie(mux.CookieSSO) != "" || b.cookie(mux.CookieSite) != "" {
		t.Errorf("cookies are left: %v", b.jar)
	}
	stolen := w.browser()
	stolen.jar[b.cookies.Name(mux.CookieSSO)] = session
	stolen.get("/login").want(200, `name="password"`)
	b.post(action, form).want(200) // once more does no harm
	b.get("/logout").want(200)
}

func TestLogoutTicket(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	w.user("eve@example.com")
	ticketOf := func(b *browser) string {
		live, err := w.sessions.Find(t.Context(), w.pool, b.cookie(mux.CookieSSO))
		must(t, err)
		ticket, err := w.flow.SealLogoutTicket(t.Context(), w.pool, live.Name)
		must(t, err)
		return ticket
	}
	b := w.signedIn("ann@example.com")
	session := b.cookie(mux.CookieSSO)
	own := ticketOf(b)
	for name, res := range map[string]*response{
		"another session's": b.get("/logout?ticket=" + ticketOf(w.signedIn("eve@example.com"))),
		"damaged":           b.get("/logout?ticket=x" + own),
		"in a frame":        b.get("/logout?ticket="+own, "Sec-Fetch-Dest", "iframe"),
		"as an image":       b.get("/logout?ticket="+own, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Dest", "image"),
	} {
		res.want(200)
		if _, form := res.form(); form.Get("ticket") == "" || w.live(session) == "" {
			t.Errorf("%s: ended", name)
		}
	}
	w.clock.move(5 * time.Minute)
	b.get("/logout?ticket=" + own).want(200).form()
	own = ticketOf(b)
	b.get("/logout?ticket=" + own).want(200)
	if w.live(session) != "" || b.cookie(mux.CookieSSO) != "" {
		t.Error("a good ticket did not end the session")
	}
	b.get("/logout?ticket=" + own).want(200) // reloading the page
}

func TestPasswordChangeSignsOut(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b := w.signedIn("ann@example.com")
	_, err := w.accounts.SetPassword(t.Context(), operator, w.pool, u.Sub, "another good one")
	must(t, err)
	b.get("/login").want(200, `name="password"`)
	b.answer(b.get("/login"), "ann@example.com", right).want(403)
	b.answer(b.get("/login"), "ann@example.com", "another good one").redirects(origin + "/login")
}

package signin_test

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/loginui"
)

func renderer(t *testing.T) page.Renderer {
	t.Helper()
	ui, err := loginui.New(loginui.Options{})
	must(t, err)
	return ui
}

func (w *world) firstLink() string {
	w.t.Helper()
	token, err := w.accounts.FirstLink(w.t.Context(), w.pool)
	must(w.t, err)
	return "/signup?link=" + token
}

func TestFirstUser(t *testing.T) {
	w := newWorld(t)
	link := w.firstLink()
	b := w.browser()
	w.browser().get(link).want(200) // a preview of the link spends nothing
	res := b.get(link).want(200, `name="identifier"`, `autocomplete="new-password"`)
	res = b.answer(res, "ann@example.com", "short").want(400, `value="ann@example.com"`, `aria-invalid`)
	res = b.answer(res, "ann@@example", right).want(400, `value="ann@@example"`)
	res = b.answer(res, "ann@example.com", "password123").want(400)
	w.passwords.full.Store(true)
	res = b.answer(res, "ann@example.com", right).want(503)
	w.passwords.full.Store(false)
	b.answer(res, "ann@example.com", right).redirects(origin + "/login")
	u, err := w.accounts.Find(t.Context(), w.pool, "ann@example.com")
	must(t, err)
	if !u.InGroup(pool.OperatorsGroup) || w.live(b.cookie(mux.CookieSSO)) != u.Sub || len(b.cookie(mux.CookiePre)) != 43 {
		t.Errorf("%+v, signed in as %q", u, w.live(b.cookie(mux.CookieSSO)))
	}
	b.get("/login").want(200, "ann@example.com")
	w.browser().get(link).want(404, `href="/login"`)
	other := w.browser()
	other.answer(res, "eve@example.com", right).want(404)
	if other.cookie(mux.CookieSSO) != "" {
		t.Error("the link was good twice")
	}
}

func TestFirstUserRace(t *testing.T) {
	w := newWorld(t)
	res := w.browser().get(w.firstLink())
	var all sync.WaitGroup
	rivals := make([]*browser, 8)
	for i := range rivals {
		rivals[i] = w.browser()
		all.Go(func() {
			got := rivals[i].answer(res, string(rune('a'+i))+"@example.com", right)
			if got.StatusCode != http.StatusSeeOther && got.StatusCode != 404 && got.StatusCode != 409 {
				t.Errorf("%s\n%s", got.Status, got.body)
			}
		})
	}
	all.Wait()
	won := 0
	for _, b := range rivals {
		if b.cookie(mux.CookieSSO) != "" {
			won++
		}
	}
	users, _, err := w.accounts.Users(t.Context(), w.pool, "", 0)
	must(t, err)
	if won != 1 || len(users) != 1 {
		t.Errorf("%d won, %d users", won, len(users))
	}
}

func TestInvite(t *testing.T) {
	w := newWorld(t)
	u, err := w.accounts.Create(t.Context(), operator, w.pool, account.NewUser{Identifier: "ann@example.com"})
	must(t, err)
	token, err := w.accounts.Invite(t.Context(), operator, w.pool, u.Sub)
	must(t, err)
	eve := w.user("eve@example.com")
	b := w.signedIn("eve@example.com")
	old := b.cookie(mux.CookieSSO)
	b.post("/signup", map[string][]string{"link": {token}, "password": {right}}, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").want(403)
	res := b.get("/signup?link="+token).want(200, "ann@example.com")
	if strings.Contains(res.body, `name="identifier"`) {
		t.Error("the form asks who the person is")
	}
	b.answer(res, "ann@example.com", "ann@example.com").want(400)
	b.answer(res, "", right).redirects(origin + "/login")
	if got := w.all(b.cookie(mux.CookieSSO)); !slices.Equal(got, []pool.UserID{u.Sub, eve.Sub}) || b.cookie(mux.CookieSSO) == old {
		t.Errorf("signed in as %q", got)
	}
	w.browser().get("/signup?link=" + token).want(404)
	w.browser().answer(res, "", right).want(404)

	token, err = w.accounts.Invite(t.Context(), operator, w.pool, u.Sub)
	must(t, err)
	w.clock.move(24 * time.Hour)
	w.browser().get("/signup?link=" + token).want(404)
	for _, bad := range []string{"", "?link=", "?link=x", "?link=a&link=b"} {
		if got := w.browser().get("/signup" + bad).StatusCode; got != 404 && got != 400 {
			t.Errorf("%q: %d", bad, got)
		}
	}
}

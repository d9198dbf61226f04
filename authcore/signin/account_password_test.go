package signin_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

const newWord = "battery staple horse"

// changes fills in the form of the account's password.
func (b *browser) changes(current, word string) *response {
	b.t.Helper()
	return b.changesOn(b.get("/account/password"), current, word)
}

func (b *browser) changesOn(from *response, current, word string) *response {
	b.t.Helper()
	action, form := from.want(from.StatusCode, "Change password").form()
	form.Set("current_password", current)
	form.Set("password", word)
	return b.post(action, form)
}

func TestPasswordIsChanged(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b, other := w.signedIn("ann@example.com"), w.signedIn("ann@example.com")
	before := b.cookie(mux.CookieSSO)
	b.get("/account/password").want(http.StatusOK, "ann@example.com", `autocomplete="current-password"`, `autocomplete="new-password"`, `href="/account"`)
	b.changes(right, newWord).redirects(accountURL + "?done=password_changed")
	b.get("/account?done=password_changed").want(http.StatusOK, "Your password is changed.")

	after := b.cookie(mux.CookieSSO)
	if after == before || w.live(after) != u.Sub {
		t.Error("this browser has no session of its own now")
	}
	if w.live(before) != "" || w.live(other.cookie(mux.CookieSSO)) != "" {
		t.Error("earlier sessions stand")
	}
	if now := w.load(u.Sub); now.Epoch != u.Epoch+1 {
		t.Errorf("epoch %d", now.Epoch)
	}
	other.get("/account").redirects(origin + "/login?next=account")
	again := w.browser()
	again.answer(again.get("/login"), "ann@example.com", right).want(http.StatusForbidden)
	again.answer(again.get("/login"), "ann@example.com", newWord).redirects(origin + "/login")
}

func TestPasswordIsNotChanged(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b, other := w.signedIn("ann@example.com"), w.signedIn("ann@example.com")
	for _, c := range []struct {
		current, word string
		status        int
		says          string
	}{
		{"wrong", newWord, http.StatusForbidden, "The current password is not right."},
		{"", newWord, http.StatusForbidden, "The current password is not right."},
		{right, right, http.StatusBadRequest, "That is the password you already have."},
		{right, "short", http.StatusBadRequest, "at least 8 characters"},
		{right, "ann@example.com", http.StatusBadRequest, "must differ from the name"},
		{right, "", http.StatusBadRequest, ""},
	} {
		res := b.changes(c.current, c.word).want(c.status, c.says)
		for _, word := range []string{c.current, c.word} {
			if len(word) > 5 && word != "ann@example.com" && strings.Contains(res.body, word) {
				t.Errorf("the page repeats the password %q", word)
			}
		}
	}
	w.passwords.full.Store(true)
	if res := b.changes(right, newWord).want(http.StatusServiceUnavailable, "Wait a moment"); res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.passwords.full.Store(false)
	if now := w.load(u.Sub); now.Epoch != u.Epoch || now.Password.PHC != u.Password.PHC || w.live(other.cookie(mux.CookieSSO)) != u.Sub {
		t.Errorf("%+v", now)
	}
}

// TestCurrentPasswordIsGuessedAsRarelyAsAny: who finds a browser signed in
// cannot try out passwords there.
func TestCurrentPasswordIsGuessedAsRarelyAsAny(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b := w.signedIn("ann@example.com")
	for range 8 {
		b.changes("wrong", newWord).want(http.StatusForbidden)
	}
	b.changes(right, newWord).want(http.StatusForbidden, "The current password is not right.")
	w.clock.move(time.Hour)
	b.changes(right, newWord).redirects(accountURL + "?done=password_changed")
	if now := w.load(u.Sub); now.Epoch != u.Epoch+1 {
		t.Errorf("epoch %d", now.Epoch)
	}
}

func TestPasswordFormIsBound(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	w.user("eve@example.com")
	b, eve := w.signedIn("ann@example.com"), w.signedIn("eve@example.com")
	b.changesOn(eve.get("/account/password"), right, newWord).want(http.StatusBadRequest, "open for a while")
	old := b.get("/account/password")
	w.clock.move(6 * time.Minute)
	again := b.changesOn(old, right, newWord).want(http.StatusBadRequest, "open for a while")
	if now := w.load(u.Sub); now.Epoch != u.Epoch {
		t.Error("changed without a ticket")
	}
	b.changesOn(again, right, newWord).redirects(accountURL + "?done=password_changed")
	b.changesOn(again, newWord, right).want(http.StatusBadRequest, "open for a while") // of the session before

	must(t, w.accounts.Disable(t.Context(), operator, w.pool, u.Sub))
	b.changesOn(again, newWord, right).redirects(origin + "/login?next=account")
}

// TestTheDeviceStaysKnown: strangers who lock the account do not keep its owner
// out of the browser in which the password was changed.
func TestTheDeviceStaysKnown(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	b, other := w.signedIn("ann@example.com"), w.signedIn("ann@example.com")
	w.clock.move(time.Second)
	b.changes(right, newWord).redirects(accountURL + "?done=password_changed")
	for i := range 100 {
		stranger := w.browser()
		stranger.address = "203.0.113." + strconv.Itoa(i/4)
		stranger.answer(stranger.get("/login"), "ann@example.com", "wrong").want(http.StatusForbidden)
	}
	must(t, w.sessions.EndNamed(t.Context(), w.pool, u.Sub, b.name()))
	b.answer(b.get("/login"), "ann@example.com", newWord).redirects(origin + "/login")
	other.answer(other.get("/login"), "ann@example.com", newWord).want(http.StatusForbidden) // it knows the old password alone
}

package signin_test

import (
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

const accountURL = origin + "/account"

// forms returns the hidden values of each of the page's forms.
func (r *response) forms() []url.Values {
	var all []url.Values
	for _, part := range strings.Split(r.body, `<form method="post"`)[1:] {
		part, _, _ = strings.Cut(part, "</form>")
		hidden := url.Values{}
		for _, h := range hiddenForm.FindAllStringSubmatch(part, -1) {
			hidden.Add(unescape(h[1]), unescape(h[2]))
		}
		all = append(all, hidden)
	}
	return all
}

// formTo returns the form of a verb and, if it has one, its object.
func (r *response) formTo(verb, object string) url.Values {
	r.t.Helper()
	for _, f := range r.forms() {
		if f.Get(page.FieldVerb) == verb && (object == "" || f.Get(page.FieldSession) == object || f.Get(page.FieldConsent) == object) {
			return f
		}
	}
	r.t.Fatalf("no form to %s %s in\n%s", verb, object, r.body)
	return nil
}

// name returns the name of the browser's session.
func (b *browser) name() string {
	b.t.Helper()
	_, name, ok := repo.ParseHandle(b.cookie(mux.CookieSSO))
	if !ok {
		b.t.Fatal("no session")
	}
	return name
}

func (w *world) load(sub pool.UserID) *pool.User {
	w.t.Helper()
	u, err := w.repo.User(w.t.Context(), w.pool.ID, sub)
	must(w.t, err)
	return u
}

func (w *world) change(sub pool.UserID, change func(*pool.User)) {
	w.t.Helper()
	_, err := w.repo.UpdateUser(w.t.Context(), w.pool.ID, sub, func(u *pool.User) error { change(u); return nil })
	must(w.t, err)
}

const (
	firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
	iPhone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
)

// signedInWith is a browser that says what it is.
func (w *world) signedInWith(identifier, agent string) *browser {
	w.t.Helper()
	b := w.browser()
	action, form := b.get("/login").form()
	form.Set("identifier", identifier)
	form.Set("password", right)
	b.post(action, form, "User-Agent", agent).redirects(origin + "/login")
	return b
}

func TestAccountPageIsForWhoIsSignedIn(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	stranger := w.browser()
	for _, path := range []string{"/account", "/account/password"} {
		stranger.get(path).redirects(origin + "/login?next=account")
		stranger.post(path, url.Values{page.FieldVerb: {page.VerbEndSessions}}).redirects(origin + "/login?next=account")
	}
	stranger.answer(stranger.get("/login?next=account"), "ann@example.com", right).redirects(accountURL)
	stranger.get("/account").want(http.StatusOK, "Your account", "ann@example.com", `href="/account/password"`, `href="/logout"`)

	ticket := stranger.get("/account").formTo(page.VerbSaveProfile, "")
	ticket.Set("name", "Eve")
	must(t, w.accounts.Disable(t.Context(), operator, w.pool, u.Sub))
	stranger.post("/account", ticket).redirects(origin + "/login?next=account")
	stranger.get("/account").redirects(origin + "/login?next=account")
	if got := w.load(u.Sub); got.Name != "" {
		t.Errorf("%+v", got)
	}
}

func TestProfile(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	w.change(u.Sub, func(u *pool.User) {
		u.Name, u.Claims = "Ann", map[string]string{"gender": "female", "nickname": "Annie", "locale": "de"}
	})
	b := w.signedIn("ann@example.com")
	first := b.get("/account").want(http.StatusOK, `value="Ann"`, `value="Annie"`, `value="de"`)
	form := first.formTo(page.VerbSaveProfile, "")
	for name, value := range map[string]string{"name": "Ann B.", "nickname": "", "website": "https://ann.example.com",
		"address": "1 High Street\r\nOxford", "gender": "x", "email": "eve@example.com", "groups": "operators"} {
		form.Set(name, value)
	}
	b.post("/account", form).redirects(accountURL + "?done=profile_saved")
	b.get("/account?done=profile_saved").want(http.StatusOK, "Your profile is saved.", `value="Ann B."`, `value="https://ann.example.com"`, "1 High Street\nOxford")
	want := map[string]string{"gender": "female", "locale": "de", "website": "https://ann.example.com", "address": "1 High Street\nOxford"}
	got := w.load(u.Sub)
	if got.Name != "Ann B." || !maps.Equal(got.Claims, want) || got.Email != "ann@example.com" || len(got.Groups) != 0 || got.Epoch != u.Epoch {
		t.Errorf("%+v", got)
	}

	form = b.get("/account").formTo(page.VerbSaveProfile, "")
	form.Set("name", `<b>"Ann"`)
	form.Set("website", "javascript:alert(1)")
	b.post("/account", form).want(http.StatusBadRequest, "One of the entries", `value="&lt;b&gt;&#34;Ann&#34;"`, `value="javascript:alert(1)"`)
	if now := w.load(u.Sub); now.Name != "Ann B." || !maps.Equal(now.Claims, want) {
		t.Errorf("a refused profile was stored: %+v", now)
	}
}

func TestOnlyWhatCanHaveBeenDoneIsSaid(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedIn("ann@example.com")
	plain := b.get("/account").want(http.StatusOK).masked("")
	for _, done := range []string{"x", "profile_saved%20", "<script>", "other", ""} {
		if got := b.get("/account?done=" + url.QueryEscape(done)).want(http.StatusOK).masked(""); got != plain {
			t.Errorf("%q changes the page:\n%s", done, got)
		}
	}
	if got := b.get("/account?done=sessions_ended").want(http.StatusOK).masked(""); got == plain {
		t.Error("what was done is not said")
	}
}

func TestSessionsOfAnAccount(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	w.user("eve@example.com")
	here, phone, other, eve := w.signedInWith("ann@example.com", firefox), w.signedInWith("ann@example.com", iPhone),
		w.signedIn("ann@example.com"), w.signedIn("eve@example.com")

	list := here.get("/account").want(http.StatusOK, "Firefox, Linux", "Safari, iOS", "Unknown device", "192.0.2.1", "This browser")
	if strings.Contains(list.body, eve.name()) || strings.Contains(list.body, u.Password.PHC) || strings.Contains(list.body, phone.cookie(mux.CookieSSO)) {
		t.Error("the page holds what is not for it")
	}
	form := list.formTo(page.VerbEndSession, phone.name())

	foreign := maps.Clone(form)
	foreign.Set(page.FieldSession, eve.name())
	here.post("/account", foreign).redirects(accountURL)
	if w.live(eve.cookie(mux.CookieSSO)) == "" {
		t.Fatal("somebody else's session has ended")
	}
	for _, none := range []string{"", "unknown", "../x"} {
		form := maps.Clone(form)
		form.Set(page.FieldSession, none)
		here.post("/account", form).redirects(accountURL)
	}

	here.post("/account", form).redirects(accountURL + "?done=session_ended")
	if w.live(phone.cookie(mux.CookieSSO)) != "" {
		t.Error("the session has not ended")
	}
	if w.live(here.cookie(mux.CookieSSO)) != u.Sub || w.live(other.cookie(mux.CookieSSO)) != u.Sub {
		t.Error("other sessions have ended too")
	}
	here.post("/account", form).redirects(accountURL) // once more: nothing is done

	w.signedIn("ann@example.com")
	all := here.get("/account").formTo(page.VerbEndSessions, "")
	here.post("/account", all).redirects(accountURL + "?done=sessions_ended")
	if w.live(other.cookie(mux.CookieSSO)) != "" || w.live(here.cookie(mux.CookieSSO)) != u.Sub || w.live(eve.cookie(mux.CookieSSO)) == "" {
		t.Error("not all but this one, or more, have ended")
	}
	if left, err := w.sessions.List(t.Context(), w.pool, u.Sub); err != nil || len(left) != 1 || left[0].Name != here.name() {
		t.Error(left, err)
	}
}

func TestEndingTheSessionInUseSignsOut(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedIn("ann@example.com")
	id := b.cookie(mux.CookieSSO)
	form := b.get("/account").formTo(page.VerbSaveProfile, "")
	form.Set(page.FieldVerb, page.VerbEndSession)
	form.Set(page.FieldSession, b.name())
	to, ok := strings.CutPrefix(b.post("/account", form).Header.Get("Location"), origin)
	if !ok {
		t.Fatal(to)
	}
	b.get(to).want(http.StatusOK, "signed out")
	if w.live(id) != "" || b.cookie(mux.CookieSSO) != "" {
		t.Error("still signed in")
	}
}

func TestASessionInUseIsEndedLater(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b, other := w.signedIn("ann@example.com"), w.signedIn("ann@example.com")
	form := b.get("/account").formTo(page.VerbEndSession, other.name())
	w.families.inUse.Store(true)
	res := b.post("/account", form).want(http.StatusServiceUnavailable, "Your account")
	if res.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	w.families.inUse.Store(false)
	b.post("/account", res.formTo(page.VerbEndSession, other.name())).redirects(accountURL + "?done=session_ended")
}

// family gives a client something in a session, as a redeemed code does.
func (w *world) family(b *browser, sub pool.UserID, client pool.ClientID, jti string) {
	w.t.Helper()
	part := repo.UserPartition(w.pool.ID, sub)
	_, err := w.repo.Update(w.t.Context(), w.pool.ID, part, func(tx *repo.Tx) error {
		key := repo.SessionKey(w.pool.ID, part, b.name())
		sess, err := repo.Read(tx, key)
		if err != nil {
			return err
		}
		sess.Value.Families = append(sess.Value.Families, jti)
		if err := repo.Put(tx, key, sess.Value, sess.Expires); err != nil {
			return err
		}
		f := pool.Family{Client: client, Sub: sub, Session: b.name(), OriginJTI: jti, Expires: tx.Now().Add(time.Hour)}
		if err := repo.Put(tx, repo.FamilyRefKey(w.pool.ID, sub, client, jti), struct{}{}, f.Expires); err != nil {
			return err
		}
		return repo.Put(tx, repo.FamilyKey(w.pool.ID, part, jti), f, f.Expires)
	})
	must(w.t, err)
}

func (w *world) dead(sub pool.UserID, jti string) bool {
	w.t.Helper()
	f, err := repo.Get(w.t.Context(), w.repo, repo.FamilyKey(w.pool.ID, repo.UserPartition(w.pool.ID, sub), jti))
	must(w.t, err)
	r, err := repo.Get(w.t.Context(), w.repo, repo.FamilyRevocationKey(w.pool.ID, sub, jti))
	must(w.t, err)
	if f.Value.Dead != r.Found {
		w.t.Errorf("%s: dead %v, revoked %v", jti, f.Value.Dead, r.Found)
	}
	return f.Value.Dead
}

func TestConsentIsWithdrawn(t *testing.T) {
	w := newWorld(t)
	u, eve := w.user("ann@example.com"), w.user("eve@example.com")
	b, phone, evil := w.signedIn("ann@example.com"), w.signedIn("ann@example.com"), w.signedIn("eve@example.com")
	give := func(u *pool.User, client pool.ClientID, resource string, scopes ...string) {
		self := pool.Caller{Kind: pool.Self, Name: string(u.Sub)}
		must(t, w.accounts.Consent(t.Context(), self, w.pool, u.Sub, pool.Consent{Client: client, Host: "h", Resource: resource, Scopes: scopes}))
	}
	give(u, "shop", "", "openid", "profile")
	give(u, "shop", "https://api.example.com", "read")
	give(u, "app", "", "openid")
	give(eve, "shop", "", "openid")
	w.family(b, u.Sub, "shop", "here")
	w.family(b, u.Sub, "app", "app")
	w.family(phone, u.Sub, "shop", "phone")
	w.family(evil, eve.Sub, "shop", "eve")

	form := b.get("/account").want(http.StatusOK, "The Shop", "app", "read").formTo(page.VerbWithdraw, "shop")
	unknown := maps.Clone(form)
	unknown.Set(page.FieldConsent, "closed")
	b.post("/account", unknown).redirects(accountURL)
	b.post("/account", form).redirects(accountURL + "?done=consent_withdrawn")

	left, err := w.accounts.Consents(t.Context(), w.pool, u.Sub)
	if err != nil || len(left) != 1 || left[0].Client != "app" {
		t.Error(left, err)
	}
	if left, err := w.accounts.Consents(t.Context(), w.pool, eve.Sub); err != nil || len(left) != 1 {
		t.Error(left, err)
	}
	if !w.dead(u.Sub, "here") || !w.dead(u.Sub, "phone") || w.dead(u.Sub, "app") || w.dead(eve.Sub, "eve") {
		t.Error("not what the client was given has ended, or more than that")
	}
	if body := b.get("/account").body; strings.Contains(body, "The Shop") {
		t.Error("the client is still listed")
	}
	if w.live(b.cookie(mux.CookieSSO)) != u.Sub {
		t.Error("the session has ended")
	}
}

func TestAccountFormsAreBound(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com")
	w.user("eve@example.com")
	b, other, eve := w.signedIn("ann@example.com"), w.signedIn("ann@example.com"), w.signedIn("eve@example.com")
	good := b.get("/account").formTo(page.VerbSaveProfile, "")
	good.Set("name", "Typed")
	with := func(f url.Values, name, value string) url.Values {
		f = maps.Clone(f)
		f.Set(name, value)
		return f
	}
	logout, err := w.flow.SealLogoutTicket(t.Context(), w.pool, b.name())
	must(t, err)
	for what, form := range map[string]url.Values{
		"none":              with(good, "ticket", ""),
		"damaged":           with(good, "ticket", good.Get("ticket")+"A"),
		"somebody else's":   with(good, "ticket", eve.get("/account").formTo(page.VerbSaveProfile, "").Get("ticket")),
		"another session's": with(good, "ticket", other.get("/account").formTo(page.VerbSaveProfile, "").Get("ticket")),
		"to sign out":       with(good, "ticket", logout),
	} {
		for _, verb := range []string{page.VerbSaveProfile, page.VerbEndSessions} {
			b.post("/account", with(form, page.FieldVerb, verb)).want(http.StatusBadRequest, "open for a while")
		}
		if w.load(u.Sub).Name != "" || w.live(other.cookie(mux.CookieSSO)) == "" {
			t.Fatalf("a form with a ticket that is %s was taken", what)
		}
	}
	for _, headers := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"},
		{"Sec-Fetch-Site", "same-site", "Origin", "https://shop.example.com"},
		{"Sec-Fetch-Site", "", "Origin", ""},
	} {
		b.post("/account", good, headers...).want(http.StatusForbidden)
		b.post("/account/password", good, headers...).want(http.StatusForbidden)
	}
	if w.load(u.Sub).Name != "" {
		t.Error("another site has changed the profile")
	}
	for _, verb := range []string{"", "delete", "SAVE_PROFILE"} {
		b.post("/account", with(good, page.FieldVerb, verb)).want(http.StatusBadRequest)
	}
	// A ticket of these forms signs nobody out.
	b.get("/logout?ticket=" + good.Get("ticket"))
	if w.live(b.cookie(mux.CookieSSO)) == "" {
		t.Error("signed out")
	}

	w.clock.move(6 * time.Minute)
	again := b.post("/account", good).want(http.StatusBadRequest, "open for a while", `value="Typed"`)
	form := again.formTo(page.VerbSaveProfile, "")
	form.Set("name", "Typed")
	b.post("/account", form).redirects(accountURL + "?done=profile_saved")
	if w.load(u.Sub).Name != "Typed" {
		t.Error("the form that was shown again does nothing")
	}
}

// TestTypedForAnotherAccount: what was typed for one account of a browser is
// neither stored nor shown for another.
func TestTypedForAnotherAccount(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user("ann@example.com"), w.user("bob@example.com")
	b := w.signedIn("ann@example.com")
	form := b.get("/account").formTo(page.VerbSaveProfile, "")
	form.Set("name", "Typed")
	b.jar[b.cookies.Name(mux.CookieSSO)] = w.signedIn("bob@example.com").cookie(mux.CookieSSO)
	if res := b.post("/account", form).want(http.StatusBadRequest, "bob@example.com"); strings.Contains(res.body, "Typed") {
		t.Error("what was typed for somebody else is shown")
	}
	if w.load(ann.Sub).Name != "" || w.load(bob.Sub).Name != "" {
		t.Error("what was typed for somebody else is stored")
	}
}

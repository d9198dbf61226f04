package signin_test

import (
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

var accountButton = regexp.MustCompile(`(?s)<button name="account" value="([^"]*)".*?<bdi>([^<]*)</bdi>`)

// offers returns the accounts that a page lets choose from: label to value.
func (r *response) offers() map[string]string {
	found := map[string]string{}
	for _, m := range accountButton.FindAllStringSubmatch(r.body, -1) {
		found[m[2]] = m[1]
	}
	return found
}

// link returns the address of a link that begins with a prefix.
func (r *response) link(prefix string) string {
	r.t.Helper()
	for _, m := range regexp.MustCompile(`href="([^"]*)"`).FindAllStringSubmatch(r.body, -1) {
		if to := unescape(m[1]); strings.HasPrefix(to, prefix) {
			return to
		}
	}
	r.t.Fatalf("no link to %s in\n%s", prefix, r.body)
	return ""
}

func (b *browser) subs() []pool.UserID { return b.all(b.cookie(mux.CookieSSO)) }

func (b *browser) sessionsOf() []*session.Live {
	b.t.Helper()
	all, err := b.sessions.Accounts(b.t.Context(), b.pool, b.cookie(mux.CookieSSO))
	must(b.t, err)
	return all
}

func TestSeveralAccountsInOneBrowser(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user("ann@example.com"), w.user("bob@example.com")
	b := w.signedInAs("ann@example.com")
	pre := b.cookie(mux.CookiePre)
	b.add("bob@example.com")
	if got := b.subs(); !slices.Equal(got, []pool.UserID{bob.Sub, ann.Sub}) {
		t.Fatalf("signed in as %v", got)
	}
	if b.cookie(mux.CookiePre) == pre {
		t.Error("the pre-session cookie has stayed")
	}
	// The same person again replaces only the own session.
	before := b.sessionsOf()
	b.add("ann@example.com")
	after := b.sessionsOf()
	if len(after) != 2 || after[0].User.Sub != ann.Sub || after[1].ID != before[0].ID || w.live(before[1].ID) != "" {
		t.Errorf("%v", b.subs())
	}
	// What has ended is forgotten; if nothing is left the cookie counts as none.
	must(t, w.sessions.End(t.Context(), w.pool, after[0].ID))
	b.get("/login").want(200, "bob@example.com")
	must(t, w.sessions.End(t.Context(), w.pool, after[1].ID))
	b.get("/login").want(200, `name="password"`)
	b.get("/select?" + request).redirects(origin + "/login?" + request)
}

func TestASixthAccountEndsTheOldest(t *testing.T) {
	w := newWorld(t)
	b := w.browser()
	for i := range 6 {
		name := "p" + strconv.Itoa(i) + "@example.com"
		w.user(name)
		if i == 5 {
			break
		}
		b.add(name)
	}
	all := b.sessionsOf()
	if len(all) != session.MaxAccounts {
		t.Fatalf("%d accounts", len(all))
	}
	b.add("p5@example.com")
	now := b.sessionsOf()
	if len(now) != session.MaxAccounts || now[0].User.Email != "p5@example.com" || now[4].ID != all[3].ID {
		t.Errorf("%v", b.subs())
	}
	if w.live(all[4].ID) != "" {
		t.Error("the oldest is alive though no browser knows it")
	}
}

func TestSelectAccount(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user("ann@example.com"), w.user("bob@example.com")
	b := w.signedInAs("ann@example.com", "bob@example.com")
	asked := request + "&prompt=select_account&gh_account=old"
	page := b.get("/select?"+asked).want(200, "The Shop")
	offers := page.offers()
	if len(offers) != 2 || offers["ann@example.com"] == "" {
		t.Fatalf("%v in\n%s", offers, page.body)
	}
	if got := page.Header.Get("Content-Security-Policy"); !strings.Contains(got, "form-action 'self' https:;") {
		t.Errorf("policy %q", got)
	}
	action, _ := page.form()
	choice := url.Values{"account": {offers["ann@example.com"]}}
	b.post(action, choice, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site").want(403)
	if got := b.subs(); got[0] != bob.Sub {
		t.Fatal("another site has chosen")
	}
	b.post(action, choice).redirects(origin + "/oauth2/authorize?" + request + "&prompt=select_account&gh_account=" + offers["ann@example.com"])
	if got := b.subs(); !slices.Equal(got, []pool.UserID{ann.Sub, bob.Sub}) {
		t.Errorf("in use: %v", got)
	}
	// Sent once more, from the page that the back button brought: the same again.
	b.post(action, choice).want(303)

	// Nothing but this browser's own sessions can be chosen.
	eve := w.user("eve@example.com")
	foreign := w.signedInAs("eve@example.com").sessionsOf()[0]
	for name, value := range map[string]string{"foreign": foreign.Name, "handle": foreign.ID, "nothing": "", "sub": string(eve.Sub)} {
		res := b.post(action, url.Values{"account": {value}}).want(400)
		if len(res.offers()) != 2 || slices.Contains(b.subs(), eve.Sub) {
			t.Errorf("%s was chosen", name)
		}
	}
	b.post(action, url.Values{"account": {offers["ann@example.com"], offers["bob@example.com"]}}).want(400)
	// One that has ended since is offered no more.
	must(t, w.sessions.End(t.Context(), w.pool, b.sessionsOf()[0].ID))
	if got := b.post(action, choice).want(400).offers(); len(got) != 1 || got["bob@example.com"] == "" {
		t.Errorf("%v", got)
	}
	must(t, w.sessions.End(t.Context(), w.pool, b.sessionsOf()[0].ID))
	b.post(action, choice).redirects(origin + "/login?" + asked)
}

func TestAnotherAccount(t *testing.T) {
	w := newWorld(t)
	ann, bob := w.user("ann@example.com"), w.user("bob@example.com")
	b := w.signedInAs("ann@example.com")
	w.clock.move(time.Minute)
	other := b.get("/select?" + request + "&prompt=select_account&gh_fresh=1&gh_account=x").want(200).link("/login")
	if got := strings.Count(other, "gh_fresh="); got != 1 || !strings.HasPrefix(other, "/login?"+request) {
		t.Errorf("%s", other)
	}
	form := b.get(other).want(200, `name="password"`)
	res := b.answer(form, "bob@example.com", right).want(303)
	to, err := res.Location()
	must(t, err)
	all := b.sessionsOf()
	if len(all) != 2 || all[0].User.Sub != bob.Sub || all[1].User.Sub != ann.Sub {
		t.Fatalf("%v", b.subs())
	}
	if got := to.Query()["gh_account"]; to.Path != "/oauth2/authorize" || len(got) != 1 || got[0] != all[0].Name {
		t.Errorf("leads to %s", to)
	}
}

func TestTheFormOffersWhoIsSignedIn(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.signedInAs("ann@example.com")
	w.clock.move(time.Minute)
	fresh := "&gh_fresh=" + strconv.FormatInt(w.clock.now().UnixMilli(), 10)
	b.get("/login?"+request+fresh+"&login_hint=bob@example.com").want(200, "ann@example.com", `value="bob@example.com"`, `/select?response_type`)
	for name, query := range map[string]string{
		"who must sign in again":      request + fresh + "&prompt=login",
		"who was signed in too early": request + fresh + "&max_age=5",
		"where nobody waits":          fresh[1:],
	} {
		if res := b.get("/login?"+query).want(200, `name="password"`); strings.Contains(res.body, "ann@example.com") || strings.Contains(res.body, "/select") {
			t.Errorf("%s is offered", name)
		}
	}
	if res := w.browser().get("/login?" + request); strings.Contains(res.body, "/select") {
		t.Error("nobody is signed in, and yet there is a choice")
	}
}

func TestLoginHint(t *testing.T) {
	w := newWorld(t)
	typedIn := regexp.MustCompile(`name="identifier"[^>]* value=`)
	if res := w.browser().get("/login?" + request + "&login_hint=ann"); !typedIn.MatchString(res.body) {
		t.Errorf("not typed in\n%s", res.body)
	}
	w.browser().get("/login?"+request+"&login_hint=ann%40example.com").want(200, `value="ann@example.com"`)
	for _, hint := range []string{strings.Repeat("a", 1000), "%ff", "a&login_hint=b"} {
		if res := w.browser().get("/login?" + request + "&login_hint=" + hint).want(200); typedIn.MatchString(res.body) {
			t.Errorf("%.20q is typed in\n%s", hint, res.body)
		}
	}
	w.browser().get("/login?"+request+"&login_hint=%22%3E%3Cb%3E").want(200, `value="&#34;&gt;&lt;b&gt;"`)
}

func TestTheAccountPageWaits(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com")
	b := w.browser()
	b.answer(b.get("/login?next=account"), "ann@example.com", right).redirects(origin + "/account")
	b.get("/login?next=account").redirects(origin + "/account")
	b.get("/login").want(200, `href="/account"`)
	for _, next := range []string{"https://evil.example", "//evil.example", "account&next=account", "/account"} {
		b.get("/login?next="+next).want(200, "ann@example.com")
	}
	b.get("/login?next=account&" + request).redirects(origin + "/oauth2/authorize?next=account&" + request) // an application goes first
	action, _ := b.get("/select?next=account").form()
	b.post(action, url.Values{"account": {b.sessionsOf()[0].Name}}).redirects(origin + "/account")
	action, _ = b.get("/select").form()
	b.post(action, url.Values{"account": {b.sessionsOf()[0].Name}}).redirects(origin + "/login")
}

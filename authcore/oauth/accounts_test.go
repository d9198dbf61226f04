package oauth_test

import (
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// person is a user who is signed in.
type person struct {
	user *pool.User
	id   string // of the session: a piece of the cookie
	name string // of the session
}

// person makes a user who has just signed in.
func (h *host) person(email, username string) person {
	h.t.Helper()
	sub := pool.UserID(secret.UUID())
	u := &pool.User{Sub: sub, Username: username, Email: email, Status: pool.Confirmed, Created: h.now(), Updated: h.now()}
	if username == "" {
		u.Username = string(sub)
	}
	must(h.t, h.repo.CreateUser(h.t.Context(), h.pool.ID, u))
	return h.again(u)
}

// again signs a user in once more.
func (h *host) again(u *pool.User) person {
	h.t.Helper()
	id, err := h.sessions.Start(h.t.Context(), h.pool, session.Proof{
		Sub: u.Sub, Epoch: u.Epoch, At: h.now(), ACR: pool.AAL1, AMR: []string{"pwd"},
	})
	must(h.t, err)
	live, err := h.sessions.Find(h.t.Context(), h.pool, id)
	must(h.t, err)
	return person{u, id, live.Name}
}

// browser has the sessions of these people, the first used last.
func (h *host) browser(people ...person) {
	var ids []string
	for _, p := range people {
		ids = append(ids, p.id)
	}
	h.cookie = strings.Join(ids, ".")
}

// who is the user whom an answer is about, by redeeming its code.
func (h *host) who(answer *url.URL) pool.UserID {
	h.t.Helper()
	code := answer.Query().Get("code")
	if code == "" {
		h.t.Fatalf("no code: %s", answer)
	}
	sub, _ := claims(h.t, h.redeem(code).ID)["sub"].(string)
	return pool.UserID(sub)
}

// Of several accounts the one answers that the person chose, else the one that
// the application means, else the first.
func TestWhichAccountAnswers(t *testing.T) {
	h := newHost(t)
	ann, bob := h.person("ann2@example.com", "ann"), h.person("bob@example.com", "")
	hint := func(p person) string {
		h.browser(p)
		return h.redeem(h.code(nil)).ID
	}
	ofAnn, ofBob := hint(ann), hint(bob)
	h.browser(ann, bob)
	for name, c := range map[string]struct {
		change map[string]string
		want   person
	}{
		"first":                    {nil, ann},
		"first, silently":          {map[string]string{"prompt": "none"}, ann},
		"chosen":                   {map[string]string{"gh_account": bob.name}, bob},
		"chosen, not as hinted":    {map[string]string{"gh_account": ann.name, "login_hint": "bob@example.com"}, ann},
		"chosen from elsewhere":    {map[string]string{"gh_account": "unknown"}, ann},
		"chosen by its cookie":     {map[string]string{"gh_account": bob.id}, ann},
		"id token":                 {map[string]string{"id_token_hint": ofBob}, bob},
		"id token, silently":       {map[string]string{"id_token_hint": ofBob, "prompt": "none"}, bob},
		"id token before login":    {map[string]string{"id_token_hint": ofAnn, "login_hint": "bob@example.com"}, ann},
		"e-mail":                   {map[string]string{"login_hint": " BOB@Example.com"}, bob},
		"e-mail, silently":         {map[string]string{"login_hint": "bob@example.com", "prompt": "none"}, bob},
		"user name":                {map[string]string{"login_hint": "Ann"}, ann},
		"sub":                      {map[string]string{"login_hint": string(bob.user.Sub)}, bob},
		"claims, id token":         {map[string]string{"claims": `{"id_token":{"sub":{"value":"` + string(bob.user.Sub) + `"}}}`}, bob},
		"claims, userinfo":         {map[string]string{"claims": `{"userinfo":{"sub":{"value":"` + string(bob.user.Sub) + `"}}}`}, bob},
		"chosen among the allowed": {map[string]string{"prompt": "select_account", "gh_account": bob.name}, bob},
	} {
		if got := h.who(h.to(h.address(c.change))); got != c.want.user.Sub {
			t.Errorf("%s: %s", name, got)
		}
	}
	// A second word of our pages replaces the first.
	if got := h.who(h.to(h.address(map[string]string{"gh_account": ann.name}) + "&gh_account=" + bob.name)); got != bob.user.Sub {
		t.Error(got)
	}
	must(t, h.sessions.End(t.Context(), h.pool, ann.id))
	if got := h.who(h.to(h.address(nil))); got != bob.user.Sub {
		t.Errorf("after the first has ended: %s", got)
	}
}

// Nobody signed in is meant: the person signs in, once, and is believed.
func TestHintOfSomebodyElse(t *testing.T) {
	h := newHost(t)
	ann, bob := h.person("ann2@example.com", ""), h.person("bob@example.com", "")
	h.browser(ann, bob)
	h.advance(time.Second)
	start := map[string]string{"login_hint": "carol@example.com"}
	silent := map[string]string{"login_hint": "carol@example.com", "prompt": "none"}
	if got := h.authorize(silent); got.Get("error") != "account_selection_required" {
		t.Error(got)
	}
	h.browser(ann)
	if got := h.authorize(silent); got.Get("error") != "login_required" {
		t.Error(got)
	}
	h.browser(ann, bob)
	to := h.to(h.address(start))
	if to.Path != "/login" || to.Query().Get("gh_fresh") == "" || to.Query().Get("login_hint") != "carol@example.com" {
		t.Fatal(to)
	}
	back := h.URL + "/oauth2/authorize?" + to.RawQuery
	if again := h.to(back); again.Path != "/login" || again.RawQuery != to.RawQuery {
		t.Errorf("without a sign-in: %s", again)
	}
	h.advance(time.Second)
	dora := h.person("dora@example.com", "")
	h.browser(dora, ann, bob)
	if got := h.who(h.to(back)); got != dora.user.Sub {
		t.Errorf("somebody else signed in: %s", got)
	}
	// Or chooses one of those that are there after all.
	if got := h.who(h.to(back + "&gh_account=" + bob.name)); got != bob.user.Sub {
		t.Errorf("chosen: %s", got)
	}
}

// So it is where nobody was signed in before.
func TestHintOfSomebodyElseInANewBrowser(t *testing.T) {
	h := newHost(t)
	h.browser()
	to := h.to(h.address(map[string]string{"login_hint": "carol@example.com"}))
	if to.Path != "/login" || to.Query().Get("login_hint") != "carol@example.com" {
		t.Fatal(to)
	}
	h.advance(time.Second)
	dora := h.person("dora@example.com", "")
	h.browser(dora)
	if got := h.who(h.to(h.URL + "/oauth2/authorize?" + to.RawQuery)); got != dora.user.Sub {
		t.Errorf("somebody else signed in: %s", got)
	}
}

func TestClaimedSubject(t *testing.T) {
	h := newHost(t)
	ann, bob := h.person("ann2@example.com", ""), h.person("bob@example.com", "")
	of := func(p person) map[string]string {
		return map[string]string{"claims": `{"id_token":{"sub":{"value":"` + string(p.user.Sub) + `"}}}`}
	}
	h.browser(ann)
	if got := h.authorize(of(bob)); got.Get("error") != "login_required" || got.Get("state") != "st" {
		t.Errorf("another is signed in: %v", got)
	}
	h.cookie = ""
	to := h.to(h.address(of(bob)))
	if to.Path != "/login" {
		t.Fatalf("nobody is signed in: %s", to)
	}
	h.advance(time.Second)
	h.browser(h.again(ann.user))
	if got := h.to(h.URL + "/oauth2/authorize?" + to.RawQuery).Query(); got.Get("error") != "login_required" {
		t.Errorf("the wrong one signed in: %v", got)
	}
	h.browser(h.again(bob.user))
	if got := h.who(h.to(h.URL + "/oauth2/authorize?" + to.RawQuery)); got != bob.user.Sub {
		t.Errorf("the right one signed in: %s", got)
	}
	// Of two who have signed in for it, the one who is meant.
	h.browser(h.again(ann.user), h.again(bob.user))
	if got := h.who(h.to(h.URL + "/oauth2/authorize?" + to.RawQuery)); got != bob.user.Sub {
		t.Errorf("the right one of two: %s", got)
	}
	// Two that contradict one another are nobody.
	h.browser(ann)
	hint := h.redeem(h.code(nil)).ID
	h.browser(bob, ann)
	both := of(bob)
	both["id_token_hint"], both["prompt"] = hint, "none"
	if got := h.authorize(both); got.Get("error") != "login_required" {
		t.Error(got)
	}
}

func TestSelectAccount(t *testing.T) {
	h := newHost(t)
	ann, bob := h.person("ann2@example.com", ""), h.person("bob@example.com", "")
	h.browser(ann, bob)
	start := map[string]string{"prompt": "select_account"}
	raw := query(start).Encode()
	for name, extra := range map[string]string{"": "", "not his": "&gh_account=unknown", "empty": "&gh_account="} {
		to := h.to(h.address(start) + extra)
		if to.Path != "/select" || to.RawQuery != raw {
			t.Errorf("%s: %s", name, to)
		}
	}
	for _, p := range []person{ann, bob} {
		if got := h.who(h.to(h.address(start) + "&gh_account=" + p.name)); got != p.user.Sub {
			t.Error(got)
		}
	}
	// One account is asked about too; none signs in, and has chosen by that.
	h.browser(bob)
	if to := h.to(h.address(start)); to.Path != "/select" {
		t.Error(to)
	}
	h.cookie = ""
	to := h.to(h.address(start))
	if to.Path != "/login" || to.Query().Get("gh_fresh") == "" {
		t.Fatal(to)
	}
	h.advance(time.Second)
	h.browser(h.again(bob.user), ann)
	if got := h.who(h.to(h.URL + "/oauth2/authorize?" + to.RawQuery)); got != bob.user.Sub {
		t.Error(got)
	}
	if got := h.authorize(map[string]string{"prompt": "none select_account"}); got.Get("error") != "invalid_request" {
		t.Error(got)
	}
}

// An account that was chosen must still be signed in as the application wants.
func TestSelectAndLogin(t *testing.T) {
	h := newHost(t)
	ann, bob := h.person("ann2@example.com", ""), h.person("bob@example.com", "")
	h.browser(ann, bob)
	h.advance(10 * time.Minute)
	for _, c := range []map[string]string{{"prompt": "select_account login"}, {"prompt": "select_account", "max_age": "60"}} {
		if to := h.to(h.address(c)); to.Path != "/select" {
			t.Fatalf("%v: %s", c, to)
		}
		to := h.to(h.address(c) + "&gh_account=" + bob.name)
		if to.Path != "/login" || to.Query().Has("gh_account") || to.Query().Get("gh_fresh") == "" {
			t.Fatalf("%v: %s", c, to)
		}
		h.advance(time.Second)
		fresh := h.again(bob.user)
		h.browser(fresh, ann)
		if got := h.who(h.to(h.URL + "/oauth2/authorize?" + to.RawQuery)); got != bob.user.Sub {
			t.Errorf("%v: %s", c, got)
		}
		h.browser(ann, bob)
		h.advance(10 * time.Minute)
	}
}

// max_age is judged by the account that answers, not by another one.
func TestMaxAgeOfTheRightAccount(t *testing.T) {
	h := newHost(t)
	old := h.person("old@example.com", "")
	h.advance(10 * time.Minute)
	young := h.person("young@example.com", "")
	h.browser(young, old)
	aged := map[string]string{"max_age": "60", "login_hint": "old@example.com"}
	if to := h.to(h.address(aged)); to.Path != "/login" {
		t.Error(to)
	}
	aged["prompt"] = "none"
	if got := h.authorize(aged); got.Get("error") != "login_required" {
		t.Error(got)
	}
	if got := h.who(h.to(h.address(map[string]string{"max_age": "60"}))); got != young.user.Sub {
		t.Error(got)
	}
	if got := h.who(h.to(h.address(map[string]string{"max_age": "10000", "login_hint": "old@example.com"}))); got != old.user.Sub {
		t.Error(got)
	}
}

// A bookmark with an old wish in it does not get round a new one.
func TestOldWishesAreRenewed(t *testing.T) {
	h := newHost(t)
	to := h.to(h.address(map[string]string{"prompt": "login"}))
	h.advance(time.Second)
	h.browser(h.again(h.user))
	back := h.URL + "/oauth2/authorize?" + to.RawQuery
	h.advance(29 * time.Minute)
	if got := h.to(back); got.Query().Get("code") == "" {
		t.Errorf("a sign-in of just now: %s", got)
	}
	h.advance(2 * time.Minute)
	again := h.to(back)
	if again.Path != "/login" || len(again.Query()["gh_fresh"]) != 1 || again.Query().Get("gh_fresh") == to.Query().Get("gh_fresh") {
		t.Errorf("an old sign-in: %s", again)
	}
	// Nor does one from the future, which no sign-in could satisfy.
	future := h.to(h.address(map[string]string{"prompt": "login", "gh_fresh": strconv.FormatInt(h.now().Add(time.Hour).UnixMilli(), 10)}))
	if millis, _ := strconv.ParseInt(future.Query().Get("gh_fresh"), 10, 64); future.Path != "/login" || millis > h.now().UnixMilli() {
		t.Error(future)
	}
}

// A browser that is led to the login again and again without getting on is
// told so; other tabs, and people who take their time, are not.
func TestCirclingIsExplained(t *testing.T) {
	h := newHost(t)
	h.cookie = ""
	address := h.address(nil)
	for range 2 {
		if to := h.to(address); to.Path != "/login" {
			t.Fatal(to)
		}
	}
	for state := range 5 { // another tab does no harm
		kept := h.hop
		if to := h.to(h.address(map[string]string{"state": strconv.Itoa(state)})); to.Path != "/login" {
			t.Error(to)
		}
		h.hop = kept
	}
	res := h.surf("GET", address, nil)
	if res.StatusCode != 400 || res.Header.Get("Location") != "" || !strings.Contains(h.log.String(), "back and forth") {
		t.Fatal(res.StatusCode, res.Header)
	}
	if to := h.to(address); to.Path != "/login" {
		t.Errorf("a new try: %s", to)
	}
	// What our pages add does not make it another request.
	h.hop = ""
	for i := range 2 {
		h.to(address + "&gh_fresh=" + strconv.Itoa(i+1) + "&gh_account=" + strconv.Itoa(i))
	}
	if res := h.surf("GET", address+"&gh_fresh=7", nil); res.StatusCode != 400 {
		t.Error(res.StatusCode)
	}
	h.hop = ""
	for range 5 {
		if to := h.to(address); to.Path != "/login" {
			t.Error(to)
		}
		h.advance(6 * time.Second)
	}
	for _, damaged := range []string{"x", "..", strings.Split(h.hop, ".")[0] + ".x.y", strings.Repeat(".", 100)} {
		h.hop = damaged
		if to := h.to(address); to.Path != "/login" {
			t.Errorf("%q: %s", damaged, to)
		}
	}
	cookies := mux.Cookies{Origin: h.URL, Pool: string(h.pool.ID)}
	if name := cookies.Name(mux.CookieHop); !strings.Contains(name, "gh-hop-") {
		t.Error(name)
	}
}

package session_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// another signs somebody else in.
func (w *world) another(name string) (*pool.User, string) {
	w.t.Helper()
	u := &pool.User{Sub: pool.UserID(secret.UUID()), Username: name, Status: pool.Confirmed, Created: w.clock.now(), Updated: w.clock.now()}
	must(w.t, w.repo.CreateUser(w.t.Context(), w.pool.ID, u))
	id, err := w.svc.Start(w.t.Context(), w.pool, session.Proof{Sub: u.Sub, ACR: pool.AAL1})
	must(w.t, err)
	return u, id
}

func (w *world) accounts(cookie string) []*session.Live {
	w.t.Helper()
	all, err := w.svc.Accounts(w.t.Context(), w.pool, cookie)
	must(w.t, err)
	return all
}

func ids(all []*session.Live) []string {
	var list []string
	for _, live := range all {
		list = append(list, live.ID)
	}
	return list
}

func TestAccountsOfABrowser(t *testing.T) {
	w := newWorld(t)
	alice := w.start()
	_, bob := w.another("bob")
	_, carol := w.another("carol")
	cookie := session.JoinAccounts(w.accounts(alice + "." + bob + "." + carol))
	if got := ids(w.accounts(cookie)); !slices.Equal(got, []string{alice, bob, carol}) {
		t.Errorf("order %v", got)
	}
	must(t, w.svc.End(t.Context(), w.pool, bob))
	if got := ids(w.accounts(cookie)); !slices.Equal(got, []string{alice, carol}) {
		t.Errorf("with one ended %v", got)
	}
	for _, bad := range []string{"", ".", "....", "x", "x." + repo.NewHandle(3), bob, strings.Repeat(".", 1<<16)} {
		if got := w.accounts(bad); len(got) != 0 {
			t.Errorf("%.40q names %v", bad, ids(got))
		}
	}
	if got := ids(w.accounts("." + carol + ".." + carol + "." + alice)); !slices.Equal(got, []string{carol, alice}) {
		t.Errorf("twice %v", got)
	}
}

func TestABrowserHasFiveAccounts(t *testing.T) {
	w := newWorld(t)
	var all []string
	for range 7 {
		all = append(all, w.start())
	}
	if got := ids(w.accounts(strings.Join(all, "."))); !slices.Equal(got, all[:5]) {
		t.Errorf("%d accounts", len(got))
	}
	var lives []*session.Live
	for _, id := range all {
		live, err := w.find(id)
		must(t, err)
		lives = append(lives, live)
	}
	lives = append([]*session.Live{lives[0], {Name: "of a list"}}, lives...)
	if got := session.JoinAccounts(lives); got != strings.Join(all[:5], ".") {
		t.Errorf("joined %d", strings.Count(got, ".")+1)
	}
	before := w.store.reads.Load()
	w.accounts(strings.Repeat(repo.NewHandle(1)+".", 1000))
	if n := w.store.reads.Load() - before; n > 10 {
		t.Errorf("a long cookie costs %d reads", n)
	}
}

func TestAPersonsSessions(t *testing.T) {
	w := newWorld(t)
	list := func(sub pool.UserID) []*session.Live {
		t.Helper()
		all, err := w.svc.List(t.Context(), w.pool, sub)
		must(t, err)
		return all
	}
	names := func(sub pool.UserID) (n []string) {
		for _, live := range list(sub) {
			n = append(n, live.Name)
		}
		return n
	}
	agent := strings.Repeat("Ä", 200) + "\xff"
	first, err := w.svc.Start(t.Context(), w.pool, session.Proof{Sub: w.user.Sub, Address: "192.0.2.7", Agent: "Mozilla/5.0 \xff" + agent})
	must(t, err)
	w.clock.move(time.Minute)
	second := w.start()
	bob, _ := w.another("bob")
	_, firstName, _ := repo.ParseHandle(first)
	_, secondName, _ := repo.ParseHandle(second)

	if got := names(w.user.Sub); !slices.Equal(got, []string{secondName, firstName}) {
		t.Errorf("latest first: %v", got)
	}
	old := list(w.user.Sub)[1]
	if s := old.Session; s.Address != "192.0.2.7" || len(s.Agent) > 256 || len(s.Agent) < 250 || !utf8.ValidString(s.Agent) || !strings.HasPrefix(s.Agent, "Mozilla/5.0 Ä") {
		t.Errorf("%q, %d bytes of %q", s.Address, len(s.Agent), s.Agent)
	}
	if old.ID != "" || old.User.Sub != w.user.Sub || !old.Expires.Equal(w.clock.now().Add(idle-time.Minute)) {
		t.Errorf("%+v", old)
	}
	// Use keeps it on the list for as long as it lives.
	child := w.visit(first)
	w.clock.move(idle - 2*time.Minute)
	live, err := w.findSite(child)
	must(t, err)
	must(t, w.svc.Touch(t.Context(), w.pool, live))
	w.clock.move(idle - time.Minute)
	if got := names(w.user.Sub); !slices.Equal(got, []string{firstName}) {
		t.Errorf("in use: %v, not %s", got, firstName)
	}
	must(t, w.svc.End(t.Context(), w.pool, first))
	if got := names(w.user.Sub); got != nil {
		t.Errorf("ended: %v", got)
	}
	if refs, err := w.repo.SessionNames(t.Context(), w.pool.ID, w.user.Sub); err != nil || len(refs) != 0 {
		t.Errorf("left behind: %v, %v", refs, err)
	}
	if got := list(pool.UserID(secret.UUID())); got != nil {
		t.Errorf("nobody's: %v", got)
	}
	_, err = w.svc.Start(t.Context(), w.pool, session.Proof{Sub: bob.Sub})
	must(t, err)
	_, err = w.repo.UpdateUser(t.Context(), w.pool.ID, bob.Sub, func(u *pool.User) error { u.Epoch++; return nil })
	must(t, err)
	if got := list(bob.Sub); got != nil {
		t.Errorf("after the sign-out everywhere: %v", got)
	}
}

func TestEndNamed(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	child := w.visit(sso)
	live, err := w.find(sso)
	must(t, err)
	bob, _ := w.another("bob")
	gone(t, w.svc.EndNamed(t.Context(), w.pool, bob.Sub, live.Name))
	gone(t, w.svc.EndNamed(t.Context(), w.pool, w.user.Sub, sso)) // the handle is no name
	gone(t, w.svc.EndNamed(t.Context(), w.pool, w.user.Sub, ""))
	if _, err := w.find(sso); err != nil {
		t.Fatal(err)
	}
	must(t, w.svc.EndNamed(t.Context(), w.pool, w.user.Sub, live.Name))
	_, err = w.find(sso)
	gone(t, err)
	_, err = w.findSite(child)
	gone(t, err)
	if err := w.svc.EndNamed(t.Context(), w.pool, w.user.Sub, live.Name); !errors.Is(err, fault.NotFound) {
		t.Errorf("again: %v", err)
	}
}

func TestOthersSessionsInOnePartitionAreNotEnded(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	live, err := w.find(sso)
	must(t, err)
	neighbour := pool.UserID(secret.UUID())
	for repo.UserPartition(w.pool.ID, neighbour) != repo.UserPartition(w.pool.ID, w.user.Sub) {
		neighbour = pool.UserID(secret.UUID())
	}
	gone(t, w.svc.EndNamed(t.Context(), w.pool, neighbour, live.Name))
	if _, err := w.find(sso); err != nil {
		t.Error(err)
	}
}

// TestSessionsOfOlderBuilds: they had no list; use brings them onto it.
func TestSessionsOfOlderBuilds(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	part, name, _ := repo.ParseHandle(sso)
	_, err := w.repo.Update(t.Context(), w.pool.ID, part, func(tx *repo.Tx) error {
		repo.Delete(tx, repo.SessionRefKey(w.pool.ID, w.user.Sub, name))
		return nil
	})
	must(t, err)
	listed := func() int {
		all, err := w.svc.List(t.Context(), w.pool, w.user.Sub)
		must(t, err)
		return len(all)
	}
	if _, err := w.find(sso); err != nil || listed() != 0 {
		t.Fatalf("%v, %d listed", err, listed())
	}
	child := w.visit(sso)
	w.clock.move(time.Hour)
	live, err := w.findSite(child)
	must(t, err)
	must(t, w.svc.Touch(t.Context(), w.pool, live))
	if listed() != 1 {
		t.Errorf("in use, and %d listed", listed())
	}
	must(t, w.svc.EndNamed(t.Context(), w.pool, w.user.Sub, name))
	if listed() != 0 {
		t.Error("ended, and listed")
	}
}

// Going from application to application keeps an SSO session alive, as far as
// its absolute life goes, and costs a commit every five minutes at most.
func TestUseAtTheLoginHost(t *testing.T) {
	w := newWorld(t)
	id := w.start()
	for range 4 {
		w.clock.move(w.pool.Session.Idle - time.Minute)
		live, err := w.find(id)
		must(t, err)
		must(t, w.svc.Use(t.Context(), w.pool, live))
	}
	live, err := w.find(id)
	must(t, err)
	before := w.store.commits.Load()
	must(t, w.svc.Use(t.Context(), w.pool, live))
	if n := w.store.commits.Load() - before; n != 0 {
		t.Errorf("%d commits for a second use at once", n)
	}
	if list, err := w.svc.List(t.Context(), w.pool, live.User.Sub); err != nil || len(list) != 1 {
		t.Errorf("the list lost it: %v, %v", list, err)
	}
	must(t, w.svc.End(t.Context(), w.pool, id))
	w.clock.move(10 * time.Minute)
	gone(t, w.svc.Use(t.Context(), w.pool, live))
}

// Signing in again in the same browser changes the cookie and nothing else:
// what other applications hold goes on, and ends when the person signs out.
func TestASignInAgainTakesThePlaceOfTheLast(t *testing.T) {
	w := newWorld(t)
	first := w.start()
	child := w.visit(first)
	old, err := w.find(first)
	must(t, err)
	second, err := w.svc.Start(t.Context(), w.pool, session.Proof{Attempt: "again", Sub: old.User.Sub, Epoch: old.Session.Epoch, ACR: pool.AAL1, Replaces: []string{old.Name}})
	must(t, err)
	_, err = w.find(first)
	gone(t, err)
	live, err := w.find(second)
	must(t, err)
	site, err := w.findSite(child)
	must(t, err)
	if site.Session.Parent != live.Name {
		t.Errorf("the site's session hangs on %s, not on the new one", site.Session.Parent)
	}
	if list, err := w.svc.List(t.Context(), w.pool, old.User.Sub); err != nil || len(list) != 1 || list[0].Name != live.Name {
		t.Errorf("the list shows %v, %v", list, err)
	}

	// It is the new one's use that counts, and the site's is that.
	for range 3 {
		w.clock.move(w.pool.Session.Idle - time.Minute)
		site, err = w.findSite(child)
		must(t, err)
		must(t, w.svc.Touch(t.Context(), w.pool, site))
	}
	live, err = w.find(second)
	must(t, err)

	third, err := w.svc.Start(t.Context(), w.pool, session.Proof{Attempt: "and again", Sub: old.User.Sub, Epoch: old.Session.Epoch, ACR: pool.AAL1, Replaces: []string{live.Name, old.Name, "unknown"}})
	must(t, err)
	_, err = w.findSite(child)
	must(t, err)
	must(t, w.svc.End(t.Context(), w.pool, third))
	_, err = w.findSite(child)
	gone(t, err)
	for _, name := range []string{old.Name, live.Name} {
		if err := w.svc.EndNamed(t.Context(), w.pool, old.User.Sub, name); !errors.Is(err, fault.NotFound) {
			t.Errorf("%s is still there: %v", name, err)
		}
	}
}

// Nobody replaces another's session.
func TestOnlyOnesOwnSessionIsReplaced(t *testing.T) {
	w := newWorld(t)
	mine := w.start()
	other, theirs := w.another("bob")
	live, err := w.find(mine)
	must(t, err)
	_, err = w.svc.Start(t.Context(), w.pool, session.Proof{Attempt: "x", Sub: other.Sub, Epoch: other.Epoch, ACR: pool.AAL1, Replaces: []string{live.Name}})
	must(t, err)
	_, err = w.find(mine)
	must(t, err)
	_, err = w.find(theirs)
	must(t, err)
}

// A browser in which somebody signs in again and again does not grow for ever.
func TestReplacedSessionsAreBounded(t *testing.T) {
	w := newWorld(t)
	id := w.start()
	child := w.visit(id)
	for i := range 12 {
		live, err := w.find(id)
		must(t, err)
		id, err = w.svc.Start(t.Context(), w.pool, session.Proof{Attempt: fmt.Sprint("again", i), Sub: live.User.Sub, Epoch: live.Session.Epoch, ACR: pool.AAL1, Replaces: []string{live.Name}})
		must(t, err)
	}
	live, err := w.find(id)
	must(t, err)
	if len(live.Session.Earlier) > 8 {
		t.Errorf("it remembers %d", len(live.Session.Earlier))
	}
	_, err = w.findSite(child)
	gone(t, err)
}

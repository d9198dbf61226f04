package flow_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

const away = "198.51.100.9"

func TestLockDoubles(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	w.fail("ann@example.com", home, 5)
	for lock := time.Second; lock <= 512*time.Second; lock *= 2 {
		w.clock.move(lock - time.Millisecond)
		if w.signIn("ann@example.com", password, home) {
			t.Fatalf("the lock of %s ends early", lock)
		}
		w.clock.move(time.Millisecond)
		w.fail("ann@example.com", home, 1)
	}
	w.clock.move(15*time.Minute - time.Millisecond)
	if w.signIn("ann@example.com", password, home) {
		t.Fatal("the longest lock ends early")
	}
	w.clock.move(time.Millisecond)
	if !w.signIn("ann@example.com", password, home) {
		t.Fatal("still locked after the longest lock")
	}
}

func TestRightAfterALock(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	w.fail("ann@example.com", home, 7)
	if got := w.guesses(u.Sub, home); got != 5 {
		t.Fatalf("%d counted: what is asked during a lock must not count", got)
	}
	w.clock.move(time.Second)
	for range 3 { // a right one starts no lock of its own, and forgives the address
		if !w.signIn("ann@example.com", password, home) {
			t.Fatal("refused")
		}
		if got := w.guesses(u.Sub, home); got != 0 {
			t.Errorf("%d counted", got)
		}
	}
	if got := w.guesses(u.Sub, ""); got != 5 {
		t.Errorf("%d counted for the account: what others got wrong stays", got)
	}
}

func TestRightGuessesCountNothing(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	for range 120 {
		if !w.signIn("ann@example.com", password, home) {
			t.Fatal("refused")
		}
	}
	if w.guesses(u.Sub, home) != 0 || w.guesses(u.Sub, "") != 0 {
		t.Error("right guesses are counted")
	}
}

func TestQuietTimeForgets(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	w.fail("ann@example.com", home, 4)
	w.clock.move(15 * time.Minute)
	w.fail("ann@example.com", home, 4)
	if !w.signIn("ann@example.com", password, home) {
		t.Error("failures of long ago still count")
	}
}

// TestLockIsTheAddresssOwn: somebody who guesses does not lock the owner out.
func TestLockIsTheAddresssOwn(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	w.fail("ann@example.com", away, 20)
	if w.signIn("ann@example.com", password, away) {
		t.Error("the address is not locked")
	}
	if !w.signIn("ann@example.com", password, home) {
		t.Error("another address is locked")
	}
	w.fail("ann@example.com", "2001:db8:1:2::1", 3)
	w.fail("ann@example.com", "2001:db8:1:2:ffff::9", 2)
	if w.signIn("ann@example.com", password, "2001:db8:1:2::77") {
		t.Error("one subscriber's addresses are counted apart")
	}
	if !w.signIn("ann@example.com", password, "2001:db8:1:3::1") {
		t.Error("another subscriber is locked")
	}
	w.fail("ann@example.com", "::ffff:203.0.113.5", 5)
	if w.signIn("ann@example.com", password, "203.0.113.5") {
		t.Error("an IPv4 address has two counters")
	}
}

func TestSpellingsCountTogether(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", func(u *pool.User) { u.Username, u.Phone = "ann", "+49301234567" })
	for _, s := range []string{"ann@example.com", "ANN@EXAMPLE.COM", "ann", " Ann ", "+49 30 1234567"} {
		w.fail(s, home, 1)
	}
	if w.signIn("ann", password, home) {
		t.Error("each spelling has guesses of its own")
	}
}

func TestAccountCap(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	for i := range 110 {
		w.fail("ann@example.com", fmt.Sprintf("198.51.100.%d", i), 1)
	}
	if got := w.guesses(u.Sub, ""); got != 100 {
		t.Errorf("%d counted", got)
	}
	if w.signIn("ann@example.com", password, home) {
		t.Error("the cap does not hold")
	}
	w.clock.move(24*time.Hour - time.Second)
	if w.signIn("ann@example.com", password, home) {
		t.Error("the window ends early")
	}
	w.clock.move(time.Second)
	if !w.signIn("ann@example.com", password, home) {
		t.Error("the window does not end")
	}
}

// TestParallelGuesses: all at once get no more guesses than one after another.
func TestParallelGuesses(t *testing.T) {
	w := newWorld(t)
	for _, sub := range []pool.UserID{w.user("ann@example.com", nil).Sub, w.standin("nobody@example.com")} {
		name := "ann@example.com"
		if u, err := w.repo.User(t.Context(), w.pool.ID, sub); err != nil || u == nil {
			name = "nobody@example.com"
		}
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() {
				out, err := w.answer(w.start(), name, "wrong password", home)
				if err != nil || !out.Wrong {
					t.Errorf("%+v, %v", out, err)
				}
			})
		}
		all.Wait()
		if got := w.guesses(sub, home); got != 5 {
			t.Errorf("%s: %d guesses were checked", name, got)
		}
		if got := w.guesses(sub, ""); got != 5 {
			t.Errorf("%s: the account counts %d", name, got)
		}
	}
	if w.signIn("ann@example.com", password, home) {
		t.Error("not locked")
	}
}

func (w *world) standin(email string) pool.UserID {
	w.t.Helper()
	sub, err := w.repo.Standin(w.t.Context(), w.pool.ID, pool.Identifier{Kind: pool.ByEmail, Value: email})
	must(w.t, err)
	return sub
}

// TestGuessesSurviveTheMachine: counters are in the store, not in the process.
func TestGuessesSurviveTheMachine(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	w.fail("ann@example.com", home, 5)
	e, err := repo.Get(t.Context(), w.repo, repo.GuessKey(w.pool.ID, u.Sub, "password", home))
	must(t, err)
	if !e.Found || !e.Expires.Equal(w.clock.now().Add(15*time.Minute)) {
		t.Errorf("%+v", e)
	}
}

// TestOneAddressTriesManyAccounts sprays: a password or two at each of many
// accounts, known and unknown.
func TestOneAddressTriesManyAccounts(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	device, _ := w.from("", home, "ann@example.com", password)
	for i := range 299 {
		w.fail(fmt.Sprintf("somebody-%d@example.com", i), away, 1)
	}
	if !w.signIn("ann@example.com", password, away) {
		t.Fatal("refused before the limit")
	}
	w.fail("one-more@example.com", away, 1)
	if w.signIn("ann@example.com", password, away) {
		t.Error("an address goes on after 300 failures")
	}
	if !w.signIn("ann@example.com", password, home) {
		t.Error("another address is refused")
	}
	if _, ok := w.from(device, away, "ann@example.com", password); !ok {
		t.Error("a known device is refused for what others do at its address")
	}
	w.clock.move(15 * time.Minute)
	if !w.signIn("ann@example.com", password, away) {
		t.Error("still refused after the window")
	}
}

package account_test

import (
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/store"
)

// entry returns the pool's first-user entry.
func (w *world) entry() repo.Entry[pool.FirstUser] {
	w.t.Helper()
	e, err := repo.Get(w.t.Context(), w.repo, repo.FirstUserKey(w.pool.ID))
	must(w.t, err)
	return e
}

func TestFirstLinkMakesAnOperatorOnce(t *testing.T) {
	w := newWorld(t)
	token := w.firstLink()
	for range 2 { // looking spends nothing
		link, err := w.accounts.OpenLink(t.Context(), w.pool, token)
		if err != nil || !link.First || link.User != nil {
			t.Fatal(link, err)
		}
	}
	_, err := w.spend(token, "not@an@address")
	wantCode(t, err, fault.Invalid)
	_, err = w.accounts.SpendLink(t.Context(), visitor, w.pool, token, "ann@example.com", "short")
	if _, ok := errors.AsType[*account.PasswordProblem](err); !ok {
		t.Fatal(err)
	}
	if w.entry().Value.Claimed {
		t.Fatal("a wrong answer has claimed the link")
	}
	u, err := w.spend(token, "ann@example.com")
	must(t, err)
	if !u.InGroup(pool.OperatorsGroup) || u.Username != string(u.Sub) || u.Status != pool.Confirmed || !u.Stands(u.Epoch) || u.VerifiedEmail() == "" {
		t.Errorf("%+v", u)
	}
	if w.entry().Found {
		t.Error("the entry is still there")
	}
	_, err = w.spend(token, "eve@example.com")
	wantCode(t, err, fault.NotFound)
	_, err = w.accounts.FirstLink(t.Context(), w.pool)
	wantCode(t, err, fault.Conflict)
	if n := len(w.users()); n != 1 {
		t.Errorf("%d users", n)
	}
}

func TestFirstLinkEnds(t *testing.T) {
	w := newWorld(t)
	old := w.firstLink()
	token := w.firstLink()
	_, err := w.spend(old, "eve")
	wantCode(t, err, fault.NotFound)

	w.clock.move(time.Hour)
	_, err = w.spend(token, "eve")
	wantCode(t, err, fault.NotFound)

	token = w.firstLink()
	w.clock.move(time.Hour - time.Second)
	_, err = w.accounts.OpenLink(t.Context(), w.pool, token)
	must(t, err)
	w.create(account.NewUser{Identifier: "bob", Password: secretWord}) // any other creation ends it
	_, err = w.accounts.OpenLink(t.Context(), w.pool, token)
	wantCode(t, err, fault.NotFound)
	_, err = w.spend(token, "eve")
	wantCode(t, err, fault.NotFound)
	if w.entry().Found {
		t.Error("the entry is still there")
	}
}

func TestFirstLinkOfAnotherPool(t *testing.T) {
	w := newWorld(t)
	w.firstLink()
	other := w.newPool("other")
	token, err := w.accounts.FirstLink(t.Context(), other)
	must(t, err)
	for _, bad := range []string{token, "", "x", token + "A"} {
		_, err = w.spend(bad, "eve")
		wantCode(t, err, fault.NotFound)
	}
}

func TestFirstLinkRace(t *testing.T) {
	w := newWorld(t)
	token := w.firstLink()
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() {
			_, err := w.spend(token, "user"+string(rune('a'+i)))
			switch code := fault.CodeOf(err); {
			case err == nil:
				won.Add(1)
			case code != fault.NotFound && code != fault.Conflict:
				t.Errorf("the loser got %v", err)
			}
		})
	}
	all.Wait()
	if n := len(w.users()); won.Load() != 1 || n != 1 {
		t.Errorf("%d won, %d users", won.Load(), n)
	}
}

// TestFirstLinkAgainstOperator lets the link race with an operator's own
// creation: both may succeed only if the link was claimed before it was ended.
func TestFirstLinkAgainstOperator(t *testing.T) {
	for range 20 {
		w := newWorld(t)
		token := w.firstLink()
		var all sync.WaitGroup
		all.Go(func() { w.create(account.NewUser{Identifier: "bob", Password: secretWord}) })
		all.Go(func() {
			if _, err := w.spend(token, "ann"); err != nil && fault.CodeOf(err) != fault.NotFound {
				t.Error(err)
			}
		})
		all.Wait()
		if w.entry().Found {
			t.Error("the entry outlives the creation")
		}
		_, err := w.spend(token, "eve")
		wantCode(t, err, fault.NotFound)
	}
}

func TestCrashAfterClaim(t *testing.T) {
	w := newWorld(t)
	token := w.firstLink()
	claim := func() pool.UserID {
		e := w.entry().Value
		e.Claimed = true
		_, err := w.repo.Update(t.Context(), w.pool.ID, repo.HomePartition(w.pool.ID), func(tx *repo.Tx) error {
			return repo.Put(tx, repo.FirstUserKey(w.pool.ID), e, tx.Now().Add(time.Hour))
		})
		must(t, err)
		return e.Sub
	}
	sub := claim()
	_, err := w.spend(token, "eve")
	wantCode(t, err, fault.Conflict)

	token = w.firstLink() // the process has started again
	slow := &pool.User{Sub: sub, Username: "slow", Status: pool.MustSetPassword, Groups: []string{pool.OperatorsGroup}}
	if err := w.repo.CreateUser(t.Context(), w.pool.ID, slow); err == nil {
		t.Fatal("the claim of the old link still counts")
	}
	u, err := w.spend(token, "ann")
	must(t, err)
	if u.Sub != sub {
		t.Error("the new link names another sub: a slow submitter of the old one could be a second operator")
	}
}

func TestFailedCreationGivesTheLinkBack(t *testing.T) {
	w := newWorld(t)
	token := w.firstLink()
	w.store.failing(func(tx store.Txn) bool { // users are table 3
		return slices.ContainsFunc(tx.Writes, func(wr store.Write) bool { return wr.Key.Table.ID == 3 })
	})
	_, err := w.spend(token, "ann")
	wantCode(t, err, fault.Unavailable)
	w.store.failing(nil)
	w.clock.move(time.Minute) // the alias's lease
	u, err := w.spend(token, "ann")
	must(t, err)
	if !u.InGroup(pool.OperatorsGroup) {
		t.Errorf("%+v", u)
	}
}

// TestFencedSub crashes an operator's creation after it has made the link's
// sub impossible and before it has deleted the link.
func TestFencedSub(t *testing.T) {
	w := newWorld(t)
	token := w.firstLink()
	w.store.failing(func(tx store.Txn) bool {
		return slices.ContainsFunc(tx.Writes, func(wr store.Write) bool { return wr.Key.Table.ID == 7 && wr.Delete })
	})
	_, err := w.accounts.Create(t.Context(), operator, w.pool, account.NewUser{Identifier: "bob", Password: secretWord})
	wantCode(t, err, fault.Unavailable)
	w.store.failing(nil)
	fenced := w.entry().Value.Sub
	u, err := w.spend(token, "ann")
	must(t, err)
	if u.Sub == fenced || u.Username != "ann" {
		t.Errorf("%+v", u)
	}
}

func (w *world) invite(sub pool.UserID) string {
	w.t.Helper()
	token, err := w.accounts.Invite(w.t.Context(), operator, w.pool, sub)
	must(w.t, err)
	return token
}

func TestInviteOnce(t *testing.T) {
	w := newWorld(t)
	ctx, sub := t.Context(), w.create(account.NewUser{Identifier: "ann@example.com"}).Sub
	token, second := w.invite(sub), w.invite(sub)
	link, err := w.accounts.OpenLink(ctx, w.pool, token)
	must(t, err)
	if link.First || link.User.Sub != sub {
		t.Errorf("%+v", link)
	}
	_, err = w.accounts.SpendLink(ctx, visitor, w.pool, token, "", "short")
	if _, ok := errors.AsType[*account.PasswordProblem](err); !ok {
		t.Fatal(err)
	}
	u, err := w.spend(token, "ignored@example.com")
	must(t, err)
	if u.Status != pool.Confirmed || u.Password == nil || u.Epoch != 1 || u.Email != "ann@example.com" {
		t.Errorf("%+v", u)
	}
	for _, used := range []string{token, second} {
		_, err = w.spend(used, "")
		wantCode(t, err, fault.NotFound)
	}
}

func TestInviteRace(t *testing.T) {
	w := newWorld(t)
	sub := w.create(account.NewUser{Identifier: "ann@example.com"}).Sub
	tokens := []string{w.invite(sub), w.invite(sub)}
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 12 {
		all.Go(func() {
			_, err := w.spend(tokens[i%2], "")
			if err == nil {
				won.Add(1)
			} else if fault.CodeOf(err) != fault.NotFound {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if won.Load() != 1 {
		t.Errorf("%d won", won.Load())
	}
}

func TestInviteEnds(t *testing.T) {
	w := newWorld(t)
	ctx, sub := t.Context(), w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord}).Sub
	gone := func(token string) {
		t.Helper()
		_, err := w.accounts.OpenLink(ctx, w.pool, token)
		wantCode(t, err, fault.NotFound)
		_, err = w.spend(token, "")
		wantCode(t, err, fault.NotFound)
	}
	token := w.invite(sub)
	w.clock.move(24*time.Hour - time.Second)
	_, err := w.accounts.OpenLink(ctx, w.pool, token)
	must(t, err)
	w.clock.move(time.Second)
	gone(token)

	token = w.invite(sub)
	_, err = w.accounts.SetPassword(ctx, operator, w.pool, sub, "another good one")
	must(t, err)
	gone(token) // a later epoch voids it

	token = w.invite(sub)
	must(t, w.accounts.Disable(ctx, operator, w.pool, sub))
	gone(token)
	_, err = w.accounts.Invite(ctx, operator, w.pool, sub)
	wantCode(t, err, fault.Conflict)

	must(t, w.accounts.Enable(ctx, operator, w.pool, sub))
	gone(token)
	token = w.invite(sub)
	must(t, w.accounts.Delete(ctx, operator, w.pool, sub))
	gone(token)
}

// TestCrashAfterInviteIsSpent fails to delete the entry: it must open nothing.
func TestCrashAfterInviteIsSpent(t *testing.T) {
	w := newWorld(t)
	sub := w.create(account.NewUser{Identifier: "ann@example.com"}).Sub
	token := w.invite(sub)
	w.store.failing(func(tx store.Txn) bool {
		return slices.ContainsFunc(tx.Writes, func(wr store.Write) bool { return wr.Key.Table.ID == 6 })
	})
	_, err := w.spend(token, "")
	must(t, err)
	w.store.failing(nil)
	_, err = w.spend(token, "")
	wantCode(t, err, fault.NotFound)
}

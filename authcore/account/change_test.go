package account_test

import (
	"slices"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func TestChangeIsOneCommit(t *testing.T) {
	w := newWorld(t)
	ann := w.create(account.NewUser{Identifier: "ann@example.com", Name: "Ann", Password: secretWord})
	w.create(account.NewUser{Identifier: "ben@example.com"})
	name, email, bad := "Ann Example", "Ann@Example.org", "no number"

	_, err := w.accounts.Change(t.Context(), operator, w.pool, ann.Sub, account.Change{Name: &name, Phone: &bad})
	wantCode(t, err, fault.Invalid)
	taken := "ben@example.com"
	_, err = w.accounts.Change(t.Context(), operator, w.pool, ann.Sub, account.Change{Name: &name, Email: &taken})
	wantCode(t, err, fault.Conflict)
	if u, err := w.accounts.Find(t.Context(), w.pool, "ann@example.com"); err != nil || u.Name != "Ann" {
		t.Errorf("a refused change left its mark: %+v, %v", u, err)
	}

	u, err := w.accounts.Change(t.Context(), operator, w.pool, ann.Sub, account.Change{Name: &name, Email: &email, Claims: map[string]string{"locale": "en"}})
	must(t, err)
	if u.Name != name || u.Email != "ann@example.org" || !u.EmailVerified || u.Claims["locale"] != "en" || u.Epoch != ann.Epoch || u.Password == nil {
		t.Errorf("%+v", u)
	}
	_, err = w.accounts.Find(t.Context(), w.pool, "ann@example.com")
	wantCode(t, err, fault.NotFound)

	none := ""
	_, err = w.accounts.Change(t.Context(), operator, w.pool, ann.Sub, account.Change{Email: &none})
	wantCode(t, err, fault.Invalid) // nobody could sign in
	_, err = w.accounts.Change(t.Context(), operator, w.pool, "00000000-0000-4000-8000-000000000000", account.Change{Name: &name})
	wantCode(t, err, fault.NotFound)
}

// Many who join and leave at once undo nothing of one another's.
func TestGroupsAreChangedOneByOne(t *testing.T) {
	w := newWorld(t)
	ann := w.create(account.NewUser{Identifier: "ann", Groups: []string{"old"}})
	var wg sync.WaitGroup
	for _, g := range []string{"a", "b", "c", "d"} {
		wg.Go(func() {
			if _, err := w.accounts.Join(t.Context(), operator, w.pool, ann.Sub, g); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Go(func() {
		if _, err := w.accounts.Leave(t.Context(), operator, w.pool, ann.Sub, "old"); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	u, err := w.accounts.Join(t.Context(), operator, w.pool, ann.Sub, "a") // twice is fine
	if err != nil || !slices.Equal(u.Groups, []string{"a", "b", "c", "d"}) {
		t.Errorf("%v, %v", u.Groups, err)
	}
}

func TestOnlyOperatorsChangeOthers(t *testing.T) {
	w := newWorld(t)
	ann := w.create(account.NewUser{Identifier: "ann"})
	name := "Mallory"
	for _, by := range []pool.Caller{visitor, {Kind: pool.Self, Name: string(ann.Sub)}, {}} {
		_, err := w.accounts.Change(t.Context(), by, w.pool, ann.Sub, account.Change{Name: &name})
		wantCode(t, err, fault.Forbidden)
		_, err = w.accounts.Join(t.Context(), by, w.pool, ann.Sub, pool.OperatorsGroup)
		wantCode(t, err, fault.Forbidden)
		_, err = w.accounts.Leave(t.Context(), by, w.pool, ann.Sub, "staff")
		wantCode(t, err, fault.Forbidden)
	}
	if u, err := w.accounts.Find(t.Context(), w.pool, "ann"); err != nil || u.Name != "" || len(u.Groups) != 0 {
		t.Errorf("%+v, %v", u, err)
	}
}

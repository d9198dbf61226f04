package account_test

import (
	"errors"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

const otherWord = "another good one"

func selfOf(u *pool.User) pool.Caller { return pool.Caller{Kind: pool.Self, Name: string(u.Sub)} }

func (w *world) load(sub pool.UserID) *pool.User {
	w.t.Helper()
	u, err := w.repo.User(w.t.Context(), w.pool.ID, sub)
	must(w.t, err)
	return u
}

func wantProblem(t *testing.T, err error, problem string) {
	t.Helper()
	if p, ok := errors.AsType[*account.PasswordProblem](err); !ok || p.Problem != problem {
		t.Fatalf("error %v, want the problem %s", err, problem)
	}
}

func TestPeopleChangeTheirProfile(t *testing.T) {
	w := newWorld(t)
	u := w.create(account.NewUser{Identifier: "ann@example.com", Name: "Ann", Password: secretWord, Groups: []string{"staff"}})
	claims := map[string]string{"given_name": " Ann ", "nickname": "  ", "address": "1 High Street\r\nOxford"}
	got, err := w.accounts.SetProfile(t.Context(), selfOf(u), w.pool, u.Sub, account.Profile{Name: " Ann B. ", Claims: claims})
	must(t, err)
	want := map[string]string{"given_name": "Ann", "address": "1 High Street\nOxford"}
	if now := w.load(u.Sub); now.Name != "Ann B." || !maps.Equal(now.Claims, want) || !maps.Equal(got.Claims, want) ||
		now.Epoch != u.Epoch || !now.InGroup("staff") || now.Email != u.Email {
		t.Errorf("%+v", now)
	}
	if claims["nickname"] != "  " {
		t.Error("the caller's map was changed")
	}
	_, err = w.accounts.SetProfile(t.Context(), selfOf(u), w.pool, u.Sub, account.Profile{Claims: map[string]string{"cognito:groups": "operators"}})
	wantCode(t, err, fault.Invalid)
	_, err = w.accounts.SetProfile(t.Context(), selfOf(u), w.pool, u.Sub, account.Profile{Claims: map[string]string{"website": "javascript:alert(1)"}})
	wantCode(t, err, fault.Invalid)
	if now := w.load(u.Sub); now.Name != "Ann B." || !maps.Equal(now.Claims, want) {
		t.Errorf("a refused profile has changed the user: %+v", now)
	}
	_, err = w.accounts.SetProfile(t.Context(), operator, w.pool, u.Sub, account.Profile{})
	must(t, err)
	if now := w.load(u.Sub); now.Name != "" || len(now.Claims) != 0 {
		t.Errorf("%+v", now)
	}
}

func TestPeopleChangeTheirPassword(t *testing.T) {
	w := newWorld(t)
	u := w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord})
	_, err := w.accounts.ChangePassword(t.Context(), selfOf(u), w.pool, u.Sub, 0, secretWord)
	wantProblem(t, err, "password_same")
	_, err = w.accounts.ChangePassword(t.Context(), selfOf(u), w.pool, u.Sub, 0, "short")
	wantProblem(t, err, "password_too_short")
	if now := w.load(u.Sub); now.Epoch != 0 || now.Password.PHC != u.Password.PHC {
		t.Errorf("a refused password has changed the user: %+v", now)
	}
	got, err := w.accounts.ChangePassword(t.Context(), selfOf(u), w.pool, u.Sub, 0, otherWord)
	must(t, err)
	if got.Epoch != 1 || got.Password.PHC == u.Password.PHC || got.Status != pool.Confirmed {
		t.Errorf("%+v", got)
	}
}

func TestRequiredPasswordChange(t *testing.T) {
	w := newWorld(t)
	u := w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord})
	_, err := w.accounts.RequirePasswordChange(t.Context(), operator, w.pool, u.Sub, "short")
	wantProblem(t, err, "password_too_short")
	got, err := w.accounts.RequirePasswordChange(t.Context(), operator, w.pool, u.Sub, otherWord)
	must(t, err)
	if got.Status != pool.MustChangePassword || got.Epoch != 1 || got.Stands(1) || !got.MayTry() {
		t.Errorf("%+v", got)
	}
	_, err = w.accounts.ChangePassword(t.Context(), selfOf(u), w.pool, u.Sub, 1, otherWord)
	wantProblem(t, err, "password_same")
	_, err = w.accounts.ChangePassword(t.Context(), selfOf(u), w.pool, u.Sub, 0, secretWord) // shown before
	wantCode(t, err, fault.Conflict)
	got, err = w.accounts.ChangePassword(t.Context(), selfOf(u), w.pool, u.Sub, 1, secretWord)
	must(t, err)
	if got.Status != pool.Confirmed || got.Epoch != 2 || !got.Stands(2) || got.Stands(1) {
		t.Errorf("%+v", got)
	}
}

func TestPeopleEndTheirSessions(t *testing.T) {
	w := newWorld(t)
	u := w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord})
	got, err := w.accounts.EndSessions(t.Context(), selfOf(u), w.pool, u.Sub)
	must(t, err)
	if got.Epoch != 1 || got.Stands(0) || !got.Stands(1) || got.Password.PHC != u.Password.PHC {
		t.Errorf("%+v", got)
	}
}

// selfVerbs are all that people may do to themselves, as somebody does them to somebody.
func (w *world) selfVerbs(by pool.Caller, sub pool.UserID) map[string]error {
	_, profile := w.accounts.SetProfile(w.t.Context(), by, w.pool, sub, account.Profile{Name: "Eve"})
	_, password := w.accounts.ChangePassword(w.t.Context(), by, w.pool, sub, 0, otherWord)
	_, sessions := w.accounts.EndSessions(w.t.Context(), by, w.pool, sub)
	return map[string]error{"user.set_profile": profile, "user.change_password": password, "user.end_sessions": sessions}
}

func TestNobodyChangesSomebodyElse(t *testing.T) {
	w := newWorld(t)
	u := w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord})
	eve := w.create(account.NewUser{Identifier: "eve@example.com", Password: secretWord, Groups: []string{pool.OperatorsGroup}})
	for _, by := range []pool.Caller{{}, visitor, selfOf(eve), {Kind: pool.Self}, {Kind: pool.Self, Name: strings.ToUpper(string(u.Sub))}} {
		w.log.Reset()
		for verb, err := range w.selfVerbs(by, u.Sub) {
			wantCode(t, err, fault.Forbidden)
			if line := "verb=" + verb + " allowed=false"; !strings.Contains(w.log.String(), line) {
				t.Errorf("%+v: no audit record %q in\n%s", by, line, w.log)
			}
		}
	}
	for _, by := range []pool.Caller{{}, visitor, selfOf(eve), selfOf(u)} {
		w.log.Reset()
		_, err := w.accounts.RequirePasswordChange(t.Context(), by, w.pool, u.Sub, otherWord)
		wantCode(t, err, fault.Forbidden)
		if !strings.Contains(w.log.String(), "verb=user.require_password_change allowed=false") {
			t.Errorf("no audit record in\n%s", w.log)
		}
	}
	if now := w.load(u.Sub); now.Epoch != 0 || now.Name != "" || now.Password.PHC != u.Password.PHC || now.Status != pool.Confirmed {
		t.Errorf("%+v", now)
	}
	_, err := w.accounts.SetProfile(t.Context(), pool.Caller{Kind: pool.Self}, w.pool, "", account.Profile{})
	wantCode(t, err, fault.Forbidden)
}

func TestDisabledPeopleChangeNothing(t *testing.T) {
	w := newWorld(t)
	u := w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord})
	must(t, w.accounts.Disable(t.Context(), operator, w.pool, u.Sub))
	w.log.Reset()
	for verb, err := range w.selfVerbs(selfOf(u), u.Sub) {
		wantCode(t, err, fault.Forbidden)
		if line := "verb=" + verb + " allowed=false"; !strings.Contains(w.log.String(), line) {
			t.Errorf("no audit record %q in\n%s", line, w.log)
		}
	}
	if now := w.load(u.Sub); now.Epoch != 1 || now.Name != "" || now.Password.PHC != u.Password.PHC {
		t.Errorf("%+v", now)
	}
	must(t, w.accounts.Delete(t.Context(), operator, w.pool, u.Sub))
	for _, err := range w.selfVerbs(operator, u.Sub) {
		wantCode(t, err, fault.NotFound)
	}
	_, err := w.accounts.RequirePasswordChange(t.Context(), operator, w.pool, u.Sub, otherWord)
	wantCode(t, err, fault.NotFound)
}

// TestPasswordChangedTwiceAtOnce: of changes that began from the same password
// one counts, so that a thief and the owner do not both believe to have won.
func TestPasswordChangedTwiceAtOnce(t *testing.T) {
	w := newWorld(t)
	u := w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord})
	var won atomic.Int32
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			_, err := w.accounts.ChangePassword(t.Context(), selfOf(u), w.pool, u.Sub, 0, otherWord+string(rune('a'+i)))
			switch {
			case err == nil:
				won.Add(1)
			case fault.CodeOf(err) != fault.Conflict:
				t.Error(err)
			}
		})
	}
	all.Wait()
	if epoch := w.load(u.Sub).Epoch; won.Load() != 1 || epoch != 1 {
		t.Errorf("%d won, epoch %d", won.Load(), epoch)
	}
}

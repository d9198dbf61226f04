package flow_test

import (
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

const chosen = "another battery of staples"

// mustChange makes a user whose password somebody else has chosen, and returns
// the attempt that asks for another.
func (w *world) mustChange() (*pool.User, *flow.Outcome) {
	w.t.Helper()
	u := w.user("ann@example.com", func(u *pool.User) { u.Status, u.Epoch = pool.MustChangePassword, 2 })
	out, err := w.answer(w.start(), "ann@example.com", password, home)
	must(w.t, err)
	if out.Done != nil || out.Ask == nil || out.Ask.Kind != prompt.ChangePassword || out.Wrong || out.Account != "ann@example.com" {
		w.t.Fatalf("%+v", out)
	}
	return u, out
}

func (w *world) change(b flow.Binding, sealed, password string) (*flow.Outcome, error) {
	return w.flow.Answer(w.t.Context(), w.pool, b, sealed, prompt.Answer{flow.FieldPassword: password}, flow.Visit{Address: home})
}

func TestAPasswordOfAnothersChoiceIsChangedFirst(t *testing.T) {
	w := newWorld(t)
	u, ask := w.mustChange()
	for problem, password := range map[string]string{"password_same": password, "password_too_short": "short", "password_is_name": "ann@example.com"} {
		out, err := w.change(browser, ask.Sealed, password)
		must(t, err)
		if !out.Wrong || out.Problem != problem || out.Ask.Kind != prompt.ChangePassword || out.Sealed != ask.Sealed {
			t.Errorf("%q: %+v", password, out)
		}
	}
	out, err := w.change(browser, ask.Sealed, chosen)
	must(t, err)
	now, err := w.repo.User(t.Context(), w.pool.ID, u.Sub)
	must(t, err)
	if d := out.Done; d == nil || d.Sub != u.Sub || d.Epoch != now.Epoch || d.Attempt == "" || d.Device == "" || now.Status != pool.Confirmed || now.Epoch <= u.Epoch {
		t.Fatalf("%+v, %+v", out, now)
	}
	if !w.signIn("ann@example.com", chosen, home) || w.signIn("ann@example.com", password, home) {
		t.Error("the old password is still the one")
	}
	if _, err := w.change(browser, ask.Sealed, "and yet another one"); !errors.Is(err, flow.ErrExpired) {
		t.Errorf("the attempt changes the password twice: %v", err)
	}
}

func TestAStoredAttemptOpensOnlyWhereItBelongs(t *testing.T) {
	w := newWorld(t)
	_, ask := w.mustChange()
	elsewhere := browser
	elsewhere.Cookie = "cookie-of-another"
	if _, err := w.change(elsewhere, ask.Sealed, chosen); !errors.Is(err, flow.ErrExpired) {
		t.Errorf("another browser: %v", err)
	}
	w.clock.move(10 * time.Minute)
	if _, err := w.change(browser, ask.Sealed, chosen); !errors.Is(err, flow.ErrExpired) {
		t.Errorf("ten minutes later: %v", err)
	}
}

func TestAStoredAttemptEndsWithWhatItStandsOn(t *testing.T) {
	for name, change := range map[string]func(*pool.User){
		"disabled":       func(u *pool.User) { u.Disabled = true },
		"signed out":     func(u *pool.User) { u.Epoch++ },
		"changed before": func(u *pool.User) { u.Status = pool.Confirmed },
	} {
		w := newWorld(t)
		u, ask := w.mustChange()
		_, err := w.repo.UpdateUser(t.Context(), w.pool.ID, u.Sub, func(u *pool.User) error { change(u); return nil })
		must(t, err)
		if _, err := w.change(browser, ask.Sealed, chosen); !errors.Is(err, flow.ErrExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

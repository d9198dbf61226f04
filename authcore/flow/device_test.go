package flow_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// from answers a new attempt on a device, and returns its cookie if the answer was taken.
func (w *world) from(device, address, identifier, password string) (cookie string, ok bool) {
	w.t.Helper()
	out, err := w.flow.Answer(w.t.Context(), w.pool, browser, w.start(),
		prompt.Answer{flow.FieldIdentifier: identifier, flow.FieldPassword: password}, flow.Visit{Address: address, Device: device})
	must(w.t, err)
	if out.Done == nil {
		return "", false
	}
	return out.Done.Device, true
}

// exhaust has strangers use up the account's guesses, from everywhere and from
// the owner's own address too.
func (w *world) exhaust(identifier string) {
	w.t.Helper()
	w.fail(identifier, home, 5)
	for i := range 100 {
		w.fail(identifier, fmt.Sprintf("198.51.100.%d", i), 1)
	}
}

func TestStrangersDoNotLockTheOwnerOut(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	device, ok := w.from("", home, "ann@example.com", password)
	if !ok || device == "" {
		t.Fatal("no device is remembered")
	}
	w.exhaust("ann@example.com")
	if _, ok := w.from("", "203.0.113.1", "ann@example.com", password); ok {
		t.Fatal("an unknown device got past the cap")
	}
	if _, ok := w.from(device, home, "ann@example.com", password); !ok {
		t.Error("the owner is locked out on a known device")
	}
}

func TestAKnownDeviceHasABudgetOfItsOwn(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	device, _ := w.from("", home, "ann@example.com", password)
	for range 5 {
		if _, ok := w.from(device, home, "ann@example.com", "wrong password"); ok {
			t.Fatal("a wrong password was taken")
		}
	}
	if _, ok := w.from(device, "203.0.113.77", "ann@example.com", password); ok {
		t.Error("a known device may guess for ever, from another address at least")
	}
	if w.guesses(u.Sub, "") != 0 || w.guesses(u.Sub, home) != 0 {
		t.Error("guesses on a known device count for strangers")
	}
	if _, ok := w.from("", home, "ann@example.com", password); !ok {
		t.Error("a lock of the device holds for others")
	}
	w.clock.move(time.Second)
	if _, ok := w.from(device, home, "ann@example.com", password); !ok {
		t.Error("still locked after the lock")
	}
}

func TestADeviceIsKnownToWhoSignedInThere(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	w.user("bob@example.com", nil)
	device, _ := w.from("", home, "ann@example.com", password)
	w.exhaust("bob@example.com")
	if _, ok := w.from(device, home, "bob@example.com", password); ok {
		t.Error("a device that Ann is known on opens Bob's account")
	}
	w.clock.move(24 * time.Hour)
	both, ok := w.from(device, home, "bob@example.com", password)
	if !ok {
		t.Fatal("refused")
	}
	for _, who := range []string{"ann@example.com", "bob@example.com"} {
		w.exhaust(who)
		if _, ok := w.from(both, home, who, password); !ok {
			t.Errorf("%s is not known on a device that both use", who)
		}
	}
}

func TestDevicesThatAreNotKnown(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	device, _ := w.from("", home, "ann@example.com", password)
	other := newWorld(t)
	foreign, _ := func() (string, bool) {
		other.user("ann@example.com", nil)
		return other.from("", home, "ann@example.com", password)
	}()
	w.exhaust("ann@example.com")
	for name, cookie := range map[string]string{"damaged": device[1:], "of another server": foreign, "invented": "AAAA"} {
		if _, ok := w.from(cookie, home, "ann@example.com", password); ok {
			t.Errorf("a device cookie that is %s is taken", name)
		}
	}
	w.clock.move(time.Second)
	_, err := w.repo.UpdateUser(t.Context(), w.pool.ID, u.Sub, func(u *pool.User) error {
		u.Password.Set = w.clock.now()
		return nil
	})
	must(t, err)
	if _, ok := w.from(device, home, "ann@example.com", password); ok {
		t.Error("a device is known although the password was set since")
	}
}

func TestKnownDevicesAreForgotten(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	device, _ := w.from("", home, "ann@example.com", password)
	w.clock.move(flow.DeviceLife)
	w.exhaust("ann@example.com")
	if _, ok := w.from(device, home, "ann@example.com", password); ok {
		t.Error("a device is known for ever")
	}
}

func TestConfirmIsAGuess(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	confirm := func(password string) bool {
		ok, err := w.flow.Confirm(t.Context(), w.pool, u.Sub, password, flow.Visit{Address: home})
		must(t, err)
		return ok
	}
	if !confirm(password) || confirm("wrong password") {
		t.Fatal("Confirm does not tell right from wrong")
	}
	for range 4 {
		confirm("wrong password")
	}
	if confirm(password) || w.signIn("ann@example.com", password, home) {
		t.Error("guesses at Confirm are free")
	}
}

package repo

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

// watched runs a change of every kind and checks what a watcher hears.
func watched(t *testing.T, r *rig) {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ann := r.create(t, newUser("ann@example.com"))
	part := UserPartition(r.pool, ann.Sub)
	end := r.clock.Now().Add(time.Hour)
	events := r.Watch(ctx, 0) // from the call, not from the first read

	change := func(fn func(*Tx) error) {
		t.Helper()
		if _, err := r.Update(ctx, r.pool, part, fn); err != nil {
			t.Fatal(err)
		}
	}
	change(func(tx *Tx) error {
		return errors.Join(
			Put(tx, SessionKey(r.pool, part, "sso"), pool.Session{Sub: ann.Sub}, end),
			Put(tx, SiteSessionKey(r.pool, part, "site"), pool.SiteSession{Sub: ann.Sub}, end),
			Put(tx, CodeKey(r.pool, part, "code"), pool.Code{Sub: ann.Sub}, end),
		)
	})
	change(func(tx *Tx) error { Delete(tx, CodeKey(r.pool, part, "code")); return nil })
	if _, err := r.UpdateUser(ctx, r.pool, ann.Sub, func(u *pool.User) error { u.Epoch++; return nil }); err != nil {
		t.Fatal(err)
	}
	change(func(tx *Tx) error {
		return Put(tx, FamilyRevocationKey(r.pool, ann.Sub, "origin"), pool.Revocation{Sub: ann.Sub, OriginJTI: "origin"}, end)
	})
	change(func(tx *Tx) error {
		Delete(tx, SessionKey(r.pool, part, "sso"))
		Delete(tx, SiteSessionKey(r.pool, part, "site"))
		return nil
	})

	epoch, family := false, false
	ended := map[string]bool{}
	for e, err := range events {
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case e.Pool != r.pool:
			t.Fatalf("event of pool %q", e.Pool)
		case e.Revocation != nil && e.Revocation.OriginJTI == "origin":
			family = true
		case e.Revocation != nil && e.Revocation.Epoch == 1 && e.Revocation.Sub == ann.Sub:
			epoch = true
		case e.Ended == "sso" || e.Ended == "site":
			ended[e.Ended] = true
		default:
			t.Fatalf("unexpected event %+v", e)
		}
		if epoch && family && len(ended) == 2 {
			return
		}
	}
	t.Fatalf("epoch %v, family %v, ended %v", epoch, family, ended)
}

func TestWatch(t *testing.T) {
	onBackends(t, watched)
}

func TestWatchAndKeepTwoStores(t *testing.T) {
	defer goleak.VerifyNone(t)
	c := newClock()
	directory, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "g.db"), sqlitestore.Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer directory.Close()
	sessions := memstore.New(memstore.Options{Now: c.Now})
	defer sessions.Close()
	r := &rig{clock: c, Repo: New(Config{Directory: directory, Session: sessions, Keys: testKeys(t, 1)})}
	p, err := r.EnsurePool(t.Context(), "default", issuer)
	if err != nil {
		t.Fatal(err)
	}
	r.pool = p.ID
	watched(t, r)

	for _, err := range r.Watch(t.Context(), 5) {
		if !errors.Is(err, store.ErrGap) {
			t.Fatal(err)
		}
	}
	end := c.Now().Add(time.Hour)
	k := SessionKey(r.pool, 1, "x")
	if _, err := r.Update(t.Context(), r.pool, 1, func(tx *Tx) error { return Put(tx, k, pool.Session{}, end) }); err != nil {
		t.Fatal(err)
	}
	for s, want := range map[store.Store]bool{directory: false, sessions: true} {
		entries, err := s.Get(t.Context(), k.key)
		if err != nil || entries[0].Version != 0 != want {
			t.Fatal("the session lies in the wrong store", err)
		}
	}
	_, err = r.Update(t.Context(), r.pool, 1, func(tx *Tx) error {
		return errors.Join(Put(tx, k, pool.Session{}, end), Put(tx, InviteKey(r.pool, 1, "x"), pool.Invite{}, end))
	})
	if !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("a commit of two kinds: %v", err)
	}
}

func TestWatchSeesPoolsOfOtherNodes(t *testing.T) {
	r := newRig(t)
	ann := r.create(t, newUser("ann@example.com"))
	other := New(Config{Directory: r.store, Keys: r.keys})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	events := other.Watch(ctx, 0)
	if err := r.DeleteUser(ctx, r.pool, ann.Sub); err != nil {
		t.Fatal(err)
	}
	for e, err := range events {
		if err != nil || e.Pool != r.pool || e.Revocation == nil || !e.Revocation.Gone {
			t.Fatalf("%+v, %v", e, err)
		}
		return
	}
	t.Fatal("nothing seen")
}

func TestWatchEnds(t *testing.T) {
	r := newRig(t)
	events := r.Watch(t.Context(), 0)
	if err := r.store.Close(); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, err := range events {
		wantCode(t, err, fault.Unavailable)
		n++
	}
	if n != 1 {
		t.Fatalf("%d items", n)
	}
	blind := New(Config{Directory: struct{ store.Store }{r.store}, Keys: r.keys})
	for _, err := range blind.Watch(t.Context(), 0) {
		wantCode(t, err, fault.NotSupported)
	}
}

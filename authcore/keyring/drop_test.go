package keyring

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// states is what there is of ES256 token keys, by id.
func states(t *testing.T, r *Ring, id pool.ID) map[string]string {
	t.Helper()
	list, err := r.List(context.Background(), id)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for _, k := range list {
		if k.Use == pool.TokenKeys && k.Alg == jose.ES256 {
			out[k.ID] = k.State
		}
	}
	return out
}

// Whichever key is dropped, in whichever state, it is gone at once, another
// signs, and something signs at every time that follows.
func TestADroppedKeyIsReplaced(t *testing.T) {
	for _, which := range []string{stateSigning, statePublished, stateRetiring} {
		t.Run(which, func(t *testing.T) {
			ctx, w := context.Background(), newWorld(t)
			r, other := w.ring(), w.ring()
			if err := r.Ensure(ctx, w.id); err != nil {
				t.Fatal(err)
			}
			rotate := func() {
				t.Helper()
				if _, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, false); err != nil {
					t.Fatal(err)
				}
			}
			rotate()
			w.clock.add(defaultOverlap + time.Minute)
			rotate() // now there is one in each state
			dropped := ""
			for id, state := range states(t, r, w.id) {
				if state == which {
					dropped = id
				}
			}
			before := signer(t, other, w.id, pool.TokenKeys, jose.ES256).ID()
			if dropped == "" || !published(t, r, w.id, dropped) {
				t.Fatalf("no key is %s", which)
			}
			if _, err := r.Drop(ctx, operator(), w.id, dropped); err != nil {
				t.Fatal(err)
			}
			if err := other.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			for name, ring := range map[string]*Ring{"the one that dropped": r, "another node": other} {
				now := signer(t, ring, w.id, pool.TokenKeys, jose.ES256).ID()
				if published(t, ring, w.id, dropped) || now == dropped || !published(t, ring, w.id, now) {
					t.Errorf("%s: still there, or nothing signs", name)
				}
				if which == stateRetiring && now != before {
					t.Errorf("%s: the signing key was changed for no reason", name)
				}
			}
			for range 100 {
				w.clock.add(time.Hour)
				signer(t, r, w.id, pool.TokenKeys, jose.ES256)
			}
			if _, err := r.Drop(ctx, operator(), w.id, dropped); !errors.Is(err, fault.NotFound) {
				t.Errorf("dropped twice: %v", err)
			}
		})
	}
}

func TestWhoMayDrop(t *testing.T) {
	ctx, w := context.Background(), newWorld(t)
	r := w.ring()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	id := signer(t, r, w.id, pool.TokenKeys, jose.ES256).ID()
	for _, kind := range []pool.CallerKind{pool.Self, pool.Visitor, ""} {
		if _, err := r.Drop(ctx, pool.Caller{Kind: kind}, w.id, id); !errors.Is(err, fault.Forbidden) {
			t.Errorf("%q: %v", kind, err)
		}
	}
	if !published(t, r, w.id, id) {
		t.Error("it is gone all the same")
	}
}

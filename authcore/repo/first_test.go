package repo

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func (r *rig) offerFirst(t *testing.T, sub pool.UserID) {
	t.Helper()
	_, err := r.Update(t.Context(), r.pool, HomePartition(r.pool), func(tx *Tx) error {
		return Put(tx, FirstUserKey(r.pool), pool.FirstUser{Sub: sub, Link: "hash"}, tx.Now().Add(time.Hour))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func (r *rig) claimFirst(t *testing.T) error {
	_, err := r.Update(t.Context(), r.pool, HomePartition(r.pool), func(tx *Tx) error {
		e, err := Read(tx, FirstUserKey(r.pool))
		if err != nil {
			return err
		}
		if !e.Found || e.Value.Claimed {
			return fault.New(fault.NotFound, "the link is spent")
		}
		e.Value.Claimed = true
		return Put(tx, FirstUserKey(r.pool), e.Value, e.Expires)
	})
	return err
}

func (r *rig) firstOffered(t *testing.T) bool {
	t.Helper()
	e, err := Get(t.Context(), r.Repo, FirstUserKey(r.pool))
	if err != nil {
		t.Fatal(err)
	}
	return e.Found
}

func TestFirstUser(t *testing.T) {
	ctx := t.Context()
	t.Run("must be claimed", func(t *testing.T) {
		r := newRig(t)
		first := newUser("first@example.com")
		r.offerFirst(t, first.Sub)
		wantCode(t, r.CreateUser(ctx, r.pool, first), fault.Forbidden)
		if err := r.claimFirst(t); err != nil {
			t.Fatal(err)
		}
		r.create(t, first)
		if r.firstOffered(t) {
			t.Fatal("the link outlived its use")
		}
		wantCode(t, r.claimFirst(t), fault.NotFound)
	})
	t.Run("another creation ends it, even when it is claimed", func(t *testing.T) {
		r := newRig(t)
		first := newUser("first@example.com")
		r.offerFirst(t, first.Sub)
		if err := r.claimFirst(t); err != nil {
			t.Fatal(err)
		}
		r.create(t, newUser("other@example.com"))
		if r.firstOffered(t) {
			t.Fatal("still offered")
		}
		wantCode(t, r.CreateUser(ctx, r.pool, first), fault.Conflict)
		if _, err := r.find(t, "first@example.com"); !errors.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
	})
	t.Run("a creation that fails leaves nothing of the user", func(t *testing.T) {
		r := newRig(t)
		first := newUser("first@example.com")
		r.offerFirst(t, first.Sub)
		bad := newUser("Not Normalised")
		wantCode(t, r.CreateUser(ctx, r.pool, bad), fault.Invalid)
		if !r.firstOffered(t) {
			t.Fatal("a refused creation ended the link")
		}
	})
}

// TestFirstUserRace: of many who submit the link, one makes the user; and of
// the link and another creation, never both when the other came first.
func TestFirstUserRace(t *testing.T) {
	for range 20 {
		r := newRig(t)
		first := newUser("first@example.com")
		r.offerFirst(t, first.Sub)
		var wins, otherDone, lateWins atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				if r.claimFirst(t) != nil {
					return
				}
				ended := otherDone.Load() > 0
				mine := *first
				if r.CreateUser(t.Context(), r.pool, &mine) == nil {
					wins.Add(1)
					if ended {
						lateWins.Add(1)
					}
				}
			})
		}
		wg.Go(func() {
			if err := r.CreateUser(t.Context(), r.pool, newUser("other@example.com")); err != nil {
				t.Error(err)
			}
			otherDone.Add(1)
		})
		wg.Wait()
		if wins.Load() > 1 || lateWins.Load() > 0 || r.firstOffered(t) {
			t.Fatalf("%d winners, %d of them after another creation had ended the link", wins.Load(), lateWins.Load())
		}
	}
	for range 20 {
		r := newRig(t)
		first := newUser("first@example.com")
		r.offerFirst(t, first.Sub)
		var wins atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				mine := *first
				if r.claimFirst(t) == nil && r.CreateUser(t.Context(), r.pool, &mine) == nil {
					wins.Add(1)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Fatalf("%d winners", wins.Load())
		}
	}
}

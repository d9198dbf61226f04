package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// testExpiry watches an entry expire by the store's clock, and come back.
func testExpiry(t *testing.T, s *suite) {
	k := key(Sessions, "s")
	expires := s.clock.Now().Add(10 * time.Minute)
	s.commit(store.Write{Key: k, Value: []byte("x"), Expires: expires.Add(999 * time.Microsecond)})
	if e := s.get(k); !e.Expires.Equal(expires) || e.Expires.Location() != time.UTC {
		t.Errorf("expires %v, want %v", e.Expires, expires)
	}
	s.clock.Advance(10*time.Minute - time.Millisecond)
	s.holds(k, "x")
	if n := len(s.scan(store.Range{Partition: part, Table: Sessions})); n != 1 {
		t.Errorf("%d entries just before the expiry", n)
	}
	s.clock.Advance(time.Millisecond)
	s.absent(k)
	if n := len(s.scan(store.Range{Partition: part, Table: Sessions})); n != 0 {
		t.Errorf("%d entries at the expiry", n)
	}
	s.commit(at(k, 0), put(k, "again"))
	s.holds(k, "again")

	far := s.clock.Now().AddDate(100, 0, 0)
	s.commit(store.Write{Key: k, Expires: far})
	if e := s.get(k); !e.Expires.Equal(far) {
		t.Errorf("expires %v, want %v", e.Expires, far)
	}
	s.commit(store.Write{Key: k, Expires: s.clock.Now()}) // late already
	s.absent(k)
	// Expired ones do not use up a page.
	for i := range 20 {
		s.commit(store.Write{Key: key(Sessions, fmt.Sprintf("%02d", i)), Expires: s.clock.Now().Add(time.Duration(1+i%2) * time.Minute)})
	}
	s.clock.Advance(time.Minute)
	if n := len(s.scan(store.Range{Partition: part, Table: Sessions, Limit: 10})); n != 10 {
		t.Errorf("a page of %d", n)
	}
}

// testEpoch fences commits to a failover epoch.
func testEpoch(t *testing.T, s *suite) {
	k := key(Codes, "c")
	r := s.commit(put(k, "1"))
	if r.Epoch == 0 || s.get(k).Epoch != r.Epoch || s.get(key(Codes, "none")).Epoch != r.Epoch {
		t.Errorf("epoch %d, entry %d, absent %d", r.Epoch, s.get(k).Epoch, s.get(key(Codes, "none")).Epoch)
	}
	for _, wrong := range []uint32{r.Epoch - 1, r.Epoch + 1} {
		if wrong == 0 {
			continue // means no fence
		}
		tx := txn(put(k, "2"))
		tx.Epoch = wrong
		s.refused(store.ErrEpoch, tx)
	}
	s.holds(k, "1")
	tx := txn(put(k, "2"))
	tx.Epoch = r.Epoch
	s.must(tx)
	s.holds(k, "2")
}

// testCancelled calls with a context that has ended.
func testCancelled(t *testing.T, s *suite) {
	k := key(Users, "a")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.store.Get(ctx, k); !errors.Is(err, context.Canceled) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.store.Scan(ctx, store.Range{Partition: part, Table: Users}); !errors.Is(err, context.Canceled) {
		t.Errorf("Scan: %v", err)
	}
	if _, err := s.store.Commit(ctx, txn(put(k, "x"))); !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v", err)
	}
	s.absent(k)

	// Cancelled under way, a commit is applied whole or not at all, and
	// others do not suffer.
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i)*20*time.Microsecond)
			defer cancel()
			name := fmt.Sprintf("%02d", i)
			_, err := s.store.Commit(ctx, txn(put(key(Users, name), "x"), put(key(Invites, name), "x")))
			if err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Error(err)
			}
		})
		group.Go(func() {
			if _, err := s.store.Commit(t.Context(), txn(put(key(Users, fmt.Sprintf("kept %02d", i)), "x"))); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	s.commit(put(k, "x")) // what was queued is decided when this is answered
	for i := range 32 {
		name := fmt.Sprintf("%02d", i)
		if a, b := s.get(key(Users, name)).Version, s.get(key(Invites, name)).Version; a != b {
			t.Errorf("half of a cancelled commit: versions %d and %d", a, b)
		}
		s.holds(key(Users, "kept "+name), "x")
	}
}

// testClosed calls a store that is closed, and closes it under load.
func testClosed(t *testing.T, s *suite) {
	k := key(Users, "a")
	s.commit(put(k, "x"))
	var group sync.WaitGroup
	begun := make(chan struct{}, 8)
	for range cap(begun) {
		group.Go(func() {
			for n := 0; ; n++ {
				_, err := s.store.Commit(t.Context(), txn(put(k, "y")))
				if err == nil {
					_, err = s.store.Get(t.Context(), k)
				}
				if n == 0 {
					begun <- struct{}{}
				}
				if err != nil {
					if !errors.Is(err, store.ErrClosed) {
						t.Error(err)
					}
					return
				}
			}
		})
	}
	for range cap(begun) {
		<-begun
	}
	for range 2 {
		if err := s.store.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
	group.Wait()
	if _, err := s.store.Get(t.Context(), k); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Get: %v", err)
	}
	if _, err := s.store.Scan(t.Context(), store.Range{Partition: part, Table: Users}); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Scan: %v", err)
	}
	if _, err := s.store.Commit(t.Context(), txn(put(k, "z"))); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Commit: %v", err)
	}
}

// testReopen closes cleanly and looks at what is left.
func testReopen(t *testing.T, s *suite) {
	kept, gone, brief, late := key(Users, "kept"), key(Users, "gone"), key(Codes, "brief"), key(Codes, "late")
	limit := key(Limits, "limit")
	s.commit(put(kept, "x"))
	s.commit(put(gone, "x"))
	s.commit(del(gone))
	soon := s.clock.Now().Add(time.Minute)
	s.commit(store.Write{Key: brief, Value: []byte("x"), Expires: soon})
	s.commit(store.Write{Key: late, Value: []byte("x"), Expires: soon.Add(time.Millisecond)})
	s.commit(put(limit, "x"))
	tx := txn(put(key(Users, "once"), "x"))
	tx.ID, tx.NotAfter = store.NewTxnID(), s.clock.Now().Add(store.MaxAhead)
	last := s.must(tx)
	before := s.get(kept)

	s.reopen()
	if d := differ([]store.Entry{before}, []store.Entry{s.get(kept)}); d != "" {
		t.Errorf("after a restart: %s", d)
	}
	s.absent(gone)
	s.holds(brief, "x")
	s.holds(limit, "x")
	if again := s.must(tx); again != last {
		t.Errorf("sent again after a restart: %v, first %v", again, last)
	}
	fenced := txn(put(gone, "back"))
	fenced.Epoch = last.Epoch // a clean restart raises nothing
	if r := s.must(fenced); r.Version <= last.Version || r.Epoch != last.Epoch {
		t.Errorf("%v after %v", r, last)
	}

	s.clock.Advance(time.Minute)
	s.reopen()
	s.absent(brief)
	s.holds(late, "x")
	s.clock.Advance(time.Millisecond)
	s.absent(late)
}

// testCrash ends the store uncleanly: the failover epoch rises and fences.
func testCrash(t *testing.T, s *suite) {
	if s.backend.Crash == nil {
		t.Skip("this backend has no crash to simulate")
	}
	user, code := key(Users, "u"), key(Codes, "c")
	before := s.commit(put(user, "x"))
	s.commit(put(code, "x"))
	for round := range uint32(3) {
		s.store = s.backend.Crash(t, s.store)
		s.holds(user, "x")
		fenced := txn(put(code, "redeemed"))
		fenced.Epoch = before.Epoch
		s.refused(store.ErrEpoch, fenced)
		if e := s.get(user); e.Epoch != before.Epoch || e.Version != before.Version {
			t.Errorf("an old entry became %v", e)
		}
		if e := s.get(key(Users, "none")); e.Epoch != before.Epoch+round+1 {
			t.Errorf("epoch %d after %d crashes, was %d", e.Epoch, round+1, before.Epoch)
		}
		fenced.Epoch += round + 1
		r := s.must(fenced)
		if r.Version <= before.Version || r.Epoch != fenced.Epoch {
			t.Errorf("%v after %v", r, before)
		}
	}
}

package storetest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

func (s *suite) watcher() store.Watcher {
	w, ok := s.store.(store.Watcher)
	if !ok {
		s.Skip("this backend has no change feed")
	}
	return w
}

// testWatch follows writes of several goroutines from two cursors.
func testWatch(t *testing.T, s *suite) {
	w := s.watcher()
	s.commit(put(key(Users, "before"), "x"))
	ctx, cancel := context.WithCancel(t.Context())
	changes := w.Watch(ctx, 0)
	// A refused one and a check alone are no changes.
	s.refused(store.ErrConflict, txn(at(key(Users, "w0"), 9), put(key(Users, "w0"), "x")))
	s.commit(at(key(Users, "w0"), 0))
	const writers, each = 4, 25
	var group sync.WaitGroup
	for i := range writers {
		group.Go(func() {
			for range each {
				k := key(Users, fmt.Sprint("w", i))
				if _, err := s.store.Commit(t.Context(), txn(put(k, "x"), del(key(Users, fmt.Sprint("d", i))))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	seen := s.follow(changes, 2*writers*each)
	group.Wait()
	for i, c := range seen {
		if c.Deleted != (c.Key.Name[0] == 'd') || c.Key.Table != Users || c.Key.Partition != part {
			t.Errorf("%v", c)
		}
		if i > 0 && (c.Cursor <= seen[i-1].Cursor || c.Version < seen[i-1].Version) {
			t.Errorf("%v after %v", c, seen[i-1])
		}
	}
	half := len(seen) / 2
	for i, c := range s.follow(w.Watch(t.Context(), seen[half].Cursor), len(seen)-half-1) {
		if c != seen[half+1+i] {
			t.Errorf("resumed: %v, want %v", c, seen[half+1+i])
		}
	}

	waiting := w.Watch(ctx, 0)
	group.Go(func() {
		for c, err := range waiting {
			t.Errorf("after the context's end: %v, %v", c, err)
		}
	})
	cancel()
	group.Wait()
}

// follow takes n changes.
func (s *suite) follow(changes iter.Seq2[store.Change, error], n int) (seen []store.Change) {
	s.Helper()
	for c, err := range changes {
		if err != nil {
			s.Fatalf("Watch: %v", err)
		}
		if seen = append(seen, c); len(seen) == n {
			break
		}
	}
	return seen
}

// testWatchGap asks for what is no longer held, and watches a store close.
func testWatchGap(t *testing.T, s *suite) {
	w := s.watcher()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ends := func(what string, want error, changes iter.Seq2[store.Change, error]) {
		t.Helper()
		var last error
		for _, err := range changes {
			if last != nil {
				t.Errorf("%s: the sequence went on after an error", what)
			}
			last = err
		}
		if !errors.Is(last, want) {
			t.Errorf("%s: ended with %v, want %v", what, last, want)
		}
	}
	ends("a cursor before the feed", store.ErrGap, w.Watch(ctx, 1))
	ends("a cursor beyond the feed", store.ErrGap, w.Watch(ctx, 1<<63))

	slow := w.Watch(ctx, 0)
	for range 20 { // 10 240 changes, more than a feed holds
		tx := txn()
		for i := range store.MaxOps {
			tx.Writes = append(tx.Writes, del(key(Limits, fmt.Sprint(i))))
		}
		s.must(tx)
	}
	ends("a slow watcher", store.ErrGap, slow)

	late := w.Watch(ctx, 0)
	s.commit(del(key(Limits, "last")))
	if err := s.store.Close(); err != nil {
		t.Fatal(err)
	}
	ends("a closed store", store.ErrClosed, late)
}

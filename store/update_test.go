package store_test

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

var (
	users  = store.Table{ID: 1, Kind: store.Directory, Listed: true, Expiry: store.NeverExpires, MaxValue: 100}
	logins = store.Table{ID: 2, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 100}
	alice  = store.Key{Partition: 7, Table: users, Name: "alice"}
	bob    = store.Key{Partition: 7, Table: users, Name: "bob"}
)

// flaky answers some commits with an error, before or after they are applied.
type flaky struct {
	*memstore.Store
	commits []store.Txn
	fail    func(n int, commit func() (store.Receipt, error)) (store.Receipt, error)
}

func (f *flaky) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	f.commits = append(f.commits, t)
	return f.fail(len(f.commits), func() (store.Receipt, error) { return f.Store.Commit(ctx, t) })
}

func put(t *testing.T, s store.Store, k store.Key, v string) store.Receipt {
	t.Helper()
	r, err := store.Update(t.Context(), s, k.Partition, func(tx *store.Tx) error {
		tx.Put(k, []byte(v), time.Time{})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func value(t *testing.T, s store.Store, k store.Key) string {
	t.Helper()
	e, err := s.Get(t.Context(), k)
	if err != nil {
		t.Fatal(err)
	}
	return string(e[0].Value)
}

func TestUpdateSeesItsOwnWrites(t *testing.T) {
	s := memstore.New(memstore.Options{})
	put(t, s, alice, "old")
	given := []byte("new")
	_, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error {
		before, err := tx.Get(alice, bob, alice)
		if err != nil || before[0].Version == 0 || before[1].Version != 0 || string(before[2].Value) != "old" {
			t.Errorf("before: %v, %v", before, err)
		}
		before[0].Value[0] = 'X'
		tx.Put(alice, given, time.Time{})
		given[0] = 'X'
		tx.Delete(bob)
		after, _ := tx.Get(alice, bob)
		if after[0].Version != store.Pending || string(after[0].Value) != "new" || after[1].Version != 0 {
			t.Errorf("after: %v", after)
		}
		after[0].Value[0] = 'X'
		if peek, _ := tx.Peek(alice); string(peek[0].Value) != "old" {
			t.Errorf("Peek shows %q", peek[0].Value)
		}
		tx.Delete(alice)
		tx.Put(alice, []byte("newer"), time.Time{})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := value(t, s, alice); got != "newer" {
		t.Errorf("committed %q", got)
	}
}

func TestUpdateChecksWhatItRead(t *testing.T) {
	s := memstore.New(memstore.Options{})
	put(t, s, alice, "1")
	runs := 0
	_, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error {
		runs++
		e, err := tx.Get(alice)
		if err != nil {
			return err
		}
		if runs == 1 {
			put(t, s, alice, "2") // a rival between read and commit
		}
		tx.Put(bob, append([]byte("saw "), e[0].Value...), time.Time{})
		return nil
	})
	if err != nil || runs != 2 || value(t, s, bob) != "saw 2" {
		t.Errorf("%d runs, %q, %v", runs, value(t, s, bob), err)
	}
}

func TestUpdateCountsExactly(t *testing.T) {
	s := memstore.New(memstore.Options{})
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			for range 20 {
				if _, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error {
					e, err := tx.Get(alice)
					if err != nil {
						return err
					}
					n, _ := strconv.Atoi(string(e[0].Value))
					tx.Put(alice, strconv.AppendInt(nil, int64(n+1), 10), time.Time{})
					return nil
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	if got := value(t, s, alice); got != "320" {
		t.Errorf("counted %s, want 320", got)
	}
}

func TestUpdateGivesUp(t *testing.T) { synctest.Test(t, testUpdateGivesUp) }

func testUpdateGivesUp(t *testing.T) {
	s := &flaky{Store: memstore.New(memstore.Options{})}
	s.fail = func(int, func() (store.Receipt, error)) (store.Receipt, error) {
		return store.Receipt{}, store.ErrConflict
	}
	write := func(tx *store.Tx) error { tx.Put(alice, nil, time.Time{}); return nil }
	if _, err := store.Update(t.Context(), s, 7, write); !errors.Is(err, store.ErrConflict) || len(s.commits) != 64 {
		t.Errorf("%d attempts, %v", len(s.commits), err)
	}
	ids := map[store.TxnID]bool{}
	for _, c := range s.commits {
		ids[c.ID] = true
	}
	if len(ids) != 64 {
		t.Errorf("%d ids for 64 attempts", len(ids))
	}

	ctx, cancel := context.WithCancel(t.Context())
	runs := 0
	_, err := store.Update(ctx, s, 7, func(tx *store.Tx) error {
		if runs++; runs == 3 {
			cancel()
		}
		return write(tx)
	})
	if !errors.Is(err, context.Canceled) || runs != 3 {
		t.Errorf("after cancelling: %d runs, %v", runs, err)
	}
}

func TestUpdateAfterAnUnknownOutcome(t *testing.T) {
	broken := errors.New("connection lost")
	for name, applied := range map[string]bool{"applied": true, "not applied": false} {
		t.Run(name, func(t *testing.T) {
			s := &flaky{Store: memstore.New(memstore.Options{})}
			s.fail = func(n int, commit func() (store.Receipt, error)) (store.Receipt, error) {
				if n == 1 {
					if applied {
						commit()
					}
					return store.Receipt{}, broken
				}
				return commit()
			}
			r := put(t, s, alice, "once")
			if len(s.commits) != 2 || s.commits[0].ID != s.commits[1].ID || r.Version != 1 {
				t.Errorf("%d commits, receipt %v", len(s.commits), r)
			}
		})
	}
	t.Run("forgotten", func(t *testing.T) {
		s := &flaky{Store: memstore.New(memstore.Options{})}
		s.fail = func(n int, _ func() (store.Receipt, error)) (store.Receipt, error) {
			return store.Receipt{}, []error{broken, store.ErrDeadline}[n-1]
		}
		_, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error { tx.Delete(alice); return nil })
		if !errors.Is(err, broken) || len(s.commits) != 2 {
			t.Errorf("%d commits, %v", len(s.commits), err)
		}
	})
	t.Run("twice", func(t *testing.T) {
		s := &flaky{Store: memstore.New(memstore.Options{})}
		s.fail = func(int, func() (store.Receipt, error)) (store.Receipt, error) { return store.Receipt{}, broken }
		_, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error { tx.Delete(alice); return nil })
		if !errors.Is(err, broken) || len(s.commits) != 2 {
			t.Errorf("%d commits, %v", len(s.commits), err)
		}
	})
}

func TestUpdateWithoutWritesCommitsNothing(t *testing.T) {
	s := &flaky{Store: memstore.New(memstore.Options{})}
	r, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error {
		tx.Require(alice, 99)
		_, err := tx.Get(bob)
		return err
	})
	if err != nil || r != (store.Receipt{}) || len(s.commits) != 0 {
		t.Errorf("%v, %v, %d commits", r, err, len(s.commits))
	}
	refusal := errors.New("no")
	if _, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error { tx.Delete(bob); return refusal }); err != refusal || len(s.commits) != 0 {
		t.Errorf("%v, %d commits", err, len(s.commits))
	}
}

func TestUpdateRefusesMisuse(t *testing.T) {
	s := memstore.New(memstore.Options{})
	elsewhere := store.Key{Partition: 8, Table: users, Name: "carol"}
	for name, c := range map[string]struct {
		fn   func(tx *store.Tx) error
		want error
	}{
		"read elsewhere":  {func(tx *store.Tx) error { _, err := tx.Get(elsewhere); return err }, store.ErrInvalid},
		"write elsewhere": {func(tx *store.Tx) error { tx.Put(elsewhere, nil, time.Time{}); return nil }, store.ErrInvalid},
		"two kinds": {func(tx *store.Tx) error {
			tx.Delete(store.Key{Partition: 7, Table: logins, Name: "x"})
			tx.Delete(bob)
			return nil
		}, store.ErrInvalid},
		"epoch zero":       {func(tx *store.Tx) error { tx.FenceEpoch(0); tx.Delete(bob); return nil }, store.ErrInvalid},
		"two epochs":       {func(tx *store.Tx) error { tx.FenceEpoch(1); tx.FenceEpoch(2); tx.Delete(bob); return nil }, store.ErrEpoch},
		"a value too long": {func(tx *store.Tx) error { tx.Put(bob, bytes.Repeat([]byte{1}, 101), time.Time{}); return nil }, store.ErrTooLarge},
		"a stale version":  {func(tx *store.Tx) error { tx.Require(alice, 5); tx.Delete(bob); return nil }, store.ErrConflict},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := store.Update(t.Context(), s, 7, c.fn); !errors.Is(err, c.want) {
				t.Errorf("%v, want %v", err, c.want)
			}
		})
	}
	if _, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error { _, err := tx.Peek(elsewhere); return err }); err != nil {
		t.Errorf("Peek elsewhere: %v", err)
	}
}

func TestUpdateDoesNotRetryWhatIsRequired(t *testing.T) {
	s := memstore.New(memstore.Options{})
	version := put(t, s, alice, "1").Version
	for name, c := range map[string]struct {
		version uint64
		want    error
	}{"right": {version, nil}, "stale": {version + 7, store.ErrConflict}, "absent": {0, store.ErrConflict}} {
		runs := 0
		_, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error {
			if runs++; runs == 1 {
				put(t, s, bob, name) // a rival for what is read, too
			}
			_, err := tx.Get(bob)
			tx.Require(alice, c.version)
			tx.Delete(bob)
			return err
		})
		if !errors.Is(err, c.want) || runs != 1 {
			t.Errorf("%s: %v after %d runs", name, err, runs)
		}
	}

	runs := 0
	_, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error {
		_, err := tx.Get(bob)
		if runs++; runs == 1 {
			put(t, s, bob, "rival") // what was read changes, what is required holds
		}
		tx.Require(alice, version)
		tx.Delete(bob)
		return err
	})
	if err != nil || runs != 2 {
		t.Errorf("%v after %d runs", err, runs)
	}
}

func TestUpdateFencesTheEpoch(t *testing.T) {
	s := memstore.New(memstore.Options{})
	update := func(epoch uint32) error {
		_, err := store.Update(t.Context(), s, 7, func(tx *store.Tx) error {
			tx.FenceEpoch(epoch)
			tx.Put(alice, nil, time.Time{})
			return nil
		})
		return err
	}
	if err := update(1); err != nil {
		t.Fatal(err)
	}
	s.Failover()
	if err := update(1); !errors.Is(err, store.ErrEpoch) {
		t.Errorf("after a failover: %v", err)
	}
	if err := update(2); err != nil {
		t.Error(err)
	}
}

func TestUpdateUsesTheStoresClock(t *testing.T) {
	then := time.Date(1999, 12, 31, 23, 59, 0, 0, time.UTC)
	s := memstore.New(memstore.Options{Now: func() time.Time { return then }})
	if r := put(t, s, alice, "1"); !r.At.Equal(then) {
		t.Errorf("committed at %v", r.At)
	}
}

package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

// still returns a store without its goroutine: the test is the writer.
func still(t *testing.T, clock *storetest.Clock) *Store {
	t.Helper()
	s, err := prepare(t.Context(), filepath.Join(t.TempDir(), "store.db"), Options{Now: clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.release(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func write(t store.Table, name string, expires time.Time) store.Write {
	return store.Write{Key: store.Key{Partition: 9, Table: t, Name: name}, Value: []byte("x"), Expires: expires}
}

// serve runs transactions as one batch.
func serve(s *Store, txns ...store.Txn) []answer {
	var batch []request
	var done []chan answer
	for _, t := range txns {
		ch := make(chan answer, 1)
		done = append(done, ch)
		batch = append(batch, request{context.Background(), t, ch})
	}
	s.writer.serve(batch)
	var out []answer
	for _, ch := range done {
		out = append(out, <-ch)
	}
	return out
}

func count(t *testing.T, s *Store, table string) (n int) {
	t.Helper()
	if err := s.reads.QueryRow("SELECT count(*) FROM " + table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestABatchIsOneTransactionJudgedInOrder(t *testing.T) {
	s := still(t, storetest.NewClock())
	var txns []store.Txn
	for i := range 200 {
		w := write(storetest.Users, fmt.Sprint(i/2), time.Time{}) // each name twice
		txns = append(txns, store.Txn{Partition: 9, Checks: []store.Check{{Key: w.Key}}, Writes: []store.Write{w}})
	}
	for i, a := range serve(s, txns...) {
		if i%2 == 0 && (a.err != nil || a.receipt.Version != uint64(i/2+1)) {
			t.Errorf("first of its name: %v, %v", a.receipt, a.err)
		}
		if i%2 == 1 && !errors.Is(a.err, store.ErrConflict) {
			t.Errorf("second of its name: %v", a.err)
		}
	}
	if s.writer.batches != 1 {
		t.Errorf("%d SQLite transactions", s.writer.batches)
	}
}

func TestWhatIsOnlyInTheLogIsFlushedAtTheNextTick(t *testing.T) {
	clock := storetest.NewClock()
	s := still(t, clock)
	session := store.Txn{Partition: 9, Writes: []store.Write{write(storetest.Sessions, "s", clock.Now().Add(time.Hour))}}
	user := store.Txn{Partition: 9, Writes: []store.Write{write(storetest.Users, "u", time.Time{})}}
	for _, step := range []struct {
		txns  []store.Txn
		level level
		dirty bool
	}{
		{[]store.Txn{session}, normal, true},
		{[]store.Txn{user}, full, false}, // takes the session along
		{[]store.Txn{session, user}, full, false},
		{[]store.Txn{session, session}, normal, true},
	} {
		serve(s, step.txns...)
		if s.writer.level != step.level || s.writer.dirty != step.dirty {
			t.Errorf("after %d transactions: level %s, dirty %t", len(step.txns), s.writer.level, s.writer.dirty)
		}
	}
	s.writer.maintain()
	if s.writer.dirty {
		t.Error("not flushed")
	}
	if tick > time.Second/2 {
		t.Errorf("a tick of %v is no promise of a second", tick)
	}
}

func TestSweep(t *testing.T) {
	clock := storetest.NewClock()
	s := still(t, clock)
	soon := clock.Now().Add(time.Minute)
	for i := range 5 {
		var writes []store.Write
		for j := range 300 {
			writes = append(writes, write(storetest.Sessions, fmt.Sprint(i, ".", j), soon))
		}
		serve(s, store.Txn{Partition: 9, ID: store.NewTxnID(), NotAfter: soon, Writes: writes})
	}
	serve(s, store.Txn{Partition: 9, Writes: []store.Write{write(storetest.Sessions, "kept", soon.Add(1e9)), write(storetest.Codes, "kept", time.Time{})}})
	s.writer.maintain()
	if kv, ids := count(t, s, "kv"), count(t, s, "txn"); kv != 1502 || ids != 5 {
		t.Errorf("before: %d entries, %d ids", kv, ids)
	}
	clock.Advance(time.Minute + time.Millisecond)
	for range 5 { // the time budget may end a sweep early
		s.writer.maintain()
	}
	if kv, ids := count(t, s, "kv"), count(t, s, "txn"); kv != 2 || ids != 0 {
		t.Errorf("after: %d entries, %d ids", kv, ids)
	}
}

func TestRecovery(t *testing.T) {
	s := still(t, storetest.NewClock())
	user := store.Txn{Partition: 9, Writes: []store.Write{write(storetest.Users, "u", time.Time{})}}
	if a := serve(s, user)[0]; a.err != nil {
		t.Fatal(a.err)
	}
	broken := errors.New("fsync: input/output error")
	s.writer.broken = broken
	if a := serve(s, user)[0]; !errors.Is(a.err, store.ErrUnavailable) || !errors.Is(a.err, broken) {
		t.Errorf("while broken: %v", a.err)
	}
	if e, err := s.Get(t.Context(), user.Writes[0].Key); err != nil || e[0].Version != 1 {
		t.Errorf("a read while broken: %v, %v", e, err)
	}
	s.writer.maintain()
	if a := serve(s, user)[0]; a.err != nil || a.receipt.Version != 2 {
		t.Errorf("recovered: %v, %v", a.receipt, a.err)
	}

	s.writer.seq[9] = 3 // acknowledged, and not in the file
	s.writer.broken = broken
	for range 2 {
		s.writer.maintain()
		if a := serve(s, user)[0]; !errors.Is(a.err, store.ErrUnavailable) || !errors.Is(a.err, errLost) {
			t.Errorf("after a loss: %v", a.err)
		}
	}
}

func TestCheckpoint(t *testing.T) {
	s := still(t, storetest.NewClock())
	user := store.Txn{Partition: 9, Writes: []store.Write{write(storetest.Users, "u", time.Time{})}}
	serve(s, user)
	for range checkpointTicks {
		if s.writer.logged == 0 {
			t.Fatal("folded too early")
		}
		s.writer.maintain()
	}
	if s.writer.logged != 0 || s.writer.broken != nil {
		t.Errorf("%d bytes in the log, %v", s.writer.logged, s.writer.broken)
	}
	value := write(storetest.Invites, "large", time.Time{})
	value.Value = make([]byte, 1<<20)
	for i := range 40 {
		serve(s, store.Txn{Partition: 9, Writes: []store.Write{value}})
		if i > 20 && s.writer.logged > checkpointBytes+2<<20 {
			t.Fatalf("%d bytes in the log", s.writer.logged)
		}
	}
	if info, err := os.Stat(s.writer.path + "-wal"); err != nil || info.Size() > 2*checkpointBytes {
		t.Errorf("the log has %d bytes, %v", info.Size(), err)
	}
}

// BenchmarkCommitDirectory measures commits that are on disk before the answer.
func BenchmarkCommitDirectory(b *testing.B) {
	for _, writers := range []int{1, 64} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			s, err := Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), Options{})
			if err != nil {
				b.Fatal(err)
			}
			next := make(chan int)
			done := make(chan error, writers)
			for range writers {
				go func() {
					var failed error
					for i := range next {
						w := write(storetest.Users, fmt.Sprintf("%09d", i), time.Time{})
						w.Key.Partition = store.Partition(i)
						if _, err := s.Commit(b.Context(), store.Txn{
							ID: store.NewTxnID(), NotAfter: time.Now().Add(30 * time.Second), Partition: w.Key.Partition,
							Checks: []store.Check{{Key: w.Key}}, Writes: []store.Write{w},
						}); err != nil {
							failed = err
						}
					}
					done <- failed
				}()
			}
			i := 0
			for b.Loop() {
				next <- i
				i++
			}
			close(next)
			for range writers {
				if err := <-done; err != nil {
					b.Error(err)
				}
			}
			if err := s.Close(); err != nil {
				b.Error(err)
			}
			b.ReportMetric(float64(i)/float64(s.writer.batches), "commits/fsync")
		})
	}
}

// BenchmarkGet measures a point read.
func BenchmarkGet(b *testing.B) {
	s, err := Open(b.Context(), filepath.Join(b.TempDir(), "store.db"), Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	w := write(storetest.Users, "u", time.Time{})
	if _, err := s.Commit(b.Context(), store.Txn{Partition: 9, Writes: []store.Write{w}}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := s.Get(b.Context(), w.Key); err != nil {
			b.Fatal(err)
		}
	}
}

// TestVersionsDoNotRepeat loses acknowledged session commits, as a power cut
// may, and looks whether their versions are given out again.
func TestVersionsDoNotRepeat(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, time.Now)
	session := store.Txn{Partition: 9, Writes: []store.Write{write(storetest.Sessions, "s", time.Now().Add(time.Hour))}}
	seen := map[uint64]bool{}
	for range 3 {
		for range 3 {
			r, err := s.Commit(t.Context(), session)
			if err != nil {
				t.Fatal(err)
			}
			if seen[r.Version] {
				t.Errorf("version %d a second time", r.Version)
			}
			seen[r.Version] = true
		}
		s.abandon.Store(true)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"UPDATE part SET seq = seq - 2", "DELETE FROM kv"} {
			if _, err := db.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		s = open(t, path, time.Now)
	}
}

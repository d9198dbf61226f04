package sqlitestore

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVar); role != "" {
		os.Exit(play(role))
	}
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, path string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(t.Context(), path, Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func reopen(t testing.TB, s store.Store) store.Store {
	t.Helper()
	old := s.(*Store)
	if err := old.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, old.writer.path, old.now)
}

// crash ends the store without flush and mark, as a killed process would.
func crash(t testing.TB, s store.Store) store.Store {
	t.Helper()
	old := s.(*Store)
	old.abandon.Store(true)
	return reopen(t, s)
}

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Backend{
		Open: func(t testing.TB, now func() time.Time) store.Store {
			return open(t, filepath.Join(t.TempDir(), "new", "store.db"), now)
		},
		Reopen: reopen,
		Crash:  crash,
	})
}

// TestLockStep runs the same histories on the model, in memory and in a file.
func TestLockStep(t *testing.T) {
	clock := storetest.NewClock()
	var mem, file store.Store
	partition := store.Partitions
	rapid.Check(t, func(rt *rapid.T) {
		if partition == store.Partitions {
			mem = memstore.New(memstore.Options{Now: clock.Now})
			file, partition = open(t, filepath.Join(t.TempDir(), "store.db"), clock.Now), 0
		}
		rivals := []store.Store{storetest.Model(clock.Now), mem, file}
		storetest.LockStep(rt, clock, store.Partition(partition), rivals, func(rivals []store.Store) {
			rivals[2] = reopen(t, rivals[2])
		})
		file = rivals[2]
		partition++
	})
}

// TestCrashesLeaveNoGrowingLog: what processes that crash young leave in the
// log is folded into the file by the next one, so that starts stay quick. A
// crash is a copy of the files as they are while the store is open.
func TestCrashesLeaveNoGrowingLog(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	table := store.Table{ID: 1, Kind: store.Directory, Expiry: store.NeverExpires, MaxValue: 1 << 16}
	for i := range 5 {
		s, err := Open(t.Context(), path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		if log, err := os.Stat(path + "-wal"); err != nil || log.Size() > 256<<10 {
			t.Errorf("start %d begins with a log of %v, %v", i, log, err)
		}
		for n := range 20 {
			key := store.Key{Partition: 1, Table: table, Name: string(rune('a'+n)) + string(rune('a'+i))}
			if _, err := s.Commit(t.Context(), store.Txn{Partition: 1, Writes: []store.Write{{Key: key, Value: make([]byte, 1<<15)}}}); err != nil {
				t.Fatal(err)
			}
		}
		crashed := filepath.Join(t.TempDir(), "store.db")
		for _, suffix := range []string{"", "-wal"} {
			raw, err := os.ReadFile(path + suffix)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(crashed+suffix, raw, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		path = crashed
	}
}

package memstore

import (
	"fmt"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// TestMemoryIsGivenBack follows what is kept of entries that expire, that are
// overwritten, and of transaction ids.
func TestMemoryIsGivenBack(t *testing.T) {
	now := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	s := New(Options{Now: func() time.Time { return now }})
	table := store.Table{ID: 1, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 1}
	put := func(name string, life time.Duration) {
		t.Helper()
		_, err := s.Commit(t.Context(), store.Txn{
			ID: store.NewTxnID(), NotAfter: now.Add(time.Second),
			Writes: []store.Write{{Key: store.Key{Table: table, Name: name}, Expires: now.Add(life)}},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for i := range 1000 {
		put(fmt.Sprint(i), time.Minute)
	}
	for range 5000 {
		put("often", time.Hour)
		now = now.Add(time.Millisecond)
	}
	if n := len(s.expiry); n > 5000 {
		t.Errorf("%d marks for 1001 entries", n)
	}
	if n := len(s.done); n > 3000 {
		t.Errorf("%d ids are remembered for a second", n)
	}
	now = now.Add(time.Minute)
	for range 20 {
		put("often", time.Hour)
	}
	entries := s.parts[0].tables[1]
	if len(entries.entries) != 1 || len(entries.names) != 1 {
		t.Errorf("%d entries and %d names are left, want 1", len(entries.entries), len(entries.names))
	}
}

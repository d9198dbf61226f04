// Package storetest is the suite that every storage backend must pass: the
// contract of package store as tests. It owns a moving clock, a plain model of
// a store and the histories that are run against both. It tests no backend's
// files or wire format; those tests stand beside the backend.
package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Backend tells the suite how to get a store. A backend that forgets
// everything at Close leaves Reopen nil.
type Backend struct {
	// Open returns an empty store that the test closes itself, or leaves open:
	// Open must register a clean-up that closes it.
	Open func(t testing.TB, now func() time.Time) store.Store
	// Reopen closes s cleanly and opens its content again.
	Reopen func(t testing.TB, s store.Store) store.Store
	// Crash ends s as a killed process or a lost primary would, and returns
	// what a client works with afterwards.
	Crash func(t testing.TB, s store.Store) store.Store
}

// Run runs the whole suite.
func Run(t *testing.T, b Backend) {
	for name, test := range map[string]func(*testing.T, *suite){
		"Matrix":            testMatrix,
		"AllOrNothing":      testAllOrNothing,
		"Refusals":          testRefusals,
		"CounterRaces":      testCounterRaces,
		"RedeemOnce":        testRedeemOnce,
		"SameTxn":           testSameTxn,
		"Deadline":          testDeadline,
		"Epoch":             testEpoch,
		"Versions":          testVersions,
		"Expiry":            testExpiry,
		"Names":             testNames,
		"ScanBounds":        testScanBounds,
		"PagingUnderWrites": testPagingUnderWrites,
		"Aliasing":          testAliasing,
		"Partitions":        testPartitions,
		"Cancelled":         testCancelled,
		"Closed":            testClosed,
		"Reopen":            testReopen,
		"Crash":             testCrash,
		"Watch":             testWatch,
		"WatchGap":          testWatchGap,
		"Model":             testModel,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := &suite{T: t, backend: b, clock: NewClock()}
			s.store = b.Open(t, s.clock.Now)
			test(t, s)
		})
	}
}

// Clock is a clock that moves when it is told to.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that stands at a round time in 2030.
func NewClock() *Clock {
	return &Clock{now: time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)}
}

// Now is the time it shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Advance moves it on.
func (c *Clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Tables of each sort.
var (
	Users    = store.Table{ID: 1, Kind: store.Directory, Listed: true, Expiry: store.NeverExpires, MaxValue: 1 << 16}
	Invites  = store.Table{ID: 2, Kind: store.Directory, Listed: true, Expiry: store.MayExpire, MaxValue: 1 << 20}
	Sessions = store.Table{ID: 3, Kind: store.Session, Listed: true, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	Codes    = store.Table{ID: 4, Kind: store.Session, Expiry: store.MayExpire, MaxValue: 1 << 10}
	Limits   = store.Table{ID: 255, Kind: store.Counter, Expiry: store.MayExpire, MaxValue: 64}
)

// part is the partition most tests work in; any will do.
const part store.Partition = 200

// suite is one test's store, clock and helpers.
type suite struct {
	*testing.T
	backend Backend
	clock   *Clock
	store   store.Store
}

func key(t store.Table, name string) store.Key {
	return store.Key{Partition: part, Table: t, Name: name}
}

func put(k store.Key, value string) store.Write {
	w := store.Write{Key: k, Value: []byte(value)}
	if k.Table.Expiry == store.AlwaysExpires {
		w.Expires = time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return w
}

func del(k store.Key) store.Write { return store.Write{Key: k, Delete: true} }

func at(k store.Key, version uint64) store.Check { return store.Check{Key: k, Version: version} }

// txn returns a transaction without id of writes and checks, in part.
func txn(ops ...any) store.Txn {
	t := store.Txn{Partition: part}
	for _, op := range ops {
		switch op := op.(type) {
		case store.Write:
			t.Writes = append(t.Writes, op)
		case store.Check:
			t.Checks = append(t.Checks, op)
		}
	}
	return t
}

// commit commits, or ends the test.
func (s *suite) commit(ops ...any) store.Receipt {
	s.Helper()
	return s.must(txn(ops...))
}

func (s *suite) must(t store.Txn) store.Receipt {
	s.Helper()
	r, err := s.store.Commit(s.Context(), t)
	if err != nil {
		s.Fatalf("Commit: %v", err)
	}
	return r
}

// refused commits and demands an error.
func (s *suite) refused(want error, t store.Txn) {
	s.Helper()
	r, err := s.store.Commit(s.Context(), t)
	if !errors.Is(err, want) {
		s.Errorf("Commit: %v, want %v", err, want)
	}
	if r != (store.Receipt{}) {
		s.Errorf("a receipt beside an error: %v", r)
	}
}

func (s *suite) get(k store.Key) store.Entry {
	s.Helper()
	e, err := s.store.Get(s.Context(), k)
	if err != nil {
		s.Fatalf("Get: %v", err)
	}
	if len(e) != 1 || e[0].Key != k {
		s.Fatalf("Get returned %v for %v", e, k)
	}
	return e[0]
}

// holds demands a value; absent demands none.
func (s *suite) holds(k store.Key, value string) {
	s.Helper()
	if e := s.get(k); e.Version == 0 || string(e.Value) != value {
		s.Errorf("%q holds %q at version %d, want %q", k.Name, e.Value, e.Version, value)
	}
}

func (s *suite) absent(k store.Key) {
	s.Helper()
	if e := s.get(k); e.Version != 0 || e.Value != nil || !e.Expires.IsZero() || e.Epoch == 0 {
		s.Errorf("%q should be absent: %v", k.Name, e)
	}
}

func (s *suite) scan(r store.Range) []store.Entry {
	s.Helper()
	entries, err := s.store.Scan(s.Context(), r)
	if err != nil {
		s.Fatalf("Scan: %v", err)
	}
	return entries
}

func (s *suite) reopen() {
	s.Helper()
	if s.backend.Reopen == nil {
		s.Skip("this backend forgets everything at Close")
	}
	s.store = s.backend.Reopen(s.T, s.store)
}

func names(entries []store.Entry) []string {
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Key.Name)
	}
	return out
}

// differ describes the first difference of two reads, or "".
func differ(a, b []store.Entry) string {
	if len(a) != len(b) {
		return fmt.Sprintf("%d entries, and %d", len(a), len(b))
	}
	for i := range a {
		x, y := a[i], b[i]
		if x.Key != y.Key || x.Version != y.Version || x.Epoch != y.Epoch ||
			!x.Expires.Equal(y.Expires) || !bytes.Equal(x.Value, y.Value) {
			return fmt.Sprintf("%+v, and %+v", x, y)
		}
	}
	return ""
}

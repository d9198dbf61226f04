package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"pgregory.net/rapid"
)

// model is a store written to be obviously right: a list that is searched from
// end to end. It is not safe for concurrent use.
type model struct {
	now     func() time.Time
	seq     [store.Partitions]uint64
	entries []store.Entry // every version ever written; a deletion has a nil Value and Version set
	dead    map[store.Key]bool
	done    []store.Txn
	answers []store.Receipt
}

// Model returns the plain model of a store.
func Model(now func() time.Time) store.Store {
	return &model{now: now, dead: map[store.Key]bool{}}
}

func (m *model) find(k store.Key) store.Entry {
	for _, e := range slices.Backward(m.entries) {
		if e.Key == k {
			if m.dead[k] || !e.Expires.IsZero() && !m.now().Before(e.Expires) {
				break
			}
			e.Value = bytes.Clone(e.Value)
			return e
		}
	}
	return store.Entry{Key: k, Epoch: 1}
}

// Get implements store.Store.
func (m *model) Get(_ context.Context, keys ...store.Key) ([]store.Entry, error) {
	var out []store.Entry
	for _, k := range keys {
		out = append(out, m.find(k))
	}
	return out, nil
}

// Scan implements store.Store.
func (m *model) Scan(_ context.Context, r store.Range) ([]store.Entry, error) {
	found := map[string]store.Entry{}
	for _, e := range m.entries {
		k := e.Key
		if k.Partition == r.Partition && k.Table == r.Table && k.Name > r.After && strings.HasPrefix(k.Name, r.Prefix) {
			if live := m.find(k); live.Version != 0 {
				found[k.Name] = live
			}
		}
	}
	var out []store.Entry
	for _, e := range found {
		out = append(out, e)
	}
	slices.SortFunc(out, func(a, b store.Entry) int { return strings.Compare(a.Key.Name, b.Key.Name) })
	return out[:min(len(out), r.Max())], nil
}

// Commit implements store.Store.
func (m *model) Commit(_ context.Context, t store.Txn) (store.Receipt, error) {
	now := m.now()
	if err := t.Validate(now); err != nil {
		return store.Receipt{}, err
	}
	for i, old := range m.done {
		if old.ID == t.ID && old.Partition == t.Partition && !t.ID.IsZero() && !old.Late(now) {
			return m.answers[i], nil
		}
	}
	if t.Late(now) {
		return store.Receipt{}, store.ErrDeadline
	}
	if t.Epoch > 1 {
		return store.Receipt{}, store.ErrEpoch
	}
	for _, c := range t.Checks {
		if m.find(c.Key).Version != c.Version {
			return store.Receipt{}, store.ErrConflict
		}
	}
	if len(t.Writes) > 0 {
		m.seq[t.Partition]++
	}
	r := store.Receipt{Version: m.seq[t.Partition], At: store.Millis(now), Epoch: 1}
	for _, w := range t.Writes {
		m.dead[w.Key] = w.Delete
		if !w.Delete {
			m.entries = append(m.entries, store.Entry{Key: w.Key, Value: bytes.Clone(w.Value), Version: r.Version, Expires: store.Millis(w.Expires), Epoch: 1})
		}
	}
	m.done, m.answers = append(m.done, t), append(m.answers, r)
	return r, nil
}

// Close implements store.Store.
func (m *model) Close() error { return nil }

// testModel runs random histories on the store and on the model.
func testModel(t *testing.T, s *suite) {
	reopen := func(rivals []store.Store) {
		if s.backend.Reopen != nil {
			rivals[1] = s.backend.Reopen(t, rivals[1])
		}
	}
	partition := 0
	rapid.Check(t, func(rt *rapid.T) {
		// A partition per history, so that each starts empty; a fresh store
		// when they are used up.
		if partition == store.Partitions {
			s.store, partition = s.backend.Open(t, s.clock.Now), 0
		}
		rivals := []store.Store{Model(s.clock.Now), s.store}
		LockStep(rt, s.clock, store.Partition(partition), rivals, reopen)
		s.store = rivals[1]
		partition++
	})
}

// LockStep draws a history in one partition that is empty in all stores, runs
// it on each of them and demands equal answers. The stores share the clock;
// their failover epoch is 1. reopen, if not nil, restarts some of them.
func LockStep(t *rapid.T, clock *Clock, p store.Partition, stores []store.Store, reopen func([]store.Store)) {
	h := &history{T: t, clock: clock, partition: p, stores: stores, versions: []uint64{0}}
	for range rapid.IntRange(1, 40).Draw(t, "steps") {
		switch rapid.IntRange(0, 19).Draw(t, "step") {
		default:
			h.commit(h.txn())
		case 0:
			if len(h.sent) > 0 {
				h.commit(rapid.SampledFrom(h.sent).Draw(t, "again"))
			}
		case 1, 2:
			clock.Advance(rapid.SampledFrom([]time.Duration{time.Millisecond, time.Second, 10 * time.Second, time.Minute}).Draw(t, "wait"))
		case 3:
			if reopen != nil && rapid.IntRange(0, 4).Draw(t, "reopen") == 0 {
				reopen(stores)
			}
		case 4, 5, 6:
			h.get()
		case 7, 8:
			h.scan()
		}
	}
	h.get()
	h.scan()
}

type history struct {
	*rapid.T
	clock     *Clock
	partition store.Partition
	stores    []store.Store
	versions  []uint64 // seen so far, to be checked against
	sent      []store.Txn
}

func (h *history) key(tables ...store.Table) store.Key {
	return store.Key{
		Partition: h.partition,
		Table:     rapid.SampledFrom(tables).Draw(h.T, "table"),
		Name:      rapid.SampledFrom([]string{"a", "a\x00", "a\xff", "b", "\xff"}).Draw(h.T, "name"),
	}
}

func (h *history) txn() store.Txn {
	tables := rapid.SampledFrom([][]store.Table{{Users, Invites}, {Sessions, Codes}, {Limits}}).Draw(h.T, "kind")
	tx := store.Txn{Partition: h.partition, Epoch: rapid.SampledFrom([]uint32{0, 0, 0, 1, 2}).Draw(h.T, "epoch")}
	if rapid.Bool().Draw(h.T, "remembered") {
		id := rapid.Uint64().Draw(h.T, "id")
		copy(tx.ID[:], fmt.Sprintf("%016x", id))
		tx.NotAfter = h.clock.Now().Add(time.Duration(rapid.IntRange(-1, 61).Draw(h.T, "deadline")) * time.Second)
	}
	for range rapid.IntRange(0, 3).Draw(h.T, "checks") {
		k := h.key(tables...)
		// Mostly what is there, for a history of conflicts tests little.
		version := rapid.SampledFrom(h.versions).Draw(h.T, "version")
		if rapid.IntRange(0, 3).Draw(h.T, "guess") > 0 {
			e, _ := h.stores[0].Get(context.Background(), k)
			version = e[0].Version
		}
		tx.Checks = append(tx.Checks, store.Check{Key: k, Version: version})
	}
	for range rapid.IntRange(0, 3).Draw(h.T, "writes") {
		w := store.Write{Key: h.key(tables...), Delete: rapid.Bool().Draw(h.T, "delete")}
		if !w.Delete {
			w.Value = rapid.SliceOfN(rapid.Byte(), 0, 65).Draw(h.T, "value")
			if rapid.IntRange(0, 9).Draw(h.T, "wrong") == 0 || w.Key.Table.Expiry == store.AlwaysExpires ||
				w.Key.Table.Expiry == store.MayExpire && rapid.Bool().Draw(h.T, "expires") {
				w.Expires = h.clock.Now().Add(time.Duration(rapid.Int64Range(-1e9, 20e9).Draw(h.T, "life")))
			}
		}
		tx.Writes = append(tx.Writes, w)
	}
	return tx
}

func (h *history) commit(tx store.Txn) {
	h.sent = append(h.sent, tx)
	want, wantErr := h.stores[0].Commit(context.Background(), tx)
	h.versions = append(h.versions, want.Version)
	for _, s := range h.stores[1:] {
		got, err := s.Commit(context.Background(), tx)
		if got != want || cause(err) != cause(wantErr) {
			h.Fatalf("%T: Commit(%+v) = %v, %v\n%T: %v, %v", s, tx, got, err, h.stores[0], want, wantErr)
		}
	}
}

// cause is the contract's error in err.
func cause(err error) error {
	for _, c := range []error{store.ErrConflict, store.ErrEpoch, store.ErrDeadline, store.ErrInvalid, store.ErrTooLarge} {
		if errors.Is(err, c) {
			return c
		}
	}
	return err
}

func (h *history) get() {
	var keys []store.Key
	for range rapid.IntRange(1, 8).Draw(h.T, "keys") {
		keys = append(keys, h.key(Users, Invites, Sessions, Codes, Limits))
	}
	h.compare("Get", func(s store.Store) ([]store.Entry, error) { return s.Get(context.Background(), keys...) })
}

func (h *history) scan() {
	k := h.key(Users, Invites, Sessions)
	bounds := []string{"", "a", "a\x00", "a\xff", "b", "\xff"}
	r := store.Range{
		Partition: h.partition,
		Table:     k.Table,
		After:     rapid.SampledFrom(bounds).Draw(h.T, "after"),
		Prefix:    rapid.SampledFrom(bounds).Draw(h.T, "prefix"),
		Limit:     rapid.IntRange(0, 3).Draw(h.T, "limit"),
	}
	h.compare("Scan", func(s store.Store) ([]store.Entry, error) { return s.Scan(context.Background(), r) })
}

func (h *history) compare(what string, read func(store.Store) ([]store.Entry, error)) {
	want, err := read(h.stores[0])
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
	for _, s := range h.stores[1:] {
		got, err := read(s)
		if err != nil {
			h.Fatalf("%T: %s: %v", s, what, err)
		}
		if d := differ(got, want); d != "" {
			h.Fatalf("%T and %T differ after %s: %s", s, h.stores[0], what, d)
		}
	}
}

// Package memstore is the store in memory: for tests, and for trying the
// product out. It keeps the whole contract of package store but durability,
// which it lacks: Close forgets everything. It owns no goroutine.
package memstore

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/internal/feed"
)

// Options of a Store; the zero value works.
type Options struct {
	Now func() time.Time // the store's clock; nil: time.Now
}

// Store implements store.Store, store.Watcher and store.Clock.
type Store struct {
	now  func() time.Time
	feed *feed.Ring

	mu     sync.RWMutex
	closed bool
	epoch  uint32
	parts  [store.Partitions]partition
	expiry expiries
	done   map[txn]remembered
	swept  time.Time // when done was last swept

	compacted int // len(expiry) when it was last compacted
}

type txn struct {
	partition store.Partition
	id        store.TxnID
}

type remembered struct {
	receipt store.Receipt
	until   int64 // milliseconds
}

type partition struct {
	seq    uint64
	tables map[uint8]*table
}

// table keeps its names in order beside the entries, for Scan.
type table struct {
	entries map[string]entry
	names   []string
}

type entry struct {
	value   []byte
	version uint64
	expires time.Time
	epoch   uint32
}

// live tells that the entry has not expired at now.
func (e entry) live(now time.Time) bool {
	return e.version != 0 && (e.expires.IsZero() || now.Before(e.expires))
}

// New returns an empty store at failover epoch 1.
func New(o Options) *Store {
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Store{now: o.Now, feed: feed.New(), epoch: 1, done: map[txn]remembered{}}
}

// Now is the store's clock.
func (s *Store) Now() time.Time { return s.now() }

// Failover raises the failover epoch, as an unclean restart or a new primary
// does elsewhere, and returns it. Entries stay: what a real failover loses is
// for the test to delete.
func (s *Store) Failover() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epoch++
	return s.epoch
}

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Entry, error) {
	if err := store.ValidateKeys(keys); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	now := s.now()
	out := make([]store.Entry, len(keys))
	for i, k := range keys {
		out[i] = s.read(k, now)
	}
	return out, nil
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, r store.Range) ([]store.Entry, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if err := s.usable(ctx); err != nil {
		return nil, err
	}
	t := s.parts[r.Partition].tables[r.Table.ID]
	if t == nil {
		return nil, nil
	}
	now := s.now()
	var out []store.Entry
	for _, name := range t.names[t.start(r):] {
		if len(out) == r.Max() || !strings.HasPrefix(name, r.Prefix) {
			break
		}
		if e := s.read(store.Key{Partition: r.Partition, Table: r.Table, Name: name}, now); e.Version != 0 {
			out = append(out, e)
		}
	}
	return out, nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usable(ctx); err != nil {
		return store.Receipt{}, err
	}
	now := s.now()
	if err := t.Validate(now); err != nil {
		return store.Receipt{}, err
	}
	id := txn{t.Partition, t.ID}
	if r, ok := s.done[id]; ok && !t.ID.IsZero() && now.UnixMilli() <= r.until {
		return r.receipt, nil
	}
	if err := s.judge(t, now); err != nil {
		return store.Receipt{}, err
	}
	receipt := s.apply(t, now)
	if !t.ID.IsZero() {
		s.done[id] = remembered{receipt, t.NotAfter.UnixMilli()}
	}
	s.sweep(now)
	s.feed.Publish(receipt.Version, t.Writes)
	return receipt, nil
}

// Watch implements store.Watcher.
func (s *Store) Watch(ctx context.Context, after store.Cursor) iter.Seq2[store.Change, error] {
	return s.feed.Watch(ctx, after)
}

// Close implements store.Store: it forgets everything.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	s.parts, s.done, s.expiry = [store.Partitions]partition{}, nil, expiries{}
	s.feed.Close()
	return nil
}

func (s *Store) usable(ctx context.Context) error {
	if s.closed {
		return store.ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("memstore: %w", err)
	}
	return nil
}

func (s *Store) read(k store.Key, now time.Time) store.Entry {
	e := s.parts[k.Partition].get(k.Table.ID, k.Name)
	if !e.live(now) {
		return store.Entry{Key: k, Epoch: s.epoch}
	}
	return store.Entry{Key: k, Value: bytes.Clone(e.value), Version: e.version, Expires: e.expires, Epoch: e.epoch}
}

func (s *Store) judge(t store.Txn, now time.Time) error {
	if t.Late(now) {
		return store.ErrDeadline
	}
	if t.Epoch != 0 && t.Epoch != s.epoch {
		return store.ErrEpoch
	}
	for _, c := range t.Checks {
		if s.read(c.Key, now).Version != c.Version {
			return store.ErrConflict
		}
	}
	return nil
}

func (s *Store) apply(t store.Txn, now time.Time) store.Receipt {
	p := &s.parts[t.Partition]
	if len(t.Writes) > 0 {
		p.seq++
	}
	for _, w := range t.Writes {
		if w.Delete {
			p.remove(w.Key.Table.ID, w.Key.Name)
			continue
		}
		e := entry{value: bytes.Clone(w.Value), version: p.seq, expires: store.Millis(w.Expires), epoch: s.epoch}
		p.put(w.Key.Table.ID, w.Key.Name, e)
		if !e.expires.IsZero() {
			s.expiry.add(expiring{e.expires, t.Partition, w.Key.Table.ID, w.Key.Name, e.version})
		}
	}
	return store.Receipt{Version: p.seq, At: store.Millis(now), Epoch: s.epoch}
}

func (p *partition) get(id uint8, name string) entry {
	if t := p.tables[id]; t != nil {
		return t.entries[name]
	}
	return entry{}
}

func (p *partition) put(id uint8, name string, e entry) {
	t := p.tables[id]
	if t == nil {
		if p.tables == nil {
			p.tables = map[uint8]*table{}
		}
		t = &table{entries: map[string]entry{}}
		p.tables[id] = t
	}
	if _, known := t.entries[name]; !known {
		i, _ := slices.BinarySearch(t.names, name)
		t.names = slices.Insert(t.names, i, name)
	}
	t.entries[name] = e
}

func (p *partition) remove(id uint8, name string) {
	t := p.tables[id]
	if t == nil {
		return
	}
	if _, known := t.entries[name]; !known {
		return
	}
	i, _ := slices.BinarySearch(t.names, name)
	t.names = slices.Delete(t.names, i, i+1)
	delete(t.entries, name)
}

// start is the index of the first name in the range.
func (t *table) start(r store.Range) int {
	if r.After != "" && r.After >= r.Prefix {
		i, found := slices.BinarySearch(t.names, r.After)
		if found {
			i++
		}
		return i
	}
	i, _ := slices.BinarySearch(t.names, r.Prefix)
	return i
}

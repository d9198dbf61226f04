package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"
)

// Pending is the Version of an entry that a Tx has put but not yet committed.
const Pending uint64 = math.MaxUint64

// updateAttempts bounds how often Update runs its closure.
const updateAttempts = 64

// updateDeadline is how far ahead Update sets NotAfter: half of what is
// allowed, so that half a minute of clock difference does no harm.
const updateDeadline = MaxAhead / 2

// maxBackoff bounds the pause between two attempts.
const maxBackoff = 250 * time.Millisecond

// Update reads, decides and writes: it runs fn, commits what fn asked for, and
// runs it again when something it read has changed, up to 64 times or until ctx
// ends; then the error is ErrConflict, as it is at once when a version that fn
// named itself (Require) does not hold. fn may run often, so it must do nothing slow or
// external and must not keep what an earlier run found. An error of fn's ends
// Update as it is. If fn writes nothing, nothing is committed, its checks are
// not judged and the receipt is zero.
//
// Each attempt has an id and a deadline of its own. If the outcome of a commit
// is unknown, the same transaction is sent once more.
func Update(ctx context.Context, s Store, p Partition, fn func(tx *Tx) error) (Receipt, error) {
	for attempt := 1; ; attempt++ {
		tx := newTx(ctx, s, p)
		if err := fn(tx); err != nil {
			return Receipt{}, err
		}
		t, err := tx.txn()
		if err != nil || len(t.Writes) == 0 {
			return Receipt{}, err
		}
		receipt, err := commit(ctx, s, t)
		if !errors.Is(err, ErrConflict) {
			return receipt, err
		}
		if err := tx.lost(); err != nil {
			return Receipt{}, err
		}
		if attempt == updateAttempts {
			return Receipt{}, fmt.Errorf("%w: gave up after %d attempts", ErrConflict, attempt)
		}
		if err := pause(ctx, attempt); err != nil {
			return Receipt{}, err
		}
	}
}

// commit sends t, and once more when the outcome of the first time is unknown.
func commit(ctx context.Context, s Store, t Txn) (Receipt, error) {
	receipt, err := s.Commit(ctx, t)
	if err == nil || settled(err) || ctx.Err() != nil {
		return receipt, err
	}
	again, second := s.Commit(ctx, t)
	if errors.Is(second, ErrDeadline) {
		return Receipt{}, err // the id is forgotten, so the first outcome stays unknown
	}
	return again, second
}

// settled tells that err leaves no doubt: nothing was applied.
func settled(err error) bool {
	for _, sure := range []error{ErrConflict, ErrEpoch, ErrDeadline, ErrInvalid, ErrTooLarge, ErrClosed} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

// pause waits a random while that grows with the attempts, so that rivals for
// one key come apart.
func pause(ctx context.Context, attempt int) error {
	limit := min(100*time.Microsecond<<min(attempt, 12), maxBackoff)
	timer := time.NewTimer(rand.N(limit))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("store: update: %w", ctx.Err())
	}
}

// Tx is one attempt of an Update. It is for one goroutine, and dead when the
// closure returns.
type Tx struct {
	ctx       context.Context
	store     Store
	partition Partition
	epoch     uint32
	entries   map[Key]Entry // what was read, without pending writes
	checks    []Check       // of what was read
	required  []Check       // named by the closure
	writes    []Write
	at        map[Key]int // index into writes
	err       error       // first misuse, reported at commit
}

func newTx(ctx context.Context, s Store, p Partition) *Tx {
	return &Tx{ctx: ctx, store: s, partition: p, entries: map[Key]Entry{}, at: map[Key]int{}}
}

// Get reads entries of the transaction's partition. Each key that is read
// becomes a check, so its table must have the kind of what is written. The
// same key gives the same answer each time, and pending writes show: a put
// has Version Pending, a delete has Version 0. Values are the caller's.
func (tx *Tx) Get(keys ...Key) ([]Entry, error) {
	var missing []Key
	for _, k := range keys {
		if k.Partition != tx.partition {
			return nil, fmt.Errorf("%w: a read of partition %d in an update of %d; use Peek", ErrInvalid, k.Partition, tx.partition)
		}
		if _, known := tx.entries[k]; !known && !tx.pending(k) {
			missing = append(missing, k)
		}
	}
	if err := tx.fetch(missing); err != nil {
		return nil, err
	}
	out := make([]Entry, len(keys))
	for i, k := range keys {
		out[i] = tx.view(k)
	}
	return out, nil
}

// Peek reads entries of any partition and kind without a check: what it finds
// may have changed by the time of the commit. Pending writes do not show.
func (tx *Tx) Peek(keys ...Key) ([]Entry, error) { return tx.store.Get(tx.ctx, keys...) }

// Put writes a value; a zero expires means never. The value is copied.
func (tx *Tx) Put(key Key, value []byte, expires time.Time) {
	tx.write(Write{Key: key, Value: bytes.Clone(value), Expires: expires})
}

// Delete removes an entry, or does nothing if there is none.
func (tx *Tx) Delete(key Key) { tx.write(Write{Key: key, Delete: true}) }

// Require demands at commit that the key is at version; 0: absent. It is for
// versions known from elsewhere, so Update does not try again if it fails.
func (tx *Tx) Require(key Key, version uint64) {
	tx.required = append(tx.required, Check{Key: key, Version: version})
}

// FenceEpoch demands at commit that epoch still is the store's failover epoch;
// else Update fails with ErrEpoch. Zero, and two different epochs, are misuse.
func (tx *Tx) FenceEpoch(epoch uint32) {
	switch {
	case epoch == 0:
		tx.misuse("fenced to epoch 0")
	case tx.epoch != 0 && tx.epoch != epoch:
		// Two epochs cannot both be current.
		tx.fail(fmt.Errorf("%w: fenced to %d and %d", ErrEpoch, tx.epoch, epoch))
	default:
		tx.epoch = epoch
	}
}

func (tx *Tx) pending(k Key) bool { _, ok := tx.at[k]; return ok }

func (tx *Tx) fetch(keys []Key) error {
	if len(keys) == 0 {
		return nil
	}
	entries, err := tx.store.Get(tx.ctx, keys...)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if _, known := tx.entries[e.Key]; known {
			continue // named twice in one Get
		}
		tx.entries[e.Key] = e
		tx.checks = append(tx.checks, Check{Key: e.Key, Version: e.Version})
	}
	return nil
}

// view is the entry as the closure sees it now.
func (tx *Tx) view(k Key) Entry {
	i, pending := tx.at[k]
	if !pending {
		e := tx.entries[k]
		e.Value = bytes.Clone(e.Value)
		return e
	}
	w := tx.writes[i]
	if w.Delete {
		return Entry{Key: k}
	}
	return Entry{Key: k, Value: bytes.Clone(w.Value), Version: Pending, Expires: Millis(w.Expires)}
}

func (tx *Tx) write(w Write) {
	if i, pending := tx.at[w.Key]; pending {
		tx.writes[i] = w
		return
	}
	tx.at[w.Key] = len(tx.writes)
	tx.writes = append(tx.writes, w)
}

func (tx *Tx) misuse(what string) { tx.fail(fmt.Errorf("%w: %s", ErrInvalid, what)) }

func (tx *Tx) fail(err error) {
	if tx.err == nil {
		tx.err = err
	}
}

// lost looks, after a conflict, whether a required version is why.
func (tx *Tx) lost() error {
	if len(tx.required) == 0 {
		return nil
	}
	keys := make([]Key, len(tx.required))
	for i, c := range tx.required {
		keys[i] = c.Key
	}
	entries, err := tx.Peek(keys...)
	if err != nil {
		return err
	}
	for i, e := range entries {
		if want := tx.required[i].Version; e.Version != want {
			return fmt.Errorf("%w: a required key of table %d is at version %d, not %d", ErrConflict, e.Key.Table.ID, e.Version, want)
		}
	}
	return nil
}

func (tx *Tx) txn() (Txn, error) {
	now := time.Now
	if c, ok := tx.store.(Clock); ok {
		now = c.Now
	}
	return Txn{
		ID:        NewTxnID(),
		Partition: tx.partition,
		NotAfter:  now().Add(updateDeadline),
		Epoch:     tx.epoch,
		Checks:    slices.Concat(tx.checks, tx.required),
		Writes:    tx.writes,
	}, tx.err
}

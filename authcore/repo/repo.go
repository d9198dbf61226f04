package repo

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Config says what a Repo stands on.
type Config struct {
	Directory store.Store
	Session   store.Store // nil: Directory
	Keys      *secret.Keys
	Now       func() time.Time // asked only if the store has no clock; nil: time.Now
	Logger    *slog.Logger     // nil: discards
}

// Repo is the typed, sealed view of the store. It is safe for concurrent use.
type Repo struct {
	store    store.Store     // both kinds
	watchers []store.Watcher // one, or directory and session; none if a store has no feed
	keys     *secret.Keys
	now      func() time.Time // the store's clock
	log      *slog.Logger

	mu   sync.RWMutex
	sets map[pool.ID]*keyset // opened data keys
	tags map[string]pool.ID  // pools by tag
}

// commitDeadline is how long a commit may take by the store's clock; half of
// what is allowed, so that half a minute of clock difference does no harm.
const commitDeadline = store.MaxAhead / 2

// New returns a Repo; it reads nothing yet.
func New(c Config) *Repo {
	r := &Repo{
		store: c.Directory,
		keys:  c.Keys,
		now:   c.Now,
		log:   c.Logger,
		sets:  map[pool.ID]*keyset{},
		tags:  map[string]pool.ID{},
	}
	if clock, ok := c.Directory.(store.Clock); ok {
		r.now = clock.Now
	}
	if r.now == nil {
		r.now = time.Now
	}
	stores := []store.Store{c.Directory}
	if c.Session != nil && c.Session != c.Directory {
		r.store = &split{directory: c.Directory, session: c.Session, now: r.now}
		stores = append(stores, c.Session)
	}
	for _, s := range stores {
		if w, ok := s.(store.Watcher); ok {
			r.watchers = append(r.watchers, w)
		}
	}
	if len(r.watchers) != len(stores) {
		r.watchers = nil
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	return r
}

// commit applies t under an id and, unless it has one, a deadline of its own.
// If the outcome is unknown it is sent once more.
func (r *Repo) commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	t.ID = store.NewTxnID()
	if t.NotAfter.IsZero() {
		t.NotAfter = r.now().Add(commitDeadline)
	}
	receipt, err := r.store.Commit(ctx, t)
	if err == nil || refused(err) || ctx.Err() != nil {
		return receipt, err
	}
	again, second := r.store.Commit(ctx, t)
	if errors.Is(second, store.ErrDeadline) {
		return store.Receipt{}, err // the id is forgotten: the first outcome stays unknown
	}
	return again, second
}

// refused reports whether err says for sure that nothing was applied.
func refused(err error) bool {
	for _, sure := range []error{
		store.ErrConflict, store.ErrEpoch, store.ErrDeadline, store.ErrInvalid, store.ErrTooLarge, store.ErrClosed,
	} {
		if errors.Is(err, sure) {
			return true
		}
	}
	return false
}

// retries bounds loops of read, decide and write.
const retries = 64

// pause waits a random while that grows with the attempts, so that rivals come apart.
func pause(ctx context.Context, attempt int) error {
	limit := min(100*time.Microsecond<<min(attempt, 10), 50*time.Millisecond)
	timer := time.NewTimer(limit * time.Duration(binary.BigEndian.Uint16(secret.Bytes(2))) / (1 << 16))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mapped gives an error of the store its code. Errors that have one, and
// those of closures, stay as they are. The texts hold no data.
func mapped(err error) error {
	var f *fault.Error
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case is(err, store.ErrUnavailable, store.ErrClosed, store.ErrInUse, context.Canceled, context.DeadlineExceeded):
		return fault.Wrap(fault.Unavailable, err, "the store cannot be used at the moment")
	case is(err, store.ErrConflict, store.ErrDeadline):
		return fault.Wrap(fault.Busy, err, "too many changes at once: try again")
	case is(err, store.ErrEpoch):
		return fault.Wrap(fault.Conflict, err, "it was made before a failure of the store")
	case is(err, store.ErrTooLarge):
		return fault.Wrap(fault.Invalid, err, "the record is too large")
	}
	return err
}

func is(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

// damaged is the error of a record that does not open or cannot be read. It
// names the place, never the content.
func damaged(k store.Key, cause error) error {
	return fmt.Errorf("repo: record in table %d, partition %d, %q: %w", k.Table.ID, k.Partition, k.Name, cause)
}

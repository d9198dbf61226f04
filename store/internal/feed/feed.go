// Package feed is the change feed of the stores that live in one process: a
// bounded ring of changes that any number of watchers follow. It owns neither
// the entries nor their order; a store publishes in commit order. It does not
// outlive the process: a cursor of an earlier one is a gap.
package feed

import (
	"context"
	"iter"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Size is how many changes the ring holds; a watcher that falls further
// behind gets store.ErrGap.
const Size = 8192

// Ring holds the last Size changes. Its methods are safe for concurrent use.
type Ring struct {
	mu     sync.Mutex
	base   store.Cursor // the cursor before the first change of this process
	head   store.Cursor // the cursor of the latest change
	buf    []store.Change
	wake   chan struct{} // closed and replaced at each publication
	closed bool
}

// New returns an empty ring. Its cursors start at the time of day, so that
// those of an earlier process fall before them.
func New() *Ring {
	start := store.Cursor(time.Now().UnixNano())
	return &Ring{base: start, head: start, wake: make(chan struct{})}
}

// Publish appends the writes of one commit.
func (r *Ring) Publish(version uint64, writes []store.Write) {
	if len(writes) == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, w := range writes {
		r.head++
		c := store.Change{Cursor: r.head, Key: w.Key, Version: version, Deleted: w.Delete}
		if len(r.buf) < Size {
			r.buf = append(r.buf, c)
		} else {
			r.buf[r.slot(r.head)] = c
		}
	}
	close(r.wake)
	r.wake = make(chan struct{})
}

// Close ends every watch with store.ErrClosed.
func (r *Ring) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.closed {
		r.closed = true
		close(r.wake)
	}
}

// Watch implements store.Watcher.
func (r *Ring) Watch(ctx context.Context, after store.Cursor) iter.Seq2[store.Change, error] {
	r.mu.Lock()
	if after == 0 {
		after = r.head
	}
	r.mu.Unlock()
	return func(yield func(store.Change, error) bool) {
		for ctx.Err() == nil {
			changes, wake, err := r.since(after)
			for _, c := range changes {
				if ctx.Err() != nil || !yield(c, nil) {
					return
				}
				after = c.Cursor
			}
			if err != nil {
				yield(store.Change{}, err)
				return
			}
			select {
			case <-wake:
			case <-ctx.Done():
			}
		}
	}
}

// batch bounds how many changes are copied at a time.
const batch = 256

// since returns changes after the cursor, a channel that closes when there is
// more, and the error that ends the watch.
func (r *Ring) since(after store.Cursor) ([]store.Change, <-chan struct{}, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest := r.head - store.Cursor(len(r.buf)) // the cursor before the oldest one held
	if after < oldest || after > r.head {
		return nil, nil, store.ErrGap
	}
	if after == r.head {
		if r.closed {
			return nil, nil, store.ErrClosed
		}
		return nil, r.wake, nil
	}
	n := min(r.head-after, batch)
	out := make([]store.Change, 0, n)
	for c := after + 1; c <= after+n; c++ {
		out = append(out, r.buf[r.slot(c)])
	}
	return out, ready(), nil
}

func (r *Ring) slot(c store.Cursor) int { return int((c - r.base - 1) % Size) }

// ready returns a channel that is closed already.
func ready() <-chan struct{} {
	ch := make(chan struct{})
	close(ch)
	return ch
}

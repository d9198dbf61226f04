package repo

import (
	"context"
	"iter"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Event is a change that gates must know.
type Event struct {
	Pool       pool.ID
	Revocation *pool.Revocation // written
	Ended      string           // or: name of an SSO session or site session that was deleted
	Cursor     store.Cursor     // 0 if directory and session are two stores
}

// Revocations returns every live revocation of a pool.
func (r *Repo) Revocations(ctx context.Context, id pool.ID) iter.Seq2[pool.Revocation, error] {
	return func(yield func(pool.Revocation, error) bool) {
		ks, err := r.keyset(ctx, id)
		if err != nil {
			yield(pool.Revocation{}, err)
			return
		}
		for p := range store.Partitions {
			for e, err := range scan[pool.Revocation](ctx, r, ks, tableRevocations, store.Partition(p), tagOf(id)) {
				if !yield(e.Value, err) || err != nil {
					return
				}
			}
		}
	}
}

// Watch follows changes after a cursor (0: from now, the moment of the call)
// until ctx ends or an error, store.ErrGap among them: then read everything
// again. With two stores there are no cursors: any but 0 is a gap.
func (r *Repo) Watch(ctx context.Context, after store.Cursor) iter.Seq2[Event, error] {
	switch {
	case len(r.watchers) == 0:
		return failed(fault.New(fault.NotSupported, "the store has no change feed"))
	case len(r.watchers) > 1 && after != 0:
		return failed(store.ErrGap)
	}
	feeds := make([]iter.Seq2[store.Change, error], len(r.watchers))
	ctx, cancel := context.WithCancel(ctx)
	for i, w := range r.watchers {
		feeds[i] = w.Watch(ctx, after)
	}
	changes := feeds[0]
	if len(feeds) > 1 {
		changes = merge(ctx, feeds)
	}
	return func(yield func(Event, error) bool) {
		defer cancel()
		for c, err := range changes {
			if err != nil {
				yield(Event{}, mapped(err))
				return
			}
			e, ok, err := r.event(ctx, c)
			if err != nil {
				yield(Event{}, err)
				return
			}
			if len(feeds) > 1 {
				e.Cursor = 0
			}
			if ok && !yield(e, nil) {
				return
			}
		}
	}
}

func failed(err error) iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) { yield(Event{}, err) }
}

// event translates a change; ok is false if it is none that gates must know.
func (r *Repo) event(ctx context.Context, c store.Change) (e Event, ok bool, err error) {
	table := c.Key.Table.ID
	ended := c.Deleted && (table == tableSessions.ID || table == tableSites.ID)
	revoked := !c.Deleted && table == tableRevocations.ID
	if !ended && !revoked || len(c.Key.Name) < tagLen {
		return Event{}, false, nil
	}
	id, known, err := r.poolByTag(ctx, c.Key.Name[:tagLen])
	if err != nil || !known {
		return Event{}, false, err
	}
	e = Event{Pool: id, Cursor: c.Cursor}
	if ended {
		e.Ended = c.Key.Name[tagLen:]
		return e, true, nil
	}
	key := c.Key
	key.Table = tableRevocations
	rev, err := Get(ctx, r, Key[pool.Revocation]{key: key, id: id})
	if err != nil || !rev.Found { // expired meanwhile
		return Event{}, false, err
	}
	e.Revocation = &rev.Value
	return e, true, nil
}

// merge joins feeds into one until ctx ends or one of them fails. Its
// goroutines end with the reader.
func merge(ctx context.Context, feeds []iter.Seq2[store.Change, error]) iter.Seq2[store.Change, error] {
	type item struct {
		change store.Change
		err    error
	}
	return func(yield func(store.Change, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		items := make(chan item)
		for _, feed := range feeds {
			go func() {
				for c, err := range feed {
					select {
					case items <- item{c, err}:
					case <-ctx.Done():
						return
					}
				}
			}()
		}
		for {
			select {
			case i := <-items:
				if !yield(i.change, i.err) || i.err != nil {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}
}

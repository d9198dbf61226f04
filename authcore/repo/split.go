package repo

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// split sends directory tables to one store and all others to another. A
// commit has tables of one kind only, so it never spans both.
type split struct {
	directory, session store.Store
	now                func() time.Time
}

// Now implements store.Clock: one clock for both, the directory's.
func (s *split) Now() time.Time { return s.now() }

func (s *split) of(kind store.Kind) store.Store {
	if kind == store.Directory {
		return s.directory
	}
	return s.session
}

// Get implements store.Store.
func (s *split) Get(ctx context.Context, keys ...store.Key) ([]store.Entry, error) {
	out := make([]store.Entry, len(keys))
	for _, part := range []store.Store{s.directory, s.session} {
		var mine []store.Key
		var at []int
		for i, k := range keys {
			if s.of(k.Table.Kind) == part {
				mine, at = append(mine, k), append(at, i)
			}
		}
		if len(mine) == 0 {
			continue
		}
		entries, err := part.Get(ctx, mine...)
		if err != nil {
			return nil, err
		}
		for i, e := range entries {
			out[at[i]] = e
		}
	}
	return out, nil
}

// Scan implements store.Store.
func (s *split) Scan(ctx context.Context, r store.Range) ([]store.Entry, error) {
	return s.of(r.Table.Kind).Scan(ctx, r)
}

// Commit implements store.Store. A transaction of two kinds is refused by
// whichever store gets it.
func (s *split) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	return s.of(t.Kind()).Commit(ctx, t)
}

// Close does nothing: the stores belong to who opened them.
func (s *split) Close() error { return nil }

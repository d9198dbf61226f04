package keyring

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// snapshots are the loaded sets of keys.
type snapshots map[slot]*snapshot

// snapshot is a loaded set of keys. It is immutable.
type snapshot struct {
	version uint64 // of the stored entry; 0: there is none
	ring    pool.SigningKeys
	parsed  map[string]*jose.Key
	set     *jose.Set
	until   time.Time // when the published set changes by itself; zero: never
}

// lapsed reports whether a key of the published set has retired.
func (s *snapshot) lapsed(at time.Time) bool { return !s.until.IsZero() && !at.Before(s.until) }

// Signer returns the key that signs with alg now; fault.NotFound if the pool
// has none.
func (r *Ring) Signer(ctx context.Context, id pool.ID, use pool.KeyUse, alg jose.Alg) (*jose.Key, error) {
	snap, err := r.snapshot(ctx, slot{id, use})
	if err != nil {
		return nil, err
	}
	if k := signing(snap.ring.Keys, alg, r.now()); k != nil && snap.parsed[k.ID] != nil {
		return snap.parsed[k.ID], nil // absent if the clock went back to before a key retired
	}
	return nil, fault.New(fault.NotFound, "the pool has no key for "+string(alg))
}

// Set returns the published keys.
func (r *Ring) Set(ctx context.Context, id pool.ID, use pool.KeyUse) (*jose.Set, error) {
	snap, err := r.snapshot(ctx, slot{id, use})
	if err != nil {
		return nil, err
	}
	return snap.set, nil
}

// snapshot returns the loaded keys of a slot. It reads the store the first
// time only: what retires later is taken out by the clock, so that a store
// that is down stops neither signing nor verifying.
func (r *Ring) snapshot(ctx context.Context, s slot) (*snapshot, error) {
	switch snap := (*r.loaded.Load())[s]; {
	case snap == nil:
		return r.load(ctx, s)
	case snap.lapsed(r.now()):
		return r.keep(s, snap.ring, snap.version)
	default:
		return snap, nil
	}
}

// load reads the keys of a slot from the store and keeps them.
func (r *Ring) load(ctx context.Context, s slot) (*snapshot, error) {
	e, err := repo.Get(ctx, r.repo, repo.SigningKeysKey(s.id, s.use))
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	return r.keep(s, e.Value, e.Version)
}

// keep makes what was read the loaded keys of a slot, unless later ones are.
func (r *Ring) keep(s slot, ring pool.SigningKeys, version uint64) (*snapshot, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	loaded, now := *r.loaded.Load(), r.now()
	old := loaded[s]
	if old != nil && (version < old.version || version == old.version && !old.lapsed(now)) {
		return old, nil
	}
	snap, err := open(ring, old, now)
	if err != nil {
		return nil, err
	}
	snap.version = version
	next := maps.Clone(loaded)
	next[s] = snap
	r.loaded.Store(&next)
	return snap, nil
}

// open parses what is stored; keys that were parsed before are taken over.
func open(ring pool.SigningKeys, old *snapshot, at time.Time) (*snapshot, error) {
	snap := &snapshot{ring: ring, parsed: map[string]*jose.Key{}}
	var published []*jose.Key
	for _, k := range ring.Keys {
		if retired(k, at) {
			continue
		}
		var key *jose.Key
		if old != nil {
			key = old.parsed[k.ID]
		}
		if key == nil {
			var err error
			if key, err = jose.ParseKey(k.Private); err != nil {
				return nil, fmt.Errorf("keyring: key %s: %w", k.ID, err)
			}
		}
		snap.parsed[k.ID] = key
		published = append(published, key)
		if !k.Retire.IsZero() && (snap.until.IsZero() || k.Retire.Before(snap.until)) {
			snap.until = k.Retire
		}
	}
	snap.set = jose.NewSet(published...)
	return snap, nil
}

// Refresh reads every loaded set again, so that what another node has changed
// is known, and deletes keys that have retired. It goes on with what it has
// where that fails, and returns all failures.
func (r *Ring) Refresh(ctx context.Context) error {
	var errs []error
	for s := range *r.loaded.Load() {
		if err := r.refresh(ctx, s); err != nil {
			errs = append(errs, fmt.Errorf("%s keys of pool %s: %w", s.use, s.id, err))
		}
	}
	return errors.Join(errs...)
}

func (r *Ring) refresh(ctx context.Context, s slot) error {
	snap, err := r.load(ctx, s)
	if err != nil || len(unretired(snap.ring.Keys, r.now())) == len(snap.ring.Keys) {
		return err
	}
	return r.update(ctx, s, func(keys []pool.SigningKey, at time.Time) ([]pool.SigningKey, error) {
		return unretired(keys, at), nil
	})
}

package keyring

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

var errNoKey = fault.New(fault.NotFound, "the pool has no such key")

// Drop takes a key out of the ring at once, for a key that somebody else may
// know: whatever it has signed is refused from then on, by other nodes once
// they have read the keys again, and by verifiers that keep a published set
// for as long as they keep it (PublishedFor). If it signs or was about to, a
// new key signs in its place at once. It returns what List does.
//
// fault.Forbidden unless the caller is an operator or the system,
// fault.NotFound if there is no such key.
func (r *Ring) Drop(ctx context.Context, by pool.Caller, id pool.ID, keyID string) ([]Info, error) {
	if err := r.authorizeAndRecord(ctx, by, id, "key.drop", slog.String("key", keyID)); err != nil {
		return nil, err
	}
	s, alg, err := r.find(ctx, id, keyID)
	if err != nil {
		return nil, err
	}
	fresh, err := generate([]jose.Alg{alg})
	if err != nil {
		return nil, err
	}
	err = r.update(ctx, s, func(keys []pool.SigningKey, at time.Time) ([]pool.SigningKey, error) {
		i := slices.IndexFunc(keys, func(k pool.SigningKey) bool { return k.ID == keyID })
		if i < 0 {
			return nil, errNoKey
		}
		retiring := state(keys, keys[i], at) == stateRetiring
		keys = slices.Delete(slices.Clone(keys), i, i+1)
		if retiring {
			return keys, nil
		}
		return rotate(keys, fresh, at, 0)
	})
	if err != nil {
		return nil, err
	}
	return r.List(ctx, id)
}

// find looks for a key in all sets of a pool.
func (r *Ring) find(ctx context.Context, id pool.ID, keyID string) (slot, jose.Alg, error) {
	for _, use := range uses() {
		snap, err := r.load(ctx, slot{id, use})
		if err != nil {
			return slot{}, "", err
		}
		for _, k := range snap.ring.Keys {
			if k.ID == keyID {
				return slot{id, use}, k.Alg, nil
			}
		}
	}
	return slot{}, "", errNoKey
}

package repo

import (
	"context"
	"errors"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Identity is what is immutable about a stored pool.
type Identity struct {
	ID     pool.ID `json:"id"`
	Name   string  `json:"n"`
	Issuer string  `json:"i"`
}

// idPrefix begins the ids of pools made here: region "xx-edge-1".
const idPrefix = "xx-edge-1_"

// Pool returns a stored pool's identity; fault.NotFound if there is none.
func (r *Repo) Pool(ctx context.Context, name string) (Identity, error) {
	e, err := Get(ctx, r, identityKey(name))
	if err != nil {
		return Identity{}, err
	}
	if !e.Found {
		return Identity{}, fault.New(fault.NotFound, "the pool does not exist")
	}
	return e.Value, nil
}

// Pools returns all stored pools, by name.
func (r *Repo) Pools(ctx context.Context) ([]Identity, error) {
	ks, err := r.keyset(ctx, systemPool)
	if errors.Is(err, fault.NotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Identity
	for e, err := range scan[Identity](ctx, r, ks, tablePools, HomePartition(systemPool), tagOf(systemPool)) {
		if err != nil {
			return nil, err
		}
		out = append(out, e.Value)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range out {
		r.tags[tagOf(p.ID)] = p.ID
	}
	return out, nil
}

// EnsurePool returns the pool's identity and makes it, its id and its data
// key if it is new. It re-wraps a data key that is wrapped under an old
// key-encryption key. fault.Conflict if the stored issuer differs.
func (r *Repo) EnsurePool(ctx context.Context, name, issuer string) (Identity, error) {
	if !pool.ValidName(name) {
		return Identity{}, fault.New(fault.Invalid, "the pool's name is malformed")
	}
	if err := pool.ValidateIssuer(issuer); err != nil {
		return Identity{}, err
	}
	ks, err := r.ensureKeys(ctx, systemPool)
	if err != nil {
		return Identity{}, err
	}
	for range retries {
		have, err := Get(ctx, r, identityKey(name))
		if err != nil {
			return Identity{}, err
		}
		if have.Found {
			_, err := r.ensureKeys(ctx, have.Value.ID)
			if err == nil && have.Value.Issuer != issuer {
				err = fault.New(fault.Conflict, "the pool "+name+" was set up with the issuer "+have.Value.Issuer)
			}
			return have.Value, err
		}
		made, err := r.makePool(ctx, ks, have, Identity{Name: name, Issuer: issuer})
		if !errors.Is(err, store.ErrConflict) {
			return made, mapped(err)
		}
	}
	return Identity{}, mapped(store.ErrConflict)
}

// makePool makes the data key first: a pool that is listed has one.
func (r *Repo) makePool(ctx context.Context, ks *keyset, absent Entry[Identity], made Identity) (Identity, error) {
	made.ID = pool.ID(idPrefix + secret.Alphanumeric(9))
	if _, err := r.ensureKeys(ctx, made.ID); err != nil {
		return Identity{}, err
	}
	b := ks.batch(absent.key.Partition)
	check(b, absent)
	if err := put(b, absent, made, noExpiry()); err != nil {
		return Identity{}, err
	}
	if _, err := r.commit(ctx, b.t); err != nil {
		return Identity{}, err
	}
	return made, nil
}

// MoveIssuer replaces the stored issuer, which ends the use of tokens and passkeys of the old one.
func (r *Repo) MoveIssuer(ctx context.Context, name, issuer string) (Identity, error) {
	if err := pool.ValidateIssuer(issuer); err != nil {
		return Identity{}, err
	}
	var moved Identity
	k := identityKey(name)
	_, err := r.Update(ctx, systemPool, k.key.Partition, func(tx *Tx) error {
		e, err := Read(tx, k)
		if err != nil {
			return err
		}
		if !e.Found {
			return fault.New(fault.NotFound, "the pool does not exist")
		}
		moved = e.Value
		moved.Issuer = issuer
		return Put(tx, k, moved, noExpiry())
	})
	return moved, err
}

// poolByTag returns the pool whose entries begin with tag.
func (r *Repo) poolByTag(ctx context.Context, tag string) (pool.ID, bool, error) {
	r.mu.RLock()
	id, ok := r.tags[tag]
	r.mu.RUnlock()
	if ok {
		return id, true, nil
	}
	if _, err := r.Pools(ctx); err != nil {
		return "", false, err
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	id, ok = r.tags[tag]
	return id, ok, nil
}

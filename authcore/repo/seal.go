package repo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// sealFormat is the first byte of a sealed value.
const sealFormat = 1

// keyset is the opened data keys of a pool.
type keyset struct {
	id      pool.ID
	current byte
	seals   map[byte]map[uint8][]byte // key of each table, by data key id
	root    []byte                    // the first data key: purposes that must not change derive from it
	index   []byte                    // names HMACs
}

// wrappedKeys is the record of a pool's data keys. It is not sealed: each key
// in it is wrapped.
type wrappedKeys struct {
	Keys []wrappedKey `json:"k"`
}

type wrappedKey struct {
	ID      byte   `json:"id"`
	Wrapped []byte `json:"w"`
}

func newKeyset(id pool.ID, keys map[byte][]byte) *keyset {
	ks := &keyset{id: id, seals: map[byte]map[uint8][]byte{}}
	first := byte(255)
	for kid, data := range keys {
		ks.current, first = max(ks.current, kid), min(first, kid)
		ks.seals[kid] = map[uint8][]byte{}
		for _, t := range []store.Table{
			tablePools, tableUsers, tableTombstones, tableAliases, tableInvites, tableFirst, tableSigning,
			tableRevocations, tableSessions, tableSites, tableCodes, tableFamilies, tableUsed, tableGuesses, tableConsents, tableSessionRefs, tableAttempts, tableFamilyRefs,
		} {
			ks.seals[kid][t.ID] = secret.Derive(data, "record", fmt.Sprint(t.ID))
		}
	}
	ks.root = keys[first]
	ks.index = secret.Derive(ks.root, "index")
	return ks
}

// seal encrypts a record for its place.
func (ks *keyset) seal(k store.Key, plain []byte) []byte {
	head := []byte{sealFormat, ks.current}
	return append(head, secret.Seal(ks.seals[ks.current][k.Table.ID], plain, place(head, k))...)
}

// open reverses seal; it fails for a record from another place.
func (ks *keyset) open(k store.Key, sealed []byte) ([]byte, error) {
	if len(sealed) < 2 || sealed[0] != sealFormat {
		return nil, damaged(k, errors.New("unknown format"))
	}
	key := ks.seals[sealed[1]][k.Table.ID]
	if key == nil {
		return nil, damaged(k, errors.New("unknown data key"))
	}
	plain, err := secret.Open(key, sealed[2:], place(sealed[:2], k))
	if err != nil {
		return nil, damaged(k, err)
	}
	return plain, nil
}

// place is the associated data. Everything before the name has a fixed length.
func place(head []byte, k store.Key) []byte {
	return append([]byte{'g', 'h', head[0], head[1], byte(k.Partition), k.Table.ID}, k.Name...)
}

// keyset returns the data keys of a pool; fault.NotFound if it has none.
func (r *Repo) keyset(ctx context.Context, id pool.ID) (*keyset, error) {
	r.mu.RLock()
	ks := r.sets[id]
	r.mu.RUnlock()
	if ks != nil {
		return ks, nil
	}
	entries, err := r.store.Get(ctx, dataKeysKey(id))
	if err != nil {
		return nil, mapped(err)
	}
	if entries[0].Version == 0 {
		return nil, fault.New(fault.NotFound, "the pool does not exist")
	}
	keys, _, err := r.unwrap(ctx, id, entries[0])
	if err != nil {
		return nil, err
	}
	return r.remember(id, keys), nil
}

func (r *Repo) remember(id pool.ID, keys map[byte][]byte) *keyset {
	ks := newKeyset(id, keys)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sets[id] = ks
	r.tags[tagOf(id)] = id
	return ks
}

// unwrap opens the data keys of a record; stale is true if one of them is not
// wrapped under the current key-encryption key.
func (r *Repo) unwrap(ctx context.Context, id pool.ID, e store.Entry) (keys map[byte][]byte, stale bool, err error) {
	var rec wrappedKeys
	if err := decode(e.Value, &rec); err != nil {
		return nil, false, damaged(e.Key, err)
	}
	keys = map[byte][]byte{}
	for _, k := range rec.Keys {
		data, old, err := r.keys.Unwrap(ctx, k.Wrapped, wrapPlace(id, k.ID))
		if err != nil {
			return nil, false, fmt.Errorf("repo: data key of pool %q does not open under the configured key-encryption keys: %w", id, err)
		}
		if len(data) != 32 || keys[k.ID] != nil || k.ID == 0 {
			return nil, false, damaged(e.Key, errors.New("malformed data key"))
		}
		keys[k.ID] = data
		stale = stale || old
	}
	if len(keys) == 0 {
		return nil, false, damaged(e.Key, errors.New("no data key"))
	}
	return keys, stale, nil
}

func wrapPlace(id pool.ID, kid byte) []byte {
	return append([]byte{'g', 'h', 'd', 'k', kid}, id...)
}

// ensureKeys makes the pool's first data key if it has none, and wraps its
// data keys again if they are wrapped under an old key-encryption key.
func (r *Repo) ensureKeys(ctx context.Context, id pool.ID) (*keyset, error) {
	place := dataKeysKey(id)
	for range retries {
		entries, err := r.store.Get(ctx, place)
		if err != nil {
			return nil, mapped(err)
		}
		e := entries[0]
		keys, stale := map[byte][]byte{1: nil}, true
		if e.Version == 0 {
			keys[1] = secret.Bytes(32)
		} else if keys, stale, err = r.unwrap(ctx, id, e); err != nil {
			return nil, err
		}
		if !stale {
			return r.remember(id, keys), nil
		}
		raw, err := r.wrap(ctx, id, keys, e.Value)
		if err != nil {
			return nil, err
		}
		_, err = r.commit(ctx, store.Txn{
			Partition: place.Partition,
			Checks:    []store.Check{{Key: place, Version: e.Version}},
			Writes:    []store.Write{{Key: place, Value: raw}},
		})
		if errors.Is(err, store.ErrConflict) {
			continue // another node was faster
		}
		if err != nil {
			return nil, mapped(err)
		}
		return r.remember(id, keys), nil
	}
	return nil, mapped(store.ErrConflict)
}

func (r *Repo) wrap(ctx context.Context, id pool.ID, keys map[byte][]byte, stored []byte) (json.RawMessage, error) {
	var rec wrappedKeys
	for kid := byte(1); kid != 0; kid++ {
		if keys[kid] == nil {
			continue
		}
		wrapped, err := r.keys.Wrap(ctx, keys[kid], wrapPlace(id, kid))
		if err != nil {
			return nil, fmt.Errorf("repo: wrap data key: %w", err)
		}
		rec.Keys = append(rec.Keys, wrappedKey{ID: kid, Wrapped: wrapped})
	}
	return encode(rec, stored)
}

// Secret returns a 32-byte key of the pool for one purpose, the same on every
// node and after every restart (HKDF of the pool's data key).
func (r *Repo) Secret(ctx context.Context, id pool.ID, purpose string) ([]byte, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return nil, err
	}
	return secret.Derive(ks.root, "purpose", purpose), nil
}

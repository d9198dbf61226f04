package repo

import (
	"context"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Entry is a typed entry; Found is false if it is absent or expired.
type Entry[T any] struct {
	Value   T
	Found   bool
	Version uint64
	Expires time.Time
	Epoch   uint32 // failover epoch it was written under; if absent, the current one

	key store.Key
	raw []byte // the record as it is stored, opened; nil if absent
}

// Get reads an entry.
func Get[T any](ctx context.Context, r *Repo, k Key[T]) (Entry[T], error) {
	ks, err := r.keyset(ctx, k.id)
	if err != nil {
		return Entry[T]{}, err
	}
	entries, err := r.store.Get(ctx, k.at(ks))
	if err != nil {
		return Entry[T]{}, mapped(err)
	}
	return typed[T](ks, entries[0])
}

// at is the store's key; blind names are made here, where the pool's keys are.
func (k Key[T]) at(ks *keyset) store.Key {
	if k.blind == "" {
		return k.key
	}
	key := k.key
	key.Name += string(secret.MAC(ks.index, []byte(k.blind)))
	return key
}

// typed opens and decodes an entry of the store.
func typed[T any](ks *keyset, e store.Entry) (Entry[T], error) {
	out := Entry[T]{Version: e.Version, Expires: e.Expires, Epoch: e.Epoch, key: e.Key}
	if e.Version == 0 {
		return out, nil
	}
	raw, err := ks.open(e.Key, e.Value)
	if err != nil {
		return Entry[T]{}, err
	}
	if err := decode(raw, &out.Value); err != nil {
		return Entry[T]{}, damaged(e.Key, err)
	}
	out.Found, out.raw = true, raw
	return out, nil
}

// Tx is a typed transaction in one partition of a pool, of tables of one kind.
type Tx struct {
	tx  *store.Tx
	ks  *keyset
	now time.Time
}

// Update runs a closure that reads, decides and writes in one partition, and
// commits; it runs again on conflict and must do nothing slow or external. An
// error of the closure's ends it as it is. fault.Busy when there is no end of
// conflicts, fault.Unavailable when the store is down.
func (r *Repo) Update(ctx context.Context, id pool.ID, p store.Partition, fn func(*Tx) error) (store.Receipt, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return store.Receipt{}, err
	}
	receipt, err := store.Update(ctx, r.store, p, func(tx *store.Tx) error {
		return fn(&Tx{tx: tx, ks: ks, now: r.now()})
	})
	return receipt, mapped(err)
}

// Read reads an entry within a transaction and makes the commit depend on it.
func Read[T any](tx *Tx, k Key[T]) (Entry[T], error) {
	if k.id != tx.ks.id {
		return Entry[T]{}, fmt.Errorf("%w: a key of another pool", store.ErrInvalid)
	}
	entries, err := tx.tx.Get(k.at(tx.ks))
	if err != nil {
		return Entry[T]{}, err
	}
	return typed[T](tx.ks, entries[0])
}

// Put writes an entry; members of the stored record that T does not know are
// kept. Like Read, it makes the commit depend on what is stored now.
func Put[T any](tx *Tx, k Key[T], v T, expires time.Time) error {
	have, err := Read(tx, k)
	if err != nil {
		return err
	}
	raw, err := encode(v, have.raw)
	if err != nil {
		return err
	}
	at := k.at(tx.ks)
	tx.tx.Put(at, tx.ks.seal(at, raw), expires)
	return nil
}

// Delete deletes an entry.
func Delete[T any](tx *Tx, k Key[T]) { tx.tx.Delete(k.at(tx.ks)) }

// FenceEpoch makes the commit fail with store.ErrEpoch unless epoch is current.
func (tx *Tx) FenceEpoch(epoch uint32) { tx.tx.FenceEpoch(epoch) }

// Now is the time a closure should judge by: the store's.
func (tx *Tx) Now() time.Time { return tx.now }

// batch is one commit whose checks and writes are known beforehand.
type batch struct {
	ks *keyset
	t  store.Txn
}

func (ks *keyset) batch(p store.Partition) *batch {
	return &batch{ks: ks, t: store.Txn{Partition: p}}
}

// check demands that an entry still is as it was read.
func check[T any](b *batch, e Entry[T]) {
	b.t.Checks = append(b.t.Checks, store.Check{Key: e.key, Version: e.Version})
}

// put replaces what was read.
func put[T any](b *batch, e Entry[T], v T, expires time.Time) error {
	raw, err := encode(v, e.raw)
	if err != nil {
		return err
	}
	b.t.Writes = append(b.t.Writes, store.Write{Key: e.key, Value: b.ks.seal(e.key, raw), Expires: expires})
	return nil
}

// touch writes what was read once more, so that its version rises.
func touch[T any](b *batch, e Entry[T]) {
	b.t.Writes = append(b.t.Writes, store.Write{Key: e.key, Value: b.ks.seal(e.key, e.raw), Expires: e.Expires})
}

// remove deletes what was read.
func remove[T any](b *batch, e Entry[T]) {
	b.t.Writes = append(b.t.Writes, store.Write{Key: e.key, Delete: true})
}

// get2 reads two entries in one round trip.
func get2[A, B any](ctx context.Context, r *Repo, ks *keyset, a Key[A], b Key[B]) (Entry[A], Entry[B], error) {
	entries, err := r.store.Get(ctx, a.at(ks), b.at(ks))
	if err != nil {
		return Entry[A]{}, Entry[B]{}, err
	}
	first, err := typed[A](ks, entries[0])
	if err != nil {
		return Entry[A]{}, Entry[B]{}, err
	}
	second, err := typed[B](ks, entries[1])
	return first, second, err
}

package repo

import (
	"context"
	"encoding/hex"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

var errNoUser = fault.New(fault.NotFound, "the user does not exist")

// standin formats an HMAC as a UUID of version 4.
func (ks *keyset) standin(i pool.Identifier) pool.UserID {
	b := secret.MAC(ks.index, []byte("standin"), []byte(i.Kind), []byte(i.Value))[:16]
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	h := hex.EncodeToString(b)
	return pool.UserID(h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:])
}

// User returns a user; fault.NotFound if there is none.
func (r *Repo) User(ctx context.Context, id pool.ID, sub pool.UserID) (*pool.User, error) {
	e, err := Get(ctx, r, userKey(id, sub))
	if err != nil {
		return nil, err
	}
	if !e.Found {
		return nil, errNoUser
	}
	return &e.Value, nil
}

// ReadUser reads a user within a transaction and makes the commit depend on it.
func ReadUser(tx *Tx, sub pool.UserID) (Entry[pool.User], error) {
	return Read(tx, userKey(tx.ks.id, sub))
}

// CreateUser stores a new user and its aliases (username, email, phone) by
// the fenced alias protocol. fault.Conflict if an alias or the sub is taken,
// fault.Busy if an alias is just being reserved by somebody else,
// fault.Invalid if the record is malformed.
//
// It ends the pool's first-user link first, unless u is who it names: then the
// link must have been claimed (else fault.Forbidden) and is spent.
func (r *Repo) CreateUser(ctx context.Context, id pool.ID, u *pool.User) error {
	if err := u.Validate(); err != nil {
		return err
	}
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return err
	}
	first, err := r.endFirstLink(ctx, ks, u.Sub)
	if err != nil {
		return mapped(err)
	}
	held, lease, err := r.reserve(ctx, ks, u.Sub, 0, u.Identifiers())
	if err != nil {
		return createError(err)
	}
	if err := r.commitNew(ctx, ks, u, lease); err != nil {
		if refused(err) {
			r.release(ctx, ks, held)
		}
		return createError(err)
	}
	for _, h := range held {
		r.confirm(ctx, ks, h)
	}
	if first.Found {
		r.dropFirst(ctx, ks, first)
	}
	return nil
}

func createError(err error) error {
	if is(err, store.ErrConflict, errUserChanged) {
		return fault.Wrap(fault.Conflict, err, "the user exists or has existed")
	}
	return mapped(err)
}

// commitNew is the commit point of a creation: neither user nor tombstone may
// be there, and the lease of the aliases must not be over.
func (r *Repo) commitNew(ctx context.Context, ks *keyset, u *pool.User, lease time.Time) error {
	user, gone, err := get2(ctx, r, ks, userKey(ks.id, u.Sub), tombstoneKey(ks.id, u.Sub))
	if err != nil {
		return err
	}
	if user.Found || gone.Found {
		return store.ErrConflict
	}
	made := *u
	made.Updated = r.now().UTC()
	if made.Created.IsZero() {
		made.Created = made.Updated
	}
	b := ks.batch(user.key.Partition)
	b.t.NotAfter = lease
	check(b, user)
	check(b, gone)
	if err := put(b, user, made, noExpiry()); err != nil {
		return err
	}
	_, err = r.commit(ctx, b.t)
	return err
}

// endFirstLink ends the first-user link before another user is created, and
// sees to it that the user it names cannot be created any more. If sub is who
// it names, it returns the link.
func (r *Repo) endFirstLink(ctx context.Context, ks *keyset, sub pool.UserID) (Entry[pool.FirstUser], error) {
	for range retries {
		first, err := Get(ctx, r, FirstUserKey(ks.id))
		if err != nil || !first.Found {
			return first, err
		}
		if first.Value.Sub == sub {
			if !first.Value.Claimed {
				return first, fault.New(fault.Forbidden, "the link has not been claimed")
			}
			return first, nil
		}
		if err = r.fenceSub(ctx, ks, first.Value.Sub); err == nil {
			err = r.dropFirst(ctx, ks, first)
		}
		if err == nil {
			return Entry[pool.FirstUser]{}, nil
		}
		if !errors.Is(err, store.ErrConflict) {
			return first, err
		}
	}
	return Entry[pool.FirstUser]{}, store.ErrConflict
}

// fenceSub makes the creation of a sub impossible, unless it has happened.
func (r *Repo) fenceSub(ctx context.Context, ks *keyset, sub pool.UserID) error {
	user, gone, err := get2(ctx, r, ks, userKey(ks.id, sub), tombstoneKey(ks.id, sub))
	if err != nil || user.Found {
		return err
	}
	return r.fence(ctx, ks, alias{Sub: sub}, user, gone)
}

func (r *Repo) dropFirst(ctx context.Context, ks *keyset, first Entry[pool.FirstUser]) error {
	b := ks.batch(first.key.Partition)
	check(b, first)
	remove(b, first)
	_, err := r.commit(ctx, b.t)
	return err
}

// UpdateUser changes a user by a closure that may run more than once; alias
// changes follow the protocol. Raising the epoch, disabling or removing a
// group writes the revocation entry in the same commit. Sub, Username and
// Created cannot change and the epoch cannot fall: fault.Invalid. An error of
// the closure's ends it as it is. fault.Conflict if an alias is taken.
func (r *Repo) UpdateUser(ctx context.Context, id pool.ID, sub pool.UserID, change func(*pool.User) error) (*pool.User, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return nil, err
	}
	for attempt := range retries {
		u, err := r.updateOnce(ctx, ks, sub, change)
		if !is(err, store.ErrConflict, errUserChanged) {
			return u, mapped(err)
		}
		if err := pause(ctx, attempt); err != nil {
			return nil, mapped(err)
		}
	}
	return nil, mapped(store.ErrConflict)
}

func (r *Repo) updateOnce(ctx context.Context, ks *keyset, sub pool.UserID, change func(*pool.User) error) (*pool.User, error) {
	have, revoked, err := get2(ctx, r, ks, userKey(ks.id, sub), revocationKey(ks.id, sub))
	if err != nil {
		return nil, err
	}
	if !have.Found {
		return nil, errNoUser
	}
	before, after := have.Value, clone(have.Value)
	if err := change(&after); err != nil {
		return nil, err
	}
	if reflect.DeepEqual(before, after) {
		return &after, nil
	}
	after.Updated = r.now().UTC()
	if err := changeable(&before, &after); err != nil {
		return nil, err
	}
	added, removed := difference(after.Identifiers(), before.Identifiers())
	held, lease, err := r.reserve(ctx, ks, sub, have.Version, added)
	if err != nil {
		return nil, err
	}
	b := ks.batch(have.key.Partition)
	if len(held) > 0 {
		b.t.NotAfter = lease
	}
	if err := r.replace(b, have, revoked, &after); err != nil {
		return nil, err
	}
	if _, err := r.commit(ctx, b.t); err != nil {
		if refused(err) {
			r.release(ctx, ks, held)
		}
		return nil, err
	}
	for _, h := range held {
		r.confirm(ctx, ks, h)
	}
	r.free(ctx, ks, sub, removed)
	return &after, nil
}

// replace fills the commit point of a change: the user, and the revocation
// entry if gates must know.
func (r *Repo) replace(b *batch, have Entry[pool.User], revoked Entry[pool.Revocation], after *pool.User) error {
	check(b, have)
	if err := put(b, have, *after, noExpiry()); err != nil {
		return err
	}
	now := pool.Revocation{Sub: after.Sub, Epoch: after.Epoch, Groups: after.Groups, Gone: after.Disabled}
	if !stirs(&have.Value, after) && (!revoked.Found || reflect.DeepEqual(revoked.Value, now)) {
		return nil
	}
	check(b, revoked)
	return put(b, revoked, now, r.now().Add(RevocationLife))
}

// stirs reports whether gates must look again: at what was issued for before
// and must not be believed any more, or at groups that somebody waits for.
func stirs(before, after *pool.User) bool {
	gained, lost := difference(after.Groups, before.Groups)
	return after.Epoch > before.Epoch || after.Disabled && !before.Disabled || len(gained) > 0 || len(lost) > 0
}

func changeable(before, after *pool.User) error {
	switch {
	case after.Sub != before.Sub || after.Username != before.Username || !after.Created.Equal(before.Created):
		return fault.New(fault.Invalid, "sub, user name and time of creation cannot change")
	case after.Epoch < before.Epoch:
		return fault.New(fault.Invalid, "the epoch cannot fall")
	}
	return after.Validate()
}

// difference returns what only a and what only b holds.
func difference[T comparable](a, b []T) (onlyA, onlyB []T) {
	only := func(in, out []T) []T {
		return slices.DeleteFunc(slices.Clone(in), func(v T) bool { return slices.Contains(out, v) })
	}
	return only(a, b), only(b, a)
}

// clone copies a user so deeply that a closure cannot reach the original.
func clone(u pool.User) pool.User {
	u.Groups, u.Claims = slices.Clone(u.Groups), maps.Clone(u.Claims)
	if u.Password != nil {
		p := *u.Password
		u.Password = &p
	}
	return u
}

// DeleteUser replaces the user with a tombstone, writes the revocation entry,
// forgets the consents, and frees e-mail address and phone number; a user name
// stays taken. fault.NotFound if there is none.
func (r *Repo) DeleteUser(ctx context.Context, id pool.ID, sub pool.UserID) error {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return err
	}
	for attempt := range retries {
		err := r.deleteOnce(ctx, ks, sub)
		if !errors.Is(err, store.ErrConflict) {
			return mapped(err)
		}
		if err := pause(ctx, attempt); err != nil {
			return mapped(err)
		}
	}
	return mapped(store.ErrConflict)
}

func (r *Repo) deleteOnce(ctx context.Context, ks *keyset, sub pool.UserID) error {
	have, gone, err := get2(ctx, r, ks, userKey(ks.id, sub), tombstoneKey(ks.id, sub))
	if err != nil {
		return err
	}
	if !have.Found {
		return errNoUser
	}
	revoked, err := Get(ctx, r, revocationKey(ks.id, sub))
	if err != nil {
		return err
	}
	if err := r.keepNames(ctx, ks, &have.Value); err != nil {
		return err
	}
	now := r.now()
	b := ks.batch(have.key.Partition)
	if err := r.removeConsents(ctx, b, sub); err != nil {
		return err
	}
	check(b, have)
	check(b, revoked)
	remove(b, have)
	if err := put(b, gone, tombstone{Made: now}, now.Add(goneLife)); err != nil {
		return err
	}
	end := pool.Revocation{Sub: sub, Epoch: have.Value.Epoch, Gone: true}
	if err := put(b, revoked, end, now.Add(RevocationLife)); err != nil {
		return err
	}
	if _, err := r.commit(ctx, b.t); err != nil {
		return err
	}
	r.free(ctx, ks, sub, have.Value.Identifiers())
	return nil
}

// consentBatch bounds the consents that one commit deletes.
const consentBatch = 200

// removeConsents deletes a user's consents in b; if they are too many for one
// commit, the first of them at once.
func (r *Repo) removeConsents(ctx context.Context, b *batch, sub pool.UserID) error {
	id := b.ks.id
	for e, err := range scan[pool.Consent](ctx, r, b.ks, tableConsents, b.t.Partition, tagOf(id)+rawSub(sub)) {
		if err != nil {
			return err
		}
		remove(b, e)
		if len(b.t.Writes) < consentBatch {
			continue
		}
		if _, err := r.commit(ctx, b.t); err != nil {
			return err
		}
		b.t.Writes = nil
	}
	return nil
}

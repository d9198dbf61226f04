package repo

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Aliases live in partitions of their own, so a user and its aliases cannot
// be written in one commit. The protocol:
//
//	reserve   each alias: pending, with the owner's version and a lease
//	commit    the user, which lists the aliases; not after the lease
//	confirm   each alias; whoever meets it pending may do it
//
// An alias counts only if the user lists it. A pending alias of somebody else
// may be taken over only after its lease and after its owner's commit was made
// impossible (fence): a tombstone for a user that is not there, a higher
// version for one that is.
//
// A user name is never given to anybody else: its alias stays, confirmed, when
// its user is deleted, and since only a committed user's alias is confirmed and
// user names cannot change, a confirmed user name without its user is one that
// was deleted.

// leaseLife is how long a creation or change may take from reserve to commit.
const leaseLife = 10 * time.Second

// reserveAttempts bounds the reads of an alias that keeps changing.
const reserveAttempts = 16

// Tombstones outlive every slow writer, and stay where a user was.
const (
	fenceLife = time.Hour
	goneLife  = 30 * 24 * time.Hour
)

// alias points from an identifier to its owner.
type alias struct {
	Sub     pool.UserID `json:"s"`
	Pending bool        `json:"p,omitempty"`
	Lease   time.Time   `json:"l,omitzero"`  // pending: not to be taken over before
	Owner   uint64      `json:"ov,omitzero"` // pending: version of the user's record when it was reserved; 0: to be created
}

var (
	errTaken = fault.New(fault.Conflict, "the user name, e-mail address or phone number is taken")
	errBusy  = fault.New(fault.Busy, "the user name, e-mail address or phone number is being changed: try again")
)

func aliasKey(ks *keyset, i pool.Identifier) Key[alias] {
	mac := secret.MAC(ks.index, []byte("alias"), []byte{pool.NormVersion}, []byte(i.Kind), []byte(i.Value))
	return newKey[alias](tableAliases, ks.id, store.Partition(mac[0]), string(mac[:16]))
}

// reservation is an alias that waits for its user's commit.
type reservation struct {
	entry Entry[alias] // as reserved
	ident pool.Identifier
}

// reserve reserves all of idents for sub until the lease, or none. owner is the version of the
// user's record, 0 if it is to be created. store.ErrConflict means that the user
// changed meanwhile.
func (r *Repo) reserve(ctx context.Context, ks *keyset, sub pool.UserID, owner uint64, idents []pool.Identifier) ([]reservation, time.Time, error) {
	want := alias{Sub: sub, Pending: true, Owner: owner, Lease: store.Millis(r.now().Add(leaseLife))}
	var held []reservation
	for _, i := range inOrder(idents) {
		e, err := r.reserveOne(ctx, ks, want, i)
		if err != nil {
			r.release(ctx, ks, held)
			return nil, time.Time{}, err
		}
		held = append(held, reservation{e, i})
	}
	return held, want.Lease, nil
}

// inOrder sorts, so that rivals for several aliases do not hold what the other needs.
func inOrder(idents []pool.Identifier) []pool.Identifier {
	return slices.SortedFunc(slices.Values(idents), func(a, b pool.Identifier) int {
		return slices.Compare([]string{string(a.Kind), a.Value}, []string{string(b.Kind), b.Value})
	})
}

func (r *Repo) reserveOne(ctx context.Context, ks *keyset, want alias, i pool.Identifier) (Entry[alias], error) {
	for range reserveAttempts {
		have, err := Get(ctx, r, aliasKey(ks, i))
		if err != nil {
			return have, err
		}
		if have.Found {
			err = r.displace(ctx, ks, have, i, want.Sub)
		}
		if err == nil {
			var e Entry[alias]
			if e, err = r.putAlias(ctx, ks, have, want); err == nil {
				return e, nil
			}
		}
		if !errors.Is(err, store.ErrConflict) || errors.Is(err, errUserChanged) {
			return have, err
		}
	}
	return Entry[alias]{}, errBusy
}

// errUserChanged means that the user who reserves an alias lists it already.
var errUserChanged = errors.New("repo: the user changed meanwhile")

// displace returns nil if the alias may be replaced at the version that was
// read: nobody lists it, and nobody who reserved it can commit any more.
func (r *Repo) displace(ctx context.Context, ks *keyset, have Entry[alias], i pool.Identifier, by pool.UserID) error {
	a := have.Value
	owner, gone, err := get2(ctx, r, ks, userKey(ks.id, a.Sub), tombstoneKey(ks.id, a.Sub))
	if err != nil {
		return err
	}
	switch {
	case owner.Found && lists(&owner.Value, i):
		r.confirm(ctx, ks, reservation{have, i})
		if a.Sub == by {
			return errUserChanged
		}
		return errTaken
	case spent(a, i):
		return errTaken
	case !a.Pending:
		return nil // its user has given it up
	case !r.now().After(a.Lease):
		return errBusy
	}
	return r.fence(ctx, ks, a, owner, gone)
}

// spent reports whether an alias whose user is not there, or does not list it,
// is a user name that was somebody's once.
func spent(a alias, i pool.Identifier) bool { return i.Kind == pool.ByUsername && !a.Pending }

// keepNames settles the user names of a user who is about to be deleted, so
// that they stay taken.
func (r *Repo) keepNames(ctx context.Context, ks *keyset, u *pool.User) error {
	for _, i := range u.Identifiers() {
		if i.Kind != pool.ByUsername {
			continue
		}
		have, err := Get(ctx, r, aliasKey(ks, i))
		if err != nil {
			return err
		}
		if have.Found && (have.Value.Sub != u.Sub || !have.Value.Pending) {
			continue
		}
		if _, err := r.putAlias(ctx, ks, have, alias{Sub: u.Sub}); err != nil {
			return err
		}
	}
	return nil
}

// fence makes the commit that an overdue reservation waits for impossible.
func (r *Repo) fence(ctx context.Context, ks *keyset, a alias, owner Entry[pool.User], gone Entry[tombstone]) error {
	b := ks.batch(owner.key.Partition)
	check(b, owner)
	switch {
	case !owner.Found && gone.Found:
		return nil // fenced already
	case !owner.Found:
		now := r.now()
		if err := put(b, gone, tombstone{Made: now}, now.Add(fenceLife)); err != nil {
			return err
		}
	case owner.Version <= a.Owner:
		touch(b, owner)
	default:
		return nil // its check cannot hold any more
	}
	_, err := r.commit(ctx, b.t)
	return err
}

func (r *Repo) putAlias(ctx context.Context, ks *keyset, have Entry[alias], v alias) (Entry[alias], error) {
	b := ks.batch(have.key.Partition)
	check(b, have)
	if err := put(b, have, v, noExpiry()); err != nil {
		return have, err
	}
	receipt, err := r.commit(ctx, b.t)
	if err != nil {
		return have, err
	}
	raw, err := encode(v, have.raw)
	return Entry[alias]{Value: v, Found: true, Version: receipt.Version, key: have.key, raw: raw}, err
}

// confirm marks an alias as settled. It may fail: whoever meets it next tries again.
func (r *Repo) confirm(ctx context.Context, ks *keyset, held reservation) {
	a := held.entry.Value
	if !a.Pending {
		return
	}
	if _, err := r.putAlias(ctx, ks, held.entry, alias{Sub: a.Sub}); err != nil && !errors.Is(err, store.ErrConflict) {
		r.log.DebugContext(ctx, "alias not confirmed yet", "error", err)
	}
}

// release gives reservations back after a commit that certainly was not
// applied. What fails here is fenced and taken over by who wants it.
func (r *Repo) release(ctx context.Context, ks *keyset, held []reservation) {
	for _, h := range held {
		b := ks.batch(h.entry.key.Partition)
		check(b, h.entry)
		remove(b, h.entry)
		if _, err := r.commit(ctx, b.t); err != nil {
			r.log.DebugContext(ctx, "alias not released yet", "error", err)
		}
	}
}

// free deletes aliases that a user has given up. It may fail: an alias that
// its user does not list counts for nothing.
func (r *Repo) free(ctx context.Context, ks *keyset, sub pool.UserID, idents []pool.Identifier) {
	for _, i := range inOrder(idents) {
		if err := r.freeOne(ctx, ks, sub, i); err != nil {
			r.log.DebugContext(ctx, "alias not freed yet", "error", err)
		}
	}
}

func (r *Repo) freeOne(ctx context.Context, ks *keyset, sub pool.UserID, i pool.Identifier) error {
	have, err := Get(ctx, r, aliasKey(ks, i))
	if err != nil || !have.Found || have.Value.Sub != sub || spent(have.Value, i) {
		return err
	}
	// The alias is read first: whoever lists it again replaces it before, and
	// then the check fails.
	owner, err := Get(ctx, r, userKey(ks.id, sub))
	if err != nil || owner.Found && (have.Value.Pending || lists(&owner.Value, i)) {
		return err
	}
	b := ks.batch(have.key.Partition)
	check(b, have)
	remove(b, have)
	_, err = r.commit(ctx, b.t)
	return err
}

// lists reports whether the record, the only truth about aliases, names i.
func lists(u *pool.User, i pool.Identifier) bool { return slices.Contains(u.Identifiers(), i) }

// UserByIdentifier resolves an identifier; fault.NotFound if nobody owns it,
// after as many steps as if somebody did.
func (r *Repo) UserByIdentifier(ctx context.Context, id pool.ID, i pool.Identifier) (*pool.User, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return nil, err
	}
	var last uint64
	for range reserveAttempts {
		have, err := Get(ctx, r, aliasKey(ks, i))
		if err != nil {
			return nil, err
		}
		sub := have.Value.Sub
		if !have.Found {
			sub = ks.missing(i)
		}
		owner, err := Get(ctx, r, userKey(id, sub))
		if err != nil {
			return nil, err
		}
		switch {
		case owner.Found && owns(&owner.Value, i):
			if have.Found {
				r.confirm(ctx, ks, reservation{have, i})
			}
			return &owner.Value, nil
		case !have.Found || have.Version == last || spent(have.Value, i):
			return nil, errNoUser
		}
		// It may have changed hands between the two reads: look again.
		last = have.Version
	}
	return nil, errBusy
}

// owns reports whether i leads to u: as an alias, or because it is the sub of
// a user without a name of its own.
func owns(u *pool.User, i pool.Identifier) bool {
	return lists(u, i) || i.Kind == pool.ByUsername && i.Value == string(u.Sub) && u.Username == i.Value
}

// missing is the sub to look at for an identifier without an alias: itself if
// it has the form of one, else the stand-in.
func (ks *keyset) missing(i pool.Identifier) pool.UserID {
	if sub := pool.UserID(i.Value); i.Kind == pool.ByUsername && sub.Valid() {
		return sub
	}
	return ks.standin(i)
}

// Standin is the sub, by HMAC, that stands for an identifier that nobody
// owns: its counters lie where a real user's would.
func (r *Repo) Standin(ctx context.Context, id pool.ID, i pool.Identifier) (pool.UserID, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return "", err
	}
	return ks.standin(i), nil
}

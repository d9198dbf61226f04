package repo

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"iter"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

func noExpiry() time.Time { return time.Time{} }

// scan walks a pool's entries of a table in one partition, in key order.
func scan[T any](ctx context.Context, r *Repo, ks *keyset, t store.Table, p store.Partition, prefix string) iter.Seq2[Entry[T], error] {
	return func(yield func(Entry[T], error) bool) {
		after := ""
		for {
			entries, err := r.store.Scan(ctx, store.Range{Partition: p, Table: t, After: after, Prefix: prefix})
			if err != nil {
				yield(Entry[T]{}, mapped(err))
				return
			}
			for _, e := range entries {
				out, err := typed[T](ks, e)
				if !yield(out, err) || err != nil {
					return
				}
				after = e.Key.Name
			}
			if len(entries) < store.MaxScan {
				return
			}
		}
	}
}

// MaxPage is the largest page of Users.
const MaxPage = 500

// cursor is a position in the walk over users: after Name in Partition.
type cursor struct {
	Partition store.Partition `json:"p"`
	Name      string          `json:"n"` // after the tag, base64
}

// SearchBudget is how many users one page of Search looks at, at most.
const SearchBudget = 500

const (
	searchBytes = 1 << 19 // of records that a page decodes: large ones end it sooner
	searchChunk = 250     // users that are read at once
)

// Users returns up to limit users (1 to MaxPage; 0 means 60) after a cursor
// ("" from the start) and the next cursor ("" at the end). A user that exists
// throughout a walk is seen exactly once. The order means nothing. Cursors are
// sealed: fault.Invalid for one that is not of this pool's making.
func (r *Repo) Users(ctx context.Context, id pool.ID, after string, limit int) ([]*pool.User, string, error) {
	return r.Search(ctx, id, nil, after, limit)
}

// Search is Users of those alone that match (nil: all). A page looks at no
// more than SearchBudget users: it may be short, or empty, before the last.
func (r *Repo) Search(ctx context.Context, id pool.ID, match func(*pool.User) bool, after string, limit int) ([]*pool.User, string, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return nil, "", err
	}
	at, err := ks.openCursor(after)
	if err != nil {
		return nil, "", err
	}
	switch {
	case limit == 0:
		limit = 60
	case limit < 0 || limit > MaxPage:
		return nil, "", fault.New(fault.Invalid, "the page size is out of range")
	}
	chunk := searchChunk
	if match == nil {
		chunk = limit + 1 // one more than asked for tells whether there is a next page
	}
	users, next, last := []*pool.User{}, "", at
	seen, size := 0, 0
	err = r.walk(ctx, ks, at, chunk, func(e Entry[pool.User]) bool {
		if len(users) == limit || match != nil && (seen == SearchBudget || size > searchBytes) {
			next = ks.sealCursor(last)
			return false
		}
		seen, size, last = seen+1, size+len(e.raw), e.key
		if match == nil || match(&e.Value) {
			users = append(users, &e.Value)
		}
		return true
	})
	if err != nil {
		return nil, "", err
	}
	return users, next, nil
}

// walk visits the users behind a place, chunk by chunk, until visit has enough.
func (r *Repo) walk(ctx context.Context, ks *keyset, from store.Key, chunk int, visit func(Entry[pool.User]) bool) error {
	p, after := int(from.Partition), from.Name
	for p < store.Partitions {
		entries, err := r.store.Scan(ctx, store.Range{
			Partition: store.Partition(p), Table: tableUsers, After: after, Prefix: tagOf(ks.id), Limit: chunk,
		})
		if err != nil {
			return mapped(err)
		}
		for _, e := range entries {
			u, err := typed[pool.User](ks, e)
			if err != nil {
				return err
			}
			if !visit(u) {
				return nil
			}
			after = e.Key.Name
		}
		if len(entries) < chunk {
			p, after = p+1, ""
		}
	}
	return nil
}

func (ks *keyset) cursorKey() ([]byte, []byte) {
	return secret.Derive(ks.root, "cursor"), []byte("users\x00" + string(ks.id))
}

func (ks *keyset) sealCursor(k store.Key) string {
	// Encoding two fields of a struct of ours cannot fail.
	raw, _ := json.Marshal(cursor{k.Partition, base64.StdEncoding.EncodeToString([]byte(k.Name[tagLen:]))})
	key, place := ks.cursorKey()
	return base64.RawURLEncoding.EncodeToString(secret.Seal(key, raw, place))
}

func (ks *keyset) openCursor(s string) (store.Key, error) {
	if s == "" {
		return store.Key{}, nil
	}
	bad := fault.New(fault.Invalid, "the cursor is not valid")
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil {
		return store.Key{}, bad
	}
	key, place := ks.cursorKey()
	raw, err := secret.Open(key, sealed, place)
	if err != nil {
		return store.Key{}, bad
	}
	var c cursor
	if err := json.Unmarshal(raw, &c); err != nil {
		return store.Key{}, bad
	}
	name, err := base64.StdEncoding.DecodeString(c.Name)
	if err != nil {
		return store.Key{}, bad
	}
	return store.Key{Partition: c.Partition, Table: tableUsers, Name: tagOf(ks.id) + string(name)}, nil
}

// HasUsers reports whether the pool has any user.
func (r *Repo) HasUsers(ctx context.Context, id pool.ID) (bool, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return false, err
	}
	has := false
	err = r.walk(ctx, ks, store.Key{}, 1, func(Entry[pool.User]) bool {
		has = true
		return false
	})
	return has, err
}

// SessionNames returns the names of a user's SSO sessions that have not run out.
func (r *Repo) SessionNames(ctx context.Context, id pool.ID, sub pool.UserID) ([]string, error) {
	return r.refs(ctx, id, sub, tableSessionRefs, tagOf(id)+rawSub(sub))
}

// FamilyNames returns the names of the families that a client was given for a
// user and that have not run out.
func (r *Repo) FamilyNames(ctx context.Context, id pool.ID, sub pool.UserID, client pool.ClientID) ([]string, error) {
	return r.refs(ctx, id, sub, tableFamilyRefs, tagOf(id)+rawSub(sub)+clientPart(client))
}

// refs returns what follows a prefix in the names of a table of references.
func (r *Repo) refs(ctx context.Context, id pool.ID, sub pool.UserID, t store.Table, prefix string) ([]string, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return nil, err
	}
	var names []string
	for e, err := range scan[struct{}](ctx, r, ks, t, UserPartition(id, sub), prefix) {
		if err != nil {
			return nil, err
		}
		names = append(names, e.key.Name[len(prefix):])
	}
	return names, nil
}

// Consents returns what a user has let clients have.
func (r *Repo) Consents(ctx context.Context, id pool.ID, sub pool.UserID) ([]pool.Consent, error) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		return nil, err
	}
	var all []pool.Consent
	for e, err := range scan[pool.Consent](ctx, r, ks, tableConsents, UserPartition(id, sub), tagOf(id)+rawSub(sub)) {
		if err != nil {
			return nil, err
		}
		all = append(all, e.Value)
	}
	return all, nil
}

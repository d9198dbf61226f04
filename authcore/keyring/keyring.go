// Package keyring owns the signing keys of each pool: making, choosing,
// rotating by overlap, publishing.
//
// It knows no tokens and no HTTP: who signs what is token's, how a set is
// published is oauth's. Keys lie sealed in the directory (authcore/repo);
// parsed ones are kept in memory, so that signing and verifying do no I/O.
package keyring

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

const (
	// PublishedFor is how long others may keep a published set (its max-age).
	PublishedFor = 5 * time.Minute
	// defaultOverlap lets every reader of the published set see a new key
	// before it signs: twice the max-age, and what the feed may lag.
	defaultOverlap = 2*PublishedFor + 5*time.Second
	// skew is how far the clocks of verifiers may differ from ours.
	skew = time.Minute
)

// Config says what a Ring stands on.
type Config struct {
	Repo    *repo.Repo
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // nil: discards
	Overlap time.Duration    // from a key's publication to its first signature; 0: 10 min 5 s
}

// Ring is the key ring of all pools. It is safe for concurrent use.
type Ring struct {
	repo    *repo.Repo
	now     func() time.Time
	log     *slog.Logger
	overlap time.Duration

	mu     sync.RWMutex
	loaded map[slot]*snapshot
}

// slot names one set of keys.
type slot struct {
	id  pool.ID
	use pool.KeyUse
}

// New returns a Ring; it reads nothing yet.
func New(c Config) *Ring {
	r := &Ring{repo: c.Repo, now: c.Now, log: c.Logger, overlap: c.Overlap, loaded: map[slot]*snapshot{}}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.overlap == 0 {
		r.overlap = defaultOverlap
	}
	return r
}

// algs are the algorithms that every pool has a key for, by use.
func algs(use pool.KeyUse) []jose.Alg {
	if use == pool.AssertionKeys {
		return []jose.Alg{jose.ES256}
	}
	return []jose.Alg{jose.ES256, jose.RS256}
}

// Ensure makes the keys that a pool lacks: once, even under races.
func (r *Ring) Ensure(ctx context.Context, id pool.ID) error {
	for _, use := range []pool.KeyUse{pool.TokenKeys, pool.AssertionKeys} {
		snap, err := r.load(ctx, slot{id, use})
		if err != nil {
			return err
		}
		var lacking []jose.Alg
		for _, alg := range algs(use) {
			if signing(snap.ring.Keys, alg, r.now()) == nil {
				lacking = append(lacking, alg)
			}
		}
		if len(lacking) == 0 {
			continue
		}
		fresh, err := r.generate(lacking, r.now())
		if err != nil {
			return err
		}
		err = r.update(ctx, slot{id, use}, func(keys []pool.SigningKey, now time.Time) []pool.SigningKey {
			for _, k := range fresh {
				if signing(keys, k.Alg, now) == nil {
					keys = append(keys, k)
				}
			}
			return keys
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// generate makes one key per algorithm. It is slow, so it is done outside of
// any transaction.
func (r *Ring) generate(wanted []jose.Alg, from time.Time) ([]pool.SigningKey, error) {
	var keys []pool.SigningKey
	for _, alg := range wanted {
		k, err := jose.Generate(alg)
		if err != nil {
			return nil, err
		}
		private, err := k.Marshal()
		if err != nil {
			return nil, err
		}
		keys = append(keys, pool.SigningKey{ID: k.ID(), Alg: alg, Private: private, Created: r.now(), SignFrom: from})
	}
	return keys, nil
}

// update changes the stored keys of a slot and loads them.
func (r *Ring) update(ctx context.Context, s slot, change func([]pool.SigningKey, time.Time) []pool.SigningKey) error {
	key := repo.SigningKeysKey(s.id, s.use)
	_, err := r.repo.Update(ctx, s.id, repo.HomePartition(s.id), func(tx *repo.Tx) error {
		e, err := repo.Read(tx, key)
		if err != nil {
			return err
		}
		e.Value.Keys = change(slices.Clone(e.Value.Keys), tx.Now())
		return repo.Put(tx, key, e.Value, time.Time{})
	})
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	_, err = r.load(ctx, s)
	return err
}

// Rotate replaces the keys of one use by overlap. The new ones are published
// at once and sign once every reader of the published set has seen them, or
// at once if now is set; the old ones stay published until whatever they
// signed has expired. A rotation that is still pending is kept.
func (r *Ring) Rotate(ctx context.Context, by pool.Caller, id pool.ID, use pool.KeyUse, now bool) ([]Info, error) {
	from := r.now().Add(r.overlap)
	if now {
		from = r.now()
	}
	fresh, err := r.generate(algs(use), from)
	if err != nil {
		return nil, err
	}
	r.log.InfoContext(ctx, "signing keys rotated", "pool", id, "use", use, "by", by.Kind, "name", by.Name, "sign_from", from)
	err = r.update(ctx, slot{id, use}, func(keys []pool.SigningKey, at time.Time) []pool.SigningKey {
		return rotate(keys, fresh, at)
	})
	if err != nil {
		return nil, err
	}
	return r.List(ctx, id)
}

// rotate adds the fresh keys, gives the ones they replace their end, and
// drops those whose end has come.
func rotate(keys, fresh []pool.SigningKey, at time.Time) []pool.SigningKey {
	kept := slices.DeleteFunc(keys, func(k pool.SigningKey) bool { return retired(k, at) })
	for _, f := range fresh {
		for i := range kept {
			if k := &kept[i]; k.Alg == f.Alg && k.Retire.IsZero() {
				until := f.SignFrom
				if k.SignFrom.After(until) {
					until = k.SignFrom
				}
				k.Retire = until.Add(repo.RevocationLife + skew)
			}
		}
	}
	return append(kept, fresh...)
}

// retired reports whether nothing that a key has signed can still be valid.
func retired(k pool.SigningKey, at time.Time) bool { return !k.Retire.IsZero() && !at.Before(k.Retire) }

// signing chooses the key that signs with alg at a time: the one that began
// to sign last. It is a pure function of the ring and the time, so that nodes
// agree without talking. nil if there is none.
func signing(keys []pool.SigningKey, alg jose.Alg, at time.Time) *pool.SigningKey {
	var best *pool.SigningKey
	for i := range keys {
		k := &keys[i]
		if k.Alg != alg || at.Before(k.SignFrom) || retired(*k, at) {
			continue
		}
		if best == nil || k.SignFrom.After(best.SignFrom) || k.SignFrom.Equal(best.SignFrom) && k.ID > best.ID {
			best = k
		}
	}
	return best
}

// snapshot is a loaded set of keys. It is immutable.
type snapshot struct {
	version uint64
	ring    pool.SigningKeys
	parsed  map[string]*jose.Key
	set     *jose.Set
	until   time.Time // when the published set changes by itself; zero: never
}

// Signer returns the key that signs with alg now; fault.NotFound if the pool
// has none.
func (r *Ring) Signer(ctx context.Context, id pool.ID, use pool.KeyUse, alg jose.Alg) (*jose.Key, error) {
	snap, err := r.snapshot(ctx, slot{id, use})
	if err != nil {
		return nil, err
	}
	k := signing(snap.ring.Keys, alg, r.now())
	if k == nil {
		return nil, fault.New(fault.NotFound, "the pool has no key for "+string(alg))
	}
	return snap.parsed[k.ID], nil
}

// Set returns the published keys.
func (r *Ring) Set(ctx context.Context, id pool.ID, use pool.KeyUse) (*jose.Set, error) {
	snap, err := r.snapshot(ctx, slot{id, use})
	if err != nil {
		return nil, err
	}
	return snap.set, nil
}

// snapshot returns the loaded keys of a slot, reading them only the first
// time and when one has retired.
func (r *Ring) snapshot(ctx context.Context, s slot) (*snapshot, error) {
	r.mu.RLock()
	snap := r.loaded[s]
	r.mu.RUnlock()
	if snap != nil && (snap.until.IsZero() || r.now().Before(snap.until)) {
		return snap, nil
	}
	return r.load(ctx, s)
}

// load reads the keys of a slot from the store and keeps them.
func (r *Ring) load(ctx context.Context, s slot) (*snapshot, error) {
	e, err := repo.Get(ctx, r.repo, repo.SigningKeysKey(s.id, s.use))
	if err != nil {
		return nil, fmt.Errorf("keyring: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.loaded[s]
	if old != nil && e.Version < old.version {
		return old, nil // somebody has read a later one meanwhile
	}
	snap, err := open(e.Value, old, r.now())
	if err != nil {
		return nil, err
	}
	snap.version = e.Version
	r.loaded[s] = snap
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
// is known. It goes on with what it has where that fails.
func (r *Ring) Refresh(ctx context.Context) error {
	r.mu.RLock()
	slots := make([]slot, 0, len(r.loaded))
	for s := range r.loaded {
		slots = append(slots, s)
	}
	r.mu.RUnlock()
	for _, s := range slots {
		if _, err := r.load(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// Info is what is told of a key.
type Info struct {
	ID       string      `json:"id"`
	Use      pool.KeyUse `json:"use"`
	Alg      jose.Alg    `json:"alg"`
	State    string      `json:"state"` // published, signing, retiring
	Created  time.Time   `json:"created"`
	SignFrom time.Time   `json:"sign_from"`
	Retire   time.Time   `json:"retire,omitzero"`
}

// List returns a pool's keys, those that sign first.
func (r *Ring) List(ctx context.Context, id pool.ID) ([]Info, error) {
	now := r.now()
	var out []Info
	for _, use := range []pool.KeyUse{pool.TokenKeys, pool.AssertionKeys} {
		snap, err := r.load(ctx, slot{id, use})
		if err != nil {
			return nil, err
		}
		for _, k := range snap.ring.Keys {
			if retired(k, now) {
				continue
			}
			state := "retiring"
			if s := signing(snap.ring.Keys, k.Alg, now); s != nil && s.ID == k.ID {
				state = "signing"
			} else if now.Before(k.SignFrom) {
				state = "published"
			}
			out = append(out, Info{ID: k.ID, Use: use, Alg: k.Alg, State: state, Created: k.Created, SignFrom: k.SignFrom, Retire: k.Retire})
		}
	}
	slices.SortStableFunc(out, func(a, b Info) int { return rank(a.State) - rank(b.State) })
	return out, nil
}

func rank(state string) int { return slices.Index([]string{"signing", "published", "retiring"}, state) }

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
	"sync/atomic"
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
)

// Config says what a Ring stands on.
type Config struct {
	Repo    *repo.Repo
	Now     func() time.Time // nil: time.Now
	Logger  *slog.Logger     // audit records go here; nil: discards
	Overlap time.Duration    // from a key's publication to its first signature; 0: 10 min 5 s
}

// Ring is the key ring of all pools. It is safe for concurrent use.
type Ring struct {
	repo    *repo.Repo
	now     func() time.Time
	log     *slog.Logger
	overlap time.Duration

	loaded atomic.Pointer[snapshots] // never changed in place
	mu     sync.Mutex                // held while loaded is replaced
}

// slot names one set of keys.
type slot struct {
	id  pool.ID
	use pool.KeyUse
}

// New returns a Ring; it reads nothing yet.
func New(c Config) *Ring {
	r := &Ring{repo: c.Repo, now: c.Now, log: c.Logger, overlap: c.Overlap}
	if r.now == nil {
		r.now = time.Now
	}
	if r.log == nil {
		r.log = slog.New(slog.DiscardHandler)
	}
	if r.overlap == 0 {
		r.overlap = defaultOverlap
	}
	r.loaded.Store(&snapshots{})
	return r
}

// uses are all there are.
func uses() []pool.KeyUse { return []pool.KeyUse{pool.TokenKeys, pool.AssertionKeys} }

// algs are the algorithms that every pool has a key for, by use.
func algs(use pool.KeyUse) []jose.Alg {
	if use == pool.AssertionKeys {
		return []jose.Alg{jose.ES256}
	}
	return []jose.Alg{jose.ES256, jose.RS256}
}

// Ensure makes the keys that a pool lacks: once, even under races.
func (r *Ring) Ensure(ctx context.Context, id pool.ID) error {
	for _, use := range uses() {
		s := slot{id, use}
		snap, err := r.load(ctx, s)
		if err != nil {
			return err
		}
		fresh, err := generate(lacking(snap.ring.Keys, algs(use), r.now()))
		if err != nil {
			return err
		}
		if len(fresh) == 0 {
			continue
		}
		err = r.update(ctx, s, func(keys []pool.SigningKey, at time.Time) ([]pool.SigningKey, error) {
			return fill(keys, fresh, at), nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Rotate replaces the keys of one use by overlap. The new ones are published
// at once and sign once every reader of the published set has seen them, or
// at once if now is set; the old ones stay published until whatever they
// signed has expired. While a rotation is pending, another is the same one,
// and one at once replaces it. It returns what List does.
//
// fault.Forbidden unless the caller is an operator or the system,
// fault.Invalid for an unknown use, fault.Conflict if too many replaced keys
// are still published.
func (r *Ring) Rotate(ctx context.Context, by pool.Caller, id pool.ID, use pool.KeyUse, now bool) ([]Info, error) {
	if err := r.authorizeAndRecord(ctx, by, id, "key.rotate", slog.String("use", string(use)), slog.Bool("now", now)); err != nil {
		return nil, err
	}
	if !slices.Contains(uses(), use) {
		return nil, fault.New(fault.Invalid, "the use of the keys is unknown")
	}
	s, overlap := slot{id, use}, r.overlap
	if now {
		overlap = 0
	}
	snap, err := r.load(ctx, s)
	if err != nil {
		return nil, err
	}
	fresh, err := generate(due(snap.ring.Keys, algs(use), r.now(), overlap))
	if err != nil {
		return nil, err
	}
	if len(fresh) > 0 {
		err = r.update(ctx, s, func(keys []pool.SigningKey, at time.Time) ([]pool.SigningKey, error) {
			return rotate(keys, fresh, at, overlap)
		})
		if err != nil {
			return nil, err
		}
	}
	return r.List(ctx, id)
}

// authorizeAndRecord decides whether the caller may change keys, and writes the
// audit record of what is about to be done, or was refused: fault.Forbidden.
func (r *Ring) authorizeAndRecord(ctx context.Context, by pool.Caller, id pool.ID, verb string, details ...slog.Attr) error {
	allowed := by.Kind == pool.Operator || by.Kind == pool.System
	r.log.LogAttrs(ctx, slog.LevelInfo, "audit", append([]slog.Attr{
		slog.String("verb", verb),
		slog.Bool("allowed", allowed),
		slog.String("caller", string(by.Kind)),
		slog.String("caller_name", by.Name),
		slog.String("pool", string(id)),
	}, details...)...)
	if !allowed {
		return fault.New(fault.Forbidden, "you may not do this")
	}
	return nil
}

// generate makes one key per algorithm. It is slow, so it is done outside of
// any transaction; when they sign is decided inside.
func generate(wanted []jose.Alg) ([]pool.SigningKey, error) {
	var keys []pool.SigningKey
	for _, alg := range wanted {
		k, err := jose.Generate(alg)
		if err != nil {
			return nil, fmt.Errorf("keyring: %w", err)
		}
		private, err := k.Marshal()
		if err != nil {
			return nil, fmt.Errorf("keyring: %w", err)
		}
		keys = append(keys, pool.SigningKey{ID: k.ID(), Alg: alg, Private: private})
	}
	return keys, nil
}

// update changes the stored keys of a slot and loads them. The change judges
// by the clock that chooses the signing key, so that what it makes can sign
// as soon as it says.
func (r *Ring) update(ctx context.Context, s slot, change func([]pool.SigningKey, time.Time) ([]pool.SigningKey, error)) error {
	key := repo.SigningKeysKey(s.id, s.use)
	_, err := r.repo.Update(ctx, s.id, repo.HomePartition(s.id), func(tx *repo.Tx) error {
		e, err := repo.Read(tx, key)
		if err != nil {
			return err
		}
		if e.Value.Keys, err = change(e.Value.Keys, r.now().UTC()); err != nil {
			return err
		}
		return repo.Put(tx, key, e.Value, time.Time{})
	})
	if err != nil {
		return fmt.Errorf("keyring: %w", err)
	}
	_, err = r.load(ctx, s)
	return err
}

package keyring

import (
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// What a key is good for is a pure function of the stored keys and the time,
// so that nodes agree without talking:
//
//	published  [Created, Retire)
//	signs      [SignFrom, Retire − afterlife), unless a later one has begun
//
// A key that was never replaced has no Retire.

const (
	// skew is how far the clocks of verifiers may differ from ours.
	skew = time.Minute
	// afterlife is how long a key stays published after its last signature.
	afterlife = repo.RevocationLife + skew
	// maxKeys is how many keys of one algorithm are kept, replaced ones
	// included: they share one record, and every one is published.
	maxKeys = 16
)

// errTooOften keeps the record within its bounds.
var errTooOften = fault.New(fault.Conflict, "the keys were rotated too often: the replaced ones stay published until what they signed has expired")

// retired reports whether nothing that a key has signed can still be valid.
func retired(k pool.SigningKey, at time.Time) bool { return !k.Retire.IsZero() && !at.Before(k.Retire) }

// unretired returns the keys that have not retired.
func unretired(keys []pool.SigningKey, at time.Time) []pool.SigningKey {
	return slices.DeleteFunc(slices.Clone(keys), func(k pool.SigningKey) bool { return retired(k, at) })
}

// ended reports whether a key must sign no more: what it signed now would
// outlive its publication.
func ended(k pool.SigningKey, at time.Time) bool {
	return !k.Retire.IsZero() && !at.Before(k.Retire.Add(-afterlife))
}

// signing chooses the key that signs with alg at a time: of those that may,
// the one that began last. nil if there is none.
func signing(keys []pool.SigningKey, alg jose.Alg, at time.Time) *pool.SigningKey {
	var best *pool.SigningKey
	for i := range keys {
		k := &keys[i]
		if k.Alg != alg || at.Before(k.SignFrom) || ended(*k, at) {
			continue
		}
		if best == nil || k.SignFrom.After(best.SignFrom) || k.SignFrom.Equal(best.SignFrom) && k.ID > best.ID {
			best = k
		}
	}
	return best
}

// lacking returns the algorithms that nothing signs with.
func lacking(keys []pool.SigningKey, wanted []jose.Alg, at time.Time) []jose.Alg {
	return without(wanted, func(a jose.Alg) bool { return signing(keys, a, at) != nil })
}

// due returns the algorithms without a pending rotation.
func due(keys []pool.SigningKey, wanted []jose.Alg, at time.Time, overlap time.Duration) []jose.Alg {
	return without(wanted, func(a jose.Alg) bool { return pending(keys, a, at, overlap) })
}

func without(algs []jose.Alg, drop func(jose.Alg) bool) []jose.Alg {
	return slices.DeleteFunc(slices.Clone(algs), drop)
}

// pending reports whether a key waits to take over no later than one that is
// made now would.
func pending(keys []pool.SigningKey, alg jose.Alg, at time.Time, overlap time.Duration) bool {
	return slices.ContainsFunc(keys, func(k pool.SigningKey) bool {
		return k.Alg == alg && k.Retire.IsZero() && at.Before(k.SignFrom) && !k.SignFrom.After(at.Add(overlap))
	})
}

// fill adds those fresh keys whose algorithm nothing signs with.
func fill(keys, fresh []pool.SigningKey, at time.Time) []pool.SigningKey {
	keys = slices.Clone(keys)
	for _, f := range fresh {
		if signing(keys, f.Alg, at) == nil {
			f.Created, f.SignFrom = at, at
			keys = append(keys, f)
		}
	}
	return keys
}

// rotate adds the fresh keys, which sign after the overlap, and gives those
// they replace their end: a pending one that they overtake never signs. It
// drops what has retired.
func rotate(keys, fresh []pool.SigningKey, at time.Time, overlap time.Duration) ([]pool.SigningKey, error) {
	kept := unretired(keys, at)
	for _, f := range fresh {
		if pending(kept, f.Alg, at, overlap) {
			continue
		}
		f.Created, f.SignFrom = at, at.Add(overlap)
		end, same := f.SignFrom.Add(afterlife), 0
		for i := range kept {
			k := &kept[i]
			if k.Alg != f.Alg {
				continue
			}
			same++
			if k.Retire.IsZero() || k.Retire.After(end) {
				k.Retire = end
			}
		}
		if same >= maxKeys {
			return nil, errTooOften
		}
		kept = append(kept, f)
	}
	return kept, nil
}

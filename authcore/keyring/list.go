package keyring

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// The states of a key.
const (
	stateSigning   = "signing"
	statePublished = "published" // will sign
	stateRetiring  = "retiring"  // signs no more
)

// Info is what is told of a key.
type Info struct {
	ID       string      `json:"id"`
	Use      pool.KeyUse `json:"use"`
	Alg      jose.Alg    `json:"alg"`
	State    string      `json:"state"` // signing, published, retiring
	Created  time.Time   `json:"created"`
	SignFrom time.Time   `json:"sign_from"`
	Retire   time.Time   `json:"retire,omitzero"`
}

// List returns a pool's keys as they are stored now: those that sign first,
// then those that will.
func (r *Ring) List(ctx context.Context, id pool.ID) ([]Info, error) {
	now := r.now()
	var out []Info
	for _, use := range uses() {
		snap, err := r.load(ctx, slot{id, use})
		if err != nil {
			return nil, err
		}
		for _, k := range snap.ring.Keys {
			if !retired(k, now) {
				out = append(out, Info{
					ID: k.ID, Use: use, Alg: k.Alg, State: state(snap.ring.Keys, k, now),
					Created: k.Created, SignFrom: k.SignFrom, Retire: k.Retire,
				})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Info) int { return rank(a.State) - rank(b.State) })
	return out, nil
}

// state says where one of the keys stands at a time.
func state(keys []pool.SigningKey, k pool.SigningKey, at time.Time) string {
	if s := signing(keys, k.Alg, at); s != nil && s.ID == k.ID {
		return stateSigning
	}
	if at.Before(k.SignFrom) && !ended(k, k.SignFrom) {
		return statePublished
	}
	return stateRetiring
}

func rank(state string) int {
	return slices.Index([]string{stateSigning, statePublished, stateRetiring}, state)
}

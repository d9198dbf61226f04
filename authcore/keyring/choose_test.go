package keyring

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func start() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) }

func TestSigningAtEveryBoundary(t *testing.T) {
	at := start()
	const handover, other = time.Hour, 2 * time.Hour
	keys := []pool.SigningKey{
		{ID: "a", Alg: jose.ES256, SignFrom: at, Retire: at.Add(handover + afterlife)},
		{ID: "b", Alg: jose.ES256, SignFrom: at.Add(handover)},
		{ID: "c", Alg: jose.RS256, SignFrom: at.Add(other)},
		{ID: "d", Alg: jose.RS256, SignFrom: at.Add(2 * other), Retire: at.Add(other + afterlife)}, // overtaken before it began
	}
	for _, c := range []struct {
		after time.Duration
		alg   jose.Alg
		want  string
	}{
		{-1, jose.ES256, ""}, {0, jose.ES256, "a"}, {handover - 1, jose.ES256, "a"}, {handover, jose.ES256, "b"},
		{handover + afterlife - 1, jose.ES256, "b"}, {handover + afterlife, jose.ES256, "b"}, {1000 * time.Hour, jose.ES256, "b"},
		{other - 1, jose.RS256, ""}, {other, jose.RS256, "c"}, {2 * other, jose.RS256, "c"}, {other + afterlife - 1, jose.RS256, "c"},
	} {
		for range 3 { // the order of the ring does not matter
			rand.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
			got := ""
			if k := signing(keys, c.alg, at.Add(c.after)); k != nil {
				got = k.ID
			}
			if got != c.want {
				t.Errorf("%v %s: %q signs, not %q", c.after, c.alg, got, c.want)
			}
		}
	}
	i := slices.IndexFunc(keys, func(k pool.SigningKey) bool { return k.ID == "a" })
	alone := keys[i : i+1]
	if k := signing(alone, jose.ES256, at.Add(handover-1)); k == nil {
		t.Error("a key signs up to its last moment")
	}
	if k := signing(alone, jose.ES256, at.Add(handover)); k != nil {
		t.Error("a key signs what would outlive its publication")
	}
}

func TestStates(t *testing.T) {
	at := start()
	keys := []pool.SigningKey{
		{ID: "a", Alg: jose.ES256, SignFrom: at, Retire: at.Add(time.Hour + afterlife)},
		{ID: "b", Alg: jose.ES256, SignFrom: at.Add(time.Hour)},
		{ID: "c", Alg: jose.ES256, SignFrom: at.Add(2 * time.Hour), Retire: at.Add(time.Hour + afterlife)},
	}
	for _, c := range []struct {
		after time.Duration
		want  [3]string
	}{
		{0, [3]string{stateSigning, statePublished, stateRetiring}},
		{time.Hour - 1, [3]string{stateSigning, statePublished, stateRetiring}},
		{time.Hour, [3]string{stateRetiring, stateSigning, stateRetiring}},
		{3 * time.Hour, [3]string{stateRetiring, stateSigning, stateRetiring}},
	} {
		for i, k := range keys {
			if got := state(keys, k, at.Add(c.after)); got != c.want[i] {
				t.Errorf("%v: %s is %s", c.after, k.ID, got)
			}
		}
	}
}

// TestRotationsInAnyOrder runs random histories of rotations, and holds at
// every step what verifiers rely on.
func TestRotationsInAnyOrder(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		at := start()
		keys := fill(nil, []pool.SigningKey{{ID: "0", Alg: jose.ES256}}, at)
		hurried := map[string]bool{"0": true} // may sign without having been published for long
		for n := 1; n < 60; n++ {
			at = at.Add([]time.Duration{
				0, 1, time.Duration(rng.Int64N(int64(2 * defaultOverlap))), time.Duration(rng.Int64N(int64(2 * afterlife))),
			}[rng.IntN(4)])
			if rng.IntN(2) == 0 {
				overlap := []time.Duration{0, defaultOverlap}[rng.IntN(2)]
				id := fmt.Sprintf("%03d", n)
				hurried[id] = overlap == 0
				next, err := rotate(keys, []pool.SigningKey{{ID: id, Alg: jose.ES256}}, at, overlap)
				if err != nil && !errors.Is(err, fault.Conflict) {
					t.Fatal(err)
				}
				if err == nil {
					keys = next
				}
			}
			holds(t, keys, at, hurried)
			if t.Failed() {
				t.Fatalf("seed %d, step %d, %v: %+v", seed, n, at, keys)
			}
		}
	}
}

// holds checks one moment of a ring.
func holds(t *testing.T, keys []pool.SigningKey, at time.Time, hurried map[string]bool) {
	t.Helper()
	k := signing(keys, jose.ES256, at)
	if k == nil {
		t.Error("nothing signs")
		return
	}
	if !k.Retire.IsZero() && k.Retire.Before(at.Add(afterlife)) {
		t.Errorf("%s signs what outlives its publication", k.ID)
	}
	if !hurried[k.ID] && at.Before(k.Created.Add(defaultOverlap)) {
		t.Errorf("%s signs before verifiers know it", k.ID)
	}
	lasting := 0
	for _, k := range keys {
		if k.Retire.IsZero() {
			lasting++
		}
	}
	if lasting != 1 || len(keys) > maxKeys {
		t.Errorf("%d keys of %d never retire", lasting, len(keys))
	}
}

func TestTooManyRotationsAreRefused(t *testing.T) {
	at := start()
	keys := fill(nil, []pool.SigningKey{{ID: "0", Alg: jose.ES256}}, at)
	for n := 1; n < maxKeys; n++ {
		var err error
		if keys, err = rotate(keys, []pool.SigningKey{{ID: fmt.Sprint(n), Alg: jose.ES256}}, at, 0); err != nil {
			t.Fatal(err)
		}
	}
	before := slices.Clone(keys)
	if _, err := rotate(keys, []pool.SigningKey{{ID: "last", Alg: jose.ES256}}, at, 0); !errors.Is(err, fault.Conflict) {
		t.Error(err)
	}
	if !slices.EqualFunc(before, keys, func(a, b pool.SigningKey) bool { return a.ID == b.ID && a.Retire.Equal(b.Retire) }) {
		t.Error("a refused rotation changed the ring")
	}
	keys, err := rotate(keys, []pool.SigningKey{{ID: "later", Alg: jose.ES256}}, at.Add(afterlife), 0)
	if err != nil || len(keys) != 2 {
		t.Errorf("%d keys, %v", len(keys), err)
	}
}

// TestAClockThatWentBack: a key that a wrong clock dated ahead neither stops a
// pool from signing nor counts as a pending rotation.
func TestAClockThatWentBack(t *testing.T) {
	at := start()
	far := at.Add(9000 * time.Hour)
	ahead := []pool.SigningKey{
		{ID: "ahead", Alg: jose.ES256, Created: far, SignFrom: far},
		{ID: "replaced", Alg: jose.ES256, Created: far.Add(-time.Hour), SignFrom: far.Add(-time.Hour), Retire: far.Add(afterlife)},
	}
	if got := lacking(ahead, algs(pool.AssertionKeys), at); len(got) != 1 {
		t.Fatalf("lacking %v", got)
	}
	keys := fill(ahead, []pool.SigningKey{{ID: "new", Alg: jose.ES256}}, at)
	if k := signing(keys, jose.ES256, at); k == nil || k.ID != "new" {
		t.Errorf("%+v signs", k)
	}
	if k := signing(keys, jose.ES256, far); k == nil || k.ID != "ahead" {
		t.Errorf("%+v signs when the clock is right again", k)
	}
	if got := due(keys, algs(pool.AssertionKeys), at, defaultOverlap); len(got) != 1 {
		t.Errorf("due %v", got)
	}
	keys, err := rotate(keys, []pool.SigningKey{{ID: "next", Alg: jose.ES256}}, at, defaultOverlap)
	if err != nil {
		t.Fatal(err)
	}
	if k := signing(keys, jose.ES256, far); k == nil || k.ID != "next" {
		t.Errorf("%+v signs", k)
	}
	for _, k := range keys {
		if k.ID != "next" && !k.Retire.Equal(at.Add(defaultOverlap+afterlife)) {
			t.Errorf("%s retires at %v", k.ID, k.Retire)
		}
	}
}

package keyring

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

// clock is a clock that moves when told to.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type world struct {
	clock *clock
	repo  *repo.Repo
	id    pool.ID
}

func newWorld(t *testing.T) *world {
	t.Helper()
	c := &clock{t: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	r := repo.New(repo.Config{Directory: memstore.New(memstore.Options{Now: c.now}), Keys: secret.NewKeys(), Now: c.now})
	p, err := r.EnsurePool(context.Background(), "default", "https://login.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return &world{clock: c, repo: r, id: p.ID}
}

func (w *world) ring() *Ring { return New(Config{Repo: w.repo, Now: w.clock.now}) }

func signer(t *testing.T, r *Ring, id pool.ID, use pool.KeyUse, alg jose.Alg) *jose.Key {
	t.Helper()
	k, err := r.Signer(context.Background(), id, use, alg)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func published(t *testing.T, r *Ring, id pool.ID, kid string) bool {
	t.Helper()
	set, err := r.Set(context.Background(), id, pool.TokenKeys)
	if err != nil {
		t.Fatal(err)
	}
	return set.Has(kid)
}

func TestKeysAreMadeOnce(t *testing.T) {
	w := newWorld(t)
	var wg sync.WaitGroup
	ids := make([]string, 4)
	for i := range ids {
		wg.Go(func() {
			r := w.ring()
			if err := r.Ensure(context.Background(), w.id); err != nil {
				t.Error(err)
				return
			}
			k, err := r.Signer(context.Background(), w.id, pool.TokenKeys, jose.RS256)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.ID()
		})
	}
	wg.Wait()
	list, err := w.ring().List(context.Background(), w.id)
	if err != nil || len(list) != 3 {
		t.Fatalf("%d keys, %v", len(list), err)
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Error("two nodes sign with different keys")
		}
	}
}

func TestUsesHaveKeysOfTheirOwn(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	if err := r.Ensure(context.Background(), w.id); err != nil {
		t.Fatal(err)
	}
	assertion := signer(t, r, w.id, pool.AssertionKeys, jose.ES256)
	if published(t, r, w.id, assertion.ID()) {
		t.Error("an assertion key verifies tokens")
	}
	if _, err := r.Signer(context.Background(), w.id, pool.AssertionKeys, jose.RS256); err == nil {
		t.Error("an RS256 assertion key")
	}
}

// TestRotationOverlaps follows one rotation from the day before to the end of
// the old key, at every boundary.
func TestRotationOverlaps(t *testing.T) {
	w := newWorld(t)
	r, other := w.ring(), w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	old := signer(t, r, w.id, pool.TokenKeys, jose.ES256)
	w.clock.add(time.Hour)
	infos, err := r.Rotate(ctx, pool.Caller{Kind: pool.Operator}, w.id, pool.TokenKeys, false)
	if err != nil {
		t.Fatal(err)
	}
	var next string
	for _, i := range infos {
		if i.State == "published" && i.Alg == jose.ES256 {
			next = i.ID
		}
	}
	if next == "" || next == old.ID() {
		t.Fatalf("no new key: %+v", infos)
	}
	signs := func(want string) {
		t.Helper()
		for _, ring := range []*Ring{r, other} {
			if err := ring.Refresh(ctx); err != nil {
				t.Fatal(err)
			}
			if got := signer(t, ring, w.id, pool.TokenKeys, jose.ES256).ID(); got != want {
				t.Errorf("%v: %s signs", w.clock.now(), got)
			}
		}
	}
	signs(old.ID())
	if !published(t, r, w.id, next) || !published(t, r, w.id, old.ID()) {
		t.Error("both are published from the start")
	}
	w.clock.add(defaultOverlap - time.Nanosecond)
	signs(old.ID())
	w.clock.add(time.Nanosecond)
	signs(next)
	w.clock.add(repo.RevocationLife + skew - time.Nanosecond)
	if !published(t, r, w.id, old.ID()) {
		t.Error("the old key left while its tokens could be valid")
	}
	w.clock.add(time.Nanosecond)
	if published(t, r, w.id, old.ID()) || !published(t, r, w.id, next) {
		t.Error("the old key outstayed, without anybody reading the store again")
	}
	signs(next)
}

func TestRotationAtOnce(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	old := signer(t, r, w.id, pool.TokenKeys, jose.RS256)
	w.clock.add(time.Minute)
	if _, err := r.Rotate(ctx, pool.Caller{Kind: pool.Operator}, w.id, pool.TokenKeys, true); err != nil {
		t.Fatal(err)
	}
	if signer(t, r, w.id, pool.TokenKeys, jose.RS256).ID() == old.ID() || !published(t, r, w.id, old.ID()) {
		t.Error("the new key signs at once, and the old one still verifies")
	}
}

// TestRotationTwice: a second rotation while one is pending, then another at once.
func TestRotationTwice(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	for _, now := range []bool{false, false, true, false} {
		w.clock.add(time.Minute)
		if _, err := r.Rotate(ctx, pool.Caller{Kind: pool.Operator}, w.id, pool.TokenKeys, now); err != nil {
			t.Fatal(err)
		}
		k := signer(t, r, w.id, pool.TokenKeys, jose.ES256)
		if !published(t, r, w.id, k.ID()) {
			t.Error("an unpublished key signs")
		}
	}
	for range 60 { // an hour later everything is as usual
		w.clock.add(time.Minute)
		if k := signer(t, r, w.id, pool.TokenKeys, jose.ES256); !published(t, r, w.id, k.ID()) {
			t.Error("an unpublished key signs")
		}
	}
	w.clock.add(2 * repo.RevocationLife)
	if _, err := r.Rotate(ctx, pool.Caller{Kind: pool.Operator}, w.id, pool.TokenKeys, true); err != nil {
		t.Fatal(err)
	}
	list, err := r.List(ctx, w.id)
	if err != nil || len(list) > 6 { // two algorithms, old and new, and the assertion key
		t.Errorf("%d keys are kept, %v", len(list), err)
	}
}

func TestSigningIsAPureChoice(t *testing.T) {
	at := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	keys := []pool.SigningKey{
		{ID: "a", Alg: jose.ES256, SignFrom: at, Retire: at.Add(3 * time.Hour)},
		{ID: "b", Alg: jose.ES256, SignFrom: at.Add(time.Hour)},
		{ID: "c", Alg: jose.RS256, SignFrom: at.Add(2 * time.Hour)},
	}
	for _, c := range []struct {
		after time.Duration
		alg   jose.Alg
		want  string
	}{
		{-time.Nanosecond, jose.ES256, ""}, {0, jose.ES256, "a"}, {time.Hour - 1, jose.ES256, "a"}, {time.Hour, jose.ES256, "b"},
		{24 * time.Hour, jose.ES256, "b"}, {time.Hour, jose.RS256, ""}, {2 * time.Hour, jose.RS256, "c"},
	} {
		got := ""
		if k := signing(keys, c.alg, at.Add(c.after)); k != nil {
			got = k.ID
		}
		if got != c.want {
			t.Errorf("%v %s: %q signs, not %q", c.after, c.alg, got, c.want)
		}
	}
	if k := signing(keys[:1], jose.ES256, at.Add(3*time.Hour)); k != nil {
		t.Error("a retired key signs")
	}
}

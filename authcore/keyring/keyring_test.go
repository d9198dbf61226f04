package keyring

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
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
	store store.Store
	repo  *repo.Repo
	id    pool.ID
}

func operator() pool.Caller { return pool.Caller{Kind: pool.Operator, Name: "test"} }

func newWorld(t *testing.T) *world {
	t.Helper()
	c := &clock{t: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)}
	st := memstore.New(memstore.Options{Now: c.now})
	r := repo.New(repo.Config{Directory: st, Keys: secret.NewKeys(), Now: c.now})
	p, err := r.EnsurePool(context.Background(), "default", "https://login.example.com")
	if err != nil {
		t.Fatal(err)
	}
	return &world{clock: c, store: st, repo: r, id: p.ID}
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
	infos, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, false)
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
	if _, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, true); err != nil {
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
		if _, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, now); err != nil {
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
	if _, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, true); err != nil {
		t.Fatal(err)
	}
	list, err := r.List(ctx, w.id)
	if err != nil || len(list) > 6 { // two algorithms, old and new, and the assertion key
		t.Errorf("%d keys are kept, %v", len(list), err)
	}
}

// TestRotationAtOnceOvertakesAPendingOne: the key that waited never signs, and
// the new one goes on signing past the day when both old ones retire.
func TestRotationAtOnceOvertakesAPendingOne(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	for _, now := range []bool{false, true} {
		w.clock.add(time.Minute)
		if _, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, now); err != nil {
			t.Fatal(err)
		}
	}
	want := signer(t, r, w.id, pool.TokenKeys, jose.ES256).ID()
	for range 300 {
		w.clock.add(5 * time.Minute)
		if got := signer(t, r, w.id, pool.TokenKeys, jose.ES256).ID(); got != want {
			t.Fatalf("%v: %s signs", w.clock.now(), got)
		}
	}
}

func TestAPendingRotationIsNotRepeated(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	var lists [2][]Info
	for i := range lists {
		w.clock.add(time.Minute)
		var err error
		if lists[i], err = r.Rotate(ctx, operator(), w.id, pool.AssertionKeys, false); err != nil {
			t.Fatal(err)
		}
	}
	if len(lists[0]) != 4 || len(lists[1]) != 4 { // two token keys, two assertion keys
		t.Fatalf("%+v, then %+v", lists[0], lists[1])
	}
	for i := range lists[0] {
		if lists[0][i] != lists[1][i] {
			t.Errorf("%+v became %+v", lists[0][i], lists[1][i])
		}
	}
}

func TestRotationRaces(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	if err := w.ring().Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := w.ring().Rotate(ctx, operator(), w.id, pool.AssertionKeys, false); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, err := w.ring().List(ctx, w.id)
	if err != nil || len(list) != 4 {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestWhoMayRotate(t *testing.T) {
	w := newWorld(t)
	var out bytes.Buffer
	r := New(Config{Repo: w.repo, Now: w.clock.now, Logger: slog.New(slog.NewJSONHandler(&out, nil))})
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []pool.CallerKind{pool.Self, pool.Visitor, ""} {
		if _, err := r.Rotate(ctx, pool.Caller{Kind: kind}, w.id, pool.AssertionKeys, true); !errors.Is(err, fault.Forbidden) {
			t.Errorf("%q: %v", kind, err)
		}
	}
	if n := strings.Count(out.String(), `"allowed":false`); n != 3 {
		t.Errorf("%d refusals are recorded", n)
	}
	if _, err := r.Rotate(ctx, operator(), w.id, "cookie", true); !errors.Is(err, fault.Invalid) {
		t.Errorf("an unknown use: %v", err)
	}
	if list, err := r.List(ctx, w.id); err != nil || len(list) != 3 {
		t.Errorf("a refused rotation made keys: %+v, %v", list, err)
	}
	if _, err := r.Rotate(ctx, pool.Caller{Kind: pool.System}, w.id, pool.AssertionKeys, true); err != nil {
		t.Error(err)
	}
	if strings.Contains(out.String(), `"d"`) || !strings.Contains(out.String(), `"allowed":true`) {
		t.Errorf("the record: %s", out.String())
	}
}

// TestKeysAreKept: a store that is gone stops neither signing nor verifying,
// through a take-over and a retirement.
func TestKeysAreKept(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	old := signer(t, r, w.id, pool.TokenKeys, jose.ES256)
	if signer(t, r, w.id, pool.TokenKeys, jose.ES256) != old {
		t.Error("a key is parsed more than once")
	}
	if _, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, false); err != nil {
		t.Fatal(err)
	}
	if signer(t, r, w.id, pool.TokenKeys, jose.ES256) != old {
		t.Error("a key is parsed more than once")
	}
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	if err := r.Refresh(ctx); !errors.Is(err, fault.Unavailable) {
		t.Errorf("refresh on a closed store: %v", err)
	}
	w.clock.add(defaultOverlap)
	next := signer(t, r, w.id, pool.TokenKeys, jose.ES256)
	if next == old || !published(t, r, w.id, old.ID()) {
		t.Error("the next key takes over without the store")
	}
	w.clock.add(afterlife)
	if published(t, r, w.id, old.ID()) || !published(t, r, w.id, next.ID()) {
		t.Error("the old key retires without the store")
	}
	token, err := signer(t, r, w.id, pool.TokenKeys, jose.ES256).Sign("at+jwt", map[string]string{"sub": "x"})
	if err != nil {
		t.Fatal(err)
	}
	set, err := r.Set(ctx, w.id, pool.TokenKeys)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := set.Verify(token); err != nil {
		t.Error(err)
	}
	if _, err := w.ring().Set(ctx, w.id, pool.TokenKeys); !errors.Is(err, fault.Unavailable) {
		t.Errorf("a node that has loaded nothing: %v", err)
	}
}

// TestRetiredKeysAreForgotten: a private key does not lie in the store longer
// than it is good for, though nobody rotates again.
func TestRetiredKeysAreForgotten(t *testing.T) {
	w := newWorld(t)
	r, ctx := w.ring(), t.Context()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rotate(ctx, operator(), w.id, pool.TokenKeys, true); err != nil {
		t.Fatal(err)
	}
	stored := func() (keys int, version uint64) {
		t.Helper()
		if err := r.Refresh(ctx); err != nil {
			t.Fatal(err)
		}
		e, err := repo.Get(ctx, w.repo, repo.SigningKeysKey(w.id, pool.TokenKeys))
		if err != nil {
			t.Fatal(err)
		}
		return len(e.Value.Keys), e.Version
	}
	w.clock.add(afterlife - time.Nanosecond)
	_, before := stored()
	if keys, version := stored(); keys != 4 || version != before {
		t.Errorf("%d keys while all of them are published; written without need: %v", keys, version != before)
	}
	w.clock.add(time.Nanosecond)
	keys, after := stored()
	if keys != 2 {
		t.Errorf("%d keys when two have retired", keys)
	}
	if _, version := stored(); version != after {
		t.Error("written again with nothing to forget")
	}
	signer(t, r, w.id, pool.TokenKeys, jose.ES256)
	signer(t, r, w.id, pool.TokenKeys, jose.RS256)
}

// TestTheHotPathReadsNothing: no allocation, so no I/O and no copy.
func TestTheHotPathReadsNothing(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(100, func() {
		if _, err := r.Set(ctx, w.id, pool.TokenKeys); err != nil {
			t.Fatal(err)
		}
		if _, err := r.Signer(ctx, w.id, pool.TokenKeys, jose.ES256); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestRefreshGoesOn: the keys of one pool that cannot be read do not hold
// back another's.
func TestRefreshGoesOn(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	other, err := w.repo.EnsurePool(ctx, "other", "https://login.example.org")
	if err != nil {
		t.Fatal(err)
	}
	r, node := w.ring(), w.ring()
	for _, id := range []pool.ID{w.id, other.ID} {
		if err := r.Ensure(ctx, id); err != nil {
			t.Fatal(err)
		}
		signer(t, node, id, pool.AssertionKeys, jose.ES256)
	}
	key := repo.SigningKeysKey(w.id, pool.AssertionKeys)
	if _, err := w.repo.Update(ctx, w.id, repo.HomePartition(w.id), func(tx *repo.Tx) error {
		return repo.Put(tx, key, pool.SigningKeys{Keys: []pool.SigningKey{{ID: "broken", Alg: jose.ES256, Private: []byte("{}")}}}, time.Time{})
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Rotate(ctx, operator(), other.ID, pool.AssertionKeys, true); err != nil {
		t.Fatal(err)
	}
	for range 8 { // the order of a map is anybody's guess
		if err := node.Refresh(ctx); err == nil || !strings.Contains(err.Error(), string(w.id)) {
			t.Errorf("the damage is not told: %v", err)
		}
	}
	if signer(t, node, other.ID, pool.AssertionKeys, jose.ES256).ID() != signer(t, r, other.ID, pool.AssertionKeys, jose.ES256).ID() {
		t.Error("another pool's keys are held back")
	}
	signer(t, node, w.id, pool.AssertionKeys, jose.ES256) // goes on with what it had
}

func TestInfoShowsNoPrivateKey(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	ctx := context.Background()
	if err := r.Ensure(ctx, w.id); err != nil {
		t.Fatal(err)
	}
	list, err := r.List(ctx, w.id)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(list[0])
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(raw, &members); err != nil {
		t.Fatal(err)
	}
	for name := range members {
		switch name {
		case "id", "use", "alg", "state", "created", "sign_from":
		default:
			t.Errorf("member %s", name)
		}
	}
	if len(members) != 6 {
		t.Errorf("%s", raw)
	}
}

// TestAFullRingFitsItsRecord: maxKeys of every algorithm can be stored.
func TestAFullRingFitsItsRecord(t *testing.T) {
	w := newWorld(t)
	r := w.ring()
	fresh, err := generate(algs(pool.TokenKeys))
	if err != nil {
		t.Fatal(err)
	}
	err = r.update(context.Background(), slot{w.id, pool.TokenKeys}, func([]pool.SigningKey, time.Time) ([]pool.SigningKey, error) {
		var keys []pool.SigningKey
		for range maxKeys {
			for _, k := range fresh {
				k.Created, k.SignFrom, k.Retire = w.clock.now(), w.clock.now(), w.clock.now().Add(afterlife+time.Nanosecond)
				keys = append(keys, k)
			}
		}
		return keys, nil
	})
	if err != nil {
		t.Error(err)
	}
}

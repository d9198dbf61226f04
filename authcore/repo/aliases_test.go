package repo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

var errCrash = errors.New("test: the process died")

// process is who runs an operation: once it has died, nothing it does has an
// effect any more, clean-up included.
type process struct {
	dead atomic.Bool
	rng  *rand.Rand
}

type processKey struct{}

// defence is what stands between a slow writer and somebody else's address.
type defence int

const (
	all        defence = iota
	fencesOnly         // commits have no deadline
	none
)

// chaos lets processes die and stall past every lease before and after any
// commit. Time passes with each commit.
type chaos struct {
	store.Store
	clock   *clock
	crashes float64
	stalls  float64
	defence defence
	keys    *keyset

	fences  atomic.Int64 // tombstones for users that are not there
	bumps   atomic.Int64 // users written again unchanged
	stalled atomic.Int64
	ticks   atomic.Int64
	running atomic.Int64 // processes that do not stall
}

func (s *chaos) Now() time.Time { return s.clock.Now() }

func (s *chaos) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	p, _ := ctx.Value(processKey{}).(*process)
	if p == nil {
		return s.Store.Commit(ctx, t)
	}
	if s.spoil(p) {
		return store.Receipt{}, errCrash
	}
	s.tick()
	fence, bump := s.kindOf(ctx, t)
	if s.defence == none && (fence || bump) {
		return store.Receipt{Version: 1}, nil
	}
	if s.defence != all {
		t.ID, t.NotAfter = store.TxnID{}, time.Time{}
	}
	receipt, err := s.Store.Commit(ctx, t)
	if err == nil && fence {
		s.fences.Add(1)
	}
	if err == nil && bump {
		s.bumps.Add(1)
	}
	if s.spoil(p) {
		return store.Receipt{}, errCrash
	}
	return receipt, err
}

// kindOf tells fences from other commits: a tombstone alone, or a user's
// record as it is already.
func (s *chaos) kindOf(ctx context.Context, t store.Txn) (fence, bump bool) {
	if len(t.Writes) != 1 || t.Writes[0].Delete {
		return false, false
	}
	w := t.Writes[0]
	if w.Key.Table.ID != tableUsers.ID {
		return w.Key.Table.ID == tableTombstones.ID, false
	}
	have, err := s.Store.Get(ctx, w.Key)
	if err != nil || have[0].Version == 0 {
		return false, false
	}
	old, err1 := s.keys.open(w.Key, have[0].Value)
	fresh, err2 := s.keys.open(w.Key, w.Value)
	return false, err1 == nil && err2 == nil && bytes.Equal(old, fresh)
}

func (s *chaos) tick() {
	s.ticks.Add(1)
	s.clock.Advance(100 * time.Millisecond)
}

// spoil lets p die (true) or stall until its lease is over and the others
// have gone on.
func (s *chaos) spoil(p *process) bool {
	if p.dead.Load() {
		return true
	}
	switch f := p.rng.Float64(); {
	case f < s.crashes:
		p.dead.Store(true)
		return true
	case f < s.crashes+s.stalls:
		s.stalled.Add(1)
		s.running.Add(-1)
		until := s.ticks.Load() + int64(2*leaseLife/(100*time.Millisecond))
		for s.ticks.Load() < until {
			if s.running.Load() <= 0 {
				s.tick() // everybody stalls: time passes all the same
			}
			runtime.Gosched()
		}
		s.running.Add(1)
	}
	return false
}

// outcome of a run.
type outcome struct {
	done, refused, duplicates, unreachable int
	*chaos
}

// runAliases lets many processes register, change and delete users on few
// e-mail addresses, then looks for addresses with two owners and for users
// whom an address of theirs does not reach.
func runAliases(t *testing.T, s *chaos, seed uint64, workers, rounds int) outcome {
	t.Helper()
	c := s.clock
	r := rigOn(t, s, c)
	var err error
	if s.keys, err = r.keyset(t.Context(), r.pool); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var users []pool.UserID
	var out outcome
	var wg sync.WaitGroup
	s.running.Store(int64(workers))
	for w := range workers {
		wg.Go(func() {
			defer s.running.Add(-1)
			rng := rand.New(rand.NewPCG(seed, uint64(w)))
			for range rounds {
				ctx := context.WithValue(t.Context(), processKey{}, &process{rng: rng})
				err := oneChange(ctx, r, rng, &mu, &users)
				mu.Lock()
				if err == nil {
					out.done++
				} else {
					out.refused++
				}
				mu.Unlock()
				if err != nil && !is(err, errCrash, fault.Conflict, fault.Busy, fault.NotFound) {
					t.Errorf("unexpected: %v", err)
				}
			}
		})
	}
	wg.Wait()
	c.Advance(2 * leaseLife)
	judge(t, r, &out)
	out.chaos = s
	return out
}

func address(rng *rand.Rand) string { return fmt.Sprintf("e%d@example.com", rng.IntN(24)) }

func oneChange(ctx context.Context, r *rig, rng *rand.Rand, mu *sync.Mutex, users *[]pool.UserID) error {
	mu.Lock()
	var sub pool.UserID
	if len(*users) > 0 {
		sub = (*users)[rng.IntN(len(*users))]
	}
	mu.Unlock()
	switch kind := rng.IntN(10); {
	case kind < 3 || sub == "":
		u := newUser(address(rng))
		err := r.CreateUser(ctx, r.pool, u)
		if err == nil || errors.Is(err, errCrash) { // it may be there
			mu.Lock()
			*users = append(*users, u.Sub)
			mu.Unlock()
		}
		return err
	case kind < 9:
		to := address(rng)
		if kind < 5 {
			to = "" // give it up
		}
		_, err := r.UpdateUser(ctx, r.pool, sub, func(u *pool.User) error { u.Email = to; return nil })
		return err
	}
	err := r.DeleteUser(ctx, r.pool, sub)
	if err == nil || errors.Is(err, fault.NotFound) {
		mu.Lock()
		*users = slices.DeleteFunc(*users, func(s pool.UserID) bool { return s == sub })
		mu.Unlock()
	}
	return err
}

func judge(t *testing.T, r *rig, out *outcome) {
	t.Helper()
	owners := map[pool.Identifier][]pool.UserID{}
	after := ""
	for {
		users, next, err := r.Users(t.Context(), r.pool, after, MaxPage)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			for _, i := range u.Identifiers() {
				owners[i] = append(owners[i], u.Sub)
			}
		}
		if after = next; after == "" {
			break
		}
	}
	for i, subs := range owners {
		out.duplicates += len(subs) - 1
		u, err := r.UserByIdentifier(t.Context(), r.pool, i)
		if err != nil || !slices.Contains(subs, u.Sub) {
			out.unreachable++
		}
	}
}

// TestAliasesUnderCrashes is invariant I2 of the store: an address has at most
// one owner and reaches it, whatever dies or stalls in between.
func TestAliasesUnderCrashes(t *testing.T) {
	rounds := 200
	if testing.Short() {
		rounds = 40
	}
	memory := func(t *testing.T, c *clock) store.Store { return memstore.New(memstore.Options{Now: c.Now}) }
	sqlite := func(t *testing.T, c *clock) store.Store {
		s, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "g.db"), sqlitestore.Options{Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for _, run := range []struct {
		name    string
		open    func(*testing.T, *clock) store.Store
		defence defence
		seeds   uint64
		rounds  int
	}{
		{"memory", memory, all, 12, rounds},
		{"memory, by fences alone", memory, fencesOnly, 12, rounds},
		{"sqlite", sqlite, all, 2, rounds},
	} {
		t.Run(run.name, func(t *testing.T) {
			var done, refused int
			var fences, bumps, stalls int64
			for seed := range run.seeds {
				c := newClock()
				o := runAliases(t, &chaos{Store: run.open(t, c), clock: c, crashes: 0.03, stalls: 0.04, defence: run.defence}, seed, 12, run.rounds)
				if o.duplicates != 0 || o.unreachable != 0 {
					t.Errorf("seed %d: %d addresses with two owners, %d users out of reach", seed, o.duplicates, o.unreachable)
				}
				done, refused = done+o.done, refused+o.refused
				fences, bumps, stalls = fences+o.fences.Load(), bumps+o.bumps.Load(), stalls+o.stalled.Load()
			}
			t.Logf("%d done, %d refused or dead, %d tombstone fences, %d version fences, %d stalls", done, refused, fences, bumps, stalls)
			if fences == 0 || bumps == 0 && !testing.Short() || stalls == 0 || done == 0 {
				t.Error("the run never took a fence: it proves nothing")
			}
		})
	}
}

// TestAliasesWithoutFences shows that the fences do the work.
func TestAliasesWithoutFences(t *testing.T) {
	for seed := range uint64(60) {
		c := newClock()
		o := runAliases(t, &chaos{Store: memstore.New(memstore.Options{Now: c.Now}), clock: c, stalls: 0.15, defence: none}, seed, 12, 60)
		if o.duplicates > 0 || o.unreachable > 0 {
			t.Logf("seed %d: %d addresses with two owners, %d users out of reach", seed, o.duplicates, o.unreachable)
			return
		}
	}
	t.Error("without fences nothing went wrong: the run is too tame to prove anything")
}

// TestOverdueReservation walks through a take-over step by step.
func TestOverdueReservation(t *testing.T) {
	ctx := t.Context()
	mail := pool.Identifier{Kind: pool.ByEmail, Value: "ann@example.com"}
	t.Run("of a creator", func(t *testing.T) {
		r := newRig(t)
		ks, err := r.keyset(ctx, r.pool)
		if err != nil {
			t.Fatal(err)
		}
		slow := newUser(mail.Value)
		_, lease, err := r.reserve(ctx, ks, slow.Sub, 0, slow.Identifiers())
		if err != nil {
			t.Fatal(err)
		}
		wantCode(t, r.CreateUser(ctx, r.pool, newUser(mail.Value)), fault.Busy) // before the lease is over
		if _, err := r.UserByIdentifier(ctx, r.pool, mail); !errors.Is(err, fault.NotFound) {
			t.Fatal("a reservation counts", err)
		}
		r.clock.Advance(leaseLife + time.Millisecond)
		quick := r.create(t, newUser(mail.Value))
		if err := r.commitNew(ctx, ks, slow, r.clock.Now().Add(time.Second)); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("the slow creator committed past the fence: %v", err)
		}
		if err := r.commitNew(ctx, ks, newUser("x@example.com"), lease); !errors.Is(err, store.ErrDeadline) {
			t.Fatalf("a commit after the lease: %v", err)
		}
		if u, err := r.UserByIdentifier(ctx, r.pool, mail); err != nil || u.Sub != quick.Sub {
			t.Fatal(u, err)
		}
	})
	t.Run("of a user", func(t *testing.T) {
		r := newRig(t)
		ks, err := r.keyset(ctx, r.pool)
		if err != nil {
			t.Fatal(err)
		}
		slow := r.create(t, newUser("old@example.com"))
		have, err := Get(ctx, r.Repo, userKey(r.pool, slow.Sub))
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.reserve(ctx, ks, slow.Sub, have.Version, []pool.Identifier{mail}); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(leaseLife + time.Millisecond)
		r.create(t, newUser(mail.Value))
		after, err := Get(ctx, r.Repo, userKey(r.pool, slow.Sub))
		if err != nil || after.Version <= have.Version || after.Value.Email != "old@example.com" {
			t.Fatalf("the slow user was not fenced, or was changed: %+v, %v", after, err)
		}
		_, err = r.UpdateUser(ctx, r.pool, slow.Sub, func(u *pool.User) error { u.Email = mail.Value; return nil })
		wantCode(t, err, fault.Conflict)
	})
	t.Run("that was committed is confirmed by who meets it", func(t *testing.T) {
		r := newRig(t)
		ks, err := r.keyset(ctx, r.pool)
		if err != nil {
			t.Fatal(err)
		}
		ann := newUser(mail.Value)
		_, lease, err := r.reserve(ctx, ks, ann.Sub, 0, ann.Identifiers())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.commitNew(ctx, ks, ann, lease); err != nil {
			t.Fatal(err)
		}
		r.clock.Advance(time.Hour)
		wantCode(t, r.CreateUser(ctx, r.pool, newUser(mail.Value)), fault.Conflict)
		if e, err := Get(ctx, r.Repo, aliasKey(ks, mail)); err != nil || e.Value.Pending {
			t.Fatal("still pending", err)
		}
		if u, err := r.UserByIdentifier(ctx, r.pool, mail); err != nil || u.Sub != ann.Sub {
			t.Fatal(u, err)
		}
	})
}

func TestStandin(t *testing.T) {
	r := newRig(t)
	mail := pool.Identifier{Kind: pool.ByEmail, Value: "nobody@example.com"}
	a, err := r.Standin(t.Context(), r.pool, mail)
	b, _ := r.Standin(t.Context(), r.pool, mail)
	c, _ := r.Standin(t.Context(), r.pool, pool.Identifier{Kind: pool.ByUsername, Value: mail.Value})
	if err != nil || !a.Valid() || a != b || a == c {
		t.Fatal(a, b, c, err)
	}
	other, err := r.EnsurePool(t.Context(), "other", "https://other.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if d, err := r.Standin(t.Context(), other.ID, mail); err != nil || d == a {
		t.Fatal("a stand-in is the same in two pools", err)
	}
}

// counting counts the reads.
type counting struct {
	store.Store
	reads int
}

func (s *counting) Now() time.Time { return s.Store.(store.Clock).Now() }

func (s *counting) Get(ctx context.Context, keys ...store.Key) ([]store.Entry, error) {
	s.reads += len(keys)
	return s.Store.Get(ctx, keys...)
}

func TestUnknownIdentifiersTakeAsManySteps(t *testing.T) {
	c := newClock()
	s := &counting{Store: memstore.New(memstore.Options{Now: c.Now})}
	r := rigOn(t, s, c)
	r.create(t, newUser("ann@example.com"))
	steps := func(who string) int {
		s.reads = 0
		r.find(t, who)
		return s.reads
	}
	if known, unknown := steps("ann@example.com"), steps("bob@example.com"); known != unknown || known == 0 {
		t.Fatalf("%d reads for a known address, %d for an unknown one", known, unknown)
	}
}

package token

import (
	"context"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	// memory is how long an entry is held after it was learnt: as long as a
	// token that was issued just before it may live. Held too long it does no
	// harm, so it need not be exact.
	memory = repo.RevocationLife + time.Minute
	// sweepEvery is how often entries that are over are looked for.
	sweepEvery = 10 * time.Minute
	// retryAfter is the pause before a broken feed is taken up again.
	retryAfter = 500 * time.Millisecond
)

// Revocations is what has ended, held whole in memory, followed from the
// store. Nothing in it means that nothing has ended. Reading takes a shared
// lock for one or two look-ups.
type Revocations struct {
	repo *repo.Repo
	now  func() time.Time
	log  *slog.Logger

	// fresh is when the feed broke, in Unix nanoseconds; current while it
	// holds, unloaded before it did.
	fresh atomic.Int64

	mu       sync.RWMutex
	users    map[userKey]userEntry
	families map[endKey]time.Time // until when it is held
	sessions map[endKey]time.Time
	counter  uint64 // the last number given out by Changed
	floor    uint64 // of users without an entry: rises when changes were missed
	swept    time.Time
}

const (
	current  = math.MaxInt64
	unloaded = math.MinInt64
)

type userKey struct {
	pool pool.ID
	sub  pool.UserID
}

// endKey names a family by origin_jti, or a session.
type endKey struct {
	pool pool.ID
	name string
}

type userEntry struct {
	pool.Revocation
	changed uint64
	until   time.Time
}

func newRevocations(r *repo.Repo, now func() time.Time, log *slog.Logger) *Revocations {
	v := &Revocations{
		repo: r, now: now, log: log,
		users: map[userKey]userEntry{}, families: map[endKey]time.Time{}, sessions: map[endKey]time.Time{},
	}
	v.fresh.Store(unloaded)
	return v
}

// Follow loads every live revocation of the pools and then follows changes
// until ctx ends; ready is called once loaded. It returns only on ctx's end.
// A pool that is stored later needs no loading: changes are followed for all.
func (v *Revocations) Follow(ctx context.Context, pools func() []pool.ID, ready func()) {
	once := sync.OnceFunc(func() {
		if ready != nil {
			ready()
		}
	})
	for ctx.Err() == nil {
		err := v.follow(ctx, pools, once)
		if ctx.Err() != nil {
			return
		}
		v.fresh.CompareAndSwap(current, v.now().UnixNano())
		v.log.WarnContext(ctx, "the feed of revocations broke; it is read again", "error", err)
		select {
		case <-ctx.Done():
		case <-time.After(retryAfter):
		}
	}
}

// follow opens the feed, loads what is there, and follows until an error.
func (v *Revocations) follow(ctx context.Context, pools func() []pool.ID, ready func()) error {
	changes := v.repo.Watch(ctx, 0) // from now: nothing falls between it and the load
	for _, id := range pools() {
		if err := v.Load(ctx, id); err != nil {
			return err
		}
	}
	v.missed()
	v.fresh.Store(current)
	ready()
	for e, err := range changes {
		if err != nil {
			return err
		}
		v.take(e)
	}
	return store.ErrClosed
}

// Load reads every live revocation of one pool. Follow does it for those that
// it is told of.
func (v *Revocations) Load(ctx context.Context, id pool.ID) error {
	for r, err := range v.repo.Revocations(ctx, id) {
		if err != nil {
			return err
		}
		v.mark(id, r)
	}
	return nil
}

func (v *Revocations) take(e repo.Event) {
	if e.Revocation != nil {
		v.mark(e.Pool, *e.Revocation)
	}
	if e.Ended != "" {
		v.sessionEnded(e.Pool, e.Ended)
	}
}

// mark takes a revocation in.
func (v *Revocations) mark(id pool.ID, r pool.Revocation) {
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep(now)
	if r.OriginJTI != "" {
		v.families[endKey{id, r.OriginJTI}] = now.Add(memory)
		return
	}
	v.counter++
	key := userKey{id, r.Sub}
	// A feed and its reload may tell things in another order; an epoch never falls.
	r.Epoch = max(r.Epoch, v.users[key].Epoch)
	v.users[key] = userEntry{r, v.counter, now.Add(memory)}
}

func (v *Revocations) sessionEnded(id pool.ID, name string) {
	now := v.now()
	v.mu.Lock()
	defer v.mu.Unlock()
	v.sweep(now)
	v.sessions[endKey{id, name}] = now.Add(memory)
}

// missed makes every cached session be read again: changes may have been lost.
func (v *Revocations) missed() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.counter++
	v.floor = v.counter
}

// sweep drops what is over, now and then. The lock is held.
func (v *Revocations) sweep(now time.Time) {
	if now.Sub(v.swept).Abs() < sweepEvery {
		return
	}
	v.swept = now
	for k, e := range v.users {
		if now.After(e.until) {
			delete(v.users, k)
		}
	}
	for _, m := range []map[endKey]time.Time{v.families, v.sessions} {
		for k, until := range m {
			if now.After(until) {
				delete(m, k)
			}
		}
	}
}

// stands reports whether neither the user's epoch nor the family was revoked.
func (v *Revocations) stands(id pool.ID, sub pool.UserID, epoch uint32, originJTI string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	if e, ok := v.users[userKey{id, sub}]; ok && !e.stands(epoch) {
		return false
	}
	_, ended := v.families[endKey{id, originJTI}]
	return !ended
}

func (e userEntry) stands(epoch uint32) bool { return !e.Gone && epoch >= e.Epoch }

// groups returns the user's groups of now, if they are known to have changed.
func (v *Revocations) groups(id pool.ID, sub pool.UserID) ([]string, bool) {
	v.mu.RLock()
	defer v.mu.RUnlock()
	e, ok := v.users[userKey{id, sub}]
	return e.Groups, ok
}

// Epoch reports whether something of user sub issued under epoch still stands.
func (v *Revocations) Epoch(id pool.ID, sub pool.UserID, epoch uint32) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	e, ok := v.users[userKey{id, sub}]
	return !ok || e.stands(epoch)
}

// SessionEnded reports whether an SSO or site session, by name, was seen to end.
func (v *Revocations) SessionEnded(id pool.ID, name string) bool {
	v.mu.RLock()
	defer v.mu.RUnlock()
	_, ended := v.sessions[endKey{id, name}]
	return ended
}

// Latest is the highest number that Changed gives for anybody. Take it before
// reading a session or user: what was read is current while Changed is not
// above it. Taken afterwards, a change that came in between would go unseen.
func (v *Revocations) Latest() uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return v.counter
}

// Changed is a number that rises whenever a user's entry changes, or may have
// changed unseen; a cached session loaded under a lower one is read again.
func (v *Revocations) Changed(id pool.ID, sub pool.UserID) uint64 {
	v.mu.RLock()
	defer v.mu.RUnlock()
	return max(v.floor, v.users[userKey{id, sub}].changed)
}

// Age is how long ago the feed was last known to be current: 0 while it
// holds, and the longest duration before it was loaded.
func (v *Revocations) Age() time.Duration {
	switch at := v.fresh.Load(); at {
	case current:
		return 0
	case unloaded:
		return math.MaxInt64
	default:
		return max(0, v.now().Sub(time.Unix(0, at)))
	}
}

package token_test

import (
	"context"
	"iter"
	"math"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

// fixed answers with a set that is made already, as the key ring does.
type fixed struct {
	*ring
	set *jose.Set
}

func (f fixed) Set(context.Context, pool.ID, pool.KeyUse) (*jose.Set, error) { return f.set, nil }

// follow starts a second node and waits until it has loaded.
func (w *world) follow() (node *token.Service, stop func()) {
	w.t.Helper()
	ctx, cancel := context.WithCancel(w.t.Context())
	node = token.New(token.Config{Repo: w.repo, Keys: w.ring, Now: w.clock.now})
	ready, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		node.Revocations().Follow(ctx, func() []pool.ID { return []pool.ID{w.pool.ID} }, func() { close(ready) })
	}()
	<-ready
	return node, func() { cancel(); <-ended }
}

// eventually waits for another goroutine to have learnt of a change.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s was never learnt", what)
		}
	}
}

func TestNodesLearnWhatHasEnded(t *testing.T) {
	w := newWorld(t)
	early := w.tokens("shop", "openid")
	_, payload := claims(t, early.Access)
	must(t, w.svc.EndFamilies(t.Context(), w.pool, w.user.Sub, []string{payload["origin_jti"].(string)}))
	if age := w.svc.Revocations().Age(); age != math.MaxInt64 {
		t.Errorf("age %v before anything was loaded", age)
	}

	node, stop := w.follow()
	defer stop()
	if age := node.Revocations().Age(); age != 0 {
		t.Errorf("age %v while following", age)
	}
	_, err := node.VerifyAccess(t.Context(), w.pool, early.Access)
	wantCode(t, err, fault.InvalidToken) // loaded

	late := w.tokens("shop", "openid")
	a, err := node.VerifyAccess(t.Context(), w.pool, late.Access)
	must(t, err)
	rev := node.Revocations()
	before := rev.Latest()
	if rev.Changed(w.pool.ID, w.user.Sub) > before {
		t.Error("a number above the latest")
	}
	w.update(func(u *pool.User) { u.Groups = []string{"admins"} })
	eventually(t, "a group that was taken away", func() bool { return slices.Equal(node.GroupsOf(w.pool, a), []string{"admins"}) })
	if rev.Changed(w.pool.ID, w.user.Sub) <= before || !rev.Epoch(w.pool.ID, w.user.Sub, 0) {
		t.Error("the change of groups does not show, or ended too much")
	}
	must(t, node.Standing(t.Context(), w.pool, a))

	w.update(func(u *pool.User) { u.Epoch++ })
	eventually(t, "the epoch", func() bool { return !rev.Epoch(w.pool.ID, w.user.Sub, 0) })
	wantCode(t, node.Standing(t.Context(), w.pool, a), fault.InvalidToken)
	if !rev.Epoch(w.pool.ID, w.user.Sub, 1) {
		t.Error("the new epoch does not stand")
	}

	_, name := w.signIn(w.pool, w.user)
	w.put(w.pool, w.user, func(tx *repo.Tx) error {
		repo.Delete(tx, repo.SessionKey(w.pool.ID, repo.UserPartition(w.pool.ID, w.user.Sub), name))
		return nil
	})
	eventually(t, "the end of a session", func() bool { return rev.SessionEnded(w.pool.ID, name) })
	if rev.SessionEnded(w.pool.ID, "another") || rev.SessionEnded("another", name) {
		t.Error("another session has ended too")
	}
}

func TestRestoredGroupsComeBack(t *testing.T) {
	w := newWorld(t)
	node, stop := w.follow()
	defer stop()
	w.update(func(u *pool.User) { u.Groups = nil })
	w.update(func(u *pool.User) { u.Groups = []string{"staff"} })
	a, err := node.VerifyAccess(t.Context(), w.pool, w.tokens("shop", "openid").Access)
	must(t, err)
	eventually(t, "a group that was given back", func() bool { return slices.Equal(node.GroupsOf(w.pool, a), []string{"staff"}) })
}

// gapped is a store whose feed loses changes once.
type gapped struct {
	*memstore.Store
	mu   sync.Mutex
	gaps int
}

func (g *gapped) Watch(ctx context.Context, after store.Cursor) iter.Seq2[store.Change, error] {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.gaps++; g.gaps == 1 {
		return func(yield func(store.Change, error) bool) {
			<-time.After(time.Second)
			yield(store.Change{}, store.ErrGap)
		}
	}
	return g.Store.Watch(ctx, after)
}

func TestAGapIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClock()
		w := newWorldOn(t, c, &gapped{Store: memstore.New(memstore.Options{Now: c.now})})
		node, stop := w.follow()
		defer stop()
		rev := node.Revocations()
		before := rev.Changed(w.pool.ID, "somebody")
		got := w.tokens("shop", "openid") // missed by the feed, as is its end
		a, err := node.VerifyAccess(t.Context(), w.pool, got.Access)
		must(t, err)
		must(t, w.svc.EndFamilies(t.Context(), w.pool, w.user.Sub, []string{a.OriginJTI}))
		time.Sleep(1200 * time.Millisecond) // the gap, and not yet the retry
		c.move(7 * time.Second)
		if age := rev.Age(); age != 7*time.Second {
			t.Errorf("age %v while the feed is broken", age)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		wantCode(t, node.Standing(t.Context(), w.pool, a), fault.InvalidToken)
		if rev.Changed(w.pool.ID, "somebody") <= before {
			t.Error("cached sessions are still believed after a gap")
		}
		if rev.Age() != 0 {
			t.Errorf("age %v after the reload", rev.Age())
		}
	})
}

func TestRevocationsAreForgottenInTheEnd(t *testing.T) {
	w := newWorld(t)
	rev := w.svc.Revocations()
	must(t, w.svc.EndFamilies(t.Context(), w.pool, w.user.Sub, []string{"a family"}))
	w.update(func(u *pool.User) { u.Epoch++ })
	must(t, rev.Load(t.Context(), w.pool.ID))
	w.svc.SessionEnded(w.pool.ID, "first")
	w.clock.move(repo.RevocationLife)
	w.svc.SessionEnded(w.pool.ID, "second")
	if !rev.SessionEnded(w.pool.ID, "first") || rev.Epoch(w.pool.ID, w.user.Sub, 0) {
		t.Error("forgotten while a token may still live")
	}
	w.clock.move(time.Hour)
	w.svc.SessionEnded(w.pool.ID, "third")
	if rev.Changed(w.pool.ID, w.user.Sub) != 0 || rev.SessionEnded(w.pool.ID, "first") || !rev.SessionEnded(w.pool.ID, "second") {
		t.Error("what is over is held, or more was forgotten")
	}
}

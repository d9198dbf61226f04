package repo

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

const issuer = "https://login.example.com"

// clock moves only when it is told to.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// rig is a repo on a store, with a pool.
type rig struct {
	*Repo
	store store.Store
	clock *clock
	keys  *secret.Keys
	pool  pool.ID
}

func testKeys(t testing.TB, seeds ...byte) *secret.Keys {
	t.Helper()
	var lines []string
	for _, s := range seeds {
		lines = append(lines, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{s}, 32)))
	}
	keys, err := secret.ParseKeys(strings.Join(lines, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func newRig(t testing.TB) *rig {
	t.Helper()
	c := newClock()
	return rigOn(t, memstore.New(memstore.Options{Now: c.Now}), c)
}

func rigOn(t testing.TB, s store.Store, c *clock) *rig {
	t.Helper()
	r := &rig{store: s, clock: c, keys: testKeys(t, 1)}
	r.Repo = New(Config{Directory: s, Keys: r.keys, Now: c.Now})
	p, err := r.EnsurePool(t.Context(), "default", issuer)
	if err != nil {
		t.Fatal(err)
	}
	r.pool = p.ID
	t.Cleanup(func() { s.Close() })
	return r
}

// onBackends runs a test on each store.
func onBackends(t *testing.T, test func(t *testing.T, r *rig)) {
	t.Run("memory", func(t *testing.T) { test(t, newRig(t)) })
	t.Run("sqlite", func(t *testing.T) {
		c := newClock()
		s, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "g.db"), sqlitestore.Options{Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		test(t, rigOn(t, s, c))
	})
}

func newUser(email string) *pool.User {
	sub := secret.UUID()
	return &pool.User{Sub: pool.UserID(sub), Username: sub, Email: email, Status: pool.Confirmed}
}

func (r *rig) create(t testing.TB, u *pool.User) *pool.User {
	t.Helper()
	if err := r.CreateUser(t.Context(), r.pool, u); err != nil {
		t.Fatal(err)
	}
	return u
}

func (r *rig) find(t testing.TB, s string) (*pool.User, error) {
	t.Helper()
	i, err := pool.ParseIdentifier(s)
	if err != nil {
		t.Fatal(err)
	}
	return r.UserByIdentifier(t.Context(), r.pool, i)
}

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if !errors.Is(err, code) {
		t.Helper()
		t.Fatalf("error is %v; want %s", err, code)
	}
}

func TestUsersLive(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		ann := newUser("ann@example.com")
		ann.Username, ann.Phone, ann.Groups = "ann", "+49151234567", []string{"staff", "ops"}
		r.create(t, ann)
		for _, s := range []string{"ANN@example.com", "Ann", "+49 151 234567"} {
			u, err := r.find(t, s)
			if err != nil || u.Sub != ann.Sub {
				t.Fatalf("%s: %v, %v", s, u, err)
			}
		}
		got, err := r.User(ctx, r.pool, ann.Sub)
		if err != nil || got.Created.IsZero() || got.Email != ann.Email {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, rival := range []*pool.User{
			newUser("ann@example.com"),
			func() *pool.User { u := newUser("x@example.com"); u.Username = "ann"; return u }(),
			func() *pool.User { u := newUser("x@example.com"); u.Phone = ann.Phone; return u }(),
		} {
			wantCode(t, r.CreateUser(ctx, r.pool, rival), fault.Conflict)
		}
		if _, err := r.find(t, "x@example.com"); !errors.Is(err, fault.NotFound) {
			t.Fatalf("a refused creation left its reservation usable: %v", err)
		}
		r.create(t, newUser("x@example.com"))

		if _, err := r.UpdateUser(ctx, r.pool, ann.Sub, func(u *pool.User) error { u.Email = "ann2@example.com"; return nil }); err != nil {
			t.Fatal(err)
		}
		if _, err := r.find(t, "ann@example.com"); !errors.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		r.create(t, newUser("ann@example.com"))
		_, err = r.UpdateUser(ctx, r.pool, ann.Sub, func(u *pool.User) error { u.Email = "ann@example.com"; return nil })
		wantCode(t, err, fault.Conflict)
		if strings.Contains(err.Error(), "example.com") {
			t.Fatalf("personal data in an error: %v", err)
		}

		if err := r.DeleteUser(ctx, r.pool, ann.Sub); err != nil {
			t.Fatal(err)
		}
		wantCode(t, r.DeleteUser(ctx, r.pool, ann.Sub), fault.NotFound)
		for _, s := range []string{"ann2@example.com", "ann", "+49151234567"} {
			if _, err := r.find(t, s); !errors.Is(err, fault.NotFound) {
				t.Fatalf("%s: %v", s, err)
			}
		}
		wantCode(t, r.CreateUser(ctx, r.pool, ann), fault.Conflict) // a sub is never reused
		r.create(t, newUser("ann2@example.com"))
	})
}

func TestUsernameThatIsTheSub(t *testing.T) {
	r := newRig(t)
	ann := r.create(t, newUser("ann@example.com"))
	u, err := r.find(t, string(ann.Sub))
	if err != nil || u.Sub != ann.Sub {
		t.Fatal(u, err)
	}
	named := newUser("bob@example.com")
	named.Username = "bob"
	r.create(t, named)
	if _, err := r.find(t, string(named.Sub)); !errors.Is(err, fault.NotFound) {
		t.Fatalf("a user with a name is found by sub: %v", err)
	}
	wantCode(t, r.CreateUser(t.Context(), r.pool, &pool.User{Sub: pool.UserID(secret.UUID()), Username: string(ann.Sub), Status: pool.Confirmed}), fault.Invalid)
}

func TestUpdateRefuses(t *testing.T) {
	r := newRig(t)
	ann := newUser("ann@example.com")
	ann.Epoch = 3
	r.create(t, ann)
	for name, change := range map[string]func(*pool.User){
		"sub":       func(u *pool.User) { u.Sub = pool.UserID(secret.UUID()) },
		"user name": func(u *pool.User) { u.Username = "ann" },
		"created":   func(u *pool.User) { u.Created = u.Created.Add(1) },
		"epoch":     func(u *pool.User) { u.Epoch = 2 },
		"e-mail":    func(u *pool.User) { u.Email = "Ann@example.com" },
	} {
		if _, err := r.UpdateUser(t.Context(), r.pool, ann.Sub, func(u *pool.User) error { change(u); return nil }); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	mine := errors.New("mine")
	if _, err := r.UpdateUser(t.Context(), r.pool, ann.Sub, func(*pool.User) error { return mine }); err != mine {
		t.Errorf("the closure's error became %v", err)
	}
	_, err := r.UpdateUser(t.Context(), r.pool, pool.UserID(secret.UUID()), func(*pool.User) error { return nil })
	wantCode(t, err, fault.NotFound)
}

func (r *rig) revocations(t testing.TB) []pool.Revocation {
	t.Helper()
	var out []pool.Revocation
	for v, err := range r.Revocations(t.Context(), r.pool) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, v)
	}
	return out
}

func TestRevocationsGoWithTheUser(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		ann := newUser("ann@example.com")
		ann.Groups = []string{"a", "b"}
		r.create(t, ann)
		update := func(change func(*pool.User)) {
			t.Helper()
			if _, err := r.UpdateUser(ctx, r.pool, ann.Sub, func(u *pool.User) error { change(u); return nil }); err != nil {
				t.Fatal(err)
			}
		}
		only := func(want pool.Revocation) {
			t.Helper()
			got := r.revocations(t)
			if len(got) != 1 || got[0].Sub != ann.Sub || got[0].Epoch != want.Epoch || got[0].Gone != want.Gone || !slices.Equal(got[0].Groups, want.Groups) {
				t.Fatalf("revocations: %+v; want %+v", got, want)
			}
		}
		update(func(u *pool.User) { u.Name = "Ann" })
		if got := r.revocations(t); len(got) != 0 {
			t.Fatalf("a change that gates need not know wrote %+v", got)
		}
		update(func(u *pool.User) { u.Groups = append(u.Groups, "c") })
		only(pool.Revocation{Groups: []string{"a", "b", "c"}})
		update(func(u *pool.User) { u.Groups = []string{"a"} })
		only(pool.Revocation{Groups: []string{"a"}})
		update(func(u *pool.User) { u.Epoch++ })
		only(pool.Revocation{Groups: []string{"a"}, Epoch: 1})
		update(func(u *pool.User) { u.Disabled = true })
		only(pool.Revocation{Groups: []string{"a"}, Epoch: 1, Gone: true})
		update(func(u *pool.User) { u.Disabled = false; u.Groups = []string{"a", "z"} })
		only(pool.Revocation{Groups: []string{"a", "z"}, Epoch: 1})

		e, err := Get(ctx, r.Repo, revocationKey(r.pool, ann.Sub))
		user, err2 := Get(ctx, r.Repo, userKey(r.pool, ann.Sub))
		if err != nil || err2 != nil || e.Version != user.Version {
			t.Fatalf("user and revocation are of commits %d and %d", user.Version, e.Version)
		}
		if want := r.clock.Now().Add(RevocationLife); !e.Expires.Equal(want) {
			t.Fatalf("expires %v, want %v", e.Expires, want)
		}
		if err := r.DeleteUser(ctx, r.pool, ann.Sub); err != nil {
			t.Fatal(err)
		}
		only(pool.Revocation{Epoch: 1, Gone: true})
		r.clock.Advance(RevocationLife)
		if got := r.revocations(t); len(got) != 0 {
			t.Fatalf("entries outlived every token: %+v", got)
		}
	})
}

func TestTwoPoolsDoNotMeet(t *testing.T) {
	r := newRig(t)
	other, err := r.EnsurePool(t.Context(), "other", "https://other.example.com")
	if err != nil {
		t.Fatal(err)
	}
	ann := r.create(t, newUser("ann@example.com"))
	twin := newUser("ann@example.com")
	twin.Sub, twin.Username = ann.Sub, ann.Username
	if err := r.CreateUser(t.Context(), other.ID, twin); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteUser(t.Context(), other.ID, twin.Sub); err != nil {
		t.Fatal(err)
	}
	if _, err := r.find(t, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	_, err = r.Update(t.Context(), r.pool, 1, func(tx *Tx) error {
		_, err := Read(tx, SessionKey(other.ID, 1, "x"))
		return err
	})
	if !errors.Is(err, store.ErrInvalid) {
		t.Fatalf("a key of another pool was taken: %v", err)
	}
	a, err1 := r.Secret(t.Context(), r.pool, "x")
	b, err2 := r.Secret(t.Context(), other.ID, "x")
	c, err3 := r.Secret(t.Context(), r.pool, "y")
	if err := errors.Join(err1, err2, err3); err != nil || bytes.Equal(a, b) || bytes.Equal(a, c) || len(a) != 32 {
		t.Fatal("secrets of pools or purposes are alike", err)
	}
}

func TestPools(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		again, err := r.EnsurePool(ctx, "default", issuer)
		if err != nil || again.ID != r.pool || !r.pool.Valid() {
			t.Fatal(again, err)
		}
		_, err = r.EnsurePool(ctx, "default", "https://elsewhere.example.com")
		wantCode(t, err, fault.Conflict)
		_, err = r.EnsurePool(ctx, "Bad Name", issuer)
		wantCode(t, err, fault.Invalid)
		moved, err := r.MoveIssuer(ctx, "default", "https://elsewhere.example.com")
		if err != nil || moved.ID != r.pool {
			t.Fatal(moved, err)
		}
		if _, err = r.EnsurePool(ctx, "default", "https://elsewhere.example.com"); err != nil {
			t.Fatal(err)
		}
		_, err = r.MoveIssuer(ctx, "none", issuer)
		wantCode(t, err, fault.NotFound)
		_, err = r.Pool(ctx, "none")
		wantCode(t, err, fault.NotFound)
		all, err := r.Pools(ctx)
		if err != nil || len(all) != 1 || all[0] != moved {
			t.Fatal(all, err)
		}
		wantCode(t, r.CreateUser(ctx, "xx-edge-1_nonexist1", newUser("a@example.com")), fault.NotFound)
	})
	empty := New(Config{Directory: memstore.New(memstore.Options{}), Keys: testKeys(t, 1)})
	if all, err := empty.Pools(t.Context()); err != nil || len(all) != 0 {
		t.Fatal(all, err)
	}
	_, err := empty.Pool(t.Context(), "default")
	wantCode(t, err, fault.NotFound)
}

func TestEnsurePoolRace(t *testing.T) {
	c := newClock()
	s := memstore.New(memstore.Options{Now: c.Now})
	ids := make([]pool.ID, 8)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			p, err := New(Config{Directory: s, Keys: testKeys(t, 1)}).EnsurePool(t.Context(), "default", issuer)
			if err != nil {
				t.Error(err)
			}
			ids[i] = p.ID
		})
	}
	wg.Wait()
	if len(slices.Compact(ids)) != 1 {
		t.Fatalf("nodes that started together made several pools: %v", ids)
	}
}

func TestPagingUnderWrites(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		stable := map[pool.UserID]int{}
		for i := range 150 {
			stable[r.create(t, newUser(fmt.Sprintf("s%d@example.com", i))).Sub] = 0
		}
		var passing []pool.UserID
		after, pages := "", 0
		for {
			users, next, err := r.Users(ctx, r.pool, after, 7)
			if err != nil || len(users) > 7 {
				t.Fatal(len(users), err)
			}
			for _, u := range users {
				if _, ok := stable[u.Sub]; ok {
					stable[u.Sub]++
				}
			}
			pages++
			if next == "" {
				break
			}
			after = next
			passing = append(passing, r.create(t, newUser(fmt.Sprintf("p%d@example.com", pages))).Sub)
			if len(passing) > 3 {
				if err := r.DeleteUser(ctx, r.pool, passing[0]); err != nil {
					t.Fatal(err)
				}
				passing = passing[1:]
			}
		}
		for sub, n := range stable {
			if n != 1 {
				t.Fatalf("user %s was seen %d times", sub, n)
			}
		}
		if pages < 22 {
			t.Fatalf("%d pages", pages)
		}
	})
}

func TestCursorsAreSealed(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	other, err := r.EnsurePool(ctx, "other", "https://other.example.com")
	if err != nil {
		t.Fatal(err)
	}
	if has, err := r.HasUsers(ctx, r.pool); has || err != nil {
		t.Fatal(has, err)
	}
	for i := range 3 {
		r.create(t, newUser(fmt.Sprintf("s%d@example.com", i)))
	}
	if has, err := r.HasUsers(ctx, r.pool); !has || err != nil {
		t.Fatal(has, err)
	}
	if has, err := r.HasUsers(ctx, other.ID); has || err != nil {
		t.Fatal(has, err)
	}
	_, next, err := r.Users(ctx, r.pool, "", 2)
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	spoiled := []byte(next)
	spoiled[len(spoiled)/2] ^= 1
	for _, bad := range []string{"x", "AAAA", string(spoiled), next + "A", next[:len(next)-4]} {
		_, _, err := r.Users(ctx, r.pool, bad, 2)
		wantCode(t, err, fault.Invalid)
	}
	_, _, err = r.Users(ctx, other.ID, next, 2)
	wantCode(t, err, fault.Invalid)
	for _, limit := range []int{-1, MaxPage + 1} {
		_, _, err = r.Users(ctx, r.pool, "", limit)
		wantCode(t, err, fault.Invalid)
	}
}

package flow_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	factor "github.com/gatehouse-auth/gatehouse/authcore/factor/password"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

const (
	password = "correct horse battery"
	home     = "192.0.2.1"
)

// clock is a clock that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// passwords is the password factor at the lowest cost there is, counted.
type passwords struct {
	*factor.Factor
	hasher *secret.Hasher
	checks atomic.Int32
	full   atomic.Bool // as a hasher with all slots and its queue taken
}

func (p *passwords) Check(ctx context.Context, entry *pool.PasswordEntry, password string) (bool, *pool.PasswordEntry, error) {
	if p.full.Load() {
		return false, nil, secret.ErrBusy
	}
	p.checks.Add(1)
	return p.Factor.Check(ctx, entry, password)
}

func newPasswords(c secret.HasherConfig) *passwords {
	hasher := secret.NewHasher(c)
	return &passwords{Factor: factor.New(factor.Config{Hasher: hasher}), hasher: hasher}
}

// counting counts round trips to the store.
type counting struct {
	*memstore.Store
	gets, commits, writes atomic.Int32
}

func (c *counting) Get(ctx context.Context, keys ...store.Key) ([]store.Entry, error) {
	c.gets.Add(1)
	return c.Store.Get(ctx, keys...)
}

func (c *counting) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	c.commits.Add(1)
	c.writes.Add(int32(len(t.Writes)))
	return c.Store.Commit(ctx, t)
}

type world struct {
	t         testing.TB
	clock     *clock
	store     *counting
	repo      *repo.Repo
	pool      *pool.Pool
	passwords *passwords
	accounts  *account.Service
	flow      *flow.Machine
}

var browser = flow.Binding{Face: flow.FacePage, Client: "shop", Cookie: "cookie-of-this-browser"}

func newWorld(t testing.TB) *world {
	t.Helper()
	c := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	keys, err := secret.ParseKeys(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	must(t, err)
	st := &counting{Store: memstore.New(memstore.Options{Now: c.now})}
	t.Cleanup(func() { must(t, st.Close()) })
	w := &world{t: t, clock: c, store: st, repo: repo.New(repo.Config{Directory: st, Keys: keys, Now: c.now})}
	w.pool = w.newPool("default")
	w.passwords = newPasswords(secret.HasherConfig{Memory: 8, Time: 1, Slots: 2, Queue: 1000})
	w.accounts = account.New(account.Config{Repo: w.repo, Passwords: w.passwords, Now: c.now})
	w.flow = flow.New(flow.Config{Repo: w.repo, Passwords: w.passwords, Accounts: w.accounts, Now: c.now})
	return w
}

func (w *world) newPool(name string) *pool.Pool {
	id, err := w.repo.EnsurePool(context.Background(), name, "https://"+name+".example.com")
	must(w.t, err)
	return &pool.Pool{ID: id.ID, Name: name, Issuer: id.Issuer, Password: pool.PasswordPolicy{MinLength: 8, Breached: true}}
}

// user makes a user with the password, changed by change.
func (w *world) user(email string, change func(*pool.User)) *pool.User {
	w.t.Helper()
	phc, err := w.passwords.hasher.Hash(w.t.Context(), password)
	must(w.t, err)
	sub := pool.UserID(secret.UUID())
	u := &pool.User{
		Sub: sub, Username: string(sub), Email: email, Status: pool.Confirmed,
		Password: &pool.PasswordEntry{Norm: 1, PHC: phc}, Created: w.clock.now(),
	}
	if change != nil {
		change(u)
	}
	must(w.t, w.repo.CreateUser(w.t.Context(), w.pool.ID, u))
	return u
}

func (w *world) start() string {
	w.t.Helper()
	sealed, _, err := w.flow.Start(w.t.Context(), w.pool, browser, "")
	must(w.t, err)
	return sealed
}

func (w *world) answer(sealed, identifier, password, address string) (*flow.Outcome, error) {
	return w.flow.Answer(w.t.Context(), w.pool, browser, sealed,
		prompt.Answer{flow.FieldIdentifier: identifier, flow.FieldPassword: password}, flow.Visit{Address: address})
}

// signIn reports whether an answer to a new attempt is taken.
func (w *world) signIn(identifier, password, address string) bool {
	w.t.Helper()
	out, err := w.answer(w.start(), identifier, password, address)
	must(w.t, err)
	if (out.Done == nil) == (out.Ask == nil) || out.Wrong != (out.Ask != nil) {
		w.t.Fatalf("an outcome of both kinds, or none: %+v", out)
	}
	return out.Done != nil
}

// fail has an address fail n times, waiting as long as it must.
func (w *world) fail(identifier, address string, n int) {
	w.t.Helper()
	for range n {
		if w.signIn(identifier, "wrong password", address) {
			w.t.Fatal("a wrong password was taken")
		}
	}
}

func (w *world) guesses(sub pool.UserID, scope string) int {
	w.t.Helper()
	e, err := repo.Get(w.t.Context(), w.repo, repo.GuessKey(w.pool.ID, sub, "password", scope))
	must(w.t, err)
	return e.Value.Count
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestRightPassword(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", func(u *pool.User) { u.Epoch = 3 })
	before := w.store.commits.Load()
	sealed, ask, err := w.flow.Start(t.Context(), w.pool, browser, "ann@example.com")
	must(t, err)
	want := prompt.Prompt{Kind: prompt.Password, Fields: []prompt.Field{
		{Name: "identifier", Type: prompt.Identifier, Value: "ann@example.com"}, {Name: "password", Type: prompt.CurrentPassword},
	}}
	if !reflect.DeepEqual(ask, want) {
		t.Errorf("%+v", ask)
	}
	if w.store.commits.Load() != before {
		t.Error("Start has written something")
	}
	if len(sealed) > 1400 {
		t.Errorf("the attempt has %d bytes", len(sealed))
	}
	out, err := w.answer(sealed, " ANN@Example.com ", password, home)
	must(t, err)
	if d := out.Done; d == nil || out.Wrong || d.Sub != u.Sub || d.Epoch != 3 || !d.At.Equal(w.clock.now()) || d.ACR != pool.AAL1 || !reflect.DeepEqual(d.AMR, []string{"pwd"}) || d.Attempt == "" {
		t.Fatalf("%+v", out)
	}
	again, err := w.answer(sealed, "ann@example.com", password, home)
	must(t, err)
	if again.Done == nil || again.Done.Attempt != out.Done.Attempt {
		t.Error("the attempt's id, under which it succeeds once, has changed")
	}
	other, err := w.answer(w.start(), "ann@example.com", password, home)
	must(t, err)
	if other.Done.Attempt == out.Done.Attempt {
		t.Error("two attempts share an id")
	}
}

// TestRefusalsAreEqual compares what is said, how often a password is hashed
// and how often the store is asked.
func TestRefusalsAreEqual(t *testing.T) {
	type cost struct{ checks, gets, commits, writes int32 }
	refuse := func(prepare func(*world) string, password string) (flow.Outcome, cost) {
		w := newWorld(t)
		w.user("other@example.com", nil)
		identifier := prepare(w)
		sealed := w.start()
		before := cost{w.passwords.checks.Load(), w.store.gets.Load(), w.store.commits.Load(), w.store.writes.Load()}
		out, err := w.answer(sealed, identifier, password, home)
		must(t, err)
		spent := cost{w.passwords.checks.Load() - before.checks, w.store.gets.Load() - before.gets,
			w.store.commits.Load() - before.commits, w.store.writes.Load() - before.writes}
		if !out.Wrong || out.Sealed == "" || out.Ask.Fields[0].Value != identifier {
			t.Errorf("%s: %+v", identifier, out)
		}
		if len(out.Sealed) != len(sealed) || out.Sealed == sealed {
			t.Errorf("%s: the next attempt shows something", identifier)
		}
		out.Sealed, out.Ask.Fields[0].Value = "", ""
		return *out, spent
	}
	known := func(change func(*pool.User)) func(*world) string {
		return func(w *world) string { w.user("ann@example.com", change); return "ann@example.com" }
	}
	typed := func(s string) func(*world) string { return func(*world) string { return s } }

	want, cost1 := refuse(known(nil), "wrong password")
	if cost1.checks != 1 || cost1.commits != 1 {
		t.Fatalf("%+v", cost1)
	}
	for name, c := range map[string]struct {
		prepare  func(*world) string
		password string
	}{
		"unknown e-mail": {typed("nobody@example.com"), password},
		"unknown name":   {typed("nobody"), password},
		"unknown phone":  {typed("+4930123456789"), password},
		"unknown sub":    {typed(secret.UUID()), password},
		"malformed":      {typed("a@b@c"), password},
		"nothing":        {typed(""), ""},
		"no password":    {known(nil), ""},
		"disabled":       {known(func(u *pool.User) { u.Disabled = true }), password},
		"must set":       {known(func(u *pool.User) { u.Status, u.Password = pool.MustSetPassword, nil }), password},
		"must set, has":  {known(func(u *pool.User) { u.Status = pool.MustSetPassword }), password},
		"damaged hash":   {known(func(u *pool.User) { u.Password.PHC = "x" }), password},
		"locked": {func(w *world) string {
			w.user("ann@example.com", nil)
			w.fail("ann@example.com", home, 5)
			return "ann@example.com"
		}, password},
		"locked, unknown": {func(w *world) string { w.fail("nobody", home, 5); return "nobody" }, password},
		"locked, by all": {func(w *world) string {
			w.user("ann@example.com", nil)
			for i := range 100 {
				w.fail("ann@example.com", fmt.Sprintf("198.51.100.%d", i), 1)
			}
			w.fail("ann@example.com", home, 1) // not counted any more
			return "ann@example.com"
		}, password},
	} {
		got, spent := refuse(c.prepare, c.password)
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, a wrong password %+v", name, got, want)
		}
		if spent != cost1 {
			t.Errorf("%s costs %+v, a wrong password %+v", name, spent, cost1)
		}
	}
}

func TestAttemptsOpenOnlyWhereTheyBelong(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	sealed := w.start()
	other := *w
	other.pool = w.newPool("other")
	answer := prompt.Answer{flow.FieldIdentifier: "ann@example.com", flow.FieldPassword: password}
	for name, b := range map[string]flow.Binding{
		"another browser": {Face: browser.Face, Client: browser.Client, Cookie: "cookie-of-another"},
		"no browser":      {Face: browser.Face, Client: browser.Client},
		"another client":  {Face: browser.Face, Client: "other", Cookie: browser.Cookie},
		"another face":    {Face: "json", Client: browser.Client, Cookie: browser.Cookie},
		"shifted":         {Face: browser.Face + "s", Client: "hop", Cookie: browser.Cookie},
	} {
		if _, err := w.flow.Answer(t.Context(), w.pool, b, sealed, answer, flow.Visit{Address: home}); !errors.Is(err, flow.ErrExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := other.answer(sealed, "ann@example.com", password, home); !errors.Is(err, flow.ErrExpired) {
		t.Errorf("another pool: %v", err)
	}
	ticket, err := w.flow.SealLogoutTicket(t.Context(), w.pool, "name")
	must(t, err)
	for _, bad := range []string{"", "x", "!", sealed[:len(sealed)-1], sealed + "A", sealed + "\n", ticket, strings.Repeat("A", 1<<20)} {
		if _, err := w.answer(bad, "ann@example.com", password, home); !errors.Is(err, flow.ErrExpired) {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
	if w.passwords.checks.Load() != 0 {
		t.Error("a password was checked")
	}
}

func TestAttemptLife(t *testing.T) {
	w := newWorld(t)
	w.user("ann@example.com", nil)
	sealed := w.start()
	w.clock.move(10*time.Minute - time.Millisecond)
	out, err := w.answer(sealed, "ann@example.com", password, home)
	if err != nil || out.Done == nil {
		t.Fatal(out, err)
	}
	w.clock.move(time.Millisecond)
	if _, err := w.answer(sealed, "ann@example.com", password, home); !errors.Is(err, flow.ErrExpired) {
		t.Error(err)
	}
	ahead := w.start()
	w.clock.move(-time.Minute)
	if _, err := w.answer(ahead, "ann@example.com", password, home); !errors.Is(err, flow.ErrExpired) {
		t.Errorf("an attempt from the future: %v", err)
	}
}

func TestDisabledWhileSigningIn(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	sealed := w.start()
	_, err := w.repo.UpdateUser(t.Context(), w.pool.ID, u.Sub, func(u *pool.User) error { u.Disabled = true; u.Epoch++; return nil })
	must(t, err)
	if out, err := w.answer(sealed, "ann@example.com", password, home); err != nil || !out.Wrong {
		t.Error(out, err)
	}
}

func TestBusyCountsNothing(t *testing.T) {
	w := newWorld(t)
	u := w.user("ann@example.com", nil)
	w.passwords.full.Store(true)
	for range 200 {
		_, err := w.answer(w.start(), "ann@example.com", password, home)
		if fault.CodeOf(err) != fault.Busy || !errors.Is(err, secret.ErrBusy) {
			t.Fatal(err)
		}
	}
	w.passwords.full.Store(false)
	if w.guesses(u.Sub, home) != 0 || w.guesses(u.Sub, "") != 0 {
		t.Error("guesses that were not checked are counted")
	}
	if !w.signIn("ann@example.com", password, home) {
		t.Error("refused")
	}
}

func TestRehash(t *testing.T) {
	w := newWorld(t)
	dear := secret.NewHasher(secret.HasherConfig{Memory: 16, Time: 1})
	old, err := dear.Hash(t.Context(), password)
	must(t, err)
	u := w.user("ann@example.com", func(u *pool.User) { u.Password.PHC = old })
	w.fail("ann@example.com", home, 1)
	stored := func() *pool.User {
		got, err := w.repo.User(t.Context(), w.pool.ID, u.Sub)
		must(t, err)
		return got
	}
	if stored().Password.PHC != old {
		t.Error("a wrong password has changed the hash")
	}
	if !w.signIn("ann@example.com", password, home) {
		t.Fatal("refused")
	}
	if got := stored(); got.Password.PHC == old || got.Epoch != u.Epoch {
		t.Errorf("%+v", got)
	}
	if !w.signIn("ann@example.com", password, home) {
		t.Error("the new hash does not match")
	}
}

func TestLogoutTickets(t *testing.T) {
	w := newWorld(t)
	ticket, err := w.flow.SealLogoutTicket(t.Context(), w.pool, "the-session")
	must(t, err)
	open := func(p *pool.Pool, ticket string) string {
		name, err := w.flow.OpenLogoutTicket(t.Context(), p, ticket)
		must(t, err)
		return name
	}
	w.clock.move(5*time.Minute - time.Millisecond)
	if got := open(w.pool, ticket); got != "the-session" {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"", "x", ticket[1:], w.start()} {
		if got := open(w.pool, bad); got != "" {
			t.Errorf("%q opens as %q", bad, got)
		}
	}
	if got := open(w.newPool("other"), ticket); got != "" {
		t.Error("a ticket of another pool is good")
	}
	w.clock.move(time.Millisecond)
	if got := open(w.pool, ticket); got != "" {
		t.Error("an old ticket is good")
	}
}

func FuzzAttempt(f *testing.F) {
	w := newWorld(f)
	sealed, _, err := w.flow.Start(f.Context(), w.pool, browser, "")
	must(f, err)
	f.Add(sealed)
	f.Add("")
	f.Add(sealed[:40])
	f.Fuzz(func(t *testing.T, s string) {
		if s == sealed {
			return
		}
		_, err := w.flow.Answer(t.Context(), w.pool, browser, s, prompt.Answer{}, flow.Visit{Address: home})
		if !errors.Is(err, flow.ErrExpired) {
			t.Fatalf("%q: %v", s, err)
		}
	})
}

// BenchmarkRefuse shows that known and unknown users take as long as each other.
func BenchmarkRefuse(b *testing.B) {
	for _, who := range []string{"ann@example.com", "nobody@example.com", "a@b@c"} {
		b.Run(who, func(b *testing.B) {
			w := newWorld(b)
			w.passwords = newPasswords(secret.HasherConfig{})
			w.flow = flow.New(flow.Config{Repo: w.repo, Passwords: w.passwords, Now: w.clock.now})
			w.user("ann@example.com", nil)
			for b.Loop() {
				if w.signIn(who, "wrong password", home) {
					b.Fatal("taken")
				}
			}
		})
	}
}

package account_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/factor/password"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

const secretWord = "correct horse battery"

// clock is a clock that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// flaky is a store whose commits fail while fail says so.
type flaky struct {
	*memstore.Store
	mu   sync.Mutex
	fail func(store.Txn) bool
}

func (f *flaky) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	f.mu.Lock()
	fail := f.fail != nil && f.fail(t)
	f.mu.Unlock()
	if fail {
		return store.Receipt{}, store.ErrUnavailable
	}
	return f.Store.Commit(ctx, t)
}

func (f *flaky) failing(fn func(store.Txn) bool) { f.mu.Lock(); defer f.mu.Unlock(); f.fail = fn }

type world struct {
	t        *testing.T
	clock    *clock
	store    *flaky
	repo     *repo.Repo
	pool     *pool.Pool
	accounts *account.Service
	log      *bytes.Buffer
}

var (
	operator = pool.Caller{Kind: pool.Operator, Name: "admin socket"}
	visitor  = pool.Caller{Kind: pool.Visitor, Address: "192.0.2.7"}
)

func newWorld(t *testing.T) *world {
	t.Helper()
	c := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	keys, err := secret.ParseKeys(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	must(t, err)
	st := &flaky{Store: memstore.New(memstore.Options{Now: c.now})}
	t.Cleanup(func() { must(t, st.Close()) })
	w := &world{t: t, clock: c, store: st, log: &bytes.Buffer{}}
	w.repo = repo.New(repo.Config{Directory: st, Keys: keys, Now: c.now})
	w.pool = w.newPool("default")
	w.accounts = account.New(account.Config{
		Repo: w.repo, Now: c.now, Logger: slog.New(slog.NewTextHandler(w.log, nil)),
		Passwords: password.New(password.Config{
			Hasher: secret.NewHasher(secret.HasherConfig{Memory: 8, Time: 1, Slots: 2, Queue: 100}), Now: c.now,
		}),
	})
	return w
}

func (w *world) newPool(name string) *pool.Pool {
	id, err := w.repo.EnsurePool(w.t.Context(), name, "https://"+name+".example.com")
	must(w.t, err)
	return &pool.Pool{ID: id.ID, Name: name, Issuer: id.Issuer, Password: pool.PasswordPolicy{MinLength: 8, Breached: true}}
}

func (w *world) create(n account.NewUser) *pool.User {
	w.t.Helper()
	u, err := w.accounts.Create(w.t.Context(), operator, w.pool, n)
	must(w.t, err)
	return u
}

func (w *world) firstLink() string {
	w.t.Helper()
	token, err := w.accounts.FirstLink(w.t.Context(), w.pool)
	must(w.t, err)
	return token
}

func (w *world) spend(token, identifier string) (*pool.User, error) {
	return w.accounts.SpendLink(w.t.Context(), visitor, w.pool, token, identifier, secretWord)
}

func (w *world) users() []*pool.User {
	w.t.Helper()
	users, _, err := w.accounts.Users(w.t.Context(), w.pool, "", 0)
	must(w.t, err)
	return users
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if err == nil || fault.CodeOf(err) != code {
		t.Fatalf("error %v, want code %s", err, code)
	}
}

func TestCreate(t *testing.T) {
	w := newWorld(t)
	mail := w.create(account.NewUser{Identifier: " Ann@Example.COM ", Name: "Ann", Groups: []string{"b", "a", "b"}, Password: secretWord, Verified: true})
	if mail.Username != string(mail.Sub) || mail.Email != "ann@example.com" || !mail.EmailVerified || mail.Status != pool.Confirmed ||
		strings.Join(mail.Groups, " ") != "a b" || mail.Epoch != 0 {
		t.Errorf("%+v", mail)
	}
	phone := w.create(account.NewUser{Identifier: "+49 30 1234567", Password: secretWord})
	if phone.Username != string(phone.Sub) || phone.Phone != "+49301234567" || phone.PhoneVerified {
		t.Errorf("%+v", phone)
	}
	named := w.create(account.NewUser{Identifier: "Bob"})
	if named.Username != "bob" || named.Status != pool.MustSetPassword || named.Password != nil || named.Stands(0) {
		t.Errorf("%+v", named)
	}
	for who, want := range map[string]pool.UserID{
		"ANN@example.com": mail.Sub, string(mail.Sub): mail.Sub, "+49-30-1234567": phone.Sub, "bob": named.Sub, string(named.Sub): named.Sub,
	} {
		if u, err := w.accounts.Find(t.Context(), w.pool, who); err != nil || u.Sub != want {
			t.Errorf("%s: %v, %v", who, u, err)
		}
	}
	for _, who := range []string{"carl", "x@y@z", "", secret.UUID()} {
		_, err := w.accounts.Find(t.Context(), w.pool, who)
		wantCode(t, err, fault.NotFound)
	}
}

func TestCreateRefused(t *testing.T) {
	w := newWorld(t)
	w.create(account.NewUser{Identifier: "bob", Password: secretWord})
	for _, c := range []struct {
		user account.NewUser
		code fault.Code
	}{
		{account.NewUser{Identifier: "BOB", Password: secretWord}, fault.Conflict},
		{account.NewUser{Identifier: "", Password: secretWord}, fault.Invalid},
		{account.NewUser{Identifier: "a@b@c", Password: secretWord}, fault.Invalid},
		{account.NewUser{Identifier: secret.UUID(), Password: secretWord}, fault.Invalid},
		{account.NewUser{Identifier: "carl", Groups: []string{"a,b"}}, fault.Invalid},
		{account.NewUser{Identifier: "carl", Name: "a\x00b"}, fault.Invalid},
	} {
		_, err := w.accounts.Create(t.Context(), operator, w.pool, c.user)
		wantCode(t, err, c.code)
	}
	for pw, problem := range map[string]string{"short": "password_too_short", "carl-himself": "password_is_name"} {
		_, err := w.accounts.Create(t.Context(), operator, w.pool, account.NewUser{Identifier: "carl-himself", Password: pw})
		if p, ok := errors.AsType[*account.PasswordProblem](err); !ok || p.Problem != problem {
			t.Errorf("%q: %v", pw, err)
		}
	}
	if n := len(w.users()); n != 1 {
		t.Errorf("%d users", n)
	}
}

func TestChangesEndWhatWasIssued(t *testing.T) {
	w := newWorld(t)
	ctx, sub := t.Context(), w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord, Groups: []string{"staff"}}).Sub
	load := func() *pool.User {
		u, err := w.repo.User(ctx, w.pool.ID, sub)
		must(t, err)
		return u
	}
	before := load()
	_, err := w.accounts.SetPassword(ctx, operator, w.pool, sub, "another good one")
	must(t, err)
	if u := load(); u.Epoch != 1 || u.Password.PHC == before.Password.PHC || u.Username != before.Username {
		t.Errorf("%+v", u)
	}
	must(t, w.accounts.Disable(ctx, operator, w.pool, sub))
	must(t, w.accounts.Disable(ctx, operator, w.pool, sub))
	if u := load(); u.Epoch != 2 || !u.Disabled || u.Stands(2) {
		t.Errorf("%+v", u)
	}
	must(t, w.accounts.Enable(ctx, operator, w.pool, sub))
	if u := load(); u.Epoch != 2 || !u.Stands(2) || u.Stands(1) {
		t.Errorf("%+v", u)
	}
	for _, group := range []string{"z", "y", "z"} {
		_, err := w.accounts.Join(ctx, operator, w.pool, sub, group)
		must(t, err)
	}
	_, err = w.accounts.Leave(ctx, operator, w.pool, sub, "staff")
	must(t, err)
	if u := load(); strings.Join(u.Groups, " ") != "y z" || u.Epoch != 2 {
		t.Errorf("%+v", u)
	}
	must(t, w.accounts.Delete(ctx, operator, w.pool, sub))
	for _, err := range []error{
		w.accounts.Delete(ctx, operator, w.pool, sub),
		w.accounts.Disable(ctx, operator, w.pool, sub),
	} {
		wantCode(t, err, fault.NotFound)
	}
	_, err = w.accounts.SetPassword(ctx, operator, w.pool, sub, secretWord)
	wantCode(t, err, fault.NotFound)
	_, err = w.accounts.Invite(ctx, operator, w.pool, sub)
	wantCode(t, err, fault.NotFound)
	_, err = w.accounts.Join(ctx, operator, w.pool, sub, "z")
	wantCode(t, err, fault.NotFound)
	_, err = w.accounts.Leave(ctx, operator, w.pool, sub, "z")
	wantCode(t, err, fault.NotFound)
}

func TestOnlyOperatorsMay(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	u := w.create(account.NewUser{Identifier: "ann@example.com", Password: secretWord})
	for _, by := range []pool.Caller{{}, visitor, {Kind: pool.Self, Name: string(u.Sub)}, {Kind: "operators"}} {
		a := w.accounts
		_, created := a.Create(ctx, by, w.pool, account.NewUser{Identifier: "eve"})
		_, set := a.SetPassword(ctx, by, w.pool, u.Sub, "another good one")
		_, invited := a.Invite(ctx, by, w.pool, u.Sub)
		_, joined := a.Join(ctx, by, w.pool, u.Sub, pool.OperatorsGroup)
		_, left := a.Leave(ctx, by, w.pool, u.Sub, pool.OperatorsGroup)
		for _, err := range []error{
			created, set, invited, joined, left, a.Disable(ctx, by, w.pool, u.Sub), a.Enable(ctx, by, w.pool, u.Sub),
			a.Delete(ctx, by, w.pool, u.Sub),
		} {
			wantCode(t, err, fault.Forbidden)
		}
	}
	after := w.users()
	if len(after) != 1 || after[0].Epoch != 0 || len(after[0].Groups) != 0 || after[0].Password.PHC != u.Password.PHC {
		t.Errorf("something has changed: %+v", after)
	}
}

func TestAuditNamesNoSecretAndNobody(t *testing.T) {
	w := newWorld(t)
	token := w.firstLink()
	u, err := w.spend(token, "ann@example.com")
	must(t, err)
	invite, err := w.accounts.Invite(t.Context(), operator, w.pool, u.Sub)
	must(t, err)
	_, err = w.spend(invite, "")
	must(t, err)
	log := w.log.String()
	for _, want := range []string{string(u.Sub), "user.invite", "link.spend_first", "link.spend_invite", "admin socket", string(w.pool.ID)} {
		if !strings.Contains(log, want) {
			t.Errorf("the log lacks %q:\n%s", want, log)
		}
	}
	for _, never := range []string{"ann", "example.com", secretWord, token, invite, "argon2", visitor.Address} {
		if strings.Contains(log, never) {
			t.Errorf("the log holds %q", never)
		}
	}
}

package session_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

const (
	site     = pool.ClientID("site:https://app.example.com")
	back     = "https://app.example.com/_auth/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	idle     = 12 * time.Hour
	absolute = 30 * 24 * time.Hour
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// counting counts the commits and reads that reach a store.
type counting struct {
	store.Store
	commits, reads atomic.Int32
}

func (c *counting) Get(ctx context.Context, ks ...store.Key) ([]store.Entry, error) {
	c.reads.Add(1)
	return c.Store.Get(ctx, ks...)
}

func (c *counting) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	c.commits.Add(1)
	return c.Store.Commit(ctx, t)
}

// Now is the clock of the store behind it.
func (c *counting) Now() time.Time { return c.Store.(store.Clock).Now() }

// keys is one ES256 key for everything.
type keys struct{ key *jose.Key }

func (k keys) Signer(context.Context, pool.ID, pool.KeyUse, jose.Alg) (*jose.Key, error) {
	return k.key, nil
}

func (k keys) Set(context.Context, pool.ID, pool.KeyUse) (*jose.Set, error) {
	return jose.NewSet(k.key), nil
}

type world struct {
	t      *testing.T
	clock  *clock
	store  *counting
	repo   *repo.Repo
	tokens *token.Service
	svc    *session.Service
	pool   *pool.Pool
	user   *pool.User
}

func newWorld(t *testing.T) *world {
	c := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	return newWorldOn(t, c, memstore.New(memstore.Options{Now: c.now}))
}

func newWorldOn(t *testing.T, c *clock, st store.Store) *world {
	t.Helper()
	t.Cleanup(func() { st.Close() })
	kek, err := secret.ParseKeys(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	must(t, err)
	key, err := jose.Generate(jose.ES256)
	must(t, err)
	w := &world{t: t, clock: c, store: &counting{Store: st}}
	w.repo = repo.New(repo.Config{Directory: w.store, Keys: kek, Now: c.now})
	w.tokens = token.New(token.Config{Repo: w.repo, Keys: keys{key}, Now: c.now})
	w.svc = session.New(session.Config{Repo: w.repo, Families: w.tokens, Now: c.now})
	id, err := w.repo.EnsurePool(t.Context(), "default", "https://login.example.com")
	must(t, err)
	w.pool = &pool.Pool{
		ID: id.ID, Name: "default", Issuer: id.Issuer,
		Session: pool.SessionPolicy{Idle: idle, Absolute: absolute},
		Token:   pool.TokenPolicy{Access: 15 * time.Minute, Refresh: absolute, ReuseGrace: 10 * time.Second, Alg: jose.ES256, IDAlg: jose.ES256},
		Clients: map[pool.ClientID]*pool.Client{
			site:   {ID: site, RedirectURIs: []string{back}, Grants: []string{pool.GrantCode}, Site: true},
			"shop": {ID: "shop", Scopes: pool.OIDCScopes(), RedirectURIs: []string{back}, Grants: []string{pool.GrantCode, pool.GrantRefresh}},
		},
	}
	w.user = &pool.User{Sub: pool.UserID(secret.UUID()), Username: "alice", Status: pool.Confirmed, Created: c.now(), Updated: c.now()}
	must(t, w.repo.CreateUser(t.Context(), w.pool.ID, w.user))
	return w
}

func (w *world) proof(attempt string) session.Proof {
	return session.Proof{Attempt: attempt, Sub: w.user.Sub, At: w.clock.now(), ACR: pool.AAL1, AMR: []string{"pwd"}}
}

func (w *world) start() string {
	w.t.Helper()
	id, err := w.svc.Start(w.t.Context(), w.pool, w.proof(""))
	must(w.t, err)
	return id
}

func (w *world) find(id string) (*session.Live, error) {
	return w.svc.Find(w.t.Context(), w.pool, id)
}

func (w *world) findSite(id string) (*session.LiveSite, error) {
	return w.svc.FindSite(w.t.Context(), w.pool, site, id)
}

// code issues a code of a live session to a client.
func (w *world) code(sso string, client pool.ClientID, scopes ...string) token.Redemption {
	w.t.Helper()
	live, err := w.find(sso)
	must(w.t, err)
	sum := sha256.Sum256([]byte(verifier))
	code, err := w.tokens.IssueCode(w.t.Context(), w.pool, token.CodeOrder{
		Client: w.pool.Clients[client], RedirectURI: back, Scopes: scopes, Challenge: base64.RawURLEncoding.EncodeToString(sum[:]),
		Session: live.Session, SessionName: live.Name,
	})
	must(w.t, err)
	return token.Redemption{Client: w.pool.Clients[client], Code: code, RedirectURI: back, Verifier: verifier}
}

// visit makes a site session under an SSO session.
func (w *world) visit(sso string) string {
	w.t.Helper()
	id, _, err := w.tokens.RedeemSiteCode(w.t.Context(), w.pool, w.code(sso, site, "openid"))
	must(w.t, err)
	return id
}

func (w *world) update(change func(*pool.User)) {
	w.t.Helper()
	_, err := w.repo.UpdateUser(w.t.Context(), w.pool.ID, w.user.Sub, func(u *pool.User) error { change(u); return nil })
	must(w.t, err)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func gone(t testing.TB, err error) {
	t.Helper()
	if !errors.Is(err, fault.NotFound) {
		t.Errorf("got %v, want not_found", err)
	}
}

func TestStartAndFind(t *testing.T) {
	w := newWorld(t)
	id := w.start()
	live, err := w.find(id)
	must(t, err)
	now := w.clock.now()
	if live.User.Sub != w.user.Sub || live.Session.ACR != pool.AAL1 || !live.Session.AuthTime.Equal(now) || !live.Expires.Equal(now.Add(idle)) {
		t.Errorf("%+v", live)
	}
	if strings.Contains(live.Name, id) || w.start() == id {
		t.Error("an id is stored, or came twice")
	}
	part, _, _ := repo.ParseHandle(id)
	if part != repo.UserPartition(w.pool.ID, w.user.Sub) {
		t.Error("not in the user's partition")
	}
	for _, bad := range []string{"", "x", id + "=", id[1:], strings.ToLower(id), repo.NewHandle(part), live.Name} {
		_, err := w.find(bad)
		gone(t, err)
		_, err = w.findSite(bad)
		gone(t, err)
	}
	_, err = w.findSite(id) // an SSO session is no site session
	gone(t, err)
}

func TestAnAttemptSucceedsOnce(t *testing.T) {
	w := newWorld(t)
	var wins, losses atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			_, err := w.svc.Start(t.Context(), w.pool, w.proof("an attempt"))
			switch {
			case err == nil:
				wins.Add(1)
			case errors.Is(err, fault.Conflict):
				losses.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if wins.Load() != 1 || losses.Load() != 15 {
		t.Errorf("%d sessions of one attempt, %d conflicts", wins.Load(), losses.Load())
	}
	w.clock.move(11 * time.Minute) // longer than an attempt lives
	_, err := w.svc.Start(t.Context(), w.pool, w.proof("an attempt"))
	if !errors.Is(err, fault.Conflict) {
		t.Errorf("used again later: %v", err)
	}
}

func TestStartNeedsTheUserAsTheAttemptSawIt(t *testing.T) {
	for name, change := range map[string]func(*world){
		"epoch":      func(w *world) { w.update(func(u *pool.User) { u.Epoch++ }) },
		"disabled":   func(w *world) { w.update(func(u *pool.User) { u.Disabled = true }) },
		"must reset": func(w *world) { w.update(func(u *pool.User) { u.Status = pool.MustSetPassword }) },
		"deleted":    func(w *world) { must(w.t, w.repo.DeleteUser(w.t.Context(), w.pool.ID, w.user.Sub)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			proof := w.proof("attempt")
			change(w)
			if _, err := w.svc.Start(t.Context(), w.pool, proof); !errors.Is(err, fault.Conflict) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSessionsDieWithTheUser(t *testing.T) {
	for name, change := range map[string]func(*world){
		"epoch":    func(w *world) { w.update(func(u *pool.User) { u.Epoch++ }) },
		"disabled": func(w *world) { w.update(func(u *pool.User) { u.Disabled = true }) },
		"deleted":  func(w *world) { must(w.t, w.repo.DeleteUser(w.t.Context(), w.pool.ID, w.user.Sub)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			sso := w.start()
			child := w.visit(sso)
			change(w)
			_, err := w.find(sso)
			gone(t, err)
			_, err = w.findSite(child)
			gone(t, err)
		})
	}
}

func TestFindSite(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	id := w.visit(sso)
	live, err := w.findSite(id)
	must(t, err)
	parent, err := w.find(sso)
	must(t, err)
	if live.Session.Parent != parent.Name || live.User.Sub != w.user.Sub || live.Session.Client != site {
		t.Errorf("%+v", live)
	}
	_, err = w.svc.FindSite(t.Context(), w.pool, "site:https://other.example.com", id)
	gone(t, err) // a cookie of one site is none of another's
	_, err = w.find(id)
	gone(t, err) // nor the login host's
}

func TestIdleLife(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	child := w.visit(sso)
	w.clock.move(idle - time.Millisecond)
	if _, err := w.find(sso); err != nil {
		t.Error(err)
	}
	w.clock.move(time.Millisecond)
	_, err := w.find(sso)
	gone(t, err)
	_, err = w.findSite(child)
	gone(t, err)
}

func TestUseKeepsBothAliveUntilTheAbsoluteEnd(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	child := w.visit(sso)
	begin := w.clock.now()
	for w.clock.now().Sub(begin) < absolute-idle {
		w.clock.move(11 * time.Hour)
		live, err := w.findSite(child)
		must(t, err)
		must(t, w.svc.Touch(t.Context(), w.pool, live))
		if _, err := w.find(sso); err != nil {
			t.Fatal("the parent died of idleness while its child was in use")
		}
	}
	for w.clock.now().Add(time.Hour).Before(begin.Add(absolute)) {
		w.clock.move(time.Hour)
		live, err := w.findSite(child)
		must(t, err)
		must(t, w.svc.Touch(t.Context(), w.pool, live))
	}
	part, name, _ := repo.ParseHandle(child)
	stored, err := repo.Get(t.Context(), w.repo, repo.SiteSessionKey(w.pool.ID, part, name))
	must(t, err)
	if !stored.Expires.Equal(begin.Add(absolute)) {
		t.Errorf("stored for %v after the sign-in", stored.Expires.Sub(begin))
	}
	w.clock.move(time.Hour)
	_, err = w.findSite(child)
	gone(t, err)
	_, err = w.find(sso)
	gone(t, err)
}

func TestASiteSessionCountsFromTheSignIn(t *testing.T) {
	w := newWorld(t)
	w.pool.Session.Idle = absolute
	sso := w.start()
	begin := w.clock.now()
	w.clock.move(absolute - time.Hour)
	live, err := w.findSite(w.visit(sso))
	must(t, err)
	if !live.Expires.Equal(begin.Add(absolute)) {
		t.Errorf("ends %v after the sign-in", live.Expires.Sub(begin))
	}
}

func TestTouchIsCoarse(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	child := w.visit(sso)
	live, err := w.findSite(child)
	must(t, err)
	touch := func() int32 {
		before := w.store.commits.Load()
		must(t, w.svc.Touch(t.Context(), w.pool, live))
		return w.store.commits.Load() - before
	}
	w.clock.move(5*time.Minute - time.Millisecond)
	reads := w.store.reads.Load()
	if n := touch(); n != 0 || w.store.reads.Load() != reads {
		t.Errorf("%d commits before 5 minutes, or reads", n)
	}
	w.clock.move(time.Millisecond)
	if n := touch(); n != 1 {
		t.Errorf("%d commits for both sessions", n)
	}
	if n := touch(); n != 0 { // by another node, which holds an older copy
		t.Errorf("%d commits for what was touched", n)
	}
	parent, err := w.find(sso)
	must(t, err)
	again, err := w.findSite(child)
	must(t, err)
	if now := w.clock.now(); !parent.Session.Used.Equal(now) || !again.Session.Used.Equal(now) || !again.Expires.Equal(now.Add(idle)) {
		t.Errorf("used %v and %v", parent.Session.Used, again.Session.Used)
	}
	must(t, w.svc.End(t.Context(), w.pool, sso))
	w.clock.move(time.Hour)
	gone(t, w.svc.Touch(t.Context(), w.pool, again))
	_, err = w.findSite(child)
	gone(t, err)
}

func TestAClockThatIsSetBackExtendsNothing(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	child := w.visit(sso)
	live, err := w.findSite(child)
	must(t, err)
	w.clock.move(-4 * time.Minute) // what clocks of nodes may differ by
	again, err := w.findSite(child)
	must(t, err)
	before := w.store.commits.Load()
	must(t, w.svc.Touch(t.Context(), w.pool, again))
	if !again.Expires.Equal(live.Expires) || w.store.commits.Load() != before {
		t.Error("life was changed")
	}
	w.clock.move(-2 * time.Minute)
	_, err = w.find(sso)
	gone(t, err)
	_, err = w.findSite(child)
	gone(t, err)
}

func TestAStricterPolicyHoldsAtOnce(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	child := w.visit(sso)
	w.pool.Session.Idle = time.Hour
	w.clock.move(time.Hour)
	_, err := w.find(sso)
	gone(t, err)
	_, err = w.findSite(child)
	gone(t, err)
}

func TestEachSiteIdlesByItself(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	used, left := w.visit(sso), w.visit(sso)
	w.pool.Session.Idle = time.Hour
	w.clock.move(50 * time.Minute)
	live, err := w.findSite(used)
	must(t, err)
	must(t, w.svc.Touch(t.Context(), w.pool, live))
	w.clock.move(20 * time.Minute)
	if _, err := w.findSite(used); err != nil {
		t.Error(err)
	}
	_, err = w.findSite(left)
	gone(t, err)
}

func TestEnd(t *testing.T) {
	w := newWorld(t)
	sso, other := w.start(), w.start()
	child := w.visit(sso)
	name := func(id string) string { _, n, _ := repo.ParseHandle(id); return n }
	redeem := func(sso string, scopes ...string) *token.Issued {
		got, err := w.tokens.RedeemCode(t.Context(), w.pool, w.code(sso, "shop", scopes...))
		must(t, err)
		return got
	}
	mine, lasting, others := redeem(sso, "openid"), redeem(sso, "openid", "offline_access"), redeem(other, "openid")
	pending := w.code(sso, "shop", "openid")

	must(t, w.svc.End(t.Context(), w.pool, sso))
	must(t, w.svc.End(t.Context(), w.pool, sso))
	_, err := w.find(sso)
	gone(t, err)
	_, err = w.findSite(child)
	gone(t, err)
	if !w.tokens.Revocations().SessionEnded(w.pool.ID, name(sso)) {
		t.Error("its end is not known at once")
	}
	if _, err := w.find(other); err != nil {
		t.Errorf("another session of the user ended: %v", err)
	}
	if _, err := w.tokens.RedeemCode(t.Context(), w.pool, pending); fault.CodeOf(err) != fault.InvalidGrant {
		t.Errorf("a code of an ended session: %v", err)
	}
	for what, c := range map[string]struct {
		*token.Issued
		lives bool
	}{"its own": {mine, false}, "offline": {lasting, true}, "another session's": {others, true}} {
		_, err := w.tokens.VerifyAccess(t.Context(), w.pool, c.Access)
		_, again := w.tokens.Refresh(t.Context(), w.pool, token.RefreshOrder{Client: w.pool.Clients["shop"], Token: c.Refresh})
		if (err == nil) != c.lives || (again == nil) != c.lives {
			t.Errorf("%s family: access %v, refresh %v", what, err, again)
		}
	}
	var revoked []string
	for r, err := range w.repo.Revocations(t.Context(), w.pool.ID) {
		must(t, err)
		revoked = append(revoked, r.OriginJTI)
	}
	if len(revoked) != 1 {
		t.Errorf("revoked %v", revoked)
	}
}

// meddling has something happen between the end of the families and that of
// their session.
type meddling struct {
	*token.Service
	meanwhile func()
}

func (m *meddling) EndFamilies(ctx context.Context, p *pool.Pool, sub pool.UserID, originJTIs []string) error {
	if err := m.Service.EndFamilies(ctx, p, sub, originJTIs); err != nil {
		return err
	}
	m.meanwhile()
	return nil
}

func TestEndMissesNoFamily(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	var born []*token.Issued
	codes := []token.Redemption{w.code(sso, "shop", "openid"), w.code(sso, "shop", "openid")}
	svc := session.New(session.Config{Repo: w.repo, Now: w.clock.now, Families: &meddling{w.tokens, func() {
		if len(born) < len(codes) {
			got, err := w.tokens.RedeemCode(t.Context(), w.pool, codes[len(born)])
			must(t, err)
			born = append(born, got)
		}
	}}})
	must(t, svc.End(t.Context(), w.pool, sso))
	_, err := w.find(sso)
	gone(t, err)
	if len(born) != 2 {
		t.Fatalf("%d families were born meanwhile", len(born))
	}
	for _, got := range born {
		if _, err := w.tokens.VerifyAccess(t.Context(), w.pool, got.Access); err == nil {
			t.Error("a family has outlived its session")
		}
	}
}

func TestEndSite(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	one, two := w.visit(sso), w.visit(sso)
	must(t, w.svc.EndSite(t.Context(), w.pool, one))
	_, err := w.findSite(one)
	gone(t, err)
	if _, err := w.findSite(two); err != nil {
		t.Error(err)
	}
	if _, err := w.find(sso); err != nil {
		t.Error(err)
	}
}

func TestEndingWhatIsUnknownWritesNothing(t *testing.T) {
	w := newWorld(t)
	sso := w.start()
	before := w.store.commits.Load()
	for _, id := range []string{"", "x", repo.NewHandle(3), repo.NewHandle(200)} {
		must(t, w.svc.End(t.Context(), w.pool, id))
		must(t, w.svc.EndSite(t.Context(), w.pool, id))
		if _, name, ok := repo.ParseHandle(id); ok && w.tokens.Revocations().SessionEnded(w.pool.ID, name) {
			t.Error("whoever invents an id fills the memory")
		}
	}
	must(t, w.svc.EndSite(t.Context(), w.pool, sso)) // an SSO session is no site session
	if n := w.store.commits.Load() - before; n != 0 {
		t.Errorf("%d commits", n)
	}
	if _, err := w.find(sso); err != nil {
		t.Error(err)
	}
}

// TestSQLite walks once through everything on the embedded store, and again
// after it was closed and opened.
func TestSQLite(t *testing.T) {
	c := &clock{t: time.Now().UTC().Truncate(time.Millisecond)}
	path := filepath.Join(t.TempDir(), "gatehouse.db")
	open := func() store.Store {
		st, err := sqlitestore.Open(t.Context(), path, sqlitestore.Options{Now: c.now})
		must(t, err)
		return st
	}
	w := newWorldOn(t, c, open())
	sso := w.start()
	child := w.visit(sso)
	got, err := w.tokens.RedeemCode(t.Context(), w.pool, w.code(sso, "shop", "openid"))
	must(t, err)
	w.clock.move(time.Hour)
	live, err := w.findSite(child)
	must(t, err)
	must(t, w.svc.Touch(t.Context(), w.pool, live))
	must(t, w.store.Close())

	user, issuer := w.user.Sub, w.pool.ID
	w.store.Store = open()
	t.Cleanup(func() { w.store.Close() })
	live, err = w.findSite(child)
	must(t, err)
	if live.User.Sub != user || w.pool.ID != issuer || !live.Session.Used.Equal(c.now()) {
		t.Errorf("after the restart %+v", live)
	}
	got, err = w.tokens.Refresh(t.Context(), w.pool, token.RefreshOrder{Client: w.pool.Clients["shop"], Token: got.Refresh})
	must(t, err)
	parent, err := w.find(sso)
	must(t, err)
	if len(parent.Session.Families) != 1 || slices.Contains(parent.Session.Families, "") {
		t.Errorf("families %v", parent.Session.Families)
	}
	must(t, w.svc.End(t.Context(), w.pool, sso))
	_, err = w.findSite(child)
	gone(t, err)
	_, err = w.tokens.VerifyAccess(t.Context(), w.pool, got.Access)
	if fault.CodeOf(err) != fault.InvalidToken {
		t.Errorf("after the sign-out: %v", err)
	}
}

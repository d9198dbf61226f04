package token_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

const (
	issuer   = "https://login.example.com"
	orders   = "https://orders.example.com"
	billing  = "https://billing.example.com"
	callback = "https://shop.example.com/callback"
	siteID   = pool.ClientID("site:https://app.example.com")
	siteBack = "https://app.example.com/_auth/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
)

// clock is a clock that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// ring is the signing keys of a test: made once, the same for all pools.
type ring struct {
	mu   sync.Mutex
	keys map[pool.KeyUse][]*jose.Key
}

func (r *ring) Signer(_ context.Context, _ pool.ID, use pool.KeyUse, alg jose.Alg) (*jose.Key, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, k := range r.keys[use] {
		if k.Alg() == alg {
			return k, nil
		}
	}
	return nil, errors.New("no key of this algorithm")
}

func (r *ring) Set(_ context.Context, _ pool.ID, use pool.KeyUse) (*jose.Set, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return jose.NewSet(r.keys[use]...), nil
}

func (r *ring) replace(use pool.KeyUse, keys ...*jose.Key) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys[use] = keys
}

var testKeys = sync.OnceValue(func() []*jose.Key {
	out := make([]*jose.Key, 3)
	for i, alg := range []jose.Alg{jose.ES256, jose.RS256, jose.ES256} {
		k, err := jose.Generate(alg)
		if err != nil {
			panic(err)
		}
		out[i] = k
	}
	return out
})

// world is a pool with a user, clients and resources on real parts.
type world struct {
	t     testing.TB
	clock *clock
	store store.Store
	repo  *repo.Repo
	ring  *ring
	pool  *pool.Pool
	svc   *token.Service
	user  *pool.User
}

func newWorld(t testing.TB) *world {
	c := newClock()
	return newWorldOn(t, c, memstore.New(memstore.Options{Now: c.now}))
}

func newSQLiteWorld(t *testing.T) *world {
	c := newClock()
	st, err := sqlitestore.Open(t.Context(), filepath.Join(t.TempDir(), "gatehouse.db"), sqlitestore.Options{Now: c.now})
	must(t, err)
	return newWorldOn(t, c, st)
}

func newWorldOn(t testing.TB, c *clock, st store.Store) *world {
	t.Helper()
	kek, err := secret.ParseKeys(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	must(t, err)
	keys := testKeys()
	w := &world{
		t: t, clock: c, store: st,
		repo: repo.New(repo.Config{Directory: st, Keys: kek, Now: c.now}),
		ring: &ring{keys: map[pool.KeyUse][]*jose.Key{pool.TokenKeys: keys[:2], pool.AssertionKeys: keys[2:]}},
	}
	t.Cleanup(func() { st.Close() })
	w.svc = token.New(token.Config{Repo: w.repo, Keys: w.ring, Now: c.now})
	w.pool = w.newPool("default", issuer)
	w.user = w.newUser(w.pool, "alice", "alice@example.com")
	return w
}

func (w *world) newPool(name, issuer string) *pool.Pool {
	w.t.Helper()
	id, err := w.repo.EnsurePool(w.t.Context(), name, issuer)
	must(w.t, err)
	oidc := []string{"openid", "profile", "email", "offline_access"}
	all := append(oidc, "orders.read", "orders.write", "billing.read")
	grants := []string{pool.GrantCode, pool.GrantRefresh}
	resources := []string{orders, billing, "https://app.example.com"}
	hide := []pool.ClientSecret{pool.NewClientSecret(secret.Hide("a secret of the client"))}
	clients := map[pool.ClientID]*pool.Client{}
	for _, c := range []*pool.Client{
		{ID: "shop", RedirectURIs: []string{callback}, Grants: grants, Scopes: all, Resources: resources},
		{ID: "two", RedirectURIs: []string{callback, callback + "2"}, Grants: grants, Scopes: all, Resources: resources},
		{ID: "old", RedirectURIs: []string{callback}, Grants: grants, Scopes: all, Resources: resources, Secrets: hide, PKCEOptional: true},
		{ID: "short", RedirectURIs: []string{callback}, Grants: grants[:1], Scopes: all, Resources: resources},
		{ID: "keeper", RedirectURIs: []string{callback}, Grants: grants, Scopes: all, Resources: resources, KeepRefresh: true},
		{ID: "batch", Secrets: hide, Grants: []string{pool.GrantClient}, MachineScopes: []string{"orders.read"}, Resources: resources},
		{ID: siteID, RedirectURIs: []string{siteBack}, Grants: grants[:1], Scopes: []string{"openid"}, Site: true},
	} {
		clients[c.ID] = c
	}
	return &pool.Pool{
		ID: id.ID, Name: name, Issuer: issuer,
		Session: pool.SessionPolicy{Idle: 12 * time.Hour, Absolute: 30 * 24 * time.Hour},
		Token: pool.TokenPolicy{
			Access: 15 * time.Minute, ID: 15 * time.Minute, Refresh: 30 * 24 * time.Hour,
			ReuseGrace: 10 * time.Second, Alg: jose.ES256, IDAlg: jose.RS256,
		},
		Clients: clients,
		Resources: map[string]*pool.Resource{
			orders:                    {ID: orders, Scopes: []string{"orders.read", "orders.write"}},
			billing:                   {ID: billing, Scopes: []string{"billing.read"}, TokenTTL: 5 * time.Minute, Alg: jose.RS256},
			"https://app.example.com": {ID: "https://app.example.com", Site: true},
		},
	}
}

func (w *world) newUser(p *pool.Pool, username, email string) *pool.User {
	w.t.Helper()
	now := w.clock.now()
	u := &pool.User{
		Sub: pool.UserID(secret.UUID()), Username: username, Email: email, EmailVerified: true, Name: "Alice Example",
		Groups: []string{"staff", "admins"}, Status: pool.Confirmed, Created: now, Updated: now,
	}
	must(w.t, w.repo.CreateUser(w.t.Context(), p.ID, u))
	return u
}

// signIn puts an SSO session and returns it with its name.
func (w *world) signIn(p *pool.Pool, u *pool.User) (pool.Session, string) {
	w.t.Helper()
	part := repo.UserPartition(p.ID, u.Sub)
	_, name, ok := repo.ParseHandle(repo.NewHandle(part))
	if !ok {
		w.t.Fatal("a new handle does not parse")
	}
	now := w.clock.now()
	sess := pool.Session{
		Sub: u.Sub, Epoch: u.Epoch, AuthTime: now, ACR: pool.AAL1, AMR: []string{"pwd"}, Created: now, Used: now,
	}
	w.put(p, u, func(tx *repo.Tx) error {
		return repo.Put(tx, repo.SessionKey(p.ID, part, name), sess, p.Session.End(now, now))
	})
	return sess, name
}

func (w *world) put(p *pool.Pool, u *pool.User, fn func(*repo.Tx) error) {
	w.t.Helper()
	_, err := w.repo.Update(w.t.Context(), p.ID, repo.UserPartition(p.ID, u.Sub), fn)
	must(w.t, err)
}

// order is a code order of a client with its first redirect URI.
func (w *world) order(client pool.ClientID, scopes string, change ...func(*token.CodeOrder)) token.CodeOrder {
	w.t.Helper()
	c := w.pool.Clients[client]
	o := token.CodeOrder{
		Client: c, RedirectURI: c.RedirectURIs[0], Challenge: s256(verifier), Nonce: "n-0S6_WzA2Mj", Scopes: strings.Fields(scopes),
	}
	for _, s := range o.Scopes {
		if r := w.pool.ScopeOwner(s); r != nil && (len(o.Resources) == 0 || o.Resources[len(o.Resources)-1] != r.ID) {
			o.Resources = append(o.Resources, r.ID)
		}
	}
	o.Session, o.SessionName = w.signIn(w.pool, w.user)
	for _, f := range change {
		f(&o)
	}
	return o
}

func (w *world) code(o token.CodeOrder) string {
	w.t.Helper()
	code, err := w.svc.IssueCode(w.t.Context(), w.pool, o)
	must(w.t, err)
	return code
}

// present is the redemption that fits an order.
func present(o token.CodeOrder, code string) token.Redemption {
	return token.Redemption{Client: o.Client, Code: code, RedirectURI: o.RedirectURI, Verifier: verifier}
}

// tokens signs in and redeems a code.
func (w *world) tokens(client pool.ClientID, scopes string) *token.Issued {
	w.t.Helper()
	o := w.order(client, scopes)
	out, err := w.svc.RedeemCode(w.t.Context(), w.pool, present(o, w.code(o)))
	must(w.t, err)
	return out
}

func (w *world) refresh(client pool.ClientID, refresh string) (*token.Issued, error) {
	return w.svc.Refresh(w.t.Context(), w.pool, token.RefreshOrder{Client: w.pool.Clients[client], Token: refresh})
}

func (w *world) verify(access string) (*token.Access, error) {
	return w.svc.VerifyAccess(w.t.Context(), w.pool, access)
}

func (w *world) update(change func(*pool.User)) {
	w.t.Helper()
	u, err := w.repo.UpdateUser(w.t.Context(), w.pool.ID, w.user.Sub, func(u *pool.User) error { change(u); return nil })
	must(w.t, err)
	w.user = u
}

func s256(v string) string {
	sum := sha256.Sum256([]byte(v))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// claims reads a JWT's header and payload without verifying it.
func claims(t *testing.T, jwt string) (header, payload map[string]any) {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("%d parts", len(parts))
	}
	for i, v := range []*map[string]any{&header, &payload} {
		raw, err := base64.RawURLEncoding.DecodeString(parts[i])
		must(t, err)
		must(t, json.Unmarshal(raw, v))
	}
	return header, payload
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantCode(t testing.TB, err error, code fault.Code) {
	t.Helper()
	if fault.CodeOf(err) != code || err == nil {
		t.Errorf("got %v, want %s", err, code)
	}
}

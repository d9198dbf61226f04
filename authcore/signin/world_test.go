package signin_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/factor/password"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/signin"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/loginui"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

const (
	origin  = "https://login.example.com"
	right   = "correct horse battery"
	bye     = "https://shop.example.com/bye" // where the shop has people go after signing out
	request = "response_type=code&client_id=shop&redirect_uri=https%3A%2F%2Fshop.example.com%2Fcallback&scope=openid&state=a%20b"
)

var operator = pool.Caller{Kind: pool.Operator, Name: "test"}

// clock is a clock that the test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) move(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

// passwords is the password factor; full makes it as busy as it can be.
type passwords struct {
	*password.Factor
	full atomic.Bool
}

var errFull = fault.Wrap(fault.Busy, secret.ErrBusy, "busy")

func (p *passwords) Check(ctx context.Context, entry *pool.PasswordEntry, word string) (bool, *pool.PasswordEntry, error) {
	if p.full.Load() {
		return false, nil, errFull
	}
	return p.Factor.Check(ctx, entry, word)
}

func (p *passwords) New(ctx context.Context, to *pool.Pool, names []string, word string) (*pool.PasswordEntry, string, error) {
	if p.full.Load() {
		return nil, "", errFull
	}
	return p.Factor.New(ctx, to, names, word)
}

// families are the real ones, and in use when a test says so.
type families struct {
	*token.Service
	inUse atomic.Bool
}

func (f *families) EndFamilies(ctx context.Context, p *pool.Pool, sub pool.UserID, originJTIs []string) error {
	if f.inUse.Load() {
		return fault.New(fault.Conflict, "in use")
	}
	return f.Service.EndFamilies(ctx, p, sub, originJTIs)
}

// world is a login host on real parts.
type world struct {
	t         *testing.T
	clock     *clock
	site      signin.Site
	repo      *repo.Repo
	pool      *pool.Pool
	passwords *passwords
	accounts  *account.Service
	flow      *flow.Machine
	ring      *keyring.Ring
	families  *families
	sessions  *session.Service
	mux       *mux.Mux
	cookies   mux.Cookies
}

func newWorld(t *testing.T) *world { return newWorldAt(t, signin.Site{Origin: origin}) }

func newWorldAt(t *testing.T, site signin.Site) *world {
	t.Helper()
	c := &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
	keys, err := secret.ParseKeys(base64.StdEncoding.EncodeToString(make([]byte, 32)))
	must(t, err)
	st := memstore.New(memstore.Options{Now: c.now})
	t.Cleanup(func() { must(t, st.Close()) })
	w := &world{t: t, clock: c, repo: repo.New(repo.Config{Directory: st, Keys: keys, Now: c.now})}
	id, err := w.repo.EnsurePool(t.Context(), "default", site.Origin+site.Prefix)
	must(t, err)
	w.pool = &pool.Pool{
		ID: id.ID, Name: "default", Issuer: id.Issuer, Brand: "Example",
		Password: pool.PasswordPolicy{MinLength: 8, Breached: true},
		Session:  pool.SessionPolicy{Idle: 12 * time.Hour, Absolute: 30 * 24 * time.Hour},
		Token:    pool.TokenPolicy{Access: 15 * time.Minute, ID: time.Hour, Refresh: 24 * time.Hour, Alg: jose.ES256, IDAlg: jose.ES256},
		Clients: map[pool.ClientID]*pool.Client{
			"shop": {
				ID: "shop", Name: "The Shop", RedirectURIs: []string{"https://shop.example.com/callback"},
				LogoutURIs: []string{bye, bye + "?from=a%20b"}, Grants: []string{pool.GrantCode, pool.GrantRefresh}, Scopes: pool.OIDCScopes(),
			},
			"app":    {ID: "app", RedirectURIs: []string{"com.example.app:/back", "http://[::1]/back"}, Native: true},
			"closed": {ID: "closed", Name: "Closed", RedirectURIs: []string{"https://closed.example.com/"}, Disabled: true},
		},
	}
	site.Pool = w.pool
	w.site = site
	w.cookies = mux.Cookies{Origin: site.Origin, Pool: string(w.pool.ID)}
	w.start()
	return w
}

// start puts a process to work on what is stored, for the first time or again.
func (w *world) start() {
	t, c := w.t, w.clock
	t.Helper()
	hasher := secret.NewHasher(secret.HasherConfig{Memory: 8, Time: 1, Slots: 2, Queue: 1000})
	w.passwords = &passwords{Factor: password.New(password.Config{Hasher: hasher, Now: c.now})}
	w.ring = keyring.New(keyring.Config{Repo: w.repo, Now: c.now})
	tokens := token.New(token.Config{Repo: w.repo, Keys: w.ring, Now: c.now})
	w.accounts = account.New(account.Config{Repo: w.repo, Passwords: w.passwords, Now: c.now})
	w.flow = flow.New(flow.Config{Repo: w.repo, Passwords: w.passwords, Accounts: w.accounts, Now: c.now})
	w.families = &families{Service: tokens}
	w.sessions = session.New(session.Config{Repo: w.repo, Families: w.families, Now: c.now})
	ui, err := loginui.New(loginui.Options{})
	must(t, err)
	w.mux = mux.New(mux.Options{Prefix: w.site.Prefix, ErrorPage: signin.ErrorPage(ui, "Example", w.site.Prefix)})
	signin.New(signin.Config{
		Accounts: w.accounts, Flow: w.flow, Sessions: w.sessions, Hints: tokens, Families: tokens, Renderer: ui, Now: c.now,
	}).Mount(w.mux, w.site)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) user(identifier string) *pool.User {
	w.t.Helper()
	u, err := w.accounts.Create(w.t.Context(), operator, w.pool, account.NewUser{Identifier: identifier, Password: right})
	must(w.t, err)
	return u
}

// browser keeps cookies and says where its requests come from, as browsers do.
type browser struct {
	*world
	jar     map[string]string
	address string
}

func (w *world) browser() *browser {
	return &browser{world: w, jar: map[string]string{}, address: "192.0.2.1"}
}

// copy is a second tab whose requests were sent before the answers to the first.
func (b *browser) copy() *browser {
	out := b.world.browser()
	for k, v := range b.jar {
		out.jar[k] = v
	}
	return out
}

func (b *browser) cookie(kind string) string { return b.jar[b.cookies.Name(kind)] }

// response is what came back, with its page taken apart.
type response struct {
	*http.Response
	t    *testing.T
	body string
}

func (b *browser) get(target string, headers ...string) *response {
	return b.send(httptest.NewRequest(http.MethodGet, origin+target, nil), append([]string{
		"Sec-Fetch-Site", "none", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, headers...)...)
}

func (b *browser) post(target string, form url.Values, headers ...string) *response {
	r := httptest.NewRequest(http.MethodPost, origin+target, strings.NewReader(form.Encode()))
	return b.send(r, append([]string{"Content-Type", "application/x-www-form-urlencoded",
		"Origin", "null", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Mode", "navigate", "Sec-Fetch-Dest", "document"}, headers...)...)
}

func (b *browser) send(r *http.Request, headers ...string) *response {
	b.t.Helper()
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
			continue
		}
		r.Header.Set(headers[i], headers[i+1])
	}
	for name, value := range b.jar {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	b.mux.ServeHTTP(rec, r.WithContext(mux.WithClient(b.t.Context(), mux.Client{Address: b.address, Origin: b.cookies.Origin})))
	res := &response{Response: rec.Result(), t: b.t, body: rec.Body.String()}
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
			continue
		}
		b.jar[c.Name] = c.Value
	}
	if got := res.Header.Get("Cache-Control"); got != "no-store" {
		b.t.Errorf("%s %s: Cache-Control %q", r.Method, r.URL.Path, got)
	}
	if to := res.Header.Get("Location"); to != "" && !strings.HasPrefix(to, b.cookies.Origin+"/") && !strings.HasPrefix(to, bye) {
		b.t.Errorf("%s %s redirects to %q", r.Method, r.URL.Path, to)
	}
	return res
}

var (
	hiddenForm = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	actionForm = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
)

// form returns the target and the hidden values of the page's form.
func (r *response) form() (action string, hidden url.Values) {
	r.t.Helper()
	m := actionForm.FindStringSubmatch(r.body)
	if m == nil {
		r.t.Fatalf("no form in\n%s", r.body)
	}
	hidden = url.Values{}
	for _, h := range hiddenForm.FindAllStringSubmatch(r.body, -1) {
		hidden.Add(unescape(h[1]), unescape(h[2]))
	}
	return unescape(m[1]), hidden
}

func unescape(s string) string {
	return strings.NewReplacer("&amp;", "&", "&#34;", `"`, "&#39;", "'", "&lt;", "<", "&gt;", ">", "&#43;", "+").Replace(s)
}

// masked is the page without what is random, and without what was typed.
func (r *response) masked(typed string) string {
	body := hiddenForm.ReplaceAllString(r.body, "<hidden>")
	if typed != "" {
		body = strings.ReplaceAll(body, ` value="`+typed+`"`, ` value="typed"`)
	}
	return body
}

func (r *response) want(status int, parts ...string) *response {
	r.t.Helper()
	if r.StatusCode != status {
		r.t.Fatalf("%s, want %d\n%s", r.Status, status, r.body)
	}
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			r.t.Fatalf("the page lacks %q:\n%s", p, r.body)
		}
	}
	return r
}

func (r *response) redirects(to string) {
	r.t.Helper()
	if got := r.Header.Get("Location"); r.StatusCode != http.StatusSeeOther && r.StatusCode != http.StatusFound || got != to {
		r.t.Fatalf("%s to %q, want %q\n%s", r.Status, got, to, r.body)
	}
}

// answer fills in the sign-in form of a page.
func (b *browser) answer(from *response, identifier, word string) *response {
	b.t.Helper()
	action, form := from.form()
	form.Set("identifier", identifier)
	form.Set("password", word)
	return b.post(action, form)
}

// add signs somebody in beside those who are signed in already.
func (b *browser) add(identifier string) {
	b.t.Helper()
	b.clock.move(time.Second)
	fresh := strconv.FormatInt(b.clock.now().UnixMilli(), 10)
	b.answer(b.get("/login?gh_fresh="+fresh), identifier, right).redirects(origin + "/login")
}

// signedInAs is a browser in which several people have signed in, the last first.
func (w *world) signedInAs(identifiers ...string) *browser {
	w.t.Helper()
	b := w.browser()
	for _, identifier := range identifiers {
		b.add(identifier)
	}
	return b
}

// signedIn is a browser in which somebody has signed in.
func (w *world) signedIn(identifier string) *browser {
	w.t.Helper()
	b := w.browser()
	b.answer(b.get("/login"), identifier, right).redirects(origin + "/login")
	if b.cookie(mux.CookieSSO) == "" {
		w.t.Fatal("no session")
	}
	return b
}

// live returns whom a session cookie signs in, of several accounts the one in
// use; nobody if it is dead.
func (w *world) live(cookie string) pool.UserID {
	w.t.Helper()
	if all := w.all(cookie); len(all) > 0 {
		return all[0]
	}
	return ""
}

// all returns all whom a session cookie signs in.
func (w *world) all(cookie string) (subs []pool.UserID) {
	w.t.Helper()
	all, err := w.sessions.Accounts(w.t.Context(), w.pool, cookie)
	must(w.t, err)
	for _, live := range all {
		subs = append(subs, live.User.Sub)
	}
	return subs
}

package oauth_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/factor/password"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/signin"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/loginui"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

// host is a login host on real parts, with a user and a moving clock.
type host struct {
	*httptest.Server
	t        *testing.T
	pool     *pool.Pool
	repo     *repo.Repo
	sessions *session.Service
	accounts *account.Service
	user     *pool.User
	cookie   string // SSO sessions of the browser
	hop      string // what it says of hops
	offset   atomic.Int64
	log      lockedBuffer
}

// lockedBuffer is a log that may be read while it is written.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (h *host) now() time.Time          { return time.Now().Add(time.Duration(h.offset.Load())) }
func (h *host) advance(d time.Duration) { h.offset.Add(int64(d)) }

func newHost(t *testing.T) *host {
	t.Helper()
	ctx := t.Context()
	h := &host{t: t, Server: httptest.NewUnstartedServer(nil)}
	issuer := "http://" + h.Listener.Addr().String()
	keys, err := secret.ParseKeys(base64.StdEncoding.EncodeToString(secret.Bytes(32)))
	must(t, err)
	st := memstore.New(memstore.Options{Now: h.now})
	h.repo = repo.New(repo.Config{Directory: st, Keys: keys, Now: h.now})
	identity, err := h.repo.EnsurePool(ctx, "default", issuer)
	must(t, err)
	h.pool = newPool(issuer)
	h.pool.ID = identity.ID
	ring := keyring.New(keyring.Config{Repo: h.repo, Now: h.now})
	must(t, ring.Ensure(ctx, h.pool.ID))
	tokens := token.New(token.Config{Repo: h.repo, Keys: ring, Now: h.now})
	follow(t, tokens, h.pool.ID)
	h.sessions = session.New(session.Config{Repo: h.repo, Families: tokens, Now: h.now})

	ui, err := loginui.New(loginui.Options{})
	must(t, err)
	m := mux.New(mux.Options{Pool: string(h.pool.ID), ErrorPage: signin.ErrorPage(ui, "Example", ""), Logger: slog.New(slog.NewTextHandler(&h.log, nil))})
	passwords := password.New(password.Config{Hasher: secret.NewHasher(secret.HasherConfig{Memory: 8, Time: 1}), Now: h.now})
	h.accounts = account.New(account.Config{Repo: h.repo, Passwords: passwords, Now: h.now})
	signin.New(signin.Config{Accounts: h.accounts, Flow: flow.New(flow.Config{Repo: h.repo, Passwords: passwords, Now: h.now}),
		Sessions: h.sessions, Hints: tokens, Families: tokens, Renderer: ui, Now: h.now}).Mount(m, signin.Site{Pool: h.pool, Origin: issuer})
	jwks := func(ctx context.Context, id pool.ID, use pool.KeyUse) ([]byte, error) {
		set, err := ring.Set(ctx, id, use)
		return set.JWKS(), err
	}
	oauth.New(oauth.Config{Tokens: tokens, Sessions: h.sessions, Users: h.repo, Accounts: h.accounts,
		Renderer: ui, JWKS: jwks, Secret: h.repo.Secret, Now: h.now}).Mount(m, oauth.Site{Pool: h.pool, Origin: issuer})
	h.Config.Handler = m
	h.Start()
	t.Cleanup(func() { h.Close(); must(t, st.Close()) })

	sub := pool.UserID(secret.UUID())
	h.user = &pool.User{Sub: sub, Username: string(sub), Email: "ann@example.com", EmailVerified: true, Name: "Ann",
		Groups: []string{"staff"}, Status: pool.Confirmed, Created: h.now(), Updated: h.now()}
	must(t, h.repo.CreateUser(ctx, h.pool.ID, h.user))
	h.cookie = h.signIn()
	return h
}

// follow runs the revocation feed for as long as the test.
func follow(t *testing.T, tokens *token.Service, id pool.ID) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan struct{})
	var once sync.Once
	go func() {
		defer close(done)
		tokens.Revocations().Follow(ctx, func() []pool.ID { return []pool.ID{id} }, func() { once.Do(func() { close(ready) }) })
	}()
	t.Cleanup(func() { cancel(); <-done })
	<-ready
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (h *host) signIn() string {
	h.t.Helper()
	id, err := h.sessions.Start(h.t.Context(), h.pool, session.Proof{
		Sub: h.user.Sub, Epoch: h.user.Epoch, At: h.now(), ACR: pool.AAL1, AMR: []string{"pwd"},
	})
	must(h.t, err)
	return id
}

// browse opens an address with the SSO cookie and returns where it leads.
func (h *host) browse(address string) *url.URL {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), "GET", address, nil)
	must(h.t, err)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if h.cookie != "" {
		cookies := mux.Cookies{Origin: h.URL, Pool: string(h.pool.ID)}
		r.Header.Set("Cookie", cookies.Name(mux.CookieSSO)+"="+h.cookie)
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	must(h.t, err)
	defer res.Body.Close()
	to, err := res.Location()
	if err != nil {
		b, _ := io.ReadAll(res.Body)
		h.t.Fatalf("%d: %s", res.StatusCode, b)
	}
	return to
}

func (h *host) authorize(change map[string]string) url.Values {
	h.t.Helper()
	to := h.browse(h.URL + "/oauth2/authorize?" + query(change).Encode())
	return to.Query()
}

// code signs the user in to a client and returns the code.
func (h *host) code(change map[string]string) string {
	h.t.Helper()
	q := h.authorize(change)
	if q.Get("code") == "" || q.Get("iss") != h.URL {
		h.t.Fatalf("no code: %v", q)
	}
	return q.Get("code")
}

// answer is a token response or an error.
type answer struct {
	status  int
	Access  string `json:"access_token"`
	Type    string `json:"token_type"`
	Life    int    `json:"expires_in"`
	Scope   string `json:"scope"`
	Refresh string `json:"refresh_token"`
	ID      string `json:"id_token"`
	Error   string `json:"error"`
	members map[string]any
}

// token posts to the token endpoint, as the public client unless told otherwise.
func (h *host) token(pairs ...string) answer {
	h.t.Helper()
	form := url.Values{"client_id": {"spa"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	res, err := http.PostForm(h.URL+"/oauth2/token", form)
	must(h.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(h.t, err)
	a := answer{status: res.StatusCode}
	must(h.t, json.Unmarshal(b, &a))
	must(h.t, json.Unmarshal(b, &a.members))
	if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Pragma") != "no-cache" {
		h.t.Error(res.Header)
	}
	return a
}

func (h *host) redeem(code string, pairs ...string) answer {
	h.t.Helper()
	return h.token(append([]string{"grant_type", "authorization_code", "code", code, "redirect_uri", callback, "code_verifier", verifier}, pairs...)...)
}

func (h *host) refresh(refresh string, pairs ...string) answer {
	h.t.Helper()
	return h.token(append([]string{"grant_type", "refresh_token", "refresh_token", refresh}, pairs...)...)
}

func (h *host) userInfo(access string) (*http.Response, map[string]any) {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), "GET", h.URL+"/oauth2/userInfo", nil)
	must(h.t, err)
	r.Header.Set("Authorization", "Bearer "+access)
	res, err := http.DefaultClient.Do(r)
	must(h.t, err)
	defer res.Body.Close()
	var claims map[string]any
	b, err := io.ReadAll(res.Body)
	must(h.t, err)
	must(h.t, json.Unmarshal(b, &claims))
	return res, claims
}

// claims reads a token without looking at its signature.
func claims(t *testing.T, jwt string) map[string]any {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", jwt)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	must(t, err)
	var out map[string]any
	must(t, json.Unmarshal(b, &out))
	return out
}

// An unmodified OpenID Connect client: discovery, code with PKCE, ID token,
// userinfo, refresh.
func TestGoOIDC(t *testing.T) {
	h := newHost(t)
	ctx := t.Context()
	provider, err := oidc.NewProvider(ctx, h.URL)
	must(t, err)
	for _, client := range []struct{ id, secret string }{{"spa", ""}, {"web", "s3cret:+%/ä"}, {"post", "post-secret"}, {"basic", "basic-secret"}} {
		config := oauth2.Config{ClientID: client.id, ClientSecret: client.secret, Endpoint: provider.Endpoint(), RedirectURL: callback,
			Scopes: []string{oidc.ScopeOpenID, "email", "profile", "offline_access"}}
		v := oauth2.GenerateVerifier()
		to := h.browse(config.AuthCodeURL("the state", oidc.Nonce("the nonce"), oauth2.S256ChallengeOption(v)))
		if q := to.Query(); q.Get("state") != "the state" || q.Get("iss") != h.URL || !strings.HasPrefix(to.String(), callback+"?code=") {
			t.Fatal(to)
		}
		tok, err := config.Exchange(ctx, to.Query().Get("code"), oauth2.VerifierOption(v))
		must(t, err)
		raw, _ := tok.Extra("id_token").(string)
		id, err := provider.Verifier(&oidc.Config{ClientID: client.id}).Verify(ctx, raw)
		must(t, err)
		must(t, id.VerifyAccessToken(tok.AccessToken))
		if id.Nonce != "the nonce" || id.Subject != string(h.user.Sub) || tok.Type() != "Bearer" {
			t.Errorf("%s: %+v", client.id, id)
		}
		info, err := provider.UserInfo(ctx, oauth2.StaticTokenSource(tok))
		must(t, err)
		if info.Subject != id.Subject || info.Email != "ann@example.com" || !info.EmailVerified {
			t.Errorf("%s: %+v", client.id, info)
		}
		old := tok.RefreshToken
		tok.Expiry = time.Now().Add(-time.Minute)
		tok, err = config.TokenSource(ctx, tok).Token()
		must(t, err)
		raw, _ = tok.Extra("id_token").(string)
		renewed, err := provider.Verifier(&oidc.Config{ClientID: client.id}).Verify(ctx, raw)
		must(t, err)
		if renewed.Subject != id.Subject || renewed.Nonce != "" || tok.RefreshToken == old || tok.RefreshToken == "" {
			t.Errorf("%s: %+v", client.id, renewed)
		}
	}
}

// E04: of many that redeem one code, one wins; and then its tokens are dead,
// because a code that is presented twice was stolen.
func TestCodeReplay(t *testing.T) {
	h := newHost(t)
	code := h.code(nil)
	const racers = 16
	answers := make(chan answer, racers)
	for range racers {
		go func() { answers <- h.redeem(code) }()
	}
	var won []answer
	for range racers {
		switch a := <-answers; {
		case a.status == 200:
			won = append(won, a)
		case a.Error != "invalid_grant" || a.status != 400:
			t.Errorf("%+v", a)
		}
	}
	if len(won) != 1 {
		t.Fatalf("%d won", len(won))
	}
	if a := h.refresh(won[0].Refresh); a.Error != "invalid_grant" {
		t.Errorf("the refresh token lives: %+v", a)
	}
	if res, _ := h.userInfo(won[0].Access); res.StatusCode != 401 {
		t.Errorf("the access token lives: %d", res.StatusCode)
	}
}

func TestCodeLivesAMinute(t *testing.T) {
	h := newHost(t)
	code := h.code(nil)
	h.advance(61 * time.Second)
	if a := h.redeem(code); a.Error != "invalid_grant" {
		t.Errorf("%+v", a)
	}
}

// E05, E06: a code is worth something only to whom it was issued, with the
// redirect URI and the verifier of the request; a failed try spends nothing.
func TestCodeIsBound(t *testing.T) {
	h := newHost(t)
	code := h.code(nil)
	long := strings.Repeat("a", 129)
	for _, pairs := range [][]string{
		{"client_id", "oldspa"},
		{"client_id", "post", "client_secret", "post-secret"},
		{"redirect_uri", "https://evil.example/"},
		{"redirect_uri", callback + "/"},
		{"code_verifier", ""},
		{"code_verifier", s256},
		{"code_verifier", verifier[1:]},
		{"code_verifier", verifier + "a"},
		{"code_verifier", long},
		{"code_verifier", verifier[1:] + "!"},
		{"code", code + "A"},
		{"code", "x"},
		{"code", strings.Repeat("x", 4000)},
	} {
		if a := h.redeem(code, pairs...); a.Error != "invalid_grant" || a.status != 400 {
			t.Errorf("%.60v: %+v", pairs, a)
		}
	}
	if a := h.redeem(code); a.status != 200 {
		t.Errorf("%+v", a)
	}

	// A verifier without a challenge: somebody dropped the challenge on the way.
	without := map[string]string{"client_id": "old", "code_challenge": "", "code_challenge_method": ""}
	if a := h.redeem(h.code(without), "client_id", "old", "client_secret", "old-secret"); a.Error != "invalid_grant" {
		t.Errorf("%+v", a)
	}
	if a := h.redeem(h.code(without), "client_id", "old", "client_secret", "old-secret", "code_verifier", ""); a.status != 200 {
		t.Errorf("%+v", a)
	}
	// A challenge once sent needs its verifier, from these clients too.
	if a := h.redeem(h.code(map[string]string{"client_id": "old"}), "client_id", "old", "client_secret", "old-secret", "code_verifier", ""); a.Error != "invalid_grant" {
		t.Errorf("%+v", a)
	}
}

// E11, E12: what is granted is told, a token is for one resource, and nothing widens.
func TestTargets(t *testing.T) {
	h := newHost(t)
	aud := func(a answer) string { return jsonOf(t, claims(t, a.Access)["aud"]) }

	a := h.redeem(h.code(map[string]string{"scope": "orders.read orders.write unknown"}))
	if a.Scope != "orders.read orders.write" || aud(a) != jsonOf(t, orders) || a.ID != "" {
		t.Errorf("%+v %s", a, aud(a))
	}
	if claims(t, a.Access)["client_id"] != "spa" || a.Life != 900 || a.Type != "Bearer" {
		t.Errorf("%+v", a)
	}
	for _, c := range []struct{ name, value, want string }{
		{"scope", "orders.read stock.read", "invalid_scope"},
		{"scope", "openid", "invalid_scope"},
		{"resource", stock, "invalid_target"},
		{"resource", h.URL, "invalid_target"},
		{"resource", orders + "/x", "invalid_target"},
	} {
		if r := h.refresh(a.Refresh, c.name, c.value); r.Error != c.want {
			t.Errorf("%s=%s: %+v", c.name, c.value, r)
		}
	}
	if a = h.refresh(a.Refresh, "scope", "orders.read"); a.Scope != "orders.read" {
		t.Errorf("%+v", a)
	}
	if a = h.refresh(a.Refresh); a.Scope != "orders.read orders.write" {
		t.Errorf("narrowing stuck: %+v", a)
	}

	both := h.URL + "/oauth2/authorize?" + query(map[string]string{"scope": "openid orders.read stock.read"}).Encode() +
		"&resource=" + url.QueryEscape(orders) + "&resource=" + url.QueryEscape(stock)
	a = h.redeem(h.browse(both).Query().Get("code"))
	if a.Scope != "openid orders.read" || aud(a) != jsonOf(t, []string{orders, h.URL}) {
		t.Errorf("%+v %s", a, aud(a))
	}
	if a = h.refresh(a.Refresh, "resource", stock); a.Scope != "openid stock.read" || aud(a) != jsonOf(t, []string{stock, h.URL}) {
		t.Errorf("%+v %s", a, aud(a))
	}
	if a := h.redeem(h.code(map[string]string{"scope": "openid"}), "resource", stock); a.Error != "invalid_target" {
		t.Errorf("widened at redemption: %+v", a)
	}
	if a := h.redeem(h.code(map[string]string{"scope": ""})); a.Scope != "openid" || a.ID == "" {
		t.Errorf("defaults: %+v", a)
	}
}

// E15: a refresh asks again whether the user and the client still stand.
func TestRefreshAfterTheEnd(t *testing.T) {
	h := newHost(t)
	ctx := t.Context()
	a := h.redeem(h.code(nil))
	h.pool.Clients["spa"].Disabled = true
	if r := h.refresh(a.Refresh); r.Error != "invalid_client" || r.status != 401 {
		t.Errorf("%+v", r)
	}
	h.pool.Clients["spa"].Disabled = false
	if r := h.refresh(a.Refresh, "client_id", "oldspa"); r.Error != "invalid_grant" {
		t.Errorf("another client: %+v", r)
	}
	if a = h.refresh(a.Refresh); a.status != 200 {
		t.Fatalf("%+v", a)
	}
	_, err := h.repo.UpdateUser(ctx, h.pool.ID, h.user.Sub, func(u *pool.User) error {
		u.Disabled = true
		u.Epoch++
		return nil
	})
	must(t, err)
	if r := h.refresh(a.Refresh); r.Error != "invalid_grant" {
		t.Errorf("%+v", r)
	}
	if res, _ := h.userInfo(a.Access); res.StatusCode != 401 || !strings.Contains(res.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if to := h.browse(h.URL + "/oauth2/authorize?" + query(nil).Encode()); to.Path != "/login" {
		t.Error(to)
	}
}

// E23: a machine gets an access token of its own and nothing else.
func TestClientCredentials(t *testing.T) {
	h := newHost(t)
	for _, pairs := range [][]string{{"scope", "orders.read"}, {}, {"resource", orders}} {
		a := h.token(append([]string{"grant_type", "client_credentials", "client_id", "batch", "client_secret", "batch-secret"}, pairs...)...)
		if a.status != 200 || a.Scope != "orders.read" || a.Refresh != "" || a.ID != "" {
			t.Fatalf("%v: %+v", pairs, a)
		}
		if slices.Contains([]bool{a.members["refresh_token"] != nil, a.members["id_token"] != nil}, true) {
			t.Error(a.members)
		}
		if c := claims(t, a.Access); c["sub"] != "batch" || c["client_id"] != "batch" || c["aud"] != orders {
			t.Error(c)
		}
		if res, _ := h.userInfo(a.Access); res.StatusCode != 401 && res.StatusCode != 403 {
			t.Error(res.StatusCode)
		}
	}
}

func TestUserInfo(t *testing.T) {
	h := newHost(t)
	keys := func(m map[string]any) string {
		var out []string
		for k := range m {
			out = append(out, k)
		}
		slices.Sort(out)
		return strings.Join(out, " ")
	}
	for scope, want := range map[string]string{
		"openid":                "sub",
		"openid email":          "email email_verified sub",
		"openid profile":        "name sub updated_at",
		"openid phone":          "sub",
		"openid orders.read":    "sub",
		"openid offline_access": "sub",
	} {
		a := h.redeem(h.code(map[string]string{"scope": scope}))
		res, got := h.userInfo(a.Access)
		if res.StatusCode != 200 || keys(got) != want || got["sub"] != claims(t, a.ID)["sub"] || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %v", scope, res.StatusCode, got)
		}
		if v, has := got["email_verified"]; has && v != true {
			t.Errorf("email_verified is %T", v)
		}
	}

	a := h.redeem(h.code(map[string]string{"scope": "openid email"}))
	res, err := http.PostForm(h.URL+"/oauth2/userInfo", url.Values{"access_token": {a.Access}})
	must(t, err)
	res.Body.Close()
	if res.StatusCode != 200 {
		t.Errorf("POST: %d", res.StatusCode)
	}
	for name, wrong := range map[string]string{
		"id token": a.ID, "refresh token": a.Refresh, "garbage": "x", "cut": a.Access[:len(a.Access)-4],
		"other audience": h.redeem(h.code(map[string]string{"scope": "orders.read"})).Access,
	} {
		res, _ := h.userInfo(wrong)
		if res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), `Bearer error="invalid_token"`) {
			t.Errorf("%s: %d %v", name, res.StatusCode, res.Header)
		}
	}
	noOpenID := h.redeem(h.code(map[string]string{"scope": "email"}))
	if res, _ := h.userInfo(noOpenID.Access); res.StatusCode != 403 || res.Header.Get("WWW-Authenticate") != `Bearer error="insufficient_scope", scope="openid"` {
		t.Errorf("without openid: %d %v", res.StatusCode, res.Header)
	}
	h.advance(time.Hour)
	if res, _ := h.userInfo(a.Access); res.StatusCode != 401 {
		t.Errorf("expired: %d", res.StatusCode)
	}
}

// prompt, max_age and id_token_hint really ask again, once.
func TestFreshSignIn(t *testing.T) {
	h := newHost(t)
	a := h.redeem(h.code(map[string]string{"prompt": "none"}))
	h.advance(10 * time.Minute)
	start := func(change map[string]string) *url.URL {
		return h.browse(h.URL + "/oauth2/authorize?" + query(change).Encode())
	}
	for _, c := range []map[string]string{{"max_age": "3600"}, {"prompt": "none", "max_age": "3600"},
		{"id_token_hint": a.ID}, {"prompt": "none", "id_token_hint": a.ID}} {
		if to := start(c); to.Query().Get("code") == "" {
			t.Errorf("%v: %s", c, to)
		}
	}
	for _, c := range []map[string]string{{"prompt": "login"}, {"max_age": "60"}, {"max_age": "0"}} {
		to := start(c)
		fresh, err := strconv.ParseInt(to.Query().Get("gh_fresh"), 10, 64)
		if to.Path != "/login" || err != nil {
			t.Errorf("%v: %s", c, to)
			continue
		}
		again := h.URL + "/oauth2/authorize?" + to.RawQuery
		if to := h.browse(again); to.Path != "/login" || to.Query().Get("gh_fresh") != strconv.FormatInt(fresh, 10) {
			t.Errorf("%v, the old session: %s", c, to)
		}
		before := h.cookie
		h.advance(2 * time.Second)
		h.cookie = h.signIn()
		if to := h.browse(again); to.Query().Get("code") == "" {
			t.Errorf("%v, a new session: %s", c, to)
		}
		h.cookie = before
	}
	if got := h.authorize(map[string]string{"prompt": "none", "max_age": "60"}); got.Get("error") != "login_required" {
		t.Error(got)
	}
	for _, hint := range []string{"x", a.Access, a.ID + "x", h.redeem(h.code(map[string]string{"client_id": "oldspa"}), "client_id", "oldspa").ID} {
		if got := h.authorize(map[string]string{"id_token_hint": hint}); got.Get("error") != "invalid_request" {
			t.Errorf("%.20s: %v", hint, got)
		}
	}
}

// E27: a hint that names somebody else gets nothing of the session.
func TestHintOfAnotherUser(t *testing.T) {
	h := newHost(t)
	ann := h.redeem(h.code(nil)).ID
	sub := pool.UserID(secret.UUID())
	h.user = &pool.User{Sub: sub, Username: string(sub), Email: "bob@example.com", Status: pool.Confirmed, Created: h.now(), Updated: h.now()}
	must(t, h.repo.CreateUser(t.Context(), h.pool.ID, h.user))
	h.cookie = h.signIn()
	if got := h.authorize(map[string]string{"id_token_hint": ann, "prompt": "none"}); got.Get("error") != "login_required" {
		t.Error(got)
	}
	to := h.browse(h.URL + "/oauth2/authorize?" + query(map[string]string{"id_token_hint": ann}).Encode())
	if to.Path != "/login" {
		t.Fatal(to)
	}
	h.advance(2 * time.Second)
	h.cookie = h.signIn() // Bob again: he is told to the client, not asked for ever
	if got := h.browse(h.URL + "/oauth2/authorize?" + to.RawQuery).Query(); got.Get("error") != "login_required" {
		t.Error(got)
	}
}

// A hint that was posted is sealed on the way: addresses are kept in histories
// and logs.
func TestAPostedHintIsSealed(t *testing.T) {
	h := newHost(t)
	hint := h.redeem(h.code(nil)).ID
	for posted, want := range map[string]string{hint: "code", hint + "x": "error"} {
		form := query(map[string]string{"prompt": "none", "id_token_hint": posted})
		to, err := h.surf("POST", h.URL+"/oauth2/authorize", form, "Sec-Fetch-Site", "cross-site").Location()
		must(t, err)
		if strings.Contains(to.RawQuery, posted[:30]) {
			t.Error("the hint stands in an address")
		}
		answer, err := h.surf("GET", to.String(), nil).Location()
		must(t, err)
		if answer.Query().Get(want) == "" {
			t.Errorf("want %s: %s", want, answer)
		}
	}
}

func TestSessionOfAuthorize(t *testing.T) {
	h := newHost(t)
	good := h.cookie
	cookies := mux.Cookies{Origin: h.URL, Pool: string(h.pool.ID)}
	for name, cookie := range map[string]string{
		"none": "", "garbage": "x", "unknown": good[:len(good)-4] + "AAAA", "two": good + "; " + cookies.Name(mux.CookieSSO) + "=" + good,
	} {
		h.cookie = cookie
		if to := h.browse(h.URL + "/oauth2/authorize?" + query(nil).Encode()); to.Path != "/login" {
			t.Errorf("%s: %s", name, to)
		}
	}
	h.cookie = good
	must(t, h.sessions.End(t.Context(), h.pool, good))
	if to := h.browse(h.URL + "/oauth2/authorize?" + query(nil).Encode()); to.Path != "/login" {
		t.Errorf("ended: %s", to)
	}
}

// A gate signs browsers in the same way, but its code buys no tokens.
func TestGateClient(t *testing.T) {
	h := newHost(t)
	gate := map[string]string{"client_id": "site:https://app.example.com", "redirect_uri": "https://app.example.com/_auth/callback"}
	code := h.code(gate)
	if a := h.redeem(code, "client_id", gate["client_id"], "redirect_uri", gate["redirect_uri"]); a.Error != "invalid_client" {
		t.Errorf("%+v", a)
	}
}

func TestKeysArePublished(t *testing.T) {
	h := newHost(t)
	a := h.redeem(h.code(nil))
	sets := map[string]string{}
	for _, path := range []string{"/.well-known/jwks.json", "/.well-known/assertion-jwks.json"} {
		res, err := http.Get(h.URL + path)
		must(t, err)
		b, err := io.ReadAll(res.Body)
		must(t, err)
		res.Body.Close()
		if res.StatusCode != 200 || res.Header.Get("Cache-Control") != "public, max-age=300" || res.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Error(path, res.StatusCode, res.Header)
		}
		for _, private := range []string{`"d"`, `"p"`, `"q"`, `"dp"`, `"k"`} {
			if strings.Contains(string(b), private) {
				t.Fatal("a private key is published")
			}
		}
		sets[path] = string(b)
	}
	for _, jwt := range []string{a.Access, a.ID} {
		head, err := base64.RawURLEncoding.DecodeString(strings.Split(jwt, ".")[0])
		must(t, err)
		var header struct{ Kid, Alg, Typ string }
		must(t, json.Unmarshal(head, &header))
		if !strings.Contains(sets["/.well-known/jwks.json"], header.Kid) || strings.Contains(sets["/.well-known/assertion-jwks.json"], header.Kid) {
			t.Errorf("%+v", header)
		}
	}
}

// L01: what opens something is not in the log; who did what is.
func TestLogHoldsNoSecrets(t *testing.T) {
	h := newHost(t)
	code := h.code(nil)
	a := h.redeem(code)
	b := h.refresh(a.Refresh)
	h.userInfo(b.Access)
	h.redeem(code)
	h.refresh("wrong-refresh-token")
	h.token("client_id", "post", "client_secret", "post-secret", "grant_type", "refresh_token", "refresh_token", a.Refresh)
	h.browse(h.URL + "/oauth2/authorize?" + query(map[string]string{"prompt": "login", "login_hint": "ann@example.com"}).Encode())
	log := h.log.String()
	for _, secret := range []string{code, verifier, a.Access, a.Refresh, a.ID, b.Access, b.Refresh, h.cookie, "post-secret", "wrong-refresh-token", s256, "ann@example.com"} {
		if strings.Contains(log, secret) {
			t.Errorf("%.20s is in the log", secret)
		}
	}
	for _, want := range []string{"client=spa", "user=" + string(h.user.Sub), "grant=authorization_code", "pool=" + string(h.pool.ID), "outcome=invalid_grant"} {
		if !strings.Contains(log, want) {
			t.Errorf("no %s in the log", want)
		}
	}
}

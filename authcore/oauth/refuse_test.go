package oauth_test

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/loginui"
)

const (
	hour     = time.Hour
	origin   = "https://login.example.com"
	orders   = "https://orders.example.com"
	stock    = "https://stock.example.com"
	callback = "https://shop.example.com/callback"
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636 B
	s256     = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
)

func secrets(values ...string) []pool.ClientSecret {
	var out []pool.ClientSecret
	for _, v := range values {
		out = append(out, pool.NewClientSecret(secret.Hide(v)))
	}
	return out
}

// newPool has a client of each kind that the rules tell apart.
func newPool(issuer string) *pool.Pool {
	people := []string{pool.GrantCode, pool.GrantRefresh}
	scopes := []string{"openid", "profile", "email", "phone", "address", "offline_access", "orders.read", "orders.write", "stock.read"}
	p := &pool.Pool{
		ID: "eu-edge-1_AbC123xyz", Name: "default", Issuer: issuer, Brand: "Example",
		Session: pool.SessionPolicy{Idle: 12 * hour, Absolute: 720 * hour},
		Token: pool.TokenPolicy{Access: hour / 4, ID: hour / 4, Refresh: 720 * hour, ReuseGrace: hour / 360,
			Alg: jose.ES256, IDAlg: jose.RS256},
		Resources: map[string]*pool.Resource{
			orders: {ID: orders, Scopes: []string{"orders.read", "orders.write"}},
			stock:  {ID: stock, Scopes: []string{"stock.read"}},
		},
		Groups:  map[string]*pool.Group{},
		Clients: map[pool.ClientID]*pool.Client{},
	}
	for _, c := range []*pool.Client{
		{ID: "spa", AuthMethods: []string{pool.AuthNone}, RedirectURIs: []string{callback}},
		{ID: "web", Secrets: secrets("s3cret:+%/ä", "older"), AuthMethods: []string{pool.AuthBasic, pool.AuthPost},
			RedirectURIs: []string{callback, callback + "?tenant=1"}},
		{ID: "basic", Secrets: secrets("basic-secret"), AuthMethods: []string{pool.AuthBasic}, RedirectURIs: []string{callback}},
		{ID: "post", Secrets: secrets("post-secret"), AuthMethods: []string{pool.AuthPost}, RedirectURIs: []string{callback}},
		{ID: "old", Secrets: secrets("old-secret"), AuthMethods: []string{pool.AuthPost}, PKCEOptional: true, RedirectURIs: []string{callback}},
		{ID: "oldspa", AuthMethods: []string{pool.AuthNone}, PKCEOptional: true, RedirectURIs: []string{callback}},
		{ID: "app", AuthMethods: []string{pool.AuthNone}, Native: true,
			RedirectURIs: []string{"http://127.0.0.1/cb", "http://[::1]/cb", "http://localhost/cb", "com.example.app:/cb"}},
		{ID: "off", Secrets: secrets("off-secret"), AuthMethods: []string{pool.AuthPost}, Disabled: true, RedirectURIs: []string{callback}},
		{ID: "batch", Secrets: secrets("batch-secret"), AuthMethods: []string{pool.AuthPost}, Grants: []string{pool.GrantClient},
			MachineScopes: []string{"orders.read"}, RedirectURIs: []string{callback}},
		{ID: "pubbatch", AuthMethods: []string{pool.AuthNone}, Grants: []string{pool.GrantClient}, MachineScopes: []string{"orders.read"}},
		{ID: "site:https://app.example.com", Site: true, AuthMethods: []string{pool.AuthNone}, RedirectURIs: []string{"https://app.example.com/_auth/callback"}},
	} {
		if c.Grants == nil {
			c.Grants = people
		}
		c.Scopes, c.Resources = scopes, []string{orders, stock}
		c.DefaultScopes = []string{"openid"}
		p.Clients[c.ID] = c
	}
	return p
}

// bare is the login host without anything behind it: refusals need nothing.
func bare(t *testing.T) http.Handler {
	t.Helper()
	return bareOn(t, newPool(origin))
}

// bareOn is bare for a pool that the test has changed.
func bareOn(t testing.TB, p *pool.Pool) http.Handler {
	t.Helper()
	ui, err := loginui.New(loginui.Options{})
	if err != nil {
		t.Fatal(err)
	}
	m := mux.New(mux.Options{})
	oauth.New(oauth.Config{Renderer: ui}).Mount(m, oauth.Site{Pool: p, Origin: origin})
	return m
}

func do(h http.Handler, r *http.Request) *http.Response {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// query changes the parameters of a good authorization request; "" removes one.
func query(change map[string]string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"spa"}, "redirect_uri": {callback}, "scope": {"openid"},
		"state": {"st"}, "nonce": {"no"}, "code_challenge": {s256}, "code_challenge_method": {"S256"},
	}
	for name, value := range change {
		q.Set(name, value)
		if value == "" {
			q.Del(name)
		}
	}
	return q
}

func authorize(rawQuery string) *http.Request {
	return httptest.NewRequest("GET", origin+"/oauth2/authorize?"+rawQuery, nil)
}

// E01, E02: an error about the client or the redirect URI is never redirected.
func TestAuthorizeNeverRedirectsToStrangers(t *testing.T) {
	h := bare(t)
	var queries []string
	add := func(q url.Values) { queries = append(queries, q.Encode()) }
	for _, c := range []string{"", "unknown", "SPA", "spa ", "off", "site:https://evil.example"} {
		add(query(map[string]string{"client_id": c}))
	}
	add(query(map[string]string{"redirect_uri": ""}))
	add(query(map[string]string{"redirect_uri": "", "scope": "", "client_id": "web"}))
	for _, uri := range []string{
		"https://evil.example/", "https://evil.example/callback", "https://shop.example.com@evil.example/callback",
		"https://shop.example.com.evil.example/callback", "https://shop.example.com/callback/", "https://shop.example.com/callback#f",
		"https://shop.example.com/callback?x=1", "https://shop.example.com/callback?", "https://shop.example.com/Callback",
		"https://SHOP.example.com/callback", "https://shop.example.com:443/callback", "https://shop.example.com:8443/callback",
		"http://shop.example.com/callback", "https://shop.example.com/../callback", "https://shop.example.com/x/../callback",
		"https://shop.example.com/%63allback", "https://shop.example.com//callback", "https:/shop.example.com/callback",
		"//shop.example.com/callback", "/callback", "callback", "https://shop.example.com/callback%00", "https://shop.example.com/callback\n",
		" https://shop.example.com/callback", "https://*.example.com/callback", "https://shop.example.com/*", "https://shop.exаmple.com/callback",
		"https://shop.example.com\\@evil.example/callback", "javascript:alert(1)", "data:text/html,x", "https://shop.example.com./callback",
		"https://shop.example.com/callback;x", "https://shop.example.com/callback/../../x", "https://user@shop.example.com/callback",
		"http://127.0.0.1/callback", "http://localhost:1234/callback",
	} {
		add(query(map[string]string{"redirect_uri": uri}))
	}
	for _, uri := range []string{
		"http://127.0.0.1:80@evil.example/cb", "http://127.0.0.1.evil.example/cb", "http://127.0.0.2:1/cb", "https://127.0.0.1:1/cb",
		"http://127.0.0.1:1/cb/", "http://127.0.0.1:1/cb?x", "http://127.0.0.1:0/cb", "http://127.0.0.1:99999/cb", "http://[::2]:1/cb",
		"http://localhost.evil.example:1/cb", "http://LOCALHOST:1/cb", "http://127.1:1/cb", "com.example.app:/cb2", "com.example.app://cb",
	} {
		add(query(map[string]string{"redirect_uri": uri, "client_id": "app"}))
	}
	queries = append(queries,
		query(nil).Encode()+"&client_id=spa", query(nil).Encode()+"&redirect_uri="+url.QueryEscape(callback),
		query(nil).Encode()+"&x=%zz", "%", "")
	for _, q := range queries {
		res := do(h, authorize(q))
		if res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d %s", q, res.StatusCode, res.Header.Get("Location"))
		}
	}
}

// E03, E06, E07, E08, E11, E12, E13, E20: every other error goes to the client, with state and iss.
func TestAuthorizeErrorsGoToTheClient(t *testing.T) {
	h := bare(t)
	good := query(nil).Encode()
	for _, c := range []struct {
		change map[string]string
		extra  string
		want   string
	}{
		{map[string]string{"response_type": ""}, "", "invalid_request"},
		{map[string]string{"response_type": "token"}, "", "unsupported_response_type"},
		{map[string]string{"response_type": "id_token"}, "", "unsupported_response_type"},
		{map[string]string{"response_type": "code id_token"}, "", "unsupported_response_type"},
		{map[string]string{"response_type": "Code"}, "", "unsupported_response_type"},
		{map[string]string{"response_mode": "fragment"}, "", "invalid_request"},
		{map[string]string{"response_mode": "query form_post"}, "", "invalid_request"},
		{map[string]string{"claims": "{"}, "", "invalid_request"},
		{map[string]string{"claims": "[]"}, "", "invalid_request"},
		{map[string]string{"claims": "null"}, "", "invalid_request"},
		{map[string]string{"claims": `{"userinfo":[]}`}, "", "invalid_request"},
		{map[string]string{"claims": `{"userinfo":{"email":"yes"}}`}, "", "invalid_request"},
		{map[string]string{"claims": `{"userinfo":{"email":{"essential":"yes"}}}`}, "", "invalid_request"},
		{map[string]string{"claims": `"userinfo"`}, "", "invalid_request"},
		{map[string]string{"claims": `{"userinfo":{}} ` + "{}"}, "", "invalid_request"},
		{map[string]string{"claims": `{"x":"` + strings.Repeat("x", 4096) + `"}`}, "", "invalid_request"},
		{map[string]string{"claims": `{"id_token":{"sub":{"value":1}}}`}, "", "invalid_request"},
		{map[string]string{"claims": `{"id_token":{"sub":{"value":"a"}},"userinfo":{"sub":{"value":"b"}}}`}, "", "invalid_request"},
		{map[string]string{"claims": `{"id_token":{"acr":{"essential":true,"value":"phr"}}}`}, "", "unmet_authentication_requirements"},
		{map[string]string{"claims": `{"id_token":{"acr":{"essential":true,"values":["phr","aal2",7,{}]}}}`}, "", "unmet_authentication_requirements"},
		{map[string]string{"claims": `{"userinfo":{"acr":{"essential":true,"value":"urn:other"}}}`}, "", "unmet_authentication_requirements"},
		{map[string]string{"response_mode": "web_message"}, "", "invalid_request"},
		{map[string]string{"client_id": "batch"}, "", "unauthorized_client"},
		{map[string]string{"code_challenge": ""}, "", "invalid_request"},
		{map[string]string{"code_challenge": "", "code_challenge_method": ""}, "", "invalid_request"},
		{map[string]string{"code_challenge": "", "code_challenge_method": "", "client_id": "web"}, "", "invalid_request"},
		{map[string]string{"code_challenge": "", "code_challenge_method": "", "client_id": "oldspa"}, "", "invalid_request"},
		{map[string]string{"code_challenge": "", "client_id": "old"}, "", "invalid_request"},
		{map[string]string{"code_challenge_method": "", "client_id": "old"}, "", "invalid_request"},
		{map[string]string{"code_challenge_method": ""}, "", "invalid_request"},
		{map[string]string{"code_challenge_method": "plain"}, "", "invalid_request"},
		{map[string]string{"code_challenge_method": "s256"}, "", "invalid_request"},
		{map[string]string{"code_challenge": s256[1:]}, "", "invalid_request"},
		{map[string]string{"code_challenge": s256 + "A"}, "", "invalid_request"},
		{map[string]string{"code_challenge": s256[1:] + "="}, "", "invalid_request"},
		{map[string]string{"code_challenge": s256[1:] + "+"}, "", "invalid_request"},
		{map[string]string{"code_challenge": s256[1:] + "\n"}, "", "invalid_request"},
		{map[string]string{"request": "eyJhbGciOiJub25lIn0.e30."}, "", "request_not_supported"},
		{map[string]string{"request_uri": "https://169.254.169.254/"}, "", "request_uri_not_supported"},
		{map[string]string{"registration": "{}"}, "", "registration_not_supported"},
		{map[string]string{"prompt": "none"}, "", "login_required"},
		{map[string]string{"prompt": "none login"}, "", "invalid_request"},
		{map[string]string{"prompt": "create"}, "", "invalid_request"},
		{map[string]string{"max_age": "-1"}, "", "invalid_request"},
		{map[string]string{"max_age": "1e3"}, "", "invalid_request"},
		{map[string]string{"max_age": "99999999999"}, "", "invalid_request"},
		{map[string]string{"gh_fresh": "x"}, "", "invalid_request"},
		{map[string]string{"nonce": strings.Repeat("n", 513)}, "", "invalid_request"},
		{map[string]string{"scope": "nobodys"}, "", "invalid_scope"},
		{map[string]string{"scope": "openid\torders.read"}, "", "invalid_scope"},
		{map[string]string{"scope": strings.Repeat("openid ", 500) + "openid"}, "", "invalid_scope"},
		{map[string]string{"scope": "orders.read stock.read"}, "", "invalid_target"},
		{map[string]string{"resource": "https://unknown.example.com"}, "", "invalid_target"},
		{map[string]string{"resource": "orders"}, "", "invalid_target"},
		{map[string]string{"resource": orders + "#f"}, "", "invalid_target"},
		{map[string]string{"resource": orders + ".evil.example"}, "", "invalid_target"},
		{nil, "&resource=" + url.QueryEscape(orders) + "&resource=https%3A%2F%2Fevil.example", "invalid_target"},
		{nil, "&scope=openid", "invalid_request"},
		{nil, "&nonce=no", "invalid_request"},
		{nil, "&code_challenge=" + s256, "invalid_request"},
		{nil, "&response_type=code", "invalid_request"},
		{nil, "&unknown=1&unknown=2", "invalid_request"},
	} {
		res := do(h, authorize(query(c.change).Encode()+c.extra))
		got, err := url.Parse(res.Header.Get("Location"))
		if err != nil || res.StatusCode != 302 || !strings.HasPrefix(got.String(), callback+"?") {
			t.Errorf("%v %s: %d %s", c.change, c.extra, res.StatusCode, got)
			continue
		}
		q := got.Query()
		if q.Get("error") != c.want || q.Get("error_description") == "" || q.Get("state") != "st" || q.Get("iss") != origin || q.Has("code") {
			t.Errorf("%v %s: %s", c.change, c.extra, got)
		}
		if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("Referrer-Policy") != "no-referrer" {
			t.Errorf("%v: %v", c.change, res.Header)
		}
	}

	// A repeated state is nobody's to choose from, and one that is too long is not sent back.
	for _, raw := range []string{good + "&state=other", query(map[string]string{"state": strings.Repeat("s", 1025)}).Encode()} {
		got, _ := url.Parse(do(h, authorize(raw)).Header.Get("Location"))
		if got.Query().Get("error") != "invalid_request" || got.Query().Has("state") {
			t.Error(got)
		}
	}
}

// E13: state comes back untouched, encoded, behind the registered query.
func TestAuthorizeState(t *testing.T) {
	h := bare(t)
	for _, state := range []string{`"><script>alert(1)</script>`, "a b+c&d=e#f%00ü", strings.Repeat("s", 1024), "x\r\nSet-Cookie: a=b"} {
		res := do(h, authorize(query(map[string]string{
			"prompt": "none", "client_id": "web", "redirect_uri": callback + "?tenant=1", "state": state,
		}).Encode()))
		location := res.Header.Get("Location")
		got, err := url.Parse(location)
		if err != nil || !strings.HasPrefix(location, callback+"?tenant=1&error=login_required&") {
			t.Errorf("%s", location)
			continue
		}
		if got.Query().Get("state") != state || strings.ContainsAny(location, "<>\"\r\n #") {
			t.Errorf("%s", location)
		}
	}
}

func TestAuthorizeWithoutSessionLeadsToLogin(t *testing.T) {
	h := bare(t)
	for _, c := range []map[string]string{
		nil,
		{"scope": ""}, {"nonce": "", "state": ""}, {"response_mode": "query"}, {"unknown": "1"}, {"prompt": "consent"},
		{"response_mode": "form_post"}, {"display": "popup"}, {"display": "nonsense"}, {"ui_locales": "de tlh x!"}, {"claims_locales": "de"},
		{"acr_values": "phr urn:other"}, {"login_hint": "ann@example.com"}, {"login_hint": "\"><script>"},
		{"claims": `{}`}, {"claims": `{"userinfo":null,"other":7}`}, {"claims": `{"id_token":{"acr":{"values":["phr"]},"nobodys":{"value":{}}}}`},
		{"claims": `{"id_token":{"acr":{"essential":true}}}`}, {"claims": `{"id_token":{"acr":{"essential":true,"values":["phr","aal1"]}}}`},
		{"redirect_uri": "", "scope": ""},
		{"client_id": "old", "code_challenge": "", "code_challenge_method": ""},
		{"client_id": "app", "redirect_uri": "http://127.0.0.1:5123/cb"},
		{"client_id": "app", "redirect_uri": "http://[::1]:5123/cb"},
		{"client_id": "app", "redirect_uri": "http://localhost:5123/cb"},
		{"client_id": "app", "redirect_uri": "com.example.app:/cb"},
		{"client_id": "site:https://app.example.com", "redirect_uri": "https://app.example.com/_auth/callback"},
		{"resource": orders, "scope": "openid orders.read stock.read unknown"},
		{"state": strings.Repeat("s", 1024), "nonce": strings.Repeat("n", 512)},
	} {
		raw := query(c).Encode()
		res := do(h, authorize(raw))
		// Where a hint says who is meant, whoever signs in for it is marked.
		to, _, marked := strings.Cut(res.Header.Get("Location"), "&gh_fresh=")
		if res.StatusCode != 302 || to != origin+"/login?"+raw || marked != (c["login_hint"] != "") {
			t.Errorf("%v: %d %s", c, res.StatusCode, res.Header.Get("Location"))
		}
	}
}

func TestOnlyNavigationsReachAuthorize(t *testing.T) {
	h := bare(t)
	for mode, want := range map[string]int{"navigate": 302, "": 302, "cors": 403, "no-cors": 403, "same-origin": 403, "websocket": 403} {
		r := authorize(query(nil).Encode())
		if mode != "" {
			r.Header.Set("Sec-Fetch-Mode", mode)
		}
		if res := do(h, r); res.StatusCode != want || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q: %d", mode, res.StatusCode)
		}
	}
	r := authorize(query(nil).Encode())
	r.Method = "HEAD"
	if res := do(h, r); res.StatusCode != 403 {
		t.Error(res.StatusCode)
	}
}

// A posted request, from whatever site, becomes a GET of the same parameters.
func TestPostedAuthorizationIsCarriedOver(t *testing.T) {
	h := bare(t)
	post := func(target, body string) *http.Response {
		r := httptest.NewRequest("POST", origin+"/oauth2/authorize"+target, strings.NewReader(body))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		r.Header.Set("Origin", "https://shop.example.com")
		return do(h, r)
	}
	res := post("", query(nil).Encode())
	if res.StatusCode != 303 || res.Header.Get("Location") != origin+"/oauth2/authorize?"+query(nil).Encode() {
		t.Error(res.StatusCode, res.Header)
	}
	res = post("?state=a", "state=b&client_id=spa")
	if got, _ := url.Parse(res.Header.Get("Location")); len(got.Query()["state"]) != 2 {
		t.Error(got)
	}
	if res := post("", "state="+strings.Repeat("x", 9000)); res.StatusCode != 400 || res.Header.Get("Location") != "" {
		t.Error(res.StatusCode)
	}
	if res := post("", "a=%zz"); res.StatusCode != 400 {
		t.Error(res.StatusCode)
	}
}

func tokenRequest(form url.Values, header ...string) *http.Request {
	r := httptest.NewRequest("POST", origin+"/oauth2/token", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

type oauthError struct {
	Error       string `json:"error"`
	Description string `json:"error_description"`
}

func errorOf(t *testing.T, res *http.Response) oauthError {
	t.Helper()
	var e oauthError
	b, _ := io.ReadAll(res.Body)
	if err := json.Unmarshal(b, &e); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
		t.Error(res.Header)
	}
	return e
}

func basic(id, secret string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(id+":"+secret))
}

// E17: one method per request, the registered one, and no oracle. A request
// that gets past authentication says that refresh_token is missing.
func TestClientAuthentication(t *testing.T) {
	h := bare(t)
	past := oauthError{"invalid_request", "refresh_token is missing."}
	refused := oauthError{"invalid_client", "The client could not be authenticated."}
	form := func(pairs ...string) url.Values {
		v := url.Values{"grant_type": {"refresh_token"}}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v
	}
	escaped := url.QueryEscape("s3cret:+%/ä")
	for _, c := range []struct {
		name   string
		form   url.Values
		header []string
		want   oauthError
	}{
		{"none", form("client_id", "spa"), nil, past},
		{"none, empty secret", form("client_id", "spa", "client_secret", ""), nil, past},
		{"post", form("client_id", "post", "client_secret", "post-secret"), nil, past},
		{"post, special characters", form("client_id", "web", "client_secret", "s3cret:+%/ä"), nil, past},
		{"post, second secret", form("client_id", "web", "client_secret", "older"), nil, past},
		{"basic", form(), []string{"Authorization", basic("basic", "basic-secret")}, past},
		{"basic, encoded", form(), []string{"Authorization", basic("web", escaped)}, past},
		{"basic, encoded id", form(), []string{"Authorization", basic("%77eb", "older")}, past},
		{"basic, scheme in capitals", form(), []string{"Authorization", strings.Replace(basic("web", "older"), "Basic", "BASIC", 1)}, past},
		{"basic and the same client_id", form("client_id", "web"), []string{"Authorization", basic("web", "older")}, past},

		{"nobody", form(), nil, refused},
		{"unknown", form("client_id", "nobody"), nil, refused},
		{"unknown, secret", form("client_id", "nobody", "client_secret", "x"), nil, refused},
		{"wrong secret", form("client_id", "post", "client_secret", "x"), nil, refused},
		{"secret of another", form("client_id", "post", "client_secret", "basic-secret"), nil, refused},
		{"prefix of the secret", form("client_id", "post", "client_secret", "post-secre"), nil, refused},
		{"confidential without secret", form("client_id", "post"), nil, refused},
		{"confidential with empty secret", form("client_id", "post", "client_secret", ""), nil, refused},
		{"public with secret", form("client_id", "spa", "client_secret", "x"), nil, refused},
		{"public with basic", form(), []string{"Authorization", basic("spa", "x")}, refused},
		{"public with basic, empty secret", form(), []string{"Authorization", basic("spa", "")}, refused},
		{"basic is not registered", form(), []string{"Authorization", basic("post", "post-secret")}, refused},
		{"post is not registered", form("client_id", "basic", "client_secret", "basic-secret"), nil, refused},
		{"disabled", form("client_id", "off", "client_secret", "off-secret"), nil, refused},
		{"gate", form("client_id", "site:https://app.example.com"), nil, refused},
		{"basic, not encoded", form(), []string{"Authorization", basic("web", "s3cret:+%/ä")}, refused},
		{"basic, damaged", form(), []string{"Authorization", "Basic !!"}, refused},
		{"basic, no colon", form(), []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte("web"))}, refused},
		{"basic, bare", form("client_id", "spa"), []string{"Authorization", "Basic"}, refused},
		{"other scheme", form("client_id", "spa"), []string{"Authorization", "Bearer x"}, refused},
		{"assertion", form("client_id", "spa", "client_assertion", "x"), nil, refused},

		{"basic and post", form("client_id", "web", "client_secret", "older"), []string{"Authorization", basic("web", "older")},
			oauthError{"invalid_request", "A request may use one method of client authentication."}},
		{"post and assertion", form("client_id", "post", "client_secret", "post-secret", "client_assertion_type", "x"), nil,
			oauthError{"invalid_request", "A request may use one method of client authentication."}},
		{"two headers", form(), []string{"Authorization", basic("web", "older"), "Authorization", basic("web", "older")},
			oauthError{"invalid_request", "A request may use one method of client authentication."}},
		{"basic and another client_id", form("client_id", "spa"), []string{"Authorization", basic("web", "older")},
			oauthError{"invalid_request", "The request names two clients."}},
		{"client_id twice", form("client_id", "spa", "client_id", "spa"), nil, oauthError{"invalid_request", "A parameter is repeated: client_id"}},
	} {
		res := do(h, tokenRequest(c.form, c.header...))
		if got := errorOf(t, res); got != c.want {
			t.Errorf("%s: %+v", c.name, got)
		}
		wantStatus, tried := 400, c.want == refused && len(c.header) > 0 && strings.HasPrefix(strings.ToUpper(c.header[1]), "BASIC")
		if c.want == refused {
			wantStatus = 401
		}
		if res.StatusCode != wantStatus || strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Basic ") != tried {
			t.Errorf("%s: %d %q", c.name, res.StatusCode, res.Header.Get("WWW-Authenticate"))
		}
	}
}

// E03, E17, E21, E23: what the token endpoint refuses before anything is spent.
func TestTokenRefusals(t *testing.T) {
	h := bare(t)
	spa := func(pairs ...string) url.Values {
		v := url.Values{"client_id": {"spa"}}
		for i := 0; i < len(pairs); i += 2 {
			v.Add(pairs[i], pairs[i+1])
		}
		return v
	}
	with := func(target string, r *http.Request) *http.Request {
		r.URL.RawQuery = target
		r.RequestURI = r.URL.RequestURI()
		return r
	}
	typed := func(media string, r *http.Request) *http.Request {
		r.Header.Set("Content-Type", media)
		return r
	}
	for _, c := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"no grant type", tokenRequest(spa()), "invalid_request"},
		{"password", tokenRequest(spa("grant_type", "password", "username", "a", "password", "b")), "unsupported_grant_type"},
		{"implicit", tokenRequest(spa("grant_type", "implicit")), "unsupported_grant_type"},
		{"device", tokenRequest(spa("grant_type", "urn:ietf:params:oauth:grant-type:device_code")), "unsupported_grant_type"},
		{"exchange", tokenRequest(spa("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")), "unsupported_grant_type"},
		{"not granted", tokenRequest(spa("grant_type", "client_credentials")), "unauthorized_client"},
		{"no code", tokenRequest(spa("grant_type", "authorization_code")), "invalid_request"},
		{"two resources", tokenRequest(spa("grant_type", "authorization_code", "code", "x", "resource", orders, "resource", stock)), "invalid_target"},
		{"bad scope", tokenRequest(spa("grant_type", "refresh_token", "refresh_token", "x", "scope", "a\"b")), "invalid_scope"},
		{"grant type twice", tokenRequest(spa("grant_type", "refresh_token", "grant_type", "refresh_token")), "invalid_request"},
		{"secret in the query", with("client_secret=x", tokenRequest(spa("grant_type", "refresh_token"))), "invalid_request"},
		{"all in the query", with(spa("grant_type", "refresh_token", "refresh_token", "x").Encode(), tokenRequest(nil)), "invalid_request"},
		{"json", typed("application/json", tokenRequest(spa("grant_type", "refresh_token"))), "invalid_request"},
		{"public machine", tokenRequest(url.Values{"client_id": {"pubbatch"}, "grant_type": {"client_credentials"}}), "unauthorized_client"},
		{"machine, openid", tokenRequest(machine("openid")), "invalid_scope"},
		{"machine, scope of people", tokenRequest(machine("orders.write")), "invalid_scope"},
		{"machine, unknown resource", tokenRequest(machine("orders.read", "https://evil.example")), "invalid_target"},
	} {
		res := do(h, c.r)
		if got := errorOf(t, res); got.Error != c.want || res.StatusCode != 400 {
			t.Errorf("%s: %d %+v", c.name, res.StatusCode, got)
		}
	}
	r := httptest.NewRequest("GET", origin+"/oauth2/token?grant_type=refresh_token", nil)
	if res := do(h, r); res.StatusCode != 405 || res.Header.Get("Allow") != "POST, OPTIONS" {
		t.Error(res.StatusCode, res.Header)
	}
}

func machine(scope string, resources ...string) url.Values {
	return url.Values{"client_id": {"batch"}, "client_secret": {"batch-secret"}, "grant_type": {"client_credentials"}, "scope": {scope}, "resource": resources}
}

func TestUserInfoWithoutToken(t *testing.T) {
	h := bare(t)
	get := func(header ...string) *http.Response {
		r := httptest.NewRequest("GET", origin+"/oauth2/userInfo?access_token=x", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Add(header[i], header[i+1])
		}
		return do(h, r)
	}
	for _, header := range [][]string{nil, {"Authorization", "Basic eDp5"}, {"Authorization", "Bearer"}, {"Authorization", "Bearer "}} {
		if res := get(header...); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "Bearer" {
			t.Errorf("%v: %d %v", header, res.StatusCode, res.Header)
		}
	}
	if res := get("Authorization", "Bearer a", "Authorization", "Bearer b"); res.StatusCode != 400 || errorOf(t, res).Error != "invalid_request" {
		t.Error(res.StatusCode)
	}
	r := httptest.NewRequest("POST", origin+"/oauth2/userInfo", strings.NewReader("access_token=a"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "Bearer a")
	if res := do(h, r); res.StatusCode != 400 {
		t.Error(res.StatusCode)
	}
}

func TestMetadata(t *testing.T) {
	for _, site := range []struct {
		issuer, origin, prefix string
		paths, absent          []string
	}{
		{origin, origin, "", []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}, nil},
		{origin + "/_auth", origin, "/_auth", []string{
			"/_auth/.well-known/openid-configuration", "/_auth/.well-known/oauth-authorization-server",
			"/.well-known/openid-configuration/_auth", "/.well-known/oauth-authorization-server/_auth",
		}, []string{"/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"}},
	} {
		m := mux.New(mux.Options{Prefix: site.prefix})
		p := newPool(site.issuer)
		p.Clients["post"].IDAlg = jose.ES256
		oauth.New(oauth.Config{Locales: []string{"de", "en"}}).Mount(m, oauth.Site{Pool: p, Origin: site.origin, Prefix: site.prefix})
		for _, path := range site.absent {
			if m.Matches(path) {
				t.Errorf("%s is served", path)
			}
		}
		for _, path := range site.paths {
			r := httptest.NewRequest("GET", origin+path, nil)
			r.Header.Set("X-Forwarded-Host", "evil.example") // C02
			r.Header.Set("X-Forwarded-Proto", "http")
			res := do(m, r)
			var got map[string]any
			b, _ := io.ReadAll(res.Body)
			if err := json.Unmarshal(b, &got); err != nil || res.StatusCode != 200 {
				t.Fatalf("%s: %d %s", path, res.StatusCode, b)
			}
			base := site.origin + site.prefix
			for name, want := range map[string]any{
				"issuer": site.issuer, "authorization_endpoint": base + "/oauth2/authorize", "token_endpoint": base + "/oauth2/token",
				"userinfo_endpoint": base + "/oauth2/userInfo", "jwks_uri": base + "/.well-known/jwks.json",
				"authorization_response_iss_parameter_supported": true,
				"request_parameter_supported":                    false, "request_uri_parameter_supported": false, "claims_parameter_supported": true,
				"revocation_endpoint": base + "/oauth2/revoke", "introspection_endpoint": base + "/oauth2/introspect",
				"end_session_endpoint": base + "/logout",
			} {
				if got[name] != want {
					t.Errorf("%s: %s is %v", path, name, got[name])
				}
			}
			for name, want := range map[string]string{
				"response_types_supported": "[code]", "response_modes_supported": "[query form_post]", "code_challenge_methods_supported": "[S256]",
				"subject_types_supported": "[public]", "id_token_signing_alg_values_supported": "[ES256 RS256]",
				"grant_types_supported":                         "[authorization_code refresh_token client_credentials]",
				"token_endpoint_auth_methods_supported":         "[client_secret_basic client_secret_post none]",
				"scopes_supported":                              "[openid profile email phone address offline_access orders.read orders.write stock.read]",
				"revocation_endpoint_auth_methods_supported":    "[client_secret_basic client_secret_post none]",
				"introspection_endpoint_auth_methods_supported": "[client_secret_basic client_secret_post]",
				"introspection_signing_alg_values_supported":    "[ES256 RS256]",
				"prompt_values_supported":                       "[none login consent select_account]",
				"acr_values_supported":                          "[aal1]",
				"ui_locales_supported":                          "[de en]",
				"claims_supported": "[iss sub aud exp iat auth_time nonce acr amr at_hash sid cognito:username cognito:groups " +
					"name preferred_username updated_at email email_verified phone_number phone_number_verified " +
					"given_name family_name middle_name nickname profile picture website gender birthdate zoneinfo locale address]",
			} {
				if text := strings.ReplaceAll(strings.Trim(jsonOf(t, got[name]), `"`), `"`, ""); strings.ReplaceAll(text, ",", " ") != want {
					t.Errorf("%s: %s is %s", path, name, text)
				}
			}
			if strings.Contains(string(b), "evil") {
				t.Error("a forwarded header is believed")
			}
			if res.Header.Get("Cache-Control") != "public, max-age=300" || res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Content-Type") != "application/json" {
				t.Error(res.Header)
			}
			for name := range maps.Keys(got) {
				if slices.Contains([]string{"registration_endpoint", "device_authorization_endpoint",
					"pushed_authorization_request_endpoint", "backchannel_logout_supported"}, name) {
					t.Errorf("%s is off", name)
				}
			}
		}
	}
}

func jsonOf(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func FuzzAuthorize(f *testing.F) {
	f.Add(query(nil).Encode())
	f.Add(query(map[string]string{"redirect_uri": "https://evil.example/"}).Encode())
	f.Add("client_id=spa&redirect_uri=%zz&state=%00")
	f.Add(query(map[string]string{"response_mode": "form_post", "prompt": "none", "claims": `{"id_token":{"sub":{"value":"x"}}}`}).Encode())
	p := newPool(origin)
	m := bareOn(f, p)
	f.Fuzz(func(t *testing.T, raw string) {
		r := authorize("")
		r.URL.RawQuery = raw
		r = r.WithContext(mux.WithClient(r.Context(), mux.Client{Origin: origin, OrigURI: r.URL.RequestURI()}))
		res := do(m, r)
		location := res.Header.Get("Location")
		if res.StatusCode == 200 { // a form instead of a redirect
			b, _ := io.ReadAll(res.Body)
			location = formOf(string(b)).action + "?"
			res.StatusCode = 302
		}
		if res.StatusCode >= 500 || res.StatusCode == 302 != (location != "") {
			t.Fatal(res.StatusCode, location)
		}
		if location == "" || strings.HasPrefix(location, origin+"/login?") {
			return
		}
		for _, c := range p.Clients {
			for _, uri := range c.RedirectURIs {
				if strings.HasPrefix(location, uri+"?") || strings.HasPrefix(location, uri+"&") {
					return
				}
			}
		}
		if u, err := url.Parse(location); err == nil && slices.Contains([]string{"127.0.0.1", "::1", "localhost"}, u.Hostname()) {
			return
		}
		t.Fatalf("%q leads to %q", raw, location)
	})
}

package guard

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

func TestPublicPathsHoldUnderEveryReading(t *testing.T) {
	rule := Rule{Mode: Require, Public: []string{"/healthz", "/static/*"}}
	for path, want := range map[string]bool{
		"/healthz":                  true,
		"/static/app.css":           true,
		"/static/":                  true,
		"/static/a%20b":             false, // a space could be read in many ways
		"/static":                   false,
		"/healthz/":                 false,
		"/healthz/x":                false,
		"/HEALTHZ":                  false,
		"/static/../admin":          false,
		"/static/%2e%2e/admin":      false,
		"/static/.%2E/admin":        false,
		"/static/%252e%252e/admin":  false,
		"/static/..%2fadmin":        false,
		"/static/..%5cadmin":        false,
		`/static/..\admin`:          false,
		"/static/%25252e%25252e/a":  false,
		"/static/%2525252525252e/a": false,
		"//static/app.css":          false,
		"/admin/../static/x":        false, // its raw form is not below /static
		"/static/x;/../../admin":    false,
		"/static/%00":               false,
		"/static/%zz":               false,
		"/static/\u00e9":            false,
		"/static/x%23":              false, // some cut a fragment off
		"/static/..%23/x":           false,
		"/static/x#/../../admin":    false,
		"/static/..%3f/x":           false, // and some a query, once decoded
		"/static/..%253F/x":         false,
		"/ｈealthz":                  false,
		"static/x":                  false,
		"":                          false,
		"/":                         false,
	} {
		if got := rule.open(path, path); got != want {
			t.Errorf("open(%q) = %v, want %v", path, got, want)
		}
	}
	if rule.open("/healthz", "/admin") || rule.open("/admin", "/healthz") {
		t.Error("a path that was rewritten is public only if both forms are")
	}
}

func FuzzPublicPathsNeverLeaveTheirFolder(f *testing.F) {
	for _, s := range []string{"/static/../x", "/static/%2e%2e/x", `/static/..\x`, "/static/%25%32%65"} {
		f.Add(s)
	}
	rule := Rule{Mode: Require, Public: []string{"/static/*"}}
	f.Fuzz(func(t *testing.T, path string) {
		if !rule.open(path) {
			return
		}
		for range 6 {
			if strings.ContainsAny(path, "#?;") {
				t.Fatalf("%q is public, and parts of it may be cut off", path)
			}
			if u, err := url.Parse(path); err != nil || !strings.HasPrefix(u.JoinPath().Path, "/static/") {
				t.Fatalf("%q is public and leads to %v", path, u)
			}
			decoded, err := url.PathUnescape(path)
			if err != nil {
				t.Fatal(err)
			}
			path = decoded
		}
	})
}

func TestBadRulesAreRefused(t *testing.T) {
	for name, rule := range map[string]Rule{
		"no mode":             {},
		"scope and browser":   {Mode: Require, Scopes: []string{"a"}, Browser: true},
		"empty group":         {Mode: Require, Groups: [][]string{{}}},
		"blank group":         {Mode: Require, Groups: [][]string{{""}}},
		"wildcard in between": {Mode: Require, Public: []string{"/a/*/b"}},
		"relative":            {Mode: Require, Public: []string{"a"}},
		"encoded":             {Mode: Require, Public: []string{"/a%2fb"}},
		"dots":                {Mode: Require, Public: []string{"/a/../b"}},
		"unknown preset":      {Mode: Require, Headers: "nope"},
		"no such level":       {Mode: Require, ACR: "gold"},
		"level out of reach":  {Mode: Require, ACR: pool.AAL2},
		"no passkeys yet":     {Mode: Require, ACR: pool.PHR},
		"negative age":        {Mode: Require, MaxAge: -time.Minute},
		"half a second":       {Mode: Require, MaxAge: 500 * time.Millisecond},
		"a second and a half": {Mode: Require, MaxAge: 1500 * time.Millisecond},
		"public and aged":     {Mode: Public, MaxAge: time.Minute},
		"public and strong":   {Mode: Public, ACR: pool.AAL1},
		"public for a group":  {Mode: Public, Groups: [][]string{{"staff"}}},
		"public for a scope":  {Mode: Public, Scopes: []string{"orders.read"}},
		"public for a client": {Mode: Public, Clients: []string{"shop"}},
		"public by session":   {Mode: Public, Browser: true},
		"public by token":     {Mode: Public, API: true},
		"any origin":          {Mode: Require, CORS: []string{"*"}},
		"many origins":        {Mode: Require, CORS: []string{"https://*.example.com"}},
		"no origin":           {Mode: Require, CORS: []string{""}},
		"null":                {Mode: Require, CORS: []string{"null"}},
		"origin with path":    {Mode: Require, CORS: []string{"https://a.example/"}},
		"origin with user":    {Mode: Require, CORS: []string{"https://u@a.example"}},
		"origin in capitals":  {Mode: Require, CORS: []string{"https://A.example"}},
		"default port":        {Mode: Require, CORS: []string{"https://a.example:443"}},
		"empty port":          {Mode: Require, CORS: []string{"https://a.example:"}},
		"not ASCII":           {Mode: Require, CORS: []string{"https://\u00e4.example"}},
		"another scheme":      {Mode: Require, CORS: []string{"ftp://a.example"}},
		"a bare host":         {Mode: Require, CORS: []string{"a.example"}},
	} {
		if err := rule.Validate(); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	scoped := Rule{Mode: Require, Scopes: []string{"orders.read"}}
	if err := scoped.Validate(); err != nil || !scoped.API {
		t.Errorf("scope: implies api: %v", err)
	}
	good := Rule{Mode: Require, ACR: pool.AAL1, MaxAge: time.Second, Strict: true, CORS: []string{"https://a.example", "http://localhost:5173", "https://[::1]:8443"}}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
}

// The levels that this build cannot reach are judged as well as those it can.
func TestASignInMustBeStrongAndFreshEnough(t *testing.T) {
	now := time.Unix(1_000_000, 900_000_000)
	person := func(acr string, age time.Duration) *pool.Principal {
		return &pool.Principal{Kind: pool.Person, ACR: acr, AuthTime: now.Add(-age)}
	}
	for name, c := range map[string]struct {
		rule Rule
		who  *pool.Principal
		want bool
	}{
		"any level":             {Rule{ACR: pool.AAL1}, person(pool.AAL1, 0), true},
		"a better one":          {Rule{ACR: pool.AAL1}, person(pool.PHR, 0), true},
		"a lesser one":          {Rule{ACR: pool.AAL2}, person(pool.AAL1, 0), false},
		"two factors":           {Rule{ACR: pool.AAL2}, person(pool.AAL2, 0), true},
		"not resistant":         {Rule{ACR: pool.PHR}, person(pool.AAL2, 0), false},
		"an unknown level":      {Rule{ACR: pool.AAL1}, person("gold", 0), false},
		"no level":              {Rule{ACR: pool.AAL1}, person("", 0), false},
		"just so":               {Rule{MaxAge: 5 * time.Minute}, person("", 5*time.Minute), true},
		"within the second":     {Rule{MaxAge: 5 * time.Minute}, person("", 5*time.Minute+500*time.Millisecond), true},
		"a second more":         {Rule{MaxAge: 5 * time.Minute}, person("", 5*time.Minute+time.Second), false},
		"nobody knows when":     {Rule{MaxAge: 5 * time.Minute}, &pool.Principal{Kind: pool.Person}, false},
		"machines never signed": {Rule{MaxAge: 5 * time.Minute}, &pool.Principal{Kind: pool.Machine, ACR: pool.PHR, AuthTime: now}, false},
		"nor strongly":          {Rule{ACR: pool.AAL1}, &pool.Principal{Kind: pool.Machine, ACR: pool.PHR, AuthTime: now}, false},
		"but where none asks":   {Rule{}, &pool.Principal{Kind: pool.Machine}, true},
	} {
		lacks := c.rule.judge(c.who, func() time.Time { return now })
		if got := lacks == (missing{}); got != c.want || !got && lacks.code != fault.InsufficientUserAuth {
			t.Errorf("%s: %+v", name, lacks)
		}
	}
	staff := Rule{MaxAge: time.Second, Groups: [][]string{{"staff"}}}
	if lacks := staff.judge(person("", time.Hour), func() time.Time { return now }); lacks.code != fault.Forbidden {
		t.Errorf("to sign in again does not make a member: %+v", lacks)
	}
}

func TestIdentityHeadersGoInEverySpelling(t *testing.T) {
	h := http.Header{}
	bad := []string{"X-Auth-User", "x-auth-user", "X_Auth_User", "x_auth-user", "X-Auth_User", "X.Auth.User", "X-Auth.User",
		"x.auth_groups", "X-AUTH-ASSERTION", "X-Auth-Groups-Truncated", "Remote-User", "remote_groups", "X-Forwarded-User",
		"X-Amzn-Oidc-Data", "x-amzn_oidc.identity", "X-Amzn-Oidc-Accesstoken", "X-Forwarded-Preferred-Username"}
	for _, name := range bad {
		h[name] = []string{"admin"}
	}
	good := []string{"X-Auth-Token", "X-Authenticated", "X-Forwarded-For", "Remote-Addr", "Accept", "X-Auth-Users", "X"}
	for _, name := range good {
		h[name] = []string{"kept"}
	}
	stripIdentity(h)
	if len(h) != len(good) {
		t.Errorf("left: %v", h)
	}
	for preset, list := range presets() {
		for _, n := range list {
			if !isIdentity(n.name) {
				t.Errorf("preset %q: %s is not stripped", preset, n.name)
			}
		}
	}
}

func TestConnectionCannotRemoveOurHeaders(t *testing.T) {
	h := http.Header{"Connection": {"X-Auth-User, upgrade", "keep-alive, X-Secret"}, "X-Secret": {"x"}, "Upgrade": {"websocket"}}
	stripConnection(h)
	if got := h["Connection"]; len(got) != 1 || got[0] != "Upgrade" {
		t.Errorf("Connection = %q", got)
	}
	if h.Get("X-Secret") != "" {
		t.Error("a header named in Connection stayed")
	}
	h = http.Header{"Connection": {"close"}}
	stripConnection(h)
	if len(h) != 0 {
		t.Errorf("left %v", h)
	}
}

func TestHeaderValuesCanBeReadBack(t *testing.T) {
	for _, s := range []string{"", "plain", "Zoë Müller", "a,b;c", "100%", "line\r\nX-Auth-User: admin", "\x00\x1b[31m", "🏰", "{env.HOME}"} {
		e := encode(s)
		if !visibleASCII(e) || strings.ContainsAny(e, ",;") {
			t.Errorf("encode(%q) = %q", s, e)
		}
		if back, err := url.PathUnescape(e); err != nil || back != s {
			t.Errorf("encode(%q) reads back as %q, %v", s, back, err)
		}
	}
}

func TestTheFamilyStaysSmall(t *testing.T) {
	var groups []string
	for range 300 {
		groups = append(groups, strings.Repeat("g", 80))
	}
	who := &pool.Principal{Kind: pool.Person, Sub: "11111111-1111-4111-8111-111111111111", Name: "Ann", Groups: groups}
	size, cut := 0, false
	for _, p := range prepareHeaders("", who, strings.Repeat("a", 1500)) {
		size += len(p.name) + len(p.value) + 4
		cut = cut || p.name == truncatedHeader && p.value == "1"
	}
	if size > maxFamily || !cut {
		t.Errorf("%d bytes, truncated %v", size, cut)
	}
}

func TestAMachineHasNoUserHeader(t *testing.T) {
	who := &pool.Principal{Kind: pool.Machine, Client: "batch", Scopes: []string{"orders.read", "orders.write"}}
	got := map[string]string{}
	for _, p := range prepareHeaders("", who, "jwt") {
		got[p.name] = p.value
	}
	if len(got) != 3 || got["X-Auth-Client"] != "batch" || got["X-Auth-Scopes"] != "orders.read,orders.write" || got["X-Auth-Assertion"] != "jwt" {
		t.Errorf("%v", got)
	}
}

func TestReturnPathsLeadNowhereElse(t *testing.T) {
	for in, want := range map[string]string{
		"/a/b?c=d&e":                         "/a/b?c=d&e",
		"/":                                  "/",
		"//evil.example":                     "/",
		`/\evil.example`:                     "/",
		"/%5cevil.example":                   "/",
		"https://evil.example/x":             "/x", // only its path is kept
		"javascript:alert(1)":                "/",
		"/_auth/callback?code=1":             "/",
		"/%2f%2fevil":                        "/%2f%2fevil",
		"/" + strings.Repeat("a", maxReturn): "/",
		"":                                   "/",
	} {
		if got := localPath(in); got != want {
			t.Errorf("localPath(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestOnlyNavigationsAreRedirected(t *testing.T) {
	for name, c := range map[string]struct {
		method string
		h      http.Header
		want   bool
	}{
		"navigation":       {"GET", http.Header{"Sec-Fetch-Mode": {"navigate"}}, true},
		"old browser":      {"GET", http.Header{"Accept": {"text/html,*/*;q=0.8"}}, true},
		"fetch":            {"GET", http.Header{"Sec-Fetch-Mode": {"cors"}, "Accept": {"text/html"}}, false},
		"image":            {"GET", http.Header{"Sec-Fetch-Mode": {"no-cors"}}, false},
		"curl":             {"GET", http.Header{"Accept": {"*/*"}}, false},
		"form":             {"POST", http.Header{"Sec-Fetch-Mode": {"navigate"}}, false},
		"websocket":        {"GET", http.Header{"Sec-Fetch-Mode": {"websocket"}, "Upgrade": {"websocket"}}, false},
		"no accept at all": {"GET", http.Header{}, false},
	} {
		if got := navigation(&http.Request{Method: c.method, Header: c.h}); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestMetadataPathIsInserted(t *testing.T) {
	for _, c := range []struct{ origin, resource, want string }{
		{"https://api.example.com", "https://api.example.com", wellKnown},
		{"https://api.example.com", "https://api.example.com/", wellKnown},
		{"https://api.example.com", "https://api.example.com/v1/mcp", wellKnown + "/v1/mcp"},
		{"https://api.example.com", "urn:orders", wellKnown},
	} {
		if got, err := metadataPath(c.origin, c.resource); err != nil || got != c.want {
			t.Errorf("metadataPath(%s, %s) = %s, %v", c.origin, c.resource, got, err)
		}
	}
	if _, err := metadataPath("https://a.example", "orders"); err == nil {
		t.Error("a relative resource was taken")
	}
}

func TestABearerThatIsNotOneTokenIsBad(t *testing.T) {
	s := &site{}
	for value, bad := range map[string]bool{
		"Bearer a": false, "bearer a": false, "Bearer  a": false, "Basic YTpi": false, "Bearerx a": false,
		"Bearer": true, "Bearer ": true, "Bearer\ta": true, "Bearer \ta": true, "Bearer a\tb": true, "Bearer a b": true, "Bearer a,b": true,
	} {
		got := readCredentials(&http.Request{Header: http.Header{"Authorization": {value}}}, s)
		if got.bad != bad || bad && got.bearer != "" {
			t.Errorf("%q: %+v", value, got)
		}
	}
	if got := readCredentials(&http.Request{Header: http.Header{"Authorization": {"Bearer a", "Basic b"}}}, s); !got.bad {
		t.Errorf("two headers: %+v", got)
	}
}

// No token of ours names two resources, but one that did would open neither.
func TestOnlyTokensForThisResourceAlone(t *testing.T) {
	s := &site{Site: Site{Pool: &pool.Pool{Issuer: "https://login.example.com"}, Resource: "https://api.example.com"}}
	for _, c := range []struct {
		aud  jose.Audience
		want bool
	}{
		{jose.Audience{"https://api.example.com"}, true},
		{jose.Audience{"https://api.example.com", "https://login.example.com"}, true},
		{jose.Audience{"https://login.example.com", "https://api.example.com"}, true},
		{jose.Audience{"https://api.example.com", "https://other.example.com"}, false},
		{jose.Audience{"https://login.example.com"}, false},
		{jose.Audience{"https://api.example.com.evil.example"}, false},
		{jose.Audience{"https://api.example.com/"}, false},
		{jose.Audience{"https://API.example.com"}, false},
		{jose.Audience{"https://api.example.com:443"}, false},
		{jose.Audience{""}, false},
		{nil, false},
	} {
		if err := audience(&token.Access{Audience: c.aud}, s); (err == nil) != c.want {
			t.Errorf("%q: %v", c.aud, err)
		}
	}
}

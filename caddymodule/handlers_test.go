package caddymodule

import (
	"crypto/tls"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// prepared is a request as Caddy hands it to a handler.
func prepared(method, target string, change func(*http.Request)) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	if change != nil {
		change(r)
	}
	return caddyhttp.PrepareRequest(r, caddy.NewReplacer(), httptest.NewRecorder(), nil)
}

func TestFactsComeFromTrustedSources(t *testing.T) {
	forwarded := func(proto, host string) func(*http.Request) {
		return func(r *http.Request) {
			r.Header.Set("X-Forwarded-Proto", proto)
			r.Header.Set("X-Forwarded-Host", host)
			r.Header.Set("X-Forwarded-For", "9.9.9.9")
		}
	}
	for name, c := range map[string]struct {
		target  string
		change  func(*http.Request)
		trusted bool
		want    mux.Client
	}{
		"plain":                   {"http://App.example.com:80/x?y", nil, false, mux.Client{Address: "192.0.2.1", Origin: "http://app.example.com", OrigURI: "/x?y"}},
		"port":                    {"http://localhost:8080/", nil, false, mux.Client{Address: "192.0.2.1", Origin: "http://localhost:8080", OrigURI: "/"}},
		"TLS":                     {"https://app.example.com:443/", func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, false, mux.Client{Address: "192.0.2.1", Origin: "https://app.example.com", OrigURI: "/"}},
		"somebody says forwarded": {"http://app.example.com/", forwarded("https", "evil.example"), false, mux.Client{Address: "192.0.2.1", Origin: "http://app.example.com", OrigURI: "/"}},
		"a proxy says forwarded":  {"http://app.example.com/", forwarded("https", "www.example.com"), true, mux.Client{Address: "192.0.2.1", Origin: "https://www.example.com", OrigURI: "/"}},
		"two values": {"http://app.example.com/", func(r *http.Request) {
			r.Header["X-Forwarded-Host"] = []string{"evil.example", "www.example.com"}
			r.Header.Set("X-Forwarded-Proto", "https,http")
		}, true, mux.Client{Address: "192.0.2.1", Origin: "http://app.example.com", OrigURI: "/"}},
		"an odd scheme": {"http://app.example.com/", forwarded("javascript", ""), true, mux.Client{Address: "192.0.2.1", Origin: "http://app.example.com", OrigURI: "/"}},
	} {
		r := prepared("GET", c.target, c.change)
		if c.trusted {
			caddyhttp.SetVar(r.Context(), caddyhttp.TrustedProxyVarKey, true)
		}
		caddyhttp.SetVar(r.Context(), caddyhttp.ClientIPVarKey, "192.0.2.1")
		original := r.Context().Value(caddyhttp.OriginalRequestCtxKey).(http.Request)
		if original.RequestURI == "" {
			t.Fatal("no original request")
		}
		c.want.OrigURI = original.RequestURI
		r.URL.Path, r.RequestURI = "/rewritten", "/rewritten"
		if got := clientOf(r); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

// A line with a matcher tightens: it applies if any reading of the path fits.
func TestALineAppliesUnderEveryReading(t *testing.T) {
	app, err := placed(t, "login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\t@admin path /admin/*\n\tgatehouse_require\n\tgatehouse_require @admin group:operators\n\trespond hi\n}")
	if err != nil {
		t.Fatal(err)
	}
	line := app.gates[1]
	for target, want := range map[string]bool{
		"/":                          false,
		"/administration":            false,
		"/x%20y":                     false,
		"/admin/":                    true,
		"/admin/x":                   true,
		"/ADMIN/x":                   true,
		"/%61dmin/x":                 true,
		"/%2561dmin/x":               true,
		"/a/../admin/x":              true,
		"/a/%2e%2e/admin/x":          true,
		"//admin/x":                  true,
		"/a/%2f../../admin/x":        true,
		"/a/..%5cadmin/x":            true,
		`/a/..\admin/x`:              true,
		"/admin%2fx":                 true,
		"/admin;a=b/x":               true,
		"/a;b/x":                     false,
		"/admin/#/x":                 true, // some cut a fragment off, raw or encoded
		"/x/%2561dmin/..#":           false,
		"/y/../admin/%23/../../x":    true,
		"/admin/%3f/../../../x":      true, // and some a query, once decoded
		"/admin/;a%23/../../x":       true,
		"/why%3f/%23":                false,
		"/%C3%BC/%ff":                false,
		"/%252525252525252561":       true, // nobody decodes that often in good faith
		"/a/%252e%252e/admin/x":      true,
		"/public/%2e%2e%2f/admin/x?": true,
	} {
		r := prepared("GET", "/", func(r *http.Request) {
			r.RequestURI = target
			if u, err := r.URL.Parse(strings.ReplaceAll(target, "//admin", "/./admin")); err == nil {
				r.URL = u
			}
		})
		if got, err := line.applies(r, target); err != nil || got != want {
			t.Errorf("%s: %v %v", target, got, err)
		}
	}
	// Before a rewrite or after.
	for _, pair := range [][2]string{{"/admin/x", "/index.html"}, {"/x", "/admin/x"}} {
		r := prepared("GET", pair[1], nil)
		if got, err := line.applies(r, pair[0]); err != nil || !got {
			t.Errorf("%v: %v %v", pair, got, err)
		}
	}
}

const page, script = "text/html", "*/*"

func TestDenialsAtARunningServer(t *testing.T) {
	c := run(t, site("resource http://localhost:$PORT a.read", `
	gatehouse {
		public /open/*
	}
	respond /open/* "[{http.auth.user.id}][{http.auth.user.groups}]"
	respond hello`))
	if res, body := c.get("/", "Accept", script); res.StatusCode != 401 || body != "" || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), "Bearer resource_metadata=") {
		t.Errorf("%d %v %s", res.StatusCode, res.Header, body)
	}
	if res, _ := c.get("/x?y=1", "Accept", page); res.StatusCode != 302 && res.StatusCode != 303 || !strings.Contains(res.Header.Get("Location"), "/_auth/oauth2/authorize?") {
		t.Errorf("%d %v", res.StatusCode, res.Header)
	}
	if res, body := c.get("/open/x", "X-Auth-User", "admin"); res.StatusCode != 200 || body != "[][]" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	// A person gets a page, and a script an answer without one.
	if res, body := c.get("/_auth/nothing", "Sec-Fetch-Mode", "navigate", "Accept", page); res.StatusCode != 404 || !strings.Contains(body, "<html") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := c.get("/_auth/nothing", "Sec-Fetch-Mode", "cors"); res.StatusCode != 404 || body != "" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, body := c.get("/.well-known/oauth-protected-resource"); res.StatusCode != 200 || !strings.Contains(body, "a.read") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// A token names its client to the site's other directives.
func TestPlaceholdersNameTheCaller(t *testing.T) {
	t.Setenv("SECRET", "0123456789abcdef")
	c := run(t, site("resource http://localhost:$PORT a.read a.write\nclient batch {\n\tsecret {env.SECRET}\n\tgrant client_credentials a.read a.write\n}", `
	gatehouse
	gatehouse_require scope:a.read
	respond "[{http.auth.user.client}][{http.auth.user.scopes}][{http.auth.user.id}]"`))
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url("/_auth/oauth2/token"), strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("batch", "0123456789abcdef")
	_, body := c.do(r)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Token == "" {
		t.Fatal(body, err)
	}
	if res, body := c.get("/", "Authorization", "Bearer "+answer.Token); res.StatusCode != 200 || body != "[batch][a.read,a.write][]" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
}

// handle_errors answers for its own site, with our headers; it does not take
// the pages of others away.
func TestErrorRoutesGetDenials(t *testing.T) {
	c := run(t, "\tgatehouse {\n\t\tissuer http://localhost:$PORT/_auth\n\t}\n}\n"+`
http://localhost:$PORT {
	gatehouse
	handle_errors {
		respond "own {err.status_code} [{http.auth.user.id}]" {err.status_code}
	}
}
http://127.0.0.1:$PORT {
	gatehouse_require
}`)
	res, body := c.get("/", "Accept", script)
	if res.StatusCode != 401 || body != "own 401 []" || res.Header.Get("WWW-Authenticate") == "" || res.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%d %s %v", res.StatusCode, body, res.Header)
	}
	if res, body := c.get("/_auth/nothing", "Sec-Fetch-Mode", "navigate", "Accept", page); res.StatusCode != 404 || body != "own 404 []" {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	other := strings.Replace(c.url("/_auth/nothing"), "localhost", "127.0.0.1", 1)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, other, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if res, body := c.do(r); res.StatusCode != 404 || !strings.Contains(body, "<html") {
		t.Errorf("the other site: %d %s", res.StatusCode, body)
	}
}

// Of several login origins only the issuer's serves login pages; the others
// are protected sites.
func TestOnlyTheIssuerServesTheLogin(t *testing.T) {
	c := run(t, "\tgatehouse {\n\t\tissuer http://localhost:$PORT/_auth\n\t}\n}\n"+`
http://localhost:$PORT, http://127.0.0.1:$PORT {
	gatehouse
	respond hello
}`)
	if res, _ := c.get("/_auth/login"); res.StatusCode != 200 {
		t.Errorf("%d", res.StatusCode)
	}
	for path, want := range map[string]int{"/_auth/login": 404, "/_auth/oauth2/token": 404, "/_auth/.well-known/openid-configuration": 404, "/": 401} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(c.url(path), "localhost", "127.0.0.1", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, body := c.do(r); res.StatusCode != want {
			t.Errorf("%s: %d %s", path, res.StatusCode, body)
		}
	}
	// A host that leads nowhere cannot be chosen by a header.
	if res, _ := c.get("/", "X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "https"); res.StatusCode != 401 {
		t.Errorf("%d", res.StatusCode)
	}
}

// Where TLS ends in front, the origin is what a trusted proxy says.
func TestBehindAProxyThatEndsTLS(t *testing.T) {
	c := run(t, "\tservers {\n\t\tprotocols h1\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}\n\tgatehouse {\n\t\tissuer https://app.example.com/_auth\n\t}\n}\n"+`
http://app.example.com:$PORT {
	gatehouse
	respond hello
}`)
	for _, q := range []struct {
		path, proto string
		want        int
	}{{"/", "https", 401}, {"/_auth/login", "https", 200}, {"/", "", 421}, {"/_auth/login", "http", 421}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, strings.Replace(c.url(q.path), "localhost", "127.0.0.1", 1), nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "app.example.com"
		if q.proto != "" {
			r.Header.Set("X-Forwarded-Proto", q.proto)
		}
		if res, body := c.do(r); res.StatusCode != q.want {
			t.Errorf("%+v: %d %s", q, res.StatusCode, body)
		}
	}
}

// A rewrite cannot move the login's paths, nor anything onto them.
func TestPathsAreThoseOfTheClient(t *testing.T) {
	c := run(t, site("", "try_files {path} /index.html\nrewrite /trap /_auth/login\ngatehouse\nrespond hello"))
	if res, body := c.get("/_auth/login"); res.StatusCode != 200 || !strings.Contains(body, "<form") {
		t.Errorf("%d %s", res.StatusCode, body)
	}
	if res, _ := c.get("/trap", "Accept", script); res.StatusCode != 401 {
		t.Errorf("%d", res.StatusCode)
	}
}

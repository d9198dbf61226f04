package mux_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

const origin = "https://login.example.com"

// edge is a Mux with one route of each face; the log lands in a buffer.
type edge struct {
	*mux.Mux
	log  bytes.Buffer
	seen *http.Request // what the last handler saw
}

func newEdge(t *testing.T, prefix string, h mux.Handler) *edge {
	t.Helper()
	e := &edge{}
	e.Mux = mux.New(mux.Options{
		Pool:   "xx-edge-1_pool",
		Prefix: prefix,
		Logger: slog.New(slog.NewJSONHandler(&e.log, nil)),
		ErrorPage: func(_ *http.Request, err error, status int, reference string) (mux.Document, error) {
			return mux.Document{HTML: fmt.Appendf(nil, "<p>%d %s %s", status, fault.TextOf(err), reference)}, nil
		},
	})
	handler := func(w http.ResponseWriter, r *http.Request) error {
		e.seen = r
		return h(w, r)
	}
	e.Page("GET /login", handler)
	e.Page("POST /login", handler)
	e.Entry("POST /entry", handler)
	e.API("POST /token", handler)
	e.Public("GET /keys", 5*time.Minute, handler)
	e.Public("GET //.well-known/x", time.Minute, handler)
	return e
}

func (e *edge) do(t *testing.T, r *http.Request) *http.Response {
	t.Helper()
	e.seen = nil
	r = r.WithContext(mux.WithClient(r.Context(), mux.Client{Origin: origin, Address: "192.0.2.7"}))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	return w.Result()
}

func request(method, target, body string, header ...string) *http.Request {
	var b io.Reader
	if body != "" {
		b = strings.NewReader(body)
	}
	r := httptest.NewRequest(method, origin+target, b)
	if body != "" {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	return r
}

func ok(w http.ResponseWriter, r *http.Request) error {
	mux.WriteJSON(w, 200, map[string]string{"ok": "yes"})
	return nil
}

func body(t *testing.T, res *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestRouting(t *testing.T) {
	e := newEdge(t, "/_auth", ok)
	for path, want := range map[string]bool{
		"/_auth/login": true, "/_auth/token": true, "/.well-known/x": true, "/_auth/keys": true,
		"/login": false, "/_auth/.well-known/x": false, "/_auth": false, "/_auth/": false, "/_auth/login/": false,
		"/_AUTH/login": false, "/_auth//login": false, "": false, "/": false,
	} {
		if got := e.Matches(path); got != want {
			t.Errorf("Matches(%q) = %v", path, got)
		}
	}
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/_auth/login", 200, ""},
		{"HEAD", "/_auth/login", 200, ""},
		{"PUT", "/_auth/login", 405, "GET, POST, HEAD, OPTIONS"},
		{"OPTIONS", "/_auth/login", 204, "GET, POST, HEAD, OPTIONS"},
		{"GET", "/_auth/token", 405, "POST, OPTIONS"},
		{"OPTIONS", "/_auth/token", 204, "POST, OPTIONS"},
		{"DELETE", "/_auth/keys", 405, "GET, HEAD, OPTIONS"},
		{"GET", "/nothing", 404, ""},
		{"GET", "/.well-known/x", 200, ""},
	} {
		res := e.do(t, request(c.method, c.path, ""))
		if res.StatusCode != c.status || res.Header.Get("Allow") != c.allow {
			t.Errorf("%s %s: %d, Allow %q", c.method, c.path, res.StatusCode, res.Header.Get("Allow"))
		}
	}
}

func TestOriginalURIIsServed(t *testing.T) {
	e := newEdge(t, "/_auth", ok)
	r := request("GET", "/rewritten?a=2", "")
	r = r.WithContext(mux.WithClient(r.Context(), mux.Client{Origin: origin, OrigURI: "/_auth/login?a=1"}))
	w := httptest.NewRecorder()
	e.ServeHTTP(w, r)
	if w.Code != 200 || e.seen.URL.Query().Get("a") != "1" {
		t.Errorf("%d %v", w.Code, e.seen)
	}
}

func TestBadPatternsPanic(t *testing.T) {
	for _, pattern := range []string{"/login", "GET login", " /x", "GET /login"} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%q was taken", pattern)
				}
			}()
			newEdge(t, "", ok).Page(pattern, ok)
		}()
	}
}

func TestSecurityHeaders(t *testing.T) {
	e := newEdge(t, "", ok)
	for _, path := range []string{"/login", "/keys", "/nothing"} {
		h := e.do(t, request("GET", path, "")).Header
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY",
			"Cross-Origin-Opener-Policy": "same-origin",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s is %q", path, name, h.Get(name))
			}
		}
		if csp := h.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") || !strings.Contains(csp, "default-src 'none'") {
			t.Errorf("%s: %s", path, csp)
		}
		if h.Get("Permissions-Policy") == "" || h.Get("Cross-Origin-Resource-Policy") == "" {
			t.Errorf("%s: %v", path, h)
		}
		public := path == "/keys"
		if (h.Get("Access-Control-Allow-Origin") == "*") != public || (h.Get("Cache-Control") == "no-store") == public {
			t.Errorf("%s: %v", path, h)
		}
	}
	if got := e.do(t, request("GET", "/keys", "")).Header.Get("Cache-Control"); got != "public, max-age=300" {
		t.Error(got)
	}
	h := e.do(t, request("POST", "/token", "a=b", "Origin", "https://spa.example.com")).Header
	if h.Get("Cache-Control") != "no-store" || h.Get("Pragma") != "no-cache" || h.Get("Access-Control-Allow-Origin") != "" {
		t.Error(h)
	}
	res := e.do(t, request("OPTIONS", "/keys", "", "Origin", "https://spa.example.com", "Access-Control-Request-Method", "GET"))
	if res.StatusCode != 204 || res.Header.Get("Access-Control-Allow-Origin") != "*" || res.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Error(res.Header)
	}
}

func TestErrorOfPublicDocumentIsNotCached(t *testing.T) {
	e := newEdge(t, "", func(http.ResponseWriter, *http.Request) error { return fault.New(fault.Unavailable, "later") })
	res := e.do(t, request("GET", "/keys", ""))
	if res.StatusCode != 503 || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Retry-After") == "" {
		t.Error(res.StatusCode, res.Header)
	}
}

func TestSameOriginProof(t *testing.T) {
	cases := []struct {
		name   string
		header []string
		ok     bool
	}{
		{"own page", []string{"Sec-Fetch-Site", "same-origin", "Origin", origin}, true},
		{"own page without referrer", []string{"Sec-Fetch-Site", "same-origin", "Origin", "null"}, true},
		{"own page, no Origin", []string{"Sec-Fetch-Site", "same-origin"}, true},
		{"older browser", []string{"Origin", origin}, true},
		{"form sent again by the person", []string{"Sec-Fetch-Site", "none", "Origin", origin}, true},
		{"nothing", nil, false},
		{"none without Origin", []string{"Sec-Fetch-Site", "none"}, false},
		{"Origin null", []string{"Origin", "null"}, false},
		{"none and null", []string{"Sec-Fetch-Site", "none", "Origin", "null"}, false},
		{"cross-site", []string{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, false},
		{"cross-site and null", []string{"Sec-Fetch-Site", "cross-site", "Origin", "null"}, false},
		{"sibling", []string{"Sec-Fetch-Site", "same-site", "Origin", "https://app.example.com"}, false},
		{"sibling in an older browser", []string{"Origin", "https://app.example.com"}, false},
		{"other scheme", []string{"Origin", "http://login.example.com"}, false},
		{"other port", []string{"Origin", origin + ":8443"}, false},
		{"suffix", []string{"Origin", origin + ".evil.example"}, false},
		{"two Origins", []string{"Origin", origin, "Origin", "https://evil.example"}, false},
		{"two sites", []string{"Sec-Fetch-Site", "same-origin", "Sec-Fetch-Site", "cross-site"}, false},
		{"contradiction", []string{"Sec-Fetch-Site", "same-origin", "Origin", "https://evil.example"}, false},
	}
	e := newEdge(t, "", ok)
	for _, c := range cases {
		header := append(c.header, "Cookie", "__Host-gh-sso-0123456789abcdef=1")
		res := e.do(t, request("POST", "/login", "a=b", header...))
		if want := map[bool]int{true: 200, false: 403}[c.ok]; res.StatusCode != want || (e.seen != nil) != c.ok {
			t.Errorf("page, %s: %d", c.name, res.StatusCode)
		}
		res = e.do(t, request("POST", "/entry", "a=b", header...))
		if res.StatusCode != 200 || (e.seen.Header.Get("Cookie") != "") != c.ok {
			t.Errorf("entry, %s: %d, cookie %q", c.name, res.StatusCode, e.seen.Header.Get("Cookie"))
		}
		res = e.do(t, request("POST", "/token", "a=b", header...))
		if res.StatusCode != 200 || e.seen.Header.Get("Cookie") != "" {
			t.Errorf("api, %s: %d, a cookie is seen", c.name, res.StatusCode)
		}
	}
}

func TestErrors(t *testing.T) {
	cause := errors.New("password=hunter2 in the cause")
	cases := []struct {
		err              error
		page, api        int
		wire             string
		retry, challenge bool
	}{
		{cause, 500, 500, "server_error", false, false},
		{fault.Wrap(fault.Internal, cause, "not to be shown"), 500, 500, "server_error", false, false},
		{fault.New("unheard_of", "not to be shown"), 500, 500, "server_error", false, false},
		{fmt.Errorf("wrapped: %w", fault.New(fault.Busy, "full")), 503, 503, "temporarily_unavailable", true, false},
		{fault.New(fault.Unavailable, ""), 503, 503, "temporarily_unavailable", true, false},
		{context.Canceled, 503, 503, "temporarily_unavailable", true, false},
		{fault.New(fault.Invalid, "so"), 400, 400, "invalid_request", false, false},
		{fault.New(fault.NotFound, ""), 404, 404, "invalid_request", false, false},
		{fault.New(fault.Conflict, ""), 409, 409, "invalid_request", false, false},
		{fault.New(fault.Forbidden, ""), 403, 403, "access_denied", false, false},
		{fault.New(fault.CrossSite, ""), 403, 403, "access_denied", false, false},
		{fault.New(fault.TooLarge, ""), 413, 413, "invalid_request", false, false},
		{fault.New(fault.NotSupported, ""), 415, 415, "invalid_request", false, false},
		{fault.New(fault.InvalidClient, "who?"), 400, 401, "invalid_client", false, true},
		{fault.New(fault.InvalidGrant, ""), 400, 400, "invalid_grant", false, false},
		{fault.New(fault.InvalidTarget, ""), 400, 400, "invalid_target", false, false},
		{fault.New(fault.InvalidToken, "old"), 400, 401, "invalid_token", false, true},
		{fault.New(fault.InsufficientScope, ""), 403, 403, "insufficient_scope", false, true},
	}
	for _, c := range cases {
		e := newEdge(t, "", func(http.ResponseWriter, *http.Request) error { return c.err })
		res := e.do(t, request("GET", "/login", ""))
		text := body(t, res)
		if res.StatusCode != c.page || (res.Header.Get("Retry-After") != "") != c.retry {
			t.Errorf("%v: page %d", c.err, res.StatusCode)
		}
		res = e.do(t, request("POST", "/token", "a=b", "Authorization", "Basic eA=="))
		var got struct {
			Error       string `json:"error"`
			Description string `json:"error_description"`
		}
		text += body(t, res)
		if err := json.Unmarshal([]byte(text[strings.Index(text, "{"):]), &got); err != nil {
			t.Fatal(err)
		}
		if res.StatusCode != c.api || got.Error != c.wire || (res.Header.Get("WWW-Authenticate") != "") != c.challenge {
			t.Errorf("%v: api %d %s %v", c.err, res.StatusCode, text, res.Header)
		}
		if strings.Contains(text, "hunter2") || strings.Contains(text, "not to be shown") {
			t.Errorf("%v shows %s", c.err, text)
		}
		if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v: %v", c.err, res.Header)
		}
	}
}

func TestBlandErrorNamesTheReferenceInTheLog(t *testing.T) {
	e := newEdge(t, "", func(http.ResponseWriter, *http.Request) error { return errors.New("disk on fire") })
	text := body(t, e.do(t, request("GET", "/login?code=SECRET", "")))
	var line map[string]any
	if err := json.Unmarshal(e.log.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	if line["pool"] != "xx-edge-1_pool" {
		t.Errorf("log %v", line)
	}
	reference, _ := line["reference"].(string)
	if len(reference) < 10 || !strings.Contains(text, reference) || strings.Contains(text, "fire") {
		t.Errorf("%q, log %v", text, line)
	}
	if line["error"] != "disk on fire" || line["outcome"] != "internal" || line["status"] != 500.0 || line["level"] != "ERROR" {
		t.Error(line)
	}
	if strings.Contains(e.log.String(), "SECRET") {
		t.Error("the query is in the log")
	}
}

func TestEventIsLoggedOnce(t *testing.T) {
	e := newEdge(t, "", func(w http.ResponseWriter, r *http.Request) error {
		event := mux.EventOf(r.Context())
		event.Client, event.User, event.Grant = "shop", "u-1", "refresh_token"
		return ok(w, r)
	})
	e.do(t, request("POST", "/token", "client_secret=SECRET", "Authorization", "Basic SECRET", "Cookie", "a=SECRET"))
	if n := strings.Count(e.log.String(), "\n"); n != 1 {
		t.Errorf("%d lines", n)
	}
	for _, want := range []string{`"client":"shop"`, `"user":"u-1"`, `"grant":"refresh_token"`, `"outcome":"ok"`, `"endpoint":"POST /token"`, `"address":"192.0.2.7"`} {
		if !strings.Contains(e.log.String(), want) {
			t.Errorf("no %s in %s", want, e.log.String())
		}
	}
	if strings.Contains(e.log.String(), "SECRET") {
		t.Error("a secret is in the log")
	}
	if mux.EventOf(context.Background()) == nil {
		t.Error("EventOf is nil")
	}
}

func TestPanics(t *testing.T) {
	e := newEdge(t, "", func(http.ResponseWriter, *http.Request) error { panic("boom") })
	res := e.do(t, request("GET", "/login", ""))
	text := body(t, res)
	if res.StatusCode != 500 || strings.Contains(text, "boom") || strings.Contains(text, "goroutine") {
		t.Errorf("%d %s", res.StatusCode, text)
	}
	if !strings.Contains(e.log.String(), "panic: boom") || !strings.Contains(e.log.String(), "goroutine") {
		t.Error("the stack is not in the log")
	}

	e = newEdge(t, "", func(w http.ResponseWriter, r *http.Request) error {
		w.WriteHeader(200)
		panic(http.ErrAbortHandler)
	})
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("ErrAbortHandler was swallowed")
			}
		}()
		e.do(t, request("GET", "/login", ""))
	}()
	if !strings.Contains(e.log.String(), `"outcome":"ok"`) {
		t.Error(e.log.String())
	}
}

func TestErrorAfterTheAnswerAddsNothing(t *testing.T) {
	e := newEdge(t, "", func(w http.ResponseWriter, r *http.Request) error {
		_ = ok(w, r)
		return errors.New("too late")
	})
	if text := body(t, e.do(t, request("POST", "/token", "a=b"))); text != `{"ok":"yes"}` {
		t.Error(text)
	}
	if !strings.Contains(e.log.String(), "too late") {
		t.Error(e.log.String())
	}
}

func TestNoTokenHasNoErrorCode(t *testing.T) {
	e := newEdge(t, "", func(http.ResponseWriter, *http.Request) error { return mux.ErrNoToken })
	res := e.do(t, request("POST", "/token", ""))
	if res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "Bearer" || body(t, res) != "" {
		t.Error(res.StatusCode, res.Header)
	}
}

func TestDescriptionsStayInTheirCharset(t *testing.T) {
	e := newEdge(t, "", func(http.ResponseWriter, *http.Request) error {
		return fault.New(fault.InvalidToken, "a\"b\\c\r\nSet-Cookie: x=y\x00é"+strings.Repeat("z", 1000))
	})
	res := e.do(t, request("POST", "/token", ""))
	challenge := res.Header.Get("WWW-Authenticate")
	if strings.ContainsAny(challenge, "\r\n\\\x00é") || strings.Count(challenge, `"`) != 4 || len(challenge) > 400 {
		t.Errorf("%q", challenge)
	}
}

func TestErrorPageThatFailsToo(t *testing.T) {
	m := mux.New(mux.Options{ErrorPage: func(*http.Request, error, int, string) (mux.Document, error) {
		return mux.Document{}, errors.New("no template")
	}})
	w := httptest.NewRecorder()
	m.ServeHTTP(w, request("GET", "/nothing", ""))
	if w.Code != 404 || !strings.HasPrefix(w.Body.String(), "Not Found\nReference: ") {
		t.Error(w.Code, w.Body)
	}
}

func TestDocument(t *testing.T) {
	doc := mux.Document{
		HTML:        []byte(strings.Repeat("<p>hello", 100)),
		Styles:      []string{"sha256-abc+/1=", "evil'; script-src *"},
		FormTargets: []string{"https://shop.example.com", "http://[::1]:8080", "com.example.app:", "https://x;script-src *", "javascript :"},
	}
	w := httptest.NewRecorder()
	mux.WriteDocument(w, request("GET", "/", "", "Accept-Encoding", "br, GZIP;q=0.5"), 200, doc)
	want := "default-src 'none'; style-src 'sha256-abc+/1='; img-src 'self' data:; " +
		"form-action 'self' https://shop.example.com http://[::1]:8080 com.example.app:; base-uri 'none'; frame-ancestors 'none'"
	if got := w.Header().Get("Content-Security-Policy"); got != want {
		t.Errorf("%s", got)
	}
	if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Vary") != "Accept-Encoding" {
		t.Error(w.Header())
	}
	z, err := gzip.NewReader(w.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(z); !bytes.Equal(got, doc.HTML) {
		t.Error("the page came out damaged")
	}
	for _, accept := range []string{"", "br", "gzip;q=0", "gzip;q=x", "xgzip"} {
		w := httptest.NewRecorder()
		mux.WriteDocument(w, request("GET", "/", "", "Accept-Encoding", accept), 200, doc)
		if w.Header().Get("Content-Encoding") != "" || !bytes.Equal(w.Body.Bytes(), doc.HTML) {
			t.Errorf("compressed for %q", accept)
		}
	}
	w = httptest.NewRecorder()
	mux.WriteDocument(w, request("HEAD", "/", ""), 200, doc)
	if w.Body.Len() != 0 || w.Header().Get("Content-Length") != "800" {
		t.Error(w.Header(), w.Body.Len())
	}
}

func TestRedirect(t *testing.T) {
	for method, want := range map[string]int{"GET": 302, "HEAD": 302, "POST": 303} {
		w := httptest.NewRecorder()
		mux.Redirect(w, request(method, "/", ""), "https://shop.example.com/cb?x=1")
		if w.Code != want || w.Header().Get("Location") != "https://shop.example.com/cb?x=1" || w.Body.Len() != 0 ||
			w.Header().Get("Cache-Control") != "no-store" || w.Header().Get("Referrer-Policy") != "no-referrer" {
			t.Error(method, w.Code, w.Header())
		}
	}
}

// C01, C02: what a stranger says about the connection is not believed.
func TestForwardedHeadersAreIgnored(t *testing.T) {
	r := request("POST", "/login", "a=b",
		"X-Forwarded-For", "203.0.113.9", "X-Real-Ip", "203.0.113.9", "Forwarded", "for=203.0.113.9;host=evil.example;proto=http",
		"X-Forwarded-Host", "evil.example", "X-Forwarded-Proto", "http", "X-Forwarded-Port", "81", "X-Forwarded-Prefix", "/evil",
		"X-Original-Url", "/evil", "X-Rewrite-Url", "/evil")
	r.RemoteAddr = "[2001:db8::1]:1234"
	if got, want := mux.ClientOf(r), (mux.Client{Address: "2001:db8::1", Origin: origin, OrigURI: origin + "/login"}); got.Address != want.Address || got.Origin != want.Origin {
		t.Errorf("%+v", got)
	}
	r.Host, r.TLS = "Login.Example.COM:80", nil
	if got := mux.ClientOf(r).Origin; got != "http://login.example.com" {
		t.Error(got)
	}
}

func TestForm(t *testing.T) {
	long := strings.Repeat("x", mux.MaxBody)
	cases := []struct {
		name string
		r    *http.Request
		want string // encoded, or a code
	}{
		{"query", request("GET", "/?a=1&b=%20x&c=", ""), "a=1&b=+x"},
		{"body", request("POST", "/?q=1", "a=1&b=2"), "a=1&b=2&q=1"},
		{"may repeat", request("POST", "/", "resource=1&resource=2&resource="), "resource=1&resource=2"},
		{"no body", request("POST", "/?q=1", ""), "q=1"},
		{"body of a GET", request("GET", "/?q=1", "a=1"), "q=1"},
		{"repeated", request("POST", "/", "a=1&a=1"), "invalid_request"},
		{"repeated, once empty", request("POST", "/", "a=1&a="), "invalid_request"},
		{"repeated in the query", request("GET", "/?a=1&a=2", ""), "invalid_request"},
		{"in both", request("POST", "/?a=1", "a=1"), "invalid_request"},
		{"repeatable in both", request("POST", "/?resource=1", "resource=2"), "invalid_request"},
		{"bad escape", request("POST", "/", "a=%zz"), "invalid_request"},
		{"semicolon", request("POST", "/", "a=1;b=2"), "invalid_request"},
		{"not UTF-8", request("POST", "/", "a=%ff"), "invalid_request"},
		{"NUL", request("POST", "/", "a=%00"), "invalid_request"},
		{"NUL in a name", request("GET", "/?a%00=1", ""), "invalid_request"},
		{"too large", request("POST", "/", "a="+long), "invalid_request"},
		{"just fits", request("POST", "/", "a="+long[2:]), "a=" + long[2:]},
		{"compressed", request("POST", "/", "a=1", "Content-Encoding", "gzip"), "not_supported"},
		{"two types", request("POST", "/", "a=1", "Content-Type", "text/plain"), "invalid_request"},
	}
	for _, media := range []string{"text/plain", "application/json", "multipart/form-data; boundary=x", "", "application/x-www-form-urlencodedx"} {
		r := request("POST", "/", "a=1")
		r.Header.Set("Content-Type", media)
		cases = append(cases, struct {
			name string
			r    *http.Request
			want string
		}{"media type " + media, r, "invalid_request"})
	}
	chunked := request("POST", "/", "a="+long)
	chunked.ContentLength = -1
	cases = append(cases, struct {
		name string
		r    *http.Request
		want string
	}{"too large, length unknown", chunked, "invalid_request"})
	charset := request("POST", "/", "a=1")
	charset.Header.Set("Content-Type", "application/x-www-form-urlencoded; charset=UTF-8")
	cases = append(cases, struct {
		name string
		r    *http.Request
		want string
	}{"charset", charset, "a=1"})
	for _, c := range cases {
		got, err := mux.Form(c.r, "resource", "audience")
		text := url.Values(got).Encode()
		if err != nil {
			text = string(fault.CodeOf(err))
		}
		if text != c.want {
			t.Errorf("%s: %.80s, want %.80s", c.name, text, c.want)
		}
	}
}

func FuzzForm(f *testing.F) {
	f.Add("a=1&b=2", "c=3", "application/x-www-form-urlencoded")
	f.Add("resource=1&resource=2", "a=%zz", "text/plain")
	f.Add("a=%00", ";", "application/x-www-form-urlencoded; charset=\"")
	f.Fuzz(func(t *testing.T, content, query, media string) {
		r := httptest.NewRequest("POST", "/", strings.NewReader(content))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", media)
		form, err := mux.Form(r, "resource")
		if err != nil {
			if c := fault.CodeOf(err); c != fault.InvalidRequest {
				t.Fatal(c)
			}
			return
		}
		for name, values := range form {
			if len(values) == 0 || len(values) > 1 && name != "resource" {
				t.Fatalf("%q: %q", name, values)
			}
			for _, v := range values {
				if v == "" || strings.ContainsRune(v, 0) {
					t.Fatalf("%q: %q", name, v)
				}
			}
		}
	})
}

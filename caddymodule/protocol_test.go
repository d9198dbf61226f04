package caddymodule

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/html"

	"github.com/caddyserver/caddy/v2"
)

// certificate writes a self-signed certificate for hosts and returns its files
// and a pool that trusts it.
func certificate(t *testing.T, hosts ...string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, DNSNames: hosts, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	err = errors.Join(os.WriteFile(certFile, chain, 0o600), os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(chain)
	return certFile, keyFile, roots
}

// transports speak one version of HTTP each, to the loopback whatever the name.
func transports(t *testing.T, port int, roots *x509.CertPool) map[string]http.RoundTripper {
	t.Helper()
	address := fmt.Sprintf("127.0.0.1:%d", port)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	over := func(set func(*http.Protocols)) *http.Transport {
		p := new(http.Protocols)
		set(p)
		tr := &http.Transport{DialContext: dial, TLSClientConfig: &tls.Config{RootCAs: roots}, Protocols: p}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	}
	h3 := &http3.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		Dial: func(ctx context.Context, _ string, tlsConfig *tls.Config, config *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, address, tlsConfig, config)
		},
	}
	t.Cleanup(func() {
		if err := h3.Close(); err != nil {
			t.Error(err)
		}
	})
	return map[string]http.RoundTripper{
		"HTTP/1.1": over(func(p *http.Protocols) { p.SetHTTP1(true) }),
		"HTTP/2.0": over(func(p *http.Protocols) { p.SetHTTP2(true) }),
		"HTTP/3.0": h3,
	}
}

// ask sends a request and demands the version of HTTP that it came back by.
func ask(t *testing.T, tr http.RoundTripper, proto, method, target string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Add(header[i], header[i+1])
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatalf("%s: %v", proto, err)
	}
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatalf("%s: %v", proto, err)
	}
	if res.Proto != proto {
		t.Fatalf("asked by %s, answered by %s", proto, res.Proto)
	}
	return res, string(body)
}

// inputs reads the inputs of a page's form.
func inputs(t *testing.T, body string) url.Values {
	t.Helper()
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	values := url.Values{}
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode || n.Data != "input" {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		if attr["name"] != "" {
			values.Set(attr["name"], attr["value"])
		}
	}
	return values
}

// signedIn makes the first user and returns the cookie of their session at a
// site. Everything goes over one transport.
func signedIn(t *testing.T, tr http.RoundTripper, site string) string {
	t.Helper()
	m, err := caddy.ActiveContext().App("gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	links, err := m.(*App).engine.FirstLinks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{Transport: tr, Jar: jar}
	visit := func(method, target string, form url.Values) string {
		r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Accept", page)
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", r.URL.Scheme+"://"+r.URL.Host)
		}
		res, err := browser.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
			t.Fatal(res.Status, err, res.Request.URL)
		}
		return string(body)
	}
	form := inputs(t, visit(http.MethodGet, links[defaultPool], nil))
	form.Set("identifier", "ada@example.com")
	form.Set("password", "correct horse battery")
	if done := visit(http.MethodPost, links[defaultPool], form); !strings.Contains(done, strings.TrimSuffix(site, "/")) || strings.Contains(done, "*.") {
		t.Error("the page after signing in does not lead to the sites, or to a pattern of them")
	}
	visit(http.MethodGet, site, nil) // and back, with a session
	u, err := url.Parse(site)
	if err != nil {
		t.Fatal(err)
	}
	var pairs []string
	for _, c := range jar.Cookies(u) {
		pairs = append(pairs, c.String())
	}
	if len(pairs) == 0 {
		t.Fatal("no cookie of a session")
	}
	return strings.Join(pairs, "; ")
}

// The gate is the same over every version of HTTP: challenges, sign-in,
// sessions, tokens, and what the upstream is told.
func TestEveryVersionOfHTTP(t *testing.T) {
	t.Setenv("SECRET", "0123456789abcdef")
	heard := make(chan http.Header, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		heard <- r.Header.Clone()
		fmt.Fprint(w, "hello")
	}))
	defer upstream.Close()
	certFile, keyFile, roots := certificate(t, "login.localhost", "app.localhost", "a.wild.localhost")
	t.Setenv("CERT_FILE", certFile)
	t.Setenv("KEY_FILE", keyFile)
	c := run(t, `
	servers {
		protocols h1 h2 h3
	}
	auto_https disable_redirects
	skip_install_trust
	gatehouse {
		store memory
		resource https://app.localhost:$PORT a.read
		client batch {
			secret {env.SECRET}
			grant client_credentials a.read
		}
	}
}
https://login.localhost:$PORT {
	tls {$CERT_FILE} {$KEY_FILE}
	gatehouse_login
}
https://*.wild.localhost:$PORT {
	tls {$CERT_FILE} {$KEY_FILE}
	gatehouse_require {
		resource https://wild.example.com
	}
	respond hello
}
https://app.localhost:$PORT {
	tls {$CERT_FILE} {$KEY_FILE}
	@admin path /admin/*
	gatehouse_require
	gatehouse_require @admin group:operators
	reverse_proxy `+strings.TrimPrefix(upstream.URL, "http://")+`
}
`)
	login, app := fmt.Sprintf("https://login.localhost:%d", c.port), fmt.Sprintf("https://app.localhost:%d", c.port)
	all := transports(t, c.port, roots)
	session := signedIn(t, all["HTTP/2.0"], app+"/")
	<-heard
	for _, proto := range sortedKeys(all) {
		tr := all[proto]
		t.Run(proto, func(t *testing.T) {
			// A token from the token endpoint, by the same version.
			form := strings.NewReader("grant_type=client_credentials")
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, login+"/oauth2/token", form)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.SetBasicAuth("batch", "0123456789abcdef")
			res, err := tr.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			var answer struct {
				Token string `json:"access_token"`
			}
			if err := errors.Join(json.NewDecoder(res.Body).Decode(&answer), res.Body.Close()); err != nil || answer.Token == "" || res.Proto != proto {
				t.Fatal(res.Status, res.Proto, err)
			}
			challenged(t, tr, proto, app)
			challenged(t, tr, proto, fmt.Sprintf("https://a.wild.localhost:%d", c.port))

			// The upstream is told who calls, and nothing that the caller made up.
			res, body := ask(t, tr, proto, "GET", app+"/x", "Authorization", "Bearer "+answer.Token,
				"X-Auth-User", "admin", "X-Auth-Groups", "operators", "Remote-User", "admin")
			if res.StatusCode != 200 || body != "hello" {
				t.Fatalf("token: %d %s", res.StatusCode, body)
			}
			told := <-heard
			if told.Get("X-Auth-Client") != "batch" || told.Get("X-Auth-Scopes") != "a.read" || told.Get("X-Auth-Assertion") == "" || told["X-Auth-User"] != nil || told["X-Auth-Groups"] != nil || told["Remote-User"] != nil {
				t.Errorf("token: the upstream was told %v", told)
			}
			if res, _ := ask(t, tr, proto, "GET", app+"/admin/x", "Authorization", "Bearer "+answer.Token); res.StatusCode != 403 {
				t.Errorf("token at a tighter line: %d", res.StatusCode)
			}

			// A session passes, in whatever fields its cookie comes, and is not told.
			for name, cookies := range map[string][]string{
				"one field":      {"Cookie", "a=1; " + session + "; b=2"},
				"several fields": {"Cookie", "a=1", "Cookie", session, "Cookie", "b=2"},
			} {
				res, body := ask(t, tr, proto, "GET", app+"/admin/x", append(cookies, "Sec-Fetch-Site", "same-origin")...)
				if res.StatusCode != 200 {
					t.Fatalf("session in %s: %d %s", name, res.StatusCode, body)
				}
				told := <-heard
				if told.Get("X-Auth-User") == "" || !slices.Contains(strings.Split(told.Get("X-Auth-Groups"), ","), "operators") {
					t.Errorf("session in %s: the upstream was told %v", name, told)
				}
				if sent := strings.Join(told["Cookie"], "; "); sent != "a=1; b=2" {
					t.Errorf("session in %s: the upstream got the cookies %q", name, sent)
				}
			}
			// What another site's page sends on the cookie does not pass.
			if res, _ := ask(t, tr, proto, "POST", app+"/x", "Cookie", session, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"); res.StatusCode != 403 {
				t.Errorf("another site's form: %d", res.StatusCode)
			}
		})
	}
}

// challenged demands what nobody gets: a script a challenge, a person a way to
// sign in, with a cookie that binds it to the browser.
func challenged(t *testing.T, tr http.RoundTripper, proto, app string) {
	t.Helper()
	res, _ := ask(t, tr, proto, "GET", app+"/x", "Accept", script)
	if want := `Bearer resource_metadata="` + app + "/.well-known/oauth-protected-resource"; res.StatusCode != 401 || !strings.HasPrefix(res.Header.Get("WWW-Authenticate"), want) {
		t.Errorf("no token: %d %v", res.StatusCode, res.Header)
	}
	res, _ = ask(t, tr, proto, "GET", app+"/x", "Authorization", "Bearer nonsense")
	if res.StatusCode != 401 || !strings.Contains(res.Header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		t.Errorf("a bad token: %d %v", res.StatusCode, res.Header)
	}
	res, _ = ask(t, tr, proto, "GET", app+"/x", "Accept", page, "Sec-Fetch-Mode", "navigate")
	if res.StatusCode/100 != 3 || !strings.Contains(res.Header.Get("Location"), "/oauth2/authorize?") || len(res.Cookies()) == 0 {
		t.Errorf("a person: %d %v", res.StatusCode, res.Header)
	}
	for _, cookie := range res.Cookies() {
		if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteLaxMode || !strings.HasPrefix(cookie.Name, "__Host-") {
			t.Errorf("a cookie that others could read or set: %s", cookie)
		}
	}
}

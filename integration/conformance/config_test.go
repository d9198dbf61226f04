package conformance

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// configModules show the Config OP plan.
func configModules() modules {
	return modules{"oidcc-discovery-endpoint-verification": func(p *party) {
		discovery(p)
		overTLS(p)
	}}
}

func oidcConfig() *oidc.Config { return &oidc.Config{ClientID: rp.ID} }

// metadata reads the discovery document (OpenID Connect Discovery 4).
func (p *party) metadata() map[string]any {
	p.t.Helper()
	return p.public(p.w.host.Base + "/.well-known/openid-configuration")
}

// public reads a document that anybody may, scripts of any site among them.
func (p *party) public(address string) map[string]any {
	p.t.Helper()
	res, body, err := harness.Do(http.MethodGet, address, http.Header{"Origin": {"https://spa.example.com"}})
	if err != nil {
		p.t.Fatal(err)
	}
	media, _, _ := mime.ParseMediaType(res.Header.Get("Content-Type"))
	if res.StatusCode != http.StatusOK || media != "application/json" || res.Header.Get("Access-Control-Allow-Origin") != "*" {
		p.t.Fatalf("%s: %d %s, Access-Control-Allow-Origin %q", address, res.StatusCode, media, res.Header.Get("Access-Control-Allow-Origin"))
	}
	var out map[string]any
	if err := json.Unmarshal([]byte(body), &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// list returns a JSON array of strings, nil if it is none.
func list(value any) []string {
	items, _ := value.([]any)
	var out []string
	for _, item := range items {
		s, ok := item.(string)
		if !ok {
			return nil
		}
		out = append(out, s)
	}
	return out
}

// discovery checks the document as the suite does, but for https: this server
// is on the loopback, where plain HTTP will do.
func discovery(p *party) {
	m := p.metadata()
	if m["issuer"] != p.w.host.Base {
		p.t.Errorf("issuer %v, want %s", m["issuer"], p.w.host.Base)
	}
	for _, name := range []string{
		"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri",
		"revocation_endpoint", "introspection_endpoint", "end_session_endpoint",
	} {
		p.address(m, name)
	}
	for name, wanted := range map[string][]string{
		"response_types_supported":              {"code"},
		"response_modes_supported":              {"query", "form_post"},
		"grant_types_supported":                 {"authorization_code", "refresh_token"},
		"subject_types_supported":               {"public"},
		"id_token_signing_alg_values_supported": {"RS256"},
		"token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post"},
		"scopes_supported":                      {"openid", "profile", "email", "address", "phone"},
		"claims_supported":                      {"sub", "iss", "auth_time", "acr", "name", "email", "email_verified", "address", "phone_number"},
		"code_challenge_methods_supported":      {"S256"},
		"ui_locales_supported":                  {"en", "de"},
	} {
		got := list(m[name])
		for _, value := range wanted {
			if !slices.Contains(got, value) {
				p.t.Errorf("%s is %v, without %s", name, m[name], value)
			}
		}
	}
	for name, never := range map[string][]string{
		"response_types_supported": {"token", "id_token", "id_token token"}, "grant_types_supported": {"implicit", "password"},
		"id_token_signing_alg_values_supported": {"none", "HS256"}, "code_challenge_methods_supported": {"plain"},
	} {
		for _, value := range never {
			if slices.Contains(list(m[name]), value) {
				p.t.Errorf("%s has %s", name, value)
			}
		}
	}
	for name, want := range map[string]bool{
		"request_parameter_supported": false, "request_uri_parameter_supported": false,
		"claims_parameter_supported": true, "authorization_response_iss_parameter_supported": true,
	} {
		if m[name] != want {
			p.t.Errorf("%s is %v, want %t", name, m[name], want)
		}
	}
	p.keysAreSound()
}

const tlsSite = `{
	admin {{admin}}
	skip_install_trust
	auto_https disable_redirects
	gatehouse {
		store memory
	}
}
https://localhost:{{port site}} {
	tls internal
	gatehouse_login
}
`

// overTLS wants https of every address in the document of a server that has it.
func overTLS(p *party) {
	dir, err := os.MkdirTemp("", "conformance") // the module's name is too long for a socket below it
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := harness.Start(p.t, tlsSite, harness.Options{Dir: dir})
	base := "https://localhost:" + strconv.Itoa(s.Port("site"))
	var m map[string]any
	if err := json.Unmarshal(fetchTLS(p, s, base+"/.well-known/openid-configuration"), &m); err != nil {
		p.t.Fatal(err)
	}
	if m["issuer"] != base {
		p.t.Errorf("issuer %v, want %s", m["issuer"], base)
	}
	addresses := 0
	for name, value := range m {
		if strings.HasSuffix(name, "_endpoint") || name == "jwks_uri" {
			addresses++
			if text, _ := value.(string); !strings.HasPrefix(text, base+"/") {
				p.t.Errorf("%s is %v", name, value)
			}
		}
	}
	if addresses < 7 {
		p.t.Errorf("%d addresses in %v", addresses, m)
	}
}

// fetchTLS reads a document from a server with a certificate of Caddy's own
// authority, which is made at the first start.
func fetchTLS(p *party, s *harness.Server, address string) []byte {
	p.t.Helper()
	root := filepath.Join(filepath.Dir(s.Data), "pki", "authorities", "local", "root.crt")
	var last error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		pem, err := os.ReadFile(root)
		if err != nil {
			last = err
			continue
		}
		trusted := x509.NewCertPool()
		trusted.AppendCertsFromPEM(pem)
		client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}, DisableKeepAlives: true}}
		res, err := client.Get(address)
		if err != nil {
			last = err
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode != http.StatusOK {
			p.t.Fatalf("%s: %d %s, %v", address, res.StatusCode, body, err)
		}
		return body
	}
	p.t.Fatalf("%s: %v", address, last)
	return nil
}

// address checks an endpoint: absolute, at the issuer, without query and fragment.
func (p *party) address(m map[string]any, name string) {
	p.t.Helper()
	text, _ := m[name].(string)
	u, err := url.Parse(text)
	if err != nil || !strings.HasPrefix(text, p.w.host.Base+"/") || u.RawQuery != "" || u.Fragment != "" {
		p.t.Errorf("%s is %v", name, m[name])
	}
}

// keys are the published ones.
func (p *party) keys() []map[string]any {
	p.t.Helper()
	address, _ := p.metadata()["jwks_uri"].(string)
	set, _ := p.public(address)["keys"].([]any)
	var out []map[string]any
	for _, key := range set {
		if members, ok := key.(map[string]any); ok {
			out = append(out, members)
		}
	}
	if len(out) == 0 || len(out) != len(set) {
		p.t.Fatalf("the keys are %v", set)
	}
	return out
}

func (p *party) keyIDs() []string {
	p.t.Helper()
	var ids []string
	for _, key := range p.keys() {
		id, _ := key["kid"].(string)
		ids = append(ids, id)
	}
	return ids
}

// keysAreSound: public keys, each with a name of its own, and an RSA one for
// RS256 (RFC 7517 4, RFC 7518 6).
func (p *party) keysAreSound() {
	p.t.Helper()
	members := map[string][]string{"RSA": {"n", "e"}, "EC": {"crv", "x", "y"}, "OKP": {"crv", "x"}}
	seen, rsa := map[any]bool{}, false
	for _, key := range p.keys() {
		kind, _ := key["kty"].(string)
		rsa = rsa || kind == "RSA" && key["alg"] == "RS256"
		if id, _ := key["kid"].(string); id == "" || seen[id] || key["use"] != "sig" || members[kind] == nil {
			p.t.Errorf("a key: %v", key)
		}
		seen[key["kid"]] = true
		for _, name := range members[kind] {
			if value, _ := key[name].(string); value == "" {
				p.t.Errorf("a key without %s: %v", name, key)
			}
		}
		for _, private := range []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"} {
			if _, has := key[private]; has {
				p.t.Errorf("a private key is published: %s of %v", private, key["kid"])
			}
		}
	}
	if !rsa {
		p.t.Error("no key for RS256")
	}
}

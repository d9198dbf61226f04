package pool

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

func TestAllowsRedirect(t *testing.T) {
	uris := []string{"https://shop.example.com/callback", "http://127.0.0.1/cb", "http://[::1]:7/cb?x=1", "com.example.app:/cb", "http://localhost:3000/cb"}
	for _, c := range []struct {
		uri         string
		web, native bool
	}{
		{"https://shop.example.com/callback", true, true},
		{"https://shop.example.com/callback/", false, false},
		{"https://shop.example.com/Callback", false, false},
		{"https://SHOP.example.com/callback", false, false},
		{"https://shop.example.com:443/callback", false, false},
		{"https://shop.example.com/callback?x", false, false},
		{"https://shop.example.com/callback#x", false, false},
		{"https://shop.example.com/x/../callback", false, false},
		{"https://shop.example.com.evil.example/callback", false, false},
		{"https://shop.example.com@evil.example/callback", false, false},
		{"http://shop.example.com/callback", false, false},
		{"http://127.0.0.1/cb", true, true},
		{"http://127.0.0.1:49152/cb", false, true},
		{"http://127.0.0.1:0/cb", false, false},
		{"http://127.0.0.1:65536/cb", false, false},
		{"http://127.0.0.1:+80/cb", false, false},
		{"http://127.0.0.1:/cb", false, false},
		{"http://127.0.0.1:80@evil.example/cb", false, false},
		{"http://127.0.0.1.evil.example/cb", false, false},
		{"http://127.0.0.1:80/cb2", false, false},
		{"http://127.0.0.1:80/cb#f", false, false},
		{"http://127.0.0.2:80/cb", false, false},
		{"https://127.0.0.1:80/cb", false, false},
		{"http://[::1]:7/cb?x=1", true, true},
		{"http://[::1]:8/cb?x=1", false, true},
		{"http://[::1]/cb?x=1", false, true},
		{"http://[::1]:8/cb", false, false},
		{"http://localhost:3001/cb", false, true},
		{"http://localhost:3001\\@evil.example/cb", false, false},
		{"http://localhost.evil.example:3000/cb", false, false},
		{"com.example.app:/cb", true, true},
		{"", false, false},
	} {
		if got := (&Client{RedirectURIs: uris}).AllowsRedirect(c.uri); got != c.web {
			t.Errorf("web, %q: %v", c.uri, got)
		}
		if got := (&Client{RedirectURIs: uris, Native: true}).AllowsRedirect(c.uri); got != c.native {
			t.Errorf("native, %q: %v", c.uri, got)
		}
	}
	if (&Client{Native: true, RedirectURIs: []string{"http://127.0.0.1/cb"}}).AllowsRedirect("http://localhost/cb") {
		t.Error("localhost was not registered")
	}
}

func FuzzAllowsRedirect(f *testing.F) {
	for _, s := range []string{"http://127.0.0.1:1/cb", "http://localhost:99/cb?x", "http://[::1]/", "http://127.0.0.1:80@evil/cb", "https://a.example/cb"} {
		f.Add(s)
	}
	c := &Client{Native: true, RedirectURIs: []string{"https://a.example/cb", "http://127.0.0.1/cb", "http://[::1]:1/cb", "http://localhost:1/cb"}}
	f.Fuzz(func(t *testing.T, s string) {
		if !c.AllowsRedirect(s) {
			return
		}
		if s == "https://a.example/cb" {
			return
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme != "http" || !Loopback(u.Hostname()) || u.Path != "/cb" || u.RawQuery != "" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q was let through: %v", s, err)
		}
	})
}

func TestValidateRedirectURI(t *testing.T) {
	for uri, native := range map[string]bool{
		"https://a.example/cb":         false,
		"https://a.example":            false,
		"http://localhost:3000/cb":     false,
		"http://app.localhost:3000/cb": false,
		"http://127.0.0.1/cb":          false,
		"http://[::1]:8/cb":            false,
		"com.example.app:/cb":          true,
		"com.example.app://auth/cb":    true,
	} {
		if err := ValidateRedirectURI(uri, native); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
	for _, uri := range []string{
		"", "/cb", "a.example/cb", "//a.example/cb", "https:///cb", "https://a.example/cb#f", "https://a.example/cb#", "https://u@a.example/cb", "https://*.a.example/cb",
		"http://a.example/cb", "http://127.0.0.1.a.example/cb", "javascript:alert(1)", "data:text/html,x", "file:///x", "app:/cb",
		"https://a.example/c b", "https://a.example/\ncb", `https://a.example\@b.example/`, "https://a.example/\u00e4", "https://a.example/" + strings.Repeat("x", 2048),
	} {
		for _, native := range []bool{true, false} {
			if err := ValidateRedirectURI(uri, native); !errors.Is(err, fault.Invalid) {
				t.Errorf("%q, native %v: %v", uri, native, err)
			}
		}
	}
	if err := ValidateRedirectURI("com.example.app:/cb", false); !errors.Is(err, fault.Invalid) {
		t.Errorf("a private scheme for a web client: %v", err)
	}
}

func TestAuthenticate(t *testing.T) {
	a, b := NewClientSecret(secret.Hide("first")), NewClientSecret(secret.Hide("second"))
	c := &Client{Secrets: []ClientSecret{a, b}}
	for value, want := range map[string]string{"first": a.ID, "second": b.ID, "third": "", "": "", "firstsecond": "", "First": ""} {
		if id, ok := c.Authenticate(value); id != want || ok != (want != "") {
			t.Errorf("%q: %q, %v", value, id, ok)
		}
	}
	if _, ok := (&Client{}).Authenticate(""); ok {
		t.Error("a public client was authenticated by nothing")
	}
	if _, ok := (&Client{Secrets: []ClientSecret{{ID: "x"}}}).Authenticate(""); ok {
		t.Error("an empty secret was accepted")
	}
	if a.ID == b.ID || strings.Contains(fmt.Sprintf("%v%+v%#v", a, a, a), "first") {
		t.Error("a secret shows, or ids are alike")
	}
	if !c.Confidential() || (&Client{}).Confidential() {
		t.Error("confidential")
	}
}

func TestFindResource(t *testing.T) {
	p := targetPool()
	for uri, want := range map[string]string{
		orders:                            orders,
		orders + "/":                      orders,
		"https://orders.example.com:443":  orders,
		"HTTPS://ORDERS.example.COM/":     orders,
		stock:                             stock,
		stock + "/":                       stock,
		stock + "//":                      "",
		"https://stock.example.com/API":   "",
		"https://stock.example.com":       "",
		"http://orders.example.com":       "",
		"https://orders.example.com:8443": "",
		"https://orders.example.com?x":    "",
		"https://orders.example.com?":     "",
		"https://orders.example.com#":     "",
		"https://u@orders.example.com":    "",
		"orders.example.com":              "",
		"":                                "",
		"https://orders.example.com.":     "",
		"https://orders.example.com\\":    "",
	} {
		got := ""
		if r := p.FindResource(uri); r != nil {
			got = r.ID
		}
		if got != want {
			t.Errorf("%q: %q, want %q", uri, got, want)
		}
	}
	if p.ScopeOwner("stock.read").ID != stock || p.ScopeOwner("openid") != nil || p.ScopeOwner("x") != nil {
		t.Error("scope owner")
	}
	for _, id := range []string{"urn:example:orders", "https://a.example/x?y=1"} {
		if err := ValidateResourceID(id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
}

func goodPool() *Pool {
	p := targetPool()
	p.ID, p.Name = "xx-edge-1_AbC123xyz", "default"
	p.Session = SessionPolicy{Idle: time.Hour, Absolute: time.Hour}
	p.Token = TokenPolicy{Access: time.Minute, ID: time.Minute, Refresh: time.Hour, Alg: jose.ES256, IDAlg: jose.RS256}
	p.Groups = map[string]*Group{"staff": {Name: "staff"}}
	p.Clients = map[ClientID]*Client{
		"shop": {
			ID: "shop", AuthMethods: []string{AuthNone}, Grants: []string{GrantCode, GrantRefresh}, RedirectURIs: []string{"https://shop.example.com/cb"},
			Scopes: []string{"openid", "orders.read"}, DefaultScopes: []string{"openid"}, Resources: []string{orders}, DefaultResource: orders,
		},
		"batch": {
			ID: "batch", Secrets: []ClientSecret{NewClientSecret(secret.Hide("s"))}, AuthMethods: []string{AuthBasic, AuthPost},
			Grants: []string{GrantClient}, MachineScopes: []string{"orders.read"}, Resources: []string{orders},
		},
		"site:https://app.example.com": {
			ID: "site:https://app.example.com", Site: true, AuthMethods: []string{AuthNone}, Grants: []string{GrantCode},
			RedirectURIs: []string{"https://app.example.com/_auth/callback"},
		},
	}
	return p
}

func TestValidatePool(t *testing.T) {
	if err := goodPool().Validate(); err != nil {
		t.Fatal(err)
	}
	shop := func(p *Pool) *Client { return p.Clients["shop"] }
	for name, spoil := range map[string]func(*Pool){
		"id":                           func(p *Pool) { p.ID = "default" },
		"name":                         func(p *Pool) { p.Name = "De fault" },
		"issuer with slash":            func(p *Pool) { p.Issuer += "/" },
		"issuer with query":            func(p *Pool) { p.Issuer += "?x" },
		"issuer over plain http":       func(p *Pool) { p.Issuer = "http://login.example.com" },
		"relative issuer":              func(p *Pool) { p.Issuer = "login.example.com" },
		"no access life":               func(p *Pool) { p.Token.Access = 0 },
		"access beyond revocations":    func(p *Pool) { p.Token.Access = MaxAccess + 1 },
		"long grace":                   func(p *Pool) { p.Token.ReuseGrace = time.Hour },
		"algorithm":                    func(p *Pool) { p.Token.Alg = "none" },
		"group":                        func(p *Pool) { p.Groups["a,b"] = &Group{Name: "a,b"} },
		"resource twice":               func(p *Pool) { p.Resources[orders+"/"] = &Resource{ID: orders + "/"} },
		"resource with fragment":       func(p *Pool) { p.Resources["https://x.example/#a"] = &Resource{ID: "https://x.example/#a"} },
		"scope of two resources":       func(p *Pool) { p.Resources[site].Scopes = []string{"stock.read"} },
		"OIDC scope in a resource":     func(p *Pool) { p.Resources[site].Scopes = []string{"openid"} },
		"malformed scope":              func(p *Pool) { p.Resources[site].Scopes = []string{"a b"} },
		"client id listed as other":    func(p *Pool) { shop(p).ID = "other" },
		"UUID as client id":            func(p *Pool) { c := shop(p); c.ID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"; p.Clients[c.ID] = c },
		"site: as client id":           func(p *Pool) { c := *shop(p); c.ID = "site:https://x.example"; p.Clients[c.ID] = &c },
		"https: as client id":          func(p *Pool) { c := *shop(p); c.ID = "https://x.example/c"; p.Clients[c.ID] = &c },
		"site without its prefix":      func(p *Pool) { shop(p).Site = true },
		"three secrets":                func(p *Pool) { c := p.Clients["batch"]; c.Secrets = slices.Repeat(c.Secrets, 3) },
		"empty secret":                 func(p *Pool) { p.Clients["batch"].Secrets = []ClientSecret{{ID: "x"}} },
		"none with a secret":           func(p *Pool) { p.Clients["batch"].AuthMethods = []string{AuthNone} },
		"basic without a secret":       func(p *Pool) { shop(p).AuthMethods = []string{AuthBasic} },
		"unknown authentication":       func(p *Pool) { p.Clients["batch"].AuthMethods = []string{"magic"} },
		"unknown grant":                func(p *Pool) { shop(p).Grants = []string{"password"} },
		"machine without a secret":     func(p *Pool) { shop(p).Grants = []string{GrantClient} },
		"code without redirect":        func(p *Pool) { shop(p).RedirectURIs = nil },
		"plain http redirect":          func(p *Pool) { shop(p).RedirectURIs = []string{"http://shop.example.com/cb"} },
		"public without PKCE":          func(p *Pool) { shop(p).PKCEOptional = true },
		"unknown scope":                func(p *Pool) { shop(p).Scopes = []string{"orders.raed"} },
		"default scope not its own":    func(p *Pool) { shop(p).DefaultScopes = []string{"email"} },
		"machine scope of OIDC":        func(p *Pool) { p.Clients["batch"].MachineScopes = []string{"openid"} },
		"unknown resource":             func(p *Pool) { shop(p).Resources = []string{"https://x.example"} },
		"default resource not its own": func(p *Pool) { shop(p).DefaultResource = stock },
		"access life":                  func(p *Pool) { shop(p).Access = -1 },
		"ID token algorithm":           func(p *Pool) { shop(p).IDAlg = "HS256" },
	} {
		p := goodPool()
		spoil(p)
		if err := p.Validate(); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := goodPool()
	p.Name, p.Issuer, p.Clients["shop"].Grants = "X", "", []string{"password"}
	if err := p.Validate(); strings.Count(err.Error(), "\n") < 2 {
		t.Errorf("not every problem is told: %v", err)
	}
}

func TestPrincipal(t *testing.T) {
	p := &Principal{Scopes: []string{"a"}, Groups: []string{"g"}}
	if !p.HasScope("a") || p.HasScope("b") || !p.InGroup("g") || p.InGroup("") {
		t.Error("principal")
	}
}

func TestValidateOrigin(t *testing.T) {
	for _, origin := range []string{
		"https://app.example.com", "https://app.example.com:8443", "https://203.0.113.7", "https://[2001:db8::1]:8443", "https://xn--bcher-kva.example",
		"http://localhost", "http://localhost:3000", "http://app.localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000", "https://localhost:80",
	} {
		if err := ValidateOrigin(origin); err != nil {
			t.Errorf("%s: %v", origin, err)
		}
	}
	for origin, hint := range map[string]string{
		"":                                "is no origin",
		"*":                               "is no origin",
		"null":                            "is no origin",
		"app.example.com":                 "is no origin",
		"//app.example.com":               "is no origin",
		"https://":                        "is no origin",
		"https://*.example.com":           "is no origin",
		"https://{env.HOST}":              "is no origin",
		"file:///x":                       "is no origin",
		"moz-extension://x":               "is no origin",
		"https://app.example.com:port":    "is no origin",
		"http://app.example.com":          "must be https",
		"http://localhost.example.com":    "must be https",
		"https://app.example.com/":        "did you mean https://app.example.com?",
		"https://app.example.com/x?y#z":   "did you mean https://app.example.com?",
		"https://user@app.example.com":    "did you mean https://app.example.com?",
		"https://app.example.com:443":     "did you mean https://app.example.com?",
		"http://localhost:80":             "did you mean http://localhost?",
		"https://app.example.com:":        "did you mean https://app.example.com?",
		"HTTPS://App.example.com":         "did you mean https://app.example.com?",
		"https://APP.example.com:8443":    "did you mean https://app.example.com:8443?",
		"https://app.example.com\nevil":   "is no origin",
		"https://app.example.com, https:": "is no origin",
	} {
		err := ValidateOrigin(origin)
		if !errors.Is(err, fault.Invalid) || !strings.Contains(err.Error(), hint) {
			t.Errorf("%q: %v, want %q", origin, err, hint)
		}
	}
}

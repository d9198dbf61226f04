package authcore

import (
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// A site of many origins has no client of its own: it is made when its id is
// asked for, if the pattern covers it.
func TestSitesOfManyOrigins(t *testing.T) {
	c := PoolConfig{
		Issuer:    "https://login.example.com",
		Resources: []ResourceConfig{{ID: "https://apps.example.com", Scopes: []string{"a.read"}, Texts: map[string]string{"a.read": "See it"}}},
		Sites: []SiteConfig{
			{Origin: "https://*.apps.example.com", Resource: "https://apps.example.com"},
			{Origin: "https://*.apps.example.com", Resource: "https://api.example.com"},
			{Origin: "*", Resource: "https://api.example.com"},
			{Origin: "https://app.example.com"},
		},
	}
	p, err := resolve(c, repo.Identity{ID: "xx-edge-1_validate0", Name: "default", Issuer: c.Issuer})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.SitePatterns) != 1 || p.SitePatterns[0] != "https://*.apps.example.com" || len(p.Clients) != 1 {
		t.Errorf("patterns %q, %d clients", p.SitePatterns, len(p.Clients))
	}
	for origin, want := range map[string]bool{
		"https://app.example.com": true, "https://a.apps.example.com": true,
		"https://a.b.apps.example.com": false, "https://apps.example.com": false, "https://*.apps.example.com": false, "http://a.apps.example.com": false, "*": false, "https://x.example": false,
	} {
		cl := p.Client(siteClient(origin))
		if (cl != nil) != want || cl != nil && !cl.AllowsRedirect(origin+pool.SiteCallback) {
			t.Errorf("%s: %+v", origin, cl)
		}
	}
	for id, site := range map[string]bool{"https://apps.example.com": false, "https://api.example.com": true, "https://app.example.com": true} {
		if r := p.FindResource(id); r == nil || r.Site != site {
			t.Errorf("%s: %+v", id, r)
		}
	}
	if p.FindResource("https://apps.example.com").Texts["a.read"] != "See it" {
		t.Error("the text of a scope is lost")
	}
}

// What a client may say about its users' browsers is judged with its place.
func TestClientsOfBrowsersAreJudged(t *testing.T) {
	good := ClientConfig{
		ID: "spa", Redirects: []string{"https://spa.example.com/cb"}, Logouts: []string{"https://spa.example.com/"},
		Origins: []string{"https://spa.example.com"}, Consent: true, Scopes: []string{"openid", "address"}, Where: "Caddyfile:7",
	}
	judge := func(c ClientConfig) error {
		config := Config{Pools: []PoolConfig{{Issuer: "https://login.example.com", Clients: []ClientConfig{c}}}}
		return config.Validate()
	}
	if err := judge(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*ClientConfig){
		"logout over http":         func(c *ClientConfig) { c.Logouts = []string{"http://spa.example.com/"} },
		"logout to a script":       func(c *ClientConfig) { c.Logouts = []string{"javascript:alert(1)"} },
		"logout to an app":         func(c *ClientConfig) { c.Logouts = []string{"com.example.app:/out"} },
		"logout with a wildcard":   func(c *ClientConfig) { c.Logouts = []string{"https://*.example.com/"} },
		"origin over http":         func(c *ClientConfig) { c.Origins = []string{"http://spa.example.com"} },
		"origin of everybody":      func(c *ClientConfig) { c.Origins = []string{"*"} },
		"origin of opaque origins": func(c *ClientConfig) { c.Origins = []string{"null"} },
	} {
		c := good
		spoil(&c)
		if err := judge(c); err == nil || !strings.Contains(err.Error(), "Caddyfile:7") || !strings.Contains(err.Error(), "client spa") {
			t.Errorf("%s: %v", name, err)
		}
	}
	native := good
	native.Native, native.Logouts = true, []string{"com.example.app:/out"}
	if err := judge(native); err != nil {
		t.Error(err)
	}
}

// An API that asks about tokens registers with a secret and its resource, and
// can get no token of its own.
func TestAClientThatOnlyIntrospects(t *testing.T) {
	c := PoolConfig{
		Issuer:    "https://login.example.com",
		Resources: []ResourceConfig{{ID: "https://orders.example.com", Scopes: []string{"orders.read"}}},
		Clients:   []ClientConfig{{ID: "orders-api", Secrets: []secret.Hidden{secret.Hide("0123456789abcdef")}, Resources: []string{"https://orders.example.com"}}},
	}
	p, err := resolve(c, repo.Identity{ID: "xx-edge-1_Test00000", Name: "default", Issuer: c.Issuer})
	if err != nil {
		t.Fatal(err)
	}
	if grants := p.Clients["orders-api"].Grants; len(grants) != 0 {
		t.Errorf("it has the grants %v", grants)
	}
	c.Clients[0].Resources = nil
	if _, err := resolve(c, repo.Identity{ID: "xx-edge-1_Test00000", Name: "default", Issuer: c.Issuer}); err == nil || !strings.Contains(err.Error(), "redirect URI") {
		t.Errorf("a client that can do nothing is taken: %v", err)
	}
}

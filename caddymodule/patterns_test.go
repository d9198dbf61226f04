package caddymodule

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

const (
	ownLogin = "login.example.com {\n\tgatehouse_login\n}\n"
	asAPI    = " {\n\t\tresource https://api.example.com\n\t}\n"
)

// A site may stand for many origins if it is named as a resource.
func TestPatternsOfOrigins(t *testing.T) {
	for name, c := range map[string]struct {
		text  string
		sites []string // origin and resource
	}{
		"wildcard":           {ownLogin + "*.example.org {\n\tgatehouse_require" + asAPI + "}", []string{"https://*.example.org https://api.example.com"}},
		"wildcard on a port": {ownLogin + "*.example.org:8443 {\n\tgatehouse_require" + asAPI + "}", []string{"https://*.example.org:8443 https://api.example.com"}},
		"upper case":         {ownLogin + "*.Example.ORG {\n\tgatehouse_require" + asAPI + "}", []string{"https://*.example.org https://api.example.com"}},
		"wildcard and host": {ownLogin + "*.example.org, app.example.net {\n\tgatehouse_require" + asAPI + "}",
			[]string{"https://*.example.org https://api.example.com", "https://app.example.net https://api.example.com"}},
		"behind a proxy that ends TLS": {ownLogin + "http://*.example.org {\n\tgatehouse_require" + asAPI + "}",
			[]string{"http://*.example.org https://api.example.com", "https://*.example.org https://api.example.com"}},
		"on the machine":  {"http://localhost:8080 {\n\tgatehouse_login\n}\nhttp://*.localhost:8080 {\n\tgatehouse_require" + asAPI + "}", []string{"http://*.localhost:8080 https://api.example.com"}},
		"open on purpose": {ownLogin + "*.example.org {\n\tgatehouse_public" + asAPI + "\treverse_proxy localhost:1\n}", []string{"https://*.example.org https://api.example.com"}},
		"a tightening line": {ownLogin + "*.example.org {\n\t@w not method GET\n\tgatehouse_require" + asAPI + "\tgatehouse_require @w group:operators\n\treverse_proxy localhost:1\n}",
			[]string{"https://*.example.org https://api.example.com"}},
		"a host in a wildcard": {ownLogin + "*.example.org {\n\tgatehouse_public" + asAPI + "\t@app host app.example.org\n\thandle @app {\n\t\tgatehouse_require\n\t\treverse_proxy localhost:1\n\t}\n}",
			[]string{"https://*.example.org https://api.example.com", "https://app.example.org "}},
		"tokens at any host":  {ownLogin + ":8443 {\n\tgatehouse_require api" + asAPI + "\treverse_proxy localhost:1\n}", []string{"* https://api.example.com"}},
		"anybody at any host": {ownLogin + "http:// {\n\tgatehouse_public" + asAPI + "\treverse_proxy localhost:1\n}", []string{"* https://api.example.com"}},
		"scopes at any host": {"{\n\tgatehouse {\n\t\tresource https://api.example.com a.read\n\t}\n}\n" + ownLogin + ":8443 {\n\tgatehouse_require scope:a.read" + asAPI + "\treverse_proxy localhost:1\n}",
			[]string{"* https://api.example.com"}},
		"a free site beside any host": {ownLogin + ":8443 {\n\tgatehouse_require api" + asAPI + "}\n:9443 {\n\treverse_proxy localhost:1\n}\nfree.example.org:8443 {\n\treverse_proxy localhost:1\n}",
			[]string{"* https://api.example.com"}},
		"a free site beside a wildcard": {ownLogin + "*.example.org {\n\tgatehouse_require" + asAPI + "}\nfree.example.org {\n\treverse_proxy localhost:1\n}",
			[]string{"https://*.example.org https://api.example.com"}},
	} {
		app, err := placed(t, c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var sites []string
		for _, s := range app.poolConfig(defaultPool).Sites {
			sites = append(sites, s.Origin+" "+s.Resource)
		}
		slices.Sort(sites)
		if !slices.Equal(sites, c.sites) {
			t.Errorf("%s: sites %q", name, sites)
		}
		for _, g := range app.gates {
			for _, o := range g.origins {
				if !slices.ContainsFunc(sites, func(s string) bool { return strings.HasPrefix(s, o+" ") }) {
					t.Errorf("%s: the gate's origin %s is none of %q", name, o, sites)
				}
			}
		}
	}
}

// What would be left open, or could not work, is refused with a way out.
func TestPatternsAreRefused(t *testing.T) {
	const open = "add gatehouse_require, or gatehouse_public to say that it is open"
	const two = "{\n\tgatehouse {\n\t\tpool b\n\t}\n}\nb.example.com {\n\tgatehouse_login b\n}\n" + ownLogin
	for name, c := range map[string]struct{ text, want string }{
		"wildcard without a resource":  {ownLogin + "*.example.org {\n\tgatehouse_require\n}", "a site with a wildcard has no name as a resource: add `resource"},
		"any host without a resource":  {ownLogin + ":8443 {\n\tgatehouse_require api\n}", "a site without a host name has no name as a resource: add `resource"},
		"any host for people":          {ownLogin + ":8443 {\n\tgatehouse_require" + asAPI + "}", "with the condition `api`"},
		"any host, a line for people":  {ownLogin + ":8443 {\n\t@w not method GET\n\tgatehouse_require api" + asAPI + "\tgatehouse_require @w group:operators\n}", "with the condition `api`"},
		"wildcard in a second label":   {ownLogin + "http://app.*.example.org {\n\tgatehouse_require" + asAPI + "}", "whole first label"},
		"two wildcards":                {ownLogin + "http://*.*.example.org {\n\tgatehouse_require" + asAPI + "}", "whole first label"},
		"placeholder":                  {ownLogin + "http://{env.HOST} {\n\tgatehouse_require" + asAPI + "}", "has a placeholder"},
		"login at a wildcard":          {"*.example.org {\n\tgatehouse_login\n}", "a host name of its own"},
		"login at any host":            {":8443 {\n\tgatehouse_login\n}", "a host name of its own"},
		"one site at a wildcard":       {"*.example.org {\n\tgatehouse {\n\t\tresource https://api.example.com\n\t}\n}", "a host name of its own"},
		"one site at any host":         {":8443 {\n\tgatehouse {\n\t\tresource https://api.example.com\n\t}\n}", "a host name of its own"},
		"one site at a placeholder":    {"http://{env.HOST} {\n\tgatehouse\n}", "a host name of its own"},
		"which resource":               {ownLogin + "*.example.org {\n\thandle /a/* {\n\t\tgatehouse_require {\n\t\t\tresource https://a.example.com\n\t\t}\n\t}\n\thandle /b/* {\n\t\tgatehouse_require {\n\t\t\tresource https://b.example.com\n\t\t}\n\t}\n\thandle {\n\t\tgatehouse_require\n\t}\n}", "say `resource` at this gate too"},
		"open before the gate":         {ownLogin + "*.example.org {\n\troute {\n\t\treverse_proxy localhost:1\n\t\tgatehouse_require {\n\t\t\tresource https://api.example.com\n\t\t}\n\t}\n}", open},
		"open beside the gate":         {ownLogin + "*.example.org {\n\thandle /api/* {\n\t\treverse_proxy localhost:1\n\t}\n\thandle {\n\t\tgatehouse_require {\n\t\t\tresource https://api.example.com\n\t\t}\n\t}\n}", open},
		"open host of a wildcard":      {ownLogin + "*.example.org {\n\t@a host a.example.org\n\thandle @a {\n\t\treverse_proxy localhost:1\n\t}\n\thandle {\n\t\tgatehouse_require {\n\t\t\tresource https://api.example.com\n\t\t}\n\t}\n}", open},
		"open at any host":             {ownLogin + ":8443 {\n\thandle /api/* {\n\t\treverse_proxy localhost:1\n\t}\n\thandle {\n\t\tgatehouse_require api {\n\t\t\tresource https://api.example.com\n\t\t}\n\t}\n}", open},
		"another block of a wildcard":  {ownLogin + "*.example.org {\n\tgatehouse_require" + asAPI + "}\n*.example.org/open/* {\n\treverse_proxy localhost:1\n}", open},
		"the rest goes to a wildcard":  {ownLogin + "app.example.org/app/* {\n\tgatehouse_require api\n}\n*.example.org {\n\treverse_proxy localhost:1\n}", open},
		"the rest goes to any host":    {ownLogin + "app.example.org/app/* {\n\tgatehouse_require api\n}\n:443 {\n\treverse_proxy localhost:1\n}", open},
		"error routes of a wildcard":   {ownLogin + "*.example.org {\n\tgatehouse_require" + asAPI + "\treverse_proxy localhost:1\n\thandle_errors {\n\t\treverse_proxy localhost:2\n\t}\n}", open},
		"error routes of any host":     {ownLogin + ":8443 {\n\tgatehouse_require api" + asAPI + "\treverse_proxy localhost:1\n\thandle_errors {\n\t\treverse_proxy localhost:2\n\t}\n}", open},
		"error routes of a host in it": {ownLogin + "*.example.org {\n\tgatehouse_require" + asAPI + "}\na.example.org {\n\trespond hi\n\thandle_errors {\n\t\treverse_proxy localhost:2\n\t}\n}", open},
		"a matcher on the first line":  {ownLogin + "*.example.org {\n\t@w not method GET\n\tgatehouse_require @w" + asAPI + "}", "must have no matcher"},
		"nobody could sign in":         {ownLogin + "*.example.org {\n\thandle /app/* {\n\t\tgatehouse_require {\n\t\t\tresource https://api.example.com\n\t\t}\n\t}\n}", "nobody could sign in"},
		"two pools at a wildcard":      {two + "*.example.org {\n\t@w not method GET\n\tgatehouse_require" + asAPI + "\tgatehouse_require @w pool:b" + asAPI + "}", "one origin has one pool"},
		"two pools on the way":         {two + "*.example.org {\n\tgatehouse_public" + asAPI + "\t@app host app.example.org\n\thandle @app {\n\t\tgatehouse_require pool:b\n\t}\n}", "https://app.example.org belongs to the pool default already"},
		"lines of one site disagree":   {two + "app.example.org {\n\t@w not method GET\n\tgatehouse_require pool:b\n\tgatehouse_require @w\n}", "one origin has one pool"},
		"a login of another pool":      {two + "*.example.net {\n\tgatehouse_public pool:b" + asAPI + "\t@l host x.example.net\n\thandle @l {\n\t\tgatehouse_login\n\t}\n}", "one origin has one pool"},
	} {
		_, err := placed(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		} else if !place.MatchString(err.Error()) {
			t.Errorf("%s: no file and line in: %v", name, err)
		}
	}
}

// Several pools, several logins, sites on other registrable domains, ports
// that are not the scheme's, and a site of a wildcard beside them.
func TestSeveralPoolsArePlaced(t *testing.T) {
	app, err := placed(t, `{
	gatehouse {
		group editors
		pool staff {
			group admins
		}
		pool partners
	}
}
login.example.com {
	gatehouse_login
}
id.example.net:8443 {
	gatehouse_login staff
}
partners.example.org {
	gatehouse partners
}
a.example.com, b.example.com, www.other-domain.example:9443 {
	gatehouse_require group:editors
	reverse_proxy localhost:1
}
*.example.net {
	gatehouse_require pool:staff group:admins {
		resource https://tools.example.net
	}
	reverse_proxy localhost:1
}
shop.example.net {
	gatehouse_public
	reverse_proxy localhost:1
}
`)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct{ login, sites string }{
		"default":  {"https://login.example.com", "https://a.example.com https://b.example.com https://shop.example.net https://www.other-domain.example:9443"},
		"staff":    {"https://id.example.net:8443", "https://*.example.net"},
		"partners": {"https://partners.example.org/_auth", "https://partners.example.org"},
	} {
		p := app.poolConfig(name)
		var sites []string
		for _, s := range p.Sites {
			sites = append(sites, s.Origin)
		}
		slices.Sort(sites)
		if got := strings.Join(sites, " "); p.Login.Origin+p.Login.Prefix != want.login || got != want.sites {
			t.Errorf("%s: login at %s%s, sites %s", name, p.Login.Origin, p.Login.Prefix, got)
		}
	}
}

// `caddy gatehouse check` shows patterns as what they are.
func TestTheReportShowsPatterns(t *testing.T) {
	app, err := placed(t, ownLogin+"*.example.org {\n\tgatehouse_require"+asAPI+"}\n:8443 {\n\tgatehouse_require api"+asAPI+"}")
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, s := range app.report()[0].Sites {
		lines = append(lines, s.Origin+" "+s.Resource+" "+strings.Join(s.Gates, " "))
	}
	slices.Sort(lines)
	if want := []string{"* https://api.example.com Caddyfile:10", "https://*.example.org https://api.example.com Caddyfile:5"}; !slices.Equal(lines, want) {
		t.Errorf("%q", lines)
	}
}

// A site of many origins makes no client of its own, and validates.
func TestPatternsResolve(t *testing.T) {
	config := func(sites ...authcore.SiteConfig) error {
		c := authcore.Config{Pools: []authcore.PoolConfig{{Issuer: "https://login.example.com", Sites: sites}}}
		return c.Validate()
	}
	if err := config(authcore.SiteConfig{Origin: "https://*.example.com", Resource: "https://api.example.com"}, authcore.SiteConfig{Origin: "*", Resource: "https://api.example.com"}); err != nil {
		t.Error(err)
	}
	for _, origin := range []string{"https://*.example.com", "*"} {
		if err := config(authcore.SiteConfig{Origin: origin}); err == nil || !strings.Contains(err.Error(), "give its gate `resource`") {
			t.Errorf("%s: %v", origin, err)
		}
	}
}

func TestReaches(t *testing.T) {
	for _, c := range []struct {
		pattern, origin string
		want            bool
	}{
		{"https://a.example", "https://a.example", true},
		{"https://a.example", "https://b.example", false},
		{"https://*.example", "https://a.example", true},
		{"https://*.example", "https://b.a.example", false},
		{"https://*.example", "https://example", false},
		{"https://*.example", "http://a.example", false},
		{"https://*.example", "https://a.example:8443", false},
		{"https://*.example:8443", "https://a.example:8443", true},
		{"https://*", "https://a.example", true},
		{"https://*", "https://*.example", true},
		{"https://*", "https://a.example:8443", false},
		{"https://*:8443", "https://[::1]:8443", true},
		{"https://*.example", "https://*", false},
		{"https://a.example", "https://*.example", false},
	} {
		if got := reaches(c.pattern, c.origin); got != c.want {
			t.Errorf("%s, %s: %v", c.pattern, c.origin, got)
		}
	}
}

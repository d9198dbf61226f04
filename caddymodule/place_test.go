package caddymodule

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore"
)

// placed provisions a Caddyfile and pairs handlers with origins, as Start does.
func placed(t *testing.T, text string) (*App, error) {
	t.Helper()
	raw, _, err := adapt(t, text)
	if err != nil {
		t.Fatal(err)
	}
	var cfg caddy.Config
	if err := json.Unmarshal(raw, &cfg); err != nil {
		t.Fatal(err)
	}
	ctx, err := caddy.ProvisionContext(&cfg)
	if err != nil {
		t.Fatal(err)
	}
	m, err := ctx.App("gatehouse")
	if err != nil {
		t.Fatal(err)
	}
	app := m.(*App)
	return app, app.place()
}

func TestOriginsAreFound(t *testing.T) {
	for name, c := range map[string]struct {
		text, login string
		sites       []string
	}{
		"one site":             {"app.example.com {\n\tgatehouse\n}", "https://app.example.com/_auth", []string{"https://app.example.com"}},
		"plain http on a port": {"http://localhost:8080 {\n\tgatehouse\n}", "http://localhost:8080/_auth", []string{"http://localhost:8080"}},
		"plain http":           {"http://localhost {\n\tgatehouse\n}", "http://localhost/_auth", []string{"http://localhost"}},
		"https on a port":      {"app.example.com:8443 {\n\tgatehouse\n}", "https://app.example.com:8443/_auth", []string{"https://app.example.com:8443"}},
		"ports that stand for 80 and 443": {"{\n\thttp_port 8080\n\thttps_port 8443\n}\napp.example.com {\n\tgatehouse\n}",
			"https://app.example.com/_auth", []string{"https://app.example.com"}},
		"upper case": {"App.Example.com {\n\tgatehouse\n}", "https://app.example.com/_auth", []string{"https://app.example.com"}},
		"login and app": {"login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\tgatehouse_require\n\treverse_proxy localhost:1\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"two hosts of one site": {"login.example.com {\n\tgatehouse_login\n}\na.example.com, b.example.com {\n\tgatehouse_require\n}",
			"https://login.example.com", []string{"https://a.example.com", "https://b.example.com"}},
		"in route, handle and snippets": {"(gate) {\n\troute {\n\t\tgatehouse_require\n\t\treverse_proxy localhost:1\n\t}\n}\nlogin.example.com {\n\thandle {\n\t\tgatehouse_login\n\t}\n}\napp.example.com {\n\timport gate\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"named route": {"&(gated) {\n\tgatehouse_require\n\treverse_proxy localhost:1\n}\nlogin.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\tinvoke gated\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"several logins, one chosen": {"{\n\tgatehouse {\n\t\tissuer https://a.example.com/_auth\n\t}\n}\na.example.com {\n\tgatehouse\n}\nb.example.com {\n\tgatehouse\n}",
			"https://a.example.com/_auth", []string{"https://a.example.com", "https://b.example.com"}},
		"tightening line": {"login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\t@x path /admin/*\n\tgatehouse_require\n\tgatehouse_require @x group:operators\n\treverse_proxy localhost:1\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"a host in a wildcard site": {"login.example.com {\n\tgatehouse_login\n}\n*.example.com {\n\t@app host app.example.com\n\thandle @app {\n\t\tgatehouse_require\n\t}\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"TLS ends in front": {"{\n\tgatehouse {\n\t\tissuer https://app.example.com/_auth\n\t}\n}\nhttp://app.example.com {\n\tgatehouse\n}",
			"https://app.example.com/_auth", []string{"http://app.example.com", "https://app.example.com"}},
		"an address": {"http://[::1]:8080 {\n\tgatehouse\n}", "http://[::1]:8080/_auth", []string{"http://[::1]:8080"}},
		"paths that reach the rest": {"login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\thandle /app/* {\n\t\tgatehouse_require\n\t}\n\thandle {\n\t\tgatehouse_public\n\t}\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"an API in a path": {"{\n\tgatehouse {\n\t\tresource https://x.example a.read\n\t}\n}\nlogin.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\thandle /api/* {\n\t\tgatehouse_require scope:a.read\n\t}\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"a site of several blocks": {"login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\tgatehouse_require\n}\napp.example.com/open/* {\n\tgatehouse_public\n\treverse_proxy localhost:1\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
		"public on purpose": {"login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\tgatehouse_public\n\treverse_proxy localhost:1\n}",
			"https://login.example.com", []string{"https://app.example.com"}},
	} {
		app, err := placed(t, c.text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := app.poolConfig(defaultPool)
		if got := p.Login.Origin + p.Login.Prefix; got != c.login {
			t.Errorf("%s: login at %s", name, got)
		}
		var sites []string
		for _, s := range p.Sites {
			sites = append(sites, s.Origin)
		}
		slices.Sort(sites)
		if !slices.Equal(sites, c.sites) {
			t.Errorf("%s: sites %v", name, sites)
		}
	}
}

func TestOpenDoorsAreRefused(t *testing.T) {
	const login = "login.example.com {\n\tgatehouse_login\n}\n"
	const sentence = "add gatehouse_require, or gatehouse_public to say that it is open"
	for name, c := range map[string]struct{ text, want string }{
		"no login at all":        {"app.example.com {\n\tgatehouse_require\n}", "no login site"},
		"gate without a host":    {login + ":8080 {\n\tgatehouse_require\n}", "host name"},
		"wildcard site":          {login + "*.example.com {\n\tgatehouse_require\n}", "has no name as a resource"},
		"login without a host":   {":8080 {\n\tgatehouse_login\n}", "host name"},
		"two logins":             {"a.example.com {\n\tgatehouse\n}\nb.example.com {\n\tgatehouse\n}", "choose one with `issuer`"},
		"only a matched line":    {login + "app.example.com {\n\t@x path /x\n\tgatehouse_require @x\n\trespond hi\n}", "must have no matcher"},
		"matched line first":     {login + "app.example.com {\n\t@x path /x\n\tgatehouse_require @x\n\tgatehouse_require\n}", "must have no matcher"},
		"proxy before the gate":  {login + "app.example.com {\n\troute {\n\t\treverse_proxy localhost:1\n\t\tgatehouse_require\n\t}\n}", sentence},
		"another handle":         {login + "app.example.com {\n\thandle /api/* {\n\t\treverse_proxy localhost:1\n\t}\n\thandle {\n\t\tgatehouse_require\n\t\treverse_proxy localhost:2\n\t}\n}", sentence},
		"error route":            {login + "app.example.com {\n\tgatehouse_require\n\treverse_proxy localhost:1\n\thandle_errors {\n\t\treverse_proxy localhost:2\n\t}\n}", sentence},
		"login on a Unix socket": {"http://app.example.com {\n\tbind unix//tmp/gatehouse-test.sock\n\tgatehouse\n}", "no network port"},
		"a host among wildcards": {login + "*.example.org, app.example.org {\n\tgatehouse_require\n}", "has no name as a resource: add `resource"},
		"a wildcard in a label":  {login + "*.app.example.com {\n\tgatehouse_require\n}", "has no name as a resource: add `resource"},
		"another block":          {login + "app.example.com {\n\tgatehouse_require\n}\napp.example.com/open/* {\n\treverse_proxy localhost:1\n}", sentence},
		"error route of a block": {login + "app.example.com {\n\tgatehouse_require\n\thandle_errors 502 {\n\t\tphp_fastcgi localhost:2\n\t}\n}", sentence},
		"forward_auth before":    {login + "app.example.com {\n\troute {\n\t\tforward_auth localhost:1 {\n\t\t\turi /\n\t\t}\n\t\tgatehouse_require\n\t}\n}", sentence},
		"intercept before":       {login + "app.example.com {\n\troute {\n\t\tintercept {\n\t\t\thandle_response {\n\t\t\t\treverse_proxy localhost:1\n\t\t\t}\n\t\t}\n\t\tgatehouse_require\n\t}\n}", sentence},
		"named route before":     {"&(up) {\n\treverse_proxy localhost:1\n}\n" + login + "app.example.com {\n\troute {\n\t\tinvoke up\n\t\tgatehouse_require\n\t}\n}", sentence},
		"named route for ever":   {"&(up) {\n\tinvoke up\n}\n" + login + "app.example.com {\n\tinvoke up\n\tgatehouse_require\n}", "invoke one another"},
		"nobody can sign in":     {login + "app.example.com {\n\thandle /app/* {\n\t\tgatehouse_require\n\t}\n}", "nobody could sign in"},
		"login in a path":        {"app.example.com {\n\thandle /app/* {\n\t\tgatehouse\n\t}\n}", "a path matcher stands around it"},
		"host never matched":     {login + "app.example.com {\n\t@x host other.example.com\n\thandle @x {\n\t\tgatehouse_require\n\t}\n}", "no site leads to this gate"},
		"issuer elsewhere":       {"{\n\tgatehouse {\n\t\tissuer https://id.example.com\n\t}\n}\n" + login, "its login is at https://login.example.com"},
		"two pools on an origin": {"{\n\tgatehouse {\n\t\tpool b {\n\t\t}\n\t}\n}\napp.example.com {\n\tgatehouse\n}\nb.example.com {\n\tgatehouse b\n}\napp.example.com/b/* {\n\tgatehouse b\n}", "one origin has one pool"},
		"a pool without a site":  {"{\n\tgatehouse {\n\t\tgroup staff\n\t}\n}\nwww.example.com {\n\trespond hi\n}", "Caddyfile:2: the pool default has no login site"},
		"gate in a path only":    {login + "app.example.com {\n\thandle /app/* {\n\t\tgatehouse_require\n\t}\n\treverse_proxy localhost:1\n}", sentence},
	} {
		_, err := placed(t, c.text)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The pool default need not be used.
	app, err := placed(t, "{\n\tgatehouse {\n\t\tpool a {\n\t\t}\n\t}\n}\na.example.com {\n\tgatehouse a\n}")
	if err != nil || len(app.config.Pools) != 1 || app.config.Pools[0].Name != "a" {
		t.Errorf("%v", err)
	}
	// A site without a gate is nobody's business.
	if _, err := placed(t, login+"free.example.com {\n\treverse_proxy localhost:1\n\thandle_errors {\n\t\treverse_proxy localhost:2\n\t}\n}"); err != nil {
		t.Error(err)
	}
	// An error route behind a gate of its own is fine.
	if _, err := placed(t, login+"app.example.com {\n\tgatehouse_require\n\thandle_errors {\n\t\tgatehouse_public\n\t\treverse_proxy localhost:2\n\t}\n}"); err != nil {
		t.Error(err)
	}
}

// poolConfig finds a pool's resolved configuration.
func (a *App) poolConfig(name string) *authcore.PoolConfig {
	i := slices.IndexFunc(a.config.Pools, func(p authcore.PoolConfig) bool { return p.Name == name })
	return &a.config.Pools[i]
}

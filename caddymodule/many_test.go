package caddymodule

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// at asks for a path at a host, which need not be in any DNS.
func (c *running) at(host, path string, header ...string) (*http.Response, string) {
	c.t.Helper()
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url(path), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	r.Host = host
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return c.do(r)
}

// machine gets a token of a machine client from a login host.
func (c *running) machine(host, client, scope string) string {
	c.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	r, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, c.url("/oauth2/token"), strings.NewReader(form.Encode()))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Host = host
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(client, "0123456789abcdef")
	_, body := c.do(r)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || answer.Token == "" {
		c.t.Fatal(body, err)
	}
	return answer.Token
}

// begins demands that a person who comes to a site is led to a login, with a
// way back to the very origin that they asked for, and that the login takes it.
func (c *running) begins(host, login, back string, header ...string) {
	c.t.Helper()
	res, body := c.at(host, "/x?y=1", append(header, "Accept", page, "Sec-Fetch-Mode", "navigate")...)
	to, err := url.Parse(res.Header.Get("Location"))
	if err != nil || res.StatusCode/100 != 3 {
		c.t.Errorf("%s: %d %v, %d bytes", host, res.StatusCode, res.Header, len(body))
		return
	}
	if got := to.Scheme + "://" + to.Host; got != login || to.Query().Get("redirect_uri") != back+"/_auth/callback" {
		c.t.Errorf("%s: led to %s", host, to)
	}
	res, body = c.at(to.Host, to.RequestURI(), append(header, "Accept", page, "Sec-Fetch-Mode", "navigate")...)
	if next := res.Header.Get("Location"); res.StatusCode/100 != 3 || !strings.Contains(next, "/login") {
		c.t.Errorf("%s: the login does not take it: %d %s, %d bytes", host, res.StatusCode, next, len(body))
	}
}

const batchClient = `
		client batch {
			secret {env.SECRET}
			grant client_credentials a.read
		}`

// A wildcard stands for every host of one label more, each an origin of its
// own; a site without a host takes tokens at whatever name it has.
func TestSitesOfManyOriginsAnswer(t *testing.T) {
	t.Setenv("SECRET", "0123456789abcdef")
	c := run(t, `
	gatehouse {
		store memory
		resource https://apps.example.com a.read
		resource https://other.example.com o.read`+batchClient+`
	}
}
http://login.localhost:$PORT {
	gatehouse_login
}
http://*.apps.localhost:$PORT {
	@w not method GET
	gatehouse_require {
		resource https://apps.example.com
	}
	gatehouse_require @w group:operators
	respond "wild {http.auth.user.client}"
}
http://*.other.localhost:$PORT {
	gatehouse_require api {
		resource https://other.example.com
	}
	respond "other"
}
http://:$PORT {
	gatehouse_require api {
		resource https://apps.example.com
	}
	respond "any {http.auth.user.client}"
	handle_errors {
		respond "own {err.status_code}"
	}
}
`)
	at := func(host string) string { return fmt.Sprintf("%s:%d", host, c.port) }
	origin := func(host string) string { return "http://" + at(host) }
	for _, host := range []string{"a.apps.localhost", "b-2.apps.localhost"} {
		c.begins(at(host), origin("login.localhost"), origin(host))
	}
	token := c.machine(at("login.localhost"), "batch", "a.read")
	for _, q := range []struct {
		host  string
		token bool
		want  int
		body  string
	}{
		{"a.apps.localhost", true, 200, "wild batch"},
		{"A.Apps.localhost", true, 200, "wild batch"},
		{"a.apps.localhost", false, 401, "own 401"}, // Caddy runs routes for errors without a host for all
		{"a.b.apps.localhost", true, 200, "any batch"},
		{"a.other.localhost", true, 401, "own 401"}, // meant for another resource
		{"whatever.example.com", true, 200, "any batch"},
		{"whatever.example.com", false, 401, "own 401"},
		{"127.0.0.1", true, 200, "any batch"},
	} {
		header := []string{"Accept", script}
		if q.token {
			header = append(header, "Authorization", "Bearer "+token)
		}
		res, body := c.at(at(q.host), "/", header...)
		if res.StatusCode != q.want || body != q.body {
			t.Errorf("%+v: %d %q", q, res.StatusCode, body)
		}
		challenge := fmt.Sprintf(`resource_metadata="%s/.well-known/oauth-protected-resource`, origin(strings.ToLower(q.host)))
		if got := res.Header.Get("WWW-Authenticate"); q.want == 401 && !strings.Contains(got, challenge) {
			t.Errorf("%+v: challenge %s", q, got)
		}
	}
	// Nobody could be sent back to a name that anybody may choose.
	if res, _ := c.at(at("whatever.example.com"), "/", "Accept", page, "Sec-Fetch-Mode", "navigate"); res.StatusCode != 401 {
		t.Errorf("a person at any host: %d %v", res.StatusCode, res.Header)
	}
	res, body := c.at(at("a.apps.localhost"), "/.well-known/oauth-protected-resource")
	if res.StatusCode != 200 || !strings.Contains(body, `"https://apps.example.com"`) || !strings.Contains(body, "a.read") {
		t.Errorf("metadata: %d %s", res.StatusCode, body)
	}
	// Neither a deeper host nor a free one is a client of the login.
	for _, host := range []string{"a.b.apps.localhost", "whatever.example.com"} {
		q := url.Values{"client_id": {"site:" + origin(host)}, "redirect_uri": {origin(host) + "/_auth/callback"}, "response_type": {"code"}, "scope": {"openid"}}
		if res, body := c.at(at("login.localhost"), "/oauth2/authorize?"+q.Encode(), "Accept", page, "Sec-Fetch-Mode", "navigate"); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d %v, %d bytes", host, res.StatusCode, res.Header, len(body))
		}
	}
}

// Several pools, each with a login of its own, sites on other registrable
// domains, sites of several hosts, and none takes another's tokens.
func TestSeveralPoolsAnswer(t *testing.T) {
	t.Setenv("SECRET", "0123456789abcdef")
	c := run(t, `
	gatehouse {
		store memory
		resource https://api.example.com a.read`+batchClient+`
		pool staff {
			resource https://api.example.com a.read
			client robot {
				secret {env.SECRET}
				grant client_credentials a.read
			}
		}
	}
}
http://login.localhost:$PORT {
	gatehouse_login
}
http://id.staff.localhost:$PORT {
	gatehouse_login staff
}
http://a.localhost:$PORT, http://b.localhost:$PORT, http://www.other-domain.example:$PORT {
	gatehouse_require {
		resource https://api.example.com
	}
	respond "customers {http.auth.user.client}"
}
http://tools.localhost:$PORT {
	@w not method GET
	gatehouse_public pool:staff {
		public /
	}
	gatehouse_require @w pool:staff group:operators
	respond "open [{http.auth.user.client}]"
}
http://*.staff.localhost:$PORT {
	gatehouse_require pool:staff {
		resource https://api.example.com
	}
	respond "staff {http.auth.user.client}"
}
`)
	at := func(host string) string { return fmt.Sprintf("%s:%d", host, c.port) }
	origin := func(host string) string { return "http://" + at(host) }
	for _, host := range []string{"a.localhost", "b.localhost", "www.other-domain.example"} {
		c.begins(at(host), origin("login.localhost"), origin(host))
	}
	c.begins(at("wiki.staff.localhost"), origin("id.staff.localhost"), origin("wiki.staff.localhost"))
	customers := c.machine(at("login.localhost"), "batch", "a.read")
	staff := c.machine(at("id.staff.localhost"), "robot", "a.read")
	for _, q := range []struct {
		host, token string
		want        int
		body        string
	}{
		{"a.localhost", customers, 200, "customers batch"},
		{"b.localhost", customers, 200, "customers batch"},
		{"www.other-domain.example", customers, 200, "customers batch"},
		{"a.localhost", staff, 401, ""},
		{"wiki.staff.localhost", staff, 200, "staff robot"},
		{"wiki.staff.localhost", customers, 401, ""},
		{"tools.localhost", customers, 200, "open []"},
	} {
		if res, body := c.at(at(q.host), "/", "Accept", script, "Authorization", "Bearer "+q.token); res.StatusCode != q.want || body != q.body {
			t.Errorf("%s: %d %q, want %d %q", q.host, res.StatusCode, body, q.want, q.body)
		}
	}
}

// Where TLS ends in front, a wildcard's origins are what a trusted proxy says,
// and nobody else's word counts.
func TestAWildcardBehindAProxyThatEndsTLS(t *testing.T) {
	const sites = `
	gatehouse {
		store memory
		issuer https://login.example.com
	}
}
http://login.example.com:$PORT {
	gatehouse_login
}
http://*.apps.example.com:$PORT {
	gatehouse_require {
		resource https://apps.example.com
	}
	respond hello
}
`
	c := run(t, "\tservers {\n\t\tprotocols h1\n\t\ttrusted_proxies static 127.0.0.1/32\n\t}"+sites)
	const host = "a.apps.example.com"
	c.begins(host, "https://login.example.com", "https://"+host, "X-Forwarded-Proto", "https")
	for _, q := range []struct {
		name string
		host string
		head []string
		want int
	}{
		{"the proxy says https", host, []string{"X-Forwarded-Proto", "https"}, 401},
		{"the proxy names the host", host, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "b.apps.example.com"}, 401},
		{"the proxy names a host elsewhere", host, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "evil.example"}, 421},
		{"the proxy names a deeper host", host, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", "a.b.apps.example.com"}, 421},
		{"the proxy names what breaks out of a header", host, []string{"X-Forwarded-Proto", "https", "X-Forwarded-Host", `a".apps.example.com`}, 421},
		{"the proxy says nothing", host, nil, 421}, // http://a.apps.example.com without its port is nobody's origin
		{"http on its port", fmt.Sprintf("%s:%d", host, c.port), nil, 401},
	} {
		if res, body := c.at(q.host, "/", append(q.head, "Accept", script)...); res.StatusCode != q.want {
			t.Errorf("%s: %d %s", q.name, res.StatusCode, body)
		}
	}
	// Without trusted_proxies the same headers are anybody's.
	if err := c.load(sites); err != nil {
		t.Fatal(err)
	}
	for _, head := range [][]string{{"X-Forwarded-Proto", "https"}, {"X-Forwarded-Proto", "https", "X-Forwarded-Host", host}, {"Forwarded", "proto=https;host=" + host}} {
		if res, body := c.at(host, "/", append(head, "Accept", script)...); res.StatusCode != 421 {
			t.Errorf("untrusted %v: %d %s", head, res.StatusCode, body)
		}
	}
}

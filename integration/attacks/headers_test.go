package attacks

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// family is every name of every preset.
func family() []string {
	return []string{
		"X-Auth-User", "X-Auth-Name", "X-Auth-Email", "X-Auth-Groups", "X-Auth-Groups-Truncated", "X-Auth-Scopes", "X-Auth-Client", "X-Auth-Assertion",
		"Remote-User", "Remote-Name", "Remote-Email", "Remote-Groups",
		"X-Forwarded-User", "X-Forwarded-Preferred-Username", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Forwarded-Access-Token",
		"X-Amzn-Oidc-Data", "X-Amzn-Oidc-Identity", "X-Amzn-Oidc-Accesstoken",
	}
}

// spellings are ways to write a name that something behind us may read as it.
func spellings(name string) []string {
	first := strings.Replace(name, "-", "_", 1)
	last := strings.LastIndex(name, "-")
	return []string{
		name, strings.ToLower(name), strings.ToUpper(name),
		strings.ReplaceAll(name, "-", "_"), strings.ToLower(strings.ReplaceAll(name, "-", "_")), first, name[:last] + "_" + name[last+1:],
		strings.ReplaceAll(name, "-", "."), name[:last] + "." + name[last+1:], strings.ReplaceAll(first, "-", "."),
	}
}

// forged is the whole family in every spelling, each times times: A01, A03, A04, A07.
func forged(times int) []string {
	var lines []string
	for _, n := range family() {
		for _, s := range spellings(n) {
			lines = append(lines, slices.Repeat([]string{s + ": evil"}, times)...)
		}
	}
	return lines
}

// lenient makes Caddy itself let through every spelling that it drops by
// default, so that the gate is alone with them.
func lenient() string {
	var under, dots []string
	for _, n := range family() {
		for _, s := range spellings(n) {
			if strings.Contains(s, "_") {
				under = append(under, s)
			}
			if strings.Contains(s, ".") {
				dots = append(dots, s)
			}
		}
	}
	return "servers {\n\t\texpected_underscore_headers " + strings.Join(under, " ") + "\n\t\texpected_dot_headers " + strings.Join(dots, " ") + "\n\t}"
}

// judge checks what identity reached the upstream: nothing of the attacker's,
// each name once and as it is documented, and exactly the names wanted.
func judge(t *testing.T, h hit, want []string) {
	t.Helper()
	if strings.Contains(h.raw, "evil") {
		t.Errorf("a forged value reached the upstream:\n%s", h.raw)
	}
	var got []string
	for _, l := range h.lines() {
		name, _, _ := strings.Cut(l, ":")
		if i := slices.IndexFunc(family(), func(n string) bool { return fold(n) == fold(name) }); i >= 0 {
			got = append(got, name)
		}
	}
	slices.Sort(got)
	want = slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("identity headers %v, want %v\n%s", got, want, h.raw)
	}
}

func TestIdentityHeaders(t *testing.T) { identityHeaders(t, newWorld(t), forged(2)) }

// The same where Caddy drops no spelling (it keeps such names only if they
// stand once).
func TestIdentityHeadersInSpellingsThatCaddyKeeps(t *testing.T) {
	w := newWorldWith(t, lenient())
	w.up.take()
	w.get("free", "/", "X_Other.User: evil", "X_Auth_Users: kept") // neither is allowed: the option is what lets ours in
	if h := w.up.only(t); len(h.values("X-Other-User")) != 0 {
		t.Fatalf("%s", h.raw)
	}
	identityHeaders(t, w, forged(1))
}

func identityHeaders(t *testing.T, w *world, forged []string) {
	t.Helper()
	user := w.browser(bob)
	cookies := map[string]string{}
	for _, site := range []string{"app", "staff", "free", "remote", "forwarded", "alb", "bare", "fcgi"} {
		cookies[site] = "Cookie: " + w.cookie(user, site)
	}
	bearer := "Authorization: Bearer " + w.machine("orders.read")
	mine := []string{"X-Auth-User", "X-Auth-Assertion"} // bob has no name, e-mail, groups
	w.up.take()
	w.fcgi.take()
	for _, c := range []struct {
		id, site, path, credential string
		status                     int
		want                       []string
	}{
		{"A01 session", "app", "/", cookies["app"], 200, mine},
		{"A01 machine", "api", "/", bearer, 200, []string{"X-Auth-Client", "X-Auth-Scopes", "X-Auth-Assertion"}},
		{"A01 remote", "remote", "/", cookies["remote"], 200, []string{"Remote-User"}},
		{"A01 x-forwarded", "forwarded", "/", cookies["forwarded"], 200, []string{"X-Forwarded-User"}},
		{"A01 alb", "alb", "/", cookies["alb"], 200, []string{"X-Amzn-Oidc-Data", "X-Amzn-Oidc-Identity"}},
		{"A01 none", "bare", "/", cookies["bare"], 200, nil},
		{"A02 public path", "app", "/open/x", "Accept: */*", 200, nil},
		{"A02 public path, signed in", "app", "/open/x", cookies["app"], 200, mine},
		{"A02 public site", "free", "/", "Accept: */*", 200, nil},
		{"A02 public site, bad token", "free", "/", "Authorization: Bearer nonsense", 200, nil},
		{"A02 denied, error route proxies", "staff", "/", "Accept: */*", 401, nil},
		{"A02 denied group, error route proxies", "staff", "/", cookies["staff"], 403, nil},
	} {
		t.Run(c.id, func(t *testing.T) {
			a := w.get(c.site, c.path, append(forged, c.credential)...)
			h := w.up.only(t)
			judge(t, h, c.want)
			if c.status == 200 && a.Status != 200 {
				t.Errorf("%d", a.Status)
			}
			for _, v := range h.values("Cookie") {
				if strings.Contains(v, "gh-") {
					t.Errorf("a cookie of ours reached the upstream: %s", v)
				}
			}
		})
	}
	t.Run("A03 FastCGI", func(t *testing.T) {
		if a := w.get("fcgi", "/index.php", append(forged, cookies["fcgi"])...); a.Status != http.StatusNoContent {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
		seen := w.fcgi.take()
		if len(seen) != 1 {
			t.Fatalf("%d requests", len(seen))
		}
		for name, vs := range seen[0] {
			if slices.ContainsFunc(family(), func(n string) bool { return fold(n) == fold(name) }) && !slices.Contains(mine, name) || strings.Contains(fmt.Sprint(vs), "evil") {
				t.Errorf("%s: %q", name, vs)
			}
		}
		if len(seen[0]["X-Auth-User"]) != 1 || seen[0].Get("X-Auth-Assertion") == "" {
			t.Errorf("%v", seen[0])
		}
	})
	t.Run("A02 denied without an error route", func(t *testing.T) {
		if a := w.get("app", "/", forged...); a.Status != 401 {
			t.Errorf("%d", a.Status)
		}
		w.noU(t)
	})
}

// A05: Connection names headers that a proxy must drop; ours must arrive.
func TestConnectionTrap(t *testing.T) {
	w := newWorld(t)
	user := w.browser(bob)
	cookie := "Cookie: " + w.cookie(user, "app")
	w.up.take()
	for name, lines := range map[string][]string{
		"both":              {"Connection: X-Auth-User, X-Auth-Assertion"},
		"lower case":        {"connection: x-auth-user,x-auth-assertion"},
		"two lines":         {"Connection: X-Auth-User", "Connection: X-Auth-Assertion"},
		"with close":        {"Connection: close, X-Auth-User , X-Auth-Assertion"},
		"with keep-alive":   {"Connection: keep-alive\t,\tx-auth-user\t,x-auth-assertion,"},
		"other spelling":    {"Connection: X_Auth_User, X.Auth.Assertion, X-AUTH-USER"},
		"with upgrade":      {"Connection: Upgrade, X-Auth-User, X-Auth-Assertion", "Upgrade: websocket", "Origin: " + w.URL("app"), "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="},
		"proxy-connection":  {"Proxy-Connection: X-Auth-User", "Connection: Proxy-Connection, X-Auth-User, X-Auth-Assertion"},
		"te and trailers":   {"Connection: TE, X-Auth-User, X-Auth-Assertion", "TE: trailers"},
		"also as forgery":   {"Connection: X-Auth-User, X-Auth-Assertion", "X-Auth-User: evil", "X-Auth-Assertion: evil"},
		"quoted and broken": {`Connection: "X-Auth-User", ;X-Auth-User, X-Auth-User;q=1, X-Auth-Assertion`},
		"many":              {"Connection: " + strings.Repeat("x,", 3000) + "X-Auth-User, X-Auth-Assertion"},
		"keep-alive header": {"Keep-Alive: X-Auth-User", "Connection: keep-alive, X-Auth-User"},
	} {
		t.Run(name, func(t *testing.T) {
			w.get("app", "/", append(lines, cookie)...)
			h := w.up.only(t)
			judge(t, h, []string{"X-Auth-User", "X-Auth-Assertion"})
			for _, v := range h.values("Connection") {
				if !strings.EqualFold(v, "upgrade") {
					t.Errorf("Connection: %s", v)
				}
			}
		})
	}
	t.Run("what the client names is gone", func(t *testing.T) {
		w.get("app", "/", cookie, "Connection: X-Internal", "X-Internal: 1")
		if h := w.up.only(t); len(h.values("X-Internal")) != 0 {
			t.Errorf("%s", h.raw)
		}
	})
	t.Run("the cookie cannot be named away", func(t *testing.T) {
		// Credentials are read first: naming them must not turn a refusal into
		// a pass, nor a session into an anonymous one.
		w.get("app", "/", cookie, "Connection: Cookie, Authorization")
		judge(t, w.up.only(t), []string{"X-Auth-User", "X-Auth-Assertion"})
		if a := w.get("app", "/", cookie, "Connection: Authorization", "Authorization: Bearer bad"); a.Status != 401 {
			t.Errorf("a bad token was named away: %d", a.Status)
		}
		w.noU(t)
	})
}

// A08: trailers come after the gate has looked.
func TestTrailers(t *testing.T) {
	w := newWorld(t)
	user := w.browser(bob)
	cookie := "Cookie: " + w.cookie(user, "app")
	w.up.take()
	for _, site := range []string{"app", "free"} {
		for _, spelling := range spellings("X-Auth-User") {
			for name, announce := range map[string]string{"announced": "Trailer: " + spelling, "not announced": "TE: trailers", "announced otherwise": "Trailer: X-Checksum"} {
				t.Run(site+" "+spelling+" "+name, func(t *testing.T) {
					lines := []string{announce, "Transfer-Encoding: chunked", "Origin: " + w.URL(site), "Sec-Fetch-Site: same-origin"}
					want := []string(nil)
					if site == "app" {
						lines, want = append(lines, cookie), []string{"X-Auth-User", "X-Auth-Assertion"}
					}
					w.raw(site, w.head(site, "POST /", lines...)+"\r\n5\r\nhello\r\n0\r\n"+spelling+": evil\r\nX-Checksum: evil\r\n\r\n")
					seen := w.up.take()
					if len(seen) == 0 {
						return // refused as a whole
					}
					judge(t, seen[0], want)
					if seen[0].body != "hello" || len(seen[0].trailer) != 0 {
						t.Errorf("body %q, trailer %v", seen[0].body, seen[0].trailer)
					}
				})
			}
		}
	}
}

// A09, A11, A13: what a person may choose, and cookies, cannot break out.
func TestValuesStayValues(t *testing.T) {
	w := newWorld(t)
	t.Setenv("HOME_OF_TEST", "leaked") // nothing expands it
	for user, name := range map[string]string{
		"u-latin": "Zoë Müller", "u-emoji": "🏰 gate", "u-commas": "a,b;c%2C", "u-word": "=?utf-8?q?evil?=", "u-place": "{env.HOME_OF_TEST}{file./etc/passwd}{http.auth.user.id}",
		"u-quote": `"><script>alert(1)</script>`, "u-long": strings.Repeat("ü", 60),
	} {
		t.Run(user, func(t *testing.T) {
			w.AddUser(user, password, "--name", name)
			cookie := w.cookie(w.browser(user), "app")
			w.up.take()
			if a := w.get("app", "/", "Cookie: "+cookie); a.Status != http.StatusOK {
				t.Fatalf("%d", a.Status)
			}
			got := w.up.only(t).values("X-Auth-Name")
			if len(got) != 1 {
				t.Fatalf("%q", got)
			}
			if strings.ContainsAny(got[0], ",; \t") || strings.ContainsFunc(got[0], func(r rune) bool { return r < 0x21 || r > 0x7e }) {
				t.Errorf("%q is not visible ASCII without separators", got[0])
			}
			if back, err := url.PathUnescape(got[0]); err != nil || back != name {
				t.Errorf("%q reads back as %q, %v", got[0], back, err)
			}
		})
	}
	t.Run("control characters in a name", func(t *testing.T) {
		for i, name := range []string{"a\r\nX-Auth-User: evil", "a\x1b[31m", "a\u2028b", "a\u202eb"} {
			user := "c" + strconv.Itoa(i)
			if _, err := w.Caddy(strings.NewReader(password), "gatehouse", "user", "add", user, "--password-stdin", "--name", name); err != nil {
				continue // refused
			}
			cookie := w.cookie(w.browser(user), "app")
			w.up.take()
			if a := w.get("app", "/", "Cookie: "+cookie); a.Status != http.StatusOK {
				t.Fatalf("%q: %d", name, a.Status)
			}
			if back, err := url.PathUnescape(w.up.only(t).values("X-Auth-Name")[0]); err != nil || back != name {
				t.Errorf("%q reads back as %q, %v", name, back, err)
			}
		}
	})
	t.Run("cookies", func(t *testing.T) {
		ours := w.cookie(w.browser(bob), "app")
		w.up.take()
		for _, c := range []struct {
			lines []string
			want  []string
		}{
			{[]string{ours}, nil},
			{[]string{`a=1;  b="x y" ;c`, ours}, []string{`a=1;  b="x y" ;c`}},
			{[]string{"a=1; " + ours + `; b="gh"; =x; ;`}, []string{`a=1; b="gh"; =x; ;`}},
			{[]string{ours + ";a=1"}, []string{"a=1"}},
			{[]string{"gh-other=1; xgh-sso-0123456789abcdef=2; " + ours}, []string{"gh-other=1; xgh-sso-0123456789abcdef=2"}},
			{[]string{ours + "; __Host-gh-sso-0123456789abcdef=1; gh-dev-0123456789abcdef=1; gh-tx-a_b-0123456789abcdef=1"}, nil},
		} {
			var lines []string
			for _, l := range c.lines {
				lines = append(lines, "Cookie: "+l)
			}
			w.get("app", "/", lines...)
			h := w.up.only(t)
			if got := h.values("Cookie"); !slices.Equal(got, c.want) {
				t.Errorf("%q arrived as %q, want %q", c.lines, got, c.want)
			}
			judge(t, h, []string{"X-Auth-User", "X-Auth-Assertion"})
		}
	})
}

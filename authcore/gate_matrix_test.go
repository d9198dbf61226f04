package authcore_test

import (
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// caller is one kind of request at the gate.
type caller struct {
	cookies []*http.Cookie
	token   string
	mode    string // Sec-Fetch-Mode; "" is no browser
}

const partnersLogin = "http://partners.localhost"

// matrixCallers signs people and machines in, in every state there is. The
// sign-ins are twenty minutes old.
func matrixCallers(t *testing.T, w *world) map[string]caller {
	t.Helper()
	c := config()
	c.Pools = append(c.Pools, authcore.PoolConfig{
		Name: "partners", Login: authcore.LoginConfig{Origin: partnersLogin}, Resources: []authcore.ResourceConfig{{ID: apiOrigin, Scopes: []string{"orders.read"}}},
		Clients: []authcore.ClientConfig{{ID: "partner", Secrets: []secret.Hidden{secret.Hide(batchSecret)}, Grants: []authcore.GrantConfig{
			{Type: "client_credentials", Scopes: []string{"orders.read"}}}}},
	})
	w.configure(c)
	partners, err := w.engine.Login("partners")
	if err != nil {
		t.Fatal(err)
	}
	w.handlers[partnersLogin] = partners
	w.gate(apiOrigin, guard.Rule{Mode: guard.Require})
	ann := w.firstUser("ann@example.com")
	others := map[string]*browser{}
	for _, name := range []string{"bob", "eve"} {
		if status, answer := w.admin("POST", "/users", map[string]any{"identifier": name, "password": password}); status != 200 {
			t.Fatal(answer)
		}
		b := w.browser()
		b.get(apiOrigin + "/")
		b.submit(map[string]string{"identifier": name, "password": password})
		others[name] = b
	}
	ann.get(apiOrigin + "/")
	expired := ann.grant("orders.read")["access_token"].(string)
	w.clock.add(20 * time.Minute)
	site := func(b *browser) []*http.Cookie { return b.jar.Cookies(&url.URL{Scheme: "http", Host: "api.localhost"}) }
	bobs, eves := others["bob"].grant("orders.read")["access_token"].(string), others["eve"].grant("orders.read")["access_token"].(string)
	bobsCookies, evesCookies := site(others["bob"]), site(others["eve"])
	for _, verb := range []string{"disable", "enable"} {
		if status, answer := w.admin("POST", "/users/bob/"+verb, nil); status != 200 {
			t.Fatal(answer)
		}
	}
	others["eve"].get(loginOrigin + "/logout")
	others["eve"].submit(nil)
	user := ann.grant("openid orders.read")
	return map[string]caller{
		"navigation":     {cookies: site(ann), mode: "navigate"},
		"fetch":          {cookies: site(ann), mode: "cors"},
		"user":           {token: user["access_token"].(string)},
		"machine":        {token: w.machine("orders.read")},
		"nobody":         {},
		"visitor":        {mode: "navigate"},
		"expired":        {token: expired},
		"revoked":        {token: eves},
		"signed out":     {cookies: evesCookies, mode: "navigate"},
		"lower epoch":    {token: bobs},
		"old epoch":      {cookies: bobsCookies, mode: "cors"},
		"wrong audience": {token: w.machine("stock.read")},
		"other pool":     {token: w.partner(t)},
		"ID token":       {token: user["id_token"].(string)},
		"both":           {cookies: site(ann), token: expired, mode: "cors"}, // no falling back to the cookie
	}
}

// partner gets a machine's token of the other pool for the same resource.
func (w *world) partner(t *testing.T) string {
	t.Helper()
	own := w.handlers[loginOrigin]
	defer func() { w.handlers[loginOrigin] = own }()
	w.handlers[loginOrigin] = w.handlers[partnersLogin]
	status, answer := w.token(url.Values{"grant_type": {"client_credentials"}, "scope": {"orders.read"}}, "partner:"+batchSecret)
	if status != http.StatusOK {
		t.Fatal(answer)
	}
	return answer["access_token"].(string)
}

// ask sends a request and says in short what came of it: the status, where it
// leads or its challenge, and the headers at the upstream.
func (w *world) ask(t *testing.T, target string, c caller) string {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	for _, cookie := range c.cookies {
		r.AddCookie(cookie)
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if c.mode != "" {
		r.Header.Set("Sec-Fetch-Mode", c.mode)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	r.Header.Set("X-Auth-User", "smuggled")
	r.Header.Set("X_auth-Client", "smuggled")
	res, err := w.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	said := itoa(res.StatusCode)
	switch challenge := res.Header.Get("WWW-Authenticate"); {
	case res.StatusCode == http.StatusOK:
		return said + " " + w.named(t)
	case w.reached != nil:
		t.Errorf("%d, and the upstream was reached", res.StatusCode)
	case res.StatusCode == http.StatusFound:
		to, err := res.Location()
		if err != nil || !strings.HasPrefix(to.String(), loginOrigin+"/oauth2/authorize?") {
			t.Errorf("sent to %s, %v", to, err)
		}
		for _, name := range []string{"acr_values", "max_age"} {
			if v := to.Query().Get(name); v != "" {
				said += " " + name + "=" + v
			}
		}
	case challenge != "":
		rest, ok := strings.CutPrefix(challenge, `Bearer resource_metadata="`+apiOrigin+`/.well-known/oauth-protected-resource"`)
		if !ok || len(res.Header["Www-Authenticate"]) != 1 {
			t.Errorf("the challenge %q", res.Header["Www-Authenticate"])
		}
		for _, part := range regexp.MustCompile(`(error|scope|acr_values|max_age)="([^"]*)"`).FindAllStringSubmatch(rest, -1) {
			said += " " + strings.TrimPrefix(part[1]+"="+part[2], "error=")
		}
		if strings.Count(rest, "error=") != strings.Count(rest, "error_description=") {
			t.Errorf("an error without a description: %q", challenge)
		}
	}
	if cache := res.Header.Get("Cache-Control"); cache != "no-store" {
		t.Errorf("%s may be cached: %q", said, cache)
	}
	return said
}

// named says in letters which headers of ours the upstream got, after looking
// at what every request must be free of.
func (w *world) named(t *testing.T) string {
	t.Helper()
	h, said := w.reached.Header, ""
	for _, c := range []struct{ letter, name string }{{"U", "X-Auth-User"}, {"G", "X-Auth-Groups"}, {"S", "X-Auth-Scopes"}, {"C", "X-Auth-Client"}, {"A", "X-Auth-Assertion"}} {
		if vs := h[c.name]; len(vs) == 1 && vs[0] != "" && vs[0] != "smuggled" {
			said += c.letter
		} else if len(vs) > 0 {
			t.Errorf("%s: %q", c.name, vs)
		}
	}
	if strings.Contains(h.Get("Cookie"), "gh-") || h.Get("X_auth-Client") != "" {
		t.Errorf("at the upstream: %v", h)
	}
	if said != "" && w.who.Principal.Kind == pool.Anonymous {
		t.Errorf("%q for %v", said, w.who.Principal.Kind)
	}
	if said == "" {
		said = "-"
	}
	if h.Get("Authorization") != "" {
		said += " token"
	}
	return said
}

// TestTheGateMatrix: every condition against every kind of caller. Of the
// headers at the upstream, U is the user's, G the groups', S the scopes', C the
// client's and A the assertion; "token" means that the bearer token went on.
func TestTheGateMatrix(t *testing.T) {
	w := newWorld(t)
	callers := matrixCallers(t, w)
	require := guard.Rule{Mode: guard.Require}
	rules := map[string]func(*guard.Rule){
		"none":                        func(*guard.Rule) {},
		"scope:orders.read":           func(r *guard.Rule) { r.Scopes = []string{"orders.read"} },
		"scope:orders.write":          func(r *guard.Rule) { r.Scopes = []string{"orders.write"} },
		"client:batch":                func(r *guard.Rule) { r.Clients = []string{"batch"} },
		"client:web|batch":            func(r *guard.Rule) { r.Clients = []string{"web", "batch"} },
		"group:operators":             func(r *guard.Rule) { r.Groups = [][]string{{"operators"}} },
		"group:staff":                 func(r *guard.Rule) { r.Groups = [][]string{{"staff"}} },
		"group:staff|operators":       func(r *guard.Rule) { r.Groups = [][]string{{"staff", "operators"}} },
		"group:staff group:operators": func(r *guard.Rule) { r.Groups = [][]string{{"staff"}, {"operators"}} },
		"acr:aal1":                    func(r *guard.Rule) { r.ACR = pool.AAL1 },
		"max_age:1h":                  func(r *guard.Rule) { r.MaxAge = time.Hour },
		"max_age:5m":                  func(r *guard.Rule) { r.MaxAge = 5 * time.Minute },
		"acr:aal1 max_age:5m api":     func(r *guard.Rule) { r.ACR, r.MaxAge, r.API = pool.AAL1, 5*time.Minute, true },
		"browser":                     func(r *guard.Rule) { r.Browser = true },
		"api":                         func(r *guard.Rule) { r.API = true },
		"strict":                      func(r *guard.Rule) { r.Strict = true },
		"cors":                        func(r *guard.Rule) { r.CORS = []string{"http://spa.localhost"} },
		"strip_token":                 func(r *guard.Rule) { r.Strip = true },
		"headers none":                func(r *guard.Rule) { r.Headers = "none" },
		"public path":                 func(r *guard.Rule) { r.Public = []string{"/x"} },
		"public path, another":        func(r *guard.Rule) { r.Public = []string{"/y"} },
		"gatehouse_public":            func(r *guard.Rule) { r.Mode = guard.Public },
	}
	const dead = "401 invalid_token"
	for _, row := range matrix() {
		change := rules[row.rule]
		if change == nil {
			t.Fatalf("no rule %q", row.rule)
		}
		rule := require
		change(&rule)
		delete(rules, row.rule)
		w.gate(apiOrigin, rule)
		for name, c := range callers {
			want, ok := row.want[name]
			if !ok {
				want = dead
				if row.open { // it names nobody; only what is surely meant for another resource stays here
					want = "200 - token"
					if name == "wrong audience" {
						want = "200 -"
					}
				} else if len(rule.Scopes) > 0 {
					want += " scope=" + strings.Join(rule.Scopes, " ")
				}
			}
			if got := w.ask(t, apiOrigin+"/x", c); got != want {
				t.Errorf("%s: %s: %s, want %s", row.rule, name, got, want)
			}
		}
	}
	for name := range rules {
		t.Errorf("the table has no row for %s", name)
	}
}

type matrixRow struct {
	rule string
	open bool
	want map[string]string // caller → what comes of it; who is not named gets the answer to a dead credential
}

// matrix is the table. Callers who are not named in a row present a credential
// that is dead, and are told so.
func matrix() []matrixRow {
	row := func(rule, navigation, fetch, user, machine, nobody, visitor string) matrixRow {
		oldEpoch := nobody // a cookie that names no session any more is none
		return matrixRow{rule: rule, open: nobody == "200 -", want: map[string]string{
			"navigation": navigation, "fetch": fetch, "user": user, "machine": machine,
			"nobody": nobody, "visitor": visitor, "signed out": visitor, "old epoch": oldEpoch,
		}}
	}
	const (
		person = "200 UGA"         // a browser session
		holder = "200 UGSCA token" // a user's token
		robot  = "200 SCA token"   // a machine's
		gone   = "401"             // a bare challenge
		login  = "302"
		auth   = "401 insufficient_user_authentication"
		no     = "403"
	)
	return []matrixRow{
		//  rule                         navigation               fetch                    user token               machine token            nobody  visitor
		row("none", person, person, holder, robot, gone, login),
		row("scope:orders.read", gone+" scope=orders.read", gone+" scope=orders.read", holder, robot, gone+" scope=orders.read", gone+" scope=orders.read"),
		row("scope:orders.write", gone+" scope=orders.write", gone+" scope=orders.write", no+" insufficient_scope scope=orders.write", no+" insufficient_scope scope=orders.write", gone+" scope=orders.write", gone+" scope=orders.write"),
		row("client:batch", gone, gone, no, robot, gone, gone),
		row("client:web|batch", gone, gone, holder, robot, gone, gone),
		row("group:operators", person, person, holder, no, gone, login),
		row("group:staff", no, no, no, no, gone, login),
		row("group:staff|operators", person, person, holder, no, gone, login),
		row("group:staff group:operators", no, no, no, no, gone, login),
		row("acr:aal1", person, person, holder, auth+" acr_values=aal1", gone, login+" acr_values=aal1"),
		row("max_age:1h", person, person, holder, auth+" max_age=3600", gone, login+" max_age=3600"),
		row("max_age:5m", login+" max_age=300", auth+" max_age=300", auth+" max_age=300", auth+" max_age=300", gone, login+" max_age=300"),
		row("acr:aal1 max_age:5m api", gone, gone, auth+" acr_values=aal1 max_age=300", auth+" acr_values=aal1 max_age=300", gone, gone),
		row("browser", person, person, no, no, gone, login),
		row("api", gone, gone, holder, robot, gone, gone),
		row("strict", person, person, holder, robot, gone, login),
		row("cors", person, person, holder, robot, gone, login),
		row("strip_token", person, person, "200 UGSCA", "200 SCA", gone, login),
		row("headers none", "200 -", "200 -", "200 - token", "200 - token", gone, login),
		row("public path", person, person, holder, robot, "200 -", "200 -"),
		row("public path, another", person, person, holder, robot, gone, login),
		row("gatehouse_public", person, person, holder, robot, "200 -", "200 -"),
	}
}

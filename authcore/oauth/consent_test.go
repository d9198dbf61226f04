package oauth_test

import (
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// asking is a host where people are asked before spa, app and web get anything.
func asking(t *testing.T) *host {
	t.Helper()
	h := newHost(t)
	for _, id := range []pool.ClientID{"spa", "app", "web"} {
		h.pool.Clients[id].Consent = true
	}
	h.pool.Clients["spa"].Name = "The Shop"
	h.pool.Resources[orders].Texts = map[string]string{"orders.read": "See your orders"}
	return h
}

// question follows a request to the page that asks.
func (h *host) question(change map[string]string) (f form, address string) {
	h.t.Helper()
	to := h.to(h.address(change))
	if to.Path != "/oauth2/consent" || to.RawQuery != query(change).Encode() {
		h.t.Fatalf("nobody is asked: %s", to)
	}
	return h.open(to.String()), to.String()
}

// decide sends the page's form and says where it leads.
func (h *host) decide(f form, decision string, header ...string) *http.Response {
	h.t.Helper()
	body := url.Values{}
	for name, values := range f.hidden {
		body[name] = slices.Clone(values)
	}
	if decision != "" {
		body.Set("decision", decision)
	}
	return h.surf("POST", h.URL+f.action, body, header...)
}

func location(t *testing.T, res *http.Response) *url.URL {
	t.Helper()
	to, err := res.Location()
	if err != nil {
		b, _ := io.ReadAll(res.Body)
		t.Fatalf("%d: %s", res.StatusCode, b)
	}
	return to
}

func TestConsentIsAskedOnce(t *testing.T) {
	h := asking(t)
	f, _ := h.question(map[string]string{"scope": "openid email orders.read"})
	for _, want := range []string{"The Shop", "shop.example.com", "ann@example.com", orders, "orders.read", "See your orders", `href="/select?`} {
		if !strings.Contains(f.page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(f.page, "orders.write") || strings.Contains(f.page, "stock") {
		t.Error("the page says more than was asked for")
	}
	res := h.decide(f, "allow")
	to := location(t, res)
	if res.StatusCode != 303 || !strings.HasPrefix(to.String(), callback+"?") || to.Query().Get("state") != "st" || to.Query().Get("iss") != h.URL {
		t.Fatal(res.StatusCode, to)
	}
	// The client gets exactly what it asked for.
	if a := h.redeem(to.Query().Get("code")); a.Scope != "openid email orders.read" {
		t.Errorf("%+v", a)
	}
	for _, less := range []string{"openid email orders.read", "openid", "orders.read", "email"} {
		if to := h.to(h.address(map[string]string{"scope": less, "prompt": "none"})); to.Query().Get("code") == "" {
			t.Errorf("%s: %s", less, to)
		}
	}
	for _, more := range []map[string]string{
		{"scope": "openid profile"}, {"scope": "openid orders.write"}, {"scope": "openid email orders.read stock.read", "resource": stock},
		{"claims": `{"userinfo":{"phone_number":null}}`}, {"client_id": "web"},
	} {
		if to := h.to(h.address(more)); to.Path != "/oauth2/consent" {
			t.Errorf("%v: %s", more, to)
		}
		more["prompt"] = "none"
		if got := h.authorize(more); got.Get("error") != "consent_required" || got.Get("state") != "st" {
			t.Errorf("%v: %v", more, got)
		}
	}
	bob := h.person("bob@example.com", "")
	h.browser(bob)
	if to := h.to(h.address(nil)); to.Path != "/oauth2/consent" {
		t.Errorf("another user: %s", to)
	}
}

func TestConsentToSeveralResources(t *testing.T) {
	h := asking(t)
	both := h.address(map[string]string{"scope": "openid orders.read stock.read"}) + "&resource=" + url.QueryEscape(orders) + "&resource=" + url.QueryEscape(stock)
	to := h.to(both)
	f := h.open(to.String())
	if !strings.Contains(f.page, orders) || !strings.Contains(f.page, stock) {
		t.Error("the page does not name both")
	}
	code := location(t, h.decide(f, "allow")).Query().Get("code")
	if a := h.redeem(code, "resource", stock); a.Scope != "openid stock.read" {
		t.Errorf("%+v", a)
	}
	all, err := h.accounts.Consents(t.Context(), h.pool, h.user.Sub)
	must(t, err)
	var got []string
	for _, c := range all {
		got = append(got, c.Host+" "+c.Resource+" "+strings.Join(c.Scopes, ","))
	}
	slices.Sort(got)
	want := []string{"shop.example.com  openid", "shop.example.com " + orders + " orders.read", "shop.example.com " + stock + " stock.read"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	must(t, h.accounts.Withdraw(t.Context(), pool.Caller{Kind: pool.Operator}, h.pool, h.user.Sub, "spa"))
	if to := h.to(h.address(map[string]string{"scope": "openid"})); to.Path != "/oauth2/consent" {
		t.Errorf("withdrawn: %s", to)
	}
}

func TestConsentRefused(t *testing.T) {
	h := asking(t)
	f, _ := h.question(nil)
	res := h.decide(f, "deny")
	to := location(t, res)
	if q := to.Query(); res.StatusCode != 303 || q.Get("error") != "access_denied" || q.Get("state") != "st" || q.Get("iss") != h.URL || q.Has("code") {
		t.Error(to)
	}
	if to := h.to(h.address(nil)); to.Path != "/oauth2/consent" {
		t.Errorf("a refusal was remembered as a yes: %s", to)
	}
}

// Personal scopes of claims that are asked for by name are told too.
func TestConsentNamesClaims(t *testing.T) {
	h := asking(t)
	plain, _ := h.question(nil)
	named, _ := h.question(map[string]string{"claims": `{"id_token":{"phone_number":null},"userinfo":{"address":{"essential":true}}}`})
	if len(named.page) <= len(plain.page) {
		t.Error("the page does not tell of the claims")
	}
	location(t, h.decide(named, "allow"))
	all, err := h.accounts.Consents(t.Context(), h.pool, h.user.Sub)
	must(t, err)
	if len(all) != 1 || !slices.Equal(all[0].Scopes, []string{"address", "openid", "phone"}) {
		t.Errorf("%+v", all)
	}
}

// prompt=consent asks whoever is no site, and each time.
func TestPromptConsent(t *testing.T) {
	h := newHost(t)
	again := map[string]string{"prompt": "consent"}
	for range 2 {
		f, _ := h.question(again)
		if to := location(t, h.decide(f, "allow")); to.Query().Get("code") == "" {
			t.Fatal(to)
		}
	}
	if to := h.to(h.address(nil)); to.Query().Get("code") == "" {
		t.Errorf("a trusted client is asked about: %s", to)
	}
	site := map[string]string{"client_id": "site:https://app.example.com", "redirect_uri": "https://app.example.com/_auth/callback", "prompt": "consent"}
	h.pool.Clients["site:https://app.example.com"].Consent = true
	if to := h.to(h.address(site)); to.Query().Get("code") == "" {
		t.Errorf("a site is asked about: %s", to)
	}
	// With prompt=login as well, the sign-in comes first.
	both := map[string]string{"prompt": "login consent"}
	to := h.to(h.address(both))
	if to.Path != "/login" {
		t.Fatal(to)
	}
	h.advance(time.Second)
	h.browser(h.again(h.user))
	if to := h.to(h.URL + "/oauth2/authorize?" + to.RawQuery); to.Path != "/oauth2/consent" {
		t.Error(to)
	}
}

// Where the answer goes to a program on the person's own machine, a yes of
// before says nothing about the program of now.
func TestLocalProgramsAreAskedAboutEachTime(t *testing.T) {
	h := asking(t)
	for _, redirect := range []string{"http://127.0.0.1:5123/cb", "http://[::1]:5123/cb", "http://localhost:5123/cb", "com.example.app:/cb"} {
		app := map[string]string{"client_id": "app", "redirect_uri": redirect}
		for range 2 {
			f, _ := h.question(app)
			res := h.decide(f, "allow")
			if to := location(t, res); !strings.HasPrefix(to.String(), redirect+"?code=") {
				t.Fatal(to)
			}
		}
		app["prompt"] = "none"
		if got := h.to(h.address(app)).Query(); got.Get("error") != "consent_required" {
			t.Errorf("%s: %v", redirect, got)
		}
	}
	h.pool.Clients["app"].Consent = false
	if to := h.to(h.address(map[string]string{"client_id": "app", "redirect_uri": "com.example.app:/cb"})); to.Query().Get("code") == "" {
		t.Errorf("a trusted client is asked about: %s", to)
	}
}

// An answer counts for what was asked, of whom, and for ten minutes.
func TestAnswersAreBound(t *testing.T) {
	h := asking(t)
	h.pool.Clients["spa"].RedirectURIs = append(h.pool.Clients["spa"].RedirectURIs, "https://other.example.com/")
	f, address := h.question(nil)
	given := func(f form, header ...string) bool {
		t.Helper()
		res := h.decide(f, "allow", header...)
		return strings.Contains(res.Header.Get("Location"), "code=")
	}
	with := func(change map[string]string) form {
		other := f
		other.action = "/oauth2/consent?" + query(change).Encode()
		return other
	}
	for name, other := range map[string]form{
		"another scope":    with(map[string]string{"scope": "openid email"}),
		"another client":   with(map[string]string{"client_id": "web"}),
		"another redirect": with(map[string]string{"redirect_uri": "https://other.example.com/"}),
		"another state":    with(map[string]string{"state": "x"}),
		"another verifier": with(map[string]string{"code_challenge": strings.Repeat("A", 43)}),
		"no question":      {action: f.action, hidden: url.Values{}},
		"damaged":          {action: f.action, hidden: url.Values{"question": {f.hidden.Get("question")[1:]}}},
		"not ours":         {action: f.action, hidden: url.Values{"question": {"x"}}},
		"line end":         {action: f.action, hidden: url.Values{"question": {f.hidden.Get("question") + "="}}},
		"long":             {action: f.action, hidden: url.Values{"question": {strings.Repeat("A", 4096)}}},
		"two questions":    {action: f.action, hidden: url.Values{"question": {f.hidden.Get("question"), "x"}}},
	} {
		if given(other) {
			t.Errorf("%s: given", name)
		}
	}
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site", "Origin", "https://evil.example"}, {"Sec-Fetch-Site", "same-site"},
		{"Sec-Fetch-Site", "", "Origin", ""}, {"Sec-Fetch-Site", "", "Origin", "null"}, {"Sec-Fetch-Mode", "cors"},
	} {
		if given(f, header...) {
			t.Errorf("%v: given", header)
		}
	}
	for _, decision := range []string{"", "yes", "ALLOW"} {
		if res := h.decide(f, decision); res.StatusCode != 200 || res.Header.Get("Location") != "" {
			t.Errorf("%q: %d", decision, res.StatusCode)
		}
	}
	// Somebody else is signed in by now, or the same person in another session.
	ann := h.cookie
	bob := h.person("bob@example.com", "")
	for _, p := range []person{bob, h.again(h.user)} {
		h.browser(p)
		if given(f) {
			t.Errorf("given in the session of %s", p.user.Email)
		}
	}
	h.cookie = ""
	if to := location(t, h.decide(f, "allow")); to.Path != "/login" {
		t.Errorf("nobody is signed in: %s", to)
	}
	h.cookie = ann
	all, err := h.accounts.Consents(t.Context(), h.pool, h.user.Sub)
	must(t, err)
	if len(all) != 0 {
		t.Errorf("remembered: %+v", all)
	}

	// Late: the page is shown again, and its question is new.
	h.advance(10 * time.Minute)
	res := h.decide(f, "allow")
	b, _ := io.ReadAll(res.Body)
	if later := formOf(string(b)); res.StatusCode != 200 || later.action != f.action || later.hidden.Get("question") == f.hidden.Get("question") || !given(later) {
		t.Errorf("late: %d", res.StatusCode)
	}
	must(t, h.accounts.Withdraw(t.Context(), pool.Caller{Kind: pool.Operator}, h.pool, h.user.Sub, "spa"))
	f = h.open(address)
	h.advance(9 * time.Minute)
	if !given(f) {
		t.Error("in time: not given")
	}
	// What is not to be asked any more leads back.
	if to := h.to(address); to.Path != "/oauth2/authorize" {
		t.Error(to)
	}
}

// An answer counts for what the page said, not for what the same request means
// after a reload, or once the person is an operator.
func TestAnswersAreBoundToWhatWasShown(t *testing.T) {
	for name, c := range map[string]struct {
		ask    map[string]string
		change func(h *host)
	}{
		"the client's scopes became more": {map[string]string{"scope": ""}, func(h *host) {
			h.pool.Clients["spa"].DefaultScopes = []string{"openid", "email"}
		}},
		"the request's scope became the client's": {map[string]string{"scope": "openid orders.write"}, func(h *host) {
			h.pool.Clients["spa"].Scopes = append(h.pool.Clients["spa"].Scopes, "orders.write")
		}},
		"the user became an operator": {map[string]string{"scope": "openid " + pool.ScopeAdmin}, func(h *host) {
			_, err := h.repo.UpdateUser(t.Context(), h.pool.ID, h.user.Sub, func(u *pool.User) error {
				u.Groups = append(u.Groups, pool.OperatorsGroup)
				return nil
			})
			must(t, err)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			h := asking(t)
			spa, admin := h.pool.Clients["spa"], pool.AdminResource(h.URL)
			h.pool.Resources[admin] = pool.AdminAPI(h.URL)
			spa.Scopes = append(slices.DeleteFunc(slices.Clone(spa.Scopes), func(s string) bool { return s == "orders.write" }), pool.ScopeAdmin)
			spa.Resources = append(slices.Clone(spa.Resources), admin)
			spa.DefaultScopes = []string{"openid"}
			f, _ := h.question(c.ask)
			c.change(h)
			res := h.decide(f, "allow")
			b, _ := io.ReadAll(res.Body)
			if res.StatusCode != 200 || res.Header.Get("Location") != "" {
				t.Fatalf("given: %d %s", res.StatusCode, res.Header.Get("Location"))
			}
			if to := location(t, h.decide(formOf(string(b)), "allow")); to.Query().Get("code") == "" {
				t.Errorf("the new question does not count: %s", to)
			}
		})
	}
}

func TestLongRequestsAreRefused(t *testing.T) {
	h := newHost(t)
	for _, path := range []string{"/oauth2/authorize?", "/oauth2/consent?"} {
		address := h.URL + path + query(nil).Encode() + "&x="
		if res := h.surf("GET", address+strings.Repeat("x", 8<<10), nil); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
		if res := h.surf("GET", address+strings.Repeat("x", 7<<10), nil); res.StatusCode != 302 {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
}

func TestConsentPageRefusals(t *testing.T) {
	h := asking(t)
	for _, change := range []map[string]string{{"redirect_uri": "https://evil.example/"}, {"client_id": "unknown"}} {
		if res := h.surf("GET", h.URL+"/oauth2/consent?"+query(change).Encode(), nil); res.StatusCode != 400 || res.Header.Get("Location") != "" {
			t.Errorf("%v: %d", change, res.StatusCode)
		}
	}
	if to := h.to(h.URL + "/oauth2/consent?" + query(map[string]string{"scope": "nobodys"}).Encode()); to.Query().Get("error") != "invalid_scope" {
		t.Error(to)
	}
	if to := h.to(h.URL + "/oauth2/consent?" + query(map[string]string{"prompt": "none"}).Encode()); to.Path != "/oauth2/authorize" {
		t.Error(to)
	}
	res := h.surf("GET", h.URL+"/oauth2/consent?"+query(nil).Encode(), nil)
	policy := res.Header.Get("Content-Security-Policy")
	if !strings.Contains(policy, "frame-ancestors 'none'") || !strings.Contains(policy, "form-action 'self' https:") || res.Header.Get("Cache-Control") != "no-store" {
		t.Error(res.Header)
	}
	app := query(map[string]string{"client_id": "app", "redirect_uri": "com.example.app:/cb"}).Encode()
	if policy := h.surf("GET", h.URL+"/oauth2/consent?"+app, nil).Header.Get("Content-Security-Policy"); !strings.Contains(policy, " com.example.app:") {
		t.Error(policy)
	}
	if res := h.surf("GET", h.URL+"/oauth2/consent?"+query(nil).Encode(), nil, "Sec-Fetch-Mode", "cors"); res.StatusCode != 403 {
		t.Error(res.StatusCode)
	}
}

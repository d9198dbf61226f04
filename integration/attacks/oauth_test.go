package attacks

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// tokenRaw sends a body to the token endpoint as it is.
func (w *world) tokenRaw(query, body string, lines ...string) (answer, harness.Answer) {
	w.t.Helper()
	lines = append(lines, "Content-Type: application/x-www-form-urlencoded", "Content-Length: "+strconv.Itoa(len(body)))
	a := w.raw("app", w.head("app", "POST /_auth/oauth2/token"+query, lines...)+"\r\n"+body)
	var out harness.Answer
	if err := json.Unmarshal([]byte(a.Body), &out); err != nil {
		w.t.Fatalf("%d %q: %v", a.Status, a.Body, err)
	}
	out.Status = a.Status
	return a, out
}

// code returns a fresh code of the shop for a browser that is signed in.
func (w *world) code(b *harness.Browser, c harness.Client) harness.Code {
	w.t.Helper()
	return w.provider.GetCode(w.t, b, c, "openid orders.read", bob, password)
}

func body(c harness.Client, code harness.Code) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "client_id": {c.ID}, "code": {code.Value}, "redirect_uri": {c.Redirect}, "code_verifier": {code.Verifier}}
}

// dead fails unless an access token is refused at the API and a refresh token
// at the token endpoint.
func (w *world) dead(t *testing.T, c harness.Client, access, refresh string) {
	t.Helper()
	w.up.take()
	if access != "" {
		w.challenged(t, "api", w.get("api", "/", "Authorization: Bearer "+access), 401, "invalid_token", "orders.read")
	}
	a, err := w.provider.Refresh(c, refresh)
	if err != nil || a.Status != 400 || a.Error != "invalid_grant" {
		t.Errorf("a dead refresh token: %+v, %v", a, err)
	}
}

// E03: a parameter that stands twice is read differently by different readers.
func TestDuplicateParameters(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	target, _ := w.provider.Authorize(shop(), "openid orders.read", url.Values{"nonce": {"n"}, "prompt": {"none"}, "max_age": {"3600"}, "login_hint": {"bob"}, "response_mode": {"query"}})
	asked, err := url.Parse(target)
	if err != nil {
		t.Fatal(err)
	}
	if b.Get(target); b.URL.Query().Get("code") == "" {
		t.Fatalf("the request is no good as it is: %s\n%s", b.URL, b.Body)
	}
	for name, values := range asked.Query() {
		for how, second := range map[string]string{"same": values[0], "other": "http://127.0.0.1:1/second", "empty": ""} {
			t.Run("authorize "+name+" "+how, func(t *testing.T) {
				for _, q := range []string{asked.RawQuery + "&" + name + "=" + url.QueryEscape(second), name + "=" + url.QueryEscape(second) + "&" + asked.RawQuery,
					asked.RawQuery + "&" + strings.Replace(name, name[:1], "%"+hexOf(name[0]), 1) + "=" + url.QueryEscape(second)} {
					b.Get(w.provider.Base + "/oauth2/authorize?" + q)
					got := b.URL.Query()
					switch {
					case got.Get("code") != "":
						t.Errorf("a code for %s", q)
					case b.URL.Port() == "1" && (got.Get("error") != "invalid_request" || name == "client_id" || name == "redirect_uri"):
						t.Errorf("redirected to %s", b.URL)
					case b.URL.Port() != "1" && b.Status != 400:
						t.Errorf("%d at %s", b.Status, b.URL)
					}
				}
			})
		}
	}
	t.Run("token", func(t *testing.T) {
		code := w.code(b, shop())
		form := body(shop(), code)
		for name, values := range form {
			for how, second := range map[string]string{"same": values[0], "other": "x", "empty": ""} {
				t.Run(name+" "+how, func(t *testing.T) {
					for _, text := range []string{form.Encode() + "&" + name + "=" + url.QueryEscape(second), name + "=" + url.QueryEscape(second) + "&" + form.Encode()} {
						if _, a := w.tokenRaw("", text); a.Status != 400 || a.Error != "invalid_request" {
							t.Errorf("%+v", a)
						}
					}
					if _, a := w.tokenRaw("?"+name+"="+url.QueryEscape(second), form.Encode()); a.Status != 400 || a.Error != "invalid_request" {
						t.Errorf("query and body: %+v", a)
					}
					rest := url.Values{}
					for n, v := range form {
						if n != name {
							rest[n] = v
						}
					}
					if _, a := w.tokenRaw("?"+name+"="+url.QueryEscape(values[0]), rest.Encode()); a.Status != 400 || a.Error != "invalid_request" {
						t.Errorf("query instead of body: %+v", a)
					}
				})
			}
		}
		for how, lines := range map[string][]string{"Basic beside client_id of another": {basic(back())}, "two Authorization headers": {basic(back()), basic(back())}} {
			if _, a := w.tokenRaw("", form.Encode(), lines...); a.Status < 400 || a.Access != "" {
				t.Errorf("%s: %+v", how, a)
			}
		}
		if _, a := w.tokenRaw("", form.Encode()); a.Status != 200 {
			t.Errorf("refusals must spend nothing: %+v", a)
		}
	})
}

func hexOf(c byte) string {
	const digits = "0123456789abcdef"
	return string([]byte{digits[c>>4], digits[c&15]})
}

func basic(c harness.Client) string {
	r := http.Request{Header: http.Header{}}
	r.SetBasicAuth(c.ID, c.Secret)
	return "Authorization: " + r.Header.Get("Authorization")
}

// E04: a code works once, and its second use ends what it bought.
func TestCodeReplay(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	t.Run("one after the other", func(t *testing.T) {
		code := w.code(b, shop())
		first, err := w.provider.Redeem(shop(), code)
		if err != nil || first.Status != 200 {
			t.Fatalf("%+v, %v", first, err)
		}
		for range 3 {
			if a, err := w.provider.Redeem(shop(), code); err != nil || a.Status != 400 || a.Error != "invalid_grant" {
				t.Errorf("%+v, %v", a, err)
			}
		}
		w.dead(t, shop(), first.Access, first.Refresh)
	})
	t.Run("a replay without the verifier ends nothing", func(t *testing.T) {
		code := w.code(b, shop())
		first, err := w.provider.Redeem(shop(), code)
		if err != nil || first.Status != 200 {
			t.Fatalf("%+v, %v", first, err)
		}
		code.Verifier = strings.Repeat("x", 43)
		if a, err := w.provider.Redeem(shop(), code); err != nil || a.Error != "invalid_grant" {
			t.Errorf("%+v, %v", a, err)
		}
		if a, err := w.provider.Refresh(shop(), first.Refresh); err != nil || a.Status != 200 {
			t.Errorf("whoever sees a code alone could end a sign-in: %+v, %v", a, err)
		}
	})
	t.Run("50 at once", func(t *testing.T) {
		code := w.code(b, shop())
		var good []*harness.Answer
		for _, a := range parallel(50, func() (*harness.Answer, error) { return w.provider.Redeem(shop(), code) }) {
			switch {
			case a.err != nil:
				t.Error(a.err)
			case a.Status == 200:
				good = append(good, a.Answer)
			case a.Status != 400 || a.Error != "invalid_grant":
				t.Errorf("%+v", a.Answer)
			}
		}
		if len(good) != 1 {
			t.Fatalf("%d redemptions succeeded", len(good))
		}
		w.dead(t, shop(), good[0].Access, good[0].Refresh)
	})
}

// E04 at a gate: its code is bound to one browser, and a second use ends the
// session that the first one bought.
func TestGateCodeReplay(t *testing.T) {
	w := newWorld(t)
	b := harness.NewBrowser(t)
	b.Get(w.URL("remote") + "/deep?x=1")
	var tx string // the sealed transaction, which the callback deletes
	for _, c := range b.Cookies(w.URL("remote")) {
		if strings.HasPrefix(c.Name, "gh-tx-") {
			tx = c.Name + "=" + c.Value
		}
	}
	b.SignIn(bob, password)
	i := slices.IndexFunc(b.Hops, func(h string) bool { return strings.Contains(h, "/_auth/callback?") })
	if b.Status != 200 || tx == "" || i < 0 || b.URL.RequestURI() != "/deep?x=1" {
		t.Fatalf("%d, %v", b.Status, b.Hops)
	}
	u, err := url.Parse(b.Hops[i])
	if err != nil {
		t.Fatal(err)
	}
	cookie := "Cookie: " + w.cookie(b, "remote")
	w.up.take()
	refused := func(site, target string, lines ...string) {
		t.Helper()
		a := w.get(site, target, lines...)
		if a.Status != 400 || slices.ContainsFunc(a.Header["Set-Cookie"], func(c string) bool { return strings.HasPrefix(c, "gh-site-") }) {
			t.Errorf("%s: %d %v", target, a.Status, a.Header)
		}
		w.noU(t)
	}
	refused("remote", u.RequestURI())             // another browser
	refused("app", u.RequestURI(), "Cookie: "+tx) // another site
	refused("remote", "/_auth/callback", "Cookie: "+tx)
	q := u.Query()
	for name, value := range map[string]string{"state": "x", "iss": "https://evil.example", "code": "x"} {
		forged := url.Values{}
		for n := range q {
			forged.Set(n, q.Get(n))
		}
		forged.Set(name, value)
		refused("remote", "/_auth/callback?"+forged.Encode(), "Cookie: "+tx)
	}
	for _, c := range []harness.Client{shop(), {ID: q.Get("client_id")}, {ID: "site:" + w.URL("remote")}} { // the token endpoint does not take it
		if a, err := w.provider.Redeem(c, harness.Code{Value: q.Get("code"), Verifier: strings.Repeat("a", 43)}); err != nil || a.Access != "" || a.Status < 400 {
			t.Errorf("%+v, %v", a, err)
		}
	}
	if a := w.get("remote", "/", cookie); a.Status != 200 {
		t.Fatalf("others' attempts ended the session: %d", a.Status)
	}
	w.up.take()
	refused("remote", u.RequestURI(), "Cookie: "+tx) // the true replay
	w.challenged(t, "remote", w.get("remote", "/", cookie), 401, "", "")
}

type result struct {
	*harness.Answer
	err error
}

// parallel calls f n times at once.
func parallel(n int, f func() (*harness.Answer, error)) []result {
	results := make([]result, n)
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i := range results {
		wg.Go(func() {
			<-start
			a, err := f()
			results[i] = result{a, err}
		})
	}
	close(start)
	wg.Wait()
	return results
}

// E05, E06, E07: a code is good only for whom, where and with what it was issued.
func TestCodeBinding(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	set := func(name, value string) func(url.Values) { return func(f url.Values) { f.Set(name, value) } }
	del := func(name string) func(url.Values) { return func(f url.Values) { f.Del(name) } }
	for _, c := range []struct {
		id     string
		client harness.Client
		change func(url.Values)
		lines  []string
		want   []string
	}{
		{"E05 another public client", shop(), set("client_id", "rival"), nil, []string{"invalid_grant"}},
		{"E05 another confidential client", shop(), del("client_id"), []string{basic(back())}, []string{"invalid_grant"}},
		{"E05 another client without its secret", shop(), set("client_id", "back"), nil, []string{"invalid_client"}},
		{"E05 a confidential client's code by a public one", back(), set("client_id", "shop"), nil, []string{"invalid_grant"}},
		{"E05 a confidential client without its secret", back(), func(url.Values) {}, nil, []string{"invalid_client"}},
		{"E05 a gate's client", shop(), set("client_id", "site:"+w.URL("app")), nil, []string{"invalid_client", "invalid_grant", "unauthorized_client"}},
		{"E05 no client", shop(), del("client_id"), nil, []string{"invalid_client", "invalid_request"}},
		{"E05 client in other case", shop(), set("client_id", "Shop"), nil, []string{"invalid_client"}},
		{"E05 another registered redirect URI", shop(), set("redirect_uri", "http://127.0.0.1:1/second"), nil, []string{"invalid_grant"}},
		{"E05 redirect URI with a slash", shop(), set("redirect_uri", shop().Redirect+"/"), nil, []string{"invalid_grant"}},
		{"E05 redirect URI in other case", shop(), set("redirect_uri", "HTTP://127.0.0.1:1/callback"), nil, []string{"invalid_grant"}},
		{"E05 redirect URI with a query", shop(), set("redirect_uri", shop().Redirect+"?"), nil, []string{"invalid_grant"}},
		{"E05 no redirect URI", shop(), del("redirect_uri"), nil, []string{"invalid_grant", "invalid_request"}},
		{"E06 no verifier", shop(), del("code_verifier"), nil, []string{"invalid_grant", "invalid_request"}},
		{"E06 empty verifier", shop(), set("code_verifier", ""), nil, []string{"invalid_grant", "invalid_request"}},
		{"E06 wrong verifier", shop(), set("code_verifier", strings.Repeat("a", 43)), nil, []string{"invalid_grant"}},
		{"E06 42 characters", shop(), set("code_verifier", strings.Repeat("a", 42)), nil, []string{"invalid_grant", "invalid_request"}},
		{"E06 129 characters", shop(), set("code_verifier", strings.Repeat("a", 129)), nil, []string{"invalid_grant", "invalid_request"}},
		{"E06 bad alphabet", shop(), set("code_verifier", strings.Repeat("é", 30)), nil, []string{"invalid_grant", "invalid_request"}},
		{"E06 spaces around it", shop(), func(f url.Values) { f.Set("code_verifier", " "+f.Get("code_verifier")+" ") }, nil, []string{"invalid_grant", "invalid_request"}},
		{"E04 code cut short", shop(), func(f url.Values) { f.Set("code", f.Get("code")[:20]) }, nil, []string{"invalid_grant"}},
		{"E04 code with a tail", shop(), func(f url.Values) { f.Set("code", f.Get("code")+"A") }, nil, []string{"invalid_grant"}},
		{"E04 code in other case", shop(), func(f url.Values) { f.Set("code", strings.ToLower(f.Get("code"))) }, nil, []string{"invalid_grant"}},
		{"E07 the verifier of an excused client's challenge", old(), del("code_verifier"), []string{basic(old())}, []string{"invalid_grant", "invalid_request"}},
		{"scope widened", shop(), set("scope", "orders.read orders.write"), nil, []string{"invalid_scope"}},
		{"resource widened", shop(), set("resource", w.URL("other")), nil, []string{"invalid_target"}},
	} {
		t.Run(c.id, func(t *testing.T) {
			code := w.code(b, c.client)
			form := body(c.client, code)
			c.change(form)
			a, got := w.tokenRaw("", form.Encode(), c.lines...)
			if got.Access != "" || got.Refresh != "" || !slices.Contains(c.want, got.Error) || a.Status != 400 && (a.Status != 401 || got.Error != "invalid_client") {
				t.Errorf("%d %q, want one of %v", a.Status, a.Body, c.want)
			}
			if a.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("Cache-Control %q", a.Header.Get("Cache-Control"))
			}
			// Whoever fails so must not have burnt the code of its owner.
			if good, err := w.provider.Redeem(c.client, code); err != nil || good.Status != 200 {
				t.Errorf("the owner's own redemption: %+v, %v", good, err)
			}
		})
	}
	t.Run("E06 verifier without challenge", func(t *testing.T) {
		target, verifier := w.provider.Authorize(old(), "openid orders.read", url.Values{"code_challenge": {""}, "code_challenge_method": {""}})
		b.Get(target)
		code := b.URL.Query().Get("code")
		if code == "" {
			t.Fatalf("no code: %s", b.URL)
		}
		if a, err := w.provider.Redeem(old(), harness.Code{Value: code, Verifier: verifier}); err != nil || a.Access != "" || a.Status != 400 {
			t.Errorf("%+v, %v", a, err)
		}
	})
}

// E06, E07: no code without a good challenge.
func TestChallengeDowngrade(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	for _, c := range []harness.Client{shop(), back()} {
		if w.code(b, c).Value == "" { // the client's ordinary request, so that what follows is a downgrade
			t.Fatal("no code")
		}
		for name, change := range map[string]url.Values{
			"dropped":               {"code_challenge": nil, "code_challenge_method": nil},
			"empty":                 {"code_challenge": {""}},
			"plain":                 {"code_challenge_method": {"plain"}},
			"method missing":        {"code_challenge_method": nil},
			"method lower case":     {"code_challenge_method": {"s256"}},
			"method unknown":        {"code_challenge_method": {"S512"}},
			"method alone":          {"code_challenge": nil},
			"42 characters":         {"code_challenge": {strings.Repeat("a", 42)}},
			"44 characters":         {"code_challenge": {strings.Repeat("a", 44)}},
			"129 characters":        {"code_challenge": {strings.Repeat("a", 129)}},
			"padded":                {"code_challenge": {strings.Repeat("A", 43) + "="}},
			"standard base64":       {"code_challenge": {strings.Repeat("+/", 21) + "A"}},
			"not ASCII":             {"code_challenge": {strings.Repeat("é", 43)}},
			"not canonical base64":  {"code_challenge": {strings.Repeat("A", 42) + "B"}},
			"plain in a JSON array": {"code_challenge_method": {`["S256"]`}},
		} {
			t.Run(c.ID+" "+name, func(t *testing.T) {
				target, _ := w.provider.Authorize(c, "openid orders.read", change)
				b.Get(target)
				q := b.URL.Query()
				if q.Get("error") != "invalid_request" || q.Get("code") != "" || q.Get("state") != "state-of-the-test" || q.Get("iss") != w.provider.Base {
					t.Errorf("%d at %s", b.Status, b.URL)
				}
			})
		}
	}
	t.Run("an excused client's bad challenge", func(t *testing.T) {
		for _, change := range []url.Values{{"code_challenge_method": {"plain"}}, {"code_challenge": {"short"}}, {"code_challenge": nil}} {
			target, _ := w.provider.Authorize(old(), "openid orders.read", change)
			if b.Get(target); b.URL.Query().Get("error") != "invalid_request" {
				t.Errorf("%v: %s", change, b.URL)
			}
		}
	})
}

// E14: one lineage, a grace, and the end of the family after it.
func TestRefreshReplay(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	start := func(t *testing.T, c harness.Client) *harness.Answer {
		t.Helper()
		a, err := w.provider.Redeem(c, w.code(b, c))
		if err != nil || a.Status != 200 {
			t.Fatalf("%+v, %v", a, err)
		}
		return a
	}
	refresh := func(t *testing.T, c harness.Client, token string) *harness.Answer {
		t.Helper()
		a, err := w.provider.Refresh(c, token)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	for _, c := range []harness.Client{shop(), back()} {
		t.Run(c.ID, func(t *testing.T) {
			first := start(t, c)
			second := refresh(t, c, first.Refresh)
			if second.Status != 200 || second.Refresh == first.Refresh {
				t.Fatalf("%+v", second)
			}
			if again := refresh(t, c, first.Refresh); again.Status != 200 || again.Refresh != second.Refresh {
				t.Errorf("inside the grace: %d, another successor: %v", again.Status, again.Refresh != second.Refresh)
			}
			time.Sleep(grace + 500*time.Millisecond) // the server's clock is the real one
			if late := refresh(t, c, first.Refresh); late.Status != 400 || late.Error != "invalid_grant" {
				t.Errorf("after the grace: %+v", late)
			}
			w.dead(t, c, second.Access, second.Refresh)
			if !strings.Contains(w.Logs(), "a refresh token was used again; its family is ended") {
				t.Error("the reuse was not logged")
			}
		})
	}
	t.Run("20 at once", func(t *testing.T) {
		token := start(t, shop()).Refresh
		for range 3 {
			next := map[string]bool{}
			for _, a := range parallel(20, func() (*harness.Answer, error) { return w.provider.Refresh(shop(), token) }) {
				if a.err != nil || a.Status != 200 {
					t.Fatalf("%+v, %v", a.Answer, a.err)
				}
				next[a.Refresh] = true
			}
			if len(next) != 1 {
				t.Fatalf("%d successors", len(next))
			}
			for token = range next {
			}
		}
	})
	t.Run("another client's", func(t *testing.T) {
		a := start(t, shop())
		for _, c := range []harness.Client{rival(), back(), {ID: "site:" + w.URL("app")}} {
			if got := refresh(t, c, a.Refresh); got.Access != "" || got.Status < 400 {
				t.Errorf("%s: %+v", c.ID, got)
			}
		}
		if got := refresh(t, shop(), a.Refresh); got.Status != 200 {
			t.Errorf("others' attempts must not end the family: %+v", got)
		}
	})
	t.Run("forged", func(t *testing.T) {
		a := start(t, shop())
		for i := range a.Refresh {
			forged := []byte(a.Refresh)
			if forged[i] = 'A'; a.Refresh[i] == 'A' {
				forged[i] = 'B'
			}
			if got := refresh(t, shop(), string(forged)); got.Status != 400 || got.Error != "invalid_grant" {
				t.Errorf("character %d: %+v", i, got)
			}
		}
		for _, s := range []string{a.Refresh + "A", a.Refresh[:len(a.Refresh)-1], " " + a.Refresh, strings.ToLower(a.Refresh)} {
			if got := refresh(t, shop(), s); got.Status != 400 || got.Error != "invalid_grant" {
				t.Errorf("%q: %+v", s, got)
			}
		}
		if got := refresh(t, shop(), a.Refresh); got.Status != 200 {
			t.Errorf("%+v", got)
		}
	})
	t.Run("widened", func(t *testing.T) {
		a := start(t, shop())
		for name, v := range map[string][2]string{"scope": {"orders.write", "invalid_scope"}, "resource": {w.URL("other"), "invalid_target"}} {
			got, err := w.provider.Token(shop(), url.Values{"grant_type": {"refresh_token"}, "refresh_token": {a.Refresh}, name: {v[0]}})
			if err != nil || got.Error != v[1] {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	})
	t.Run("a disabled user's", func(t *testing.T) {
		a := start(t, shop())
		w.CLI("user", "disable", bob)
		w.dead(t, shop(), a.Access, a.Refresh)
		w.CLI("user", "enable", bob)
		w.dead(t, shop(), a.Access, a.Refresh)
	})
}

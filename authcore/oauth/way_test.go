package oauth_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

const word = "correct horse battery"

// surfer is a browser with cookies of its own, which follows redirects until a
// page is shown or the login host is left.
type surfer struct {
	*host
	client *http.Client
	at     *url.URL // where it is
	page   form
}

func (h *host) surfer() *surfer {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	must(h.t, err)
	s := &surfer{host: h}
	s.client = &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, via []*http.Request) error {
		if "http://"+r.URL.Host != h.URL || len(via) > 10 {
			return http.ErrUseLastResponse
		}
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		return nil
	}}
	return s
}

func (s *surfer) request(method, address string, body url.Values) *surfer {
	s.t.Helper()
	r, err := http.NewRequestWithContext(s.t.Context(), method, address, strings.NewReader(body.Encode()))
	must(s.t, err)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", s.URL)
	}
	res, err := s.client.Do(r)
	must(s.t, err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	must(s.t, err)
	s.at, s.page = res.Request.URL, formOf(string(b))
	if to, err := res.Location(); err == nil {
		s.at = to
	}
	return s
}

func (s *surfer) visit(address string) *surfer { s.t.Helper(); return s.request("GET", address, nil) }

// submit sends the page's form with what the person adds to it.
func (s *surfer) submit(pairs ...string) *surfer {
	s.t.Helper()
	body := s.page.hidden
	for i := 0; i < len(pairs); i += 2 {
		body.Set(pairs[i], pairs[i+1])
	}
	return s.request("POST", s.URL+s.page.action, body)
}

func (s *surfer) signIn(identifier string) *surfer {
	s.t.Helper()
	s.isAt("/login")
	return s.submit("identifier", identifier, "password", word)
}

func (s *surfer) isAt(path string) *surfer {
	s.t.Helper()
	if s.at.Path != path || "http://"+s.at.Host != s.URL {
		s.t.Fatalf("at %s, not %s: %s", s.at, path, s.page.page)
	}
	return s
}

func (s *surfer) click(label string) *surfer {
	s.t.Helper()
	for _, m := range regexp.MustCompile(`<a[^>]* href="([^"]*)"`).FindAllStringSubmatch(s.page.page, -1) {
		if strings.Contains(m[1], label) {
			return s.visit(s.URL + m[1])
		}
	}
	s.t.Fatalf("no link with %q: %s", label, s.page.page)
	return nil
}

// The whole way between application, login, choice of account and consent, as
// a browser goes it.
func TestTheWay(t *testing.T) {
	h := asking(t)
	var subs []pool.UserID
	for _, who := range []string{"one@example.com", "two@example.com"} {
		u, err := h.accounts.Create(t.Context(), pool.Caller{Kind: pool.Operator}, h.pool, account.NewUser{Identifier: who, Password: word, Verified: true})
		must(t, err)
		subs = append(subs, u.Sub)
	}
	s := h.surfer()
	answered := func(want pool.UserID) {
		t.Helper()
		if !strings.HasPrefix(s.at.String(), callback+"?") || h.who(s.at) != want {
			t.Errorf("%s is answered for another user", s.at)
		}
	}

	s.visit(h.address(map[string]string{"scope": "openid email"})).signIn("one@example.com").isAt("/oauth2/consent")
	s.submit("decision", "allow")
	answered(subs[0])

	h.advance(time.Second)
	s.visit(h.address(map[string]string{"prompt": "select_account"})).isAt("/select")
	s.click("/login?").signIn("two@example.com").isAt("/oauth2/consent")
	s.click("/select?").isAt("/select")
	name := regexp.MustCompile(`name="account" value="([^"]*)"`).FindAllStringSubmatch(s.page.page, -1)
	if len(name) != 2 {
		t.Fatalf("%d accounts: %s", len(name), s.page.page)
	}
	s.submit("account", name[1][1]) // the first one, who has allowed it already
	answered(subs[0])

	h.advance(time.Second)
	s.visit(h.address(map[string]string{"login_hint": "two@example.com"})).isAt("/oauth2/consent")
	s.submit("decision", "deny")
	if s.at.Query().Get("error") != "access_denied" {
		t.Error(s.at)
	}
	h.advance(time.Second)
	s.visit(h.address(map[string]string{"prompt": "login", "login_hint": "one@example.com"})).isAt("/login")
	if !strings.Contains(s.page.page, `value="one@example.com"`) {
		t.Error("the hint is not filled in")
	}
	s.signIn("one@example.com")
	answered(subs[0])

	h.advance(time.Second)
	s.visit(h.address(map[string]string{"prompt": "select_account login"})).isAt("/select")
	name = regexp.MustCompile(`name="account" value="([^"]*)"`).FindAllStringSubmatch(s.page.page, -1)
	s.submit("account", name[0][1]).signIn("one@example.com")
	answered(subs[0])

	h.advance(time.Second)
	s.visit(h.address(map[string]string{"login_hint": "nobody@example.com"})).isAt("/login")
	h.advance(time.Second)
	s.signIn("one@example.com")
	answered(subs[0])
}

// A browser that circles is told in words, with a way on.
func TestCirclingHasAPage(t *testing.T) {
	h := newHost(t)
	h.cookie = ""
	address := h.address(nil)
	h.to(address)
	h.to(address)
	res := h.surf("GET", address, nil)
	b, _ := io.ReadAll(res.Body)
	if page := string(b); res.StatusCode != 400 || !strings.Contains(page, `href="/login"`) {
		t.Errorf("%d %s", res.StatusCode, page)
	}
}

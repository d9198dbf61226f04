package authcore_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

var states = flag.Int("states", 300, "how many states of the login pages the walk looks at; 5000 are more than there are")

// TestEveryWayLeadsOn walks the login pages as people do: two tabs, the back
// button, forms sent twice, pages that lie open until they expire, restarts and
// reloads of the server, cookies that are gone. It follows every combination
// of steps to every state that differs from those before, and demands in each
// that somebody who only does what the page offers gets to the application.
func TestEveryWayLeadsOn(t *testing.T) {
	const depth = 6
	m := newMaze(t)
	seen := map[string][]string{}
	queue := [][]string{nil}
	for len(queue) > 0 && len(seen) < *states {
		path := queue[0]
		queue = queue[1:]
		state, choices := m.walk(path)
		if _, known := seen[state]; known {
			continue
		}
		seen[state] = path
		m.getOn(path)
		if len(path) < depth {
			for _, c := range choices {
				queue = append(queue, append(slices.Clone(path), c))
			}
		}
	}
	if len(seen) < 60 {
		t.Errorf("only %d states were found", len(seen))
	}
	kinds := map[string]bool{}
	for state := range seen {
		for _, title := range strings.Split(state, "|")[:2] {
			kinds[title] = true
		}
	}
	for _, want := range []string{"upstream", "Sign in", "Error: Sign in", "You’re signed out", "Sign out?", "Choose"} {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(kinds)), func(k string) bool { return strings.HasPrefix(k, want) || strings.Contains(k, want) }) {
			t.Errorf("no walk came to a page %q: %v", want, slices.Sorted(maps.Keys(kinds)))
		}
	}
	t.Logf("%d states, %d walks; pages: %v", len(seen), m.walks, slices.Sorted(maps.Keys(kinds)))
}

// maze is a server that lives through all walks, restarts included.
type maze struct {
	*world
	store *lasting
	keys  *secret.Keys
	users int
	walks int
}

// lasting is a store that outlives the process that closes it.
type lasting struct{ *memstore.Store }

func (lasting) Close() error { return nil }

func newMaze(t *testing.T) *maze {
	t.Helper()
	m := &maze{world: &world{t: t, clock: &clock{t: time.Date(2030, 1, 1, 12, 0, 0, 0, time.UTC)}, handlers: map[string]http.Handler{}}, keys: secret.NewKeys()}
	inner := memstore.New(memstore.Options{Now: m.clock.now})
	m.store = &lasting{inner}
	t.Cleanup(func() {
		m.engine.Close()
		if err := m.state.Close(); err != nil {
			t.Error(err)
		}
		if err := inner.Close(); err != nil {
			t.Error(err)
		}
	})
	m.start()
	m.firstUser("operator@example.com")
	return m
}

// start opens the state and puts the configuration to work, as a process does.
func (m *maze) start() {
	m.t.Helper()
	if m.state != nil {
		m.engine.Close()
		m.engine = nil
		if err := m.state.Close(); err != nil {
			m.t.Fatal(err)
		}
	}
	var err error
	m.state, err = authcore.Open(context.Background(), authcore.StateConfig{
		Directory: store.Store(m.store), Keys: m.keys, Now: m.clock.now, Hashing: secret.HasherConfig{Memory: 8, Time: 1},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.configure(config())
}

// person is somebody with a browser of two tabs.
type person struct {
	m          *maze
	jar        http.CookieJar
	tabs       [2]tab
	identifier string
	other      string // a second account
	home       string // what is typed to begin
	wrongs     int
}

// tab is what one tab shows, and what its back button leads to.
type tab struct {
	at      *url.URL
	status  int
	body    string
	loaded  time.Time
	earlier []tab
	sent    *sent // the last form
}

type sent struct {
	action string
	form   url.Values
}

// walk begins anew and takes the steps; it returns what distinguishes the
// state that they lead to, and the steps that are possible there.
func (m *maze) walk(path []string) (state string, choices []string) {
	m.t.Helper()
	p := m.newPerson()
	for i, step := range path {
		if err := p.do(step); err != nil {
			m.t.Fatalf("%s: %v", strings.Join(path[:i+1], ", "), err)
		}
	}
	return p.state(), p.choices()
}

func (m *maze) newPerson() *person {
	m.t.Helper()
	m.walks++
	jar, err := cookiejar.New(nil)
	if err != nil {
		m.t.Fatal(err)
	}
	p := &person{m: m, jar: jar, home: appOrigin + "/page"}
	for _, name := range []*string{&p.identifier, &p.other} {
		m.users++
		*name = fmt.Sprintf("walker-%d@example.com", m.users)
		if status, answer := m.admin(http.MethodPost, "/users", map[string]any{"identifier": *name, "password": password}); status != http.StatusOK {
			m.t.Fatal(answer)
		}
	}
	return p
}

// getOn repeats the walk, and then does what a page offers until the
// application is reached, in each tab that was opened.
func (m *maze) getOn(path []string) {
	m.t.Helper()
	p := m.newPerson()
	for _, step := range path {
		if err := p.do(step); err != nil {
			m.t.Fatal(err)
		}
	}
	for i := range p.tabs {
		if p.tabs[i].at == nil {
			continue
		}
		var story []string
		for range 8 {
			if p.tabs[i].body == "upstream" {
				break
			}
			story = append(story, fmt.Sprintf("%d %s %q", p.tabs[i].status, p.tabs[i].at.Path, p.title(i)))
			if err := p.follow(i); err != nil {
				m.t.Fatalf("after %s, tab %d: %v\n%s\n%s", strings.Join(path, ", "), i, err, strings.Join(story, "\n"), p.tabs[i].body)
			}
		}
		if p.tabs[i].body != "upstream" {
			m.t.Fatalf("after %s, tab %d never gets to the application:\n%s", strings.Join(path, ", "), i, strings.Join(story, "\n"))
		}
	}
}

// choices are the steps that make sense now.
func (p *person) choices() []string {
	out := []string{"open 0"}
	if p.tabs[0].at == nil {
		return append(out, "client 0", "login 0")
	}
	out = append(out, "expire", "idle", "restart", "reconfigure", "forget", "logout 0")
	if p.tabs[1].at == nil {
		out = append(out, "open 1", "choose 1")
	}
	for i, t := range p.tabs {
		if t.at == nil {
			continue
		}
		n := fmt.Sprint(" ", i)
		out = append(out, "reload"+n)
		if page := parsePage(t.body); page.asks {
			out = append(out, "right"+n, "wrong"+n, "other"+n)
		} else if page.form {
			out = append(out, "submit"+n)
		}
		if len(parsePage(t.body).links) > 0 {
			out = append(out, "link"+n)
		}
		if len(t.earlier) > 0 {
			out = append(out, "back"+n)
		}
		if t.sent != nil {
			out = append(out, "again"+n)
		}
	}
	return out
}

// do takes one step.
func (p *person) do(step string) error {
	name, rest, _ := strings.Cut(step, " ")
	i := 0
	if rest == "1" {
		i = 1
	}
	t := &p.tabs[i]
	switch name {
	case "open":
		return p.go_(i, http.MethodGet, p.home+rest, nil)
	case "client": // an application that wants the account chosen
		return p.go_(i, http.MethodGet, p.request("select_account"), nil)
	case "choose":
		return p.go_(i, http.MethodGet, p.request("select_account"), nil)
	case "login": // a bookmark
		return p.go_(i, http.MethodGet, loginOrigin+"/login", nil)
	case "logout":
		return p.go_(i, http.MethodGet, appOrigin+"/_auth/logout", nil)
	case "reload":
		return p.go_(i, http.MethodGet, t.at.String(), nil)
	case "link":
		return p.go_(i, http.MethodGet, parsePage(t.body).links[0], nil)
	case "right":
		return p.answer(i, p.identifier, password)
	case "other":
		return p.answer(i, p.other, password)
	case "wrong":
		p.wrongs++
		return p.answer(i, p.identifier, "not the password")
	case "submit":
		return p.answer(i, "", "")
	case "again":
		return p.go_(i, http.MethodPost, t.sent.action, t.sent.form)
	case "back":
		earlier, sent := t.earlier, t.sent
		*t = earlier[len(earlier)-1]
		t.earlier, t.sent = earlier[:len(earlier)-1], sent
	case "expire":
		p.m.clock.add(11 * time.Minute)
	case "idle":
		p.m.clock.add(13 * time.Hour)
	case "restart":
		p.m.start()
	case "reconfigure":
		p.m.configure(config())
	case "forget":
		p.jar, _ = cookiejar.New(nil)
	default:
		return fmt.Errorf("no step %q", step)
	}
	return nil
}

// request is an authorization request of the web client, whose callback is
// taken to be the application.
func (p *person) request(prompt string) string {
	q := url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"http://127.0.0.1:7777/callback"}, "scope": {"openid"}, "prompt": {prompt},
		"state": {"s"}, "code_challenge": {"E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"}, "code_challenge_method": {"S256"},
	}
	return loginOrigin + "/oauth2/authorize?" + q.Encode()
}

// follow does what the page offers to somebody who wants to get on.
func (p *person) follow(i int) error {
	t := &p.tabs[i]
	page := parsePage(t.body)
	switch {
	case page.asks && p.wrongs > 0: // as the page says: wait a few minutes
		p.m.clock.add(16 * time.Minute)
		p.wrongs = 0
		return p.go_(i, http.MethodGet, t.at.String(), nil)
	case page.asks:
		return p.answer(i, p.identifier, password)
	case strings.HasPrefix(p.title(i), "Sign out?"): // not that way
		return p.go_(i, http.MethodGet, p.home, nil)
	case page.form:
		return p.answer(i, "", "")
	case len(page.links) > 0:
		return p.go_(i, http.MethodGet, page.links[0], nil)
	}
	return fmt.Errorf("a dead end: %d %s offers nothing", t.status, t.at)
}

// answer fills in the page's form and sends it by its first button.
func (p *person) answer(i int, identifier, secret string) error {
	t := &p.tabs[i]
	page := parsePage(t.body)
	form := url.Values{}
	for name, value := range page.values {
		form.Set(name, value)
	}
	if page.asks {
		form.Set("identifier", identifier)
		form.Set("password", secret)
	}
	action := t.at
	if page.action != "" {
		var err error
		if action, err = t.at.Parse(page.action); err != nil {
			return err
		}
	}
	s := &sent{action.String(), form}
	err := p.go_(i, http.MethodPost, s.action, s.form)
	t.sent = s
	return err
}

// go_ navigates a tab, and follows redirects.
func (p *person) go_(i int, method, target string, form url.Values) error {
	t := &p.tabs[i]
	if t.at != nil {
		before := *t
		before.earlier = nil
		t.earlier = append(t.earlier[max(0, len(t.earlier)-2):len(t.earlier):len(t.earlier)], before)
	}
	var from *url.URL
	for range 15 {
		u, err := url.Parse(target)
		if err != nil {
			return err
		}
		if !u.IsAbs() {
			u = t.at.ResolveReference(u)
		}
		res, body, err := p.send(method, u, from, form)
		if err != nil {
			return err
		}
		if res.StatusCode >= http.StatusInternalServerError {
			return fmt.Errorf("%d at %s:\n%s", res.StatusCode, u, body)
		}
		location := res.Header.Get("Location")
		if location == "" {
			t.at, t.status, t.body, t.loaded = u, res.StatusCode, body, p.m.clock.now()
			if u.Host == "127.0.0.1:7777" && u.Query().Get("code") != "" {
				t.body = "upstream"
			}
			return nil
		}
		next, err := u.Parse(location)
		if err != nil {
			return err
		}
		method, target, form, from = http.MethodGet, next.String(), nil, u
	}
	return fmt.Errorf("a redirect loop at %s", target)
}

func (p *person) send(method string, u, from *url.URL, form url.Values) (*http.Response, string, error) {
	in := httptest.NewRequest(method, u.RequestURI(), strings.NewReader(form.Encode()))
	in.Host = u.Host
	in.Header.Set("Accept", "text/html")
	in.Header.Set("Sec-Fetch-Mode", "navigate")
	in.Header.Set("Sec-Fetch-Dest", "document")
	in.Header.Set("Sec-Fetch-Site", "none")
	if method == http.MethodPost {
		in.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		in.Header.Set("Origin", u.Scheme+"://"+u.Host)
		in.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if from != nil && from.Host != u.Host {
		in.Header.Set("Sec-Fetch-Site", "same-site")
	}
	for _, c := range p.jar.Cookies(u) {
		in.AddCookie(c)
	}
	origin := u.Scheme + "://" + u.Host
	out := httptest.NewRecorder()
	if h := p.m.handlers[origin]; h != nil {
		h.ServeHTTP(out, in.WithContext(mux.WithClient(in.Context(), mux.Client{Address: "192.0.2.1", Origin: origin, OrigURI: u.RequestURI()})))
	} else {
		out.WriteHeader(http.StatusTeapot)
	}
	res := out.Result()
	p.jar.SetCookies(u, res.Cookies())
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

// state is what tells two situations of a person apart: what the tabs show,
// how old that is, what the back buttons lead to, and which cookies there are.
func (p *person) state() string {
	var parts []string
	for i := range p.tabs {
		parts = append(parts, p.title(i))
	}
	for _, t := range p.tabs {
		old := t.at != nil && p.m.clock.now().Sub(t.loaded) > 10*time.Minute
		back := ""
		if n := len(t.earlier); n > 0 {
			back = titleOf(t.earlier[n-1])
		}
		parts = append(parts, fmt.Sprint(old, t.sent != nil, back))
	}
	for _, origin := range []string{loginOrigin, appOrigin} {
		u, _ := url.Parse(origin)
		var kinds []string
		for _, c := range p.jar.Cookies(u) {
			kind := strings.Split(c.Name, "-")[1]
			if kind == "sso" {
				kind += fmt.Sprint(strings.Count(c.Value, "."))
			}
			kinds = append(kinds, kind)
		}
		slices.Sort(kinds)
		parts = append(parts, strings.Join(slices.Compact(kinds), "+"))
	}
	return strings.Join(parts, "|")
}

func (p *person) title(i int) string { return titleOf(p.tabs[i]) }

func titleOf(t tab) string {
	if t.at == nil || t.body == "upstream" {
		return t.body
	}
	_, rest, _ := strings.Cut(t.body, "<title>")
	title, _, _ := strings.Cut(rest, " ·")
	return title
}

// offered is what a page offers.
type offered struct {
	form   bool
	asks   bool // for identifier and password
	action string
	values map[string]string
	links  []string
}

// parsePage reads the first form of a page, and its links.
func parsePage(body string) offered {
	o := offered{values: map[string]string{}}
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return o
	}
	var inside *html.Node
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		mine := inside != nil && slices.Contains(slices.Collect(n.Ancestors()), inside)
		switch {
		case n.Data == "form" && inside == nil:
			inside, o.form, o.action = n, true, attr["action"]
		case n.Data == "input" && mine && attr["name"] != "":
			o.values[attr["name"]] = attr["value"]
			o.asks = o.asks || attr["name"] == "password"
		case n.Data == "button" && mine && attr["name"] != "":
			if _, taken := o.values[attr["name"]]; !taken {
				o.values[attr["name"]] = attr["value"]
			}
		case n.Data == "a" && attr["href"] != "":
			o.links = append(o.links, attr["href"])
		}
	}
	return o
}

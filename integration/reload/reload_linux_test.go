package reload

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	password = "a long enough password"
	reloads  = 50
	workers  = 4

	// What a server may hold more of than before without a leak, which would
	// cost at least one a reload: the connection of the counting itself, and
	// one more reader of the store (its file, log and index).
	slackGoroutines = 3
	slackFiles      = 6

	ours = `{
	admin {{admin}}
	grace_period 5s
	gatehouse {
		store {{store}}
		resource http://localhost:{{port api}} orders.read
		client batch {
			secret batch-secret-0123456789abcdef
			grant client_credentials orders.read
		}
		client shop {
			redirect http://127.0.0.1:1/callback
			scopes openid orders.read
		}
	}
}
http://localhost:{{port app}} {
	gatehouse
	reverse_proxy {{up}}
}
http://localhost:{{port api}} {
	gatehouse_require scope:orders.read
	reverse_proxy {{up}}
}
`
	bare = `{
	admin {{admin}}
	grace_period 5s
}
http://localhost:{{port app}} {
	reverse_proxy {{up}}
}
http://localhost:{{port api}} {
	reverse_proxy {{up}}
}
`
)

func batch() harness.Client {
	return harness.Client{ID: "batch", Secret: "batch-secret-0123456789abcdef"}
}
func shop() harness.Client {
	return harness.Client{ID: "shop", Redirect: "http://127.0.0.1:1/callback"}
}

// pair is Gatehouse and bare Caddy, with one who is signed in to the first.
type pair struct {
	t        *testing.T
	gate     *harness.Server
	bare     *harness.Server
	provider harness.Provider
	browser  *harness.Browser
	cookie   string
	token    string
	refresh  string
}

func start(t *testing.T) *pair {
	t.Helper()
	up := harness.NewUpstream(t)
	o := harness.Options{Vars: map[string]string{"up": up.Address}, Ready: "app"}
	p := &pair{t: t, gate: harness.Start(t, ours, o), browser: harness.NewBrowser(t)}
	p.provider = harness.Provider{Base: p.gate.URL("app") + "/_auth"}
	p.gate.AddUser("bob", password)
	p.browser.Get(p.gate.URL("app") + "/")
	p.browser.SignIn("bob", password)
	var all []string
	for _, c := range p.browser.Cookies(p.gate.URL("app")) {
		all = append(all, c.Name+"="+c.Value)
	}
	p.cookie = strings.Join(all, "; ")
	p.token = p.provider.Machine(t, batch(), "orders.read")
	a, err := p.provider.Redeem(shop(), p.provider.GetCode(t, p.browser, shop(), "openid orders.read", "bob", password))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%+v, %v", a, err)
	}
	p.refresh = a.Refresh
	p.known(t)
	return p
}

// known fails unless the session, the token and the refresh token are good.
func (p *pair) known(t *testing.T) {
	t.Helper()
	if p.browser.Get(p.gate.URL("app") + "/"); p.browser.Status != http.StatusOK || len(p.browser.Hops) != 1 || !strings.HasPrefix(p.browser.Body, "user=") {
		t.Errorf("the session is lost: %d, %v", p.browser.Status, p.browser.Hops)
	}
	if res, _ := harness.Call(t, "GET", p.gate.URL("api")+"/", p.token); res.StatusCode != http.StatusOK {
		t.Errorf("the token is refused: %d", res.StatusCode)
	}
	if res, _ := harness.Call(t, "GET", p.gate.URL("api")+"/", "nonsense"); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("the gate is open: %d", res.StatusCode)
	}
	a, err := p.provider.Refresh(shop(), p.refresh)
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("the refresh token is lost: %+v, %v", a, err)
	}
	p.refresh = a.Refresh
}

// traffic is what one server's clients saw.
type traffic struct {
	good, dropped atomic.Int64
	mu            sync.Mutex
	wrong         []string // answers that are not 200
}

// drive sends requests until stop is closed; half of the workers are browsers,
// half API clients, and both keep their connections.
func (p *pair) drive(s *harness.Server, stop <-chan struct{}) (*traffic, *sync.WaitGroup) {
	seen, wg := &traffic{}, &sync.WaitGroup{}
	for i := range workers {
		wg.Go(func() {
			transport := &http.Transport{}
			defer transport.CloseIdleConnections()
			c := &http.Client{Transport: transport, Timeout: 20 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
			for {
				select {
				case <-stop:
					return
				case <-time.After(3 * time.Millisecond):
				}
				p.request(c, s, i%2 == 0, seen)
			}
		})
	}
	return seen, wg
}

func (p *pair) request(c *http.Client, s *harness.Server, browser bool, seen *traffic) {
	site := map[bool]string{true: "app", false: "api"}[browser]
	r, err := http.NewRequest(http.MethodPost, s.URL(site)+"/", strings.NewReader("x")) // POST: the client retries nothing
	if err != nil {
		panic(err) // the address is our own
	}
	if browser {
		r.Header.Set("Cookie", p.cookie)
		r.Header.Set("Origin", s.URL(site))
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	} else {
		r.Header.Set("Authorization", "Bearer "+p.token)
	}
	res, err := c.Do(r)
	if err != nil {
		seen.dropped.Add(1)
		return
	}
	body, err := io.ReadAll(res.Body)
	if closed := res.Body.Close(); err != nil || closed != nil {
		seen.dropped.Add(1)
		return
	}
	if res.StatusCode != http.StatusOK {
		seen.mu.Lock()
		seen.wrong = append(seen.wrong, fmt.Sprintf("%s %d %s %.80s", site, res.StatusCode, res.Header.Get("Location"), body))
		seen.mu.Unlock()
		return
	}
	seen.good.Add(1)
}

// changed is another configuration of the same pool.
func changed(i int) string {
	return strings.Replace(ours, "\t\tclient shop {", fmt.Sprintf("\t\tbrand \"Number %d\"\n\t\tgroup g%d\n\t\tclient extra%d {\n\t\t\tredirect http://127.0.0.1:1/callback\n\t\t\tscopes openid\n\t\t}\n\t\tclient shop {", i, i, i), 1)
}

// signOn gets, redeems and refreshes codes in a browser of its own until stop
// is closed. A call that was cut off is dropped; an answer that is no success
// is wrong.
func (p *pair) signOn(stop <-chan struct{}) (*traffic, *sync.WaitGroup) {
	seen, wg := &traffic{}, &sync.WaitGroup{}
	b := harness.NewBrowser(p.t)
	b.Get(p.gate.URL("app") + "/")
	b.SignIn("bob", password)
	wrong := func(format string, args ...any) {
		seen.mu.Lock()
		defer seen.mu.Unlock()
		seen.wrong = append(seen.wrong, fmt.Sprintf(format, args...))
	}
	flow := func() {
		target, verifier := p.provider.Authorize(shop(), "openid orders.read", nil)
		if err := b.Navigate(http.MethodGet, target, nil); err != nil {
			seen.dropped.Add(1)
			return
		}
		code := b.URL.Query().Get("code")
		if code == "" {
			wrong("no code: %d at %s", b.Status, b.URL)
			return
		}
		a, err := p.provider.Redeem(shop(), harness.Code{Value: code, Verifier: verifier})
		for range 2 {
			if err != nil {
				seen.dropped.Add(1)
				return
			}
			if a.Status != http.StatusOK {
				wrong("%+v", a)
				return
			}
			a, err = p.provider.Refresh(shop(), a.Refresh)
		}
		if err == nil && a.Status == http.StatusOK {
			seen.good.Add(1)
		}
	}
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
				flow()
			}
		}
	})
	return seen, wg
}

// held is what a process holds on to.
type held struct{ goroutines, files, stores int }

var total = regexp.MustCompile(`goroutine profile: total (\d+)`)

// holds counts a server's goroutines and open files.
func holds(t *testing.T, s *harness.Server) held {
	t.Helper()
	res, body := harness.Call(t, "GET", "http://"+s.Admin()+"/debug/pprof/goroutine?debug=1", "")
	m := total.FindStringSubmatch(body)
	if res.StatusCode != http.StatusOK || m == nil {
		t.Fatalf("pprof: %d %.200s", res.StatusCode, body)
	}
	h := held{}
	h.goroutines, _ = strconv.Atoi(m[1]) // digits
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", s.PID()))
	if err != nil {
		t.Fatal(err)
	}
	h.files = len(links)
	for _, l := range links {
		if target, err := os.Readlink(l); err == nil && strings.HasSuffix(target, "gatehouse.db") {
			h.stores++
		}
	}
	return h
}

// settled waits until a server holds no more than limit, and returns what it
// holds.
func settled(t *testing.T, s *harness.Server, limit held) held {
	t.Helper()
	var h held
	for began := time.Now(); time.Since(began) < 15*time.Second; time.Sleep(250 * time.Millisecond) {
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
		if h = holds(t, s); h.goroutines <= limit.goroutines && h.files <= limit.files {
			break
		}
	}
	return h
}

// socket is the inode of the admin socket.
func socket(t *testing.T, s *harness.Server) uint64 {
	t.Helper()
	info, err := os.Stat(filepath.Join(s.Data, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Ino
}

// warm has both servers open what they keep open under this traffic, readers
// of the store among it.
func (p *pair) warm() {
	stop := make(chan struct{})
	var all []*sync.WaitGroup
	for _, s := range []*harness.Server{p.gate, p.bare} {
		_, wg := p.drive(s, stop)
		all = append(all, wg)
	}
	for range 2 {
		_, wg := p.signOn(stop)
		all = append(all, wg)
	}
	time.Sleep(2 * time.Second)
	close(stop)
	for _, wg := range all {
		wg.Wait()
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	time.Sleep(time.Second)
}

// compare reloads both servers under the same traffic.
func (p *pair) compare(t *testing.T) {
	t.Helper()
	stop := make(chan struct{})
	mine, mineDone := p.drive(p.gate, stop)
	theirs, theirsDone := p.drive(p.bare, stop)
	for i := range reloads {
		p.gate.Configure(changed(i))
		for _, s := range []*harness.Server{p.gate, p.bare} {
			if err := s.Reload(); err != nil {
				t.Fatalf("reload %d: %v", i, err)
			}
		}
		if i%10 == 0 {
			p.gate.CLI("user", "show", "bob") // the admin socket answers all the time
		}
	}
	close(stop)
	mineDone.Wait()
	theirsDone.Wait()
	t.Logf("%d reloads: %d requests answered, %d connections dropped; bare Caddy: %d and %d", reloads, mine.good.Load(), mine.dropped.Load(), theirs.good.Load(), theirs.dropped.Load())
	if mine.good.Load() < reloads {
		t.Error("too little traffic to prove anything")
	}
	for _, w := range mine.wrong {
		t.Errorf("a known caller was answered %s", w)
	}
	if len(theirs.wrong) > 0 {
		t.Errorf("bare Caddy: %v", theirs.wrong)
	}
	if m, b := mine.dropped.Load(), theirs.dropped.Load(); m > 2*b+10 {
		t.Errorf("%d connections dropped, bare Caddy dropped %d", m, b)
	}
}

// signOnMeanwhile reloads while people and clients sign in and refresh.
func (p *pair) signOnMeanwhile(t *testing.T) {
	t.Helper()
	stop := make(chan struct{})
	flows, done := p.signOn(stop)
	page := harness.NewBrowser(t) // a sign-in under way
	page.Get(p.gate.URL("app") + "/kept?x=1")
	for i := range 10 {
		p.gate.Configure(changed(i))
		if err := p.gate.Reload(); err != nil {
			t.Fatalf("reload %d: %v", i, err)
		}
	}
	p.gate.Configure(ours)
	if err := p.gate.Reload(); err != nil {
		t.Fatal(err)
	}
	close(stop)
	done.Wait()
	page.SignIn("bob", password)
	if page.Status != http.StatusOK || page.URL.RequestURI() != "/kept?x=1" {
		t.Errorf("a sign-in under way is lost: %d at %s", page.Status, page.URL)
	}
	t.Logf("%d codes were redeemed and refreshed meanwhile, %d calls dropped", flows.good.Load(), flows.dropped.Load())
	if flows.good.Load() == 0 {
		t.Error("no code was redeemed while the configuration changed")
	}
	for _, w := range flows.wrong {
		t.Errorf("OAuth: %s", w)
	}
}

func TestReloadsUnderTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	p := start(t)
	up := harness.NewUpstream(t)
	p.bare = harness.Start(t, bare, harness.Options{Vars: map[string]string{"up": up.Address}, Ready: "app"})
	for _, s := range []*harness.Server{p.gate, p.bare} { // the first reload makes what Caddy keeps from then on
		if err := s.Reload(); err != nil {
			t.Fatal(err)
		}
	}
	p.warm()
	before := [2]held{holds(t, p.gate), holds(t, p.bare)}
	inode, pid := socket(t, p.gate), p.gate.PID()
	p.compare(t)
	p.signOnMeanwhile(t)
	p.known(t)
	if got := socket(t, p.gate); got != inode || p.gate.PID() != pid {
		t.Errorf("the admin socket was made anew: inode %d, before %d", got, inode)
	}
	bareNow := settled(t, p.bare, before[1])
	kept := held{goroutines: max(0, bareNow.goroutines-before[1].goroutines), files: max(0, bareNow.files-before[1].files)}
	limit := held{goroutines: before[0].goroutines + kept.goroutines + slackGoroutines, files: before[0].files + kept.files + slackFiles}
	now := settled(t, p.gate, limit)
	t.Logf("held before %+v, after %+v; bare Caddy before %+v, after %+v", before[0], now, before[1], bareNow)
	if now.goroutines > limit.goroutines || now.files > limit.files {
		t.Errorf("held after %d reloads %+v, want at most %+v", reloads, now, limit)
	}
	if now.stores > before[0].stores+1 {
		t.Errorf("the store is open %d times, before %d", now.stores, before[0].stores)
	}
	if n := strings.Count(p.gate.Logs(), "has no users yet"); n != 1 {
		t.Errorf("the first-user link was printed %d times", n)
	}
	t.Run("restart", func(t *testing.T) {
		p.gate.Restart()
		p.known(t)
	})
}

func TestABrokenConfigurationLeavesTheOldOne(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	p := start(t)
	if err := p.gate.Reload(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(time.Second)
	before, inode := holds(t, p.gate), socket(t, p.gate)
	key := filepath.Join(p.gate.Dir, "other.key")
	replace := func(from, to string) string {
		if !strings.Contains(ours, from) {
			t.Fatalf("%q is not in the configuration", from)
		}
		return strings.Replace(ours, from, to, 1)
	}
	for name, config := range map[string]string{
		"syntax":              ours + "\n}}}\n",
		"unknown word":        replace("client shop {", "clinet shop {"),
		"unknown scope":       replace("scope:orders.read", "scope:orders.raed"),
		"unknown pool":        replace("\tgatehouse\n", "\tgatehouse nowhere\n"),
		"another issuer":      replace("store {{store}}", "store {{store}}\n\t\tissuer http://localhost:{{port api}}/_auth"),
		"no gate":             ours + "http://localhost:{{port open}} {\n\tgatehouse_require\n\troute /x {\n\t\treverse_proxy {{up}}\n\t}\n}\nhttp://localhost:{{port odd}} {\n\thandle /a {\n\t\treverse_proxy {{up}}\n\t}\n\thandle {\n\t\tgatehouse_require\n\t\treverse_proxy {{up}}\n\t}\n}\n",
		"another key":         replace("store {{store}}", "store {{store}}\n\t\tencryption_key file "+key),
		"a store that is not": replace("store {{store}}", "store sqlite /proc/nowhere/store.db"),
		"a listener's port":   ours + "http://127.0.0.1:{{taken}} {\n\tbind 127.0.0.1\n\trespond ok\n}\n",
		"Caddy's own error":   ours + "http://localhost:{{port other}} {\n\treverse_proxy {\n\t\tlb_policy nonsense\n\t}\n}\n",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "a listener's port" {
				up := harness.NewUpstream(t)
				config = strings.Replace(config, "{{taken}}", up.Address[strings.LastIndex(up.Address, ":")+1:], 1)
			}
			p.gate.Configure(config)
			if err := p.gate.Reload(); err == nil {
				t.Error("the configuration was taken")
			} else {
				t.Log(err.Error()[:min(len(err.Error()), 400)])
			}
			p.known(t)
			if socket(t, p.gate) != inode {
				t.Error("the admin socket was made anew")
			}
			p.gate.CLI("user", "show", "bob")
		})
	}
	if _, err := os.Stat(key); err == nil {
		t.Error("a key file was made for a configuration that was refused")
	}
	p.gate.Configure(ours)
	if err := p.gate.Reload(); err != nil {
		t.Fatal(err)
	}
	limit := held{goroutines: before.goroutines + slackGoroutines, files: before.files + slackFiles}
	now := settled(t, p.gate, limit)
	t.Logf("held before %+v, after %+v", before, now)
	if now.goroutines > limit.goroutines || now.files > limit.files || now.stores > before.stores+1 {
		t.Errorf("refused configurations leave something: %+v, before %+v", now, before)
	}
	p.known(t)
	p.gate.Restart()
	p.known(t)
}

func TestValidateRunsBeside(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	p := start(t)
	config := filepath.Join(p.gate.Dir, "Caddyfile")
	files := func() []string {
		var out []string
		err := filepath.WalkDir(p.gate.Data, func(path string, _ os.DirEntry, err error) error {
			out = append(out, path)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	had, inode := files(), socket(t, p.gate)
	for range 3 {
		for _, args := range [][]string{{"validate", "--config", config, "--adapter", "caddyfile"}, {"adapt", "--config", config, "--adapter", "caddyfile", "--validate"}, {"adapt", "--config", config}} {
			if out, err := p.gate.Caddy(nil, args...); err != nil {
				t.Errorf("%v: %v\n%s", args, err, out)
			}
		}
	}
	if now := files(); !slices.Equal(now, had) || socket(t, p.gate) != inode {
		t.Errorf("files before %v, after %v", had, now)
	}
	p.known(t)
	t.Run("a second server on the same store", func(t *testing.T) {
		second := harness.New(t, ours, harness.Options{Store: "sqlite " + filepath.Join(p.gate.Data, "gatehouse.db"), Vars: map[string]string{"up": "127.0.0.1:1"}, Ready: "app"})
		err := second.TryRun()
		if err == nil {
			t.Fatal("two processes share one store file")
		}
		if logs := second.Logs(); !strings.Contains(logs, "gatehouse.db") || errors.Is(err, os.ErrNotExist) {
			t.Errorf("%v: the reason does not name the file\n%s", err, logs)
		}
		p.known(t)
	})
}

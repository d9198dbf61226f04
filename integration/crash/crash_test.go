package crash

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	password = "a long enough password"
	sites    = `{
	admin {{admin}}
	gatehouse {
		store {{store}}
		token {
			reuse_grace 1m # a start may be repeated several times
		}
		resource http://localhost:{{port api}} orders.read
		client shop {
			redirect http://127.0.0.1:1/callback
			scopes openid offline_access orders.read
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
	startLimit = time.Second
	maxStarts  = 10 // of one crash, until one is not slow
)

func shop() harness.Client {
	return harness.Client{ID: "shop", Redirect: "http://127.0.0.1:1/callback"}
}

// crashing is the server that is killed, and who uses it.
type crashing struct {
	*harness.Server
	t        *testing.T
	provider harness.Provider
	admin    *http.Client
	clients  []*harness.Browser // signed in since before the first crash
	doubtful []string           // asked for, never answered
	killed   atomic.Bool
	serial   atomic.Int64
	signers  int    // accounts made for signing in
	signer   string // the one in use: a guess that a crash cuts off stays counted, and a few lock an account for a while
}

// ledger is what answers promised in one round, and what was never answered.
type ledger struct {
	mu       sync.Mutex
	users    []string       // acknowledged
	doubtful []string       // asked for, not answered
	open     []harness.Code // issued, not redeemed
	unclear  []harness.Code // sent to be redeemed, not answered
	spent    []purchase     // redeemed
	lines    []lineage      // refreshed
	browsers []*harness.Browser
	page     *harness.Browser // looks at a sign-in page
}

type purchase struct {
	code            harness.Code
	access, refresh string
}

// lineage is a family's refresh tokens, oldest first; the last was issued and
// perhaps sent, without an answer.
type lineage struct{ tokens []string }

func (l *ledger) add(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func TestKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("200 crashes take minutes: not in -short")
	}
	rounds := 200
	if s := os.Getenv("GATEHOUSE_CRASH_ROUNDS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 {
			t.Fatalf("GATEHOUSE_CRASH_ROUNDS=%q is not a number of rounds", s)
		}
		rounds = n
	}
	c := begin(t)
	var worst, judged, total time.Duration
	var counts [6]int
	for i := range rounds {
		l := c.work(time.Duration(120+rand.IntN(280)) * time.Millisecond)
		took, slowest := c.start(i)
		worst, judged, total = max(worst, slowest), max(judged, took), total+took
		c.check(l)
		c.doubtful = append(c.doubtful, l.doubtful...)
		for j, n := range []int{len(l.users), len(l.browsers), len(l.open), len(l.spent), len(l.lines), len(l.doubtful) + len(l.unclear)} {
			counts[j] += n
		}
		if t.Failed() {
			t.Fatalf("round %d", i)
		}
	}
	t.Logf("%d crashes; start: worst %v, mean %v; acknowledged: %d users, %d sign-ins, %d codes left open, %d redemptions, %d lineages; %d calls cut off",
		rounds, worst.Round(time.Millisecond), (total / time.Duration(rounds)).Round(time.Millisecond), counts[0], counts[1], counts[2], counts[3], counts[4], counts[5])
	for j, n := range counts[:5] {
		if n < rounds/4 {
			t.Errorf("kind %d was exercised %d times only", j, n)
		}
	}
	if judged >= startLimit {
		t.Errorf("a start took %v, want less than %v", judged, startLimit)
	}
	c.settleDoubts()
	c.everybodyIsListed(rounds)
}

// start starts the server after a crash and returns how long that took. A
// slow start is repeated from a copy of the same files, since another
// process may have had the processor: the best of a few is returned, and the
// slowest beside it.
func (c *crashing) start(round int) (best, slowest time.Duration) {
	c.t.Helper()
	saved := c.save()
	for range maxStarts {
		if err := c.TryRun(); err != nil {
			c.t.Fatalf("round %d: no start after the crash: %v\n%s", round, err, c.Logs())
		}
		took := c.StartTime()
		slowest = max(slowest, took)
		if best == 0 || took < best {
			best = took
		}
		if best < startLimit {
			return best, slowest
		}
		c.t.Logf("round %d: a slow start, %v", round, took.Round(time.Millisecond))
		c.Kill9()
		c.restore(saved)
	}
	c.Run()
	return best, slowest
}

// save reads the store's files as the crash left them.
func (c *crashing) save() map[string][]byte {
	c.t.Helper()
	files, err := filepath.Glob(filepath.Join(c.Data, "gatehouse.db*"))
	if err != nil || len(files) == 0 {
		c.t.Fatalf("no store: %v", err)
	}
	saved := map[string][]byte{}
	for _, f := range files {
		if saved[f], err = os.ReadFile(f); err != nil {
			c.t.Fatal(err)
		}
	}
	return saved
}

// restore puts the store's files back.
func (c *crashing) restore(saved map[string][]byte) {
	c.t.Helper()
	now := c.save()
	for f := range now {
		if _, was := saved[f]; !was {
			if err := os.Remove(f); err != nil {
				c.t.Fatal(err)
			}
		}
	}
	for f, raw := range saved {
		if err := os.WriteFile(f, raw, 0o600); err != nil {
			c.t.Fatal(err)
		}
	}
}

func begin(t *testing.T) *crashing {
	t.Helper()
	up := harness.NewUpstream(t)
	c := &crashing{t: t}
	c.Server = harness.Start(t, sites, harness.Options{Vars: map[string]string{"up": up.Address}, Ready: "app"})
	c.provider = harness.Provider{Base: c.URL("app") + "/_auth"}
	socket := filepath.Join(c.Data, "admin.sock")
	c.admin = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	for i := range 2 {
		name := fmt.Sprintf("client%d", i)
		c.AddUser(name, password)
		b := harness.NewBrowser(t)
		b.Get(c.URL("app") + "/")
		if b.SignIn(name, password); b.Status != http.StatusOK {
			t.Fatalf("%d at %s", b.Status, b.URL)
		}
		c.clients = append(c.clients, b)
	}
	return c
}

// api calls the admin API on its socket.
func (c *crashing) api(method, path string, in, out any) (int, error) {
	raw, err := json.Marshal(in)
	if err != nil {
		return 0, err
	}
	r, err := http.NewRequest(method, "http://admin/v1/pools/default"+path, bytes.NewReader(raw))
	if err != nil {
		return 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	res, err := c.admin.Do(r)
	if err != nil {
		return 0, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	if err == nil && out != nil {
		err = json.Unmarshal(body, out)
	}
	return res.StatusCode, err
}

// work runs everything at once until the process is killed.
func (c *crashing) work(life time.Duration) *ledger {
	c.t.Helper()
	l := &ledger{}
	c.killed.Store(false)
	c.nextSigner()
	l.page = harness.NewBrowser(c.t)
	c.report("page", l.page.Navigate("GET", c.URL("app")+"/kept?x=1", nil))
	var wg sync.WaitGroup
	for _, f := range []func(*ledger) error{
		c.addUser, c.addUser, c.signIn,
		func(l *ledger) error { return c.useCode(l, c.clients[0]) }, func(l *ledger) error { return c.useCode(l, c.clients[1]) },
	} {
		wg.Go(func() {
			for !c.killed.Load() {
				if err := f(l); err != nil {
					c.report("work", err)
					return
				}
			}
		})
	}
	time.Sleep(life)
	c.killed.Store(true)
	c.Kill9()
	wg.Wait()
	return l
}

// nextSigner adds an account for the sign-ins of one round.
func (c *crashing) nextSigner() {
	c.t.Helper()
	c.signers++
	c.signer = fmt.Sprintf("signer%d", c.signers)
	if status, err := c.api("POST", "/users", map[string]string{"identifier": c.signer, "password": password}, nil); err != nil || status >= 300 {
		c.t.Fatalf("add %s: %d, %v", c.signer, status, err)
	}
}

// report fails the test for an error that the crash does not explain.
func (c *crashing) report(what string, err error) {
	if err != nil && !c.killed.Load() {
		c.t.Errorf("%s: %v", what, err)
	}
}

// addUser adds a user, through the API that the command line uses.
func (c *crashing) addUser(l *ledger) error {
	name := fmt.Sprintf("u%d", c.serial.Add(1))
	status, err := c.api("POST", "/users", map[string]string{"identifier": name}, nil)
	switch {
	case err != nil:
		l.add(func() { l.doubtful = append(l.doubtful, name) })
		return err
	case status >= 300:
		return fmt.Errorf("add %s: %d", name, status)
	}
	l.add(func() { l.users = append(l.users, name) })
	return nil
}

// signIn signs a new browser in, up to the application.
func (c *crashing) signIn(l *ledger) error {
	b := harness.NewBrowser(c.t)
	if err := b.Navigate("GET", c.URL("app")+"/", nil); err != nil {
		return err
	}
	if err := b.TrySubmit(map[string]string{"identifier": c.signer, "password": password}); err != nil {
		return err
	}
	if b.Status != http.StatusOK || !strings.HasPrefix(b.Body, "user=") {
		return fmt.Errorf("sign-in: %d at %s", b.Status, b.URL)
	}
	l.add(func() { l.browsers = append(l.browsers, b) })
	return nil
}

// useCode gets a code and leaves it, or redeems it, or refreshes what it bought.
func (c *crashing) useCode(l *ledger, b *harness.Browser) error {
	target, verifier := c.provider.Authorize(shop(), "openid offline_access orders.read", nil)
	if err := b.Navigate("GET", target, nil); err != nil {
		return err
	}
	code := harness.Code{Value: b.URL.Query().Get("code"), Verifier: verifier}
	if code.Value == "" {
		return fmt.Errorf("no code: %d at %s", b.Status, b.URL)
	}
	what := rand.IntN(3)
	if what == 0 {
		l.add(func() { l.open = append(l.open, code) })
		return nil
	}
	a, err := c.provider.Redeem(shop(), code)
	if err != nil {
		l.add(func() { l.unclear = append(l.unclear, code) })
		return err
	}
	if a.Status != http.StatusOK || a.Refresh == "" {
		return fmt.Errorf("redeem: %+v", a)
	}
	if what == 1 {
		l.add(func() { l.spent = append(l.spent, purchase{code, a.Access, a.Refresh}) })
		return nil
	}
	line := lineage{tokens: []string{a.Refresh}}
	defer func() { l.add(func() { l.lines = append(l.lines, line) }) }()
	for range 1 + rand.IntN(4) {
		if a, err = c.provider.Refresh(shop(), a.Refresh); err != nil {
			return err
		}
		if a.Status != http.StatusOK {
			return fmt.Errorf("refresh: %+v", a)
		}
		line.tokens = append(line.tokens, a.Refresh)
	}
	return nil
}

// check holds the ledger against the server as it came back.
func (c *crashing) check(l *ledger) {
	c.t.Helper()
	c.killed.Store(false)
	for _, name := range l.users {
		if status, err := c.api("GET", "/users/"+name, nil, nil); err != nil || status != http.StatusOK {
			c.t.Errorf("the acknowledged user %s is lost: %d, %v", name, status, err)
		}
	}
	for _, b := range l.browsers {
		c.report("browser", b.Navigate("GET", c.URL("app")+"/", nil))
		if b.Status != http.StatusOK || !strings.HasPrefix(b.Body, "user=") || len(b.Hops) != 1 {
			c.t.Errorf("an acknowledged sign-in is lost: %d, %v", b.Status, b.Hops)
		}
	}
	for _, line := range l.lines {
		c.checkLineage(line)
	}
	for _, code := range append(l.open, l.unclear...) {
		c.refused("a code from before the crash", url.Values{"grant_type": {"authorization_code"}, "code": {code.Value}, "redirect_uri": {shop().Redirect}, "code_verifier": {code.Verifier}})
	}
	for _, p := range l.spent {
		c.checkPurchase(p)
	}
	c.report("page", l.page.TrySubmit(map[string]string{"identifier": "client1", "password": password}))
	if l.page.Status != http.StatusOK || !strings.HasPrefix(l.page.Body, "user=") || l.page.URL.RequestURI() != "/kept?x=1" {
		c.t.Errorf("a sign-in under way is lost: %d at %s", l.page.Status, l.page.URL)
	}
}

// leaseLife is how long a name stays reserved for a creation that was cut off.
const leaseLife = 10 * time.Second

// settleDoubts: a creation that was cut off happened or did not; the name is
// never lost to both.
func (c *crashing) settleDoubts() {
	c.t.Helper()
	time.Sleep(leaseLife + time.Second)
	added := 0
	for _, name := range c.doubtful {
		status, err := c.api("POST", "/users", map[string]string{"identifier": name}, nil)
		if err != nil || status >= 300 && status != http.StatusConflict {
			c.t.Errorf("user %s cannot be added again: %d, %v", name, status, err)
		}
		if status < 300 {
			added++
		}
		if status, err = c.api("GET", "/users/"+name, nil, nil); err != nil || status != http.StatusOK {
			c.t.Errorf("user %s is neither there nor not: %d, %v", name, status, err)
		}
	}
	c.t.Logf("of %d creations that were cut off, %d had not happened", len(c.doubtful), added)
}

// checkLineage: the last acknowledged token still has one successor, whoever
// asks and however often, and the first one is dead.
func (c *crashing) checkLineage(l lineage) {
	c.t.Helper()
	last := l.tokens[len(l.tokens)-1]
	next := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			a, err := c.provider.Refresh(shop(), last)
			mu.Lock()
			defer mu.Unlock()
			if err != nil || a.Status != http.StatusOK {
				c.t.Errorf("an acknowledged refresh token is lost: %+v, %v", a, err)
				return
			}
			next[a.Refresh] = true
		})
	}
	wg.Wait()
	if len(next) != 1 {
		c.t.Errorf("a refresh token has %d successors", len(next))
	}
	if len(l.tokens) < 2 {
		return
	}
	// Two generations back: reuse, which ends the family.
	c.refused("a refresh token of an earlier generation", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {l.tokens[len(l.tokens)-2]}})
	for token := range next {
		c.refused("the end of a lineage after reuse", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
	}
}

// checkPurchase: what a code bought before the crash works, the code does not,
// and trying it ends what it bought.
func (c *crashing) checkPurchase(p purchase) {
	c.t.Helper()
	if got := c.call(p.access); got != http.StatusOK {
		c.t.Errorf("an acknowledged access token: %d", got)
	}
	c.refused("a code that was redeemed before the crash", url.Values{"grant_type": {"authorization_code"}, "code": {p.code.Value}, "redirect_uri": {shop().Redirect}, "code_verifier": {p.code.Verifier}})
	c.refused("the refresh token of a replayed code", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {p.refresh}})
	if got := c.call(p.access); got != http.StatusUnauthorized {
		c.t.Errorf("the access token of a replayed code: %d", got)
	}
}

func (c *crashing) call(token string) int {
	c.t.Helper()
	res, _ := harness.Call(c.t, "GET", c.URL("api")+"/", token)
	return res.StatusCode
}

func (c *crashing) refused(what string, form url.Values) {
	c.t.Helper()
	a, err := c.provider.Token(shop(), form)
	if err != nil || a.Status != http.StatusBadRequest || a.Error != "invalid_grant" || a.Access != "" {
		c.t.Errorf("%s: %+v, %v", what, a, err)
	}
}

// everybodyIsListed counts the directory once more at the end: listing and
// single reads go different ways.
func (c *crashing) everybodyIsListed(rounds int) {
	c.t.Helper()
	var users []struct {
		Username string `json:"username"`
	}
	if err := json.Unmarshal([]byte(c.CLI("user", "list", "--json")), &users); err != nil {
		c.t.Fatal(err)
	}
	seen := map[string]bool{}
	for _, u := range users {
		if seen[u.Username] {
			c.t.Errorf("%s is listed twice", u.Username)
		}
		seen[u.Username] = true
	}
	c.t.Logf("%d users after %d crashes", len(users), rounds)
	if n := c.serial.Load() + int64(len(c.clients)+c.signers); int64(len(users)) != n {
		c.t.Errorf("%d users are listed, want %d", len(users), n)
	}
}

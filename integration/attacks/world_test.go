package attacks

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	ann      = "ann@example.com" // the first user, an operator
	bob      = "bob"             // has a user name and no e-mail
	password = "a long enough password"

	batchSecret = "batch-secret-0123456789abcdef"
	shopSecret  = "back-secret-0123456789abcdef"
	legacy      = "legacy-secret-0123456789abcdef"
	grace       = 3 * time.Second
)

const sites = `{
	admin {{admin}}
	{{servers}}
	gatehouse {
		store {{store}}
		group staff
		token {
			reuse_grace 3s
		}
		resource http://localhost:{{port api}} orders.read orders.write
		resource http://localhost:{{port other}} other.read
		client shop {
			redirect http://127.0.0.1:1/callback http://127.0.0.1:1/second
			scopes openid email profile orders.read orders.write other.read
		}
		client rival {
			redirect http://127.0.0.1:1/callback
			scopes openid orders.read
		}
		client back {
			secret back-secret-0123456789abcdef
			redirect http://127.0.0.1:1/callback
			scopes openid orders.read
		}
		client legacy {
			secret legacy-secret-0123456789abcdef
			redirect http://127.0.0.1:1/callback
			scopes openid orders.read
			pkce optional
		}
		client batch {
			secret batch-secret-0123456789abcdef
			grant client_credentials orders.read other.read
		}
	}
}
http://localhost:{{port app}} {
	gatehouse {
		public /open/*
	}
	reverse_proxy {{up}}
}
http://localhost:{{port api}} {
	@write not method GET HEAD
	gatehouse_require scope:orders.read
	gatehouse_require @write scope:orders.write
	reverse_proxy {{up}}
}
http://localhost:{{port other}} {
	gatehouse_require scope:other.read
	reverse_proxy {{up}}
}
http://localhost:{{port staff}} {
	gatehouse_require group:staff
	reverse_proxy {{up}}
	handle_errors {
		gatehouse_public
		reverse_proxy {{up}}
	}
}
http://localhost:{{port free}} {
	gatehouse_public
	reverse_proxy {{up}}
}
http://localhost:{{port remote}} {
	gatehouse_require {
		headers remote
	}
	reverse_proxy {{up}}
}
http://localhost:{{port forwarded}} {
	gatehouse_require {
		headers x-forwarded
	}
	reverse_proxy {{up}}
}
http://localhost:{{port alb}} {
	gatehouse_require {
		headers alb
	}
	reverse_proxy {{up}}
}
http://localhost:{{port bare}} {
	gatehouse_require {
		headers none
	}
	reverse_proxy {{up}}
}
http://localhost:{{port fcgi}} {
	gatehouse_require
	reverse_proxy {{fcgi}} {
		transport fastcgi {
			root /srv
		}
	}
}
`

// world is a running server with its recording upstream and an operator.
type world struct {
	*harness.Server
	t        *testing.T
	up       *wire
	fcgi     *fastCGI
	provider harness.Provider
	ann      *harness.Browser
}

func newWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, "")
}

// newWorldWith also takes Caddy's global options.
func newWorldWith(t *testing.T, servers string) *world {
	t.Helper()
	w := &world{t: t, up: newWire(t), fcgi: newFastCGI(t)}
	w.Server = harness.Start(t, sites, harness.Options{Vars: map[string]string{"up": w.up.address, "fcgi": w.fcgi.address, "servers": servers}, Ready: "app"})
	w.provider = harness.Provider{Base: w.URL("app") + "/_auth"}
	w.ann = harness.NewBrowser(t)
	w.ann.MakeFirstUser(w.FirstLink(), ann, password)
	w.AddUser(bob, password)
	return w
}

// browser returns one that is signed in.
func (w *world) browser(who string) *harness.Browser {
	w.t.Helper()
	b := harness.NewBrowser(w.t)
	b.Get(w.URL("app") + "/")
	b.SignIn(who, password)
	if b.Status != http.StatusOK {
		w.t.Fatalf("%s does not get in: %d at %s\n%s", who, b.Status, b.URL, b.Body)
	}
	return b
}

// cookie visits a site and returns the Cookie header for it, without the count
// of sign-ins in a row, which says nothing of who somebody is.
func (w *world) cookie(b *harness.Browser, site string) string {
	w.t.Helper()
	b.Get(w.URL(site) + "/")
	var all []string
	for _, c := range b.Cookies(w.URL(site)) {
		if !strings.Contains(c.Name, "gh-tx-hops-") {
			all = append(all, c.Name+"="+c.Value)
		}
	}
	return strings.Join(all, "; ")
}

func shop() harness.Client {
	return harness.Client{ID: "shop", Redirect: "http://127.0.0.1:1/callback"}
}
func rival() harness.Client {
	return harness.Client{ID: "rival", Redirect: "http://127.0.0.1:1/callback"}
}
func back() harness.Client {
	return harness.Client{ID: "back", Secret: shopSecret, Redirect: "http://127.0.0.1:1/callback"}
}
func old() harness.Client {
	return harness.Client{ID: "legacy", Secret: legacy, Redirect: "http://127.0.0.1:1/callback"}
}
func batch() harness.Client { return harness.Client{ID: "batch", Secret: batchSecret} }

// machine returns a token for orders.read at the API.
func (w *world) machine(scope string) string { return w.provider.Machine(w.t, batch(), scope) }

// answer is what came back over a raw connection; Status 0 means that the
// server hung up.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// raw sends bytes to a site as they are.
func (w *world) raw(site, request string) answer {
	w.t.Helper()
	return send(w.t, "127.0.0.1:"+strconv.Itoa(w.Port(site)), request)
}

func send(t testing.TB, address, request string) answer {
	t.Helper()
	c, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		t.Error(err)
		return answer{}
	}
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(15 * time.Second))
	if _, err := io.WriteString(c, request); err != nil {
		return answer{}
	}
	method, _, _ := strings.Cut(request, " ")
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return answer{}
	}
	body, _ := io.ReadAll(res.Body) // as much as came
	return answer{Status: res.StatusCode, Header: res.Header, Body: string(body)}
}

// get is a raw GET with header lines.
func (w *world) get(site, path string, lines ...string) answer {
	w.t.Helper()
	return w.raw(site, w.head(site, "GET "+path, lines...)+"\r\n")
}

// head is a request's head without the empty line after it.
func (w *world) head(site, what string, lines ...string) string {
	head := what + " HTTP/1.1\r\nHost: localhost:" + strconv.Itoa(w.Port(site)) + "\r\n"
	for _, l := range lines {
		head += l + "\r\n"
	}
	return head
}

// noU fails if anything has reached an upstream.
func (w *world) noU(t *testing.T) {
	t.Helper()
	if seen := w.up.take(); len(seen) > 0 {
		t.Errorf("the upstream was reached:\n%s", seen[0].raw)
	}
	if seen := w.fcgi.take(); len(seen) > 0 {
		t.Errorf("the FastCGI upstream was reached: %v", seen[0])
	}
}

// challenged checks a refusal of the API site: the status, and every byte of
// WWW-Authenticate but the wording of the description.
func (w *world) challenged(t *testing.T, site string, a answer, status int, code, scope string) {
	t.Helper()
	want := `Bearer resource_metadata="` + w.URL(site) + `/.well-known/oauth-protected-resource"`
	want = regexp.QuoteMeta(want)
	if code != "" {
		want += `, error="` + code + `", error_description="[\x20-\x21\x23-\x5b\x5d-\x7e]+"`
	}
	if scope != "" {
		want += regexp.QuoteMeta(`, scope="` + scope + `"`)
	}
	got := a.Header["Www-Authenticate"]
	if a.Status != status || len(got) != 1 || !regexp.MustCompile("^"+want+"$").MatchString(got[0]) {
		t.Errorf("%d, WWW-Authenticate %q, want %d and %s", a.Status, got, status, want)
	}
	if a.Header.Get("Location") != "" {
		t.Errorf("redirected to %q", a.Header.Get("Location"))
	}
	w.noU(t)
}

// hit is a request as it reached the upstream.
type hit struct {
	raw     string // every byte
	body    string
	trailer http.Header
}

// lines are the header lines, without the request line.
func (h hit) lines() []string {
	head, _, _ := strings.Cut(h.raw, "\r\n\r\n")
	return strings.Split(head, "\r\n")[1:]
}

// values returns what stands under a name and everything that folds to it.
func (h hit) values(name string) []string {
	var out []string
	for _, l := range h.lines() {
		n, v, _ := strings.Cut(l, ":")
		if fold(n) == fold(name) {
			out = append(out, strings.TrimSpace(v))
		}
	}
	return out
}

// fold maps the spellings that servers behind us take for the same name.
func fold(name string) string {
	return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
}

// wire is an upstream that keeps the bytes.
type wire struct {
	address string
	mu      sync.Mutex
	seen    []hit
}

func newWire(t *testing.T) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{address: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	return w
}

func (w *wire) serve(c net.Conn) {
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	var bytes bytes.Buffer
	r, err := http.ReadRequest(bufio.NewReader(io.TeeReader(c, &bytes)))
	if err != nil {
		return
	}
	body, _ := io.ReadAll(r.Body)
	w.mu.Lock()
	w.seen = append(w.seen, hit{raw: bytes.String(), body: string(body), trailer: r.Trailer})
	w.mu.Unlock()
	if strings.EqualFold(r.Header.Get("Upgrade"), "websocket") {
		fmt.Fprint(c, "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
		return
	}
	fmt.Fprint(c, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nup\n")
}

func (w *wire) take() []hit {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// only returns the one request that reached the upstream.
func (w *wire) only(t *testing.T) hit {
	t.Helper()
	seen := w.take()
	if len(seen) != 1 {
		t.Fatalf("%d requests reached the upstream, want 1", len(seen))
	}
	return seen[0]
}

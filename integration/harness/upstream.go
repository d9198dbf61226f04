package harness

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
)

// Seen is a request that reached an upstream.
type Seen struct {
	Method  string
	URI     string
	Host    string
	Header  http.Header
	Trailer http.Header
	Body    string
}

// Upstream is an application behind the gate: it remembers what reaches it
// and answers with who it believes is calling.
type Upstream struct {
	Address string // host:port

	mu   sync.Mutex
	seen []Seen
}

// NewUpstream starts an upstream.
func NewUpstream(t testing.TB) *Upstream {
	t.Helper()
	u := &Upstream{}
	s := httptest.NewServer(u)
	t.Cleanup(s.Close)
	u.Address = s.Listener.Addr().String()
	return u
}

// ServeHTTP remembers the request.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a body that was cut short is remembered as far as it came
	u.mu.Lock()
	u.seen = append(u.seen, Seen{Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Trailer: r.Trailer.Clone(), Body: string(body)})
	u.mu.Unlock()
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	fmt.Fprintf(w, "user=%s client=%s scopes=%s groups=%s\n", r.Header.Get("X-Auth-User"), r.Header.Get("X-Auth-Client"),
		r.Header.Get("X-Auth-Scopes"), r.Header.Get("X-Auth-Groups"))
}

// Take returns what has reached the upstream since the last call.
func (u *Upstream) Take() []Seen {
	u.mu.Lock()
	defer u.mu.Unlock()
	seen := u.seen
	u.seen = nil
	return seen
}

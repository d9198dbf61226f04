package harness

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
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
	Raw     string // the head as it stood on the wire, names in their own spelling
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
	s := httptest.NewUnstartedServer(u)
	s.Listener = tapped{s.Listener}
	s.Config.ConnContext = func(ctx context.Context, c net.Conn) context.Context { return context.WithValue(ctx, tapKey{}, c) }
	s.Config.SetKeepAlivesEnabled(false) // one request a connection, so that its bytes are this request's
	s.Start()
	t.Cleanup(s.Close)
	u.Address = s.Listener.Addr().String()
	return u
}

// ServeHTTP remembers the request.
func (u *Upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body) // a body that was cut short is remembered as far as it came
	u.mu.Lock()
	u.seen = append(u.seen, Seen{Method: r.Method, URI: r.RequestURI, Host: r.Host, Header: r.Header.Clone(), Trailer: r.Trailer.Clone(), Body: string(body), Raw: head(r)})
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

type tapKey struct{}

// head returns the request's head from the bytes of its connection.
func head(r *http.Request) string {
	c, ok := r.Context().Value(tapKey{}).(*tap)
	if !ok {
		return ""
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	raw, _, _ := bytes.Cut(c.read.Bytes(), []byte("\r\n\r\n"))
	return string(raw)
}

// tapped hands out connections that remember what is read from them.
type tapped struct{ net.Listener }

func (l tapped) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &tap{Conn: c}, nil
}

type tap struct {
	net.Conn

	mu   sync.Mutex
	read bytes.Buffer
}

func (t *tap) Read(p []byte) (int, error) {
	n, err := t.Conn.Read(p)
	t.mu.Lock()
	t.read.Write(p[:n])
	t.mu.Unlock()
	return n, err
}

package attacks

import (
	"net"
	"net/http"
	"net/http/fcgi"
	"sync"
	"testing"
)

// fastCGI is an upstream that sees headers as variables, as PHP does: what
// differs in '-' and '_' only is the same to it.
type fastCGI struct {
	address string
	mu      sync.Mutex
	seen    []http.Header
}

func newFastCGI(t *testing.T) *fastCGI {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &fastCGI{address: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close() })
	go func() { _ = fcgi.Serve(l, f) }() // ends with the listener
	return f
}

func (f *fastCGI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	f.seen = append(f.seen, r.Header.Clone())
	f.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}

func (f *fastCGI) take() []http.Header {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := f.seen
	f.seen = nil
	return seen
}

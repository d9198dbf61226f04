package streams

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/websocket"
)

// upstream is an application whose answers last: it remembers which are under
// way, by the query parameter id, and who they are for.
type upstream struct {
	address string

	mu   sync.Mutex
	open map[string]bool
	who  map[string]http.Header // every request that ever came
}

// newUpstream starts one that speaks HTTP/1.1 and HTTP/2 in the clear.
func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{open: map[string]bool{}, who: map[string]http.Header{}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	p.SetUnencryptedHTTP2(true)
	s := &http.Server{Handler: u, Protocols: p, ReadHeaderTimeout: time.Minute}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l) // until it is closed
	}()
	t.Cleanup(func() {
		_ = s.Close() // its connections end with it
		<-done
	})
	u.address = l.Addr().String()
	return u
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	id := r.URL.Query().Get("id")
	u.mu.Lock()
	u.open[id], u.who[id] = true, r.Header.Clone()
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		delete(u.open, id)
	}()
	switch {
	case strings.HasSuffix(r.URL.Path, "/ws"):
		websocket.Server{Handler: func(c *websocket.Conn) { _, _ = io.Copy(c, c) }}.ServeHTTP(w, r)
	case strings.HasSuffix(r.URL.Path, "/events"):
		events(w, r)
	case strings.HasSuffix(r.URL.Path, "/call"):
		call(w, r)
	}
}

// events sends one event, and then one a tick, or none for ever.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	c := http.NewResponseController(w)
	tick := make(<-chan time.Time)
	if r.URL.Query().Has("tick") {
		ticker := time.NewTicker(50 * time.Millisecond)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		if _, err := fmt.Fprint(w, "data: news\n\n"); err != nil || c.Flush() != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick:
		}
	}
}

// call is a bidirectional stream: what comes goes back.
func call(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/grpc+proto")
	c := http.NewResponseController(w)
	w.WriteHeader(http.StatusOK)
	_ = c.Flush() // a client that has gone is noticed below
	buf := make([]byte, 512)
	for {
		n, err := r.Body.Read(buf)
		if n > 0 {
			if _, err := w.Write(buf[:n]); err != nil || c.Flush() != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// has reports whether a stream is under way at the upstream.
func (u *upstream) has(id string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.open[id]
}

// came returns the header of a request that reached the upstream, or nil.
func (u *upstream) came(id string) http.Header {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.who[id]
}

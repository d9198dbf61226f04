package authcore_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// gated is a handler behind gates of an origin, the first line outermost.
func (w *world) gated(origin string, upstream http.Handler, rules ...guard.Rule) http.Handler {
	w.t.Helper()
	for i := len(rules) - 1; i >= 0; i-- {
		g, err := w.engine.Gate(authcore.GateConfig{Pool: "default", Rule: rules[i], Origins: []string{origin}})
		if err != nil {
			w.t.Fatal(err)
		}
		upstream = g.Middleware(upstream, nil)
	}
	return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		upstream.ServeHTTP(rw, r.WithContext(mux.WithClient(r.Context(), mux.Client{Address: "192.0.2.1", Origin: origin, OrigURI: r.URL.RequestURI()})))
	})
}

// disable ends what the first user has.
func (w *world) disable() {
	w.t.Helper()
	if status, _ := w.admin(http.MethodPost, "/users/ann@example.com/disable", nil); status != http.StatusOK {
		w.t.Fatal(status)
	}
}

// gone demands that nothing is watched any more, soon.
func (w *world) gone() {
	w.t.Helper()
	for end := time.Now().Add(10 * time.Second); w.state.Streams() > 0; {
		if time.Now().After(end) {
			w.t.Fatal(w.state.Streams(), "streams are still watched")
		}
		w.state.SweepStreams(w.t.Context())
	}
}

// Over HTTP/2 a writer belongs to somebody else as soon as its handler
// returns: a sweep that comes at that moment must leave it alone. It runs
// besides the one in the background, too.
func TestStreamsThatEndWhileTheyAreCut(t *testing.T) {
	w := newWorld(t)
	token := w.firstUser("ann@example.com").grant("orders.read")["access_token"].(string)
	leave := make(chan struct{})
	s := httptest.NewUnstartedServer(w.gated(apiOrigin, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(rw, "hello\n")
		rw.(http.Flusher).Flush()
		<-leave
	}), guard.Rule{Mode: guard.Require, API: true}))
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	client := s.Client()
	var readers sync.WaitGroup
	for range 150 {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/events", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		res, err := client.Do(r)
		if err != nil || res.ProtoMajor != 2 {
			t.Fatal(res, err)
		}
		readers.Go(func() { _, _ = io.Copy(io.Discard, res.Body); _ = res.Body.Close() })
	}
	if n := w.state.Streams(); n != 150 {
		t.Fatal(n, "streams are watched")
	}
	w.disable()
	for range 4 {
		readers.Go(func() {
			for range 50 {
				w.state.SweepStreams(t.Context())
			}
		})
	}
	close(leave)
	readers.Wait()
	w.gone()
}

// A later line that finds nobody, since the token is not for its resource,
// takes nothing away from the watch of an earlier one.
func TestAStreamBehindAPublicLineIsWatchedByTheFirst(t *testing.T) {
	w := newWorld(t)
	token := w.firstUser("ann@example.com").grant("orders.read")["access_token"].(string)
	done := make(chan struct{}, 1)
	s := httptest.NewServer(w.gated(apiOrigin, talks("text/event-stream; charset=utf-8; charset=utf-8", done),
		guard.Rule{Mode: guard.Require, API: true}, guard.Rule{Mode: guard.Public, Resource: apiOrigin + "/admin"}))
	t.Cleanup(s.Close)
	w.open(s, http.Header{"Authorization": {"Bearer " + token}, "Accept": {"*/*"}})
	w.state.SweepStreams(t.Context())
	w.disable()
	w.state.SweepStreams(t.Context())
	within(t, done)
	w.gone()
}

// A handler of a plain Go server may take the connection over and return.
func TestAConnectionThatWasTakenOverIsCut(t *testing.T) {
	for name, header := range map[string]string{"asked for": "Connection: Upgrade\r\nUpgrade: websocket\r\n", "not asked for": ""} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			token := w.firstUser("ann@example.com").grant("orders.read")["access_token"].(string)
			taken := make(chan net.Conn, 1)
			s := httptest.NewServer(w.gated(apiOrigin, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
				conn, buffered, err := rw.(http.Hijacker).Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = buffered.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
				_ = buffered.Flush()
				taken <- conn
			}), guard.Rule{Mode: guard.Require, API: true}))
			t.Cleanup(s.Close)
			dial := func() (net.Conn, net.Conn) {
				peer, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = peer.Close() })
				_, _ = fmt.Fprintf(peer, "GET /ws HTTP/1.1\r\nHost: x\r\n%sAuthorization: Bearer %s\r\n\r\n", header, token)
				return peer, <-taken
			}
			_, first := dial()
			if _, half := first.(interface{ CloseWrite() error }); !half {
				t.Error("half of the connection cannot be closed any more")
			}
			peer, conn := dial()
			_ = first.Close()
			if n := w.state.Streams(); n != 1 {
				t.Fatal(n, "streams are watched, of one that is open")
			}
			if res, err := http.ReadResponse(bufio.NewReader(peer), nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
				t.Fatal(res, err)
			}
			w.disable()
			w.gone()
			_ = peer.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := peer.Read(make([]byte, 1)); err != io.EOF {
				t.Error("the peer sees", err)
			}
			_ = conn.SetWriteDeadline(time.Now().Add(time.Minute)) // as servers of websockets do before each message
			if _, err := conn.Write([]byte("x")); err == nil {
				t.Error("more can be said")
			}
		})
	}
}

// A handler may send its header by a flush, and nothing else for long.
func TestAStreamThatIsSilentFromTheBeginningIsWatched(t *testing.T) {
	w := newWorld(t)
	token := w.firstUser("ann@example.com").grant("orders.read")["access_token"].(string)
	done := make(chan struct{}, 1)
	s := httptest.NewServer(w.gated(apiOrigin, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", "text/event-stream")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
		done <- struct{}{}
	}), guard.Rule{Mode: guard.Require, API: true}))
	t.Cleanup(s.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() })
	w.disable()
	within(t, done)
}

// A token that has run out may no longer say who is in a group.
func TestAStreamOfATokenThatRanOutEndsWithTheGroup(t *testing.T) {
	w := newWorld(t)
	token := w.firstUser("ann@example.com").grant("orders.read")["access_token"].(string)
	done := make(chan struct{}, 1)
	s := w.serve(apiOrigin, guard.Rule{Mode: guard.Require, API: true, Groups: [][]string{{"operators"}}}, talks("text/event-stream", done))
	w.open(s, http.Header{"Authorization": {"Bearer " + token}})
	w.clock.add(time.Hour)
	w.state.SweepStreams(t.Context())
	if n := w.state.Streams(); n != 1 {
		t.Fatal(n)
	}
	if status, answer := w.admin(http.MethodPost, "/groups/operators/remove", map[string]any{"user": "ann@example.com"}); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	within(t, done)
}

// What goes on as HTTP of another version on the same connection would pass
// the gate unread.
func TestNoUpgradeLeadsPastTheGate(t *testing.T) {
	w := newWorld(t)
	var got http.Header
	s := httptest.NewServer(w.gated(appOrigin, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got = r.Header.Clone() }),
		guard.Rule{Mode: guard.Require, Public: []string{"/healthz"}}))
	t.Cleanup(s.Close)
	for protocol, kept := range map[string]bool{
		"h2c": false, "H2C": false, "websocket, h2c": false, "HTTP/2.0": false, "TLS/1.0, HTTP/1.1": false, "h2": false,
		"websocket": true, "SPDY/3.1": true, "tcp": true,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.URL+"/healthz", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {protocol}, "Http2-Settings": {"AAMAAABkAAQAoAAAAAIAAAAA"}}
		got = nil
		res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK || got == nil {
			t.Fatal(protocol, res.Status)
		}
		if has := got.Get("Upgrade") != ""; has != kept || got.Get("Http2-Settings") != "" || strings.EqualFold(got.Get("Connection"), "upgrade") != kept {
			t.Errorf("%s: the upstream gets %v", protocol, got)
		}
	}
}

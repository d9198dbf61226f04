package authcore_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// serve puts gates of an origin in front of an upstream of a real server.
func (w *world) serve(origin string, rule guard.Rule, upstream http.HandlerFunc) *httptest.Server {
	w.t.Helper()
	g, err := w.engine.Gate(authcore.GateConfig{Pool: "default", Rule: rule, Origins: []string{origin}})
	if err != nil {
		w.t.Fatal(err)
	}
	gated := g.Middleware(upstream, nil)
	s := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		gated.ServeHTTP(rw, r.WithContext(mux.WithClient(r.Context(), mux.Client{Address: "192.0.2.1", Origin: origin, OrigURI: r.URL.RequestURI()})))
	}))
	w.t.Cleanup(s.Close)
	return s
}

// open begins a stream and reads its first line.
func (w *world) open(s *httptest.Server, header http.Header) *bufio.Reader {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	w.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, s.URL+"/stream", http.NoBody)
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header = header
	res, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = res.Body.Close() })
	if res.StatusCode != http.StatusOK {
		w.t.Fatal(res.Status)
	}
	lines := bufio.NewReader(res.Body)
	if line, err := lines.ReadString('\n'); line != "hello\n" {
		w.t.Fatal(line, err)
	}
	return lines
}

// talks answers a stream that says one thing and then waits for its end, which
// it tells ended.
func talks(contentType string, ended chan<- struct{}) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Content-Type", contentType)
		_, _ = io.WriteString(rw, "hello\n")
		_ = http.NewResponseController(rw).Flush()
		<-r.Context().Done()
		ended <- struct{}{}
	}
}

// within demands that a stream ends in the time that is promised, two seconds
// and what a busy machine needs.
func within(t *testing.T, ended <-chan struct{}) {
	t.Helper()
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the stream goes on")
	}
}

func TestStreamsEndWithTheSessionBehindThem(t *testing.T) {
	for name, header := range map[string]http.Header{
		"events that were asked for": {"Accept": {"text/event-stream"}},
		"events that were not":       {"Accept": {"*/*"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			person := w.firstUser("ann@example.com")
			person.get(appOrigin + "/")
			ended := make(chan struct{}, 1)
			s := w.serve(appOrigin, guard.Rule{Mode: guard.Require}, talks("text/event-stream; charset=utf-8", ended))
			header.Set("Cookie", cookies(person))
			lines := w.open(s, header)
			if status, _ := w.admin(http.MethodPost, "/users/ann@example.com/disable", nil); status != http.StatusOK {
				t.Fatal(status)
			}
			within(t, ended)
			if rest, _ := io.ReadAll(lines); strings.Contains(string(rest), "hello") {
				t.Errorf("more was sent: %q", rest)
			}
		})
	}
}

func TestAStreamOfATokenEndsWhenItIsRevoked(t *testing.T) {
	w := newWorld(t)
	tokens := w.firstUser("ann@example.com").grant("orders.read")
	ended := make(chan struct{}, 1)
	s := w.serve(apiOrigin, guard.Rule{Mode: guard.Require, API: true}, talks("text/event-stream", ended))
	w.open(s, http.Header{"Authorization": {"Bearer " + tokens["access_token"].(string)}})
	w.clock.add(time.Hour) // it runs out: the answer was allowed when it began
	w.state.SweepStreams(t.Context())
	select {
	case <-ended:
		t.Fatal("a token that ran out ended a stream under way")
	default:
	}
	if status, _ := w.admin(http.MethodPost, "/users/ann@example.com/disable", nil); status != http.StatusOK {
		t.Fatal(status)
	}
	within(t, ended)
}

func TestAStreamEndsWhenItsGroupIsTakenAway(t *testing.T) {
	w := newWorld(t)
	person := w.firstUser("ann@example.com")
	person.get(appOrigin + "/")
	ended := make(chan struct{}, 1)
	s := w.serve(appOrigin, guard.Rule{Mode: guard.Require, Groups: [][]string{{"operators"}}}, talks("text/event-stream", ended))
	w.open(s, http.Header{"Cookie": {cookies(person)}})
	if status, answer := w.admin(http.MethodPost, "/groups/operators/remove", map[string]any{"user": "ann@example.com"}); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	within(t, ended)
}

func TestPlainAnswersAreNotWatched(t *testing.T) {
	w := newWorld(t)
	person := w.firstUser("ann@example.com")
	person.get(appOrigin + "/")
	reached := make(chan int, 1)
	s := w.serve(appOrigin, guard.Rule{Mode: guard.Require}, func(rw http.ResponseWriter, r *http.Request) {
		if guard.IdentityOf(r.Context()).Principal.Sub == "" || r.Header.Get("X-Auth-User") == "" {
			t.Error("nobody is named")
		}
		_, _ = io.WriteString(rw, "hello\n")
		reached <- w.state.Streams()
	})
	w.open(s, http.Header{"Cookie": {cookies(person)}})
	if n := <-reached; n != 0 {
		t.Errorf("%d streams are watched", n)
	}
}

package guard

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// sweepEvery is how often open streams are looked at. What ended a session
// reaches a gate in well under a second; together they stay below two.
const sweepEvery = 500 * time.Millisecond

// errCut is what both sides of a stream see that was cut.
var errCut = errors.New("guard: the sign-in behind this stream has ended")

// streams are the answers under way that may last: websockets, server-sent
// events, gRPC. What let them in is looked at again while they last.
type streams struct {
	mu   sync.Mutex
	open map[*stream]struct{}
}

// stream is an answer under way, and who it is for.
type stream struct {
	gate  *Gate
	site  *site
	creds credentials
	entry *entry // as of the last look

	once  sync.Once
	ended chan struct{} // closed when it was cut
	stop  func()        // makes both sides notice
}

// follow watches over an answer that may last: at once if the request says so,
// else as soon as the answer does. The writer's done must be called when the
// answer is complete.
func (g *Gate) follow(w http.ResponseWriter, r *http.Request, s *site, seen *passed) (*streamWriter, *http.Request) {
	out := &streamWriter{ResponseWriter: w, gate: g, site: s, seen: seen}
	asked := lasting(r)
	if !asked && r.ProtoMajor < 3 {
		return out, r // should it last, its deadlines end the request as well; over HTTP/3 they do not
	}
	ctx, cancel := context.WithCancelCause(r.Context())
	r, out.cancel = r.WithContext(ctx), cancel
	if !asked {
		return out, r
	}
	out.watch()
	if r.Body != nil && r.Body != http.NoBody {
		r.Body = &streamBody{ReadCloser: r.Body, stream: out.stream}
	}
	return out, r
}

// cut ends a stream; both sides see it.
func (t *stream) cut() {
	t.once.Do(func() {
		close(t.ended)
		t.stop()
	})
}

// over reports whether a stream was cut.
func (t *stream) over() bool {
	select {
	case <-t.ended:
		return true
	default:
		return false
	}
}

// expire makes a server notice that an answer is over although neither side
// says anything: its connection's deadlines have passed.
func expire(w http.ResponseWriter) {
	c := http.NewResponseController(w)
	past := time.Unix(1, 0)
	// A connection that is not the server's any more (an upgrade) has none.
	_ = c.SetWriteDeadline(past)
	_ = c.SetReadDeadline(past)
}

// lasting reports whether a request asks for a stream.
func lasting(r *http.Request) bool {
	return upgrades(r) || r.Method == http.MethodConnect ||
		strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") ||
		strings.Contains(r.Header.Get("Accept"), eventStream)
}

// upgrades reports whether a request wants another protocol on its connection,
// as websockets do: by a header, or over HTTP/2 and 3 by an extended CONNECT
// (RFC 8441, RFC 9220).
func upgrades(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" || r.Method == http.MethodConnect
}

const eventStream = "text/event-stream"

// streamWriter finds out from an answer's header that it will last, and
// refuses to write once the stream is cut.
type streamWriter struct {
	http.ResponseWriter
	gate    *Gate
	site    *site
	seen    *passed
	decided bool
	stream  *stream                 // nil: nothing that lasts
	cancel  context.CancelCauseFunc // ends the request; may be nil
}

// watch makes the answer a stream, which ends with what let it in.
func (w *streamWriter) watch() {
	w.stream = &stream{gate: w.gate, site: w.site, creds: w.seen.creds, entry: w.seen.entry, ended: make(chan struct{}), stop: w.stop}
	w.gate.guard.watch(w.stream)
}

// stop makes both sides notice a cut.
func (w *streamWriter) stop() {
	if w.cancel != nil {
		w.cancel(errCut)
	}
	expire(w.ResponseWriter)
}

// done ends the watch over an answer that is complete.
func (w *streamWriter) done() {
	if w.stream != nil {
		w.gate.guard.forget(w.stream)
	}
	if w.cancel != nil {
		w.cancel(nil)
	}
}

// Unwrap serves http.ResponseController.
func (w *streamWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader looks at what kind of answer begins.
func (w *streamWriter) WriteHeader(status int) {
	if status >= http.StatusOK {
		w.decide()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *streamWriter) decide() {
	if w.decided || w.stream != nil {
		return
	}
	w.decided = true
	media, _, err := mime.ParseMediaType(w.Header().Get("Content-Type"))
	if err != nil || media != eventStream && !strings.HasPrefix(media, "application/grpc") {
		return
	}
	w.watch()
}

// Write fails once the stream is cut.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.decide()
	if w.stream != nil && w.stream.over() {
		return 0, errCut
	}
	return w.ResponseWriter.Write(p)
}

// ReadFrom hands files to those who can send them fast.
func (w *streamWriter) ReadFrom(r io.Reader) (int64, error) {
	w.decide()
	if w.stream != nil {
		return io.Copy(struct{ io.Writer }{w}, r)
	}
	return io.Copy(w.ResponseWriter, r)
}

// streamBody is the body of a stream's request; it ends when the stream is cut.
type streamBody struct {
	io.ReadCloser
	stream *stream
}

func (b *streamBody) Read(p []byte) (int, error) {
	if b.stream.over() {
		return 0, errCut
	}
	return b.ReadCloser.Read(p)
}

func (g *Guard) watch(t *stream) {
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	g.streams.open[t] = struct{}{}
}

func (g *Guard) forget(t *stream) {
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	delete(g.streams.open, t)
}

// Watch cuts streams whose sign-in ends, until ctx ends. One process runs one.
func (g *Guard) Watch(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			g.Sweep(ctx)
		}
	}
}

// Sweep looks at every open stream once.
func (g *Guard) Sweep(ctx context.Context) {
	g.streams.mu.Lock()
	open := make([]*stream, 0, len(g.streams.open))
	for t := range g.streams.open {
		open = append(open, t)
	}
	g.streams.mu.Unlock()
	for _, t := range open {
		if !t.holds(ctx) {
			t.cut()
		}
	}
}

// holds reports whether the stream would be let in again. A token that has
// merely run out does not end an answer under way: it was good when that began.
func (t *stream) holds(ctx context.Context) bool {
	g, e := t.gate.guard, t.entry
	sub := e.principal.Sub
	if e.access != nil {
		if err := g.tokens.Revoked(t.site.Pool, e.access); err != nil {
			return false
		}
	} else if !g.stands(t.site.Pool.ID, e) && !t.again(ctx) {
		return false
	}
	if g.tokens.Revocations().Changed(t.site.Pool.ID, sub) <= t.entry.seen {
		return true
	}
	return t.again(ctx) && t.gate.rule.inGroups(t.entry.principal)
}

// again finds out anew who the stream is for. A store that cannot be asked
// ends nothing.
func (t *stream) again(ctx context.Context) bool {
	e, err := t.gate.identify((&http.Request{}).WithContext(ctx), t.site, t.creds)
	switch {
	case err == nil:
		t.entry = e
		return true
	case errors.Is(err, errAnonymous), errors.Is(err, fault.InvalidToken):
		return t.entry.access != nil && t.gate.guard.now().Unix() >= t.entry.access.Expires
	}
	return true
}

// Streams is how many streams are watched, for tests and metrics.
func (g *Guard) Streams() int {
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	return len(g.streams.open)
}

// inGroups reports whether somebody is in the groups that a line asks for.
func (r *Rule) inGroups(p *pool.Principal) bool {
	return !slices.ContainsFunc(r.Groups, func(any []string) bool { return !slices.ContainsFunc(any, p.InGroup) })
}

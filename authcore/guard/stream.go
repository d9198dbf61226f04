package guard

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
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
	mu       sync.Mutex
	open     map[*stream]struct{}
	sweeping sync.Mutex // sweeps do not overlap
}

// stream is an answer under way, and who it is for.
type stream struct {
	gate  *Gate
	site  *site
	creds credentials
	entry *entry // as of the last look; once it is watched, the sweep's alone

	mu       sync.Mutex    // held while it is cut
	complete bool          // the answer is: its writer may be another's by now
	ended    chan struct{} // closed when it was cut
	stop     func()        // makes both sides notice
}

// follow watches over an answer that may last: at once if the request says so,
// else as soon as the answer does. The writer's done must be called when the
// answer is complete.
func (g *Gate) follow(w http.ResponseWriter, r *http.Request, s *site, seen *passed) (*streamWriter, *http.Request) {
	out := &streamWriter{ResponseWriter: w, gate: g, site: s, creds: seen.creds, entry: seen.entry}
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

// cut ends a stream that is not complete; both sides see it.
func (t *stream) cut() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.complete || t.over() {
		return
	}
	close(t.ended)
	t.stop()
}

// finish makes sure that nobody cuts the stream any more: what belongs to its
// answer must not be touched after it.
func (t *stream) finish() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.complete = true
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
	_ = c.SetWriteDeadline(past) // who has none is told by the request's context
	_ = c.SetReadDeadline(past)
}

// lasting reports whether a request asks for a stream.
func lasting(r *http.Request) bool {
	return upgrades(r) ||
		strings.HasPrefix(r.Header.Get("Content-Type"), grpc) ||
		strings.Contains(r.Header.Get("Accept"), eventStream)
}

// upgrades reports whether a request wants another protocol on its connection,
// as websockets do: by a header, or over HTTP/2 and 3 by an extended CONNECT
// (RFC 8441, RFC 9220).
func upgrades(r *http.Request) bool {
	return r.Header.Get("Upgrade") != "" || r.Method == http.MethodConnect
}

// Media types of answers that last.
const (
	eventStream = "text/event-stream"
	grpc        = "application/grpc" // and what begins so
)

// streamWriter finds out from an answer's header that it will last, and
// refuses to write once the stream is cut.
type streamWriter struct {
	http.ResponseWriter
	gate    *Gate
	site    *site
	creds   credentials // what this gate let in; a later line may find nobody
	entry   *entry
	decided bool
	stream  *stream                 // nil: nothing that lasts
	cancel  context.CancelCauseFunc // ends the request; may be nil
	conn    net.Conn                // if the handler took the connection over
}

// watch makes the answer a stream, which ends with what let it in.
func (w *streamWriter) watch() {
	w.stream = &stream{gate: w.gate, site: w.site, creds: w.creds, entry: w.entry, ended: make(chan struct{}), stop: w.stop}
	w.gate.guard.watch(w.stream)
}

// stop makes both sides notice a cut.
func (w *streamWriter) stop() {
	if w.cancel != nil {
		w.cancel(errCut)
	}
	if w.conn != nil {
		go w.conn.Close() // over TLS it may take seconds to say goodbye
		return
	}
	expire(w.ResponseWriter)
}

// done ends the watch over an answer that is complete. One whose connection
// was taken over lasts until that is closed.
func (w *streamWriter) done() {
	if w.stream != nil && w.conn == nil {
		w.end()
	}
	if w.cancel != nil {
		w.cancel(nil)
	}
}

func (w *streamWriter) end() {
	w.stream.finish()
	w.gate.guard.forget(w.stream)
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
	// Not parsed: what is odd behind the type keeps nobody from reading it.
	media := strings.ToLower(strings.TrimSpace(w.Header().Get("Content-Type")))
	if strings.HasPrefix(media, eventStream) || strings.HasPrefix(media, grpc) {
		w.watch()
	}
}

// Write fails once the stream is cut.
func (w *streamWriter) Write(p []byte) (int, error) {
	w.decide()
	if w.stream != nil && w.stream.over() {
		return 0, errCut
	}
	return w.ResponseWriter.Write(p)
}

// FlushError sends what there is, the header first.
func (w *streamWriter) FlushError() error {
	w.decide()
	return http.NewResponseController(w.ResponseWriter).Flush()
}

// Flush serves handlers that look for an http.Flusher.
func (w *streamWriter) Flush() { _ = w.FlushError() } // it has no way to say

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

// Bounds of one sweep: how many streams it reads anew at once, and for how
// long. A slow store must not keep it from the next.
const (
	sweepers   = 8
	sweepLimit = time.Second
)

// Sweep looks at every open stream once: from memory first, and then at those
// about which the store must be asked.
func (g *Guard) Sweep(ctx context.Context) {
	g.streams.sweeping.Lock()
	defer g.streams.sweeping.Unlock()
	var doubtful []*stream
	for _, t := range g.opened() {
		switch t.look(ctx) {
		case ended:
			g.cut(t)
		case doubted:
			doubtful = append(doubtful, t)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	var readers sync.WaitGroup
	for i := range min(sweepers, len(doubtful)) {
		readers.Go(func() {
			for ; i < len(doubtful); i += sweepers {
				if t := doubtful[i]; !t.holds(ctx) {
					g.cut(t)
				}
			}
		})
	}
	readers.Wait()
}

// opened are the streams under way.
func (g *Guard) opened() []*stream {
	g.streams.mu.Lock()
	defer g.streams.mu.Unlock()
	return slices.Collect(maps.Keys(g.streams.open))
}

func (g *Guard) cut(t *stream) {
	t.cut()
	g.forget(t)
}

// verdict is what memory says about a stream.
type verdict int

const (
	stands  verdict = iota
	doubted         // something has changed: read anew who it is for
	ended
)

// look judges a stream by what is in memory. A token that has merely run out
// does not end an answer under way: it was good when that began.
func (t *stream) look(ctx context.Context) verdict {
	g, e, id := t.gate.guard, t.entry, t.site.Pool.ID
	rev := g.tokens.Revocations()
	switch {
	case t.gate.stale():
		return ended
	case e.access != nil:
		if errors.Is(t.revoked(ctx), fault.InvalidToken) {
			return ended
		}
	case rev.SessionEnded(id, e.live.Name) || rev.SessionEnded(id, e.live.Session.Parent):
		return ended
	case !g.stands(id, e):
		return doubted
	}
	if rev.Changed(id, e.principal.Sub) > e.seen {
		return doubted
	}
	return stands
}

// revoked says why the stream's token is not good any more.
func (t *stream) revoked(ctx context.Context) error {
	g, a := t.gate.guard, t.entry.access
	if g.now().Unix() < a.Expires {
		return g.tokens.Standing(ctx, t.site.Pool, a)
	}
	return g.tokens.Revoked(t.site.Pool, a)
}

// holds finds out anew who the stream is for, and reports whether that lets it
// in. A store that cannot be asked ends only what is known to be over.
func (t *stream) holds(ctx context.Context) bool {
	g, e := t.gate.guard, t.entry
	seen := g.tokens.Revocations().Latest()
	now, err := t.gate.identify((&http.Request{}).WithContext(ctx), t.site, t.creds)
	switch {
	case err == nil:
		t.entry = now
	case e.access != nil && g.now().Unix() >= e.access.Expires:
		t.entry = &entry{access: e.access, seen: seen, principal: g.principalOf(t.site.Pool, e.access)}
	case errors.Is(err, errAnonymous), errors.Is(err, fault.InvalidToken):
		return false
	case e.access == nil && !g.stands(t.site.Pool.ID, e):
		return false
	}
	return t.gate.rule.inGroups(t.entry.principal)
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

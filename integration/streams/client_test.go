//lint:file-ignore SA1019 http.Transport cannot send an extended CONNECT

package streams

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go/http3"
	"golang.org/x/net/http2"
)

// kind is one way to have an answer that lasts.
type kind struct {
	name  string
	path  string // what the upstream does
	plain bool   // at the site without TLS
	over  string // 1, 2 or 3: version of HTTP
	flush bool   // through a proxy that flushes at once
	sse   bool   // says in Accept that it wants events
	query string
}

// kinds are all of them; those that send nothing by themselves are the hard
// ones, since nobody notices that they are over.
func kinds() []kind {
	return []kind{
		{name: "websocket", path: "/ws", plain: true, over: "1"},
		{name: "websocket flushed", path: "/ws", plain: true, over: "1", flush: true},
		{name: "websocket over TLS", path: "/ws", over: "1"},
		{name: "websocket over HTTP/2", path: "/ws", over: "2"},
		{name: "websocket over HTTP/3", path: "/ws", over: "3"},
		{name: "EventSource", path: "/events", plain: true, over: "1", sse: true},
		{name: "EventSource flushed", path: "/events", plain: true, over: "1", sse: true, flush: true},
		{name: "EventSource, busy", path: "/events", plain: true, over: "1", sse: true, query: "&tick"},
		{name: "EventSource over HTTP/2", path: "/events", over: "2", sse: true},
		{name: "EventSource over HTTP/3", path: "/events", over: "3", sse: true},
		{name: "events by curl", path: "/events", plain: true, over: "1"},
		{name: "events by curl, flushed", path: "/events", plain: true, over: "1", flush: true},
		{name: "events by curl, flushed and busy", path: "/events", plain: true, over: "1", flush: true, query: "&tick"},
		{name: "events by curl over HTTP/2", path: "/events", over: "2"},
		{name: "events by curl over HTTP/2, flushed", path: "/events", over: "2", flush: true},
		{name: "events by curl over HTTP/3", path: "/events", over: "3"},
		{name: "gRPC", path: "/call", over: "2"},
	}
}

func (k kind) websocket() bool { return k.path == "/ws" }

func (w *world) origin(k kind) string {
	if k.plain {
		return w.app
	}
	return w.tls
}

// live is a stream under way as its client sees it.
type live struct {
	kind kind
	id   string
	conn io.ReadWriteCloser
	news chan string // what came
	over chan struct{}
	once bool      // its first event has come; a silent stream sends no other
	end  time.Time // when it was over; good once it is
	err  error     // how it ended
}

// refused is the answer to a stream that was not to be.
type refused struct{ status int }

func (r refused) Error() string { return fmt.Sprint("refused: ", r.status) }

// open begins a stream and waits for its first sign of life; the error is a
// refused if the server answered.
func (w *world) open(t *testing.T, k kind, prefix string, header http.Header) (*live, error) {
	t.Helper()
	l := &live{kind: k, id: w.id(), news: make(chan string, 1000), over: make(chan struct{})}
	if k.flush {
		prefix += "/flush"
	}
	target, err := url.Parse(w.origin(k) + prefix + k.path + "?id=" + l.id + k.query)
	if err != nil {
		t.Fatal(err)
	}
	h := header.Clone()
	switch {
	case k.path == "/call":
		h.Set("Content-Type", "application/grpc+proto")
		h.Set("Te", "trailers")
	case k.sse:
		h.Set("Accept", "text/event-stream")
	default:
		h.Set("Accept", "*/*")
	}
	l.conn, err = w.dial(t, k, target, h)
	if err != nil {
		return nil, err
	}
	t.Cleanup(func() { _ = l.conn.Close() }) // it may be over
	go l.read()
	if !l.alive(t) {
		t.Fatalf("%s: no life in the stream", k.name)
	}
	return l, nil
}

func (w *world) dial(t *testing.T, k kind, target *url.URL, h http.Header) (io.ReadWriteCloser, error) {
	t.Helper()
	if k.websocket() && k.over == "1" {
		return w.upgrade(t, target, h)
	}
	// The stream outlives the opening of it, not the test.
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	r := &http.Request{Method: http.MethodGet, URL: target, Header: h, Host: target.Host}
	var send *io.PipeWriter
	if k.path != "/events" {
		r.Body, send = io.Pipe()
		r.Method = http.MethodPost
	}
	if k.websocket() {
		r.Method = http.MethodConnect
		h.Set("Sec-Websocket-Version", "13")
		if k.over == "2" {
			h[":protocol"] = []string{"websocket"}
		} else {
			r.Proto = "websocket"
		}
	}
	res, err := w.transport(t, k.over).RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, errors.Join(refused{res.StatusCode}, res.Body.Close())
	}
	return stream{res.Body, send}, nil
}

// stream is both directions of an exchange.
type stream struct {
	io.ReadCloser
	send *io.PipeWriter
}

func (s stream) Write(p []byte) (int, error) {
	if s.send == nil {
		return 0, errors.New("one-way")
	}
	return s.send.Write(p)
}

func (s stream) Close() error {
	if s.send != nil {
		_ = s.send.Close() // returns nil
	}
	return s.ReadCloser.Close()
}

// transport is a connection of its own.
func (w *world) transport(t *testing.T, over string) http.RoundTripper {
	config := &tls.Config{RootCAs: w.roots}
	switch over {
	case "2":
		tr := &http2.Transport{TLSClientConfig: config}
		t.Cleanup(tr.CloseIdleConnections)
		return tr
	case "3":
		tr := &http3.Transport{TLSClientConfig: config}
		t.Cleanup(func() { _ = tr.Close() }) // streams may be open
		return tr
	}
	p := new(http.Protocols)
	p.SetHTTP1(true)
	tr := &http.Transport{TLSClientConfig: config, Protocols: p}
	t.Cleanup(tr.CloseIdleConnections)
	return tr
}

// upgrade is the handshake of RFC 6455 4.1.
func (w *world) upgrade(t *testing.T, target *url.URL, h http.Header) (io.ReadWriteCloser, error) {
	t.Helper()
	var c net.Conn
	var err error
	if target.Scheme == "https" {
		c, err = tls.Dial("tcp", target.Host, &tls.Config{RootCAs: w.roots, ServerName: target.Hostname()})
	} else {
		c, err = net.Dial("tcp", target.Host)
	}
	if err != nil {
		return nil, err
	}
	h.Set("Connection", "Upgrade")
	h.Set("Upgrade", "websocket")
	h.Set("Sec-Websocket-Version", "13")
	h.Set("Sec-Websocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
	r := &http.Request{Method: http.MethodGet, URL: target, Host: target.Host, Header: h, ProtoMajor: 1, ProtoMinor: 1}
	if err := r.Write(c); err != nil {
		return nil, err
	}
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, r)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	if res.StatusCode != http.StatusSwitchingProtocols {
		return nil, errors.Join(refused{res.StatusCode}, c.Close())
	}
	return upgraded{c, in}, nil
}

type upgraded struct {
	net.Conn
	in io.Reader
}

func (u upgraded) Read(p []byte) (int, error) { return u.in.Read(p) }

// say sends a word; the upstream sends it back.
func (l *live) say(word string) error {
	raw := []byte(word)
	if l.kind.websocket() { // a text frame under a mask of zeros (RFC 6455 5.2)
		raw = slices.Concat([]byte{0x81, 0x80 | byte(len(word)), 0, 0, 0, 0}, raw)
	}
	_, err := l.conn.Write(raw)
	return err
}

// read collects what comes until the stream is over.
func (l *live) read() {
	defer close(l.over)
	next := l.text
	if l.kind.websocket() {
		next = l.frame
	}
	for {
		word, err := next()
		if err != nil {
			l.end, l.err = time.Now(), err
			return
		}
		select {
		case l.news <- word:
		default: // nobody is interested in so many
		}
	}
}

func (l *live) text() (string, error) {
	buf := make([]byte, 512)
	n, err := l.conn.Read(buf)
	if n > 0 {
		err = nil
	}
	return string(buf[:n]), err
}

func (l *live) frame() (string, error) {
	var head [2]byte
	if _, err := io.ReadFull(l.conn, head[:]); err != nil {
		return "", err
	}
	body := make([]byte, head[1]&0x7f)
	if _, err := io.ReadFull(l.conn, body); err != nil {
		return "", err
	}
	if head[0]&0x0f == 8 {
		return "", errors.New("closed by a frame")
	}
	return string(body), nil
}

// alive reports whether the stream works: both ways if it has them.
func (l *live) alive(t *testing.T) bool {
	t.Helper()
	if l.kind.path != "/events" {
		if err := l.say("ping"); err != nil {
			return false
		}
	} else if l.kind.query == "" && l.once {
		return l.standing()
	}
	l.once = true
	select {
	case word := <-l.news:
		return strings.Contains(word, "ping") || strings.Contains(word, "news")
	case <-l.over:
		return false
	case <-time.After(10 * time.Second):
		return false
	}
}

// standing reports whether nobody has ended the stream.
func (l *live) standing() bool {
	select {
	case <-l.over:
		return false
	default:
		return true
	}
}

package guard

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// deadlines is a writer that counts how often it is told to end.
type deadlines struct {
	http.ResponseWriter
	set int
}

func (d *deadlines) SetWriteDeadline(time.Time) error { d.set++; return nil }
func (d *deadlines) SetReadDeadline(time.Time) error  { d.set++; return nil }

// An HTTP/2 server gives the writer of a complete answer to another one: to cut
// the first would panic, or cut the other.
func TestWhatIsCompleteIsNotCut(t *testing.T) {
	for _, complete := range []bool{false, true} {
		g := New(Config{})
		under := &deadlines{ResponseWriter: httptest.NewRecorder()}
		w := &streamWriter{ResponseWriter: under, gate: &Gate{guard: g}, entry: &entry{principal: &pool.Principal{}}}
		w.Header().Set("Content-Type", "Text/Event-Stream;charset=utf-8; charset=utf-8")
		w.Flush()
		if g.Streams() != 1 {
			t.Fatal(g.Streams())
		}
		if complete {
			w.done()
		}
		g.cut(w.stream)
		if cut := under.set > 0; cut == complete || g.Streams() != 0 {
			t.Errorf("complete: %v, deadlines set: %d, streams: %d", complete, under.set, g.Streams())
		}
		if _, err := w.Write([]byte("more")); (err != nil) == complete {
			t.Error(complete, err)
		}
	}
}

func TestASiteOfEveryHostKnowsAddresses(t *testing.T) {
	p := &pool.Pool{ID: "xx-edge-1_AbC123xyz", Issuer: "https://login.example.com"}
	g, err := New(Config{}).Gate(Rule{Mode: Require, API: true}, []Site{{Pool: p, Origin: AnyOrigin, Resource: "https://api.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for origin, known := range map[string]bool{
		"http://[::1]:8080": true, "https://[2001:db8::1]": true, "http://127.0.0.1:8080": true, "https://a.example": true,
		`http://[::1"]`: false, "http://a b": false, "http://[::1]x": false, "ftp://a.example": false, "http://a.example:": false, `https://a", x="`: false,
	} {
		if s := g.site(origin); (s != nil) != known {
			t.Errorf("%s: %v", origin, s)
		}
	}
}

package caddymodule

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// An upstream that has its own idea of CORS gets no word in.
func TestTheGateAloneSpeaksOfCORS(t *testing.T) {
	var reached atomic.Int64
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		h := w.Header()
		h.Set("Access-Control-Allow-Origin", "*")
		h.Set("Access-Control-Allow-Credentials", "true")
		h.Set("Access-Control-Expose-Headers", "X-Total")
		h.Set("X-Total", "7")
		w.WriteHeader(http.StatusTeapot)
	}))
	defer upstream.Close()
	c := run(t, site("resource http://localhost:$PORT a.read", `
	gatehouse {
		public /open/*
		cors http://spa.localhost:5173
	}
	reverse_proxy `+strings.TrimPrefix(upstream.URL, "http://")+`
	handle_errors {
		respond "sorry" {err.status_code}
	}`))
	for _, q := range []struct {
		method, path, origin string
		header               []string
		status, reached      int
		exposed              string
	}{
		{"OPTIONS", "/api", "http://spa.localhost:5173", []string{"Access-Control-Request-Method", "PUT"}, 204, 0, ""},
		{"OPTIONS", "/api", "http://evil.localhost", []string{"Access-Control-Request-Method", "PUT"}, 403, 0, ""},
		{"GET", "/open/x", "http://spa.localhost:5173", nil, 418, 1, "WWW-Authenticate, X-Total"},
		{"GET", "/open/x", "http://evil.localhost", nil, 418, 1, ""},
		{"GET", "/open/x", "", nil, 418, 1, ""},
		{"GET", "/api", "http://spa.localhost:5173", nil, 401, 0, "WWW-Authenticate"},
		{"GET", "/api", "http://spa.localhost:5173", []string{"Authorization", "Bearer nonsense"}, 401, 0, "WWW-Authenticate"},
		{"GET", "/api", "http://evil.localhost", nil, 401, 0, ""},
	} {
		before := reached.Load()
		r, err := http.NewRequest(q.method, c.url(q.path), http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		if q.origin != "" {
			r.Header.Set("Origin", q.origin)
		}
		for i := 0; i < len(q.header); i += 2 {
			r.Header.Set(q.header[i], q.header[i+1])
		}
		res, _ := c.do(r)
		if res.StatusCode != q.status || int(reached.Load()-before) != q.reached || !strings.Contains(strings.Join(res.Header.Values("Vary"), ","), "Origin") {
			t.Errorf("%+v: %d, %v", q, res.StatusCode, res.Header)
		}
		allowed, listed := res.Header.Values("Access-Control-Allow-Origin"), q.origin == "http://spa.localhost:5173"
		if listed && (len(allowed) != 1 || allowed[0] != q.origin) || !listed && len(allowed) > 0 {
			t.Errorf("%+v: allowed %q", q, allowed)
		}
		if got := strings.Join(res.Header.Values("Access-Control-Expose-Headers"), "|"); got != q.exposed {
			t.Errorf("%+v: exposed %q", q, got)
		}
	}
}

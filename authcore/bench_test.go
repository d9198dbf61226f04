package authcore_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// BenchmarkGate is the hot path alone: a bearer token and a session that are
// cached, without a proxy around it.
func BenchmarkGate(b *testing.B) {
	w := newWorld(&testing.T{})
	person := w.firstUser("ann@example.com")
	person.get(appOrigin + "/")
	for name, c := range map[string]struct {
		origin string
		rule   guard.Rule
		header http.Header
	}{
		"bearer":  {apiOrigin, guard.Rule{Mode: guard.Require, Scopes: []string{"orders.read"}}, http.Header{"Authorization": {"Bearer " + w.machine("orders.read")}}},
		"session": {appOrigin, guard.Rule{Mode: guard.Require}, http.Header{"Cookie": {cookies(person)}}},
	} {
		b.Run(name, func(b *testing.B) {
			g, err := w.engine.Gate(authcore.GateConfig{Pool: "default", Rule: c.rule, Origins: []string{c.origin}})
			if err != nil {
				b.Fatal(err)
			}
			out := httptest.NewRecorder()
			client := mux.Client{Address: "192.0.2.1", Origin: c.origin, OrigURI: "/orders?x=1"}
			base := httptest.NewRequest(http.MethodGet, "/orders?x=1", http.NoBody)
			ctx := mux.WithClient(base.Context(), client)
			b.ReportAllocs()
			for b.Loop() {
				r := base.WithContext(ctx)
				r.Header = http.Header{"Accept": {"*/*"}, "User-Agent": {"bench"}, "Accept-Encoding": {"gzip"}}
				for k, v := range c.header {
					r.Header[k] = v
				}
				passed := false
				err := g.Handle(out, r, func(http.ResponseWriter, *http.Request, guard.Identity) error { passed = true; return nil })
				if err != nil || !passed {
					b.Fatal(err)
				}
			}
		})
	}
}

func cookies(p *browser) string {
	r := &http.Request{Header: http.Header{}}
	for _, c := range p.jar.Cookies(p.url) {
		r.AddCookie(c)
	}
	return r.Header.Get("Cookie")
}

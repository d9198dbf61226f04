package mux

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

func TestTreesAnswerBelowTheirPath(t *testing.T) {
	m := New(Options{Prefix: "/_auth"})
	var got *http.Request
	m.Tree("/admin", func(w http.ResponseWriter, r *http.Request) error {
		got = r
		if strings.HasSuffix(r.URL.Path, "/none") {
			return fault.New(fault.NotFound, "nothing here")
		}
		WriteJSON(w, http.StatusOK, "ok")
		return nil
	})
	m.API("GET /admin/exact", func(w http.ResponseWriter, _ *http.Request) error {
		WriteJSON(w, http.StatusOK, "exact")
		return nil
	})
	for path, want := range map[string]bool{
		"/_auth/admin/a": true, "/_auth/admin/a/b": true, "/_auth/admin/exact": true, "/_auth/admin/": true,
		"/_auth/admin": false, "/_auth/administer": false, "/admin/a": false, "/_auth": false,
	} {
		if m.Matches(path) != want {
			t.Errorf("%s: %v", path, !want)
		}
	}
	ask := func(method, path string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("Cookie", "a=b")
		w := httptest.NewRecorder()
		m.ServeHTTP(w, r)
		return w
	}
	for _, method := range []string{"GET", "POST", "DELETE", "OPTIONS"} {
		if w := ask(method, "/_auth/admin/a"); w.Code != http.StatusOK || w.Header().Get("Cache-Control") != "no-store" || got.Header.Get("Cookie") != "" || got.Method != method {
			t.Errorf("%s: %d %v, cookie %q", method, w.Code, w.Header(), got.Header.Get("Cookie"))
		}
	}
	if w := ask("GET", "/_auth/admin/exact"); w.Body.String() != `"exact"` {
		t.Errorf("an exact path: %s", w.Body)
	}
	if w := ask("GET", "/_auth/admin/none"); w.Code != http.StatusNotFound || w.Body.String() != `{"error":"not_found","message":"nothing here"}` {
		t.Errorf("an error: %d %s", w.Code, w.Body)
	}
	for _, path := range []string{"/admin", "admin", ""} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("tree %q was taken", path)
				}
			}()
			m.Tree(path, func(http.ResponseWriter, *http.Request) error { return nil })
		}()
	}
}

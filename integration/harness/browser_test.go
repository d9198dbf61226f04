package harness

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// TestRelation holds Sec-Fetch-Site against what Chromium sends.
func TestRelation(t *testing.T) {
	for _, c := range []struct{ from, to, want string }{
		{"http://localhost:1000/a", "http://localhost:1000/b", "same-origin"},
		{"http://localhost:1000/", "http://localhost:2000/", "same-site"},
		{"http://localhost/", "https://localhost/", "cross-site"},
		{"http://localhost/", "http://127.0.0.1/", "cross-site"},
		{"http://127.0.0.1:1/", "http://127.0.0.1:2/", "same-site"},
		{"http://10.0.0.1/", "http://20.0.0.1/", "cross-site"},
		{"http://app.localhost:1000/", "http://login.localhost:1000/", "cross-site"},
		{"https://app.example.com/", "https://login.example.com/", "same-site"},
		{"https://app.example.com/", "https://app.example.org/", "cross-site"},
		{"https://a.github.io/", "https://b.github.io/", "cross-site"},
	} {
		from, _ := url.Parse(c.from)
		to, _ := url.Parse(c.to)
		if got := relation(from, to); got != c.want {
			t.Errorf("%s → %s: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

// TestBrowserSendsWhatABrowserSends walks two origins and looks at what came.
func TestBrowserSendsWhatABrowserSends(t *testing.T) {
	var seen []*http.Request
	var login *httptest.Server
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		switch r.URL.Path {
		case "/":
			http.SetCookie(w, &http.Cookie{Name: "here", Value: "1", Path: "/"})
			http.Redirect(w, r, strings.Replace(login.URL, "127.0.0.1", "login.localhost", 1)+"/form?x=1", http.StatusFound)
		case "/done":
			_, _ = w.Write([]byte("done"))
		}
	}))
	defer app.Close()
	login = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = append(seen, r)
		if r.Method == http.MethodPost {
			if err := r.ParseForm(); err != nil || r.PostForm.Get("ticket") != "a&b" || r.PostForm.Get("user") != "ann" {
				t.Errorf("the form: %v, %v", r.PostForm, err)
			}
			http.Redirect(w, r, app.URL+"/done", http.StatusSeeOther)
			return
		}
		_, _ = w.Write([]byte(`<form method=post action="/go"><input type=hidden name=ticket value="a&amp;b"><input name=user><button>Go</button></form>`))
	}))
	defer login.Close()

	b := NewBrowser(t)
	b.Get(app.URL + "/")
	b.Submit(map[string]string{"user": "ann"})
	if b.Body != "done" || b.URL.String() != app.URL+"/done" || len(b.Hops) != 2 {
		t.Fatalf("at %s by %v: %s", b.URL, b.Hops, b.Body)
	}
	for i, want := range []struct{ path, site, origin, cookie string }{
		{"/", "none", "", ""},
		{"/form", "none", "", ""},
		{"/go", "same-origin", "http://login.localhost:" + portOf(login), ""},
		{"/done", "cross-site", "", "here=1"}, // Lax: sent with a navigation
	} {
		h := seen[i].Header
		if seen[i].URL.Path != want.path || h.Get("Sec-Fetch-Site") != want.site || h.Get("Origin") != want.origin || h.Get("Cookie") != want.cookie {
			t.Errorf("%d: %s %v, want %+v", i, seen[i].URL, h, want)
		}
	}

	// A script and a form of another site carry no cookie.
	b.Get(strings.Replace(login.URL, "127.0.0.1", "login.localhost", 1) + "/form")
	if _, _, err := b.Fetch(http.MethodGet, app.URL+"/done"); err != nil {
		t.Fatal(err)
	}
	if err := b.Navigate(http.MethodPost, app.URL+"/done", url.Values{"a": {"b"}}); err != nil {
		t.Fatal(err)
	}
	for _, r := range seen[len(seen)-2:] {
		if r.Header.Get("Cookie") != "" || r.Header.Get("Sec-Fetch-Site") != "cross-site" || !strings.HasPrefix(r.Header.Get("Origin"), "http://login.localhost:") {
			t.Errorf("%s %v", r.Method, r.Header)
		}
	}
}

func portOf(s *httptest.Server) string {
	u, _ := url.Parse(s.URL)
	return u.Port()
}

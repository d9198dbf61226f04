package mux_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

const shop = "https://shop.example.com"

// crossed is an edge with an endpoint that the shop's scripts may call; it
// opens its answers if open says so.
func crossed(t *testing.T, open bool, answer mux.Handler) *edge {
	t.Helper()
	e := newEdge(t, "", ok)
	allow := func(origin string) bool { return origin == shop }
	h := func(w http.ResponseWriter, r *http.Request) error {
		if open {
			mux.AllowOrigin(w, r)
		}
		e.seen = r
		return answer(w, r)
	}
	e.Cross("GET /cross", allow, h)
	e.Cross("POST /cross", allow, h)
	return e
}

// corsOf returns the CORS headers of an answer, sorted.
func corsOf(res *http.Response) []string {
	var out []string
	for name, values := range res.Header {
		if strings.HasPrefix(name, "Access-Control-") {
			out = append(out, name+": "+strings.Join(values, " | "))
		}
	}
	slices.Sort(out)
	return out
}

func TestPreflight(t *testing.T) {
	e := crossed(t, true, ok)
	asking := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "authorization"}
	res := e.do(t, request("OPTIONS", "/cross", "", append(asking, "Origin", shop)...))
	want := []string{
		"Access-Control-Allow-Headers: Authorization, Content-Type, *",
		"Access-Control-Allow-Methods: GET, POST, HEAD, OPTIONS",
		"Access-Control-Allow-Origin: " + shop,
		"Access-Control-Max-Age: 600",
	}
	if got := corsOf(res); !slices.Equal(got, want) || res.StatusCode != 204 || res.Header.Get("Vary") != "Origin" {
		t.Errorf("%d, %q, Vary %q", res.StatusCode, got, res.Header.Get("Vary"))
	}
	if e.seen != nil {
		t.Error("the handler was asked")
	}
	for name, origin := range map[string][]string{
		"none":               nil,
		"another":            {"Origin", "https://evil.example.com"},
		"another scheme":     {"Origin", "http://shop.example.com"},
		"another port":       {"Origin", shop + ":8443"},
		"a longer name":      {"Origin", shop + ".evil.example"},
		"opaque":             {"Origin", "null"},
		"two":                {"Origin", shop, "Origin", shop},
		"upper case":         {"Origin", strings.ToUpper(shop)},
		"with a path":        {"Origin", shop + "/"},
		"empty":              {"Origin", ""},
		"our own, by chance": {"Origin", origin},
	} {
		res := e.do(t, request("OPTIONS", "/cross", "", append(origin, asking...)...))
		if got := corsOf(res); len(got) != 0 || res.StatusCode != 204 || res.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %d, %q, Vary %q", name, res.StatusCode, got, res.Header.Get("Vary"))
		}
	}
}

func TestAnswersToScripts(t *testing.T) {
	fails := func(http.ResponseWriter, *http.Request) error { return fault.New(fault.InvalidToken, "Expired.") }
	open := []string{
		"Access-Control-Allow-Origin: " + shop,
		"Access-Control-Expose-Headers: WWW-Authenticate, Retry-After",
	}
	for _, c := range []struct {
		name   string
		open   bool
		answer mux.Handler
		header []string
		want   []string
		status int
	}{
		{"open", true, ok, []string{"Origin", shop}, open, 200},
		{"an error, open", true, fails, []string{"Origin", shop}, open, 401},
		{"closed", false, ok, []string{"Origin", shop}, nil, 200},
		{"no script", true, ok, nil, nil, 200},
		{"opaque", true, ok, []string{"Origin", "null"}, nil, 200},
		{"two", true, ok, []string{"Origin", shop, "Origin", "https://evil.example.com"}, nil, 200},
	} {
		e := crossed(t, c.open, c.answer)
		res := e.do(t, request("POST", "/cross", "a=b", append(c.header, "Cookie", "a=b")...))
		if got := corsOf(res); !slices.Equal(got, c.want) || res.StatusCode != c.status || res.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %d, %q, Vary %q", c.name, res.StatusCode, got, res.Header.Get("Vary"))
		}
		if e.seen.Header.Get("Cookie") != "" {
			t.Errorf("%s: the handler saw cookies", c.name)
		}
	}
	res := crossed(t, true, ok).do(t, request("DELETE", "/cross", "", "Origin", shop))
	if got := corsOf(res); res.StatusCode != 405 || len(got) != 0 {
		t.Errorf("a wrong method: %d, %q", res.StatusCode, got)
	}
}

// What is not registered with Cross is closed to scripts of other origins.
func TestOtherFacesHaveNoCORS(t *testing.T) {
	e := crossed(t, true, ok)
	for _, path := range []string{"/login", "/entry", "/token", "/nothing"} {
		res := e.do(t, request("OPTIONS", path, "", "Origin", shop, "Access-Control-Request-Method", "POST"))
		if got := corsOf(res); len(got) != 0 {
			t.Errorf("%s: %q", path, got)
		}
	}
	res := e.do(t, request("GET", "/keys", "", "Origin", "https://anybody.example"))
	if got := corsOf(res); !slices.Equal(got, []string{"Access-Control-Allow-Origin: *"}) {
		t.Errorf("a public document: %q", got)
	}
}

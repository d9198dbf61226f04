package oauth_test

import (
	"html"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// form is what a page would send.
type form struct {
	action string
	hidden url.Values
	page   string
}

var (
	formTag  = regexp.MustCompile(`<form method="post" action="([^"]*)"`)
	inputTag = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)"`)
)

// formOf reads the first form of a page.
func formOf(body string) form {
	f := form{hidden: url.Values{}, page: html.UnescapeString(body)}
	if m := formTag.FindStringSubmatch(body); m != nil {
		f.action = html.UnescapeString(m[1])
	}
	for _, m := range inputTag.FindAllStringSubmatch(body, -1) {
		f.hidden.Add(html.UnescapeString(m[1]), html.UnescapeString(m[2]))
	}
	return f
}

// surf sends a request of the browser that has the cookies, and follows nothing.
func (h *host) surf(method, address string, body url.Values, header ...string) *http.Response {
	h.t.Helper()
	r, err := http.NewRequestWithContext(h.t.Context(), method, address, strings.NewReader(body.Encode()))
	must(h.t, err)
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	if body != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Sec-Fetch-Site", "same-origin")
		r.Header.Set("Origin", h.URL)
	}
	cookies := mux.Cookies{Origin: h.URL, Pool: string(h.pool.ID)}
	if h.cookie != "" {
		r.Header.Add("Cookie", cookies.Name(mux.CookieSSO)+"="+h.cookie)
	}
	if h.hop != "" {
		r.Header.Add("Cookie", cookies.Name(mux.CookieHop)+"="+h.hop)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(r)
	must(h.t, err)
	b, err := io.ReadAll(res.Body)
	must(h.t, err)
	res.Body.Close()
	res.Body = io.NopCloser(strings.NewReader(string(b)))
	for _, c := range res.Cookies() {
		if c.Name == cookies.Name(mux.CookieHop) {
			h.hop = c.Value
		}
	}
	return res
}

// open opens an address and returns the form of the page there.
func (h *host) open(address string) form {
	h.t.Helper()
	res := h.surf("GET", address, nil)
	b, err := io.ReadAll(res.Body)
	must(h.t, err)
	f := formOf(string(b))
	if res.StatusCode != 200 || f.action == "" {
		h.t.Fatalf("%s: %d %s %s", address, res.StatusCode, res.Header.Get("Location"), b)
	}
	return f
}

func (h *host) address(change map[string]string) string {
	return h.URL + "/oauth2/authorize?" + query(change).Encode()
}

// to opens an address that redirects and says where it leads.
func (h *host) to(address string) *url.URL {
	h.t.Helper()
	res := h.surf("GET", address, nil)
	to, err := res.Location()
	if err != nil {
		b, _ := io.ReadAll(res.Body)
		h.t.Fatalf("%s: %d %s", address, res.StatusCode, b)
	}
	return to
}

package harness

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// Browser behaves as a browser does towards servers: cookies, redirects as
// navigations, forms with the headers that Chromium sends.
type Browser struct {
	URL    *url.URL // where the last answer came from
	Status int
	Header http.Header
	Body   string
	Hops   []string // every address of the last navigation

	t      testing.TB
	jar    http.CookieJar
	client *http.Client
}

// NewBrowser returns a browser without cookies.
func NewBrowser(t testing.TB) *Browser {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{t: t, jar: jar, client: &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Cookies returns what the browser would send to an address.
func (b *Browser) Cookies(target string) []*http.Cookie {
	u, err := url.Parse(target)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.jar.Cookies(u)
}

// SetCookies puts cookies into the browser.
func (b *Browser) SetCookies(target string, cookies []*http.Cookie) {
	u, err := url.Parse(target)
	if err != nil {
		b.t.Fatal(err)
	}
	b.jar.SetCookies(u, cookies)
}

// Get navigates to an address.
func (b *Browser) Get(target string) {
	b.t.Helper()
	if err := b.Navigate(http.MethodGet, target, nil); err != nil {
		b.t.Fatal(err)
	}
}

// Navigate goes to an address and follows redirects until a page, or until an
// address at which nothing listens (an application's own redirect URI).
func (b *Browser) Navigate(method, target string, form url.Values) error {
	site := "none"
	if method == http.MethodPost {
		site = "same-origin"
	}
	b.Hops = nil
	for range 20 {
		u, err := url.Parse(target)
		if err != nil {
			return err
		}
		b.URL = u
		b.Hops = append(b.Hops, target)
		r, err := http.NewRequest(method, target, strings.NewReader(form.Encode()))
		if err != nil {
			return err
		}
		r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
		r.Header.Set("Sec-Fetch-Mode", "navigate")
		r.Header.Set("Sec-Fetch-Dest", "document")
		r.Header.Set("Sec-Fetch-User", "?1")
		r.Header.Set("Sec-Fetch-Site", site)
		r.Header.Set("Upgrade-Insecure-Requests", "1")
		if method == http.MethodPost {
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.Header.Set("Origin", u.Scheme+"://"+u.Host)
		}
		for _, c := range b.jar.Cookies(u) {
			r.AddCookie(c)
		}
		res, err := b.client.Do(r)
		if err != nil {
			return err
		}
		body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
		_ = res.Body.Close()
		if err != nil {
			return err
		}
		b.jar.SetCookies(u, res.Cookies())
		b.Status, b.Header, b.Body = res.StatusCode, res.Header, string(body)
		location := res.Header.Get("Location")
		if location == "" {
			return nil
		}
		next, err := u.Parse(location)
		if err != nil {
			return err
		}
		if next.Host != u.Host && site != "none" {
			site = "same-site"
		}
		if next.Port() == "1" { // the tests' applications: nobody listens there
			b.URL = next
			b.Hops = append(b.Hops, next.String())
			return nil
		}
		method, target, form = http.MethodGet, next.String(), nil
	}
	return fmt.Errorf("a redirect loop: %s", strings.Join(b.Hops, "\n"))
}

// Form reads the page's form: where it goes, and its values as they stand.
func (b *Browser) Form() (action string, values url.Values, err error) {
	doc, err := html.Parse(strings.NewReader(b.Body))
	if err != nil {
		return "", nil, err
	}
	action, values = b.URL.String(), url.Values{}
	found := false
	for n := range doc.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch {
		case n.Data == "form":
			found = true
			if attr["action"] != "" {
				u, err := b.URL.Parse(attr["action"])
				if err != nil {
					return "", nil, err
				}
				action = u.String()
			}
		case n.Data == "input" && attr["name"] != "":
			values.Set(attr["name"], attr["value"])
		}
	}
	if !found {
		return "", nil, fmt.Errorf("no form at %s (%d):\n%s", b.URL, b.Status, b.Body)
	}
	return action, values, nil
}

// Submit fills in the page's form and sends it.
func (b *Browser) Submit(values map[string]string) {
	b.t.Helper()
	if err := b.TrySubmit(values); err != nil {
		b.t.Fatal(err)
	}
}

// TrySubmit is Submit for a server that may go away.
func (b *Browser) TrySubmit(values map[string]string) error {
	action, form, err := b.Form()
	if err != nil {
		return err
	}
	for name, value := range values {
		form.Set(name, value)
	}
	return b.Navigate(http.MethodPost, action, form)
}

// SignIn answers the sign-in page.
func (b *Browser) SignIn(identifier, password string) {
	b.t.Helper()
	b.Submit(map[string]string{"identifier": identifier, "password": password})
}

// MakeFirstUser follows the first-user link.
func (b *Browser) MakeFirstUser(link, identifier, password string) {
	b.t.Helper()
	b.Get(link)
	b.Submit(map[string]string{"identifier": identifier, "password": password})
	if b.Status >= 400 {
		b.t.Fatalf("first user: %d at %s\n%s", b.Status, b.URL, b.Body)
	}
}

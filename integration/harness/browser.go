package harness

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/publicsuffix"
)

// Browser behaves as Chromium does towards servers: cookies that know no ports,
// redirects as navigations, forms with Origin and Sec-Fetch-*, and *.localhost
// on the loopback. It holds every cookie to be SameSite=Lax: a form of another
// site carries none.
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
	jar, err := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List})
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{DialContext: dialLocalhost}
	t.Cleanup(transport.CloseIdleConnections)
	return &Browser{t: t, jar: jar, client: &http.Client{
		Transport: transport, Timeout: 30 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// dialLocalhost finds *.localhost on the loopback, whatever the resolver says.
func dialLocalhost(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err == nil && strings.HasSuffix(host, ".localhost") {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Trust makes the browser accept certificates of authorities. It comes before
// the first request.
func (b *Browser) Trust(roots *x509.CertPool) {
	b.client.Transport.(*http.Transport).TLSClientConfig = &tls.Config{RootCAs: roots}
}

// Refuse makes the browser take no cookie whose name fits; nil: it takes all.
func (b *Browser) Refuse(names *regexp.Regexp) {
	if p, ok := b.jar.(picky); ok {
		b.jar = p.CookieJar
	}
	if names != nil {
		b.jar = picky{b.jar, names}
	}
}

// picky is a jar that refuses cookies.
type picky struct {
	http.CookieJar
	names *regexp.Regexp
}

func (p picky) SetCookies(u *url.URL, cookies []*http.Cookie) {
	p.CookieJar.SetCookies(u, slices.DeleteFunc(slices.Clone(cookies), func(c *http.Cookie) bool { return p.names.MatchString(c.Name) }))
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
// address at port 1, where nothing listens: an application's own redirect URI.
// GET is as if typed into the address bar, POST is a form of the page shown.
func (b *Browser) Navigate(method, target string, form url.Values) error {
	from := b.URL
	switch {
	case method == http.MethodGet:
		from = nil
	case from == nil: // a form without a page: the target's own
		u, err := url.Parse(target)
		if err != nil {
			return err
		}
		from = u
	}
	site := "none"
	b.Hops = nil
	for range 20 {
		u, err := url.Parse(target)
		if err != nil {
			return err
		}
		b.URL, b.Hops = u, append(b.Hops, target)
		if u.Port() == "1" {
			return nil
		}
		if from != nil {
			site = farther(site, relation(from, u))
		}
		location, err := b.step(method, u, from, site, form)
		if err != nil || location == "" {
			return err
		}
		next, err := u.Parse(location)
		if err != nil {
			return err
		}
		method, target, form = http.MethodGet, next.String(), nil
	}
	return fmt.Errorf("a redirect loop: %s", strings.Join(b.Hops, "\n"))
}

// step sends one request of a navigation and returns where its answer leads.
func (b *Browser) step(method string, u, from *url.URL, site string, form url.Values) (location string, err error) {
	r, err := http.NewRequest(method, u.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	r.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	r.Header.Set("Sec-Fetch-Mode", "navigate")
	r.Header.Set("Sec-Fetch-Dest", "document")
	r.Header.Set("Sec-Fetch-User", "?1")
	r.Header.Set("Sec-Fetch-Site", site)
	r.Header.Set("Upgrade-Insecure-Requests", "1")
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", from.Scheme+"://"+from.Host)
	}
	if method == http.MethodGet || site != "cross-site" {
		for _, c := range b.jar.Cookies(u) {
			r.AddCookie(c)
		}
	}
	res, err := b.client.Do(r)
	if err != nil {
		return "", err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err := errors.Join(err, res.Body.Close()); err != nil {
		return "", err
	}
	b.jar.SetCookies(u, res.Cookies())
	b.Status, b.Header, b.Body = res.StatusCode, res.Header, string(body)
	if res.StatusCode/100 != 3 {
		return "", nil
	}
	return res.Header.Get("Location"), nil
}

// Fetch asks for an address as a script of the page shown does: with cookies,
// and no redirect followed. The page stays where it is.
func (b *Browser) Fetch(method, target string) (*http.Response, string, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, "", err
	}
	r, err := http.NewRequest(method, target, http.NoBody)
	if err != nil {
		return nil, "", err
	}
	site := relation(b.URL, u)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Sec-Fetch-Mode", "cors")
	r.Header.Set("Sec-Fetch-Dest", "empty")
	r.Header.Set("Sec-Fetch-Site", site)
	if site != "same-origin" || method != http.MethodGet {
		r.Header.Set("Origin", b.URL.Scheme+"://"+b.URL.Host)
	}
	if site != "cross-site" {
		for _, c := range b.jar.Cookies(u) {
			r.AddCookie(c)
		}
	}
	res, err := b.client.Do(r)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res, string(body), errors.Join(err, res.Body.Close())
}

// relation is what Chromium says in Sec-Fetch-Site of a request from one
// address to another: ports make an origin, but no site.
func relation(from, to *url.URL) string {
	if from.Scheme == to.Scheme && from.Host == to.Host {
		return "same-origin"
	}
	if from.Scheme == to.Scheme && siteOf(from) == siteOf(to) {
		return "same-site"
	}
	return "cross-site"
}

func siteOf(u *url.URL) string {
	site, err := publicsuffix.EffectiveTLDPlusOne(u.Hostname())
	if err != nil || net.ParseIP(u.Hostname()) != nil {
		return u.Hostname()
	}
	return site
}

// farther keeps the farthest relation on a chain of redirects.
func farther(a, b string) string {
	order := []string{"none", "same-origin", "same-site", "cross-site"}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
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

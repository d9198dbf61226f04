package signin

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// carried is the authorization request that led to a page. It is handed on as
// it came; the rest is what the page shows of it.
type carried struct {
	query      string
	waiting    bool          // an application waits for the sign-in
	binding    pool.ClientID // what the query says, known or not: the attempt is bound to it
	clientName string        // of a known client
	scheme     string        // of the redirect URI, for the content security policy
	fresh      int64         // Unix milliseconds; 0: any sign-in will do
	again      bool          // the application may want a sign-in to be fresh
	chooses    bool          // it may matter which account is used
	hint       string        // whom the application means, to be typed in for the person
	account    bool          // the account page waits for the sign-in
}

// paramNext, where no application waits, says what does: waitsAccount.
const (
	paramNext    = "next"
	waitsAccount = "account"
)

// maxClientID bounds what an attempt is bound to.
const maxClientID = 256

var errTooLong = fault.New(fault.InvalidRequest, "The request is too long.")

// carry reads the request's query.
func (s *pages) carry(r *http.Request) (carried, error) {
	if len(r.URL.RawQuery) > flow.MaxQuery {
		return carried{}, &pageError{cause: page.CauseBadRequest, next: s.path(loginPath), err: errTooLong}
	}
	c := carried{query: uriQuery(r.URL.RawQuery)}
	values, err := url.ParseQuery(c.query)
	if err != nil {
		return c, nil // the authorization endpoint will say so
	}
	id := mux.One(values, "client_id")
	c.waiting = values.Has("client_id")
	c.binding = pool.ClientID(id[:min(len(id), maxClientID)])
	c.account = !c.waiting && mux.One(values, paramNext) == waitsAccount
	c.again = values.Has("max_age") || slices.Contains(strings.Fields(mux.One(values, "prompt")), "login")
	c.chooses = values.Has("prompt") || values.Has(flow.ParamAccount)
	if hint := mux.One(values, "login_hint"); len(hint) <= pool.MaxIdentifier && utf8.ValidString(hint) {
		c.hint = hint
	}
	if fresh, err := strconv.ParseInt(mux.One(values, flow.ParamFresh), 10, 64); err == nil {
		c.fresh = fresh
	}
	client := s.site.Pool.Client(pool.ClientID(id))
	if client == nil || client.Disabled {
		return c, nil
	}
	mux.EventOf(r.Context()).Client = id
	c.clientName = client.Name
	c.scheme = redirectScheme(client, mux.One(values, "redirect_uri"))
	return c, nil
}

// suffix is the query as part of an address.
func (c carried) suffix() string { return suffix(c.query) }

func suffix(query string) string {
	if query == "" {
		return ""
	}
	return "?" + query
}

// with returns the query with a parameter of ours in the place of any that was
// there; without it if the value is empty. The rest stays as it came.
func (c carried) with(name, value string) string {
	var pairs []string
	for pair := range strings.SplitSeq(c.query, "&") {
		raw, _, _ := strings.Cut(pair, "=")
		if have, err := url.QueryUnescape(raw); pair != "" && (err != nil || have != name) {
			pairs = append(pairs, pair)
		}
	}
	if value != "" {
		pairs = append(pairs, name+"="+url.QueryEscape(value))
	}
	return strings.Join(pairs, "&")
}

// redirectScheme is the scheme of a registered redirect URI, or empty.
func redirectScheme(c *pool.Client, redirect string) string {
	if redirect == "" && len(c.RedirectURIs) == 1 {
		redirect = c.RedirectURIs[0]
	}
	u, err := url.Parse(redirect)
	if err != nil || !c.AllowsRedirect(redirect) {
		return ""
	}
	return u.Scheme
}

// uriQuery escapes what a browser or client sent raw although a query must not
// hold it (RFC 3986 3.4), and lone percent signs, so that the query can stand
// in any address. What is well-formed stays as it is.
func uriQuery(raw string) string {
	const hex = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(raw) {
		c := raw[i]
		if allowed(c) && (c != '%' || escape(raw[i:])) {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(hex[c>>4])
		b.WriteByte(hex[c&15])
	}
	return b.String()
}

func allowed(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~!$&'()*+,;=:@/?%", c) >= 0
}

// escape reports whether s begins with a percent-encoded byte.
func escape(s string) bool {
	if len(s) < 3 {
		return false
	}
	_, err := strconv.ParseUint(s[1:3], 16, 8)
	return err == nil
}

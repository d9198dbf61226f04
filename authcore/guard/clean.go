package guard

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// credentials is what a client presented, read before the request is cleaned.
type credentials struct {
	bearer string // token of a Bearer authorization
	bad    bool   // an Authorization header that cannot be judged
	cookie string // site session id

	cookies []string // the Cookie header as it came, for what is ours in it
}

// request is a request with the cookies as they came.
func (c credentials) request() *http.Request {
	return &http.Request{Header: http.Header{"Cookie": c.cookies}}
}

// readCredentials reads the Authorization header and the site's cookie. Two
// Authorization headers, or a Bearer that is not one token, are bad: there is
// no falling back to a cookie after a bad bearer.
func readCredentials(r *http.Request, s *site) credentials {
	c := credentials{cookie: s.cookies.Get(r, mux.CookieSite), cookies: r.Header["Cookie"]}
	auth := r.Header["Authorization"]
	if len(auth) == 0 {
		return c
	}
	if len(auth) > 1 {
		c.bad = true
		return c
	}
	scheme, rest := auth[0], ""
	if i := strings.IndexAny(scheme, " \t"); i >= 0 {
		scheme, rest = scheme[:i], scheme[i:]
	}
	if !strings.EqualFold(scheme, "Bearer") {
		return c
	}
	rest = strings.TrimLeft(rest, " ")
	// Byte by byte: ContainsAny takes a microsecond for a token of a kilobyte.
	if rest == "" || strings.IndexByte(rest, ' ') >= 0 || strings.IndexByte(rest, ',') >= 0 || strings.IndexByte(rest, '\t') >= 0 {
		c.bad = true
		return c
	}
	c.bearer = rest
	return c
}

// clean takes from a request all that only the gate may say: identity headers
// under every spelling, trailers, what the client named in Connection, an
// upgrade that would lead past the gate, and our own cookies.
func clean(r *http.Request) {
	stripIdentity(r.Header)
	r.Trailer = nil
	stripConnection(r.Header)
	stripUpgrade(r.Header)
	mux.StripCookies(r.Header)
}

// stripIdentity deletes the names of every preset under every spelling that
// folds to them: gateways and languages differ in how they read '_' and '.'.
func stripIdentity(h http.Header) {
	for name := range h {
		if isIdentity(name) {
			delete(h, name)
		}
	}
}

// isIdentity reports whether a header name folds to one of ours, without
// allocating for the many that do not.
func isIdentity(name string) bool {
	if len(name) > longestIdentity {
		return false
	}
	switch name[:min(1, len(name))] {
	case "X", "x", "R", "r":
	default:
		return false
	}
	var buf [longestIdentity]byte
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '_' || c == '.':
			c = '-'
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return identityName(string(buf[:len(name)]))
}

// longestIdentity is the length of the longest identity header name.
const longestIdentity = len("x-forwarded-preferred-username")

// identityName reports whether a folded name belongs to a preset. It is a
// switch, so that the compiler makes it a search without a table to guard.
func identityName(folded string) bool {
	switch folded {
	case "x-auth-user", "x-auth-name", "x-auth-email", "x-auth-groups", "x-auth-groups-truncated",
		"x-auth-scopes", "x-auth-client", "x-auth-assertion",
		"remote-user", "remote-name", "remote-email", "remote-groups",
		"x-forwarded-user", "x-forwarded-preferred-username", "x-forwarded-email", "x-forwarded-groups",
		"x-forwarded-access-token",
		"x-amzn-oidc-data", "x-amzn-oidc-identity", "x-amzn-oidc-accesstoken":
		return true
	}
	return false
}

// stripConnection deletes every header that the client named in Connection
// and leaves at most "Upgrade" there, so that a proxy behind us, which must
// drop what is named (RFC 9110 7.6.1), cannot be made to drop ours.
func stripConnection(h http.Header) {
	lines, ok := h["Connection"]
	if !ok {
		return
	}
	upgrade := false
	for _, line := range lines {
		for token := range strings.SplitSeq(line, ",") {
			token = strings.TrimSpace(token)
			if strings.EqualFold(token, "upgrade") {
				upgrade = true
				continue
			}
			h.Del(token)
		}
	}
	h.Del("Connection")
	if upgrade {
		h["Connection"] = []string{"Upgrade"}
	}
}

// stripUpgrade deletes a request to go on with HTTP in another version, or
// within TLS, on the same connection: what follows an upgrade passes unread,
// and requests must not. Websockets and the like are left.
func stripUpgrade(h http.Header) {
	delete(h, "Http2-Settings")
	for _, line := range h["Upgrade"] {
		for protocol := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(strings.ToLower(strings.TrimSpace(protocol)), "/")
			if name == "h2c" || name == "h2" || name == "http" || name == "tls" {
				delete(h, "Upgrade")
				delete(h, "Connection") // which says nothing else by now
				return
			}
		}
	}
}

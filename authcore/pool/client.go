package pool

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// SitePrefix begins the ids of the internal clients of gates.
const SitePrefix = "site:"

var clientForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._~-]{0,127}$`)

// NewClientSecret gives a secret its id: the first 48 bits of its hash, in hex.
func NewClientSecret(value secret.Hidden) ClientSecret {
	sum := sha256.Sum256([]byte("gatehouse client secret id\x00" + value.Reveal()))
	return ClientSecret{ID: hex.EncodeToString(sum[:6]), Value: value}
}

// Confidential reports whether the client has secrets.
func (c *Client) Confidential() bool { return len(c.Secrets) > 0 }

// HasGrant reports whether the client may use a grant type.
func (c *Client) HasGrant(grant string) bool { return slices.Contains(c.Grants, grant) }

// AcceptsAuth reports whether the client may authenticate by a method.
func (c *Client) AcceptsAuth(method string) bool { return slices.Contains(c.AuthMethods, method) }

// Authenticate compares a secret with all the client's live ones, always with
// each of them and in constant time, and returns the id of the one it is.
func (c *Client) Authenticate(value string) (secretID string, ok bool) {
	given := sha256.Sum256([]byte(value))
	for _, s := range c.Secrets {
		want := sha256.Sum256([]byte(s.Value.Reveal()))
		if secret.Equal(given[:], want[:]) && s.Value.Reveal() != "" {
			secretID, ok = s.ID, true
		}
	}
	return secretID, ok
}

// AllowsRedirect reports whether uri is one of the client's redirect URIs, by
// exact comparison (RFC 9700 2.1). For native clients alone the port of a
// loopback URI may differ (RFC 8252 7.3).
func (c *Client) AllowsRedirect(uri string) bool {
	if slices.Contains(c.RedirectURIs, uri) {
		return uri != ""
	}
	if !c.Native {
		return false
	}
	want, ok := withoutPort(uri)
	if !ok {
		return false
	}
	return slices.ContainsFunc(c.RedirectURIs, func(registered string) bool {
		have, ok := withoutPort(registered)
		return ok && have == want
	})
}

// withoutPort cuts the port out of a loopback URI; ok is false for any other
// URI. It works on the raw string: parsers that disagree about odd URIs have
// no say.
func withoutPort(uri string) (string, bool) {
	if len(uri) > maxURI || !visibleASCII(uri) || strings.Contains(uri, "#") {
		return "", false
	}
	for _, origin := range []string{"http://127.0.0.1", "http://[::1]", "http://localhost"} {
		rest, ok := strings.CutPrefix(uri, origin)
		if !ok {
			continue
		}
		if port, has := strings.CutPrefix(rest, ":"); has {
			end := strings.IndexAny(port, "/?")
			if end < 0 {
				end = len(port)
			}
			if !validPort(port[:end]) {
				return "", false
			}
			rest = port[end:]
		}
		if rest != "" && rest[0] != '/' && rest[0] != '?' {
			return "", false // another host that begins alike
		}
		return origin + rest, true
	}
	return "", false
}

func validPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0 && s[0] != '+'
}

// ValidateRedirectURI demands an absolute URI without fragment and user
// information: https, http on a loopback host, or for native clients a
// private-use scheme with a dot in it (RFC 8252 7.1). fault.Invalid.
func ValidateRedirectURI(uri string, native bool) error {
	bad := func(text string) error { return fault.New(fault.Invalid, "a redirect URI "+text) }
	if len(uri) > maxURI || !visibleASCII(uri) {
		return bad("is empty, too long or holds characters that must be escaped")
	}
	u, err := url.Parse(uri)
	switch {
	case err != nil || !u.IsAbs():
		return bad("must be absolute")
	case strings.Contains(uri, "#"):
		return bad("must not have a fragment")
	case u.User != nil:
		return bad("must not have user information")
	case strings.Contains(u.Host, "*"):
		return bad("must not have wildcards")
	}
	switch u.Scheme {
	case "https":
		if u.Hostname() == "" {
			return bad("needs a host")
		}
	case "http":
		if !Loopback(u.Hostname()) {
			return bad("must be https unless its host is the machine itself")
		}
	default:
		if !native || !strings.Contains(u.Scheme, ".") {
			return bad("must be https, or for native clients a private-use scheme with a dot")
		}
	}
	return nil
}

// Loopback reports whether a host without port is the machine itself:
// 127.0.0.1, ::1, localhost and the names below it (RFC 6761 6.3).
func Loopback(host string) bool {
	host = strings.ToLower(host)
	return host == "127.0.0.1" || host == "::1" || host == "localhost" || strings.HasSuffix(host, ".localhost")
}

// ValidClientID reports whether an operator may give a client this id: 1 to
// 128 characters of A-Z a-z 0-9 . _ ~ -, not the form of a UUID. Ids of gates
// ("site:…") and of metadata documents ("https://…") cannot be chosen.
func ValidClientID(id ClientID) bool {
	return clientForm.MatchString(string(id)) && !LooksLikeUUID(string(id))
}

// AllowsLogout reports whether people may be sent to uri after signing out, by
// exact comparison (OIDC RP-Initiated Logout 1.0, 3).
func (c *Client) AllowsLogout(uri string) bool {
	return uri != "" && slices.Contains(c.LogoutURIs, uri)
}

// Client returns a client of the pool, or nil. The gate of a site that a
// wildcard covers is one too: it exists when it is asked for.
func (p *Pool) Client(id ClientID) *Client {
	if c := p.Clients[id]; c != nil {
		return c
	}
	origin, site := strings.CutPrefix(string(id), SitePrefix)
	if !site || !slices.ContainsFunc(p.SitePatterns, func(pattern string) bool { return CoversOrigin(pattern, origin) }) {
		return nil
	}
	return SiteClient(origin)
}

// SiteClient is the internal client of the gate of an origin.
func SiteClient(origin string) *Client {
	return &Client{
		ID: ClientID(SitePrefix + origin), Name: origin, AuthMethods: []string{AuthNone}, Grants: []string{GrantCode},
		RedirectURIs: []string{origin + SiteCallback}, Scopes: []string{ScopeOpenID}, Site: true,
	}
}

// SiteCallback, on a site's origin, is the redirect URI of its gate.
const SiteCallback = "/_auth/callback"

// CoversOrigin reports whether a pattern such as https://*.example.com covers
// an origin: the wildcard stands for exactly one label, of letters, digits and
// hyphens.
func CoversOrigin(pattern, origin string) bool {
	before, after, wild := strings.Cut(pattern, "*")
	label, ok := strings.CutPrefix(origin, before)
	if !wild || !ok {
		return false
	}
	label, ok = strings.CutSuffix(label, after)
	return ok && label != "" && len(label) <= 63 && strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// ValidateOrigin demands an origin as browsers send it (RFC 6454 6.2), exact
// and in lower case: https, or http on the machine itself. fault.Invalid.
func ValidateOrigin(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || strings.ContainsAny(origin, "*{}"):
		return fault.New(fault.Invalid, fmt.Sprintf("%q is no origin: write scheme, host and port alone, such as https://app.example.com", origin))
	case u.Scheme == "http" && !Loopback(u.Hostname()):
		return fault.New(fault.Invalid, fmt.Sprintf("%q must be https unless its host is the machine itself", origin))
	}
	exact := &url.URL{Scheme: u.Scheme, Host: strings.ToLower(u.Host)}
	if port := u.Port(); port == "" || u.Scheme == "https" && port == "443" || u.Scheme == "http" && port == "80" {
		exact.Host = strings.TrimSuffix(exact.Host, ":"+port)
	}
	if exact.String() != origin {
		return fault.New(fault.Invalid, fmt.Sprintf("%q is not what browsers send: did you mean %s?", origin, exact))
	}
	return nil
}

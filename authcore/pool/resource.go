package pool

import (
	"net/url"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// maxURI is the longest URI that is looked at, in bytes.
const maxURI = 2048

// Has reports whether the resource declares a scope.
func (r *Resource) Has(scope string) bool { return slices.Contains(r.Scopes, scope) }

// ScopeOwner returns the resource that declares a scope, or nil. OIDC scopes
// have none.
func (p *Pool) ScopeOwner(scope string) *Resource {
	for _, r := range p.Resources {
		if r.Has(scope) {
			return r
		}
	}
	return nil
}

// FindResource returns the resource that uri names, or nil: scheme and host in any case,
// the default port and one slash at the end there or not.
func (p *Pool) FindResource(uri string) *Resource {
	if r := p.Resources[uri]; r != nil {
		return r
	}
	want, err := canonicalURI(uri)
	if err != nil {
		return nil
	}
	for _, r := range p.Resources {
		if have, err := canonicalURI(r.ID); err == nil && have == want {
			return r
		}
	}
	return nil
}

// ValidateResourceID demands an absolute URI without fragment (RFC 8707 2).
// fault.Invalid.
func ValidateResourceID(uri string) error {
	_, err := canonicalURI(uri)
	return err
}

// canonicalURI is what two spellings of one identifier share. It is for
// comparison only: identifiers are issued as they were declared.
func canonicalURI(uri string) (string, error) {
	bad := fault.New(fault.Invalid, "a resource is named by an absolute URI without a fragment")
	if len(uri) > maxURI || !visibleASCII(uri) || strings.Contains(uri, "#") {
		return "", bad
	}
	u, err := url.Parse(uri)
	if err != nil || u.Scheme == "" || u.User != nil {
		return "", bad
	}
	if u.Opaque != "" {
		return strings.ToLower(u.Scheme) + ":" + u.Opaque, nil
	}
	if u.Host == "" || u.Hostname() == "" {
		return "", bad
	}
	rest := strings.TrimSuffix(u.EscapedPath(), "/")
	if u.ForceQuery || u.RawQuery != "" {
		rest += "?" + u.RawQuery
	}
	return strings.ToLower(u.Scheme) + "://" + canonicalHost(u) + rest, nil
}

func canonicalHost(u *url.URL) string {
	host := strings.ToLower(u.Host)
	switch strings.ToLower(u.Scheme) {
	case "https":
		host = strings.TrimSuffix(host, ":443")
	case "http":
		host = strings.TrimSuffix(host, ":80")
	}
	return strings.TrimSuffix(host, ":")
}

// visibleASCII refuses what browsers and parsers disagree about: blanks,
// controls, backslashes, raw non-ASCII.
func visibleASCII(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '\\' {
			return false
		}
	}
	return s != ""
}

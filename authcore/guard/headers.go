package guard

import (
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// maxFamily is the most that the identity headers together take, in bytes:
// names, values and what separates them. Servers behind us refuse much more.
const maxFamily = 8 << 10

// fact is one thing that a header can say about a principal.
type fact int

const (
	factUser fact = iota
	factName
	factEmail
	factGroups
	factScopes
	factClient
	factAssertion
)

// named is a header that says a fact.
type named struct {
	name string
	fact fact
}

// presets lists the header presets by name, "" being the default.
func presets() map[string][]named {
	return map[string][]named{
		"": {
			{"X-Auth-User", factUser}, {"X-Auth-Name", factName}, {"X-Auth-Email", factEmail},
			{"X-Auth-Scopes", factScopes}, {"X-Auth-Client", factClient}, {"X-Auth-Assertion", factAssertion},
			{"X-Auth-Groups", factGroups}, // last: it is cut to what is left
		},
		"remote": {
			{"Remote-User", factUser}, {"Remote-Name", factName}, {"Remote-Email", factEmail}, {"Remote-Groups", factGroups},
		},
		"x-forwarded": {
			{"X-Forwarded-User", factUser}, {"X-Forwarded-Preferred-Username", factName},
			{"X-Forwarded-Email", factEmail}, {"X-Forwarded-Groups", factGroups},
		},
		"alb":  {{"X-Amzn-Oidc-Identity", factUser}, {"X-Amzn-Oidc-Data", factAssertion}},
		"none": nil,
	}
}

// truncatedHeader says that groups were cut.
const truncatedHeader = "X-Auth-Groups-Truncated"

// prepared is a header with its value, ready to be set.
type prepared struct{ name, value string }

// prepareHeaders renders a preset for a principal. Facts that a principal does not have are
// absent; a machine never has a user header.
func prepareHeaders(preset string, p *pool.Principal, assertion string) []prepared {
	if p.Kind == pool.Anonymous {
		return nil
	}
	var out []prepared
	left := maxFamily
	add := func(name, value string) {
		if value != "" {
			out = append(out, prepared{name, value})
			left -= len(name) + len(value) + 4
		}
	}
	for _, n := range presets()[preset] {
		switch n.fact {
		case factUser:
			add(n.name, encode(string(p.Sub)))
		case factName:
			add(n.name, encode(p.Name))
		case factEmail:
			add(n.name, encode(p.Email))
		case factScopes:
			add(n.name, join(p.Scopes))
		case factClient:
			add(n.name, encode(string(p.Client)))
		case factAssertion:
			add(n.name, assertion)
		case factGroups:
			value, cut := joinWithin(p.Groups, left-len(n.name)-len(truncatedHeader)-9)
			add(n.name, value)
			if cut {
				add(truncatedHeader, "1")
			}
		}
	}
	return out
}

// setHeaders sets prepared headers; each gets a slice of its own, since others may change it in place.
func setHeaders(h http.Header, hs []prepared) {
	values := make([]string, len(hs))
	for i, p := range hs {
		values[i] = p.value
		h[p.name] = values[i : i+1 : i+1]
	}
}

// join renders a list: comma-separated, each item encoded.
func join(items []string) string {
	s, _ := joinWithin(items, maxFamily)
	return s
}

// joinWithin renders as many items as fit into room bytes.
func joinWithin(items []string, room int) (value string, cut bool) {
	var b strings.Builder
	for _, item := range items {
		e := encode(item)
		if b.Len()+len(e)+1 > room {
			return b.String(), true
		}
		if b.Len() > 0 {
			b.WriteByte(',')
		}
		b.WriteString(e)
	}
	return b.String(), false
}

// encode percent-encodes what is outside visible ASCII, the separators, and
// the percent sign itself, so that every value can be read back.
func encode(s string) string {
	const hex = "0123456789ABCDEF"
	clean := true
	for i := range len(s) {
		if mustEncode(s[i]) {
			clean = false
			break
		}
	}
	if clean {
		return s
	}
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; mustEncode(c) {
			b.WriteByte('%')
			b.WriteByte(hex[c>>4])
			b.WriteByte(hex[c&15])
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// mustEncode reports whether a byte may not stand in a header value of ours.
func mustEncode(c byte) bool {
	return c < 0x21 || c > 0x7e || c == ',' || c == ';' || c == '%'
}

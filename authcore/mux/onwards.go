package mux

import (
	"net/url"
	"slices"
	"strings"
)

// WithQuery appends name-value pairs to the query of an address; what is there
// stays as it is, byte for byte.
func WithQuery(address string, pairs ...string) string {
	var b strings.Builder
	b.WriteString(address)
	separator := "?"
	if strings.Contains(address, "?") {
		separator = "&"
		if strings.HasSuffix(address, "?") || strings.HasSuffix(address, "&") {
			separator = ""
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(separator + url.QueryEscape(pairs[i]) + "=" + url.QueryEscape(pairs[i+1]))
		separator = "&"
	}
	return b.String()
}

// FormTargets are the sources (CSP 3, 2.3.1) of a page whose form leads to
// addresses in the end; each may be its scheme alone, or empty. Browsers apply
// form-action to every redirect that follows a form, and where an application
// sends people after they came back is its own business: a list of origins
// would strand them on our page. So it is schemes: https and those named.
func FormTargets(addresses ...string) []string {
	targets := []string{"https:"}
	for _, address := range addresses {
		scheme, _, _ := strings.Cut(address, ":")
		if scheme != "" && !slices.Contains(targets, scheme+":") {
			targets = append(targets, scheme+":")
		}
	}
	return targets
}

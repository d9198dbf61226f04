package mux

import (
	"cmp"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxLocales bounds how many languages of a request are looked at.
const maxLocales = 10

// Locales returns the languages that a page should be in, as BCP 47 tags in
// order of preference: those of the parameter ui_locales (OIDC Core 3.1.2.1),
// then those of Accept-Language (RFC 9110 12.5.4). Malformed ones are left out.
func Locales(r *http.Request) []string {
	var tags []string
	if values, err := url.ParseQuery(r.URL.RawQuery); err == nil {
		tags = strings.Fields(One(values, "ui_locales"))
	}
	tags = append(tags, acceptedLanguages(strings.Join(r.Header["Accept-Language"], ","))...)
	tags = slices.DeleteFunc(tags, func(t string) bool { return !isTag(t) })
	return tags[:min(len(tags), maxLocales)]
}

// acceptedLanguages sorts the tags of an Accept-Language header by weight;
// those of weight 0 and the wildcard are left out.
func acceptedLanguages(header string) []string {
	type weighted struct {
		tag    string
		weight float64
	}
	var list []weighted
	for part := range strings.SplitSeq(header[:min(len(header), 1<<10)], ",") {
		tag, parameter, has := strings.Cut(part, ";")
		weight := 1.0
		if has {
			q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(parameter)), "q=")
			value, err := strconv.ParseFloat(q, 64)
			if !ok || err != nil || !(value > 0 && value <= 1) {
				continue
			}
			weight = value
		}
		list = append(list, weighted{strings.TrimSpace(tag), weight})
	}
	slices.SortStableFunc(list, func(a, b weighted) int { return cmp.Compare(b.weight, a.weight) })
	tags := make([]string, len(list))
	for i, w := range list {
		tags[i] = w.tag
	}
	return tags
}

// isTag accepts the characters and lengths of a language tag (RFC 5646 2.1).
func isTag(s string) bool {
	if s == "" || len(s) > 35 {
		return false
	}
	for subtag := range strings.SplitSeq(s, "-") {
		if subtag == "" || len(subtag) > 8 {
			return false
		}
		for i := range len(subtag) {
			c := subtag[i] | 0x20
			if !(c >= 'a' && c <= 'z' || subtag[i] >= '0' && subtag[i] <= '9') {
				return false
			}
		}
	}
	return true
}

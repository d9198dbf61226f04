package loginui

import (
	"cmp"
	"net/url"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// uriChars are the characters of a URI (RFC 3986 section 2).
var uriChars = regexp.MustCompile(`^[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+$`)

// safeURL reports whether s may stand in a link or a form target: a path, a
// query or an http(s) address in the characters of RFC 3986.
func safeURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Opaque != "" || !uriChars.MatchString(s) {
		return false
	}
	if u.Scheme == "" {
		return u.Host == "" && !strings.HasPrefix(s, "//")
	}
	return (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// absoluteURL reports whether s is a safe address of an http(s) host.
func absoluteURL(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme != "" && safeURL(s)
}

// labelOr is a foreign text that fits a line, or other where nothing is left of it.
func labelOr(s, other string) string {
	return cmp.Or(tidy(s, maxName), other)
}

// Persian, Indic scripts and emoji need the joiners to be spelt right.
const (
	zwnj = '\u200c'
	zwj  = '\u200d'
)

// tidy makes a foreign text fit to stand in a sentence of ours: one line, at
// most limit characters, without the invisible characters that reorder or hide
// text around them.
func tidy(s string, limit int) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.IsControl(r), unicode.Is(unicode.Cf, r) && r != zwnj && r != zwj:
			return -1
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if runes := []rune(s); len(runes) > limit {
		return strings.TrimSpace(string(runes[:limit-1])) + "…"
	}
	return s
}

// upperFirst capitalises the first character.
func upperFirst(s string) string {
	first, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[size:]
}

package caddymodule

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// maxDecodings bounds how often a path is percent-decoded.
const maxDecodings = 4

// plain reports whether everybody reads an escaped path in the same way.
func plain(p string) bool {
	return !strings.ContainsAny(p, `%\;#?`) && !strings.Contains(p, "//") && !strings.Contains(p, "/.")
}

// readings returns the forms under which somebody behind the gate might read
// an escaped path: as it is, decoded once and more, each also cleaned, with
// backslashes as slashes, without path parameters, and without what a fragment
// or a query would be once decoded. all is false if it could be decoded for
// ever.
func readings(raw string) (forms []string, all bool) {
	add := func(p string) {
		p = strings.ReplaceAll(p, `\`, "/")
		clean := path.Clean("/" + p)
		if strings.HasSuffix(p, "/") && clean != "/" {
			clean += "/"
		}
		for _, f := range []string{p, clean} {
			if !slices.Contains(forms, f) {
				forms = append(forms, f)
			}
		}
	}
	for range maxDecodings + 1 {
		add(raw)
		add(withoutParameters(raw))
		if i := strings.IndexAny(raw, "#?"); i >= 0 {
			add(raw[:i])
			add(withoutParameters(raw[:i]))
		}
		decoded, err := url.PathUnescape(raw)
		if err != nil || decoded == raw {
			return forms, true
		}
		raw = decoded
	}
	return forms, false
}

// withoutParameters drops what follows a semicolon in each segment.
func withoutParameters(p string) string {
	if !strings.Contains(p, ";") {
		return p
	}
	segments := strings.Split(p, "/")
	for i, s := range segments {
		segments[i], _, _ = strings.Cut(s, ";")
	}
	return strings.Join(segments, "/")
}

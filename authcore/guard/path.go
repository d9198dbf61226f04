package guard

import (
	"net/url"
	"path"
	"slices"
	"strings"
)

// maxDecodings bounds how often a path is percent-decoded.
const maxDecodings = 4

// pathForms returns the forms under which somebody behind the gate might read
// a raw (escaped) path: as it is, decoded once and more, each also cleaned and
// with backslashes as slashes. nil means that it cannot be judged, as when it
// has what some cut off as parameters, query or fragment: such a path is never
// public.
func pathForms(raw string) []string {
	var forms []string
	for range maxDecodings + 1 {
		if !strings.HasPrefix(raw, "/") || !visibleASCII(raw) || strings.ContainsAny(raw, ";?#") {
			return nil
		}
		clean := path.Clean(strings.ReplaceAll(raw, `\`, "/"))
		if strings.HasSuffix(raw, "/") && clean != "/" {
			clean += "/"
		}
		for _, f := range []string{raw, clean} {
			if !slices.Contains(forms, f) {
				forms = append(forms, f)
			}
		}
		decoded, err := url.PathUnescape(raw)
		if err != nil {
			return nil
		}
		if decoded == raw {
			return forms
		}
		raw = decoded
	}
	return nil
}

// visibleASCII reports whether s has only bytes 0x21..0x7e.
func visibleASCII(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

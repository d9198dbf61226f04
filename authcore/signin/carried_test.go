package signin

import (
	"net/url"
	"regexp"
	"testing"
)

// FuzzURIQuery: a query stays what it was if it is well-formed, and always
// becomes one that can stand in any address.
func FuzzURIQuery(f *testing.F) {
	for _, s := range []string{"", "a=b", "a=%20&b=+", "%", "%zz", "%4", "é|\"<>#", "a=b?c/d", "%e9%"} {
		f.Add(s)
	}
	whole := regexp.MustCompile(`^(?:[A-Za-z0-9\-._~!$&'()*+,;=:@/?]|%[0-9A-Fa-f]{2})*$`)
	f.Fuzz(func(t *testing.T, raw string) {
		got := uriQuery(raw)
		if !whole.MatchString(got) {
			t.Fatalf("%q became %q", raw, got)
		}
		if whole.MatchString(raw) && got != raw {
			t.Fatalf("%q was changed to %q", raw, got)
		}
		if uriQuery(got) != got {
			t.Fatalf("%q changes twice", raw)
		}
		want, err := url.ParseQuery(raw)
		if err != nil {
			return
		}
		if have, err := url.ParseQuery(got); err != nil || have.Encode() != want.Encode() {
			t.Fatalf("%q means something else than %q: %v", got, raw, err)
		}
	})
}

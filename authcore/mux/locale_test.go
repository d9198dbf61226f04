package mux_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

func TestLocales(t *testing.T) {
	many := strings.Repeat("en-GB ", 20)
	for _, c := range []struct {
		name      string
		uiLocales string
		accept    []string
		want      string
	}{
		{"nothing", "", nil, ""},
		{"header", "", []string{"de"}, "de"},
		{"by weight", "", []string{"en;q=0.3, de, fr;q=0.8"}, "de fr en"},
		{"equal weights keep their order", "", []string{"en;q=0.5,de;q=0.5"}, "en de"},
		{"blanks", "", []string{" de-AT , en ; q=0.5"}, "de-AT en"},
		{"several headers", "", []string{"en;q=0.1", "de"}, "de en"},
		{"upper-case weight", "", []string{"en;Q=0.4,de;q=0.5"}, "de en"},
		{"parameter first", "fr it", []string{"de"}, "fr it de"},
		{"refused and wild", "", []string{"en;q=0, *, *;q=0.5, de"}, "de"},
		{"odd weights", "", []string{"en;q=2, de;q=-1, fr;q=NaN, it;q=, es;x=1, nl;q=1.0"}, "nl"},
		{"malformed tags", "d_e <b> fr-toolongsubtag -en en- a--b é", []string{"zh-Hant-TW"}, "zh-Hant-TW"},
		{"too long", strings.Repeat("a-", 17) + "aa", nil, ""},
		{"as long as may be", strings.Repeat("a-", 17) + "a", nil, strings.Repeat("a-", 17) + "a"},
		{"ten are looked at", many, []string{"de"}, strings.TrimSpace(many[:60])},
	} {
		r := request("GET", "/login?"+url.Values{"ui_locales": {c.uiLocales}}.Encode(), "")
		r.Header["Accept-Language"] = c.accept
		if got := strings.Join(mux.Locales(r), " "); got != c.want {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

// What cannot be read is as good as absent: a page is shown in any case.
func TestLocalesOfDamagedQueries(t *testing.T) {
	for _, query := range []string{"ui_locales=%zz", "ui_locales=de&ui_locales=fr", "a;b&ui_locales=de"} {
		r := request("GET", "/login", "", "Accept-Language", "en")
		r.URL.RawQuery = query
		if got := mux.Locales(r); !slices.Equal(got, []string{"en"}) {
			t.Errorf("%s: %q", query, got)
		}
	}
}

func FuzzLocales(f *testing.F) {
	f.Add("de fr", "en;q=0.3, de")
	f.Add("", "*;q=0.5,,;;q=,en;q=1e-9")
	f.Add("zh-Hant-TW <script>", strings.Repeat("a,", 2000))
	f.Add("\x00é", "en;q=+Inf")
	f.Fuzz(func(t *testing.T, parameter, header string) {
		r := request("GET", "/login", "")
		r.URL.RawQuery = url.Values{"ui_locales": {parameter}}.Encode()
		r.Header.Set("Accept-Language", header)
		tags := mux.Locales(r)
		if len(tags) > 10 {
			t.Fatalf("%d tags", len(tags))
		}
		for _, tag := range tags {
			if tag == "" || len(tag) > 35 || strings.Trim(tag, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-") != "" {
				t.Fatalf("%q is let through", tag)
			}
		}
		if !slices.Equal(mux.Locales(r), tags) {
			t.Fatal("not the same twice")
		}
	})
}

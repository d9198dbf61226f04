package mux_test

import (
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

func TestWithQuery(t *testing.T) {
	for address, want := range map[string]string{
		"https://shop.example.com/cb":        "https://shop.example.com/cb?state=a%26b&iss=c",
		"https://shop.example.com/cb?":       "https://shop.example.com/cb?state=a%26b&iss=c",
		"https://shop.example.com/cb?x=%20y": "https://shop.example.com/cb?x=%20y&state=a%26b&iss=c",
		"https://shop.example.com/cb?x=y&":   "https://shop.example.com/cb?x=y&state=a%26b&iss=c",
		"https://shop.example.com/a&":        "https://shop.example.com/a&?state=a%26b&iss=c",
		"com.example.app:/cb":                "com.example.app:/cb?state=a%26b&iss=c",
	} {
		if got := mux.WithQuery(address, "state", "a&b", "iss", "c"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestFormTargetsAreSchemes(t *testing.T) {
	for _, c := range []struct{ addresses, want []string }{
		{nil, []string{"https:"}},
		{[]string{"https://login.example.com", ""}, []string{"https:"}},
		{[]string{"https://login.example.com", "com.example.app:/cb"}, []string{"https:", "com.example.app:"}},
		{[]string{"http://127.0.0.1:8080", "http"}, []string{"https:", "http:"}},
	} {
		if got := mux.FormTargets(c.addresses...); !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.addresses, got, c.want)
		}
	}
}

package pool

import (
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

func userWith(claims map[string]string) *User {
	const sub = "01234567-89ab-4def-8123-456789abcdef"
	return &User{Sub: sub, Username: sub, Status: Confirmed, Claims: claims}
}

func TestProfileClaims(t *testing.T) {
	for name, values := range map[string][]string{
		"given_name": {"Ann", "Zoë", strings.Repeat("a", MaxClaim)},
		"profile":    {"https://example.com/ann"},
		"picture":    {"http://example.com/a.png?x=1#y"},
		"website":    {"https://example.com"},
		"birthdate":  {"1980-02-29", "1980", "0000-12-31"},
		"zoneinfo":   {"UTC", "Europe/Berlin", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "America/Port-au-Prince"},
		"locale":     {"de", "de-AT", "zh-Hant-TW", "sr-Latn", "de-CH-1996"},
		"address":    {"1 High Street\nOxford", strings.Repeat("a", MaxAddress)},
		"gender":     {"female"},
	} {
		for _, value := range values {
			if err := userWith(map[string]string{name: value}).Validate(); err != nil {
				t.Errorf("%s %q: %v", name, value, err)
			}
		}
	}
}

func TestProfileClaimsRefused(t *testing.T) {
	for name, values := range map[string][]string{
		"given_name":     {"", "a\nb", "a\x00b", "a\xffb", strings.Repeat("a", MaxClaim+1)},
		"profile":        {"javascript:alert(1)", "//example.com", "example.com", "https://", "ftp://example.com", "https://user@example.com"},
		"picture":        {"data:image/png;base64,AA==", "https://example.com/a b"},
		"website":        {"http:///x", "https://exa mple.com"},
		"birthdate":      {"1981-02-29", "80", "1980-2-1", "29.02.1980", "1980-02", "198O"},
		"zoneinfo":       {"../../etc/passwd", "/UTC", "Europe//Berlin", "Europe/Berlin ", strings.Repeat("a", 65)},
		"locale":         {"d", "de_DE", "de-", "-de", "deutschland", "de-123456789"},
		"address":        {"a\tb", "a\r\nb", "a\xff", strings.Repeat("a", MaxAddress+1)},
		"email":          {"eve@example.com"},
		"groups":         {"operators"},
		"sub":            {"x"},
		"Given_name":     {"Ann"},
		"email_verified": {"true"},
	} {
		for _, value := range values {
			err := userWith(map[string]string{name: value}).Validate()
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("%s %q: %v", name, value, err)
			}
			if len(value) > 3 && err != nil && strings.Contains(err.Error(), value) {
				t.Errorf("the error repeats what was entered: %v", err)
			}
		}
	}
	all := map[string]string{}
	for _, name := range []string{"given_name", "family_name", "middle_name", "nickname", "gender"} {
		all[name] = strings.Repeat("a", MaxClaim)
	}
	if err := userWith(all).Validate(); err != nil {
		t.Error(err)
	}
	all["address"] = strings.Repeat("a", MaxAddress)
	all["profile"] = "https://example.com/ann"
	all["picture"] = "https://example.com/" + strings.Repeat("b", 200)
	all["website"] = "https://example.com/" + strings.Repeat("a", MaxClaim-100)
	if err := userWith(all).Validate(); !errors.Is(err, fault.Invalid) {
		t.Errorf("a profile of more than 8 KiB: %v", err)
	}
}

func TestCleanClaims(t *testing.T) {
	got := CleanClaims(map[string]string{"given_name": " Ann ", "nickname": " ", "gender": "", "address": "a\r\nb\rc\n"})
	if want := map[string]string{"given_name": "Ann", "address": "a\nb\nc"}; !maps.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, none := range []map[string]string{nil, {}, {"nickname": ""}} {
		if got := CleanClaims(none); got != nil {
			t.Errorf("%v", got)
		}
	}
}

func TestStanding(t *testing.T) {
	for _, c := range []struct {
		status         Status
		disabled       bool
		stands, mayTry bool
	}{
		{Confirmed, false, true, true},
		{Confirmed, true, false, false},
		{MustChangePassword, false, false, true},
		{MustChangePassword, true, false, false},
		{MustSetPassword, false, false, false},
	} {
		u := User{Status: c.status, Disabled: c.disabled, Epoch: 2}
		if u.Stands(2) != c.stands || u.MayTry() != c.mayTry || u.Stands(1) {
			t.Errorf("%+v: stands %v, may try %v", c, u.Stands(2), u.MayTry())
		}
	}
}

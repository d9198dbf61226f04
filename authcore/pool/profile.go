package pool

import (
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// Bounds of the profile, in bytes.
const (
	MaxClaim   = 1 << 10 // one claim's value
	MaxAddress = 2 << 10 // the address, which may have several lines
	maxClaims  = 8 << 10 // all names and values
)

var (
	birthForm  = regexp.MustCompile(`^[0-9]{4}(-[0-9]{2}-[0-9]{2})?$`)
	localeForm = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,8}$`) // RFC 5646 2.1, its outline
	zoneForm   = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,3}$`)
)

// ProfileClaims are the names of the standard claims (OIDC Core 5.1) that
// User.Claims may hold, in the order in which people are asked for them.
// address is kept as one text, its formatted form.
func ProfileClaims() []string {
	return []string{
		"given_name", "family_name", "middle_name", "nickname", "profile", "picture", "website",
		"gender", "birthdate", "zoneinfo", "locale", "address",
	}
}

// CleanClaims returns claims as they are stored: without spaces around, with
// the line ends of a Unix text, and without those that are empty. It returns nil if nothing is left.
func CleanClaims(claims map[string]string) map[string]string {
	out := maps.Clone(claims)
	for name, value := range out {
		out[name] = strings.TrimSpace(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(value))
	}
	maps.DeleteFunc(out, func(_, value string) bool { return value == "" })
	if len(out) == 0 {
		return nil
	}
	return out
}

// validateClaims checks what User.Claims holds; the text names the claim, never its value.
func validateClaims(claims map[string]string) error {
	size := 0
	for _, name := range slices.Sorted(maps.Keys(claims)) {
		value := claims[name]
		if !slices.Contains(ProfileClaims(), name) {
			return fault.New(fault.Invalid, "the profile has a claim that is not known")
		}
		if !validClaim(name, value) {
			return fault.New(fault.Invalid, "the profile's "+name+" is not allowed")
		}
		size += len(name) + len(value)
	}
	if size > maxClaims {
		return fault.New(fault.Invalid, "the profile is too large")
	}
	return nil
}

func validClaim(name, value string) bool {
	if value == "" {
		return false // absent is the one way to be empty
	}
	if name == "address" {
		return validLines(value)
	}
	if !validText(value, MaxClaim) {
		return false
	}
	switch name {
	case "profile", "picture", "website":
		return webAddress(value)
	case "birthdate":
		return validBirthdate(value)
	case "locale":
		return localeForm.MatchString(value)
	case "zoneinfo":
		return len(value) <= 64 && zoneForm.MatchString(value)
	}
	return true
}

// validLines accepts text of several lines.
func validLines(s string) bool {
	return len(s) <= MaxAddress && utf8.ValidString(s) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsControl(r) && r != '\n'
	}) < 0
}

// webAddress accepts what may become a link in somebody's page: an absolute
// http or https URL with a host and without user information.
func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "https" || u.Scheme == "http") && u.Hostname() != "" && u.User == nil &&
		strings.IndexFunc(s, unicode.IsSpace) < 0
}

// validBirthdate accepts YYYY-MM-DD and YYYY, and 0000 for a year that is not
// told (OIDC Core 5.1).
func validBirthdate(s string) bool {
	if !birthForm.MatchString(s) {
		return false
	}
	if len(s) == 4 {
		return true
	}
	_, err := time.Parse(time.DateOnly, s)
	return err == nil
}

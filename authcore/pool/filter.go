package pool

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/secure/precis"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// maxFilter is the longest filter, in bytes.
const maxFilter = 1 << 10

// Filter chooses users by one attribute, in the syntax of Cognito's ListUsers:
//
//	attribute = "value"     the value is exactly that
//	attribute ^= "value"    the value begins with that; with "", there is one
//
// In the value, \" stands for a quotation mark and \\ for a backslash. User
// names, e-mail addresses and phone numbers compare as they do at sign-in, and
// so without regard to case; sub, status and cognito:user_status without
// regard to case; all else letter by letter.
type Filter struct {
	Attribute string
	Prefix    bool
	value     string // normalised as the attribute is
	nobody    bool   // no attribute can ever be so
}

// FilterAttributes are the attributes that a filter may name.
func FilterAttributes() []string {
	return []string{
		"username", "email", "phone_number", "name", "given_name", "family_name",
		"preferred_username", "cognito:user_status", "status", "sub",
	}
}

// ParseFilter reads a filter; fault.Invalid says what is wrong with it.
func ParseFilter(s string) (*Filter, error) {
	if len(s) > maxFilter || !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return nil, fault.New(fault.Invalid, "the filter is too long or holds control characters")
	}
	s = strings.TrimSpace(s)
	end := strings.IndexFunc(s, func(r rune) bool { return r == '=' || r == '^' || r == '"' || unicode.IsSpace(r) })
	if end <= 0 {
		return nil, fault.New(fault.Invalid, `a filter is attribute = "value" or attribute ^= "value"`)
	}
	f := &Filter{Attribute: s[:end]}
	if err := searchable(f.Attribute); err != nil {
		return nil, err
	}
	rest := strings.TrimSpace(s[end:])
	rest, f.Prefix = strings.CutPrefix(rest, "^")
	rest, ok := strings.CutPrefix(rest, "=")
	if !ok {
		return nil, fault.New(fault.Invalid, `the filter needs = (is) or ^= (begins with) after the attribute`)
	}
	value, err := unquote(strings.TrimSpace(rest))
	if err != nil {
		return nil, err
	}
	f.normalise(value)
	return f, nil
}

func searchable(attribute string) error {
	switch {
	case slices.Contains(FilterAttributes(), attribute):
		return nil
	case strings.HasPrefix(attribute, "custom:"):
		return fault.New(fault.Invalid, "custom attributes cannot be searched for")
	}
	if len(attribute) > 64 {
		attribute = strings.ToValidUTF8(attribute[:64], "") + "…"
	}
	return fault.New(fault.Invalid, "the filter's attribute "+strconv.Quote(attribute)+" is none of "+strings.Join(FilterAttributes(), ", "))
}

// unquote reads a quoted value with nothing behind it.
func unquote(s string) (string, error) {
	if !strings.HasPrefix(s, `"`) {
		return "", fault.New(fault.Invalid, "the filter's value must stand in quotation marks")
	}
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		switch {
		case s[i] == '"' && i == len(s)-1:
			return out.String(), nil
		case s[i] == '"':
			return "", fault.New(fault.Invalid, `the filter goes on behind its value: it has one attribute, and a quotation mark in a value is \"`)
		case s[i] == '\\':
			i++
			if i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", fault.New(fault.Invalid, `in the filter's value, a backslash stands before a quotation mark or another backslash`)
			}
		}
		out.WriteByte(s[i])
	}
	return "", fault.New(fault.Invalid, "the filter's value has no quotation mark at its end")
}

// normalise takes the value in the form in which the attribute is stored.
func (f *Filter) normalise(value string) {
	f.value = value
	kind := f.kind()
	switch {
	case f.Attribute == "sub" || strings.HasSuffix(f.Attribute, "status"):
		f.value = strings.ToLower(value)
	case kind == "":
	case f.Prefix:
		f.value = beginning(kind, value)
	default:
		i, err := ParseIdentifier(value)
		f.value, f.nobody = i.Value, err != nil || i.Kind != kind
	}
}

// kind is the alias that the attribute is, or none.
func (f *Filter) kind() AliasKind {
	switch f.Attribute {
	case "username", "preferred_username":
		return ByUsername
	case "email":
		return ByEmail
	case "phone_number":
		return ByPhone
	}
	return ""
}

// beginning normalises what an identifier begins with.
func beginning(kind AliasKind, s string) string {
	switch kind {
	case ByPhone:
		return phoneSeparators.Replace(s)
	case ByUsername:
		if name, err := precis.UsernameCaseMapped.String(s); err == nil {
			return name
		}
	}
	return lower(s)
}

// Sub is the user that alone can match, if the filter names one.
func (f *Filter) Sub() (UserID, bool) {
	return UserID(f.value), f.Attribute == "sub" && !f.Prefix
}

// Identifier is the alias that a user who matches must have, if the filter
// names one in full.
func (f *Filter) Identifier() (Identifier, bool) {
	kind := f.kind()
	return Identifier{kind, f.value}, kind != "" && !f.Prefix && !f.nobody
}

// Nobody reports whether nobody can match: what the filter asks for is no
// e-mail address, phone number or user name at all.
func (f *Filter) Nobody() bool { return f.nobody }

// Matches reports whether the filter chooses u.
func (f *Filter) Matches(u *User) bool {
	if f.nobody {
		return false
	}
	for _, have := range f.values(u) {
		if have != "" && (have == f.value || f.Prefix && strings.HasPrefix(have, f.value)) {
			return true
		}
	}
	return false
}

// values are the forms of the attribute that may match.
func (f *Filter) values(u *User) []string {
	switch f.Attribute {
	case "username":
		return []string{u.Username}
	case "preferred_username":
		if u.Username == string(u.Sub) {
			return nil
		}
		return []string{u.Username}
	case "email":
		return f.addresses(u.Email)
	case "phone_number":
		return []string{u.Phone}
	case "name":
		return []string{u.Name}
	case "sub":
		return []string{string(u.Sub)}
	case "status":
		if u.Disabled {
			return []string{"disabled"}
		}
		return []string{"enabled"}
	case "cognito:user_status":
		return []string{strings.ToLower(u.Status.Cognito())}
	}
	return []string{u.Claims[f.Attribute]}
}

// addresses are an e-mail address and, for what it begins with, the same as
// people write it: the beginning of a domain has no form of its own in ASCII.
func (f *Filter) addresses(address string) []string {
	local, domain, _ := strings.Cut(address, "@")
	if !f.Prefix || !strings.Contains(domain, "xn--") {
		return []string{address}
	}
	if written, err := idnaProfile().ToUnicode(domain); err == nil {
		return []string{address, local + "@" + written}
	}
	return []string{address}
}

// Cognito is the status in Cognito's words.
func (s Status) Cognito() string {
	switch s {
	case MustChangePassword:
		return "FORCE_CHANGE_PASSWORD"
	case MustSetPassword:
		return "RESET_REQUIRED"
	}
	return "CONFIRMED"
}

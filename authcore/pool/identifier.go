package pool

import (
	"regexp"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
	"golang.org/x/text/unicode/norm"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// AliasKind is a kind of identifier that people sign in with.
type AliasKind string

// The kinds of aliases.
const (
	ByUsername AliasKind = "u"
	ByEmail    AliasKind = "e"
	ByPhone    AliasKind = "p"
)

// Identifier is a normalised alias: two that mean the same are equal.
type Identifier struct {
	Kind  AliasKind
	Value string
}

// NormVersion is the version of ParseIdentifier's normalisation. Aliases are
// stored under it: changing the rules is a migration.
const NormVersion = 1

// PasswordNorm is the version of NormalizePassword.
const PasswordNorm = 1

// Bounds of what people type, in bytes.
const (
	MaxIdentifier = 254  // RFC 5321 4.5.3.1.3 less the angle brackets
	maxLocalPart  = 64   // RFC 5321 4.5.3.1.1
	maxUsername   = 128  //
	maxPassword   = 4096 // before normalisation
)

var (
	uuidForm  = regexp.MustCompile(`^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$`)
	phoneForm = regexp.MustCompile(`^\+[1-9][0-9]{6,14}$`) // E.164
)

// LooksLikeUUID reports whether s has the form of a UUID in any case. Only
// subs may.
func LooksLikeUUID(s string) bool { return uuidForm.MatchString(s) }

// ParseIdentifier normalises what a person typed (NormVersion): an e-mail address if it
// has an @ (NFC, lower case, IDNA domain), a phone number if it begins with +
// (E.164), else a user name (PRECIS UsernameCaseMapped). fault.Invalid if it
// is none of them.
func ParseIdentifier(s string) (Identifier, error) {
	s = strings.TrimSpace(s)
	switch {
	case s == "" || len(s) > MaxIdentifier || !utf8.ValidString(s):
		return Identifier{}, fault.New(fault.Invalid, "not an e-mail address, phone number or user name")
	case strings.Contains(s, "@"):
		return parseEmail(s)
	case strings.HasPrefix(s, "+"):
		return parsePhone(s)
	}
	return parseUsername(s)
}

func parseEmail(s string) (Identifier, error) {
	bad := fault.New(fault.Invalid, "not an e-mail address")
	at := strings.LastIndexByte(s, '@')
	local := lower(s[:at])
	if local == "" || len(local) > maxLocalPart || lower(local) != local || !validLocalPart(local) {
		return Identifier{}, bad
	}
	domain, err := idnaProfile().ToASCII(s[at+1:])
	if err != nil || domain == "" || strings.HasSuffix(domain, ".") {
		return Identifier{}, bad
	}
	value := local + "@" + domain
	if len(value) > MaxIdentifier {
		return Identifier{}, bad
	}
	return Identifier{ByEmail, value}, nil
}

func lower(s string) string { return norm.NFC.String(strings.ToLower(norm.NFC.String(s))) }

// validLocalPart accepts the dot-atom of RFC 5321 and RFC 6531: no quoted
// strings, no comments, nothing invisible.
func validLocalPart(s string) bool {
	if s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for _, r := range s {
		if !unicode.IsGraphic(r) || unicode.IsSpace(r) || strings.ContainsRune(`"(),:;<>@[\]`, r) {
			return false
		}
	}
	return true
}

// idnaProfile is UTS 46 non-transitional processing, strict.
func idnaProfile() *idna.Profile {
	return idna.New(idna.MapForLookup(), idna.Transitional(false), idna.BidiRule(),
		idna.StrictDomainName(true), idna.VerifyDNSLength(true))
}

// separators of the ways to write a phone number.
var phoneSeparators = strings.NewReplacer(" ", "", "-", "", ".", "", "(", "", ")", "", "/", "", "\u00a0", "")

func parsePhone(s string) (Identifier, error) {
	value := phoneSeparators.Replace(s)
	if !phoneForm.MatchString(value) {
		return Identifier{}, fault.New(fault.Invalid, "not a phone number with country code")
	}
	return Identifier{ByPhone, value}, nil
}

func parseUsername(s string) (Identifier, error) {
	bad := fault.New(fault.Invalid, "not a user name")
	value, err := precis.UsernameCaseMapped.String(s)
	if err != nil || value == "" || len(value) > maxUsername {
		return Identifier{}, bad
	}
	// Width mapping can produce what the raw string did not have.
	if strings.Contains(value, "@") || strings.HasPrefix(value, "+") {
		return Identifier{}, bad
	}
	again, err := precis.UsernameCaseMapped.String(value)
	if err != nil || again != value {
		return Identifier{}, bad // RFC 8265 3.3: what is not stable is refused
	}
	return Identifier{ByUsername, value}, nil
}

// Identifiers returns the aliases that the user lists. A username that equals
// the sub is no alias: the sub itself leads to the record.
func (u *User) Identifiers() []Identifier {
	var out []Identifier
	if u.Username != "" && u.Username != string(u.Sub) {
		out = append(out, Identifier{ByUsername, u.Username})
	}
	if u.Email != "" {
		out = append(out, Identifier{ByEmail, u.Email})
	}
	if u.Phone != "" {
		out = append(out, Identifier{ByPhone, u.Phone})
	}
	return out
}

// NormalizePassword is PRECIS OpaqueString (RFC 8265 4), version PasswordNorm.
// fault.Invalid if the password is empty, holds control characters or is not UTF-8.
func NormalizePassword(s string) (string, error) {
	bad := fault.New(fault.Invalid, "the password is empty, too long or holds characters that passwords cannot have")
	if s == "" || len(s) > maxPassword || !utf8.ValidString(s) {
		return "", bad
	}
	out, err := precis.OpaqueString.String(s)
	if err != nil || out == "" {
		return "", bad
	}
	return out, nil
}

// Guesses counts failures in a row.
type Guesses struct {
	Count int       `json:"n"`
	First time.Time `json:"f"`
	Last  time.Time `json:"l"`
}

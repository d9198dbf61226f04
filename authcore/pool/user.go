package pool

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// Bounds of a user record.
const (
	MaxGroups  = 100 // groups of one user
	maxName    = 256 // bytes of a display name
	maxGroup   = 64  // bytes of a group's name
	maxPHC     = 512 // bytes of a stored password hash
	lowerUUIDs = `^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`
)

var subForm = regexp.MustCompile(lowerUUIDs)

// Valid reports whether the sub is a lower-case UUID.
func (s UserID) Valid() bool { return subForm.MatchString(string(s)) }

// VerifiedEmail returns the e-mail address if it is known to be the user's,
// else nothing. A gate names no other to an upstream.
func (u *User) VerifiedEmail() string {
	if !u.EmailVerified {
		return ""
	}
	return u.Email
}

// Label is what people know an account by. A user name that is the sub is left
// out: nobody chose it.
func (u *User) Label() string {
	username := u.Username
	if username == string(u.Sub) {
		username = ""
	}
	return cmp.Or(u.Email, u.Phone, username, u.Name)
}

// InGroup reports whether the user is a member.
func (u *User) InGroup(name string) bool { return slices.Contains(u.Groups, name) }

// Validate checks the form of a user before it is stored: identifiers must be
// normalised already. fault.Invalid; the text holds no personal data.
func (u *User) Validate() error {
	switch {
	case !u.Sub.Valid():
		return fault.New(fault.Invalid, "the sub is not a lower-case UUID")
	case !validUsername(u):
		return fault.New(fault.Invalid, "the user name is not allowed")
	case u.Email != "" && !normalised(u.Email, ByEmail):
		return fault.New(fault.Invalid, "the e-mail address is not allowed")
	case u.Phone != "" && !normalised(u.Phone, ByPhone):
		return fault.New(fault.Invalid, "the phone number is not allowed")
	case !validText(u.Name, maxName):
		return fault.New(fault.Invalid, "the name is too long or holds control characters")
	case u.Status != Confirmed && u.Status != MustSetPassword && u.Status != MustChangePassword:
		return fault.New(fault.Invalid, "the status is unknown")
	case u.Password != nil && (u.Password.PHC == "" || len(u.Password.PHC) > maxPHC):
		return fault.New(fault.Invalid, "the password record is damaged")
	case len(u.Groups) > MaxGroups:
		return fault.New(fault.Invalid, "too many groups")
	}
	for i, g := range u.Groups {
		if !ValidGroupName(g) || slices.Contains(u.Groups[:i], g) {
			return fault.New(fault.Invalid, "a group's name is not allowed or is there twice")
		}
	}
	return validateClaims(u.Claims)
}

// validUsername demands a normalised user name; one that looks like a UUID is
// the user's own sub or nobody's.
func validUsername(u *User) bool {
	if LooksLikeUUID(u.Username) {
		return u.Username == string(u.Sub)
	}
	return normalised(u.Username, ByUsername)
}

func normalised(s string, kind AliasKind) bool {
	i, err := ParseIdentifier(s)
	return err == nil && i == Identifier{kind, s}
}

func validText(s string, limit int) bool {
	return len(s) <= limit && utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// ValidGroupName accepts 1 to 64 bytes of visible characters without those
// that separate lists and conditions: comma, bar, space.
func ValidGroupName(s string) bool {
	return s != "" && validText(s, maxGroup) && strings.IndexFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || r == ',' || r == '|'
	}) < 0
}

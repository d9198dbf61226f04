// Package hashes checks passwords against the hashes of other systems, so that
// people keep their passwords when they move here. It makes none: a hash is
// checked, and replaced by one of ours when its owner has signed in.
//
// Every format is one string that says what it is. Parse refuses what is
// unknown, damaged or would cost more than the caps; what it accepts can be
// checked for good.
package hashes

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"strings"
)

// Why a hash is refused. The errors never hold any of it.
var (
	ErrUnknown = errors.New("the format of the password hash is not known")
	ErrDamaged = errors.New("the password hash is damaged")
	ErrCostly  = errors.New("the password hash costs more than is allowed")
)

// MaxBytes is the longest hash that is read, in bytes.
const MaxBytes = 512

// Caps on the cost of one check: about a second on a slow core.
const (
	maxBcrypt     = 14        // log2 of the rounds
	maxMemory     = 128 << 10 // Argon2 and scrypt: KiB
	maxArgonWork  = 512 << 10 // Argon2: KiB times passes
	maxArgonLanes = 16        //
	maxScryptWork = 1 << 20   // scrypt: N·r·p
	maxPBKDF2     = 2_000_000 // rounds, for each block of the output
	maxSHACrypt   = 1_000_000 // rounds
	maxStretch    = 20        // phpass, Drupal: log2 of the rounds
)

// Hash is a hash that can be checked.
type Hash struct {
	Format  string // its name in the documentation
	matches func(password []byte) bool
}

// Matches reports whether a password is that of the hash, in a time that
// does not depend on how far they agree.
func (h *Hash) Matches(password string) bool { return h.matches([]byte(password)) }

// digest is a check that computes what must be equal.
func digest(want []byte, compute func(password []byte) []byte) func([]byte) bool {
	return func(password []byte) bool {
		return subtle.ConstantTimeCompare(compute(password), want) == 1
	}
}

// parser reads what follows a prefix.
type parser func(rest string) (func(password []byte) bool, error)

// format is a way to write hashes.
type format struct {
	prefix, name string
	parse        parser
}

// formats are all that are known. No prefix begins another, but for the
// shorter one standing later.
func formats() []format {
	return []format{
		{"$argon2id$", "argon2id", argon(true)},
		{"argon2$argon2id$", "django-argon2", argon(true)},
		{"$argon2i$", "argon2i", argon(false)},
		{"$2a$", "bcrypt", bcryptAs("$2a$", plain)},
		{"$2b$", "bcrypt", bcryptAs("$2b$", plain)},
		{"$2y$", "bcrypt", bcryptAs("$2y$", plain)},
		{"bcrypt_sha256$$2b$", "django-bcrypt-sha256", bcryptAs("$2b$", sha256Hex)},
		{"bcrypt$$2b$", "django-bcrypt", bcryptAs("$2b$", plain)},
		{"$scrypt$", "scrypt", scryptPHC},
		{"scrypt:", "werkzeug-scrypt", scryptWerkzeug},
		{"scrypt$", "django-scrypt", scryptDjango},
		{"SCRYPT:", "hashcat-scrypt", scryptColons},
		{"$firebase-scrypt$", "firebase-scrypt", firebaseScrypt},
		{"$pbkdf2$", "pbkdf2-sha1", pbkdf2As("sha1")},
		{"$pbkdf2-sha1$", "pbkdf2-sha1", pbkdf2As("sha1")},
		{"$pbkdf2-sha256$", "pbkdf2-sha256", pbkdf2As("sha256")},
		{"$pbkdf2-sha512$", "pbkdf2-sha512", pbkdf2As("sha512")},
		{"{PBKDF2}", "ldap-pbkdf2-sha1", pbkdf2As("sha1")},
		{"{PBKDF2-SHA256}", "ldap-pbkdf2-sha256", pbkdf2As("sha256")},
		{"{PBKDF2-SHA512}", "ldap-pbkdf2-sha512", pbkdf2As("sha512")},
		{"pbkdf2_sha1$", "django-pbkdf2-sha1", pbkdf2Django("sha1")},
		{"pbkdf2_sha256$", "django-pbkdf2-sha256", pbkdf2Django("sha256")},
		{"pbkdf2:", "werkzeug-pbkdf2", pbkdf2Werkzeug},
		{"{SHA}", "ldap-sha1", ldap("sha1", false)},
		{"{SSHA}", "ldap-ssha", ldap("sha1", true)},
		{"{SHA256}", "ldap-sha256", ldap("sha256", false)},
		{"{SSHA256}", "ldap-ssha256", ldap("sha256", true)},
		{"{SHA512}", "ldap-sha512", ldap("sha512", false)},
		{"{SSHA512}", "ldap-ssha512", ldap("sha512", true)},
		{"{MD5}", "ldap-md5", ldap("md5", false)},
		{"{SMD5}", "ldap-smd5", ldap("md5", true)},
		{"$salted$", "salted-digest", salted},
		{"$apr1$", "apr1", md5Crypt("$apr1$")},
		{"$1$", "md5-crypt", md5Crypt("$1$")},
		{"$5$", "sha256-crypt", shaCrypt("sha256")},
		{"$6$", "sha512-crypt", shaCrypt("sha512")},
		{"$P$", "phpass", phpass},
		{"$H$", "phpass", phpass},
		{"$S$", "drupal", drupal},
	}
}

// Parse reads a hash: ErrUnknown, ErrDamaged, ErrCostly.
func Parse(s string) (*Hash, error) {
	if len(s) > MaxBytes {
		return nil, ErrDamaged
	}
	inner := s
	if len(s) > len("{CRYPT}") && strings.EqualFold(s[:len("{CRYPT}")], "{CRYPT}") {
		inner = s[len("{CRYPT}"):]
	}
	if bare, ok := bareScrypt(inner); ok {
		matches, err := scryptBare(bare)
		return made("scrypt-fields", matches, err)
	}
	for _, f := range formats() {
		if len(inner) < len(f.prefix) || !same(inner[:len(f.prefix)], f.prefix) {
			continue
		}
		matches, err := f.parse(inner[len(f.prefix):])
		return made(f.name, matches, err)
	}
	return nil, ErrUnknown
}

func made(name string, matches func([]byte) bool, err error) (*Hash, error) {
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &Hash{Format: name, matches: matches}, nil
}

// same compares prefixes: the scheme of LDAP (RFC 2307 5.3) has no case.
func same(given, prefix string) bool {
	return given == prefix || prefix[0] == '{' && strings.EqualFold(given, prefix)
}

// Names lists the formats once each, in the order of the documentation.
func Names() []string {
	var names []string
	for _, f := range formats() {
		if len(names) == 0 || names[len(names)-1] != f.name {
			names = append(names, f.name)
		}
	}
	return append(names, "scrypt-fields")
}

// Package password is the password factor: what makes a password acceptable,
// how it is stored, and whether one is right.
//
// It owns the policy, the list of the commonest passwords and the stored
// form. Who the password belongs to, how many guesses are allowed and what a
// right one buys is not its business.
package password

import (
	"bytes"
	"compress/gzip"
	"context"
	_ "embed"
	"errors"
	"io"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// MaxBytes is the longest password, in bytes of UTF-8.
const MaxBytes = 1 << 10

// The problems a new password can have; pages have words for each.
const (
	TooShort = "password_too_short"
	TooLong  = "password_too_long"
	Common   = "password_common"  // among the 10 000 commonest
	Invalid  = "password_invalid" // not UTF-8, or characters that passwords cannot have (RFC 8265 4.2)
	IsName   = "password_is_name" // equals an identifier of its owner
)

//go:embed common.txt.gz
var commonest []byte

// Config says what a Factor stands on.
type Config struct {
	Hasher *secret.Hasher
	Now    func() time.Time // nil: time.Now
}

// hasher is what secret.Hasher does.
type hasher interface {
	Hash(ctx context.Context, password string) (phc string, err error)
	Verify(ctx context.Context, phc, password string) (ok, rehash bool, err error)
}

// Factor checks and makes passwords. It is safe for concurrent use.
type Factor struct {
	hasher hasher
	now    func() time.Time
	common func() map[string]struct{}
}

// New returns a Factor. The list of common passwords is unpacked when it is
// first needed.
func New(c Config) *Factor {
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Factor{hasher: c.Hasher, now: c.Now, common: sync.OnceValue(unpack)}
}

// unpack reads the embedded list. It is part of the program: damage is a bug.
func unpack() map[string]struct{} {
	z, err := gzip.NewReader(bytes.NewReader(commonest))
	if err != nil {
		panic(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		panic(err)
	}
	list := make(map[string]struct{}, 10000)
	for line := range strings.Lines(string(text)) {
		list[strings.TrimSuffix(line, "\n")] = struct{}{}
	}
	return list
}

// Check reports whether a password is right. A nil entry never matches and
// takes as long as a real one: how often is hashed depends on what was typed
// alone. better is the entry to store instead, where the password is right and
// its hash is of another cost or normalisation. fault.Busy if too many
// passwords are being checked.
func (f *Factor) Check(ctx context.Context, entry *pool.PasswordEntry, password string) (ok bool, better *pool.PasswordEntry, err error) {
	phc, imported := "", false
	if entry != nil {
		phc, imported = entry.PHC, entry.Norm == 0
	}
	outdated := imported
	for _, s := range spellings(password) {
		match, rehash, err := f.hasher.Verify(ctx, phc, s.text)
		if err != nil {
			return false, nil, busy(err)
		}
		if match && (s.normal || imported) {
			ok, outdated = true, outdated || rehash
		}
	}
	if !ok || entry == nil || len(password) > MaxBytes {
		return false, nil, nil
	}
	if outdated || entry.Norm != pool.PasswordNorm {
		better = f.rehash(ctx, entry, password)
	}
	return true, better, nil
}

// spelling is a form of a password in which it may have been hashed.
type spelling struct {
	text   string
	normal bool // as NormalizePassword has it
}

// spellings returns the forms to try: normalised and, since an imported hash may
// be of it, as it was typed, where that differs. What cannot be normalised, or
// is too long, is hashed all the same, so that it takes as long.
func spellings(password string) []spelling {
	typed := password[:min(len(password), MaxBytes)]
	normal, err := pool.NormalizePassword(typed)
	switch {
	case err != nil:
		return []spelling{{text: typed}}
	case normal == typed:
		return []spelling{{normal, true}}
	}
	return []spelling{{normal, true}, {text: typed}}
}

// rehash makes a better entry for a right password, or none if it cannot now.
func (f *Factor) rehash(ctx context.Context, entry *pool.PasswordEntry, password string) *pool.PasswordEntry {
	better, err := f.entry(ctx, password)
	if err != nil {
		return nil
	}
	better.Set = entry.Set // it is the same password
	return better
}

// entry hashes a password that the policy has passed.
func (f *Factor) entry(ctx context.Context, password string) (*pool.PasswordEntry, error) {
	normal, err := pool.NormalizePassword(password)
	if err != nil {
		return nil, err
	}
	phc, err := f.hasher.Hash(ctx, normal)
	if err != nil {
		return nil, busy(err)
	}
	return &pool.PasswordEntry{Norm: pool.PasswordNorm, PHC: phc, Set: f.now().UTC()}, nil
}

// New judges a new password of somebody with these identifiers, and makes its
// entry. problem is empty if the password will do. fault.Busy if too many
// passwords are being hashed.
func (f *Factor) New(ctx context.Context, p *pool.Pool, identifiers []string, password string) (entry *pool.PasswordEntry, problem string, err error) {
	if problem := f.judge(p, identifiers, password); problem != "" {
		return nil, problem, nil
	}
	entry, err = f.entry(ctx, password)
	return entry, "", err
}

// judge applies the policy (NIST SP 800-63B-4 3.1.1.2): length, no composition
// rules, a block list.
func (f *Factor) judge(p *pool.Pool, identifiers []string, password string) string {
	if len(password) > MaxBytes {
		return TooLong
	}
	if utf8.RuneCountInString(password) < p.Password.MinLength {
		return TooShort
	}
	normal, err := pool.NormalizePassword(password)
	if err != nil {
		return Invalid
	}
	if utf8.RuneCountInString(normal) < p.Password.MinLength {
		return TooShort
	}
	if isName(normal, identifiers) {
		return IsName
	}
	if p.Password.Breached {
		if _, common := f.common()[strings.ToLower(normal)]; common {
			return Common
		}
	}
	return ""
}

// isName reports whether a password is one of the identifiers, in any case and
// however it is written, or the local part of an e-mail address among them.
func isName(password string, identifiers []string) bool {
	meant, err := pool.ParseIdentifier(password)
	for _, id := range identifiers {
		local, _, _ := strings.Cut(id, "@")
		if strings.EqualFold(password, id) || strings.EqualFold(password, local) || err == nil && meant.Value == id {
			return true
		}
	}
	return false
}

// busy gives the hasher's refusal its code.
func busy(err error) error {
	if errors.Is(err, secret.ErrBusy) {
		return fault.Wrap(fault.Busy, err, "too many people are signing in at once: try again in a moment")
	}
	return err
}

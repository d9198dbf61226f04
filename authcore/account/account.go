// Package account owns what happens to users: creation, passwords, profiles,
// groups, consents, disabling, deletion, one-time links. Every verb takes a
// Caller, decides and records in one place, before acting.
//
// It does not sign anybody in (flow), does not hash or judge passwords
// (factor/password) and does not know how a user or an alias is stored (repo).
package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// Passwords makes and checks password entries; factor/password does.
type Passwords interface {
	// New judges and hashes a new password; problem is empty if it will do.
	New(ctx context.Context, p *pool.Pool, identifiers []string, password string) (entry *pool.PasswordEntry, problem string, err error)
	// Check reports whether a password is that of an entry.
	Check(ctx context.Context, entry *pool.PasswordEntry, password string) (ok bool, better *pool.PasswordEntry, err error)
}

// Config says what a Service stands on.
type Config struct {
	Repo      *repo.Repo
	Passwords Passwords
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // audit records go here; nil: discards
}

// Service changes users. It is safe for concurrent use.
type Service struct {
	repo      *repo.Repo
	passwords Passwords
	now       func() time.Time
	log       *slog.Logger
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{repo: c.Repo, passwords: c.Passwords, now: c.Now, log: c.Logger}
}

// NewUser describes a user to create.
type NewUser struct {
	Identifier string // e-mail, phone or user name
	Name       string
	Groups     []string
	Password   string // empty: MustSetPassword
	Verified   bool   // the e-mail or phone is known to be the person's
	MustChange bool   // the password is good for one sign-in, which asks for another
}

// Create makes a user, and ends the pool's first-user link. fault.Invalid,
// fault.Conflict (taken), fault.Busy; a password that will not do is a
// *PasswordProblem.
func (s *Service) Create(ctx context.Context, by pool.Caller, p *pool.Pool, n NewUser) (*pool.User, error) {
	sub := pool.UserID(secret.UUID())
	if err := s.authorizeAndRecord(ctx, by, verbCreate, target{p.ID, sub}); err != nil {
		return nil, err
	}
	u, err := s.draft(sub, n)
	if err != nil {
		return nil, err
	}
	if n.Password != "" {
		if u.Password, err = s.hash(ctx, p, u, n.Password); err != nil {
			return nil, err
		}
		u.Status = pool.Confirmed
		if n.MustChange {
			u.Status = pool.MustChangePassword
		}
	}
	return s.store(ctx, p, u)
}

// draft is the record of a user who has no password yet.
func (s *Service) draft(sub pool.UserID, n NewUser) (*pool.User, error) {
	id, err := pool.ParseIdentifier(n.Identifier)
	if err != nil {
		return nil, err
	}
	now := s.now().UTC()
	groups := slices.Clone(n.Groups)
	slices.Sort(groups)
	u := &pool.User{
		Sub: sub, Username: string(sub), Name: n.Name, Groups: slices.Compact(groups),
		Status: pool.MustSetPassword, Created: now, Updated: now,
	}
	switch id.Kind {
	case pool.ByEmail:
		u.Email, u.EmailVerified = id.Value, n.Verified
	case pool.ByPhone:
		u.Phone, u.PhoneVerified = id.Value, n.Verified
	default:
		u.Username = id.Value
	}
	return u, u.Validate()
}

// store creates a user and reads back what is stored.
func (s *Service) store(ctx context.Context, p *pool.Pool, u *pool.User) (*pool.User, error) {
	if err := s.repo.CreateUser(ctx, p.ID, u); err != nil {
		return nil, fmt.Errorf("account: create: %w", err)
	}
	return s.repo.User(ctx, p.ID, u.Sub)
}

// PasswordProblem is an error that says why a new password will not do; the
// codes are those of page.Problem.
type PasswordProblem struct{ Problem string }

// Error names the problem.
func (e *PasswordProblem) Error() string { return "password: " + e.Problem }

// hash makes the entry of a password for u: *PasswordProblem, fault.Busy.
func (s *Service) hash(ctx context.Context, p *pool.Pool, u *pool.User, password string) (*pool.PasswordEntry, error) {
	var names []string
	for _, id := range u.Identifiers() {
		names = append(names, id.Value)
	}
	entry, problem, err := s.passwords.New(ctx, p, names, password)
	switch {
	case errors.Is(err, secret.ErrBusy) && fault.CodeOf(err) == fault.Internal:
		return nil, fault.Wrap(fault.Busy, err, "too many passwords at once: try again")
	case err != nil:
		return nil, fmt.Errorf("account: hash: %w", err)
	case problem != "":
		return nil, &PasswordProblem{Problem: problem}
	}
	return entry, nil
}

// Find returns a user by identifier or sub; fault.NotFound.
func (s *Service) Find(ctx context.Context, p *pool.Pool, who string) (*pool.User, error) {
	if sub := pool.UserID(who); sub.Valid() {
		u, err := s.repo.User(ctx, p.ID, sub)
		if !errors.Is(err, fault.NotFound) {
			return u, err
		}
	}
	id, err := pool.ParseIdentifier(who)
	if err != nil {
		return nil, fault.Wrap(fault.NotFound, err, "the user does not exist")
	}
	return s.repo.UserByIdentifier(ctx, p.ID, id)
}

// SetPassword sets a password and raises the epoch: all sessions and tokens
// end. fault.NotFound, fault.Busy, *PasswordProblem.
func (s *Service) SetPassword(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, password string) (*pool.User, error) {
	return s.givePassword(ctx, by, verbSetPassword, p, sub, password, pool.Confirmed)
}

// givePassword gives a user a password of somebody else's choice, and the
// status that it leads to.
func (s *Service) givePassword(ctx context.Context, by pool.Caller, v verb, p *pool.Pool, sub pool.UserID, password string, status pool.Status) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, v, target{p.ID, sub}); err != nil {
		return nil, err
	}
	u, err := s.repo.User(ctx, p.ID, sub)
	if err != nil {
		return nil, err
	}
	entry, err := s.hash(ctx, p, u, password)
	if err != nil {
		return nil, err
	}
	return s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		confirm(u, entry)
		u.Status = status
		return nil
	})
}

// confirm gives u a password and ends whatever was issued before, one-time
// links included.
func confirm(u *pool.User, entry *pool.PasswordEntry) {
	u.Password, u.Status = entry, pool.Confirmed
	u.Epoch++
}

// Disable ends everything the user has and lets nothing new begin.
func (s *Service) Disable(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID) error {
	if err := s.authorizeAndRecord(ctx, by, verbDisable, target{p.ID, sub}); err != nil {
		return err
	}
	_, err := s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		if !u.Disabled {
			u.Disabled = true
			u.Epoch++
		}
		return nil
	})
	return err
}

// Enable reverses Disable; what Disable ended stays ended.
func (s *Service) Enable(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID) error {
	if err := s.authorizeAndRecord(ctx, by, verbEnable, target{p.ID, sub}); err != nil {
		return err
	}
	_, err := s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		u.Disabled = false
		return nil
	})
	return err
}

// Delete removes a user for good: the sub is never used again.
func (s *Service) Delete(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID) error {
	if err := s.authorizeAndRecord(ctx, by, verbDelete, target{p.ID, sub}); err != nil {
		return err
	}
	return s.repo.DeleteUser(ctx, p.ID, sub)
}

// Users lists users, see repo.Users.
func (s *Service) Users(ctx context.Context, p *pool.Pool, after string, limit int) ([]*pool.User, string, error) {
	return s.repo.Users(ctx, p.ID, after, limit)
}

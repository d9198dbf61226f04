package account

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// problemSame is page.PasswordSame.
const problemSame = "password_same"

var (
	errNotAdmitted = fault.New(fault.Forbidden, "the account is disabled or not set up")
	errChanged     = fault.New(fault.Conflict, "the account has changed meanwhile: sign in again")
)

// Profile is what people may say of themselves: their name, and the other
// standard claims by name (see pool.ProfileClaims).
type Profile struct {
	Name   string
	Claims map[string]string // spaces around and empty ones are dropped
}

// SetProfile replaces a user's profile. People may do it to themselves.
// fault.Invalid, fault.NotFound, fault.Forbidden.
func (s *Service) SetProfile(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, n Profile) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, verbSetProfile, target{p.ID, sub}); err != nil {
		return nil, err
	}
	claims := pool.CleanClaims(n.Claims)
	return s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		if err := s.admits(ctx, by, verbSetProfile, target{p.ID, sub}, u); err != nil {
			return err
		}
		u.Name, u.Claims = strings.TrimSpace(n.Name), maps.Clone(claims)
		return nil
	})
}

// admits refuses, and records, people whose account was disabled since they
// were let in.
func (s *Service) admits(ctx context.Context, by pool.Caller, v verb, on target, u *pool.User) error {
	if by.Kind == pool.Self && !u.MayTry() {
		s.record(ctx, by, v, on, false)
		return errNotAdmitted
	}
	return nil
}

// ChangePassword gives the user the password of their own choice. All sessions
// and tokens end. People may do it to themselves. epoch is the user's when they
// showed who they are: fault.Conflict if a later one has ended what they showed,
// so that of two who know the old password one changes it. fault.NotFound,
// fault.Forbidden, fault.Busy, *PasswordProblem (password_same if it is the old
// one).
func (s *Service) ChangePassword(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, epoch uint32, password string) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, verbChangePassword, target{p.ID, sub}); err != nil {
		return nil, err
	}
	before, err := s.repo.User(ctx, p.ID, sub)
	if err != nil {
		return nil, err
	}
	if err := s.admits(ctx, by, verbChangePassword, target{p.ID, sub}, before); err != nil {
		return nil, err
	}
	if before.Epoch != epoch {
		return nil, errChanged
	}
	if err := s.differs(ctx, before, password); err != nil {
		return nil, err
	}
	entry, err := s.hash(ctx, p, before, password)
	if err != nil {
		return nil, err
	}
	return s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		if err := s.admits(ctx, by, verbChangePassword, target{p.ID, sub}, u); err != nil {
			return err
		}
		if u.Epoch != epoch {
			return errChanged
		}
		confirm(u, entry)
		return nil
	})
}

// differs refuses the password that is there already.
func (s *Service) differs(ctx context.Context, u *pool.User, password string) error {
	same, _, err := s.passwords.Check(ctx, u.Password, password)
	switch {
	case errors.Is(err, secret.ErrBusy) && fault.CodeOf(err) == fault.Internal:
		return fault.Wrap(fault.Busy, err, "too many passwords at once: try again")
	case err != nil:
		return fmt.Errorf("account: check password: %w", err)
	case same:
		return &PasswordProblem{Problem: problemSame}
	}
	return nil
}

// EndSessions ends all sessions and tokens of a user, by raising the epoch.
// People may do it to themselves. fault.NotFound, fault.Forbidden.
func (s *Service) EndSessions(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, verbEndSessions, target{p.ID, sub}); err != nil {
		return nil, err
	}
	return s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		if err := s.admits(ctx, by, verbEndSessions, target{p.ID, sub}, u); err != nil {
			return err
		}
		u.Epoch++
		return nil
	})
}

// RequirePasswordChange sets a password that is good for one sign-in, which
// asks for another. All sessions and tokens end. fault.NotFound, fault.Busy,
// *PasswordProblem.
func (s *Service) RequirePasswordChange(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, password string) (*pool.User, error) {
	return s.givePassword(ctx, by, verbRequireChange, p, sub, password, pool.MustChangePassword)
}

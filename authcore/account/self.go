package account

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Profile is what people may say of themselves: their name, and the other
// standard claims by name (see pool.ProfileClaims).
type Profile struct {
	Name   string
	Claims map[string]string
}

// SetProfile replaces a user's profile. fault.Invalid, fault.NotFound.
func (s *Service) SetProfile(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, n Profile) (*pool.User, error) {
	panic("unbuilt")
}

// ChangePassword gives the user the password of their own choice. All sessions
// and tokens end. fault.Busy, *PasswordProblem (password_same if it is the old
// one).
func (s *Service) ChangePassword(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, password string) (*pool.User, error) {
	panic("unbuilt")
}

// EndSessions ends all sessions and tokens of a user, by raising the epoch.
func (s *Service) EndSessions(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID) (*pool.User, error) {
	panic("unbuilt")
}

// RequirePasswordChange sets a password that is good for one sign-in, which
// asks for another. fault.NotFound, fault.Busy, *PasswordProblem.
func (s *Service) RequirePasswordChange(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, password string) (*pool.User, error) {
	panic("unbuilt")
}

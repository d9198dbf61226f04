package session

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// MaxAccounts is how many accounts one browser may be signed in with at once.
const MaxAccounts = 5

// Accounts returns the SSO sessions that the value of an SSO cookie names, the
// one that was used or chosen last first; those that have ended are left out.
// The value is the sessions' ids joined with dots.
func (s *Service) Accounts(ctx context.Context, p *pool.Pool, cookie string) ([]*Live, error) {
	panic("unbuilt")
}

// JoinAccounts is the cookie value of sessions in this order; at most
// MaxAccounts are kept.
func JoinAccounts(all []*Live) string {
	panic("unbuilt")
}

// List returns a user's SSO sessions that stand, latest first.
func (s *Service) List(ctx context.Context, p *pool.Pool, sub pool.UserID) ([]*Live, error) {
	panic("unbuilt")
}

// EndNamed ends an SSO session of a user by its name, as End does. fault.NotFound
// if the user has no such session.
func (s *Service) EndNamed(ctx context.Context, p *pool.Pool, sub pool.UserID, name string) error {
	panic("unbuilt")
}

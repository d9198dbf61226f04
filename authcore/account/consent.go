package account

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Consented reports whether a user has let a client have all these scopes at a
// redirect host and resource (empty: the issuer) before.
func (s *Service) Consented(ctx context.Context, p *pool.Pool, sub pool.UserID, want pool.Consent) (bool, error) {
	panic("unbuilt")
}

// Consent remembers what a user lets a client have; scopes add to those of before.
func (s *Service) Consent(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, given pool.Consent) error {
	panic("unbuilt")
}

// Consents lists what a user has let clients have.
func (s *Service) Consents(ctx context.Context, p *pool.Pool, sub pool.UserID) ([]pool.Consent, error) {
	panic("unbuilt")
}

// Withdraw forgets everything that a user has let a client have. The client
// is asked about again; its refresh tokens are the caller's to end.
func (s *Service) Withdraw(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, client pool.ClientID) error {
	panic("unbuilt")
}

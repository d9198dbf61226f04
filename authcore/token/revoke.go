package token

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Revoke ends what a client presents (RFC 7009 2.1): a refresh token's whole
// family, or the family of a user's access token, on disk before it returns.
// Unknown, expired and foreign tokens are fine and end nothing.
func (s *Service) Revoke(ctx context.Context, p *pool.Pool, c *pool.Client, raw string) error {
	panic("unbuilt")
}

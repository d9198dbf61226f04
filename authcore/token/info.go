package token

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// InfoClaims returns the claims that were asked for by name, for userinfo
// (OIDC Core 5.5), in the authorization request that a user's verified access
// token comes from. fault.InvalidToken if what it comes from has ended.
func (s *Service) InfoClaims(ctx context.Context, p *pool.Pool, a *Access) ([]string, error) {
	part := repo.UserPartition(p.ID, pool.UserID(a.Sub))
	e, err := repo.Get(ctx, s.repo, repo.FamilyKey(p.ID, part, a.OriginJTI))
	switch {
	case err != nil:
		return nil, fmt.Errorf("token: read family: %w", err)
	case e.Found && e.Value.Dead:
		return nil, badToken("the token was revoked")
	}
	client := p.Client(a.Client)
	if client == nil {
		return nil, badToken("the client is unknown")
	}
	return stillAllowed(client, e.Value.InfoClaims), nil // a lost family asked for nothing
}

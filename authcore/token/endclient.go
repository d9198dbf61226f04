package token

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// EndClient ends those of a user's families, by origin_jti, that are a
// client's, as EndFamilies does.
func (s *Service) EndClient(ctx context.Context, p *pool.Pool, sub pool.UserID, client pool.ClientID, originJTIs []string) error {
	var theirs []string
	part := repo.UserPartition(p.ID, sub)
	for _, jti := range originJTIs {
		e, err := repo.Get(ctx, s.repo, repo.FamilyKey(p.ID, part, jti))
		if err != nil {
			return fmt.Errorf("token: read family: %w", err)
		}
		if e.Found && e.Value.Sub == sub && e.Value.Client == client && !e.Value.Dead {
			theirs = append(theirs, jti)
		}
	}
	return s.EndFamilies(ctx, p, sub, theirs)
}

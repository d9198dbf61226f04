package token

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// EndClient ends all that a client was given for a user, in any session and
// beyond (offline_access), as EndFamilies does.
func (s *Service) EndClient(ctx context.Context, p *pool.Pool, sub pool.UserID, client pool.ClientID) error {
	names, err := s.repo.FamilyNames(ctx, p.ID, sub, client)
	if err != nil {
		return fmt.Errorf("token: list families: %w", err)
	}
	var alive []string
	part := repo.UserPartition(p.ID, sub)
	for _, name := range names {
		e, err := repo.Get(ctx, s.repo, repo.FamilyKey(p.ID, part, name))
		if err != nil {
			return fmt.Errorf("token: read family: %w", err)
		}
		if e.Found && !e.Value.Dead {
			alive = append(alive, name)
		}
	}
	return s.EndFamilies(ctx, p, sub, alive)
}

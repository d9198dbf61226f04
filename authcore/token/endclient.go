package token

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// EndClient ends all that a client was given for a user, in any session and
// beyond (offline_access), as EndFamilies does. Codes that it holds are void.
func (s *Service) EndClient(ctx context.Context, p *pool.Pool, sub pool.UserID, client pool.ClientID) error {
	part := repo.UserPartition(p.ID, sub)
	// First: a code that is redeemed from now on buys nothing, and what one has
	// bought until now is on the list.
	_, err := s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		return repo.Put(tx, repo.WithdrawnKey(p.ID, sub, client), struct{}{}, tx.Now().Add(codeLife))
	})
	if err != nil {
		return fmt.Errorf("token: void codes: %w", err)
	}
	names, err := s.repo.FamilyNames(ctx, p.ID, sub, client)
	if err != nil {
		return fmt.Errorf("token: list families: %w", err)
	}
	var alive []string
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

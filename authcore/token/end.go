package token

import (
	"context"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// endBatch bounds the families of one commit.
const endBatch = 100

// EndFamilies revokes families of a user by origin_jti: the revocation
// entries are on disk before the families themselves are marked dead, and
// both before it returns. Unknown ones are fine.
func (s *Service) EndFamilies(ctx context.Context, p *pool.Pool, sub pool.UserID, originJTIs []string) error {
	for batch := range slices.Chunk(originJTIs, endBatch) {
		if err := s.revoke(ctx, p, sub, batch); err != nil {
			return err
		}
		if err := s.markDead(ctx, p, sub, batch); err != nil {
			return err
		}
	}
	return nil
}

// revoke tells every gate, durably.
func (s *Service) revoke(ctx context.Context, p *pool.Pool, sub pool.UserID, originJTIs []string) error {
	_, err := s.repo.Update(ctx, p.ID, repo.UserPartition(p.ID, sub), func(tx *repo.Tx) error {
		for _, jti := range originJTIs {
			r := pool.Revocation{Sub: sub, OriginJTI: jti}
			if err := repo.Put(tx, repo.FamilyRevocationKey(p.ID, sub, jti), r, tx.Now().Add(repo.RevocationLife)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("token: revoke families: %w", err)
	}
	for _, jti := range originJTIs {
		s.revoked.mark(p.ID, pool.Revocation{Sub: sub, OriginJTI: jti})
	}
	return nil
}

// markDead ends the refresh tokens; a revocation entry does not live as long
// as they do.
func (s *Service) markDead(ctx context.Context, p *pool.Pool, sub pool.UserID, originJTIs []string) error {
	part := repo.UserPartition(p.ID, sub)
	_, err := s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		for _, jti := range originJTIs {
			key := repo.FamilyKey(p.ID, part, jti)
			e, err := repo.Read(tx, key)
			if err != nil {
				return err
			}
			if !e.Found || e.Value.Sub != sub || e.Value.Dead {
				continue
			}
			e.Value.Dead = true
			if err := repo.Put(tx, key, e.Value, e.Expires); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("token: mark families dead: %w", err)
	}
	return nil
}

// SessionEnded makes the end of an SSO or site session, by name, known in
// this process at once; others learn it from the store.
func (s *Service) SessionEnded(id pool.ID, name string) { s.revoked.sessionEnded(id, name) }

package session

import (
	"context"
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Touch records that a site session is in use, for its parent too, in one
// commit, at most every 5 minutes (earlier calls do nothing and cost nothing).
// It never lengthens the absolute life. fault.NotFound if one of them has ended.
func (s *Service) Touch(ctx context.Context, p *pool.Pool, live *LiveSite) error {
	if s.now().Sub(live.Session.Used) < touchEvery {
		return nil
	}
	part := repo.UserPartition(p.ID, live.Session.Sub)
	_, err := s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		childKey := repo.SiteSessionKey(p.ID, part, live.Name)
		child, err := repo.Read(tx, childKey)
		if err != nil {
			return err
		}
		parentKey := repo.SessionKey(p.ID, part, live.Session.Parent)
		parent, err := repo.Read(tx, parentKey)
		if err != nil {
			return err
		}
		now := tx.Now()
		switch {
		case !child.Found || !parent.Found:
			return notFound()
		case now.Sub(child.Value.Used) < touchEvery:
			return nil // another node did
		}
		child.Value.Used = now
		ends := p.Session.End(parent.Value.Created, now)
		if err := repo.Put(tx, childKey, child.Value, ends); err != nil {
			return err
		}
		if now.Before(parent.Value.Used) {
			return nil
		}
		parent.Value.Used = now
		return put(tx, p.ID, live.Session.Parent, parent.Value, ends)
	})
	if err != nil {
		return fmt.Errorf("session: touch: %w", err)
	}
	return nil
}

// Use records that an SSO session is in use at the login host itself, as Touch
// does for a site's: at most every 5 minutes, and never beyond the absolute
// life. fault.NotFound if it has ended.
func (s *Service) Use(ctx context.Context, p *pool.Pool, live *Live) error {
	if s.now().Sub(live.Session.Used) < touchEvery {
		return nil
	}
	part := repo.UserPartition(p.ID, live.Session.Sub)
	_, err := s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		e, err := repo.Read(tx, repo.SessionKey(p.ID, part, live.Name))
		if err != nil {
			return err
		}
		now := tx.Now()
		switch {
		case !e.Found:
			return notFound()
		case now.Sub(e.Value.Used) < touchEvery:
			return nil
		}
		e.Value.Used = now
		return put(tx, p.ID, live.Name, e.Value, p.Session.End(e.Value.Created, now))
	})
	if err != nil {
		return fmt.Errorf("session: use: %w", err)
	}
	return nil
}

// endTries bounds how often End begins again for a family that was born meanwhile.
const endTries = 8

// End ends an SSO session: those that it took the place of, its families
// (durably), then itself, and with it its children. Unknown ids are fine and
// write nothing.
func (s *Service) End(ctx context.Context, p *pool.Pool, id string) error {
	part, name, ok := repo.ParseHandle(id)
	if !ok {
		return nil
	}
	return s.end(ctx, p, part, name)
}

// end is End of a session by its name.
func (s *Service) end(ctx context.Context, p *pool.Pool, part store.Partition, name string) error {
	key := repo.SessionKey(p.ID, part, name)
	var ended []string
	for range endTries {
		e, err := repo.Get(ctx, s.repo, key)
		if err != nil {
			return fmt.Errorf("session: read: %w", err)
		}
		if !e.Found {
			return nil
		}
		for _, earlier := range e.Value.Earlier {
			if err := s.end(ctx, p, part, earlier); err != nil {
				return err
			}
		}
		if err := s.families.EndFamilies(ctx, p, e.Value.Sub, without(e.Value.Families, ended)); err != nil {
			return fmt.Errorf("session: end families: %w", err)
		}
		ended = e.Value.Families
		switch gone, err := s.remove(ctx, p, part, key, ended); {
		case err != nil:
			return fmt.Errorf("session: end: %w", err)
		case gone:
			s.families.SessionEnded(p.ID, name)
			return nil
		}
	}
	return fault.New(fault.Conflict, "the session is in use")
}

// remove deletes a session unless a family was born in it that is not ended.
func (s *Service) remove(ctx context.Context, p *pool.Pool, part store.Partition, key repo.Key[pool.Session], ended []string) (gone bool, err error) {
	_, err = s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		now, err := repo.Read(tx, key)
		if err != nil {
			return err
		}
		if gone = len(without(now.Value.Families, ended)) == 0; gone && now.Found {
			repo.Delete(tx, key)
			repo.Delete(tx, repo.SessionRefKey(p.ID, now.Value.Sub, key.Name()))
		}
		return nil
	})
	return gone, err
}

// EndSite ends a site session and nothing else. Unknown ids are fine and
// write nothing.
func (s *Service) EndSite(ctx context.Context, p *pool.Pool, id string) error {
	part, name, ok := repo.ParseHandle(id)
	if !ok {
		return nil
	}
	key := repo.SiteSessionKey(p.ID, part, name)
	e, err := repo.Get(ctx, s.repo, key)
	if err != nil {
		return fmt.Errorf("session: read: %w", err)
	}
	if !e.Found {
		return nil
	}
	_, err = s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		repo.Delete(tx, key)
		return nil
	})
	if err != nil {
		return fmt.Errorf("session: end: %w", err)
	}
	s.families.SessionEnded(p.ID, name)
	return nil
}

// without returns the items of all that are not in some.
func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

package token

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
)

// maxFamilies is how many families a session keeps in mind; the oldest is
// ended to make room, so that signing out misses none.
const maxFamilies = 50

// found is a code that was presented by whom it was issued to.
type found struct {
	part  store.Partition
	name  string
	code  pool.Code
	epoch uint32 // failover epoch it was written under
	since uint64 // version it was issued with
	site  bool   // presented by a gate: it buys a site session
}

// replayed is what a redemption finds out inside its commit: the code was
// used before and bought this.
type replayed struct{ bought string }

func (replayed) Error() string { return "token: a code was used again" }

// findCode reads a code and checks that it is bound to who presents it. It
// spends nothing.
func (s *Service) findCode(ctx context.Context, p *pool.Pool, r Redemption) (*found, error) {
	part, name, ok := repo.ParseHandle(r.Code)
	if !ok {
		return nil, badGrant("the code is not valid")
	}
	e, err := repo.Get(ctx, s.repo, repo.CodeKey(p.ID, part, name))
	switch {
	case err != nil:
		return nil, fmt.Errorf("token: read code: %w", err)
	case !e.Found:
		return nil, badGrant("the code is not valid")
	}
	if err := r.bound(e.Value); err != nil {
		return nil, err
	}
	return &found{part: part, name: name, code: e.Value, epoch: e.Epoch, since: e.Version, site: r.Client.Site}, nil
}

// RedeemCode exchanges a code for tokens, once: the code is marked used and
// the family made in one commit. A second use ends the family and is
// fault.InvalidGrant, as is every other wrong code, client, redirect URI,
// verifier, ended session, lower epoch or earlier failover epoch.
// fault.InvalidScope and fault.InvalidTarget for what was not granted; these
// spend nothing.
func (s *Service) RedeemCode(ctx context.Context, p *pool.Pool, r Redemption) (*Issued, error) {
	if r.Client.Site {
		return nil, badGrant("a gate does not get tokens")
	}
	f, err := s.findCode(ctx, p, r)
	if err != nil {
		return nil, err
	}
	user, err := s.user(ctx, p, f.code.Sub, f.code.Epoch)
	if err != nil {
		return nil, err
	}
	granted, err := stillGranted(p, r.Client, user, f.code.Scopes)
	if err != nil {
		return nil, err
	}
	target, err := pool.NarrowTarget(p, granted, f.code.Resources, r.Scopes, r.Resource)
	if err != nil {
		return nil, err
	}
	m, err := s.prepare(ctx, p, r.Client, target)
	if err != nil {
		return nil, err
	}
	family, err := s.buyFamily(ctx, p, r.Client, f)
	if err != nil {
		return nil, err
	}
	m.user, m.family, m.nonce = user, family, f.code.Nonce
	if family.Refresh {
		if m.refresh, err = s.refreshToken(ctx, p.ID, f.part, family); err != nil {
			return nil, err
		}
	}
	return s.issue(m)
}

// buyFamily spends the code for a family, in one commit.
func (s *Service) buyFamily(ctx context.Context, p *pool.Pool, c *pool.Client, f *found) (*pool.Family, error) {
	var family *pool.Family
	var dropped []string
	id, key := secret.UUID(), secret.Bytes(familyKeySize)
	err := s.spend(ctx, p, f, func(tx *repo.Tx, sess repo.Entry[pool.Session]) (string, error) {
		switch gone, err := repo.Read(tx, repo.WithdrawnKey(p.ID, f.code.Sub, c.ID)); {
		case err != nil:
			return "", err
		case gone.Found && gone.Version > f.since:
			return "", badGrant("what was granted was taken back")
		}
		family = newFamily(p, c, f, tx.Now())
		family.OriginJTI, family.Key = id, key
		dropped = nil
		if !offline(family.Scopes) {
			all := append(slices.Clone(sess.Value.Families), id)
			cut := max(0, len(all)-maxFamilies)
			dropped, sess.Value.Families = all[:cut], all[cut:]
			if err := repo.Put(tx, repo.SessionKey(p.ID, f.part, f.code.Session), sess.Value, sess.Expires); err != nil {
				return "", err
			}
		}
		if err := repo.Put(tx, repo.FamilyRefKey(p.ID, family.Sub, c.ID, id), struct{}{}, family.Expires); err != nil {
			return "", err
		}
		return id, repo.Put(tx, repo.FamilyKey(p.ID, f.part, id), *family, family.Expires)
	})
	if err != nil {
		return nil, err
	}
	if len(dropped) > 0 {
		if err := s.EndFamilies(ctx, p, f.code.Sub, dropped); err != nil {
			return nil, err
		}
	}
	return family, nil
}

// newFamily is what a code buys. A family without refresh tokens lives as
// long as its access tokens: until then a replay must find it.
func newFamily(p *pool.Pool, c *pool.Client, f *found, now time.Time) *pool.Family {
	life := repo.RevocationLife
	refresh := c.HasGrant(pool.GrantRefresh)
	if refresh {
		life = refreshLife(p, c)
	}
	return &pool.Family{
		Client: c.ID, Sub: f.code.Sub, Session: f.code.Session,
		Rotated: now, StoreEp: f.epoch, Scopes: f.code.Scopes, Resources: f.code.Resources,
		Epoch: f.code.Epoch, AuthTime: f.code.AuthTime, ACR: f.code.ACR, AMR: f.code.AMR,
		IDClaims: f.code.IDClaims, InfoClaims: f.code.InfoClaims,
		Refresh: refresh, Expires: now.Add(life),
	}
}

// offline reports whether what was granted outlives the session.
func offline(scopes []string) bool { return slices.Contains(scopes, pool.ScopeOffline) }

// RedeemSiteCode exchanges a gate's code for a site session, once, and
// returns the session's id. A second use ends the site session.
func (s *Service) RedeemSiteCode(ctx context.Context, p *pool.Pool, r Redemption) (string, *pool.SiteSession, error) {
	if !r.Client.Site {
		return "", nil, badGrant("only a gate gets a session")
	}
	f, err := s.findCode(ctx, p, r)
	if err != nil {
		return "", nil, err
	}
	if _, err := s.user(ctx, p, f.code.Sub, f.code.Epoch); err != nil {
		return "", nil, err
	}
	handle := repo.NewHandle(f.part)
	_, name, _ := repo.ParseHandle(handle)
	var site pool.SiteSession
	err = s.spend(ctx, p, f, func(tx *repo.Tx, sess repo.Entry[pool.Session]) (string, error) {
		now := tx.Now()
		site = pool.SiteSession{
			Sub: f.code.Sub, Parent: f.code.Session, Client: r.Client.ID, Epoch: f.code.Epoch,
			AuthTime: f.code.AuthTime, ACR: f.code.ACR, AMR: f.code.AMR, Created: now, Used: now,
		}
		return name, repo.Put(tx, repo.SiteSessionKey(p.ID, f.part, name), site, p.Session.End(sess.Value.Created, now))
	})
	if err != nil {
		return "", nil, err
	}
	return handle, &site, nil
}

// spend marks a code used in the commit that makes what it buys, whose name
// buy returns. It refuses, inside the commit, a code of an earlier failover
// epoch and one whose session has ended. If the code was used before, what it
// bought then is ended.
func (s *Service) spend(ctx context.Context, p *pool.Pool, f *found, buy func(*repo.Tx, repo.Entry[pool.Session]) (string, error)) error {
	_, err := s.repo.Update(ctx, p.ID, f.part, func(tx *repo.Tx) error {
		key := repo.CodeKey(p.ID, f.part, f.name)
		code, err := repo.Read(tx, key)
		switch {
		case err != nil:
			return err
		case !code.Found:
			return badGrant("the code is not valid")
		case code.Value.Used:
			return replayed{code.Value.Family}
		}
		tx.FenceEpoch(f.epoch)
		sess, err := repo.Read(tx, repo.SessionKey(p.ID, f.part, f.code.Session))
		switch {
		case err != nil:
			return err
		case !sess.Found || sess.Value.Sub != f.code.Sub || sess.Value.Epoch != f.code.Epoch:
			return badGrant("the sign-in has ended")
		}
		bought, err := buy(tx, sess)
		if err != nil {
			return err
		}
		code.Value.Used, code.Value.Family = true, bought
		return repo.Put(tx, key, code.Value, code.Expires)
	})
	if again, ok := errors.AsType[replayed](err); ok {
		return s.punish(ctx, p, f, again.bought)
	}
	if errors.Is(err, store.ErrEpoch) {
		return badGrant("the code is not valid any more")
	}
	if err != nil {
		return fmt.Errorf("token: redeem code: %w", err)
	}
	return nil
}

// punish ends what a code bought that is presented again (RFC 6749 4.1.2).
func (s *Service) punish(ctx context.Context, p *pool.Pool, f *found, bought string) error {
	s.log.WarnContext(ctx, "an authorization code was used again; what it bought is ended",
		"pool", p.Name, "client", f.code.Client, "sub", f.code.Sub)
	var err error
	if f.site {
		err = s.endSiteSession(ctx, p, f.part, bought)
	} else {
		err = s.EndFamilies(ctx, p, f.code.Sub, []string{bought})
	}
	if err != nil {
		return fmt.Errorf("token: end what a replayed code bought: %w", err)
	}
	return badGrant("the code was used before")
}

func (s *Service) endSiteSession(ctx context.Context, p *pool.Pool, part store.Partition, name string) error {
	_, err := s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		repo.Delete(tx, repo.SiteSessionKey(p.ID, part, name))
		return nil
	})
	if err == nil {
		s.SessionEnded(p.ID, name)
	}
	return err
}

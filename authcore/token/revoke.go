package token

import (
	"context"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// errForeign refuses a token that was issued to another client (RFC 7009 2.1).
var errForeign = fault.New(fault.InvalidGrant, "The token was issued to another client.")

// Revoke ends what a client presents (RFC 7009 2.1): a refresh token's whole
// family, the family of a user's access token, a machine's access token alone;
// on disk before it returns. Unknown, expired and other pools' tokens are fine
// and end nothing. fault.InvalidGrant for another client's token, and
// fault.UnsupportedTokenType for an ID token: neither ends anything.
func (s *Service) Revoke(ctx context.Context, p *pool.Pool, c *pool.Client, raw string) error {
	if t, ok := parseRefresh(raw); ok {
		return s.revokeRefresh(ctx, p, c, t)
	}
	a, err := s.VerifyAccess(ctx, p, raw)
	switch {
	case fault.CodeOf(err) == fault.InvalidToken:
		return s.notAnIDToken(ctx, p, raw)
	case err != nil:
		return err
	case a.Client != c.ID:
		return errForeign
	case a.Machine():
		return s.revoke(ctx, p, pool.UserID(a.Sub), []string{a.ID})
	}
	return s.EndFamilies(ctx, p, pool.UserID(a.Sub), []string{a.OriginJTI})
}

// revokeRefresh ends a family, whichever of its tokens is presented.
func (s *Service) revokeRefresh(ctx context.Context, p *pool.Pool, c *pool.Client, t presented) error {
	family, err := s.genuine(ctx, p, t)
	switch {
	case fault.CodeOf(err) == fault.InvalidGrant:
		return nil
	case err != nil:
		return err
	case family.Client != c.ID:
		return errForeign
	}
	return s.EndFamilies(ctx, p, family.Sub, []string{family.OriginJTI})
}

// notAnIDToken tells who wants to revoke an ID token that this is not done:
// it is read by its client alone, and nobody asks us about it.
func (s *Service) notAnIDToken(ctx context.Context, p *pool.Pool, raw string) error {
	_, err := s.ReadHint(ctx, p, raw)
	switch {
	case err == nil:
		return fault.New(fault.UnsupportedTokenType, "ID tokens cannot be revoked.")
	case fault.CodeOf(err) == fault.InvalidRequest:
		return nil
	}
	return err
}

// Ended is fault.InvalidToken if the directory says that a verified access
// token was revoked, singly or with its family. What VerifyAccess knows may be
// behind by the age of the feed: this is for what must not wait for it.
func (s *Service) Ended(ctx context.Context, p *pool.Pool, a *Access) error {
	revoked, err := s.revokedOnDisk(ctx, p, pool.UserID(a.Sub), a.revokedAs())
	switch {
	case err != nil:
		return err
	case revoked:
		return badToken("the token was revoked")
	}
	return nil
}

// revokedOnDisk asks the directory whether a family, or a machine's token, was
// revoked; what is held in memory may be behind by the age of the feed.
func (s *Service) revokedOnDisk(ctx context.Context, p *pool.Pool, sub pool.UserID, name string) (bool, error) {
	e, err := repo.Get(ctx, s.repo, repo.FamilyRevocationKey(p.ID, sub, name))
	if err != nil {
		return false, fmt.Errorf("token: read revocation: %w", err)
	}
	return e.Found, nil
}

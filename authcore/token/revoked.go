package token

import "github.com/gatehouse-auth/gatehouse/authcore/pool"

// Revoked is fault.InvalidToken if an access token that was verified has been
// revoked since, singly, with its family or with everything of its user's. It
// does no I/O, and does not mind that the token has run out.
func (s *Service) Revoked(p *pool.Pool, a *Access) error {
	if s.revoked.stands(p.ID, pool.UserID(a.Sub), a.Epoch, a.revokedAs()) {
		return nil
	}
	return badToken("the token was revoked")
}

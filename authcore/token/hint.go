package token

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Hint is what an ID token of ours says about whom a request means.
type Hint struct {
	Sub     pool.UserID
	Client  pool.ClientID // whom it was issued to
	Session string        // name of the SSO session (sid); empty in old ones
}

// ReadHint reads an id_token_hint (OIDC Core 3.1.2.1, RP-Initiated Logout 1.0,
// 2): type, key, signature and issuer count, expired ones are fine.
// fault.InvalidRequest.
func (s *Service) ReadHint(ctx context.Context, p *pool.Pool, raw string) (*Hint, error) {
	panic("unbuilt")
}

package grant

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Refresh is the refresh token grant (RFC 6749 6).
type Refresh struct {
	Tokens interface {
		Refresh(ctx context.Context, p *pool.Pool, o token.RefreshOrder) (*token.Issued, error)
	}
}

// Issue refreshes.
func (g Refresh) Issue(ctx context.Context, r Request) (*token.Issued, error) {
	refresh, err := need(r.Form, "refresh_token")
	if err != nil {
		return nil, err
	}
	scopes, resource, err := narrowing(r.Form)
	if err != nil {
		return nil, err
	}
	return g.Tokens.Refresh(ctx, r.Pool, token.RefreshOrder{
		Client: r.Client, Token: refresh, Scopes: scopes, Resource: resource,
	})
}

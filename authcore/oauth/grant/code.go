package grant

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Code is the authorization code grant (RFC 6749 4.1.3).
type Code struct {
	Tokens interface {
		RedeemCode(ctx context.Context, p *pool.Pool, r token.Redemption) (*token.Issued, error)
	}
}

// Issue redeems a code.
func (g Code) Issue(ctx context.Context, r Request) (*token.Issued, error) {
	code, err := need(r.Form, "code")
	if err != nil {
		return nil, err
	}
	scopes, resource, err := narrowing(r.Form)
	if err != nil {
		return nil, err
	}
	return g.Tokens.RedeemCode(ctx, r.Pool, token.Redemption{
		Client:      r.Client,
		Code:        code,
		RedirectURI: r.Form.Get("redirect_uri"),
		Verifier:    r.Form.Get("code_verifier"),
		Resource:    resource,
		Scopes:      scopes,
	})
}

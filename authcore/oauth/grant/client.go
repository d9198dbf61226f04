package grant

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Client is the client credentials grant (RFC 6749 4.4), for confidential
// clients only.
type Client struct {
	Tokens interface {
		Machine(ctx context.Context, p *pool.Pool, c *pool.Client, t pool.Target) (*token.Issued, error)
	}
}

// Issue gives a client a token of its own: all its machine scopes, or those it
// names. A scope of people, openid among them, is refused.
func (g Client) Issue(ctx context.Context, r Request) (*token.Issued, error) {
	if !r.Client.Confidential() {
		return nil, fault.New(fault.UnauthorizedClient, "A public client has nothing of its own.")
	}
	scopes, err := pool.ParseScope(r.Form.Get("scope"))
	if err != nil {
		return nil, err
	}
	target, err := pool.ResolveMachineTarget(r.Pool, r.Client, scopes, r.Form["resource"])
	if err != nil {
		return nil, err
	}
	return g.Tokens.Machine(ctx, r.Pool, r.Client, target)
}

package grant

import (
	"context"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
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
	verifier := r.Form.Get("code_verifier")
	if verifier != "" && !isVerifier(verifier) {
		return nil, fault.New(fault.InvalidGrant, "code_verifier must be 43 to 128 unreserved characters.")
	}
	scopes, resource, err := narrowing(r.Form)
	if err != nil {
		return nil, err
	}
	return g.Tokens.RedeemCode(ctx, r.Pool, token.Redemption{
		Client:      r.Client,
		Code:        code,
		RedirectURI: r.Form.Get("redirect_uri"),
		Verifier:    verifier,
		Resource:    resource,
		Scopes:      scopes,
	})
}

// isVerifier is the syntax of RFC 7636 4.1.
func isVerifier(s string) bool {
	return len(s) >= 43 && len(s) <= 128 && !strings.ContainsFunc(s, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("-._~", r)
	})
}

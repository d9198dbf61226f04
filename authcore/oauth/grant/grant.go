// Package grant holds the grant types of the token endpoint, one file each. A
// grant reads the parameters of its own and says what to issue; who the
// client is, and whether it may use the grant, is settled before.
package grant

import (
	"context"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Request is a token request whose client is authenticated and allowed to use
// the grant. No parameter of Form but resource and audience repeats.
type Request struct {
	Pool   *pool.Pool
	Client *pool.Client
	Form   url.Values
}

// Grant is a grant type.
type Grant interface {
	// Issue returns the tokens that the request buys, or an error of RFC 6749 5.2.
	Issue(ctx context.Context, r Request) (*token.Issued, error)
}

// narrowing reads what redemption and refresh may narrow: scopes, nil if none
// are named, and one resource (RFC 8707 2.2), empty if none is.
func narrowing(form url.Values) (scopes []string, resource string, err error) {
	if form.Get("scope") != "" {
		if scopes, err = pool.ParseScope(form.Get("scope")); err != nil {
			return nil, "", err
		}
	}
	if len(form["resource"]) > 1 {
		return nil, "", fault.New(fault.InvalidTarget, "A token is for one resource.")
	}
	return scopes, form.Get("resource"), nil
}

// need returns a parameter that the grant cannot do without.
func need(form url.Values, name string) (string, error) {
	if v := form.Get(name); v != "" {
		return v, nil
	}
	return "", fault.New(fault.InvalidRequest, name+" is missing.")
}

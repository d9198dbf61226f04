package token

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// AssertionLife is how long an assertion is good for. It may be handed out
// again for the same principal and resource while it is young.
const AssertionLife = 60 * time.Second

// maxAssertionGroups bounds the groups in an assertion, in bytes: all
// identity headers together stay under 8 KiB.
const maxAssertionGroups = 2 << 10

// statement is the claims of an assertion. It has no jti: one assertion
// accompanies many requests, so that an upstream which looked for replays by
// id would refuse honest ones.
type statement struct {
	Issuer    string   `json:"iss"`
	Audience  string   `json:"aud"`
	Expires   int64    `json:"exp"`
	IssuedAt  int64    `json:"iat"`
	Sub       string   `json:"sub"` // the user's, or the client's id if there is no user
	Client    string   `json:"client_id,omitempty"`
	Username  string   `json:"username,omitempty"`
	Name      string   `json:"name,omitempty"`
	Email     string   `json:"email,omitempty"` // verified
	Groups    []string `json:"groups,omitempty"`
	Truncated bool     `json:"groups_truncated,omitempty"`
	Scope     string   `json:"scope,omitempty"`
	AuthTime  int64    `json:"auth_time,omitempty"`
	ACR       string   `json:"acr,omitempty"`
	AMR       []string `json:"amr,omitempty"`
}

// Assertion signs the short JWT that tells one upstream who the caller is:
// typ gatehouse+jwt, ES256, aud resource, life AssertionLife. It is signed
// with keys of its own, so that no verifier of access tokens takes it.
// fault.Invalid for an anonymous principal.
func (s *Service) Assertion(ctx context.Context, p *pool.Pool, resource string, who *pool.Principal) (string, error) {
	now := s.now()
	c := statement{
		Issuer: p.Issuer, Audience: resource,
		IssuedAt: now.Unix(), Expires: now.Add(AssertionLife).Unix(),
		Client: string(who.Client), Scope: strings.Join(who.Scopes, " "), ACR: who.ACR, AMR: who.AMR,
	}
	switch who.Kind {
	case pool.Person:
		c.Sub, c.Username, c.Name, c.Email = string(who.Sub), who.Username, who.Name, who.Email
		c.Groups, c.Truncated = fitting(who.Groups, maxAssertionGroups)
		if !who.AuthTime.IsZero() {
			c.AuthTime = who.AuthTime.Unix()
		}
	case pool.Machine:
		c.Sub = string(who.Client)
	default:
		return "", fault.New(fault.Invalid, "nobody to assert")
	}
	key, err := s.keys.Signer(ctx, p.ID, pool.AssertionKeys, jose.ES256)
	if err != nil {
		return "", fmt.Errorf("token: key of assertions: %w", err)
	}
	signed, err := key.Sign(typAssertion, c)
	if err != nil {
		return "", fmt.Errorf("token: sign assertion: %w", err)
	}
	return signed, nil
}

// fitting returns as many items as fit into room bytes.
func fitting(items []string, room int) (fit []string, cut bool) {
	for i, item := range items {
		if room -= len(item) + 3; room < 0 { // quotes and comma
			return items[:i], true
		}
	}
	return items, false
}

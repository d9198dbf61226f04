package token

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// UserClaims is what a client may know of a user, by claim name (OIDC Core
// 5.1), the same in ID tokens and at userinfo. No value is empty.
type UserClaims map[string]any

// UserClaimNames returns the names of all claims about users that this build
// knows.
func UserClaimNames() []string {
	return append([]string{"name", "preferred_username", "updated_at", "email", "email_verified", "phone_number", "phone_number_verified"},
		pool.ProfileClaims()...)
}

// ScopeOfClaim returns the scope that a claim about a user belongs to (OIDC
// Core 5.4); empty if the claim is not known.
func ScopeOfClaim(name string) string {
	switch name {
	case "name", "preferred_username", "updated_at":
		return pool.ScopeProfile
	case "email", "email_verified":
		return pool.ScopeEmail
	case "phone_number", "phone_number_verified":
		return pool.ScopePhone
	case "address":
		return pool.ScopeAddress
	}
	if slices.Contains(pool.ProfileClaims(), name) {
		return pool.ScopeProfile
	}
	return ""
}

// ClaimsOf returns the claims about a user that scopes ask for, and those of
// names, which were asked for one by one (OIDC Core 5.5). Names that are not
// known, and claims that the user has no value of, are left out.
func ClaimsOf(u *pool.User, scopes []string, names ...string) UserClaims {
	claims := UserClaims{}
	for _, name := range UserClaimNames() {
		if !slices.Contains(scopes, ScopeOfClaim(name)) && !slices.Contains(names, name) {
			continue
		}
		if v := claimOf(u, name); v != nil {
			claims[name] = v
		}
	}
	return claims
}

// stillAllowed leaves out the names of claims whose scope the client may not
// have any more.
func stillAllowed(c *pool.Client, names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !slices.Contains(c.Scopes, ScopeOfClaim(name)) })
}

// claimOf returns the value of one of UserClaimNames, or nil.
func claimOf(u *pool.User, name string) any {
	switch name {
	case "name":
		return text(u.Name)
	case "preferred_username":
		if u.Username == string(u.Sub) {
			return nil // nobody chose it
		}
		return text(u.Username)
	case "updated_at":
		if u.Updated.IsZero() {
			return nil
		}
		return u.Updated.Unix()
	case "email":
		return text(u.Email)
	case "email_verified":
		return about(u.Email, u.EmailVerified)
	case "phone_number":
		return text(u.Phone)
	case "phone_number_verified":
		return about(u.Phone, u.PhoneVerified)
	case "address":
		return address(u.Claims["address"])
	}
	return text(u.Claims[name])
}

// text returns s, or nil if it is empty.
func text(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// about returns whether something was verified, if it is there.
func about(s string, verified bool) any {
	if s == "" {
		return nil
	}
	return verified
}

// address is the object of OIDC Core 5.1.1; the formatted form is all we keep.
func address(formatted string) any {
	if formatted == "" {
		return nil
	}
	return map[string]string{"formatted": formatted}
}

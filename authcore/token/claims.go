package token

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// UserClaims is what a client may know of a user, by claim name (OIDC Core
// 5.1), the same in ID tokens and at userinfo. No value is empty.
type UserClaims map[string]any

// scopeClaims are the claims that a scope asks for (OIDC Core 5.4).
var scopeClaims = map[string][]string{
	pool.ScopeProfile: {
		"name", "given_name", "family_name", "middle_name", "nickname", "preferred_username", "profile", "picture",
		"website", "gender", "birthdate", "zoneinfo", "locale", "updated_at",
	},
	pool.ScopeEmail:   {"email", "email_verified"},
	pool.ScopePhone:   {"phone_number", "phone_number_verified"},
	pool.ScopeAddress: {"address"},
}

// UserClaimNames returns the names of all claims about users that this build
// knows, sorted.
func UserClaimNames() []string {
	var names []string
	for _, claims := range scopeClaims {
		names = append(names, claims...)
	}
	slices.Sort(names)
	return names
}

// ClaimsOf returns the claims about a user that scopes ask for, and those of
// names, which were asked for one by one (OIDC Core 5.5). Names that are not
// known, and claims that the user has no value of, are left out.
func ClaimsOf(u *pool.User, scopes []string, names ...string) UserClaims {
	claims := UserClaims{}
	for _, s := range scopes {
		claims.take(u, scopeClaims[s])
	}
	claims.take(u, names)
	return claims
}

func (c UserClaims) take(u *pool.User, names []string) {
	for _, name := range names {
		if v := claimOf(u, name); v != nil {
			c[name] = v
		}
	}
}

// claimOf returns the value of one claim, or nil.
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
	if !slices.Contains(pool.ProfileClaims(), name) {
		return nil
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

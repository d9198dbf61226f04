package pool

import (
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// The OIDC scopes (OIDC Core 5.4, 11). They belong to no resource.
const (
	ScopeOpenID  = "openid"
	ScopeProfile = "profile"
	ScopeEmail   = "email"
	ScopePhone   = "phone"
	ScopeAddress = "address"
	ScopeOffline = "offline_access"
)

// Bounds of a scope parameter.
const (
	maxScopes     = 100 // tokens
	maxScopeToken = 256 // bytes
)

// OIDCScopes returns the OIDC scopes that this build knows.
func OIDCScopes() []string {
	return []string{ScopeOpenID, ScopeProfile, ScopeEmail, ScopePhone, ScopeAddress, ScopeOffline}
}

// IsOIDCScope reports whether scope belongs to OIDC and to no resource.
func IsOIDCScope(scope string) bool { return slices.Contains(OIDCScopes(), scope) }

// ValidScope reports whether s is a scope-token (RFC 6749 3.3) of at most 256 bytes.
func ValidScope(s string) bool {
	if s == "" || len(s) > maxScopeToken {
		return false
	}
	for i := range len(s) {
		if c := s[i]; c < 0x21 || c > 0x7e || c == '"' || c == '\\' {
			return false
		}
	}
	return true
}

// ParseScope splits a scope parameter (RFC 6749 3.3) at single spaces and
// drops repetitions. Nothing is nil. fault.InvalidScope if it breaks the
// grammar or names more than 100 scopes.
func ParseScope(s string) ([]string, error) {
	if s == "" {
		return nil, nil
	}
	if len(s) > maxScopes*(maxScopeToken+1) || strings.Count(s, " ") >= maxScopes {
		return nil, fault.New(fault.InvalidScope, "too many scopes")
	}
	var out []string
	for token := range strings.SplitSeq(s, " ") {
		if !ValidScope(token) {
			return nil, fault.New(fault.InvalidScope, "the scope is malformed")
		}
		if !slices.Contains(out, token) {
			out = append(out, token)
		}
	}
	return out, nil
}

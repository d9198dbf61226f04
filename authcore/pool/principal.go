package pool

import "slices"

// HasScope reports whether the principal's token carries a scope.
func (p *Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// InGroup reports whether the principal is a member.
func (p *Principal) InGroup(name string) bool { return slices.Contains(p.Groups, name) }

// Reaches reports whether the principal signed in at least at a level.
func (p *Principal) Reaches(acr string) bool { return ACRAtLeast(p.ACR, acr) }

// ACRAtLeast reports whether a level is at least another: aal1 < aal2 < phr.
// A level that this build does not know reaches nothing, and nothing reaches it.
func ACRAtLeast(have, want string) bool {
	levels := []string{AAL1, AAL2, PHR}
	h, w := slices.Index(levels, have), slices.Index(levels, want)
	return h >= 0 && w >= 0 && h >= w
}

package pool

import "slices"

// HasScope reports whether the principal's token carries a scope.
func (p *Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// InGroup reports whether the principal is a member.
func (p *Principal) InGroup(name string) bool { return slices.Contains(p.Groups, name) }

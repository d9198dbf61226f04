package pool

import "slices"

// ScopeAdmin is the scope of the admin API. Only members of OperatorsGroup can
// be granted it, and machine clients whose configuration says so.
const ScopeAdmin = "gatehouse.admin"

// AdminResource is the identifier of the admin API of an issuer, its only
// audience.
func AdminResource(issuer string) string { return issuer + "/admin" }

// AdminAPI is the resource that every pool has by itself.
func AdminAPI(issuer string) *Resource {
	return &Resource{ID: AdminResource(issuer), Scopes: []string{ScopeAdmin}}
}

// MayGrant returns those of the scopes that a user may grant to anybody: all
// but gatehouse.admin, which is for operators.
func (p *Pool) MayGrant(u *User, scopes []string) []string {
	if u.InGroup(OperatorsGroup) {
		return scopes
	}
	return withoutAdmin(scopes)
}

// withoutAdmin leaves out the scope that nobody gets without asking for it.
func withoutAdmin(scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return s == ScopeAdmin })
}

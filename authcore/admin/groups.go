package admin

import (
	"maps"
	"slices"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func (a *API) listGroups(c *call) (any, error) {
	out := Groups{Groups: []Group{}}
	for _, name := range slices.Sorted(maps.Keys(c.pool.Groups)) {
		out.Groups = append(out.Groups, Group{name})
	}
	return out, nil
}

// listMembers answers with a page of members. Memberships stand with the
// users: it is a search.
func (a *API) listMembers(c *call) (any, error) {
	group := c.PathValue("group")
	after, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	members, next, err := a.config.Accounts.Members(c.Context(), c.pool, group, after, limit)
	if err != nil {
		return nil, err
	}
	if c.pool.Groups[group] == nil && len(members) == 0 && next == "" {
		return nil, noGroup(group)
	}
	return usersOf(members, next), nil
}

func noGroup(name string) error {
	return fault.New(fault.NotFound, "the pool has no group "+strconv.Quote(name))
}

// member finds the user whom a body names.
func (a *API) member(c *call, in *Member) (*pool.User, error) {
	if in.User == "" {
		return nil, fault.New(fault.Invalid, "user names the user")
	}
	return a.config.Accounts.Find(c.Context(), c.pool, in.User)
}

func (a *API) addMember(c *call, in *Member) (any, error) {
	group := c.PathValue("group")
	if err := declared(c.pool, []string{group}); err != nil {
		return nil, err
	}
	u, err := a.member(c, in)
	if err != nil {
		return nil, err
	}
	if u, err = a.config.Accounts.Join(c.Context(), c.by, c.pool, u.Sub, group); err != nil {
		return nil, err
	}
	return userOf(u), nil
}

// removeMember takes users out of groups that are declared no more, too.
func (a *API) removeMember(c *call, in *Member) (any, error) {
	group := c.PathValue("group")
	u, err := a.member(c, in)
	if err != nil {
		return nil, err
	}
	if c.pool.Groups[group] == nil && !u.InGroup(group) {
		return nil, noGroup(group)
	}
	if u, err = a.config.Accounts.Leave(c.Context(), c.by, c.pool, u.Sub, group); err != nil {
		return nil, err
	}
	return userOf(u), nil
}

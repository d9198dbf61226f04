package account

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Search lists the users that a filter (pool.Filter; "" for all) chooses. A
// sub, user name, e-mail address or phone number in full is one lookup; any
// other filter looks through the users, and its pages may be short, or empty,
// before the last: see repo.Search. fault.Invalid for a filter or cursor that
// is none.
func (s *Service) Search(ctx context.Context, p *pool.Pool, filter, after string, limit int) ([]*pool.User, string, error) {
	if filter == "" {
		return s.repo.Users(ctx, p.ID, after, limit)
	}
	f, err := pool.ParseFilter(filter)
	if err != nil {
		return nil, "", err
	}
	sub, bySub := f.Sub()
	alias, byAlias := f.Identifier()
	if !bySub && !byAlias && !f.Nobody() {
		return s.repo.Search(ctx, p.ID, f.Matches, after, limit)
	}
	var u *pool.User
	switch {
	case after != "":
		return nil, "", fault.New(fault.Invalid, "the cursor is of another search: this one has one page")
	case bySub:
		u, err = s.repo.User(ctx, p.ID, sub)
	case byAlias:
		u, err = s.repo.UserByIdentifier(ctx, p.ID, alias)
	}
	if fault.CodeOf(err) == fault.NotFound || err == nil && (u == nil || !f.Matches(u)) {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return []*pool.User{u}, "", nil
}

// Members lists the members of a group, as Search does.
func (s *Service) Members(ctx context.Context, p *pool.Pool, group, after string, limit int) ([]*pool.User, string, error) {
	return s.repo.Search(ctx, p.ID, func(u *pool.User) bool { return u.InGroup(group) }, after, limit)
}

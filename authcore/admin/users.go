package admin

import (
	"slices"
	"strconv"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// The bounds of a page of users.
const (
	defaultPage = 60
	maxPage     = 200
)

// user is the user that the path names.
func (a *API) user(c *call) (*pool.User, error) {
	return a.config.Accounts.Find(c.Context(), c.pool, c.PathValue("user"))
}

// page is where a page of users begins, and how many it has at most.
func (c *call) page() (after string, limit int, err error) {
	query := c.URL.Query()
	limit = defaultPage
	if s := query.Get("limit"); s != "" {
		if limit, err = strconv.Atoi(s); err != nil || limit < 1 || limit > maxPage {
			return "", 0, fault.New(fault.Invalid, "limit is a number from 1 to "+strconv.Itoa(maxPage))
		}
	}
	return query.Get("after"), limit, nil
}

func usersOf(users []*pool.User, next string) Users {
	out := Users{Users: make([]User, 0, len(users)), Next: next}
	for _, u := range users {
		out.Users = append(out.Users, userOf(u))
	}
	return out
}

func (a *API) listUsers(c *call) (any, error) {
	after, limit, err := c.page()
	if err != nil {
		return nil, err
	}
	users, next, err := a.config.Accounts.Search(c.Context(), c.pool, c.URL.Query().Get("filter"), after, limit)
	if err != nil {
		return nil, err
	}
	return usersOf(users, next), nil
}

func (a *API) addUser(c *call, in *NewUser) (any, error) {
	if in.MustChange && in.Password == "" {
		return nil, fault.New(fault.Invalid, "must_change needs a password")
	}
	if err := declared(c.pool, in.Groups); err != nil {
		return nil, err
	}
	u, err := a.config.Accounts.Create(c.Context(), c.by, c.pool, account.NewUser{
		Identifier: in.Identifier, Name: in.Name, Groups: in.Groups, Password: in.Password, Verified: true, MustChange: in.MustChange,
	})
	if err != nil {
		return nil, err
	}
	out := userOf(u)
	if u.Status == pool.MustSetPassword {
		token, err := a.config.Accounts.Invite(c.Context(), c.by, c.pool, u.Sub)
		if err != nil {
			return nil, err
		}
		out.Link = a.config.Link(c.pool, token)
	}
	return out, nil
}

// declared refuses groups that the configuration does not know.
func declared(p *pool.Pool, groups []string) error {
	for _, g := range groups {
		if p.Groups[g] == nil {
			return fault.New(fault.Invalid, "the pool has no group "+strconv.Quote(g)+": declare it with `group "+g+"`")
		}
	}
	return nil
}

func (a *API) showUser(c *call) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	return userOf(u), nil
}

// on finds the user of the path, does something to it, and answers with how
// the user is then.
func (a *API) on(c *call, do func(sub pool.UserID) error) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	if err := do(u.Sub); err != nil {
		return nil, err
	}
	if u, err = a.config.Accounts.Find(c.Context(), c.pool, string(u.Sub)); err != nil {
		return nil, err
	}
	return userOf(u), nil
}

func (a *API) changeUser(c *call, in *UserChange) (any, error) {
	if in.Groups != nil {
		u, err := a.user(c)
		if err != nil {
			return nil, err
		}
		// A group that was declared once may stay, and may go.
		added := slices.DeleteFunc(slices.Clone(*in.Groups), u.InGroup)
		if err := declared(c.pool, added); err != nil {
			return nil, err
		}
	}
	return a.on(c, func(sub pool.UserID) error {
		_, err := a.config.Accounts.Change(c.Context(), c.by, c.pool, sub, account.Change{
			Name: in.Name, Email: in.Email, Phone: in.Phone, Claims: in.Profile, Groups: in.Groups,
		})
		return err
	})
}

func (a *API) setPassword(c *call, in *Password) (any, error) {
	set := a.config.Accounts.SetPassword
	if in.MustChange {
		set = a.config.Accounts.RequirePasswordChange
	}
	return a.on(c, func(sub pool.UserID) error {
		_, err := set(c.Context(), c.by, c.pool, sub, in.Password)
		return err
	})
}

func (a *API) disableUser(c *call, _ *nothing) (any, error) {
	return a.on(c, func(sub pool.UserID) error { return a.config.Accounts.Disable(c.Context(), c.by, c.pool, sub) })
}

func (a *API) enableUser(c *call, _ *nothing) (any, error) {
	return a.on(c, func(sub pool.UserID) error { return a.config.Accounts.Enable(c.Context(), c.by, c.pool, sub) })
}

func (a *API) deleteUser(c *call, _ *nothing) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	if err := a.config.Accounts.Delete(c.Context(), c.by, c.pool, u.Sub); err != nil {
		return nil, err
	}
	return Deleted{u.Sub}, nil
}

func (a *API) inviteUser(c *call, _ *nothing) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	token, err := a.config.Accounts.Invite(c.Context(), c.by, c.pool, u.Sub)
	if err != nil {
		return nil, err
	}
	return Link{a.config.Link(c.pool, token)}, nil
}

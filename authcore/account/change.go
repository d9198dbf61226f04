package account

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// errNoIdentifier keeps a user from becoming one whom nobody can sign in as.
var errNoIdentifier = fault.New(fault.Invalid, "a user who has no user name needs an e-mail address or a phone number to sign in with")

// Change is what an operator changes of a user, in one commit; nil leaves a
// member as it is.
type Change struct {
	Name   *string
	Email  *string           // empty: takes it away. Operators vouch for it: it is verified
	Phone  *string           // the same
	Claims map[string]string // these alone; an empty one is taken away
	Groups *[]string         // instead of those of before
}

// Change changes a user. fault.Invalid, fault.NotFound, fault.Conflict if an
// address is somebody else's.
func (s *Service) Change(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, c Change) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, verbChange, target{p.ID, sub}); err != nil {
		return nil, err
	}
	email, err := address(c.Email, pool.ByEmail, "that is no e-mail address")
	if err != nil {
		return nil, err
	}
	phone, err := address(c.Phone, pool.ByPhone, "that is no phone number with its country code, such as +4930123456")
	if err != nil {
		return nil, err
	}
	return s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		if c.Name != nil {
			u.Name = strings.TrimSpace(*c.Name)
		}
		if email != nil {
			u.Email, u.EmailVerified = *email, *email != ""
		}
		if phone != nil {
			u.Phone, u.PhoneVerified = *phone, *phone != ""
		}
		if c.Claims != nil {
			claims := maps.Clone(u.Claims)
			if claims == nil {
				claims = map[string]string{}
			}
			maps.Copy(claims, c.Claims)
			u.Claims = pool.CleanClaims(claims)
		}
		if c.Groups != nil {
			u.Groups = slices.Compact(slices.Sorted(slices.Values(*c.Groups)))
		}
		if u.Email == "" && u.Phone == "" && u.Username == string(u.Sub) {
			return errNoIdentifier
		}
		return nil
	})
}

// address normalises an address of one kind; nil and empty stay what they are.
func address(given *string, kind pool.AliasKind, otherwise string) (*string, error) {
	if given == nil || *given == "" {
		return given, nil
	}
	id, err := pool.ParseIdentifier(*given)
	if err != nil || id.Kind != kind {
		return nil, fault.Wrap(fault.Invalid, err, otherwise)
	}
	return &id.Value, nil
}

// Join makes a user a member of a group; being one already is fine.
// fault.NotFound, fault.Invalid.
func (s *Service) Join(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, group string) (*pool.User, error) {
	return s.regroup(ctx, by, p, sub, func(groups []string) []string {
		groups = append(groups, group)
		slices.Sort(groups)
		return slices.Compact(groups)
	})
}

// Leave ends a user's membership; having none is fine. Gates learn of it at
// once. fault.NotFound.
func (s *Service) Leave(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, group string) (*pool.User, error) {
	return s.regroup(ctx, by, p, sub, func(groups []string) []string {
		return slices.DeleteFunc(groups, func(g string) bool { return g == group })
	})
}

// regroup changes a user's groups by a closure that may run more than once.
func (s *Service) regroup(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, change func([]string) []string) (*pool.User, error) {
	if err := s.authorizeAndRecord(ctx, by, verbSetGroups, target{p.ID, sub}); err != nil {
		return nil, err
	}
	return s.repo.UpdateUser(ctx, p.ID, sub, func(u *pool.User) error {
		u.Groups = change(slices.Clone(u.Groups))
		return nil
	})
}

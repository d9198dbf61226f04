package admin

import (
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func (a *API) listSessions(c *call) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	all, err := a.config.Sessions.List(c.Context(), c.pool, u.Sub)
	if err != nil {
		return nil, err
	}
	out := Sessions{Sessions: make([]Session, 0, len(all))}
	for _, s := range all {
		out.Sessions = append(out.Sessions, Session{
			ID: s.Name, SignedIn: s.Session.AuthTime, Used: s.Session.Used, Expires: s.Expires,
			Address: s.Session.Address, Agent: s.Session.Agent, ACR: s.Session.ACR, AMR: list(s.Session.AMR),
		})
	}
	return out, nil
}

func (a *API) endSession(c *call, in *EndSession) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	if in.ID == "" {
		return nil, fault.New(fault.Invalid, "id names the session, as the list of sessions does")
	}
	a.record(c, "session.end", u.Sub)
	if err := a.config.Sessions.EndNamed(c.Context(), c.pool, u.Sub, in.ID); err != nil {
		return nil, err
	}
	return Ended{in.ID}, nil
}

func (a *API) endSessions(c *call, _ *nothing) (any, error) {
	return a.on(c, func(sub pool.UserID) error {
		_, err := a.config.Accounts.EndSessions(c.Context(), c.by, c.pool, sub)
		return err
	})
}

func (a *API) listConsents(c *call) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	return a.consents(c, u)
}

func (a *API) consents(c *call, u *pool.User) (any, error) {
	all, err := a.config.Accounts.Consents(c.Context(), c.pool, u.Sub)
	if err != nil {
		return nil, err
	}
	out := Consents{Consents: make([]Consent, 0, len(all))}
	for _, g := range all {
		out.Consents = append(out.Consents, Consent{Client: g.Client, Host: g.Host, Resource: g.Resource, Scopes: list(g.Scopes), At: g.At})
	}
	return out, nil
}

// withdraw ends what the client was given as well: before, so that this can be
// tried again if it fails, and after, for what it was given meanwhile.
func (a *API) withdraw(c *call, in *Withdraw) (any, error) {
	u, err := a.user(c)
	if err != nil {
		return nil, err
	}
	if in.Client == "" {
		return nil, fault.New(fault.Invalid, "client names the client")
	}
	for _, step := range []func() error{
		func() error { return a.config.Tokens.EndClient(c.Context(), c.pool, u.Sub, in.Client) },
		func() error { return a.config.Accounts.Withdraw(c.Context(), c.by, c.pool, u.Sub, in.Client) },
		func() error { return a.config.Tokens.EndClient(c.Context(), c.pool, u.Sub, in.Client) },
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return a.consents(c, u)
}

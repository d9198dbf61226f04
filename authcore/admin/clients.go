package admin

import (
	"cmp"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func (a *API) listClients(c *call) (any, error) {
	out := Clients{Clients: make([]Client, 0, len(c.pool.Clients))}
	for _, cl := range c.pool.Clients {
		out.Clients = append(out.Clients, clientOf(cl))
	}
	slices.SortFunc(out.Clients, func(a, b Client) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func (a *API) showClient(c *call) (any, error) {
	cl := c.pool.Client(pool.ClientID(c.PathValue("client")))
	if cl == nil {
		return nil, fault.New(fault.NotFound, "no such client")
	}
	return clientOf(cl), nil
}

// editClient is what there is instead of changing a client.
func (a *API) editClient(*call, *map[string]any) (any, error) {
	return nil, fault.New(fault.Conflict, "clients stand in the Caddyfile: change them there and run `caddy reload`")
}

func (a *API) listKeys(c *call) (any, error) {
	keys, err := a.config.Keys.List(c.Context(), c.pool.ID)
	if err != nil {
		return nil, err
	}
	return keysOf(keys), nil
}

func (a *API) rotateKeys(c *call, in *Rotate) (any, error) {
	use := cmp.Or(in.Use, pool.TokenKeys)
	if use != pool.TokenKeys && use != pool.AssertionKeys {
		return nil, fault.New(fault.Invalid, "use is token or assertion")
	}
	keys, err := a.config.Keys.Rotate(c.Context(), c.by, c.pool.ID, use, in.Now)
	if err != nil {
		return nil, err
	}
	return keysOf(keys), nil
}

func (a *API) dropKey(c *call, in *DropKey) (any, error) {
	keys, err := a.config.Keys.Drop(c.Context(), c.by, c.pool.ID, in.ID)
	if err != nil {
		return nil, err
	}
	return keysOf(keys), nil
}

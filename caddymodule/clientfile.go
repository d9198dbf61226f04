package caddymodule

import (
	"slices"

	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// parseClient reads a client: an id and its options.
func (p *Pool) parseClient(d *caddyfile.Dispenser) error {
	c := &Client{Where: where(d)}
	var err error
	if c.ID, err = one(d); err != nil {
		return err
	}
	if !pool.ValidClientID(pool.ClientID(c.ID)) {
		return d.Errf("client %q: an id is 1 to 128 letters, digits, . _ ~ - and does not look like a UUID", c.ID)
	}
	for _, other := range p.Clients {
		if other.ID == c.ID {
			return d.Errf("client %s is configured already, at %s", c.ID, other.Where)
		}
	}
	p.Clients = append(p.Clients, c)
	return block(d, []word{
		{"name", into(&c.Name)},
		{"secret", c.parseSecret},
		{"redirect", add(&c.Redirects)},
		{"logout_redirect", add(&c.Logouts)},
		{"origins", add(&c.Origins)},
		{"consent", toggle(&c.Consent)},
		{"grant", c.parseGrant},
		{"scopes", add(&c.Scopes)},
		{"default_scopes", add(&c.DefaultScopes)},
		{"resources", add(&c.Resources)},
		{"default_resource", into(&c.DefaultResource)},
		{"auth", choice(&c.Auth, "client_secret_basic", "client_secret_post", "none")},
		{"native", toggle(&c.Native)},
		{"pkce", c.parsePKCE},
		{"rotate", c.parseRotate},
		{"token", c.parseToken},
		{"id_signing_alg", choice(&c.IDSigningAlg, "ES256", "RS256")},
		{"disabled", toggle(&c.Disabled)},
	})
}

func (c *Client) parseSecret(d *caddyfile.Dispenser) error {
	list, err := args(d)
	if err != nil {
		return d.Err("secret needs a value such as {env.NAME} or {file./path}")
	}
	if c.Secrets = append(c.Secrets, list...); len(c.Secrets) > 2 {
		return d.Errf("client %s: at most two secrets may live at once", c.ID)
	}
	return nil
}

func (c *Client) parseGrant(d *caddyfile.Dispenser) error {
	list, err := args(d)
	if err != nil {
		return err
	}
	known := []string{"authorization_code", "refresh_token", "client_credentials"}
	if !slices.Contains(known, list[0]) {
		return d.Errf("grant %q: this build does not have it%s", list[0], suggestion(list[0], known))
	}
	c.Grants = append(c.Grants, Grant{Type: list[0], Scopes: list[1:]})
	return nil
}

func (c *Client) parsePKCE(d *caddyfile.Dispenser) error {
	text, err := one(d)
	if err == nil && text != "optional" {
		err = d.Errf("pkce: it is required unless you write `pkce optional`")
	}
	c.PKCEOptional = true
	return err
}

func (c *Client) parseRotate(d *caddyfile.Dispenser) error {
	var text string
	if err := choice(&text, "on", "off")(d); err != nil {
		return err
	}
	c.RotateOff = text == "off"
	return nil
}

func (c *Client) parseToken(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	c.Token = &TokenPolicy{}
	return block(d, []word{{"access", duration(&c.Token.Access)}, {"id", duration(&c.Token.ID)}, {"refresh", duration(&c.Token.Refresh)}})
}

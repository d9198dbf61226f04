package caddymodule

import (
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func (c *cli) clientCommand() *cobra.Command {
	return group("client", "Shows clients",
		c.command("list", "Lists all clients", cobra.NoArgs, func(cmd *cobra.Command, api *adminAPI, _ []string) error {
			var out admin.Clients
			if err := api.call(cmd.Context(), "GET", c.base()+"/clients", nil, &out); err != nil {
				return err
			}
			return c.print(cmd, out.Clients, func(w io.Writer) {
				table(w, []string{"CLIENT", "AUTH", "GRANTS", "SCOPES", "SECRETS"}, func(row func(...string)) {
					for _, cl := range out.Clients {
						scopes := strings.Join(append(cl.Scopes, cl.Machine...), " ")
						row(string(cl.ID), strings.Join(cl.Auth, ","), strings.Join(cl.Grants, ","), scopes, strings.Join(cl.Secrets, ","))
					}
				})
			})
		}),
		c.command("show <client>", "Shows a client", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
			var cl admin.Client
			if err := api.call(cmd.Context(), "GET", c.base()+"/clients/"+escape(args[0]), nil, &cl); err != nil {
				return err
			}
			return c.print(cmd, cl, func(w io.Writer) { fields(w, cl) })
		}),
	)
}

func (c *cli) keyCommand() *cobra.Command {
	var use string
	var in admin.Rotate
	rotate := c.command("rotate", "Publishes new signing keys, which take over once verifiers have seen them", cobra.NoArgs,
		func(cmd *cobra.Command, api *adminAPI, _ []string) error {
			in.Use = pool.KeyUse(use)
			return c.keys(cmd, api, "POST", c.base()+"/keys/rotate", in)
		})
	rotate.Flags().StringVar(&use, "use", "token", "token or assertion")
	rotate.Flags().BoolVar(&in.Now, "now", false, "let the new keys sign at once: verifiers that keep the old set refuse them for up to 5 minutes")
	return group("key", "Shows, rotates and drops signing keys",
		c.command("list", "Lists all signing keys", cobra.NoArgs, func(cmd *cobra.Command, api *adminAPI, _ []string) error {
			return c.keys(cmd, api, "GET", c.base()+"/keys", nil)
		}),
		rotate,
		c.command("drop <key>", "Takes a key away that somebody else may know: all that it has signed is refused at once", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
			return c.keys(cmd, api, "POST", c.base()+"/keys/drop", admin.DropKey{ID: args[0]})
		}),
	)
}

// keys calls an endpoint that answers with keys, and prints them.
func (c *cli) keys(cmd *cobra.Command, api *adminAPI, method, path string, in any) error {
	var out admin.Keys
	if err := api.call(cmd.Context(), method, path, in, &out); err != nil {
		return err
	}
	return c.print(cmd, out.Keys, func(w io.Writer) {
		table(w, []string{"KEY", "USE", "ALG", "STATE", "SIGNS FROM"}, func(row func(...string)) {
			for _, k := range out.Keys {
				row(k.ID, string(k.Use), string(k.Alg), k.State, k.SignFrom.Format("2006-01-02 15:04:05"))
			}
		})
	})
}

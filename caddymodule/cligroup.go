package caddymodule

import (
	"fmt"
	"io"
	"net/url"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
)

func (c *cli) groupCommand() *cobra.Command {
	return group("group", "Shows groups and changes who is a member",
		c.command("list", "Lists the groups that the configuration declares", cobra.NoArgs, c.groupList),
		c.command("members <group>", "Lists the members of a group", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
			return c.listUsers(cmd, api, c.base()+"/groups/"+escape(args[0])+"/members", url.Values{}, 0)
		}),
		c.groupVerb("add", "Makes a user a member"),
		c.groupVerb("remove", "Ends a membership; gates learn of it at once"),
	)
}

func (c *cli) groupList(cmd *cobra.Command, api *adminAPI, _ []string) error {
	var out admin.Groups
	if err := api.call(cmd.Context(), "GET", c.base()+"/groups", nil, &out); err != nil {
		return err
	}
	return c.print(cmd, out.Groups, func(w io.Writer) {
		for _, g := range out.Groups {
			fmt.Fprintln(w, g.Name)
		}
	})
}

func (c *cli) groupVerb(verb, short string) *cobra.Command {
	return c.command(verb+" <group> <user>", short, cobra.ExactArgs(2), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		return c.change(cmd, api, c.base()+"/groups/"+escape(args[0])+"/"+verb, admin.Member{User: args[1]})
	})
}

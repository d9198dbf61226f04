package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func (c *cli) userCommand() *cobra.Command {
	return group("user", "Adds, shows and changes users",
		c.userAdd(),
		c.userList(),
		c.command("show <user>", "Shows a user, by e-mail, phone, user name or sub", cobra.ExactArgs(1), c.userShow),
		c.userSet(),
		c.userPassword("password", "Sets a user's password, read from standard input or a prompt; all sessions end", false),
		c.userPassword("require-password-change", "Sets a password that is good for one sign-in, which asks for another; all sessions end", true),
		c.userVerb("disable", "Ends everything a user has and lets nothing new begin"),
		c.userVerb("enable", "Reverses disable"),
		c.userDelete(),
		c.userInvite(),
		c.userSessions(),
		c.userEndSessions(),
		c.userConsents(),
		c.userWithdraw(),
		c.command("groups <user>", "Lists the groups of a user", cobra.ExactArgs(1), c.userGroups),
	)
}

func (c *cli) userAdd() *cobra.Command {
	var in admin.NewUser
	var stdin bool
	cmd := c.command("add <identifier>", "Adds a user; without a password it prints a one-time link to set one", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) (err error) {
			in.Identifier = args[0]
			if in.MustChange && !stdin {
				return errors.New("--must-change needs --password-stdin: without a password the user chooses one by the link")
			}
			if stdin {
				if in.Password, err = readPassword(cmd); err != nil {
					return err
				}
			}
			var u admin.User
			if err := api.call(cmd.Context(), "POST", c.users(), in, &u); err != nil {
				return err
			}
			return c.print(cmd, u, func(w io.Writer) {
				fmt.Fprintf(w, "Added %s (%s).\n", u.Label(), u.Sub)
				if u.Link != "" {
					fmt.Fprintf(w, "Set the password here, once, within a day:\n\n    %s\n", u.Link)
				}
			})
		})
	cmd.Flags().StringArrayVar(&in.Groups, "group", nil, "a group of the user (may repeat)")
	cmd.Flags().StringVar(&in.Name, "name", "", "the user's full name")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read a password from standard input")
	cmd.Flags().BoolVar(&in.MustChange, "must-change", false, "the password is good for one sign-in, which asks for another")
	return cmd
}

func (c *cli) userList() *cobra.Command {
	var filter string
	var limit int
	cmd := c.command("list", "Lists all users, or those that a filter chooses", cobra.NoArgs, func(cmd *cobra.Command, api *adminAPI, _ []string) error {
		if limit < 0 || limit == 0 && cmd.Flags().Changed("limit") {
			return errors.New("--limit is a number from 1")
		}
		return c.listUsers(cmd, api, c.users(), url.Values{"filter": {filter}}, limit)
	})
	cmd.Flags().StringVar(&filter, "filter", "", `whom: attribute = "value" or attribute ^= "beginning", such as 'email ^= "ann"'`)
	cmd.Flags().IntVar(&limit, "limit", 0, "at most so many users; by default all")
	return cmd
}

// listUsers prints all pages of a list of users, or the first of them (limit 0: all).
func (c *cli) listUsers(cmd *cobra.Command, api *adminAPI, path string, query url.Values, limit int) error {
	users := []admin.User{}
	for {
		size := 200
		if limit > 0 {
			size = min(size, limit-len(users))
		}
		query.Set("limit", strconv.Itoa(size))
		var page admin.Users
		if err := api.call(cmd.Context(), "GET", path+"?"+query.Encode(), nil, &page); err != nil {
			return err
		}
		users = append(users, page.Users...)
		if page.Next == "" || len(users) == limit {
			break
		}
		query.Set("after", page.Next)
	}
	return c.print(cmd, users, func(w io.Writer) {
		table(w, []string{"USER", "GROUPS", "STATUS", "CREATED", "SUB"}, func(row func(...string)) {
			for _, u := range users {
				row(u.Label(), strings.Join(u.Groups, ","), u.State(), u.Created.Format("2006-01-02"), string(u.Sub))
			}
		})
	})
}

func (c *cli) userShow(cmd *cobra.Command, api *adminAPI, args []string) error {
	var u admin.User
	if err := api.call(cmd.Context(), "GET", c.user(args[0]), nil, &u); err != nil {
		return err
	}
	return c.printUser(cmd, u)
}

func (c *cli) userSet() *cobra.Command {
	var groups, claims []string
	cmd := c.command("set <user>", "Changes what the flags name, all of it or nothing", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) (err error) {
			var in admin.UserChange
			flags := cmd.Flags()
			for flag, member := range map[string]**string{"name": &in.Name, "email": &in.Email, "phone": &in.Phone} {
				if value, _ := flags.GetString(flag); flags.Changed(flag) {
					*member = &value
				}
			}
			if flags.Changed("group") {
				in.Groups = &groups
				if len(groups) == 1 && groups[0] == "" {
					in.Groups = &[]string{}
				}
			}
			if in.Profile, err = pairs(claims); err != nil {
				return err
			}
			if in.Name == nil && in.Email == nil && in.Phone == nil && in.Groups == nil && in.Profile == nil {
				return errors.New("nothing to change: name something with --name, --email, --phone, --claim or --group")
			}
			return c.change(cmd, api, c.user(args[0]), in)
		})
	cmd.Flags().String("name", "", "the user's full name")
	cmd.Flags().String("email", "", "an e-mail address, which counts as verified; empty takes it away")
	cmd.Flags().String("phone", "", "a phone number with its country code, which counts as verified; empty takes it away")
	cmd.Flags().StringArrayVar(&claims, "claim", nil, "another standard claim as name=value, such as given_name=Ada; an empty value takes it away (may repeat)")
	cmd.Flags().StringArrayVar(&groups, "group", nil, "a group, instead of all groups of before (may repeat); empty for none")
	return cmd
}

// pairs reads name=value; nil if there are none.
func pairs(list []string) (map[string]string, error) {
	var out map[string]string
	for _, item := range list {
		name, value, ok := strings.Cut(item, "=")
		if !ok {
			return nil, fmt.Errorf("--claim %q: write name=value", item)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[name] = value
	}
	return out, nil
}

// change posts to an endpoint that answers with the user, and prints it.
func (c *cli) change(cmd *cobra.Command, api *adminAPI, path string, in any) error {
	var u admin.User
	if err := api.call(cmd.Context(), "POST", path, in, &u); err != nil {
		return err
	}
	return c.printUser(cmd, u)
}

func (c *cli) userPassword(verb, short string, mustChange bool) *cobra.Command {
	return c.command(verb+" <user>", short, cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		password, err := readPassword(cmd)
		if err != nil {
			return err
		}
		return c.change(cmd, api, c.user(args[0])+"/password", admin.Password{Password: password, MustChange: mustChange})
	})
}

func (c *cli) userVerb(verb, short string) *cobra.Command {
	return c.command(verb+" <user>", short, cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		return c.change(cmd, api, c.user(args[0])+"/"+verb, nil)
	})
}

func (c *cli) userDelete() *cobra.Command {
	return c.command("delete <user>", "Deletes a user for good", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		var out admin.Deleted
		if err := api.call(cmd.Context(), "POST", c.user(args[0])+"/delete", nil, &out); err != nil {
			return err
		}
		return c.print(cmd, out, func(w io.Writer) { fmt.Fprintf(w, "Deleted %s.\n", out.Deleted) })
	})
}

func (c *cli) userInvite() *cobra.Command {
	return c.command("invite <user>", "Prints a one-time link with which the user sets a password", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		var out admin.Link
		if err := api.call(cmd.Context(), "POST", c.user(args[0])+"/invite", nil, &out); err != nil {
			return err
		}
		return c.print(cmd, out, func(w io.Writer) { fmt.Fprintln(w, out.Link) })
	})
}

func (c *cli) userSessions() *cobra.Command {
	return c.command("sessions <user>", "Lists the browsers in which a user is signed in", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		var out admin.Sessions
		if err := api.call(cmd.Context(), "GET", c.user(args[0])+"/sessions", nil, &out); err != nil {
			return err
		}
		return c.print(cmd, out.Sessions, func(w io.Writer) {
			table(w, []string{"SESSION", "SIGNED IN", "USED", "ADDRESS", "BROWSER"}, func(row func(...string)) {
				for _, s := range out.Sessions {
					row(s.ID, s.SignedIn.Format(toTheMinute), s.Used.Format(toTheMinute), s.Address, printable(s.Agent))
				}
			})
		})
	})
}

const toTheMinute = "2006-01-02 15:04"

func (c *cli) userEndSessions() *cobra.Command {
	var id string
	cmd := c.command("end-sessions <user>", "Ends all sessions and tokens of a user, or one session", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) error {
			if !cmd.Flags().Changed("session") {
				return c.change(cmd, api, c.user(args[0])+"/sessions/end-all", nil)
			}
			var out admin.Ended
			if err := api.call(cmd.Context(), "POST", c.user(args[0])+"/sessions/end", admin.EndSession{ID: id}, &out); err != nil {
				return err
			}
			return c.print(cmd, out, func(w io.Writer) { fmt.Fprintf(w, "Ended %s.\n", out.Ended) })
		})
	cmd.Flags().StringVar(&id, "session", "", "end this one alone, as `user sessions` names it")
	return cmd
}

func (c *cli) userConsents() *cobra.Command {
	return c.command("consents <user>", "Lists what a user lets clients have", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		return c.consents(cmd, api, "GET", c.user(args[0])+"/consents", nil)
	})
}

func (c *cli) userWithdraw() *cobra.Command {
	return c.command("withdraw <user> <client>", "Forgets what a user lets a client have, and prints what is left", cobra.ExactArgs(2), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		return c.consents(cmd, api, "POST", c.user(args[0])+"/consents/withdraw", admin.Withdraw{Client: pool.ClientID(args[1])})
	})
}

// consents calls an endpoint that answers with consents, and prints them.
func (c *cli) consents(cmd *cobra.Command, api *adminAPI, method, path string, in any) error {
	var out admin.Consents
	if err := api.call(cmd.Context(), method, path, in, &out); err != nil {
		return err
	}
	return c.print(cmd, out.Consents, func(w io.Writer) {
		table(w, []string{"CLIENT", "HOST", "RESOURCE", "SCOPES", "SINCE"}, func(row func(...string)) {
			for _, g := range out.Consents {
				row(string(g.Client), g.Host, g.Resource, strings.Join(g.Scopes, " "), g.At.Format("2006-01-02"))
			}
		})
	})
}

func (c *cli) userGroups(cmd *cobra.Command, api *adminAPI, args []string) error {
	var u admin.User
	if err := api.call(cmd.Context(), "GET", c.user(args[0]), nil, &u); err != nil {
		return err
	}
	return c.print(cmd, u.Groups, func(w io.Writer) {
		for _, g := range u.Groups {
			fmt.Fprintln(w, g)
		}
	})
}

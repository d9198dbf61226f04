package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gatehouse",
		Usage: "user|client|key|check",
		Short: "Looks after Gatehouse's users, clients and keys",
		Long: `Talks to the running server over its admin socket in the data directory.
When none runs, the embedded store is opened directly.

Secrets are read from standard input or a prompt, never from an argument.`,
		CobraFunc: buildCommand,
	})
}

// buildCommand fills in `caddy gatehouse`. Exit codes: 0 done, 1 refused or
// failed, 2 not understood.
func buildCommand(cmd *cobra.Command) {
	c := &cli{}
	flags := cmd.PersistentFlags()
	flags.StringVar(&c.dir, "data-dir", "", "Gatehouse's data directory (default: gatehouse in Caddy's data directory)")
	flags.StringVar(&c.pool, "pool", defaultPool, "the pool")
	flags.BoolVar(&c.json, "json", false, "print JSON")
	cmd.SetFlagErrorFunc(misused)
	onlyGroups(cmd)
	cmd.AddCommand(c.userCommand(), c.clientCommand(), c.keyCommand(), c.checkCommand())
}

// misused reports a call that was not understood: exit code 2.
func misused(cmd *cobra.Command, err error) error {
	cmd.PrintErrf("Error: %v\nSee `%s --help`.\n", err, cmd.CommandPath())
	err = caddycmd.WrapCommandFuncForCobra(func(caddycmd.Flags) (int, error) { return 2, nil })(cmd, nil)
	cmd.SilenceErrors, cmd.SilenceUsage = true, true // said already
	return err
}

// understood makes arguments that are refused a call that was not understood.
func understood(args cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, list []string) error {
		if err := args(cmd, list); err != nil {
			return misused(cmd, err)
		}
		return nil
	}
}

// onlyGroups makes a command that only holds others say so.
func onlyGroups(cmd *cobra.Command) {
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			return nil
		}
		var names []string
		for _, sub := range cmd.Commands() {
			names = append(names, sub.Name())
		}
		return misused(cmd, fmt.Errorf("unknown command %q%s", args[0], suggestion(args[0], names)))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// cli is one run of the command line.
type cli struct {
	dir, pool string
	json      bool
}

// group makes a command that only holds others.
func group(use, short string, commands ...*cobra.Command) *cobra.Command {
	cmd := &cobra.Command{Use: use, Short: short}
	onlyGroups(cmd)
	cmd.AddCommand(commands...)
	return cmd
}

// command makes a command that calls the admin API.
func (c *cli) command(use, short string, args cobra.PositionalArgs, run func(cmd *cobra.Command, api *adminAPI, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, SilenceUsage: true,
		Args: understood(args),
		RunE: func(cmd *cobra.Command, args []string) error {
			api, err := c.connect(cmd.Context(), cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			return errors.Join(run(cmd, api, args), api.Close())
		},
	}
}

func (c *cli) userCommand() *cobra.Command {
	return group("user", "Adds, shows and changes users",
		c.userAdd(),
		c.command("list", "Lists all users", cobra.NoArgs, c.userList),
		c.command("show <user>", "Shows a user, by e-mail, phone, user name or sub", cobra.ExactArgs(1), c.userShow),
		c.userPassword(),
		c.userVerb("disable", "Ends everything a user has and lets nothing new begin"),
		c.userVerb("enable", "Reverses disable"),
		c.userDelete(),
	)
}

func (c *cli) userAdd() *cobra.Command {
	var in userInput
	var stdin bool
	cmd := c.command("add <identifier>", "Adds a user; without a password it prints a one-time link to set one", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) (err error) {
			in.Identifier = args[0]
			if stdin {
				if in.Password, err = readPassword(cmd); err != nil {
					return err
				}
			}
			var u user
			if err := api.call(cmd.Context(), "POST", c.users(), in, &u); err != nil {
				return err
			}
			return c.print(cmd, u, func(w io.Writer) {
				fmt.Fprintf(w, "Added %s (%s).\n", u.name(), u.Sub)
				if u.Link != "" {
					fmt.Fprintf(w, "Set the password here, once, within a day:\n\n    %s\n", u.Link)
				}
			})
		})
	cmd.Flags().StringArrayVar(&in.Groups, "group", nil, "a group of the user (may repeat)")
	cmd.Flags().StringVar(&in.Name, "name", "", "the user's full name")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read a password from standard input")
	return cmd
}

func (c *cli) userList(cmd *cobra.Command, api *adminAPI, _ []string) error {
	users := []user{}
	for after := ""; ; {
		var page struct {
			Users []user `json:"users"`
			Next  string `json:"next"`
		}
		if err := api.call(cmd.Context(), "GET", c.users()+"?limit=200&after="+escape(after), nil, &page); err != nil {
			return err
		}
		users = append(users, page.Users...)
		if after = page.Next; after == "" {
			break
		}
	}
	return c.print(cmd, users, func(w io.Writer) {
		table(w, []string{"USER", "GROUPS", "STATUS", "CREATED", "SUB"}, func(row func(...string)) {
			for _, u := range users {
				row(u.name(), strings.Join(u.Groups, ","), u.state(), u.Created.Format("2006-01-02"), u.Sub)
			}
		})
	})
}

func (c *cli) userShow(cmd *cobra.Command, api *adminAPI, args []string) error {
	var u user
	if err := api.call(cmd.Context(), "GET", c.users()+"/"+escape(args[0]), nil, &u); err != nil {
		return err
	}
	return c.printUser(cmd, u)
}

func (c *cli) userPassword() *cobra.Command {
	var link bool
	cmd := c.command("password <user>", "Sets a user's password, read from standard input or a prompt; all sessions end", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) error {
			path := c.users() + "/" + escape(args[0])
			var u user
			if link {
				if err := api.call(cmd.Context(), "POST", path+"/invite", nil, &u); err != nil {
					return err
				}
				return c.print(cmd, map[string]string{"link": u.Link}, func(w io.Writer) { fmt.Fprintln(w, u.Link) })
			}
			password, err := readPassword(cmd)
			if err != nil {
				return err
			}
			if err := api.call(cmd.Context(), "POST", path+"/password", userInput{Password: password}, &u); err != nil {
				return err
			}
			return c.printUser(cmd, u)
		})
	cmd.Flags().BoolVar(&link, "link", false, "print a one-time link instead, with which the user sets it")
	return cmd
}

func (c *cli) userVerb(verb, short string) *cobra.Command {
	return c.command(verb+" <user>", short, cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		var u user
		if err := api.call(cmd.Context(), "POST", c.users()+"/"+escape(args[0])+"/"+verb, nil, &u); err != nil {
			return err
		}
		return c.printUser(cmd, u)
	})
}

func (c *cli) userDelete() *cobra.Command {
	return c.command("delete <user>", "Deletes a user for good", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
		var out map[string]string
		if err := api.call(cmd.Context(), "POST", c.users()+"/"+escape(args[0])+"/delete", nil, &out); err != nil {
			return err
		}
		return c.print(cmd, out, func(w io.Writer) { fmt.Fprintf(w, "Deleted %s.\n", out["deleted"]) })
	})
}

func (c *cli) clientCommand() *cobra.Command {
	return group("client", "Shows clients",
		c.command("list", "Lists all clients", cobra.NoArgs, func(cmd *cobra.Command, api *adminAPI, _ []string) error {
			var out struct {
				Clients []client `json:"clients"`
			}
			if err := api.call(cmd.Context(), "GET", c.base()+"/clients", nil, &out); err != nil {
				return err
			}
			return c.print(cmd, out.Clients, func(w io.Writer) {
				table(w, []string{"CLIENT", "AUTH", "GRANTS", "SCOPES", "SECRETS"}, func(row func(...string)) {
					for _, cl := range out.Clients {
						row(cl.ID, strings.Join(cl.Auth, ","), strings.Join(cl.Grants, ","), cl.scopes(), strings.Join(cl.Secrets, ","))
					}
				})
			})
		}),
		c.command("show <client>", "Shows a client", cobra.ExactArgs(1), func(cmd *cobra.Command, api *adminAPI, args []string) error {
			var cl client
			if err := api.call(cmd.Context(), "GET", c.base()+"/clients/"+escape(args[0]), nil, &cl); err != nil {
				return err
			}
			return c.print(cmd, cl, func(w io.Writer) { fields(w, cl) })
		}),
	)
}

func (c *cli) keyCommand() *cobra.Command {
	in := struct {
		Use string `json:"use"`
		Now bool   `json:"now"`
	}{}
	rotate := c.command("rotate", "Publishes new signing keys, which take over once verifiers have seen them", cobra.NoArgs,
		func(cmd *cobra.Command, api *adminAPI, _ []string) error {
			return c.keys(cmd, api, "POST", c.base()+"/keys/rotate", in)
		})
	rotate.Flags().StringVar(&in.Use, "use", "token", "token or assertion")
	rotate.Flags().BoolVar(&in.Now, "now", false, "let the new keys sign at once: verifiers that keep the old set refuse them for up to 5 minutes")
	return group("key", "Shows and rotates signing keys",
		c.command("list", "Lists all signing keys", cobra.NoArgs, func(cmd *cobra.Command, api *adminAPI, _ []string) error {
			return c.keys(cmd, api, "GET", c.base()+"/keys", nil)
		}),
		rotate,
	)
}

// keys calls an endpoint that answers with keys, and prints them.
func (c *cli) keys(cmd *cobra.Command, api *adminAPI, method, path string, in any) error {
	var out struct {
		Keys []key `json:"keys"`
	}
	if err := api.call(cmd.Context(), method, path, in, &out); err != nil {
		return err
	}
	return c.print(cmd, out.Keys, func(w io.Writer) {
		table(w, []string{"KEY", "USE", "ALG", "STATE", "SIGNS FROM"}, func(row func(...string)) {
			for _, k := range out.Keys {
				row(k.ID, k.Use, k.Alg, k.State, k.SignFrom.Format("2006-01-02 15:04:05"))
			}
		})
	})
}

// readPassword reads a password from a prompt, twice, or from standard input.
func readPassword(cmd *cobra.Command) (string, error) {
	in, isFile := cmd.InOrStdin().(*os.File)
	if !isFile || !term.IsTerminal(int(in.Fd())) {
		text, err := io.ReadAll(io.LimitReader(cmd.InOrStdin(), 1<<16))
		if err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		return notEmpty(strings.TrimRight(string(text), "\r\n"))
	}
	var typed [2]string
	for i, prompt := range []string{"Password: ", "Again: "} {
		fmt.Fprint(cmd.ErrOrStderr(), prompt)
		text, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(cmd.ErrOrStderr())
		if err != nil {
			return "", fmt.Errorf("reading the password: %w", err)
		}
		typed[i] = string(text)
	}
	if typed[0] != typed[1] {
		return "", errors.New("the two differ: nothing was changed")
	}
	return notEmpty(typed[0])
}

func notEmpty(password string) (string, error) {
	if password == "" {
		return "", errors.New("the password is empty: nothing was changed")
	}
	return password, nil
}

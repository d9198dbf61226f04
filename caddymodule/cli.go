package caddymodule

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
)

func init() {
	caddycmd.RegisterCommand(caddycmd.Command{
		Name:  "gatehouse",
		Usage: "user|group|client|key|import|export|backup|restore|check",
		Short: "Looks after Gatehouse's users, groups, clients and keys",
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
	cmd.AddCommand(c.userCommand(), c.groupCommand(), c.clientCommand(), c.keyCommand(), c.checkCommand(),
		c.importCommand(), c.exportCommand(), c.backupCommand(), c.restoreCommand())
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
		if slices.Contains(stillToCome(), args[0]) {
			return misused(cmd, fmt.Errorf("this build has no %q yet: it has %s", args[0], strings.Join(names, ", ")))
		}
		return misused(cmd, fmt.Errorf("unknown command %q%s", args[0], suggestion(args[0], names)))
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// stillToCome are commands that are planned, and that no build has.
func stillToCome() []string { return []string{"doctor"} }

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

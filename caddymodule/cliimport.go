package caddymodule

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
)

// detectBytes is how much of a file tells its format.
const detectBytes = 64 << 10

// importFlags are what the command line says of an import.
type importFlags struct {
	format, errors, hashConfig string
	drop                       []string
	dry                        bool
}

func (c *cli) importCommand() *cobra.Command {
	var f importFlags
	cmd := c.command("import <file>", "Adds the users of a file, with the hashes of their passwords", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) error {
			return c.runImport(cmd, api, args[0], f)
		})
	cmd.Flags().StringVar(&f.format, "format", "", strings.Join(admin.Formats(), ", ")+" (default: by what the file looks like)")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "check everything and change nothing")
	cmd.Flags().StringVar(&f.errors, "errors", "", "the file that says which lines were refused, and why (default: the file's name and .errors)")
	cmd.Flags().StringVar(&f.hashConfig, "hash-config", "", "a file with the Firebase project's password hash parameters")
	cmd.Flags().StringArrayVar(&f.drop, "drop", nil, "a column of the CSV file to leave out (may repeat)")
	return cmd
}

// runImport runs an import and says what came of it.
func (c *cli) runImport(cmd *cobra.Command, api *adminAPI, path string, f importFlags) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	read := &counting{r: file}
	buffered := bufio.NewReaderSize(read, detectBytes)
	run, err := f.importer(buffered)
	if err != nil {
		return err
	}
	f.format = run.Format
	state, err := openState(file, path, f, c.pool)
	if err != nil {
		return err
	}
	if f.errors == "" {
		f.errors = path + ".errors"
	}
	report := &importReport{path: f.errors, size: state.ErrorsSize, DryRun: f.dry, Format: f.format, counts: state.Counts}
	if run.Skip = state.Users; run.Skip > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "Going on after the first %d users, which an earlier run has dealt with.\n", run.Skip)
	}
	b := newBar(cmd.ErrOrStderr(), state.Size)
	run.Send = c.sendTo(api, f.dry)
	run.Settle = func(part []admin.Settled) error {
		if err := report.add(part); err != nil {
			return err
		}
		state.Users += len(part)
		state.Counts, state.ErrorsSize = report.counts, report.size
		b.show(read.n.Load(), state.Users)
		return state.save()
	}
	err = run.Run(cmd.Context(), buffered)
	b.end()
	if err = errors.Join(err, report.close()); err != nil {
		return fmt.Errorf("the import stopped after %d users: run the same command again to go on: %w", state.Users, err)
	}
	if err := state.remove(); err != nil {
		return err
	}
	return report.tell(c, cmd)
}

// importer finds out the format, and reads what the flags name.
func (f importFlags) importer(r *bufio.Reader) (admin.Importer, error) {
	i := admin.Importer{Format: f.format, Drop: f.drop}
	if i.Format == "" {
		head, err := r.Peek(detectBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return i, err
		}
		if i.Format = admin.DetectFormat(head); i.Format == "" {
			return i, fmt.Errorf("the file looks like none that is known: name its format with --format (%s)", strings.Join(admin.Formats(), ", "))
		}
	}
	if f.hashConfig != "" {
		raw, err := os.ReadFile(f.hashConfig)
		if err != nil {
			return i, err
		}
		i.HashConfig = string(raw)
	}
	return i, nil
}

// sendTo asks the server to create the users of a batch.
func (c *cli) sendTo(api *adminAPI, dry bool) func(context.Context, []admin.Record) ([]admin.Outcome, error) {
	return func(ctx context.Context, users []admin.Record) ([]admin.Outcome, error) {
		var out admin.Outcomes
		err := api.call(ctx, "POST", c.base()+"/import", admin.Batch{DryRun: dry, Users: users}, &out)
		return out.Outcomes, err
	}
}

// counting counts the bytes that pass.
type counting struct {
	r io.Reader
	n atomic.Int64
}

// Read passes bytes on.
func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n.Add(int64(n))
	return n, err
}

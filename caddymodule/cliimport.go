package caddymodule

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/account/imports"
	"github.com/gatehouse-auth/gatehouse/authcore/admin"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// An import goes in batches, several of which are on their way at once: one
// is read while another is written.
const (
	importBatch    = 250
	importInFlight = 4
	detectBytes    = 64 << 10
)

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
	cmd.Flags().StringVar(&f.format, "format", "", "cognito-csv, ndjson, keycloak, auth0 or firebase (default: by what the file looks like)")
	cmd.Flags().BoolVar(&f.dry, "dry-run", false, "check everything and change nothing")
	cmd.Flags().StringVar(&f.errors, "errors", "", "the file that says which lines were refused, and why (default: the file's name and .errors)")
	cmd.Flags().StringVar(&f.hashConfig, "hash-config", "", "a file with the Firebase project's password hash parameters")
	cmd.Flags().StringArrayVar(&f.drop, "drop", nil, "a column of the CSV file to leave out (may repeat)")
	return cmd
}

// importRun is one import.
type importRun struct {
	cli     *cli
	api     *adminAPI
	flags   importFlags
	items   iter.Seq2[imports.Item, error]
	report  *importReport
	state   *importState
	bar     *bar
	read    *counting
	seen    map[[12]byte]int // digests of what must be unique, and the line where it was
	resumed int              // items that an earlier run has dealt with
}

// runImport opens the files, runs the import and says what came of it.
func (c *cli) runImport(cmd *cobra.Command, api *adminAPI, path string, f importFlags) (err error) {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	read := &counting{r: file}
	buffered := bufio.NewReaderSize(read, detectBytes)
	options, err := f.options(buffered)
	if err != nil {
		return err
	}
	items, err := imports.Read(buffered, options)
	if err != nil {
		return err
	}
	f.format = options.Format
	run := &importRun{cli: c, api: api, flags: f, items: items, read: read, seen: map[[12]byte]int{}}
	if run.state, err = openState(file, path, f, c.pool); err != nil {
		return err
	}
	if f.errors == "" {
		f.errors = path + ".errors"
	}
	run.report = &importReport{path: f.errors, size: run.state.ErrorsSize, DryRun: f.dry, Format: f.format, counts: run.state.Counts}
	run.resumed = run.state.Items
	if run.resumed > 0 {
		fmt.Fprintf(cmd.ErrOrStderr(), "Going on after the first %d users, which an earlier run has dealt with.\n", run.resumed)
	}
	run.bar = newBar(cmd.ErrOrStderr(), run.state.Size)
	err = run.all(cmd.Context())
	run.bar.end()
	if err = errors.Join(err, run.report.close()); err != nil {
		return fmt.Errorf("the import stopped after %d users: run the same command again to go on: %w", run.state.Items, err)
	}
	if err := run.state.remove(); err != nil {
		return err
	}
	return run.report.tell(c, cmd)
}

// options finds out the format.
func (f importFlags) options(r *bufio.Reader) (imports.Options, error) {
	o := imports.Options{Format: f.format, Drop: f.drop}
	if o.Format == "" {
		head, err := r.Peek(detectBytes)
		if err != nil && !errors.Is(err, io.EOF) {
			return o, err
		}
		if o.Format = imports.Detect(head); o.Format == "" {
			return o, fmt.Errorf("the file looks like none that is known: name its format with --format (%s)", strings.Join(imports.Formats(), ", "))
		}
	}
	if f.hashConfig != "" {
		raw, err := os.ReadFile(f.hashConfig)
		if err != nil {
			return o, err
		}
		o.HashConfig = string(raw)
	}
	return o, nil
}

// importPart is a batch of the import on its way.
type importPart struct {
	lines    []int
	problems []string // of each item, found out before it is sent; empty: none
	records  []account.Record
	at       int64      // bytes of the file that were read for it
	done     chan error // the answer is in outcomes
	outcomes []account.Outcome
}

// all sends the items in batches and takes the answers in their order.
func (run *importRun) all(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *importPart, importInFlight)
	broken := make(chan error, 1)
	go func() {
		defer close(queue)
		broken <- run.produce(ctx, queue)
	}()
	var failed error
	for part := range queue {
		err := <-part.done
		if failed != nil {
			continue // the rest comes again in the next run
		}
		if err == nil {
			err = run.settle(part)
		}
		if err != nil {
			failed = err
			cancel()
		}
	}
	if err := <-broken; failed == nil {
		failed = err
	}
	return failed
}

// produce cuts the items into batches and sends each.
func (run *importRun) produce(ctx context.Context, queue chan<- *importPart) error {
	n := 0
	part := &importPart{done: make(chan error, 1)}
	send := func() error {
		part.at = run.read.n.Load()
		sent := part
		go func() { sent.done <- run.send(ctx, sent) }()
		part = &importPart{done: make(chan error, 1)}
		select {
		case queue <- sent:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for item, err := range run.items {
		if err != nil {
			return err
		}
		problem := run.judge(item)
		if n++; n <= run.resumed {
			continue
		}
		part.lines, part.problems = append(part.lines, item.Line), append(part.problems, problem)
		if problem == "" {
			part.records = append(part.records, item.Record)
		}
		if len(part.lines) == importBatch {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(part.lines) > 0 {
		return send()
	}
	return nil
}

// judge says what is wrong with an item before anybody is asked: it cannot be
// read, or is there twice.
func (run *importRun) judge(item imports.Item) string {
	if item.Err != nil {
		return item.Err.Error()
	}
	keys := unique(&item.Record)
	for _, k := range keys {
		if line := run.seen[k]; line > 0 {
			return fmt.Sprintf("the same sub, user name, e-mail address or phone number stands in line %d", line)
		}
	}
	for _, k := range keys {
		run.seen[k] = item.Line
	}
	return ""
}

// unique digests what only one user may have.
func unique(rec *account.Record) [][12]byte {
	var keys [][12]byte
	add := func(kind, value string) {
		sum := sha256.Sum256([]byte(kind + "\x00" + value))
		keys = append(keys, [12]byte(sum[:12]))
	}
	if rec.Sub != "" {
		add("sub", strings.ToLower(rec.Sub))
	}
	for _, text := range []string{rec.Username, rec.Email, rec.Phone} {
		if id, err := pool.ParseIdentifier(text); err == nil {
			add(string(id.Kind), id.Value)
		}
	}
	return keys
}

// send asks the server to create the users of a batch.
func (run *importRun) send(ctx context.Context, part *importPart) error {
	if len(part.records) == 0 {
		return nil
	}
	var out admin.Outcomes
	in := admin.Batch{DryRun: run.flags.dry, Users: part.records}
	if err := run.api.call(ctx, "POST", run.cli.base()+"/import", in, &out); err != nil {
		return err
	}
	if len(out.Outcomes) != len(part.records) {
		return errors.New("the server's answer is not that of this batch")
	}
	part.outcomes = out.Outcomes
	return nil
}

// settle writes down what became of a batch; after that it is never sent again.
func (run *importRun) settle(part *importPart) error {
	next := 0
	for i, line := range part.lines {
		outcome := account.Outcome{Result: account.Refused, Reason: part.problems[i]}
		if outcome.Reason == "" {
			outcome = part.outcomes[next]
			next++
		}
		if err := run.report.add(line, outcome); err != nil {
			return err
		}
	}
	run.state.Items += len(part.lines)
	run.state.Counts, run.state.ErrorsSize = run.report.counts, run.report.size
	run.bar.show(part.at, run.state.Items)
	if err := run.report.flush(); err != nil {
		return err
	}
	return run.state.save()
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

package caddymodule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

func (c *cli) backupCommand() *cobra.Command {
	var force bool
	cmd := c.command("backup FILE", "Writes a backup of the store while the server runs; - is standard output", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			if args[0] == "-" {
				return c.backupTo(ctx, cmd, api)
			}
			return c.backup(ctx, cmd, api, args[0], force)
		})
	cmd.Flags().BoolVar(&force, "force", false, "replace FILE if it is there")
	return cmd
}

// backedUp is what a backup says of itself.
type backedUp struct {
	File  string `json:"file"`
	Bytes int64  `json:"bytes"`
	Key   string `json:"key"` // where the key is that it is sealed with, and that it does not hold
}

func (b backedUp) print(w io.Writer) {
	fmt.Fprintf(w, "Wrote %s, %s.\nThe key that opens it is not in it: keep a copy of %s, and elsewhere.\n", b.File, amount(b.Bytes), b.Key)
}

// backup writes a backup to a file, which has its name only when it is whole.
func (c *cli) backup(ctx context.Context, cmd *cobra.Command, api *adminAPI, file string, force bool) (err error) {
	if err := vacant(file, force); err != nil {
		return err
	}
	part := file + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%s is there: another backup is being written, or one died: remove it then", part)
	}
	if err != nil {
		return err
	}
	renamed := false
	defer func() {
		if !renamed {
			err = errors.Join(err, os.Remove(part))
		}
	}()
	done, err := copyBackup(ctx, cmd, api, f)
	if err = errors.Join(err, syncIf(err, f), f.Close()); err != nil {
		return err
	}
	if err := vacant(file, force); err != nil {
		return err
	}
	if err := os.Rename(part, file); err != nil {
		return err
	}
	renamed, done.File = true, file
	if err := syncDir(filepath.Dir(file)); err != nil {
		return err
	}
	return c.print(cmd, done, done.print)
}

// backupTo writes a backup to standard output, and to standard error what it was.
func (c *cli) backupTo(ctx context.Context, cmd *cobra.Command, api *adminAPI) error {
	out := cmd.OutOrStdout()
	if onTerminal(out) {
		return errors.New("a backup is nothing for a terminal: name a file, or send it into a pipe")
	}
	done, err := copyBackup(ctx, cmd, api, out)
	if err != nil {
		return err
	}
	done.File = "standard output"
	if c.json {
		return json.NewEncoder(cmd.ErrOrStderr()).Encode(done)
	}
	done.print(cmd.ErrOrStderr())
	return nil
}

// vacant refuses to write over what is there; over what is no file, always.
func vacant(file string, force bool) error {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file", file)
	case !force:
		return fmt.Errorf("%s is there already: --force replaces it", file)
	}
	return nil
}

func copyBackup(ctx context.Context, cmd *cobra.Command, api *adminAPI, to io.Writer) (done backedUp, err error) {
	shown := &progress{to: cmd.ErrOrStderr(), shown: onTerminal(cmd.ErrOrStderr())}
	defer shown.end()
	shown.say("Taking a snapshot…")
	from, size, key, err := api.backup(ctx)
	if err != nil {
		return done, err
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	shown.size = size
	n, err := io.Copy(io.MultiWriter(to, shown), from)
	if ctx.Err() != nil {
		return done, errors.New("interrupted: there is no backup")
	}
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return done, fmt.Errorf("writing the backup: %w", err)
	}
	if n != size {
		return done, fmt.Errorf("the server ended after %d of %d bytes: there is no backup", n, size)
	}
	return backedUp{Bytes: n, Key: key}, nil
}

// backupPath is where the admin socket, and only it, gives out backups.
const backupPath = "/v1/backup"

// keyHeader says where the server has its key from.
const keyHeader = "Gatehouse-Key"

// backup asks the running server for a backup, or makes one of the store itself.
func (a *adminAPI) backup(ctx context.Context) (from io.ReadCloser, size int64, key string, err error) {
	if a.state != nil {
		f, err := a.state.Snapshot(ctx, a.storage.spare())
		if err != nil {
			return nil, 0, "", err
		}
		return f, f.Size, a.storage.keyPlace(), nil
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://gatehouse"+backupPath, http.NoBody)
	if err != nil {
		return nil, 0, "", fmt.Errorf("admin socket: %w", err)
	}
	res, err := a.transport.RoundTrip(r)
	if err != nil {
		return nil, 0, "", fmt.Errorf("admin socket: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
		return nil, 0, "", errors.Join(problem(res.StatusCode, raw), err, res.Body.Close())
	}
	return res.Body, res.ContentLength, printable(res.Header.Get(keyHeader)), nil
}

// progress is a line on a terminal.
type progress struct {
	to         io.Writer
	shown      bool
	size, done int64
	last       time.Time
}

func (p *progress) say(text string) {
	if p.shown {
		fmt.Fprintf(p.to, "\r\x1b[K%s", text)
	}
}

// Write counts what was copied.
func (p *progress) Write(b []byte) (int, error) {
	p.done += int64(len(b))
	if now := time.Now(); now.Sub(p.last) > 100*time.Millisecond {
		p.last = now
		p.say(fmt.Sprintf("%s of %s", amount(p.done), amount(p.size)))
	}
	return len(b), nil
}

// end takes the line away.
func (p *progress) end() { p.say("") }

// amount is a number of bytes as a person reads it.
func amount(n int64) string {
	units := []string{"kB", "MB", "GB", "TB"}
	if n < 1000 {
		return fmt.Sprintf("%d bytes", n)
	}
	v, unit := float64(n)/1000, 0
	for ; v >= 1000 && unit < len(units)-1; unit++ {
		v /= 1000
	}
	return fmt.Sprintf("%.1f %s", v, units[unit])
}

func onTerminal(w io.Writer) bool {
	f, isFile := w.(*os.File)
	return isFile && term.IsTerminal(int(f.Fd()))
}

func syncIf(err error, f *os.File) error {
	if err != nil {
		return nil
	}
	return f.Sync()
}

// syncDir makes a new name survive a crash, where a directory can be synced.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	err = d.Sync()
	if filepath.Separator != '/' {
		err = nil
	}
	return errors.Join(err, d.Close())
}

func (c *cli) restoreCommand() *cobra.Command {
	var force bool
	var keyFile string
	cmd := &cobra.Command{
		Use: "restore FILE", Short: "Makes a backup the store, while no server runs",
		SilenceUsage: true, Args: understood(cobra.ExactArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			done, err := c.restore(ctx, args[0], keyFile, force)
			if err != nil {
				return err
			}
			return c.print(cmd, done, done.print)
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "restore over a store that is there, which is kept under another name")
	cmd.Flags().StringVar(&keyFile, "key", "", "the file with the backup's key (default: the one in the data directory)")
	return cmd
}

// restored is what a restore says of itself.
type restored struct {
	Store string   `json:"store"`
	Pools []string `json:"pools"`
	Aside string   `json:"aside,omitempty"` // where the store of before is

	key, wanted string // the key file that opened it, and the one that a server looks for
}

func (r restored) print(w io.Writer) {
	fmt.Fprintf(w, "Restored %s with %s.\n", r.Store, pools(r.Pools))
	if r.Aside != "" {
		fmt.Fprintf(w, "The store of before is now %s: delete it when you miss nothing.\n", r.Aside)
	}
	if r.key != r.wanted {
		fmt.Fprintf(w, "A server looks for the key at %s, unless encryption_key names another: %s opens this store.\n", r.wanted, r.key)
	}
	fmt.Fprintln(w, "What was revoked, disabled or deleted since the backup is back: end it before you start the server.")
}

func pools(names []string) string {
	switch len(names) {
	case 0:
		return "no pools"
	case 1:
		return "the pool " + names[0]
	}
	return "the pools " + strings.Join(names, ", ")
}

// restore makes a backup the store of the data directory.
func (c *cli) restore(ctx context.Context, file, keyFile string, force bool) (restored, error) {
	s := resolveStorage(nil, nil, c.directory())
	s.createKey = false
	done := restored{Store: s.path, Pools: []string{}, wanted: s.keyFile}
	if keyFile != "" {
		abs, err := filepath.Abs(keyFile)
		if err != nil {
			return done, err
		}
		s.keyFile = abs
	}
	done.key = s.keyFile
	if conn, err := net.DialTimeout("unix", s.socket, 2*time.Second); err == nil {
		return done, errors.Join(fmt.Errorf("a server answers at %s: stop it first, nothing was changed", s.socket), conn.Close())
	}
	if !exists(filepath.Dir(s.path)) {
		return done, fmt.Errorf("there is no directory %s: make it as the user that runs the server, mode 0700, or name another with --data-dir", filepath.Dir(s.path))
	}
	keys, err := s.keys()
	if err != nil {
		return done, fmt.Errorf("%w: --key names the file with the backup's key", err)
	}
	done.Aside, err = sqlitestore.Restore(ctx, file, s.path, sqlitestore.RestoreOptions{
		Force: force,
		Check: func(ctx context.Context, path string) error {
			st, err := sqlitestore.Open(ctx, path, sqlitestore.Options{})
			if err != nil {
				return err
			}
			found, err := authcore.Inspect(ctx, authcore.StateConfig{Directory: st, Keys: keys, Logger: slog.New(slog.DiscardHandler)})
			done.Pools = append(done.Pools, found...)
			return err
		},
	})
	return done, unrestored(err, file, s, done.Aside)
}

// unrestored says what is wrong, and what helps.
func unrestored(err error, file string, s storage, aside string) error {
	var says string
	switch {
	case err == nil:
		return nil
	case errors.Is(err, sqlitestore.ErrExists):
		says = fmt.Sprintf("a store is at %s already: --force restores over it, and keeps it under another name", s.path)
	case errors.Is(err, authcore.ErrInUse):
		says = fmt.Sprintf("a server holds the store %s: stop it first, nothing was changed", s.path)
	case errors.Is(err, sqlitestore.ErrForeign):
		says = fmt.Sprintf("%s is not a backup of Gatehouse: nothing was changed", file)
	case errors.Is(err, sqlitestore.ErrNewer):
		says = fmt.Sprintf("%s is of a newer version of Gatehouse than this one: nothing was changed", file)
	case errors.Is(err, sqlitestore.ErrDamaged):
		says = fmt.Sprintf("%s is damaged or cut off: nothing was changed", file)
	case errors.Is(err, secret.ErrSealed):
		says = fmt.Sprintf("the key %s does not open %s: --key names another; nothing was changed", s.keyFile, file)
	case aside != "":
		return fmt.Errorf("%w: what was at %s is now %s", err, s.path, aside)
	default:
		return err
	}
	return errors.New(says)
}

package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrExists: there is a store already where one is to be restored.
	ErrExists = errors.New("a store is there already")
	// ErrDamaged: the file is a store, but parts of it are missing or wrong.
	ErrDamaged = errors.New("the file is damaged")
)

// RestoreOptions of Restore; the zero value works.
type RestoreOptions struct {
	// Check judges a copy of the backup before it takes the store's place; it
	// may open it. nil: nothing but what Restore itself looks at.
	Check func(ctx context.Context, path string) error
	// Force restores over a store that is there, which is kept under another name.
	Force bool
	Now   func() time.Time // names what is kept; nil: time.Now
}

// Restore makes a backup the store at path to, whose directory must exist. It
// takes the store's lock: store.ErrInUse if a server has it. The backup is only
// read; a copy of it must be ours (ErrForeign, ErrNewer), whole (ErrDamaged) and
// pass o.Check. ErrExists if a store is there and o.Force is not set; with it,
// aside is the name under which that store stays. After an error it is the
// name of what was taken from its place, if anything was.
//
// The copy takes the place in one rename. Whenever the process dies, the store
// of before or the restored one stands there and opens; the failover epoch of
// the restored one is above that of both.
func Restore(ctx context.Context, from, to string, o RestoreOptions) (aside string, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	r := &restoring{from: from, options: o}
	if r.to, err = filepath.Abs(to); err != nil {
		return "", fmt.Errorf("sqlitestore: restore: %w", err)
	}
	r.copy = r.to + ".restore"
	lock, err := acquire(r.to + ".lock")
	if err != nil {
		return "", fmt.Errorf("sqlitestore: restore %s: %w", r.to, err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	for _, step := range r.steps() {
		if err := step(ctx); err != nil {
			err = fmt.Errorf("sqlitestore: restore %s: %w", r.to, unopened(err))
			err = errors.Join(err, r.undo(ctx))
			return r.aside, err
		}
	}
	return r.aside, nil
}

// besides are the suffixes of files that SQLite reads along with a main file.
func besides() []string { return []string{"-wal", "-journal"} }

// restoring is one call of Restore.
type restoring struct {
	from, to string
	options  RestoreOptions
	copy     string // of from, beside to
	there    bool   // a store is at to, or a part of one
	epoch    uint32 // of the store at to
	aside    string // where it stays
}

// steps are what Restore does, in order; a crash may come between any two.
func (r *restoring) steps() []func(context.Context) error {
	return []func(context.Context) error{
		r.look, r.clear, r.take, r.judge, r.fold, r.raise, r.keep, r.strip, r.place,
	}
}

// look refuses what can be refused before anything is written.
func (r *restoring) look(context.Context) error {
	from, err := os.Stat(r.from)
	if err != nil {
		return err
	}
	if !from.Mode().IsRegular() {
		return fmt.Errorf("%s: %w", r.from, ErrForeign) // opening a pipe would wait
	}
	for _, suffix := range besides() {
		if info, err := os.Stat(r.from + suffix); err == nil && info.Size() > 0 {
			return fmt.Errorf("%s%s stands beside it: %s is a store that is or was in use and no backup, and part of it is there", r.from, suffix, r.from)
		}
	}
	at, err := os.Stat(r.to)
	if err == nil && os.SameFile(from, at) {
		return fmt.Errorf("%s is the store itself", r.from)
	}
	r.there = err == nil
	for _, suffix := range besides() {
		_, err := os.Lstat(r.to + suffix)
		r.there = r.there || err == nil
	}
	if r.there && !r.options.Force {
		return ErrExists
	}
	return nil
}

// clear removes the copy, one that a crash left too.
func (r *restoring) clear(context.Context) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal", ".lock"} {
		if err := os.Remove(r.copy + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// undo leaves one name to a store that kept its place.
func (r *restoring) undo(ctx context.Context) error {
	kept, err := os.Stat(r.aside)
	at, err2 := os.Stat(r.to)
	if err == nil && err2 == nil && os.SameFile(kept, at) && alone(r.aside) == nil {
		err := os.Remove(r.aside)
		r.aside = ""
		return errors.Join(err, r.clear(ctx))
	}
	return r.clear(ctx)
}

// take copies the backup.
func (r *restoring) take(ctx context.Context) (err error) {
	in, err := os.Open(r.from)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := os.OpenFile(r.copy, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if _, err := io.Copy(out, untilDone{ctx, in}); err != nil {
		return err
	}
	return out.Sync()
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.Reader.Read(p)
}

// judge looks at the copy, and lets the caller do so.
func (r *restoring) judge(ctx context.Context) error {
	if err := wholeness(ctx, r.copy); err != nil {
		return damaged(err)
	}
	if r.options.Check == nil {
		return nil
	}
	if err := r.options.Check(ctx, r.copy); err != nil {
		return err
	}
	if err := os.Remove(r.copy + ".lock"); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return alone(r.copy)
}

// wholeness reads every page of a file that must be a store of ours.
func wholeness(ctx context.Context, path string) error {
	return visit(ctx, path, func(w *writer) error {
		fresh, err := w.recognize()
		if err != nil {
			return err
		}
		var alien int
		if err := w.conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type IN ('trigger', 'view')").Scan(&alien); err != nil {
			return err
		}
		if fresh || alien > 0 { // triggers would run with every commit
			return ErrForeign
		}
		var size int64
		if err := w.conn.QueryRowContext(ctx, "SELECT c.page_count * s.page_size FROM pragma_page_count c, pragma_page_size s").Scan(&size); err != nil {
			return err
		}
		if info, err := os.Stat(path); err != nil || info.Size() != size {
			return errors.Join(fmt.Errorf("%w: it should have %d bytes", ErrDamaged, size), err)
		}
		var verdict string
		if err := w.conn.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
			return err
		}
		if verdict != "ok" {
			return fmt.Errorf("%w: %s", ErrDamaged, verdict)
		}
		return w.load()
	})
}

// damaged words what SQLite finds wrong with a file.
func damaged(err error) error {
	switch code(err) {
	case sqlite3.SQLITE_NOTADB:
		return fmt.Errorf("%w: %w", ErrForeign, err)
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR: // the latter: a table is missing
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return err
}

// visit opens a file without a lock, which its caller has, and closes it. The
// last connection to close folds the log into the file.
func visit(ctx context.Context, path string, do func(*writer) error) error {
	w := &writer{ctx: ctx, path: path, log: slog.New(slog.DiscardHandler), store: &Store{now: time.Now}}
	if err := w.connect(); err != nil {
		return errors.Join(err, w.close())
	}
	return errors.Join(do(w), w.close())
}

// alone refuses a file that SQLite would read others along with.
func alone(path string) error {
	for _, suffix := range besides() {
		if _, err := os.Lstat(path + suffix); err == nil {
			return fmt.Errorf("%s%s was not folded into its file", path, suffix)
		}
	}
	return nil
}

// fold brings the log of the store at to into its file, so that one file is
// all of it. A store that cannot be read any more stays as it is.
func (r *restoring) fold(ctx context.Context) error {
	if _, err := os.Lstat(r.to); err != nil {
		return nil // nothing, or a log alone
	}
	err := visit(ctx, r.to, func(w *writer) error {
		fresh, err := w.recognize()
		if fresh || err != nil {
			return err
		}
		if err := w.fold("TRUNCATE"); err != nil {
			return err
		}
		err = w.load()
		r.epoch = w.store.epoch.Load()
		return err
	})
	if err = damaged(err); errors.Is(err, ErrDamaged) || errors.Is(err, ErrForeign) || errors.Is(err, ErrNewer) {
		return nil
	}
	return err
}

// raise lets the next opening of the copy raise its failover epoch, and above
// that of the store at to: no commit number is given out twice.
func (r *restoring) raise(ctx context.Context) error {
	err := visit(ctx, r.copy, func(w *writer) error {
		return w.transaction(full, func() error {
			_, err := w.conn.ExecContext(ctx, "UPDATE meta SET value = max(value, ?) WHERE name = 'epoch'", r.epoch)
			return errors.Join(err, w.exec("UPDATE meta SET value = 0 WHERE name = 'clean'"))
		})
	})
	if err != nil {
		return err
	}
	if err := alone(r.copy); err != nil {
		return err
	}
	return syncFile(r.copy)
}

// keep gives what is at to a second name.
func (r *restoring) keep(context.Context) error {
	if !r.there {
		return nil
	}
	aside, err := r.vacant()
	if err != nil {
		return err
	}
	for _, suffix := range append(besides(), "") {
		err := os.Link(r.to+suffix, aside+suffix)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("keeping what is there: %w", err)
		}
		r.aside = aside
	}
	return syncDir(filepath.Dir(r.to))
}

// vacant is a name beside to that nothing has.
func (r *restoring) vacant() (string, error) {
	stem := r.to + ".before-" + r.options.Now().UTC().Format("20060102T150405Z")
	for n := range 100 {
		name := stem
		if n > 0 {
			name = fmt.Sprintf("%s-%d", stem, n+1)
		}
		free := true
		for _, suffix := range append(besides(), "") {
			_, err := os.Lstat(name + suffix)
			free = free && errors.Is(err, fs.ErrNotExist)
		}
		if free {
			return name, nil
		}
	}
	return "", fmt.Errorf("%s: %w", stem, fs.ErrExist)
}

// strip takes away what SQLite would apply to the restored file. After fold
// there is only what a damaged store could not take in, and keep has linked it.
func (r *restoring) strip(context.Context) error {
	for _, suffix := range append(besides(), "-shm") {
		if err := os.Remove(r.to + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return syncDir(filepath.Dir(r.to))
}

// place puts the copy into the store's place.
func (r *restoring) place(context.Context) error {
	if err := os.Rename(r.copy, r.to); err != nil {
		return err
	}
	return syncDir(filepath.Dir(r.to))
}

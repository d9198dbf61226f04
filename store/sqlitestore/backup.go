package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/gatehouse-auth/gatehouse/store"
)

// Backup writes the store as of now to a new file of mode 0600: one snapshot,
// in which each commit is whole or absent. Commits go on meanwhile. A file that
// is there already is left alone (fs.ErrExist); a full or failing disk is
// store.ErrUnavailable, and Close ends a backup under way with store.ErrClosed.
// After any failure nothing is left at to.
//
// The snapshot is one of a store that was not closed: whoever opens it raises
// the failover epoch.
func (s *Store) Backup(ctx context.Context, to string) (err error) {
	leave, err := s.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	if to, err = filepath.Abs(to); err != nil {
		return fmt.Errorf("sqlitestore: backup: %w", err)
	}
	f, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("sqlitestore: backup: %w", err)
	}
	done := false
	defer func() {
		if !done { // after a panic too
			err = errors.Join(err, os.Remove(to))
		}
	}()
	if err := f.Close(); err != nil {
		return fmt.Errorf("sqlitestore: backup: %w", err)
	}
	if err := s.snapshot(ctx, to); err != nil {
		return err
	}
	if err := syncFile(to); err != nil {
		return fmt.Errorf("sqlitestore: backup: %w: %w", store.ErrUnavailable, err)
	}
	done = true
	return nil
}

// snapshot lets SQLite write the store into an empty file, on a connection of
// its own: the readers' may write nothing.
func (s *Store) snapshot(ctx context.Context, to string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-s.quit:
			cancel(store.ErrClosed)
		case <-ctx.Done():
		}
	}()
	db, err := sql.Open("sqlite", dsn(s.writer.path))
	if err != nil {
		return fmt.Errorf("sqlitestore: backup: %w", err)
	}
	_, err = db.ExecContext(ctx, "VACUUM INTO ?", to)
	err = errors.Join(err, db.Close())
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("sqlitestore: backup: %w", context.Cause(ctx))
	}
	return fmt.Errorf("sqlitestore: backup: %w: %w", store.ErrUnavailable, err)
}

// syncFile makes a file and its name survive a crash.
func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0) // Windows syncs no file that is open for reading only
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}

package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/gatehouse-auth/gatehouse/store"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

var (
	// ErrNewer: a newer version of the product wrote the file.
	ErrNewer = errors.New("the file was written by a newer version")
	// ErrForeign: the file is something else than a store.
	ErrForeign = errors.New("the file is not a Gatehouse store")

	errReaders = errors.New("readers keep the log from being folded into the file")

	errLost = errors.New("acknowledged commits are missing from the file")
)

// code returns SQLite's primary result code, or -1 if err is not SQLite's.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return -1
	}
	return e.Code() & 0xff
}

// transient tells that the connection is sound after err: SQLite rolled back,
// and the next transaction may succeed. After anything else, a failed fsync
// above all, what the connection believes about the file may be false.
func transient(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY:
		return true
	}
	return errors.Is(err, errReaders)
}

// unopened words the failure of Open.
func unopened(err error) error {
	switch c := code(err); {
	case errors.Is(err, ErrForeign), errors.Is(err, ErrNewer):
		return err
	case c == sqlite3.SQLITE_FULL, c == sqlite3.SQLITE_IOERR, errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", store.ErrUnavailable, err)
	}
	return err
}

func unavailable(err error) error {
	return fmt.Errorf("sqlitestore: %w: %w", store.ErrUnavailable, err)
}

// unreadable words the failure of a read.
func unreadable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ended(ctx)
	}
	return unavailable(err)
}

func ended(ctx context.Context) error { return fmt.Errorf("sqlitestore: %w", ctx.Err()) }

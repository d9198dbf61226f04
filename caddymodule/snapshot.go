package caddymodule

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// backupPath is where the admin socket, and only it, gives out backups.
const backupPath = "/v1/backup"

// backupTurn is how long a backup waits for the one before it.
const backupTurn = 5 * time.Second

// snapshot is a backup in a file that nobody else has a name for.
type snapshot struct {
	*os.File
	size int64
	name string // where a file that is open cannot be removed
}

// Close closes the file; nothing of it is left.
func (s *snapshot) Close() error {
	err := s.File.Close()
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}

// takeSnapshot makes a backup of the store in a file beside it, of mode 0600.
// Its name is always the same, so that one which a crash left goes with the
// next: the caller makes one at a time.
func takeSnapshot(ctx context.Context, state *authcore.State, where storage) (*snapshot, error) {
	path := where.path + ".backup"
	if where.path != "" {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("gatehouse: backup: %w", err)
		}
	}
	if err := state.Backup(ctx, path); err != nil {
		return nil, fmt.Errorf("gatehouse: backup: %w", err)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("gatehouse: backup: %w", errors.Join(err, os.Remove(path)))
	}
	snap := &snapshot{File: f}
	if err := os.Remove(path); err != nil {
		snap.name = path
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("gatehouse: backup: %w", errors.Join(err, snap.Close()))
	}
	snap.size = info.Size()
	return snap, nil
}

// backup answers with a backup of the store (application/octet-stream). It is
// for the socket alone: no token opens it.
func (s *shared) backup(w http.ResponseWriter, r *http.Request) error {
	turn := time.NewTimer(backupTurn)
	defer turn.Stop()
	select {
	case s.backingUp <- struct{}{}:
		defer func() { <-s.backingUp }()
	case <-turn.C:
		return fault.New(fault.Busy, "another backup is under way: try again when it is done")
	case <-r.Context().Done():
		return fault.Wrap(fault.Unavailable, r.Context().Err(), "interrupted")
	}
	snap, err := takeSnapshot(r.Context(), s.state, s.key)
	if err != nil {
		return err
	}
	defer snap.Close() // whatever happens to the answer
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(snap.size, 10))
	w.Header().Set(keyHeader, s.key.keyPlace())
	w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(w, snap) // who gets less than Content-Length says sees it
	return nil
}

// serveBackup answers, or says why not.
func (s *shared) serveBackup(w http.ResponseWriter, r *http.Request) {
	if err := s.backup(w, r); err != nil {
		mux.WriteAPIError(w, r, spoken(err))
	}
}

// spoken gives a failure of the disk a text: whoever may open the socket may
// read the server's log as well.
func spoken(err error) error {
	if fault.TextOf(err) != "" {
		return err
	}
	return fault.Wrap(fault.Unavailable, err, err.Error())
}

// plainly is an error as a person reads it.
func plainly(err error) error {
	if text := fault.TextOf(err); text != "" {
		return errors.New(text)
	}
	return err
}

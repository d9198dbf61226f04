package authcore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/store"
)

// backupTurn is how long a backup waits for the one before it.
const backupTurn = 5 * time.Second

// backer is a store that can be backed up.
type backer interface {
	Backup(ctx context.Context, to string) error
}

// Backup writes the directory store as of now to a new file of mode 0600,
// sealed as it lies in the store, while everything goes on. fault.NotSupported
// if the store has no backups.
func (s *State) Backup(ctx context.Context, to string) error {
	st, ok := s.stores[0].(backer)
	if !ok {
		return fault.New(fault.NotSupported, "store memory forgets everything: there is nothing to back up")
	}
	if err := st.Backup(ctx, to); err != nil {
		return fmt.Errorf("authcore: %w", err)
	}
	return nil
}

// Inspect reads the names of the pools in a store, sorted, which proves that
// the keys open it (secret.ErrSealed), and closes the stores.
func Inspect(ctx context.Context, c StateConfig) (pools []string, err error) {
	s := &State{stores: []store.Store{c.Directory}}
	if c.Session != nil && c.Session != c.Directory {
		s.stores = append(s.stores, c.Session)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	log := c.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	r := repo.New(repo.Config{Directory: c.Directory, Session: c.Session, Keys: c.Keys, Now: c.Now, Logger: log})
	stored, err := r.Pools(ctx)
	if err != nil {
		return nil, fmt.Errorf("authcore: reading the store: %w", err)
	}
	for _, p := range stored {
		pools = append(pools, p.Name)
	}
	slices.Sort(pools)
	return pools, nil
}

// Snapshot is a backup in a file that nobody else has a name for.
type Snapshot struct {
	*os.File
	Size int64  // in bytes
	name string // where a file that is open cannot be removed
}

// Close closes the file; nothing of it is left.
func (s *Snapshot) Close() error {
	err := s.File.Close()
	if s.name != "" {
		err = errors.Join(err, os.Remove(s.name))
	}
	return err
}

// Snapshot makes a backup of the store in a file at path, of mode 0600, and
// opens it. What stands there is removed, for a crash left it: whoever asks
// for one waits for the one before it, fault.Busy if that takes long.
func (s *State) Snapshot(ctx context.Context, path string) (*Snapshot, error) {
	turn := time.NewTimer(backupTurn)
	defer turn.Stop()
	select {
	case s.backingUp <- struct{}{}:
		defer func() { <-s.backingUp }()
	case <-turn.C:
		return nil, fault.New(fault.Busy, "another backup is under way: try again when it is done")
	case <-ctx.Done():
		return nil, fault.Wrap(fault.Unavailable, ctx.Err(), "interrupted")
	}
	if _, ok := s.stores[0].(backer); ok {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("authcore: backup: %w", err)
		}
	}
	if err := s.Backup(ctx, path); err != nil {
		return nil, err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("authcore: backup: %w", errors.Join(err, os.Remove(path)))
	}
	snap := &Snapshot{File: f}
	if err := os.Remove(path); err != nil {
		snap.name = path
	}
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("authcore: backup: %w", errors.Join(err, snap.Close()))
	}
	snap.Size = info.Size()
	return snap, nil
}

// ServeBackup answers with a backup of the store (application/octet-stream),
// made in a file at path that is gone afterwards, whatever happens. It asks for
// nothing: it is for the admin socket alone. A failure of the disk is spoken
// out: whoever may open the socket may read the log as well.
func (s *State) ServeBackup(w http.ResponseWriter, r *http.Request, path string) {
	snap, err := s.Snapshot(r.Context(), path)
	if err != nil {
		if fault.TextOf(err) == "" {
			err = fault.Wrap(fault.Unavailable, err, err.Error())
		}
		mux.WriteAPIError(w, r, err)
		return
	}
	defer snap.Close()
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.FormatInt(snap.Size, 10))
	w.WriteHeader(http.StatusOK)
	_, _ = io.Copy(w, snap) // who gets less than Content-Length says sees it
}

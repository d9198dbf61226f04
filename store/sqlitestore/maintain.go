package sqlitestore

import (
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/store"
)

// maintain is what the writer does at each tick: recover a broken connection,
// flush what is in the log only, sweep, and fold the log into the file.
func (w *writer) maintain() {
	if w.broken != nil {
		w.recover()
		return
	}
	w.ticks++
	steps := []struct {
		name string
		due  bool
		do   func() error
	}{
		{"flush", w.dirty, w.flush},
		{"sweep", true, w.sweep},
		{"checkpoint", w.logged > 0 && w.ticks >= checkpointTicks, w.checkpoint},
		// On a full disk the log's room may be all there is.
		{"truncate", w.starved, w.truncate},
	}
	for _, step := range steps {
		if step.due && w.broken == nil {
			w.note(step.name, step.do())
		}
	}
}

// flush fsyncs the log: a commit at level FULL takes all before it along.
func (w *writer) flush() error {
	now := w.store.now().UnixMilli()
	err := w.transaction(full, func() error {
		_, err := w.conn.ExecContext(w.ctx, "UPDATE meta SET value = ? WHERE name = 'flushed'", now)
		return err
	})
	if err == nil {
		w.dirty = false
	}
	return err
}

// checkpoint copies the log into the file as far as readers allow.
func (w *writer) checkpoint() error {
	w.logged, w.ticks = 0, 0
	return w.fold("PASSIVE")
}

// truncate copies the whole log into the file and gives its room back.
func (w *writer) truncate() error {
	err := w.fold("TRUNCATE")
	if err == nil {
		w.writes()
	}
	return err
}

func (w *writer) fold(mode string) error {
	var busy, logged, folded int
	row := w.conn.QueryRowContext(w.ctx, "PRAGMA wal_checkpoint("+mode+")")
	if err := row.Scan(&busy, &logged, &folded); err != nil {
		return err
	}
	if busy != 0 && mode != "PASSIVE" {
		return errReaders
	}
	return nil
}

// note logs a failure of the disk, and gives the connection up unless it is
// sound after err.
func (w *writer) note(doing string, err error) {
	switch {
	case err == nil:
	case transient(err):
		if !w.starved {
			w.starved = true
			w.log.Error("the store cannot write", "path", w.path, "doing", doing, "error", err)
		}
	default:
		w.broken = fmt.Errorf("%s: %w", doing, err)
		w.log.Error("the store refuses writes until its file is sound again", "path", w.path, "doing", doing, "error", err)
	}
}

// writes notes that the disk took a write.
func (w *writer) writes() {
	if w.starved {
		w.starved = false
		w.log.Info("the store takes writes again", "path", w.path)
	}
}

// recover opens the file anew. A retried fsync may report success for pages
// the kernel has dropped, so the log is not trusted: its content is copied
// into the file, which is fsynced, and the log starts afresh. If anything
// acknowledged is missing then, writes stay refused until a restart.
func (w *writer) recover() {
	if errors.Is(w.broken, errLost) {
		return
	}
	err := w.reopen()
	if err != nil {
		if errors.Is(err, errLost) {
			w.broken = err
			w.log.Error("the store has lost acknowledged commits; it stays read-only", "path", w.path, "error", err)
		}
		return // the next tick tries again
	}
	w.broken, w.starved = nil, false
	w.log.Info("the store takes writes again", "path", w.path)
}

func (w *writer) reopen() error {
	_ = w.close() // its errors are why we are here
	if err := w.connect(); err != nil {
		return err
	}
	if err := w.useLog(); err != nil {
		return err
	}
	if err := w.prepare(); err != nil {
		return err
	}
	if err := w.fold("TRUNCATE"); err != nil {
		return err
	}
	stored, err := w.stored()
	if err != nil {
		return err
	}
	floor := uint64(w.store.epoch.Load()-1) << epochShift
	for p, seq := range w.seq {
		if seq > floor && stored[p] < seq {
			return fmt.Errorf("%w: partition %d is at %d, acknowledged was %d", errLost, p, stored[p], seq)
		}
		w.seq[p] = max(seq, stored[p]) // a commit of unknown outcome may be there
	}
	return w.flush() // proves that the file takes writes
}

// finish answers nobody any more: it flushes and marks the file as clean.
func (w *writer) finish() {
	if w.store.abandon.Load() {
		return
	}
	if w.broken != nil {
		w.last = unavailable(w.broken)
		return
	}
	err := w.transaction(full, func() error { return w.exec("UPDATE meta SET value = 1 WHERE name = 'clean'") })
	if err != nil {
		w.last = fmt.Errorf("sqlitestore: close: %w: %w", store.ErrUnavailable, err)
	}
}

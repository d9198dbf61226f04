package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	// maxBatch and maxBatchBytes bound one SQLite transaction.
	maxBatch      = 256
	maxBatchBytes = 8 << 20

	// tick is how often the writer looks after the file; what is in the log
	// only is flushed at the next one.
	tick = 500 * time.Millisecond

	// The log is folded into the file when it has about this many bytes, or
	// after this many ticks if it has any.
	checkpointBytes = 16 << 20
	checkpointTicks = 20

	pageSize = 8192
)

// level is SQLite's synchronous setting.
type level string

const (
	full   level = "FULL"   // fsync the log before COMMIT returns
	normal level = "NORMAL" // write the log before COMMIT returns
)

type sequences [store.Partitions]uint64

// writer is the one connection that writes. Its fields belong to its goroutine.
type writer struct {
	ctx   context.Context
	path  string
	log   *slog.Logger
	store *Store

	db    *sql.DB
	conn  *sql.Conn
	stmt  statements
	level level

	seq     sequences // latest commit number acknowledged, per partition
	broken  error     // why writes are refused
	starved bool      // the disk was full at the last attempt; logged once

	dirty  bool // acknowledged, in the log, but not yet fsynced
	logged int  // bytes since the log was folded into the file, roughly
	ticks  int  // since then

	batches int   // SQLite transactions that held commits, for tests
	last    error // of the end
}

// write is the writer's goroutine.
func (s *Store) write() {
	defer close(s.ended)
	w := s.writer
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for {
		select {
		case r := <-s.queue:
			w.serve(s.gather(r))
		case <-ticker.C:
			w.maintain()
		case <-s.quit:
			w.finish()
			return
		}
	}
}

// gather takes what waits besides the first request, up to the batch's bounds.
func (s *Store) gather(first request) []request {
	batch, bytes := []request{first}, size(first.txn)
	for len(batch) < maxBatch && bytes < maxBatchBytes {
		select {
		case r := <-s.queue:
			batch, bytes = append(batch, r), bytes+size(r.txn)
		default:
			return batch
		}
	}
	return batch
}

func size(t store.Txn) (n int) {
	for _, w := range t.Writes {
		n += len(w.Value)
	}
	return n
}

// serve commits a batch as one SQLite transaction and answers each request.
func (w *writer) serve(batch []request) {
	answers, err := w.commit(batch)
	for i, r := range batch {
		if err != nil {
			r.done <- answer{err: unavailable(err)}
			continue
		}
		if answers[i].applied {
			w.store.feed.Publish(answers[i].receipt.Version, r.txn.Writes)
		}
		r.done <- answers[i].answer
	}
	if w.broken == nil && w.logged >= checkpointBytes {
		w.note("checkpoint", w.checkpoint())
	}
}

func (w *writer) commit(batch []request) ([]outcome, error) {
	if w.broken != nil {
		return nil, w.broken
	}
	lvl := normal
	for _, r := range batch {
		if r.txn.Kind() == store.Directory {
			lvl = full
		}
	}
	var outcomes []outcome
	seq, applied := w.seq, 0
	err := w.transaction(lvl, func() error {
		for _, r := range batch {
			o, err := w.do(r, &seq)
			if err != nil {
				return err
			}
			if o.applied {
				applied += size(r.txn) + pageSize*len(r.txn.Writes)
			}
			outcomes = append(outcomes, o)
		}
		return w.saveSequences(&seq)
	})
	w.note("commit", err)
	if err != nil {
		return nil, err
	}
	w.seq = seq
	if applied > 0 {
		w.writes()
		w.batches++
		w.logged += applied
		w.dirty = lvl == normal || w.dirty && lvl != full
	}
	return outcomes, nil
}

func (w *writer) saveSequences(seq *sequences) error {
	for p := range seq {
		if seq[p] != w.seq[p] {
			if _, err := w.stmt.sequence.ExecContext(w.ctx, p, seq[p]); err != nil {
				return err
			}
		}
	}
	return nil
}

// outcome is an answer, and whether the transaction was applied just now.
type outcome struct {
	answer
	applied bool
}

func refuse(err error) outcome { return outcome{answer: answer{err: err}} }

// do judges one transaction and applies it inside the open SQLite transaction.
// The error is the disk's; a refusal is an outcome.
func (w *writer) do(r request, seq *sequences) (outcome, error) {
	t, now := r.txn, w.store.now()
	if r.ctx.Err() != nil {
		return refuse(ended(r.ctx)), nil
	}
	if receipt, known, err := w.recall(t, now); err != nil || known {
		return outcome{answer: answer{receipt: receipt}}, err
	}
	epoch := w.store.epoch.Load()
	switch {
	case t.Late(now):
		return refuse(store.ErrDeadline), nil
	case t.Epoch != 0 && t.Epoch != epoch:
		return refuse(store.ErrEpoch), nil
	}
	if holds, err := w.judge(t.Checks, now); err != nil || !holds {
		return refuse(store.ErrConflict), err
	}
	if len(t.Writes) > 0 {
		seq[t.Partition]++
	}
	receipt := store.Receipt{Version: seq[t.Partition], At: store.Millis(now), Epoch: epoch}
	for _, x := range t.Writes {
		if err := w.apply(x, receipt); err != nil {
			return outcome{}, err
		}
	}
	return outcome{answer{receipt: receipt}, len(t.Writes) > 0}, w.remember(t, receipt)
}

// judge tells whether all checks hold.
func (w *writer) judge(checks []store.Check, now time.Time) (bool, error) {
	for _, c := range checks {
		var version uint64
		err := w.stmt.version.QueryRowContext(w.ctx, encode(c.Key), now.UnixMilli()).Scan(&version)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return false, err
		}
		if version != c.Version {
			return false, nil
		}
	}
	return true, nil
}

func (w *writer) apply(x store.Write, r store.Receipt) error {
	if x.Delete {
		_, err := w.stmt.remove.ExecContext(w.ctx, encode(x.Key))
		return err
	}
	value := x.Value
	if value == nil {
		value = []byte{} // nil would be NULL
	}
	_, err := w.stmt.put.ExecContext(w.ctx, encode(x.Key), r.Version, millis(x.Expires), r.Epoch, value)
	return err
}

// recall returns the receipt of a transaction that was applied before.
func (w *writer) recall(t store.Txn, now time.Time) (store.Receipt, bool, error) {
	if t.ID.IsZero() {
		return store.Receipt{}, false, nil
	}
	var r store.Receipt
	var at int64
	err := w.stmt.recall.QueryRowContext(w.ctx, remembered(t), now.UnixMilli()).Scan(&r.Version, &at, &r.Epoch)
	if errors.Is(err, sql.ErrNoRows) {
		return r, false, nil
	}
	r.At = fromMillis(at)
	return r, err == nil, err
}

func (w *writer) remember(t store.Txn, r store.Receipt) error {
	if t.ID.IsZero() {
		return nil
	}
	_, err := w.stmt.remember.ExecContext(w.ctx, remembered(t), r.Version, millis(r.At), r.Epoch, t.NotAfter.UnixMilli())
	return err
}

// remembered is the name of a transaction in the table of ids.
func remembered(t store.Txn) []byte { return append([]byte{byte(t.Partition)}, t.ID[:]...) }

// transaction runs fn in a SQLite transaction at a durability level, and
// leaves none open.
func (w *writer) transaction(lvl level, fn func() error) error {
	if w.level != lvl {
		if err := w.exec("PRAGMA synchronous = " + string(lvl)); err != nil {
			return err
		}
		w.level = lvl
	}
	err := w.exec("BEGIN IMMEDIATE")
	if err != nil {
		return err
	}
	if err = fn(); err == nil {
		err = w.exec("COMMIT")
	}
	if err != nil {
		_ = w.exec("ROLLBACK") // SQLite may have done so already
	}
	return err
}

// exec runs statements that return nothing.
func (w *writer) exec(texts ...string) error {
	for _, text := range texts {
		if _, err := w.conn.ExecContext(w.ctx, text); err != nil {
			return err
		}
	}
	return nil
}

// connect opens the writer's connection.
func (w *writer) connect() error {
	db, err := sql.Open("sqlite", dsn(w.path))
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	w.db, w.level = db, ""
	if w.conn, err = db.Conn(w.ctx); err != nil {
		return err
	}
	return w.exec(
		fmt.Sprintf("PRAGMA page_size = %d", pageSize), // of a new file
		"PRAGMA wal_autocheckpoint = 0",
		"PRAGMA journal_size_limit = 67108864")
}

// useLog puts the file into write-ahead log mode, where it stays.
func (w *writer) useLog() error {
	var mode string
	if err := w.conn.QueryRowContext(w.ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("the file system does not support a write-ahead log (journal mode %q)", mode)
	}
	return nil
}

// close closes the connection. The statements go first: one that is left keeps
// SQLite's half of the connection, and so the files, open for ever.
func (w *writer) close() error {
	var errs []error
	for _, stmt := range w.stmt.all {
		errs = append(errs, stmt.Close())
	}
	if w.conn != nil {
		errs = append(errs, w.conn.Close())
	}
	if w.db != nil {
		errs = append(errs, w.db.Close())
	}
	w.conn, w.db, w.stmt = nil, nil, statements{}
	return errors.Join(errs...)
}

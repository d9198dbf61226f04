package sqlitestore

import (
	"database/sql"
	"fmt"
	"time"

	sqlite3 "modernc.org/sqlite/lib"
)

// applicationID marks the file as ours: "GHST".
const applicationID = 0x47485354

// schemaVersion is the newest schema this code knows.
const schemaVersion = 1

// epochShift leaves each failover epoch 2^32 commit numbers per partition that
// no other epoch gives out. So versions do not repeat even when a power cut
// takes the last second of session commits with it: the next epoch counts on
// from beyond them.
const epochShift = 32

var schema = []string{
	`CREATE TABLE kv (
		k BLOB PRIMARY KEY, ver INTEGER NOT NULL, exp INTEGER NOT NULL, epoch INTEGER NOT NULL, v BLOB NOT NULL
	) STRICT, WITHOUT ROWID`,
	`CREATE INDEX kv_exp ON kv (exp) WHERE exp > 0`,
	`CREATE TABLE part (p INTEGER PRIMARY KEY, seq INTEGER NOT NULL) STRICT`,
	`CREATE TABLE txn (
		id BLOB PRIMARY KEY, ver INTEGER NOT NULL, at INTEGER NOT NULL, epoch INTEGER NOT NULL, until INTEGER NOT NULL
	) STRICT, WITHOUT ROWID`,
	`CREATE INDEX txn_until ON txn (until)`,
	`CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID`,
	`INSERT INTO meta VALUES ('epoch', 1), ('clean', 1), ('flushed', 0)`,
	fmt.Sprintf(`PRAGMA application_id = %d`, applicationID),
	fmt.Sprintf(`PRAGMA user_version = %d`, schemaVersion),
}

// start opens the file for the first time in this process. It looks at a file
// before it changes anything. Then, in one transaction, it creates the schema,
// raises the failover epoch after an unclean end and marks the file as open.
func (w *writer) start() error {
	if err := w.connect(); err != nil {
		return err
	}
	fresh, err := w.recognize()
	if code(err) == sqlite3.SQLITE_NOTADB {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	if err != nil {
		return err
	}
	if err := w.useLog(); err != nil {
		return err
	}
	err = w.transaction(full, func() error {
		if fresh {
			if err := w.exec(schema...); err != nil {
				return err
			}
		}
		return w.exec(
			"UPDATE meta SET value = value + 1 WHERE name = 'epoch' AND (SELECT value FROM meta WHERE name = 'clean') = 0",
			"UPDATE meta SET value = 0 WHERE name = 'clean'")
	})
	if err != nil {
		return err
	}
	if err := w.prepare(); err != nil {
		return err
	}
	return w.load()
}

// recognize tells whether the file is new, or refuses it.
func (w *writer) recognize() (fresh bool, err error) {
	var app, version, objects int64
	row := w.conn.QueryRowContext(w.ctx,
		"SELECT a.application_id, u.user_version, (SELECT count(*) FROM sqlite_schema) FROM pragma_application_id a, pragma_user_version u")
	if err := row.Scan(&app, &version, &objects); err != nil {
		return false, err
	}
	switch {
	case app == 0 && version == 0 && objects == 0:
		return true, nil
	case app != applicationID:
		return false, ErrForeign
	case version > schemaVersion:
		return false, fmt.Errorf("%w: its schema is %d, this version knows %d", ErrNewer, version, schemaVersion)
	}
	return false, nil
}

// load reads the failover epoch and the partitions' commit numbers.
func (w *writer) load() error {
	var epoch uint32
	if err := w.conn.QueryRowContext(w.ctx, "SELECT value FROM meta WHERE name = 'epoch'").Scan(&epoch); err != nil {
		return err
	}
	w.store.epoch.Store(epoch)
	stored, err := w.stored()
	if err != nil {
		return err
	}
	floor := uint64(epoch-1) << epochShift
	for p, seq := range stored {
		w.seq[p] = max(seq, floor)
	}
	return nil
}

// stored reads the partitions' commit numbers on disk.
func (w *writer) stored() (seqs sequences, err error) {
	rows, err := w.conn.QueryContext(w.ctx, "SELECT p, seq FROM part")
	if err != nil {
		return seqs, err
	}
	defer rows.Close()
	for rows.Next() {
		var p uint8
		var seq uint64
		if err := rows.Scan(&p, &seq); err != nil {
			return seqs, err
		}
		seqs[p] = seq
	}
	return seqs, rows.Err()
}

// statements are those of the commit path, prepared on the writer's connection.
type statements struct {
	version          *sql.Stmt // of a live entry
	put, remove      *sql.Stmt
	sequence         *sql.Stmt
	recall, remember *sql.Stmt // transaction ids

	all []*sql.Stmt
}

func (w *writer) prepare() error {
	for _, p := range []struct {
		into **sql.Stmt
		text string
	}{
		{&w.stmt.version, "SELECT ver FROM kv WHERE k = ? AND (exp = 0 OR exp > ?)"},
		{&w.stmt.put, "INSERT OR REPLACE INTO kv (k, ver, exp, epoch, v) VALUES (?, ?, ?, ?, ?)"},
		{&w.stmt.remove, "DELETE FROM kv WHERE k = ?"},
		{&w.stmt.sequence, "INSERT OR REPLACE INTO part (p, seq) VALUES (?, ?)"},
		{&w.stmt.recall, "SELECT ver, at, epoch FROM txn WHERE id = ? AND until >= ?"},
		{&w.stmt.remember, "INSERT OR REPLACE INTO txn (id, ver, at, epoch, until) VALUES (?, ?, ?, ?, ?)"},
	} {
		stmt, err := w.conn.PrepareContext(w.ctx, p.text)
		if err != nil {
			return err
		}
		*p.into = stmt
		w.stmt.all = append(w.stmt.all, stmt)
	}
	return nil
}

// sweepBudget is how many expired entries one sweep removes in a transaction,
// sweepTime how long it may go on while there are more.
const (
	sweepBudget = 500
	sweepTime   = 20 * time.Millisecond
)

// sweep removes expired entries and forgotten transaction ids. Readers never
// see them; this gives their room back.
func (w *writer) sweep() error {
	for began := time.Now(); time.Since(began) < sweepTime; {
		now := w.store.now().UnixMilli()
		var n int64
		err := w.transaction(normal, func() error {
			for _, text := range []string{
				"DELETE FROM kv WHERE k IN (SELECT k FROM kv WHERE exp > 0 AND exp <= ? LIMIT ?)",
				"DELETE FROM txn WHERE id IN (SELECT id FROM txn WHERE until < ? LIMIT ?)",
			} {
				res, err := w.conn.ExecContext(w.ctx, text, now, sweepBudget)
				if err != nil {
					return err
				}
				gone, err := res.RowsAffected()
				if err != nil {
					return err
				}
				n = max(n, gone)
			}
			return nil
		})
		if err != nil || n < sweepBudget {
			return err
		}
	}
	return nil
}

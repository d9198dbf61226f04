// Package sqlitestore is the store in one SQLite file (WAL), for one machine
// and one process.
//
// One goroutine writes. It gathers what waits into one SQLite transaction,
// judges each store.Txn in order inside it and answers after the commit: a
// batch that holds a Directory transaction is fsynced first; others are in the
// log before the answer and fsynced within a second. A few read connections
// see what was answered.
//
// On a full disk a commit fails with store.ErrUnavailable and the next one
// tries again. On any other failure of the disk the writer is given up: writes
// are refused (reads go on) while it is opened anew and checked to hold all
// that was acknowledged; then it resumes, without a restart of the process.
//
// The package owns the file, its schema and its lock. It knows no records: it
// stores the bytes it is given and encrypts nothing.
package sqlitestore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/internal/feed"
)

// readers is the number of read connections.
const readers = 4

// Options of a Store; the zero value works.
type Options struct {
	Now    func() time.Time // the store's clock; nil: time.Now
	Logger *slog.Logger     // nil: silent
}

// Store implements store.Store, store.Watcher and store.Clock.
type Store struct {
	now   func() time.Time
	feed  *feed.Ring
	lock  io.Closer
	epoch atomic.Uint32

	reads *sql.DB
	get   *sql.Stmt
	scan  *sql.Stmt

	writer *writer
	queue  chan request  // unbuffered: what was taken from it is answered
	quit   chan struct{} // closed by Close
	ended  chan struct{} // closed when the writer has ended

	closing  sync.Once
	closeErr error
	inflight sync.RWMutex // held for reading by each call, for writing by Close
	closed   atomic.Bool
	abandon  atomic.Bool // tests: end as a killed process would
}

type request struct {
	ctx  context.Context
	txn  store.Txn
	done chan<- answer // buffered
}

type answer struct {
	receipt store.Receipt
	err     error
}

// Open opens or creates the file at path: the file with mode 0600, missing
// directories with 0700. ctx bounds the opening only. A lock beside the file
// (path + ".lock") keeps other processes away: the error is store.ErrInUse.
// A file of a newer schema is ErrNewer, one that is no store is ErrForeign;
// both are left untouched; a full or failing disk is store.ErrUnavailable. If the store was not closed cleanly, its failover
// epoch is raised.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	s, err := prepare(ctx, path, o)
	if err != nil {
		return nil, err
	}
	go s.write()
	return s, nil
}

// prepare is Open without the writer's goroutine.
func prepare(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: %w", err)
	}
	s := &Store{
		now:   o.Now,
		feed:  feed.New(),
		queue: make(chan request),
		quit:  make(chan struct{}),
		ended: make(chan struct{}),
	}
	if err := s.open(ctx, path, o.Logger); err != nil {
		return nil, errors.Join(fmt.Errorf("sqlitestore: open %s: %w", path, unopened(err)), s.release())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context, path string, log *slog.Logger) error {
	if err := makeDir(filepath.Dir(path)); err != nil {
		return err
	}
	var err error
	if s.lock, err = acquire(path + ".lock"); err != nil {
		return err
	}
	if err := makeFile(path); err != nil {
		return err
	}
	// The writer outlives Open.
	s.writer = &writer{ctx: context.WithoutCancel(ctx), path: path, log: log, store: s}
	if err := s.writer.start(); err != nil {
		return err
	}
	// A process that crashes young, again and again, would never come to fold
	// its log, and each start would have more of it to read.
	s.writer.note("fold the log of the last process", s.writer.fold("TRUNCATE"))
	if s.reads, err = sql.Open("sqlite", dsn(path, "query_only(1)")); err != nil {
		return err
	}
	s.reads.SetMaxOpenConns(readers)
	s.reads.SetMaxIdleConns(readers)
	if s.get, err = s.reads.PrepareContext(ctx, "SELECT ver, exp, epoch, v FROM kv WHERE k = ?"); err != nil {
		return err
	}
	s.scan, err = s.reads.PrepareContext(ctx,
		"SELECT substr(k, 3), ver, exp, epoch, v FROM kv WHERE k >= ? AND k <= ? AND (exp = 0 OR exp > ?) ORDER BY k LIMIT ?")
	return err
}

// Now is the store's clock.
func (s *Store) Now() time.Time { return s.now() }

// Get implements store.Store.
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Entry, error) {
	if err := store.ValidateKeys(keys); err != nil {
		return nil, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	now := s.now().UnixMilli()
	out := make([]store.Entry, len(keys))
	for i, k := range keys {
		e, expires := store.Entry{Key: k}, int64(0)
		err := s.get.QueryRowContext(ctx, encode(k)).Scan(&e.Version, &expires, &e.Epoch, &e.Value)
		switch {
		case errors.Is(err, sql.ErrNoRows) || err == nil && expires != 0 && expires <= now:
			out[i] = store.Entry{Key: k, Epoch: s.epoch.Load()}
		case err != nil:
			return nil, unreadable(ctx, err)
		default:
			e.Expires = fromMillis(expires)
			out[i] = e
		}
	}
	return out, nil
}

// Scan implements store.Store.
func (s *Store) Scan(ctx context.Context, r store.Range) ([]store.Entry, error) {
	if err := r.Validate(); err != nil {
		return nil, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	first, last := bounds(r)
	rows, err := s.scan.QueryContext(ctx, first, last, s.now().UnixMilli(), r.Max())
	if err != nil {
		return nil, unreadable(ctx, err)
	}
	defer rows.Close()
	var out []store.Entry
	for rows.Next() {
		var name []byte
		var expires int64
		e := store.Entry{Key: store.Key{Partition: r.Partition, Table: r.Table}}
		if err := rows.Scan(&name, &e.Version, &expires, &e.Epoch, &e.Value); err != nil {
			return nil, unreadable(ctx, err)
		}
		e.Key.Name, e.Expires = string(name), fromMillis(expires)
		out = append(out, e)
	}
	if err := rows.Err(); err != nil {
		return nil, unreadable(ctx, err)
	}
	return out, nil
}

// Commit implements store.Store.
func (s *Store) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	if err := t.Validate(s.now()); err != nil {
		return store.Receipt{}, err
	}
	leave, err := s.enter(ctx)
	if err != nil {
		return store.Receipt{}, err
	}
	defer leave()
	// The writer may outlive this call if ctx ends, so it gets its own copy.
	done := make(chan answer, 1)
	select {
	case s.queue <- request{ctx, clone(t), done}:
	case <-ctx.Done():
		return store.Receipt{}, ended(ctx)
	case <-s.quit:
		return store.Receipt{}, store.ErrClosed
	}
	select {
	case a := <-done:
		return a.receipt, a.err
	case <-ctx.Done():
		return store.Receipt{}, ended(ctx)
	}
}

// Watch implements store.Watcher, for changes made by this process.
func (s *Store) Watch(ctx context.Context, after store.Cursor) iter.Seq2[store.Change, error] {
	return s.feed.Watch(ctx, after)
}

// Close implements store.Store: it refuses what waits, flushes, marks the file
// as cleanly closed and gives up the lock.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.closed.Store(true)
		close(s.quit)
		<-s.ended
		s.inflight.Lock()
		defer s.inflight.Unlock()
		s.feed.Close()
		s.closeErr = errors.Join(s.writer.last, s.release())
	})
	return s.closeErr
}

// release closes what open opened. The writer's connection goes last, for the
// last one folds the log into the file.
func (s *Store) release() error {
	var errs []error
	for _, stmt := range []*sql.Stmt{s.get, s.scan} {
		if stmt != nil {
			errs = append(errs, stmt.Close())
		}
	}
	if s.reads != nil {
		errs = append(errs, s.reads.Close())
	}
	if s.writer != nil {
		errs = append(errs, s.writer.close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

// enter admits a call, and keeps Close waiting until it leaves.
func (s *Store) enter(ctx context.Context) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, ended(ctx)
	}
	s.inflight.RLock()
	if s.closed.Load() {
		s.inflight.RUnlock()
		return nil, store.ErrClosed
	}
	return s.inflight.RUnlock, nil
}

package store

import (
	"context"
	"errors"
	"iter"
	"time"
)

// Partitions is the number of partitions. It is a constant of the product:
// placement is part of the disk format.
const Partitions = 256

// Partition is the unit of atomic commit.
type Partition uint8

// Kind says how durable a table's entries are when Commit returns.
type Kind uint8

const (
	// Directory entries are on disk (and, on Redis, on a replica) before the answer.
	Directory Kind = iota + 1
	// Session entries are in the log before the answer and flushed within a
	// second; losing the last second must fail safe.
	Session
	// Counter entries may be lost.
	Counter
)

// Expiry says whether entries of a table carry an expiry.
type Expiry uint8

const (
	// NeverExpires forbids an expiry: a user with a TTL is a bug.
	NeverExpires Expiry = iota + 1
	// AlwaysExpires demands one: a session without a TTL is a leak.
	AlwaysExpires
	// MayExpire leaves it to the write.
	MayExpire
)

// Table declares a set of entries with one meaning. It is a value, so that a
// backend needs no registry; ID is part of the disk format and never reused.
type Table struct {
	ID       uint8  // 1..255
	Kind     Kind   // one commit checks and writes tables of one kind only
	Listed   bool   // Scan is allowed
	Expiry   Expiry // whether a write must, must not or may carry an expiry
	MaxValue int    // bytes; larger values are ErrTooLarge
}

// MaxName is the longest entry name in bytes. Names are binary and may hold
// any byte; the empty name is invalid.
const MaxName = 255

// MaxOps is the largest number of checks plus writes in one transaction.
const MaxOps = 512

// MaxBytes is the largest sum of the value sizes in one transaction, in bytes.
const MaxBytes = 1 << 20

// MaxKeys is the largest number of keys in one Get.
const MaxKeys = 1000

// MaxAhead is how far NotAfter may lie in the future; transaction ids are
// remembered until NotAfter.
const MaxAhead = 60 * time.Second

// Key names an entry. It is comparable.
type Key struct {
	Partition Partition
	Table     Table
	Name      string
}

// Entry is what a read returns. Version 0 means absent (or expired).
// Value is the caller's to keep and to change.
type Entry struct {
	Key     Key
	Value   []byte
	Version uint64
	Expires time.Time // zero: never; UTC, whole milliseconds
	Epoch   uint32    // failover epoch the entry was written under
}

// Check demands that the key is at Version; 0: absent or expired.
type Check struct {
	Key     Key
	Version uint64
}

// Write puts a value, or deletes. A delete carries neither value nor expiry;
// deleting what is absent is fine.
type Write struct {
	Key     Key
	Value   []byte
	Expires time.Time // zero: never; kept in whole milliseconds, rounded down; at Expires the entry is absent
	Delete  bool
}

// Txn is one atomic commit within Partition. A backend judges in this order:
// form (ErrInvalid, ErrTooLarge), a remembered ID (answered with the first
// receipt), NotAfter, Epoch, Checks. Without writes it only judges its checks
// and takes no version; without both it is ErrInvalid.
type Txn struct {
	ID        TxnID     // zero: not remembered
	Partition Partition // every key must lie in it
	NotAfter  time.Time // zero: no deadline (and then ID must be zero); else ErrDeadline after it, by the store's clock
	Epoch     uint32    // not 0: ErrEpoch unless it is the current failover epoch
	Checks    []Check
	Writes    []Write
}

// Receipt says what a commit became.
type Receipt struct {
	Version uint64    // version of every entry written; without writes, the partition's latest
	At      time.Time // store's clock, UTC, whole milliseconds
	Epoch   uint32    // current failover epoch
}

// Range is a slice of one partition and table in key order.
type Range struct {
	Partition Partition
	Table     Table  // must be Listed
	After     string // exclusive; "" from the start
	Prefix    string // "" for all
	Limit     int    // 1..MaxScan; 0 means MaxScan
}

// MaxScan is the most entries one Scan returns.
const MaxScan = 1000

// Store is the whole contract. All methods are safe for concurrent use and
// honour ctx: a cancelled Commit may still have been applied.
type Store interface {
	// Get returns one entry per key, in order, from any partitions. Absent
	// and expired ones have Version 0 and the failover epoch current now.
	// More than MaxKeys is ErrTooLarge. Keys are read one by one: the answer
	// is no snapshot.
	Get(ctx context.Context, keys ...Key) ([]Entry, error)
	// Scan returns live entries in key order.
	Scan(ctx context.Context, r Range) ([]Entry, error)
	// Commit applies t or returns an error. On ErrConflict, ErrEpoch,
	// ErrDeadline, ErrInvalid and ErrTooLarge this call applied nothing; on
	// another error the outcome is unknown and the same TxnID may be sent
	// again until NotAfter, after which its memory is gone too (ErrDeadline).
	Commit(ctx context.Context, t Txn) (Receipt, error)
	// Close releases the store; closing twice is fine. Calls after it fail with ErrClosed.
	Close() error
}

// Clock is an optional power: the clock by which the store judges NotAfter and
// expiry. Update asks it, so that a node's own clock does not matter.
type Clock interface {
	Now() time.Time
}

// Cursor is a position in a change feed. The zero Cursor means the moment
// Watch is called (not the moment the sequence is first read).
type Cursor uint64

// Change tells that an entry was written or deleted. Expiry is no change.
type Change struct {
	Cursor  Cursor
	Key     Key
	Version uint64
	Deleted bool
}

// Watcher is an optional power: a feed of changes after a cursor. The
// sequence ends when ctx ends or with one error: ErrGap when the cursor is no
// longer held (the consumer must read everything again), or ErrClosed.
// Changes of one partition come in commit order. A sequence is read once.
type Watcher interface {
	Watch(ctx context.Context, after Cursor) iter.Seq2[Change, error]
}

// The errors a Store returns, to be tested with errors.Is.
var (
	ErrConflict    = errors.New("store: a check failed")
	ErrEpoch       = errors.New("store: written under an earlier failover epoch")
	ErrDeadline    = errors.New("store: past the transaction's deadline")
	ErrInvalid     = errors.New("store: invalid transaction")
	ErrTooLarge    = errors.New("store: value or transaction too large")
	ErrClosed      = errors.New("store: closed")
	ErrUnavailable = errors.New("store: unavailable") // full disk, I/O error: try again later
	ErrInUse       = errors.New("store: in use by another process")
	ErrGap         = errors.New("store: changes were missed")
)

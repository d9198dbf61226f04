package store

import (
	"crypto/rand"
	"fmt"
	"time"
)

// TxnID names a transaction, so that sending it twice applies it once.
type TxnID [16]byte

// NewTxnID returns a random id.
func NewTxnID() TxnID {
	var id TxnID
	rand.Read(id[:]) // never fails
	return id
}

// IsZero tells that the id is unset: the transaction is not remembered.
func (id TxnID) IsZero() bool { return id == TxnID{} }

// Validate judges the form of a transaction: what every backend refuses alike,
// before it looks at a single entry. now is the store's clock. The errors are
// ErrInvalid and ErrTooLarge. A NotAfter that has passed is not judged here,
// because a remembered ID is answered first; see Late.
func (t Txn) Validate(now time.Time) error {
	ops := len(t.Checks) + len(t.Writes)
	switch {
	case ops == 0:
		return fmt.Errorf("%w: no check and no write", ErrInvalid)
	case ops > MaxOps:
		return fmt.Errorf("%w: %d operations", ErrTooLarge, ops)
	case !t.ID.IsZero() && t.NotAfter.IsZero():
		return fmt.Errorf("%w: an id without a deadline", ErrInvalid)
	case t.NotAfter.After(now.Add(MaxAhead)):
		return fmt.Errorf("%w: deadline more than %v ahead", ErrInvalid, MaxAhead)
	}
	kind := t.kind()
	for _, c := range t.Checks {
		if err := t.validKey(c.Key, kind); err != nil {
			return err
		}
	}
	return t.validWrites(kind)
}

// Late tells that the deadline has passed by the store's clock, in whole
// milliseconds. The id is forgotten from then on, and not earlier.
func (t Txn) Late(now time.Time) bool {
	return !t.NotAfter.IsZero() && now.UnixMilli() > t.NotAfter.UnixMilli()
}

// Kind returns the one kind of a valid transaction's tables.
func (t Txn) Kind() Kind { return t.kind() }

func (t Txn) kind() Kind {
	if len(t.Writes) > 0 {
		return t.Writes[0].Key.Table.Kind
	}
	if len(t.Checks) > 0 {
		return t.Checks[0].Key.Table.Kind
	}
	return 0
}

func (t Txn) validKey(k Key, kind Kind) error {
	if err := k.Validate(); err != nil {
		return err
	}
	if k.Partition != t.Partition {
		return fmt.Errorf("%w: a key of partition %d in a transaction of %d", ErrInvalid, k.Partition, t.Partition)
	}
	if k.Table.Kind != kind {
		return fmt.Errorf("%w: tables of two kinds", ErrInvalid)
	}
	return nil
}

func (t Txn) validWrites(kind Kind) error {
	type id struct {
		table uint8
		name  string
	}
	seen := make(map[id]struct{}, len(t.Writes))
	total := 0
	for _, w := range t.Writes {
		if err := t.validKey(w.Key, kind); err != nil {
			return err
		}
		k := id{w.Key.Table.ID, w.Key.Name}
		if _, twice := seen[k]; twice {
			return fmt.Errorf("%w: two writes to one key of table %d", ErrInvalid, k.table)
		}
		seen[k] = struct{}{}
		if err := w.validate(); err != nil {
			return err
		}
		if total += len(w.Value); total > MaxBytes {
			return fmt.Errorf("%w: more than %d bytes of values", ErrTooLarge, MaxBytes)
		}
	}
	return nil
}

func (w Write) validate() error {
	table := w.Key.Table
	if w.Delete {
		if len(w.Value) > 0 || !w.Expires.IsZero() {
			return fmt.Errorf("%w: a delete with a value or an expiry", ErrInvalid)
		}
		return nil
	}
	switch {
	case len(w.Value) > table.MaxValue:
		return fmt.Errorf("%w: %d bytes in table %d, which takes %d", ErrTooLarge, len(w.Value), table.ID, table.MaxValue)
	case w.Expires.IsZero() && table.Expiry == AlwaysExpires:
		return fmt.Errorf("%w: table %d demands an expiry", ErrInvalid, table.ID)
	case !w.Expires.IsZero() && table.Expiry == NeverExpires:
		return fmt.Errorf("%w: table %d forbids an expiry", ErrInvalid, table.ID)
	case !w.Expires.IsZero() && !representable(w.Expires):
		return fmt.Errorf("%w: expiry out of range", ErrInvalid)
	}
	return nil
}

// representable keeps expiries to what 64 bits of milliseconds after 1970 hold
// with room to spare; 0 on disk means never.
func representable(t time.Time) bool { return t.Unix() > 0 && t.Year() < 10000 }

// Validate judges the form of a key; the error is ErrInvalid.
func (k Key) Validate() error {
	if err := k.Table.validate(); err != nil {
		return err
	}
	if len(k.Name) == 0 || len(k.Name) > MaxName {
		return fmt.Errorf("%w: a name of %d bytes in table %d", ErrInvalid, len(k.Name), k.Table.ID)
	}
	return nil
}

// ValidateKeys judges the keys of one Get; the errors are ErrInvalid and
// ErrTooLarge.
func ValidateKeys(keys []Key) error {
	if len(keys) > MaxKeys {
		return fmt.Errorf("%w: %d keys", ErrTooLarge, len(keys))
	}
	for _, k := range keys {
		if err := k.Validate(); err != nil {
			return err
		}
	}
	return nil
}

func (t Table) validate() error {
	switch {
	case t.ID == 0:
		return fmt.Errorf("%w: table without an id", ErrInvalid)
	case t.Kind < Directory || t.Kind > Counter:
		return fmt.Errorf("%w: table %d has no kind", ErrInvalid, t.ID)
	case t.Expiry < NeverExpires || t.Expiry > MayExpire:
		return fmt.Errorf("%w: table %d has no expiry rule", ErrInvalid, t.ID)
	}
	return nil
}

// Validate judges the form of a range; the error is ErrInvalid.
func (r Range) Validate() error {
	if err := r.Table.validate(); err != nil {
		return err
	}
	switch {
	case !r.Table.Listed:
		return fmt.Errorf("%w: table %d is not listed", ErrInvalid, r.Table.ID)
	case r.Limit < 0 || r.Limit > MaxScan:
		return fmt.Errorf("%w: a limit of %d", ErrInvalid, r.Limit)
	case len(r.After) > MaxName || len(r.Prefix) > MaxName:
		return fmt.Errorf("%w: a bound longer than a name", ErrInvalid)
	}
	return nil
}

// Max returns the limit to apply.
func (r Range) Max() int {
	if r.Limit == 0 {
		return MaxScan
	}
	return r.Limit
}

// Millis returns t as a store keeps it: UTC, whole milliseconds, rounded down.
// The zero time stays zero.
func Millis(t time.Time) time.Time {
	if t.IsZero() {
		return time.Time{}
	}
	return time.UnixMilli(t.UnixMilli()).UTC()
}

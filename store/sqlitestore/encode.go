package sqlitestore

import (
	"bytes"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// encode lays a key out as it lies on disk: partition, table, name. Byte order
// is name order.
func encode(k store.Key) []byte {
	return slices.Concat([]byte{byte(k.Partition), k.Table.ID}, []byte(k.Name))
}

// bounds returns the first and the last key a range may hold.
func bounds(r store.Range) (first, last []byte) {
	key := store.Key{Partition: r.Partition, Table: r.Table, Name: r.Prefix}
	first = encode(key)
	last = append(encode(key), bytes.Repeat([]byte{0xff}, store.MaxName+1)...) // longer than any name
	if r.After != "" && r.After >= r.Prefix {
		key.Name = r.After
		first = append(encode(key), 0) // the next key there can be
	}
	return first, last
}

// clone copies what the caller may change while the writer works.
func clone(t store.Txn) store.Txn {
	t.Checks = slices.Clone(t.Checks)
	t.Writes = slices.Clone(t.Writes)
	for i := range t.Writes {
		t.Writes[i].Value = bytes.Clone(t.Writes[i].Value)
	}
	return t
}

// millis is a time as it lies on disk; 0: never.
func millis(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

func fromMillis(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}

// Package store is the contract every storage backend keeps: a small,
// partitioned, versioned key-value store with one mutation, Commit.
//
// A commit is atomic within one partition and never spans two, on every
// backend, so one code path is tested everywhere. All checks are judged
// before the first write; either all writes happen or none does. Versions
// are the partition's commit number: they strictly increase and never repeat,
// across deletion, expiry and restart. Expired means absent, judged by the
// store's clock. The same TxnID twice is applied once.
//
// The package owns the types, the errors, the validation of a transaction and
// Update, the read-decide-write loop. It knows no records, no encryption and
// no business rule: those live in authcore/repo. Backends are in its
// subfolders; store/storetest is the suite each of them must pass.
package store

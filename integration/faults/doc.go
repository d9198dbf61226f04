// Package faults takes the disk away from the running binary: a full file
// system, failing fsyncs, failing writes. What needs the disk is refused
// cleanly, who is known already goes on, and once the disk is back everything
// works again without a restart.
//
// The full disk needs root (a tmpfs is mounted), the others need strace; what
// cannot run here is skipped and says so.
package faults

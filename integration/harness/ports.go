package harness

import (
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// Ports of servers come from below the range that systems choose ports of
// outgoing connections from: one of those would keep a server from listening.
const (
	firstPort = 12000
	portCount = 20000
)

// FreePort returns a port that is free, and stays reserved among the machine's
// tests until the test ends.
func FreePort(t testing.TB) int {
	t.Helper()
	dir := filepath.Join(os.TempDir(), "gatehouse-test-ports-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		port := firstPort + rand.IntN(portCount)
		f, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_CREATE|os.O_RDWR, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil || !listens(port) {
			_ = f.Close() // another test's, or taken
			continue
		}
		t.Cleanup(func() { _ = f.Close() }) // gives the lock back
		return port
	}
	t.Fatal("no free port found")
	return 0
}

// listens reports whether a server could listen on a port of all addresses.
func listens(port int) bool {
	l, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	return err == nil && l.Close() == nil
}

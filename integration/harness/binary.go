package harness

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
)

// Binary returns the path of Caddy with Gatehouse: GATEHOUSE_BINARY, or one
// built from this tree. It skips the test in -short.
func Binary(t testing.TB) string {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	path, err := build()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// build is run once per process. Processes share one build under a lock, which
// go leaves alone while it is current, and run it under a name that holds its
// hash: a build of a newer tree does not change the binary under a running test.
var build = sync.OnceValues(func() (string, error) {
	if path := os.Getenv("GATEHOUSE_BINARY"); path != "" {
		return filepath.Abs(path)
	}
	dir := filepath.Join(os.TempDir(), "gatehouse-test-binary-"+strconv.Itoa(os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	current := filepath.Join(dir, "current")
	cmd := exec.Command("go", "build", "-trimpath", "-o", current, "github.com/gatehouse-auth/gatehouse/xcaddy")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0") // as the Makefile builds it
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the binary: %w\n%s", err, out)
	}
	sum, err := hashFile(current)
	if err != nil {
		return "", err
	}
	named := filepath.Join(dir, "caddy-"+sum)
	if _, err := os.Stat(named); err == nil {
		return named, nil
	}
	forget(dir)
	return named, os.Link(current, named)
})

// lock waits for a lock of the machine's processes.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return func() { _ = f.Close() }, nil // closing unlocks
}

func hashFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // only read
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)[:8]), nil
}

// forget removes all but the newest few binaries: others may be running tests.
func forget(dir string) {
	const kept = 3
	type aged struct {
		path string
		time int64
	}
	var all []aged
	names, _ := filepath.Glob(filepath.Join(dir, "caddy-*"))
	for _, name := range names {
		if info, err := os.Stat(name); err == nil {
			all = append(all, aged{name, info.ModTime().UnixNano()})
		}
	}
	slices.SortFunc(all, func(a, b aged) int { return cmp.Compare(b.time, a.time) })
	for _, a := range all[min(kept, len(all)):] {
		_ = os.Remove(a.path) // a leftover costs space, nothing else
	}
}

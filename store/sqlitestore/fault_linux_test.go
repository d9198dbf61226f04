package sqlitestore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

// fileSizeLimit is a role: writes to the log fail for a while (EFBIG).
func fileSizeLimit(s *Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	ctx := context.Background()
	next := 0
	commit := func() error {
		_, err := s.Commit(ctx, store.Txn{Partition: 9, Writes: []store.Write{numbered(next)}})
		next++
		return err
	}
	for range 3 {
		if err := commit(); err != nil {
			return err
		}
	}
	if err := limit(4096); err != nil {
		return err
	}
	for range 3 {
		if err := commit(); !errors.Is(err, store.ErrUnavailable) {
			return fmt.Errorf("with no room to write: %v", err)
		}
	}
	for i := range 6 {
		e, err := s.Get(ctx, numbered(i).Key)
		if err != nil || (e[0].Version != 0) != (i < 3) {
			return fmt.Errorf("a read with no room to write: %v, %v", e, err)
		}
	}
	if err := limit(1 << 62); err != nil {
		return err
	}
	if err := eventually(commit); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	for i := range 3 {
		if e, err := s.Get(ctx, numbered(i).Key); err != nil || e[0].Version != uint64(i+1) {
			return fmt.Errorf("after recovery: %v, %v", e, err)
		}
	}
	fmt.Println("passed")
	return nil
}

// limit bounds the size of files that this process writes, in bytes.
func limit(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = min(n, l.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}

// backupWithoutRoom is a role: neither a backup nor a restore finds room for
// its file, and both leave everything as it was.
func backupWithoutRoom(s *Store) error {
	signal.Ignore(syscall.SIGXFSZ)
	ctx, dir := context.Background(), filepath.Dir(s.writer.path)
	for i := range 6 {
		if _, err := s.Commit(ctx, store.Txn{Partition: 9, Writes: []store.Write{numbered(i)}}); err != nil {
			return err
		}
	}
	whole, other, none := filepath.Join(dir, "whole"), filepath.Join(dir, "other.db"), filepath.Join(dir, "none")
	if err := errors.Join(s.Backup(ctx, whole), s.Backup(ctx, other)); err != nil {
		return err
	}
	before, err := os.ReadFile(other)
	if err != nil {
		return err
	}
	if err := limit(16384); err != nil {
		return err
	}
	if err := s.Backup(ctx, none); !errors.Is(err, store.ErrUnavailable) {
		return fmt.Errorf("a backup with no room: %v", err)
	}
	if _, err := Restore(ctx, whole, other, RestoreOptions{Force: true}); err == nil {
		return errors.New("a restore with no room went through")
	}
	for _, pattern := range []string{"none*", "*.restore*", "*.before*"} {
		if left, err := filepath.Glob(filepath.Join(dir, pattern)); err != nil || len(left) > 0 {
			return fmt.Errorf("left behind: %v, %v", left, err)
		}
	}
	if after, err := os.ReadFile(other); err != nil || !bytes.Equal(before, after) {
		return fmt.Errorf("the store was changed: %v", err)
	}
	if err := limit(1 << 62); err != nil {
		return err
	}
	if _, err := Restore(ctx, whole, other, RestoreOptions{Force: true}); err != nil {
		return fmt.Errorf("with room again: %w", err)
	}
	fmt.Println("passed")
	return nil
}

// eventually tries for ten seconds.
func eventually(f func() error) (err error) {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for range 500 {
		if err = f(); err == nil {
			return nil
		}
		<-ticker.C
	}
	return err
}

func TestWritesFail(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	c := startChild(t, "limit", path)
	c.until("passed")
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the child ended with %v", err)
	}
	if e := open(t, path, time.Now).epoch.Load(); e != 1 {
		t.Errorf("failover epoch %d after a clean end", e)
	}
}

func TestBackupWithoutRoom(t *testing.T) {
	c := startChild(t, "backup", filepath.Join(t.TempDir(), "store.db"))
	c.until("passed")
	if err := c.cmd.Wait(); err != nil {
		t.Errorf("the child ended with %v", err)
	}
}

// TestFsyncFails lets every fsync of a running process fail for a while.
func TestFsyncFails(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Skip("strace is not installed: failing fsyncs are not tested")
	}
	path := filepath.Join(t.TempDir(), "store.db")
	c := startChild(t, "commit", path)
	lines := c.until("acknowledged")
	tracer := exec.CommandContext(t.Context(), strace, "-f", "-o", filepath.Join(t.TempDir(), "trace"),
		"-e", "trace=fsync,fdatasync", "-e", "inject=fsync,fdatasync:error=EIO", "-p", strconv.Itoa(c.cmd.Process.Pid))
	var said strings.Builder
	tracer.Stderr = &said
	if err := tracer.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- tracer.Wait() }()
	stop := func() error {
		_ = tracer.Process.Signal(os.Interrupt)
		return <-ended
	}

	for bad := 0; bad < 20; {
		select {
		case err := <-ended:
			t.Skipf("strace cannot attach: %v: %s", err, said.String())
		case line, ok := <-c.lines:
			if !ok || strings.HasPrefix(line, "failed") {
				_ = stop()
				t.Fatalf("the child ended: %q", line)
			}
			lines = append(lines, line)
			if strings.HasPrefix(line, "unavailable") {
				bad++
			} else if bad > 0 {
				t.Errorf("%s while no fsync succeeds", line)
			}
		}
	}
	_ = stop()
	lines = append(lines, c.until("acknowledged")...) // without a restart
	for range 20 {
		lines = append(lines, c.until("acknowledged")...)
	}
	lines = append(lines, c.kill()...)
	allThere(t, open(t, path, time.Now), lines)
}

// TestFilesAreClosed counts open files: SQLite keeps them for what is forgotten.
func TestFilesAreClosed(t *testing.T) {
	dir := t.TempDir()
	held := func() (names []string) {
		fds, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Skipf("open files cannot be counted: %v", err)
		}
		for _, fd := range fds {
			if name, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && strings.HasPrefix(name, dir) {
				names = append(names, name)
			}
		}
		return names
	}
	path := filepath.Join(dir, "store.db")
	s := open(t, path, time.Now)
	for i := range 4 {
		if _, err := s.Commit(t.Context(), store.Txn{Partition: 9, Writes: []store.Write{numbered(i)}}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), numbered(i).Key); err != nil {
			t.Fatal(err)
		}
	}
	if len(held()) < 4 {
		t.Errorf("open: %v", held())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if names := held(); len(names) > 0 {
		t.Errorf("open after Close: %v", names)
	}
	if left, err := filepath.Glob(path + "-*"); err != nil || len(left) > 0 {
		t.Errorf("a clean end leaves %v, %v", left, err)
	}
	if err := os.WriteFile(filepath.Join(dir, "foreign"), []byte(strings.Repeat("text", 1000)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "foreign"), Options{}); !errors.Is(err, ErrForeign) {
		t.Fatal(err)
	}
	if names := held(); len(names) > 0 {
		t.Errorf("open after a refused Open: %v", names)
	}
}

// TestFullDisk fills a small file system, and frees it again.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=12m"); err != nil {
		t.Skipf("mounting a tmpfs needs root: a full disk is not tested: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	path, ballast := filepath.Join(dir, "store.db"), filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 6<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	s := open(t, path, time.Now)
	commit := func(table store.Table, i, size int) error {
		w := write(table, fmt.Sprint(i), time.Time{})
		w.Value = make([]byte, size)
		_, err := s.Commit(t.Context(), store.Txn{Partition: 9, Writes: []store.Write{w}})
		return err
	}
	sizes := []int{60 << 10, 4 << 10, 10}
	kept := map[string]bool{}
	full := 0
	for i := 0; full < 30; i++ {
		if i > 5000 {
			t.Fatal("the disk never filled")
		}
		switch err := commit(storetest.Users, i, sizes[min(full/10, 2)]); {
		case err == nil:
			kept[fmt.Sprint(i)] = true
		case errors.Is(err, store.ErrUnavailable):
			full++
		default:
			t.Fatalf("on a full disk: %v", err)
		}
	}
	look := func(s *Store) {
		t.Helper()
		entries, err := s.Scan(t.Context(), store.Range{Partition: 9, Table: storetest.Users})
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, e := range entries {
			found[e.Key.Name] = true
		}
		for name := range kept {
			if !found[name] {
				t.Errorf("%s was acknowledged and is lost", name)
			}
		}
	}
	look(s)
	if err := commit(storetest.Codes, 0, 1000); err != nil && !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a session on a full disk: %v", err)
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "other.db"), Options{}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a new store on a full disk: %v", err)
	}

	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := eventually(func() error { return commit(storetest.Users, 9999, 60<<10) }); err != nil {
		t.Fatalf("with room again: %v", err)
	}
	kept["9999"] = true
	look(s)
	look(reopen(t, s).(*Store))
}

package sqlitestore

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

// Roles of the test binary when it runs as a process of its own.
const (
	roleVar = "SQLITESTORE_TEST_ROLE"
	pathVar = "SQLITESTORE_TEST_PATH"
)

// roles are what a child process does with the store; they report on stdout.
func roles() map[string]func(s *Store) error {
	return map[string]func(*Store) error{
		"hold":   hold,
		"commit": commitForever,
		"limit":  fileSizeLimit,
		"backup": backupWithoutRoom,
	}
}

// play runs a role in the child process.
func play(role string) int {
	s, err := Open(context.Background(), os.Getenv(pathVar), Options{})
	if err == nil {
		err = roles()[role](s)
		if err == nil {
			err = s.Close()
		}
	}
	if err != nil {
		fmt.Println("failed:", err)
		return 1
	}
	return 0
}

func hold(*Store) error {
	fmt.Println("ready")
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// commitForever commits to ever new names, in turn of either kind, and says
// what became of each. Reads go on all the while.
func commitForever(s *Store) error {
	ctx := context.Background()
	for i := 0; ; i++ {
		w := numbered(i)
		_, err := s.Commit(ctx, store.Txn{Partition: 9, Writes: []store.Write{w}})
		switch {
		case err == nil:
			fmt.Println("acknowledged", i)
		case errors.Is(err, store.ErrUnavailable):
			fmt.Println("unavailable", i)
			<-time.After(5 * time.Millisecond) // a client that backs off
		default:
			return err
		}
		if _, err := s.Get(ctx, numbered(0).Key); err != nil {
			return fmt.Errorf("a read after commit %d: %w", i, err)
		}
	}
}

func numbered(i int) store.Write {
	if i%2 == 0 {
		return write(storetest.Users, fmt.Sprint(i), time.Time{})
	}
	return write(storetest.Sessions, fmt.Sprint(i), time.Now().Add(time.Hour))
}

// child is this test binary in a role of its own.
type child struct {
	*testing.T
	cmd   *exec.Cmd
	lines chan string
}

func startChild(t *testing.T, role, path string) *child {
	t.Helper()
	c := &child{T: t, cmd: exec.CommandContext(t.Context(), os.Args[0]), lines: make(chan string)}
	c.cmd.Env = append(os.Environ(), roleVar+"="+role, pathVar+"="+path)
	stdin, err := c.cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(c.lines)
		for in := bufio.NewScanner(out); in.Scan(); {
			c.lines <- in.Text()
		}
	}()
	t.Cleanup(func() {
		stdin.Close()
		c.kill()
	})
	return c
}

// until reads lines up to one with the prefix, and returns all of them.
func (c *child) until(prefix string) (read []string) {
	c.Helper()
	timeout := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-c.lines:
			read = append(read, line)
			if strings.HasPrefix(line, prefix) {
				return read
			}
			if !ok || strings.HasPrefix(line, "failed") {
				c.Fatalf("no %q from the child, but %q", prefix, read)
			}
		case <-timeout:
			c.Fatalf("no %q from the child in time; it said %q", prefix, read)
		}
	}
}

// kill ends the child with SIGKILL and returns what it had still said.
func (c *child) kill() (rest []string) {
	_ = c.cmd.Process.Kill()
	for line := range c.lines {
		rest = append(rest, line)
	}
	_ = c.cmd.Wait()
	return rest
}

// allThere demands every commit that was acknowledged.
func allThere(t *testing.T, s *Store, lines []string) {
	t.Helper()
	n := 0
	for _, line := range lines {
		var i int
		if _, err := fmt.Sscanf(line, "acknowledged %d", &i); err != nil {
			continue
		}
		n++
		if e, err := s.Get(t.Context(), numbered(i).Key); err != nil || e[0].Version == 0 {
			t.Errorf("commit %d was acknowledged and is lost: %v", i, err)
		}
	}
	if n == 0 {
		t.Error("nothing was acknowledged, so nothing is proven")
	}
}

func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	var lines []string
	for round := range 5 {
		c := startChild(t, "commit", path)
		for range 20 + 10*round {
			lines = append(lines, c.until("acknowledged")...)
		}
		lines = append(lines, c.kill()...)
	}
	s := open(t, path, time.Now)
	allThere(t, s, lines)
	if e := s.epoch.Load(); e != 6 {
		t.Errorf("failover epoch %d after five crashes", e)
	}
	if v := reopen(t, s).(*Store).epoch.Load(); v != 6 {
		t.Errorf("failover epoch %d after a clean restart", v)
	}
}

func TestSecondProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.db")
	c := startChild(t, "hold", path)
	c.until("ready")
	for range 2 {
		_, err := Open(t.Context(), path, Options{})
		if !errors.Is(err, store.ErrInUse) || !strings.Contains(err.Error(), path) ||
			!strings.Contains(err.Error(), fmt.Sprintf("pid %d", c.cmd.Process.Pid)) {
			t.Errorf("beside another process: %v", err)
		}
	}
	c.kill()
	s := open(t, path, time.Now) // no stale lock
	if s.epoch.Load() != 2 {
		t.Errorf("failover epoch %d", s.epoch.Load())
	}
	if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("twice in one process: %v", err)
	}
}

func TestModes(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	s := open(t, filepath.Join(dir, "store ?%#.db"), time.Now)
	if _, err := s.Commit(t.Context(), store.Txn{Partition: 9, Writes: []store.Write{numbered(0)}}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Fatalf("%v, %v; want the file, its log, its index and its lock", files, err)
	}
	for _, f := range files {
		info, err := f.Info()
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), info.Mode(), err)
		}
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if info, err := os.Stat(d); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
}

func TestForeignFiles(t *testing.T) {
	execute := func(path string, texts ...string) {
		t.Helper()
		db, err := sql.Open("sqlite", path)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		for _, text := range texts {
			if _, err := db.Exec(text); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		want error
		make func(path string)
	}{
		"newer": {ErrNewer, func(path string) {
			if err := open(t, path, time.Now).Close(); err != nil {
				t.Fatal(err)
			}
			execute(path, "PRAGMA user_version = 2")
		}},
		"another application": {ErrForeign, func(path string) { execute(path, "CREATE TABLE x (y)") }},
		"text": {ErrForeign, func(path string) {
			if err := os.WriteFile(path, []byte(strings.Repeat("not a database\n", 100)), 0o600); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.db")
			c.make(path)
			before, _ := os.ReadFile(path)
			for range 2 { // a refused open leaves no lock
				if _, err := Open(t.Context(), path, Options{}); !errors.Is(err, c.want) || !strings.Contains(err.Error(), path) {
					t.Errorf("%v, want %v", err, c.want)
				}
			}
			if after, _ := os.ReadFile(path); string(after) != string(before) {
				t.Error("the file was changed")
			}
		})
	}
	if _, err := Open(t.Context(), filepath.Join(t.TempDir(), "store.db", "\x00"), Options{}); err == nil {
		t.Error("an impossible path was opened")
	}
}

// TestStartWithALargeFile opens 150 MB, once after a clean end and once after
// an unclean one.
func TestStartWithALargeFile(t *testing.T) {
	if testing.Short() {
		t.Skip("writes 150 MB")
	}
	path := filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, time.Now)
	value := make([]byte, 1<<19)
	for i := range 300 {
		w := write(storetest.Invites, fmt.Sprint(i), time.Time{})
		w.Value = value
		if _, err := s.Commit(t.Context(), store.Txn{Partition: 9, Writes: []store.Write{w}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, unclean := range []bool{false, true} {
		best := time.Hour // of three: the machine may be busy
		for range 3 {
			s.abandon.Store(unclean)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			s = open(t, path, time.Now)
			best = min(best, time.Since(began))
		}
		if best > time.Second/2 {
			t.Errorf("the start takes %v; unclean end: %t", best, unclean)
		}
	}
}

package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

// put commits names to the users of a partition, all or nothing.
func put(t testing.TB, s *Store, names ...string) {
	t.Helper()
	var writes []store.Write
	for _, name := range names {
		writes = append(writes, write(storetest.Users, name, time.Time{}))
	}
	if _, err := s.Commit(t.Context(), store.Txn{Partition: 9, Writes: writes}); err != nil {
		t.Fatal(err)
	}
}

// has tells whether a store has a name.
func has(t testing.TB, s *Store, name string) bool {
	t.Helper()
	e, err := s.Get(t.Context(), write(storetest.Users, name, time.Time{}).Key)
	if err != nil {
		t.Fatal(err)
	}
	return e[0].Version != 0
}

// backup makes a store with some names and returns a backup of it.
func backup(t testing.TB, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"), time.Now)
	for _, name := range names {
		put(t, s, name)
	}
	file := filepath.Join(dir, "backup.db")
	if err := s.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestBackupIsASnapshot(t *testing.T) {
	file := backup(t, "a", "b")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	s := open(t, file, time.Now)
	if !has(t, s, "a") || !has(t, s, "b") || has(t, s, "c") {
		t.Error("it has not what the store had")
	}
	if e := s.epoch.Load(); e != 2 {
		t.Errorf("failover epoch %d: the store was not closed", e)
	}
}

// TestBackupWhileCommitsGoOn backs a store up again and again while two
// goroutines commit pairs: each backup has both of a pair or neither.
func TestBackupWhileCommitsGoOn(t *testing.T) {
	dir := t.TempDir()
	s := open(t, filepath.Join(dir, "store.db"), time.Now)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 2)
	for g := range 2 {
		go func() {
			for i := 0; ; i++ {
				name := fmt.Sprintf("%d-%d", g, i)
				_, err := s.Commit(ctx, store.Txn{Partition: 9, Writes: []store.Write{
					write(storetest.Users, "alias-"+name, time.Time{}), write(storetest.Users, "user-"+name, time.Time{}),
				}})
				if err != nil {
					ended <- err
					return
				}
			}
		}()
	}
	var files []string
	for i := range 8 {
		put(t, s, fmt.Sprint("before-", i))
		file := filepath.Join(dir, fmt.Sprint("backup-", i))
		if err := s.Backup(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	stop()
	for range 2 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	}
	grown := 0
	for i, file := range files {
		b := open(t, file, time.Now)
		if !has(t, b, fmt.Sprint("before-", i)) {
			t.Errorf("backup %d misses what was acknowledged before it", i)
		}
		for g := range 2 {
			n := 0
			for ; has(t, b, fmt.Sprintf("alias-%d-%d", g, n)); n++ {
				if !has(t, b, fmt.Sprintf("user-%d-%d", g, n)) {
					t.Errorf("backup %d has half of a commit", i)
				}
			}
			if has(t, b, fmt.Sprintf("user-%d-%d", g, n)) {
				t.Errorf("backup %d has half of a commit", i)
			}
			grown = max(grown, n)
		}
	}
	if grown == 0 {
		t.Error("no commit came while backups were made")
	}
}

func TestBackupLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "store.db")
	s := open(t, path, time.Now)
	put(t, s, "a")
	file := filepath.Join(dir, "backup.db")
	gone := func() {
		t.Helper()
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("something was left: %v", err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if err := s.snapshot(ended, file); !errors.Is(err, context.Canceled) {
		t.Errorf("its caller has gone: %v", err)
	}
	if err := s.Backup(ended, file); !errors.Is(err, context.Canceled) {
		t.Errorf("its caller has gone: %v", err)
	}
	gone()
	if err := s.Backup(t.Context(), filepath.Join(dir, "nowhere", "backup.db")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is not there: %v", err)
	}
	if err := s.Backup(t.Context(), path); !errors.Is(err, fs.ErrExist) || !has(t, s, "a") {
		t.Errorf("over the store itself: %v", err)
	}
	if err := os.WriteFile(file, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), file); !errors.Is(err, fs.ErrExist) {
		t.Errorf("over a file: %v", err)
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "mine" {
		t.Errorf("it was changed: %q, %v", text, err)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Backup(t.Context(), file); !errors.Is(err, store.ErrClosed) {
		t.Errorf("of a closed store: %v", err)
	}
	gone()
}

// TestCloseEndsABackup closes a store while a backup of it is under way.
func TestCloseEndsABackup(t *testing.T) {
	s := open(t, filepath.Join(t.TempDir(), "store.db"), time.Now)
	for i := range 200 {
		put(t, s, fmt.Sprint(i))
	}
	close(s.quit) // as Close does first; the writer ends
	<-s.ended
	file := filepath.Join(t.TempDir(), "backup.db")
	ended := 0
	for range 100 { // a small backup may be done before it is ended
		err := s.Backup(t.Context(), file)
		if err == nil {
			err = os.Remove(file)
		} else if errors.Is(err, store.ErrClosed) {
			ended, err = ended+1, nil
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if ended == 0 {
		t.Error("no backup was ended")
	}
	s.closing.Do(func() { s.closeErr = s.release() })
}

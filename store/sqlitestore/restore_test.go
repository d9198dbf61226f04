package sqlitestore

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// standing makes a store with a name, closed or as a killed process leaves it.
func standing(t testing.TB, name string, killed bool) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "store.db")
	s := open(t, path, time.Now)
	put(t, s, name)
	if !killed {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		return path
	}
	dead := filepath.Join(t.TempDir(), "store.db")
	for _, suffix := range []string{"", "-wal", "-shm"} {
		copyFile(t, path+suffix, dead+suffix)
	}
	return dead
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(to, raw, 0o600); err != nil {
		t.Fatal(err)
	}
}

// files are the names in a directory, but for the lock.
func files(t testing.TB, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		if e.Name() != "store.db.lock" {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

func noon() time.Time { return time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC) }

func TestRestoreWhereNothingIs(t *testing.T) {
	from, to := backup(t, "a"), filepath.Join(t.TempDir(), "store.db")
	aside, err := Restore(t.Context(), from, to, RestoreOptions{})
	if err != nil || aside != "" {
		t.Fatalf("%q, %v", aside, err)
	}
	if got := files(t, filepath.Dir(to)); got != "store.db" {
		t.Errorf("there is %s", got)
	}
	if info, err := os.Stat(to); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	s := open(t, to, time.Now)
	if !has(t, s, "a") {
		t.Error("it has not what the backup has")
	}
	put(t, s, "b")
	if e := s.epoch.Load(); e != 2 {
		t.Errorf("failover epoch %d", e)
	}
}

func TestRestoreOverAStore(t *testing.T) {
	for _, killed := range []bool{false, true} {
		t.Run(fmt.Sprintf("killed %v", killed), func(t *testing.T) {
			from, to := backup(t, "new"), standing(t, "old", killed)
			for range 4 { // crashes of the old one
				crash(t, open(t, to, time.Now)).Close()
			}
			old := open(t, to, time.Now)
			high := old.epoch.Load()
			old.Close()
			before := files(t, filepath.Dir(to))
			if _, err := Restore(t.Context(), from, to, RestoreOptions{}); !errors.Is(err, ErrExists) {
				t.Fatalf("without force: %v", err)
			}
			if got := files(t, filepath.Dir(to)); got != before {
				t.Errorf("without force: %s, before %s", got, before)
			}
			aside, err := Restore(t.Context(), from, to, RestoreOptions{Force: true, Now: noon})
			if err != nil || aside != to+".before-20261125T120000Z" {
				t.Fatalf("%q, %v", aside, err)
			}
			s := open(t, to, time.Now)
			if !has(t, s, "new") || has(t, s, "old") {
				t.Error("the backup is not there")
			}
			if e := s.epoch.Load(); e <= high {
				t.Errorf("failover epoch %d, that of the old store was %d", e, high)
			}
			kept := open(t, aside, time.Now)
			if !has(t, kept, "old") || has(t, kept, "new") {
				t.Error("the old store was not kept")
			}
			s.Close()
			again, err := Restore(t.Context(), from, to, RestoreOptions{Force: true, Now: noon})
			if err != nil || again != aside+"-2" {
				t.Errorf("in the same second: %q, %v", again, err)
			}
		})
	}
}

func TestRestoreWhileAServerHasIt(t *testing.T) {
	to := filepath.Join(t.TempDir(), "store.db")
	s := open(t, to, time.Now)
	put(t, s, "old")
	if _, err := Restore(t.Context(), backup(t, "new"), to, RestoreOptions{Force: true}); !errors.Is(err, store.ErrInUse) {
		t.Errorf("%v", err)
	}
	if !has(t, s, "old") {
		t.Error("it was changed")
	}
}

// TestRestoreKeepsADamagedStore keeps a store whose file is noise: as it is, or
// with what its log has of it.
func TestRestoreKeepsADamagedStore(t *testing.T) {
	from, to := backup(t, "new"), standing(t, "old", true)
	log, err := os.ReadFile(to + "-wal")
	if err != nil || len(log) == 0 {
		t.Fatalf("%d bytes of log, %v", len(log), err)
	}
	noise := bytes.Repeat([]byte("noise "), 4000)
	if err := os.WriteFile(to, noise, 0o600); err != nil {
		t.Fatal(err)
	}
	aside, err := Restore(t.Context(), from, to, RestoreOptions{Force: true, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	if kept, err := os.ReadFile(aside); err != nil || !bytes.Equal(kept, noise) && !bytes.Contains(kept, []byte("old")) {
		t.Errorf("what was there was not kept: %v", err)
	}
	if got := files(t, filepath.Dir(to)); strings.Contains(got, "store.db-wal") {
		t.Errorf("a log stands beside the restored file: %s", got)
	}
	s := open(t, to, time.Now)
	if !has(t, s, "new") || has(t, s, "old") {
		t.Error("the backup is not there as it was")
	}
}

// TestRestoreBesideALogAlone has only the log of a store, which SQLite would
// apply to whatever file is put beside it.
func TestRestoreBesideALogAlone(t *testing.T) {
	from, to := backup(t, "new"), standing(t, "old", true)
	if err := os.Remove(to); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), from, to, RestoreOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("without force: %v", err)
	}
	aside, err := Restore(t.Context(), from, to, RestoreOptions{Force: true, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	if log, err := os.Stat(aside + "-wal"); err != nil || log.Size() == 0 {
		t.Errorf("the log was not kept: %v", err)
	}
	s := open(t, to, time.Now)
	if !has(t, s, "new") || has(t, s, "old") {
		t.Error("the backup is not there as it was")
	}
}

func TestRestoreRefusesWhatIsNoBackup(t *testing.T) {
	whole, err := os.ReadFile(backup(t, "a"))
	if err != nil {
		t.Fatal(err)
	}
	altered := func(statement string) []byte {
		file := filepath.Join(t.TempDir(), "altered")
		if err := os.WriteFile(file, whole, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := sql.Open("sqlite", dsn(file))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.Exec(statement); err != nil {
			t.Fatal(err)
		}
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	middle := bytes.Clone(whole)
	for i := range 64 {
		middle[pageSize+i] ^= 0x5a
	}
	for name, c := range map[string]struct {
		raw  []byte
		want error
	}{
		"nothing":           {nil, ErrForeign},
		"text":              {bytes.Repeat([]byte("text "), 9000), ErrForeign},
		"no header":         {whole[:90], ErrDamaged},
		"half":              {whole[:len(whole)/pageSize/2*pageSize], ErrDamaged},
		"all but a byte":    {whole[:len(whole)-1], ErrDamaged},
		"a bad page":        {middle, ErrDamaged},
		"another program's": {altered("PRAGMA application_id = 7"), ErrForeign},
		"newer":             {altered("PRAGMA user_version = 99"), ErrNewer},
		"with a trigger":    {altered("CREATE TRIGGER t AFTER INSERT ON kv BEGIN DELETE FROM kv; END"), ErrForeign},
		"without a table":   {altered("DROP TABLE part"), ErrDamaged},
		"without an epoch":  {altered("DELETE FROM meta"), ErrDamaged},
	} {
		t.Run(name, func(t *testing.T) {
			from, to := filepath.Join(t.TempDir(), "backup"), standing(t, "old", false)
			if err := os.WriteFile(from, c.raw, 0o600); err != nil {
				t.Fatal(err)
			}
			aside, err := Restore(t.Context(), from, to, RestoreOptions{Force: true})
			if !errors.Is(err, c.want) || aside != "" {
				t.Errorf("%q, %v, want %v", aside, err, c.want)
			}
			if got := files(t, filepath.Dir(to)); got != "store.db" {
				t.Errorf("there is %s", got)
			}
			if !has(t, open(t, to, time.Now), "old") {
				t.Error("the store was changed")
			}
			if raw, err := os.ReadFile(from); err != nil || !bytes.Equal(raw, c.raw) {
				t.Error("the file was changed")
			}
		})
	}
	refused := func(name, from, to string, want string) {
		t.Helper()
		if _, err := Restore(t.Context(), from, to, RestoreOptions{Force: true}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
	to := standing(t, "old", false)
	refused("a directory", t.TempDir(), to, ErrForeign.Error())
	refused("nothing", filepath.Join(t.TempDir(), "nothing"), to, "no such file")
	refused("the store itself", to, to, "the store itself")
	refused("a store with its log", standing(t, "live", true), to, "-wal stands beside it")
	refused("no directory", backup(t, "a"), filepath.Join(t.TempDir(), "no", "store.db"), "no such file")
}

func TestRestoreAsksItsCaller(t *testing.T) {
	from, to := backup(t, "new"), standing(t, "old", false)
	wrong := errors.New("the wrong key")
	_, err := Restore(t.Context(), from, to, RestoreOptions{Force: true, Check: func(context.Context, string) error { return wrong }})
	if !errors.Is(err, wrong) {
		t.Errorf("%v", err)
	}
	if got := files(t, filepath.Dir(to)); got != "store.db" {
		t.Errorf("there is %s", got)
	}
	saw := false
	_, err = Restore(t.Context(), from, to, RestoreOptions{Force: true, Now: noon, Check: func(ctx context.Context, path string) error {
		s, err := Open(ctx, path, Options{})
		if err != nil {
			return err
		}
		saw = has(t, s, "new")
		return s.Close()
	}})
	if err != nil || !saw {
		t.Errorf("saw the backup: %v, %v", saw, err)
	}
	if got := files(t, filepath.Dir(to)); got != "store.db store.db.before-20261125T120000Z" {
		t.Errorf("there is %s", got)
	}
}

// TestRestoreThatDies ends a restore between any two steps, as a crash would:
// then an old or a new store opens, no half of either, and a second restore
// goes through.
func TestRestoreThatDies(t *testing.T) {
	steps := len((&restoring{}).steps())
	for after := range steps + 1 {
		for _, killed := range []bool{false, true} {
			t.Run(fmt.Sprintf("after %d steps, killed %v", after, killed), func(t *testing.T) {
				from, to := backup(t, "new", "newer"), standing(t, "old", killed)
				r := &restoring{from: from, to: to, copy: to + ".restore", options: RestoreOptions{Force: true, Now: noon}}
				for _, step := range r.steps()[:after] {
					if err := step(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				s := open(t, to, time.Now)
				if is := has(t, s, "new"); is != has(t, s, "newer") || is == has(t, s, "old") || is != (after == steps) {
					t.Errorf("new: %v, old: %v", is, has(t, s, "old"))
				}
				put(t, s, "next")
				s.Close()
				if _, err := Restore(t.Context(), from, to, RestoreOptions{Force: true, Now: noon}); err != nil {
					t.Fatal(err)
				}
				if s := open(t, to, time.Now); !has(t, s, "new") || has(t, s, "old") || has(t, s, "next") {
					t.Error("the second restore did not do it")
				}
			})
		}
	}
}

// TestRestoreUndone fails at the last step: what was there keeps one name.
func TestRestoreUndone(t *testing.T) {
	from, to := backup(t, "new"), standing(t, "old", false)
	r := &restoring{from: from, to: to, copy: to + ".restore", options: RestoreOptions{Force: true, Now: noon}}
	for _, step := range r.steps()[:len(r.steps())-1] {
		if err := step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.undo(t.Context()); err != nil || r.aside != "" {
		t.Errorf("%q, %v", r.aside, err)
	}
	if got := files(t, filepath.Dir(to)); got != "store.db" {
		t.Errorf("there is %s", got)
	}
}

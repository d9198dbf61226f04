package authcore

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

// TestBackupsTakeTurns has one under way that does not end.
func TestBackupsTakeTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &State{backingUp: make(chan struct{}, 1)}
		s.backingUp <- struct{}{}
		if _, err := s.Snapshot(t.Context(), "nowhere"); !errors.Is(err, fault.Busy) {
			t.Errorf("%v", err)
		}
		ended, end := context.WithCancel(t.Context())
		end()
		if _, err := s.Snapshot(ended, "nowhere"); !errors.Is(err, context.Canceled) {
			t.Errorf("whoever waited has gone: %v", err)
		}
	})
}

func TestAStoreThatForgetsHasNoBackup(t *testing.T) {
	s, err := Open(t.Context(), StateConfig{Directory: memstore.New(memstore.Options{}), Keys: secret.NewKeys()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Snapshot(t.Context(), filepath.Join(t.TempDir(), "b")); !errors.Is(err, fault.NotSupported) {
		t.Errorf("%v", err)
	}
}

// TestInspect reads the pools of a backup, with its key and without.
func TestInspect(t *testing.T) {
	open := func(path string) *sqlitestore.Store {
		st, err := sqlitestore.Open(t.Context(), path, sqlitestore.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	keys, file := secret.NewKeys(), filepath.Join(t.TempDir(), "backup")
	st := open(filepath.Join(t.TempDir(), "store.db"))
	s, err := Open(t.Context(), StateConfig{Directory: st, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, name := range []string{"staff", "default"} {
		if _, err := s.repo.EnsurePool(t.Context(), name, "https://"+name+".example.com"); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Backup(t.Context(), file); err != nil {
		t.Fatal(err)
	}
	pools, err := Inspect(t.Context(), StateConfig{Directory: open(file), Keys: keys})
	if err != nil || !slices.Equal(pools, []string{"default", "staff"}) {
		t.Errorf("%v, %v", pools, err)
	}
	if pools, err := Inspect(t.Context(), StateConfig{Directory: open(file), Keys: secret.NewKeys()}); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("with another key: %v, %v", pools, err)
	}
}

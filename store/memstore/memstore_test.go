package memstore_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/storetest"
)

func TestStore(t *testing.T) {
	storetest.Run(t, storetest.Backend{
		Open: func(t testing.TB, now func() time.Time) store.Store {
			s := memstore.New(memstore.Options{Now: now})
			t.Cleanup(func() { s.Close() })
			return s
		},
		Crash: func(_ testing.TB, s store.Store) store.Store {
			s.(*memstore.Store).Failover()
			return s
		},
	})
}

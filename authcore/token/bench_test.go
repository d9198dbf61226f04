package token_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// BenchmarkStanding is what a gate asks about a token that it holds verified.
func BenchmarkStanding(b *testing.B) {
	w := newWorld(b)
	a := w.good()
	set, err := w.ring.Set(b.Context(), w.pool.ID, pool.TokenKeys)
	must(b, err)
	svc := token.New(token.Config{Repo: w.repo, Keys: fixed{w.ring, set}, Now: w.clock.now})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if svc.Standing(b.Context(), w.pool, &a) != nil || len(svc.GroupsOf(w.pool, &a)) != 2 {
				b.Error("does not stand")
			}
		}
	})
}

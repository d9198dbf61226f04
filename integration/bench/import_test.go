package bench

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/factor/password"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

// BenchmarkImport imports users with hashes into the embedded store, in
// batches as the command line sends them. The million of the issue in ten
// minutes is 1667 users a second: -benchtime 1000000x.
func BenchmarkImport(b *testing.B) {
	const batch, inFlight = 250, 4
	ctx := b.Context()
	s, err := sqlitestore.Open(ctx, filepath.Join(b.TempDir(), "gatehouse.db"), sqlitestore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := repo.New(repo.Config{Directory: s, Keys: secret.NewKeys()})
	identity, err := r.EnsurePool(ctx, "default", "https://login.example.com")
	if err != nil {
		b.Fatal(err)
	}
	p := &pool.Pool{ID: identity.ID, Name: "default"}
	accounts := account.New(account.Config{Repo: r, Passwords: password.New(password.Config{Hasher: secret.NewHasher(secret.HasherConfig{})})})
	b.ResetTimer()
	slots := make(chan struct{}, inFlight)
	var all sync.WaitGroup
	for from := 0; from < b.N; from += batch {
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			importBatch(ctx, b, accounts, p, from, min(from+batch, b.N))
		})
	}
	all.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "users/s")
}

func importBatch(ctx context.Context, b *testing.B, accounts *account.Service, p *pool.Pool, from, to int) {
	records := make([]account.Record, 0, to-from)
	for i := from; i < to; i++ {
		records = append(records, account.Record{
			Email: fmt.Sprintf("user%d@example.org", i), EmailVerified: true, Name: fmt.Sprintf("User %d", i),
			Claims: map[string]string{"given_name": "User", "family_name": fmt.Sprint(i)},
			Hash:   "$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6",
		})
	}
	out, err := accounts.Import(ctx, pool.Caller{Kind: pool.Operator}, p, records, false)
	if err != nil {
		b.Error(err)
		return
	}
	for _, o := range out {
		if o.Result != account.Added {
			b.Error(o)
			return
		}
	}
}

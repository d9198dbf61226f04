package repo

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

// BenchmarkSearch walks a million users on the embedded store, and says how
// long its pages take: of all users, and of a search that finds one of 10,000.
func BenchmarkSearch(b *testing.B) {
	const users = 1_000_000
	ctx := b.Context()
	s, err := sqlitestore.Open(ctx, filepath.Join(b.TempDir(), "gatehouse.db"), sqlitestore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	r := New(Config{Directory: s, Keys: secret.NewKeys()})
	identity, err := r.EnsurePool(ctx, "default", issuer)
	if err != nil {
		b.Fatal(err)
	}
	crowd(ctx, b, r, identity.ID, users)
	for name, match := range map[string]func(*pool.User) bool{
		"all":  nil,
		"rare": func(u *pool.User) bool { return strings.HasSuffix(u.Name, "0000") },
	} {
		b.Run(name, func(b *testing.B) { pages(ctx, b, r, identity.ID, match) })
	}
}

// pages reads one page in each step, and begins again behind the last.
func pages(ctx context.Context, b *testing.B, r *Repo, id pool.ID, match func(*pool.User) bool) {
	var took []time.Duration
	after, found := "", 0
	for b.Loop() {
		begun := time.Now()
		users, next, err := r.Search(ctx, id, match, after, 200)
		if err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begun))
		found += len(users)
		after = next
	}
	slices.Sort(took)
	b.ReportMetric(float64(found)/float64(len(took)), "users/page")
	b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, "p99-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1e3, "max-ms")
}

// crowd stores users as CreateUser leaves them, less their aliases, in large
// commits.
func crowd(ctx context.Context, b testing.TB, r *Repo, id pool.ID, n int) {
	ks, err := r.keyset(ctx, id)
	if err != nil {
		b.Fatal(err)
	}
	at := map[store.Partition][]*pool.User{}
	for i := range n {
		u := &pool.User{
			Sub: pool.UserID(secret.UUID()), Email: fmt.Sprintf("user%d@example.org", i), EmailVerified: true, Name: fmt.Sprintf("User %d", i),
			Claims: map[string]string{"given_name": "User", "family_name": fmt.Sprint(i)}, Groups: []string{"staff"}, Status: pool.Confirmed,
			Password: &pool.PasswordEntry{PHC: "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$YW5kIG5vYm9keSdzIGhhc2ggYXQgYWxsLCByZWFsbHk"},
		}
		u.Username = string(u.Sub)
		p := UserPartition(id, u.Sub)
		at[p] = append(at[p], u)
	}
	for p, users := range at {
		for part := range slices.Chunk(users, 100) {
			batch := ks.batch(p)
			for _, u := range part {
				if err := put(batch, Entry[pool.User]{key: userKey(id, u.Sub).key}, *u, noExpiry()); err != nil {
					b.Fatal(err)
				}
			}
			if _, err := r.commit(ctx, batch.t); err != nil {
				b.Fatal(err)
			}
		}
	}
}

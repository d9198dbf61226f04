package repo

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Who is there from the first page of a search to the last is found exactly
// once, while others come and go.
func TestSearchUnderWrites(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		seen := map[pool.UserID]int{}
		for i := range 60 {
			r.create(t, newUser(fmt.Sprintf("other%d@example.com", i)))
			seen[r.create(t, newUser(fmt.Sprintf("stays%d@example.com", i))).Sub] = 0
		}
		match := func(u *pool.User) bool { return !strings.HasPrefix(u.Email, "other") }
		var passing []pool.UserID
		for after, pages := "", 0; ; pages++ {
			users, next, err := r.Search(ctx, r.pool, match, after, 7)
			if err != nil || len(users) > 7 || next != "" && len(users) < 7 {
				t.Fatal(len(users), next, err)
			}
			for _, u := range users {
				if !match(u) {
					t.Fatal(u.Email)
				}
				if _, ok := seen[u.Sub]; ok {
					seen[u.Sub]++
				}
			}
			if after = next; after == "" {
				break
			}
			passing = append(passing, r.create(t, newUser(fmt.Sprintf("passes%d@example.com", pages))).Sub)
			if len(passing) > 2 {
				if err := r.DeleteUser(ctx, r.pool, passing[0]); err != nil {
					t.Fatal(err)
				}
				passing = passing[1:]
			}
		}
		for sub, n := range seen {
			if n != 1 {
				t.Fatalf("user %s was seen %d times", sub, n)
			}
		}
	})
}

// A page looks at no more users than its budget, however few it finds, and
// the next goes on behind them.
func TestASearchHasABudget(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	const users = 2*SearchBudget + 10
	crowd(ctx, t, r.Repo, r.pool, users)
	looked, pages, found := map[pool.UserID]bool{}, 0, 0
	for after := ""; ; {
		before := len(looked)
		page, next, err := r.Search(ctx, r.pool, func(u *pool.User) bool {
			if looked[u.Sub] {
				t.Fatal("looked at twice", u.Sub)
			}
			looked[u.Sub] = true
			return u.Email == "user7@example.org"
		}, after, 60)
		if err != nil || len(looked)-before > SearchBudget {
			t.Fatal(len(looked)-before, err)
		}
		pages, found = pages+1, found+len(page)
		if after = next; after == "" {
			break
		}
	}
	if len(looked) != users || pages != 3 || found != 1 {
		t.Fatal(len(looked), pages, found)
	}
}

// Large records end a page sooner, and none is passed over.
func TestASearchOfLargeRecordsHasShorterPages(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	const users, claim = 300, 8000 / 8
	for i := range users {
		u := newUser(fmt.Sprintf("user%d@example.com", i))
		u.Claims = map[string]string{}
		for _, name := range []string{"given_name", "family_name", "middle_name", "nickname", "gender", "address"} {
			u.Claims[name] = strings.Repeat("x", claim)
		}
		r.create(t, u)
	}
	looked, pages := 0, 0
	for after := ""; ; {
		_, next, err := r.Search(ctx, r.pool, func(*pool.User) bool { looked++; return false }, after, 60)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		if after = next; after == "" {
			break
		}
	}
	if looked != users || pages < 2 {
		t.Fatal(looked, pages)
	}
}

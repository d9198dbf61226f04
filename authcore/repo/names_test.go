package repo

import (
	"errors"
	"fmt"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

func namedUser(name, email, phone string) *pool.User {
	u := newUser(email)
	u.Username, u.Phone = name, phone
	return u
}

// TestUserNamesAreNeverReassigned: whoever deletes a user frees the e-mail
// address and the phone number, but not the name that others may still trust.
func TestUserNamesAreNeverReassigned(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		ann := r.create(t, namedUser("ann", "ann@example.com", "+49151234567"))
		if err := r.DeleteUser(ctx, r.pool, ann.Sub); err != nil {
			t.Fatal(err)
		}
		for range 2 { // at once, and after every lease and tombstone
			wantCode(t, r.CreateUser(ctx, r.pool, namedUser("ann", "eve@example.com", "")), fault.Conflict)
			again := *ann
			again.Email, again.Phone = "", ""
			wantCode(t, r.CreateUser(ctx, r.pool, &again), fault.Conflict)
			if u, err := r.find(t, "ann"); !errors.Is(err, fault.NotFound) {
				t.Fatal(u, err)
			}
			r.clock.Advance(2 * goneLife)
		}
		r.create(t, namedUser("bob", "ann@example.com", "+49151234567"))
		if u, err := r.find(t, "ann@example.com"); err != nil || u.Username != "bob" {
			t.Fatal(u, err)
		}
		if _, err := r.find(t, "eve@example.com"); !errors.Is(err, fault.NotFound) {
			t.Fatalf("a refused creation left its reservation usable: %v", err)
		}
	})
}

// TestUnconfirmedNameIsKept deletes a user whose creation died before it had
// confirmed the name.
func TestUnconfirmedNameIsKept(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	ann := r.create(t, namedUser("ann", "ann@example.com", ""))
	ks, err := r.keyset(ctx, r.pool)
	if err != nil {
		t.Fatal(err)
	}
	name := pool.Identifier{Kind: pool.ByUsername, Value: "ann"}
	have, err := Get(ctx, r.Repo, aliasKey(ks, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.putAlias(ctx, ks, have, alias{Sub: ann.Sub, Pending: true, Lease: r.clock.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := r.DeleteUser(ctx, r.pool, ann.Sub); err != nil {
		t.Fatal(err)
	}
	r.clock.Advance(2 * leaseLife)
	wantCode(t, r.CreateUser(ctx, r.pool, namedUser("ann", "eve@example.com", "")), fault.Conflict)
}

// TestReservedNameIsNobodys: a creation that died before its commit has not
// taken the name.
func TestReservedNameIsNobodys(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	ks, err := r.keyset(ctx, r.pool)
	if err != nil {
		t.Fatal(err)
	}
	name := pool.Identifier{Kind: pool.ByUsername, Value: "ann"}
	if _, _, err := r.reserve(ctx, ks, newUser("x@example.com").Sub, 0, []pool.Identifier{name}); err != nil {
		t.Fatal(err)
	}
	wantCode(t, r.CreateUser(ctx, r.pool, namedUser("ann", "ann@example.com", "")), fault.Busy)
	r.clock.Advance(2 * leaseLife)
	r.create(t, namedUser("ann", "ann@example.com", ""))
}

// TestConsentsGoWithTheUser: also more than one commit can delete.
func TestConsentsGoWithTheUser(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		ann, bob := r.create(t, newUser("ann@example.com")), r.create(t, newUser("bob@example.com"))
		give := func(u *pool.User, n int) {
			for i := range n {
				_, err := r.Update(ctx, r.pool, UserPartition(r.pool, u.Sub), func(tx *Tx) error {
					c := pool.Consent{Client: "shop", Host: fmt.Sprintf("h%d.example.com", i), Scopes: []string{"openid"}, At: r.clock.Now()}
					return Put(tx, ConsentKey(r.pool, u.Sub, c.Client, c.Host, ""), c, noExpiry())
				})
				if err != nil {
					t.Fatal(err)
				}
			}
		}
		give(ann, consentBatch*2+3)
		give(bob, 1)
		if all, err := r.Consents(ctx, r.pool, ann.Sub); err != nil || len(all) != consentBatch*2+3 {
			t.Fatal(len(all), err)
		}
		if err := r.DeleteUser(ctx, r.pool, ann.Sub); err != nil {
			t.Fatal(err)
		}
		for sub, want := range map[pool.UserID]int{ann.Sub: 0, bob.Sub: 1} {
			if all, err := r.Consents(ctx, r.pool, sub); err != nil || len(all) != want {
				t.Fatal(sub, all, err)
			}
		}
	})
}

// TestProfilesAreNotShared: a closure that was run for nothing has not changed
// what is compared with.
func TestProfilesAreNotShared(t *testing.T) {
	r := newRig(t)
	ann := newUser("ann@example.com")
	ann.Claims = map[string]string{"nickname": "Annie"}
	r.create(t, ann)
	got, err := r.UpdateUser(t.Context(), r.pool, ann.Sub, func(u *pool.User) error { u.Claims["nickname"] = "Nan"; return nil })
	if err != nil || got.Claims["nickname"] != "Nan" {
		t.Fatal(got, err)
	}
	if u, err := r.User(t.Context(), r.pool, ann.Sub); err != nil || u.Claims["nickname"] != "Nan" {
		t.Fatalf("the change was not seen: %+v, %v", u, err)
	}
}

// TestDeletedNamesTakeAsManySteps as names that nobody ever had.
func TestDeletedNamesTakeAsManySteps(t *testing.T) {
	c := newClock()
	s := &counting{Store: memstore.New(memstore.Options{Now: c.Now})}
	r := rigOn(t, s, c)
	ann := r.create(t, namedUser("ann", "ann@example.com", ""))
	if err := r.DeleteUser(t.Context(), r.pool, ann.Sub); err != nil {
		t.Fatal(err)
	}
	steps := func(who string) int {
		s.reads = 0
		if _, err := r.find(t, who); !errors.Is(err, fault.NotFound) {
			t.Fatal(err)
		}
		return s.reads
	}
	if gone, unknown := steps("ann"), steps("bob"); gone != unknown || gone == 0 {
		t.Fatalf("%d reads for a deleted name, %d for an unknown one", gone, unknown)
	}
}

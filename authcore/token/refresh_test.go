package token_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

func TestRotation(t *testing.T) {
	w := newWorld(t)
	first := w.tokens("shop", "openid email orders.read")
	at := w.clock.now().Unix()
	w.clock.move(time.Hour)
	second, err := w.refresh("shop", first.Refresh)
	must(t, err)
	if second.Refresh == first.Refresh || second.Access == first.Access || second.Sub != w.user.Sub {
		t.Error("nothing rotated")
	}
	_, before := claims(t, first.ID)
	_, after := claims(t, second.ID)
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "origin_jti", "acr"} {
		if before[name] != after[name] || after[name] == nil {
			t.Errorf("%s: %v, then %v", name, before[name], after[name])
		}
	}
	if before["nonce"] == nil || after["nonce"] != nil || after["auth_time"] != float64(at) || after["iat"] == before["iat"] {
		t.Errorf("refreshed ID token: %v", after)
	}
	a, err := w.verify(second.Access)
	must(t, err)
	if a.AuthTime != at || a.Scope != "openid email orders.read" {
		t.Errorf("refreshed access token %+v", a)
	}
}

func TestRetryWithinTheGraceGetsTheSameSuccessor(t *testing.T) {
	w := newWorld(t)
	first := w.tokens("shop", "openid")
	second, err := w.refresh("shop", first.Refresh)
	must(t, err)
	w.clock.move(10*time.Second - time.Millisecond)
	again, err := w.refresh("shop", first.Refresh)
	must(t, err)
	if again.Refresh != second.Refresh {
		t.Error("a generation has two successors")
	}
	if _, err := w.refresh("shop", second.Refresh); err != nil {
		t.Errorf("the successor: %v", err)
	}
}

func TestReuseAfterTheGraceEndsTheFamily(t *testing.T) {
	for name, age := range map[string]time.Duration{"late": 10 * time.Second, "clock set back": -time.Minute} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.tokens("shop", "openid")
			w.clock.move(2 * time.Minute)
			second, err := w.refresh("shop", first.Refresh)
			must(t, err)
			w.clock.move(age)
			_, err = w.refresh("shop", first.Refresh)
			wantCode(t, err, fault.InvalidGrant)
			_, err = w.refresh("shop", second.Refresh)
			wantCode(t, err, fault.InvalidGrant)
			_, err = w.verify(second.Access)
			wantCode(t, err, fault.InvalidToken)
		})
	}
}

func TestAGrandparentIsReuseEvenWithinTheGrace(t *testing.T) {
	w := newWorld(t)
	first := w.tokens("shop", "openid")
	second, err := w.refresh("shop", first.Refresh)
	must(t, err)
	third, err := w.refresh("shop", second.Refresh)
	must(t, err)
	_, err = w.refresh("shop", first.Refresh)
	wantCode(t, err, fault.InvalidGrant)
	_, err = w.refresh("shop", third.Refresh)
	wantCode(t, err, fault.InvalidGrant)
}

func TestParallelRefreshesMakeOneLineage(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testLineage(t, newWorld(t)) })
	t.Run("sqlite", func(t *testing.T) { testLineage(t, newSQLiteWorld(t)) })
}

func testLineage(t *testing.T, w *world) {
	first := w.tokens("shop", "openid")
	var mu sync.Mutex
	successors := map[string]int{}
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			got, err := w.refresh("shop", first.Refresh)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			successors[got.Refresh]++
		})
	}
	group.Wait()
	if len(successors) != 1 {
		t.Fatalf("%d lineages", len(successors))
	}
	for next := range successors {
		if _, err := w.refresh("shop", next); err != nil {
			t.Error(err)
		}
	}
}

func TestAbsoluteLife(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	for range 29 {
		w.clock.move(24 * time.Hour)
		var err error
		got, err = w.refresh("shop", got.Refresh)
		must(t, err)
	}
	w.clock.move(24 * time.Hour)
	_, err := w.refresh("shop", got.Refresh)
	wantCode(t, err, fault.InvalidGrant)
}

func TestClientsThatKeepTheirRefreshToken(t *testing.T) {
	w := newWorld(t)
	first := w.tokens("keeper", "openid")
	for range 3 {
		w.clock.move(time.Hour)
		got, err := w.refresh("keeper", first.Refresh)
		must(t, err)
		if got.Refresh != first.Refresh {
			t.Error("rotated")
		}
	}
}

func TestALostRotationRollsForward(t *testing.T) {
	for name, failover := range map[string]bool{"after a failover": true, "without one": false} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			first := w.tokens("shop", "openid")
			_, payload := claims(t, first.Access)
			part := repo.UserPartition(w.pool.ID, w.user.Sub)
			key := repo.FamilyKey(w.pool.ID, part, payload["origin_jti"].(string))
			before, err := repo.Get(t.Context(), w.repo, key)
			must(t, err)
			second, err := w.refresh("shop", first.Refresh)
			must(t, err)
			// The store forgets the rotation that it acknowledged.
			w.put(w.pool, w.user, func(tx *repo.Tx) error { return repo.Put(tx, key, before.Value, before.Expires) })
			if failover {
				w.store.(*memstore.Store).Failover()
			}
			third, err := w.refresh("shop", second.Refresh)
			if !failover {
				wantCode(t, err, fault.InvalidGrant)
				return
			}
			must(t, err)
			if third.Refresh == second.Refresh || third.Refresh == first.Refresh {
				t.Error("not rolled forward")
			}
			w.clock.move(time.Minute)
			_, err = w.refresh("shop", first.Refresh)
			wantCode(t, err, fault.InvalidGrant)
			_, err = w.refresh("shop", third.Refresh)
			wantCode(t, err, fault.InvalidGrant) // the first was reuse
		})
	}
}

func TestRefreshOutlivesAFailover(t *testing.T) {
	w := newWorld(t)
	first := w.tokens("shop", "openid")
	w.store.(*memstore.Store).Failover()
	if _, err := w.refresh("shop", first.Refresh); err != nil {
		t.Error(err)
	}
}

func TestRefreshIsRefused(t *testing.T) {
	for name, end := range map[string]func(*world){
		"disabled":   func(w *world) { w.update(func(u *pool.User) { u.Disabled = true }) },
		"epoch":      func(w *world) { w.update(func(u *pool.User) { u.Epoch++ }) },
		"must reset": func(w *world) { w.update(func(u *pool.User) { u.Status = pool.MustSetPassword }) },
		"deleted":    func(w *world) { must(w.t, w.repo.DeleteUser(w.t.Context(), w.pool.ID, w.user.Sub)) },
		"grant gone": func(w *world) { w.pool.Clients["shop"].Grants = []string{pool.GrantCode} },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			got := w.tokens("shop", "openid offline_access")
			end(w)
			_, err := w.refresh("shop", got.Refresh)
			wantCode(t, err, fault.InvalidGrant)
		})
	}
}

func TestRefreshTokensOfOthersCannotBeUsedOrBurnt(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	next, err := w.refresh("shop", got.Refresh)
	must(t, err)
	w.clock.move(time.Hour)
	_, err = w.refresh("two", got.Refresh) // reuse, but by another client
	wantCode(t, err, fault.InvalidGrant)
	_, err = w.refresh("two", next.Refresh)
	wantCode(t, err, fault.InvalidGrant)
	other := w.newPool("other", "https://other.example.com")
	_, err = w.svc.Refresh(t.Context(), other, token.RefreshOrder{Client: other.Clients["shop"], Token: next.Refresh})
	wantCode(t, err, fault.InvalidGrant)
	// Every single character counts, and there is one spelling.
	for i := range next.Refresh {
		c := byte('A')
		if next.Refresh[i] == c {
			c = 'B'
		}
		_, err := w.refresh("shop", next.Refresh[:i]+string(c)+next.Refresh[i+1:])
		wantCode(t, err, fault.InvalidGrant)
	}
	for _, bad := range []string{"", "x", next.Refresh + "=", next.Refresh + "A", next.Refresh[1:], "\n" + next.Refresh, strings.Repeat("A", 72), next.Access, next.ID} {
		_, err := w.refresh("shop", bad)
		wantCode(t, err, fault.InvalidGrant)
	}
	if _, err := w.refresh("shop", next.Refresh); err != nil {
		t.Errorf("burnt: %v", err)
	}
}

func TestRefreshNarrowsAndNeverWidens(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid orders.read orders.write billing.read")
	do := func(resource string, scopes ...string) (*token.Issued, error) {
		return w.svc.Refresh(t.Context(), w.pool, token.RefreshOrder{Client: w.pool.Clients["shop"], Token: got.Refresh, Scopes: scopes, Resource: resource})
	}
	_, err := do("", "orders.read", "profile")
	wantCode(t, err, fault.InvalidScope)
	_, err = do("https://app.example.com")
	wantCode(t, err, fault.InvalidTarget)
	narrow, err := do(billing, "billing.read")
	must(t, err)
	a, err := w.verify(narrow.Access)
	must(t, err)
	if a.Scope != "billing.read" || len(a.Audience) != 1 || a.Audience[0] != billing || narrow.ID != "" {
		t.Errorf("narrowed to %q for %v", a.Scope, a.Audience)
	}
	// The grant itself stays whole (RFC 6749 6).
	whole, err := w.refresh("shop", narrow.Refresh)
	must(t, err)
	if a, err := w.verify(whole.Access); err != nil || a.Scope != "openid orders.read orders.write" || a.Audience[0] != orders {
		t.Errorf("afterwards %+v, %v", a, err)
	}
}

func TestGroupsAreThoseOfNow(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	w.update(func(u *pool.User) { u.Groups = []string{"staff"} })
	got, err := w.refresh("shop", got.Refresh)
	must(t, err)
	for _, jwt := range []string{got.Access, got.ID} {
		if _, payload := claims(t, jwt); len(payload["cognito:groups"].([]any)) != 1 {
			t.Errorf("groups %v", payload["cognito:groups"])
		}
	}
}

func TestAnEndedFamilyStaysDeadLongerThanItsRevocation(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	_, payload := claims(t, got.Access)
	must(t, w.svc.EndFamilies(t.Context(), w.pool, w.user.Sub, []string{payload["origin_jti"].(string), "unknown"}))
	w.clock.move(repo.RevocationLife + time.Hour)
	_, err := w.refresh("shop", got.Refresh)
	wantCode(t, err, fault.InvalidGrant)
}

func TestTheDirectoryRemembersWhatTheSessionStoreLost(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid")
	_, payload := claims(t, got.Access)
	jti := payload["origin_jti"].(string)
	part := repo.UserPartition(w.pool.ID, w.user.Sub)
	key := repo.FamilyKey(w.pool.ID, part, jti)
	before, err := repo.Get(t.Context(), w.repo, key)
	must(t, err)
	must(t, w.svc.EndFamilies(t.Context(), w.pool, w.user.Sub, []string{jti}))
	w.put(w.pool, w.user, func(tx *repo.Tx) error { return repo.Put(tx, key, before.Value, before.Expires) })
	_, err = w.refresh("shop", got.Refresh)
	wantCode(t, err, fault.InvalidGrant)
	w.clock.move(repo.RevocationLife + time.Hour) // the revocation is over; the family stays dead
	_, err = w.refresh("shop", got.Refresh)
	wantCode(t, err, fault.InvalidGrant)
}

// What a user or a client may not have any more is not given again, however
// long ago it was granted.
func TestRefreshGivesNoMoreThanMayBeGranted(t *testing.T) {
	operators := func(u *pool.User) { u.Groups = []string{pool.OperatorsGroup} }
	nobody := func(u *pool.User) { u.Groups = nil }
	admin := func(w *world) {
		w.pool.Resources[pool.AdminResource(issuer)] = pool.AdminAPI(issuer)
		shop := w.pool.Clients["shop"]
		shop.Scopes = append(shop.Scopes, pool.ScopeAdmin)
		shop.Resources = append(shop.Resources, pool.AdminResource(issuer))
		w.update(operators)
	}

	t.Run("an operator no more", func(t *testing.T) {
		w := newWorld(t)
		admin(w)
		first := w.tokens("shop", "openid "+pool.ScopeAdmin)
		if a, err := w.verify(first.Access); err != nil || a.Scope != "openid "+pool.ScopeAdmin {
			t.Fatal(a, err)
		}
		w.update(nobody)
		_, err := w.svc.Refresh(t.Context(), w.pool, token.RefreshOrder{Client: w.pool.Clients["shop"], Token: first.Refresh, Scopes: []string{pool.ScopeAdmin}})
		wantCode(t, err, fault.InvalidScope)
		second, err := w.refresh("shop", first.Refresh)
		must(t, err)
		if a, err := w.verify(second.Access); err != nil || a.Scope != "openid" || strings.Join(second.Scopes, " ") != "openid" {
			t.Errorf("after leaving: %+v %v", a, err)
		}
		w.update(operators)
		third, err := w.refresh("shop", second.Refresh)
		must(t, err)
		if strings.Join(third.Scopes, " ") != "openid "+pool.ScopeAdmin {
			t.Errorf("an operator again: %q", third.Scopes)
		}
	})
	t.Run("an operator no more, with that scope alone", func(t *testing.T) {
		w := newWorld(t)
		admin(w)
		first := w.tokens("shop", pool.ScopeAdmin)
		w.update(nobody)
		_, err := w.refresh("shop", first.Refresh)
		wantCode(t, err, fault.InvalidGrant)
	})
	t.Run("an operator no more when the code is redeemed", func(t *testing.T) {
		w := newWorld(t)
		admin(w)
		o := w.order("shop", "openid "+pool.ScopeAdmin)
		code := w.code(o)
		w.update(nobody)
		got, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
		must(t, err)
		if strings.Join(got.Scopes, " ") != "openid" {
			t.Errorf("%q", got.Scopes)
		}
	})
	t.Run("claims of a scope that the client may not have any more", func(t *testing.T) {
		w := newWorld(t)
		named := func(o *token.CodeOrder) {
			o.IDClaims, o.InfoClaims = []string{"email", "name"}, []string{"email", "name"}
		}
		o := w.order("shop", "openid", named)
		first, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, w.code(o)))
		must(t, err)
		w.pool.Clients["shop"].Scopes = []string{"openid", "profile"}
		second, err := w.refresh("shop", first.Refresh)
		must(t, err)
		if _, got := claims(t, second.ID); got["email"] != nil || got["name"] == nil {
			t.Errorf("ID token %v", got)
		}
		a, err := w.verify(second.Access)
		must(t, err)
		if names, err := w.svc.InfoClaims(t.Context(), w.pool, a); err != nil || strings.Join(names, " ") != "name" {
			t.Errorf("userinfo %q %v", names, err)
		}
	})
	t.Run("a client whose list became shorter", func(t *testing.T) {
		w := newWorld(t)
		first := w.tokens("shop", "openid orders.read orders.write")
		w.pool.Clients["shop"].Scopes = []string{"openid", "orders.read"}
		second, err := w.refresh("shop", first.Refresh)
		must(t, err)
		if strings.Join(second.Scopes, " ") != "openid orders.read" {
			t.Errorf("%q", second.Scopes)
		}
	})
}

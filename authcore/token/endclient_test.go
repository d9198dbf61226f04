package token_test

import (
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// TestEndClientEndsWhatOneClientWasGiven and nothing that others were; also
// what outlives its session.
func TestEndClientEndsWhatOneClientWasGiven(t *testing.T) {
	w := newWorld(t)
	first, second, kept := w.tokens("shop", "openid"), w.tokens("shop", "openid offline_access"), w.tokens("two", "openid")
	stranger := w.newUser(w.pool, "stranger", "stranger@example.com")
	must(t, w.svc.EndClient(t.Context(), w.pool, stranger.Sub, "shop"))
	must(t, w.svc.EndClient(t.Context(), w.pool, w.user.Sub, "unknown"))
	for _, got := range []*token.Issued{first, second, kept} {
		if _, err := w.verify(got.Access); err != nil {
			t.Fatal("ended too early:", err)
		}
	}

	for range 2 { // what has ended already is fine
		must(t, w.svc.EndClient(t.Context(), w.pool, w.user.Sub, "shop"))
	}
	for _, got := range []*token.Issued{first, second} {
		_, err := w.verify(got.Access)
		wantCode(t, err, fault.InvalidToken)
		_, err = w.refresh("shop", got.Refresh)
		wantCode(t, err, fault.InvalidGrant)
	}
	if _, err := w.verify(kept.Access); err != nil {
		t.Error("another client's token has ended:", err)
	}
}

// A code that a client holds back buys nothing after the withdrawal, whenever
// it comes; one that was issued since does, and other clients' are untouched.
func TestEndClientVoidsCodes(t *testing.T) {
	for name, w := range map[string]*world{"memory": newWorld(t), "sqlite": newSQLiteWorld(t)} {
		t.Run(name, func(t *testing.T) {
			before, other := w.order("shop", "openid offline_access"), w.order("two", "openid")
			held, kept := w.code(before), w.code(other)
			must(t, w.svc.EndClient(t.Context(), w.pool, w.user.Sub, "shop"))
			w.clock.move(59 * time.Second)
			_, err := w.svc.RedeemCode(t.Context(), w.pool, present(before, held))
			wantCode(t, err, fault.InvalidGrant)
			if _, err := w.svc.RedeemCode(t.Context(), w.pool, present(other, kept)); err != nil {
				t.Error("another client's code:", err)
			}
			again := w.order("shop", "openid")
			fresh, err := w.svc.RedeemCode(t.Context(), w.pool, present(again, w.code(again)))
			if err != nil {
				t.Fatal("a code since:", err)
			}
			if _, err := w.verify(fresh.Access); err != nil {
				t.Error(err)
			}
		})
	}
}

// However redemptions and a withdrawal interleave, nothing is left over.
func TestEndClientWhileCodesAreRedeemed(t *testing.T) {
	w := newWorld(t)
	const n = 24
	codes := make([]token.Redemption, n)
	for i := range codes {
		o := w.order("shop", "openid offline_access")
		codes[i] = present(o, w.code(o))
	}
	got := make([]*token.Issued, n)
	var wait sync.WaitGroup
	for i := range codes {
		wait.Go(func() { got[i], _ = w.svc.RedeemCode(t.Context(), w.pool, codes[i]) })
	}
	wait.Go(func() {
		if err := w.svc.EndClient(t.Context(), w.pool, w.user.Sub, "shop"); err != nil {
			t.Error(err)
		}
	})
	wait.Wait()
	for _, g := range got {
		if g == nil {
			continue
		}
		if _, err := w.refresh("shop", g.Refresh); err == nil {
			t.Fatal("a refresh token has outlived the withdrawal")
		}
	}
}

package token_test

import (
	"testing"

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

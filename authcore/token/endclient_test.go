package token_test

import (
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// TestEndClientEndsWhatOneClientWasGiven and nothing that others were, although
// they are named with it.
func TestEndClientEndsWhatOneClientWasGiven(t *testing.T) {
	w := newWorld(t)
	first, second, kept := w.tokens("shop", "openid"), w.tokens("shop", "openid"), w.tokens("two", "openid")
	var jtis []string
	for _, got := range []*token.Issued{first, second, kept} {
		_, payload := claims(t, got.Access)
		jtis = append(jtis, payload["origin_jti"].(string))
	}
	stranger := w.newUser(w.pool, "stranger", "stranger@example.com")
	must(t, w.svc.EndClient(t.Context(), w.pool, stranger.Sub, "shop", jtis))
	must(t, w.svc.EndClient(t.Context(), w.pool, w.user.Sub, "unknown", jtis))
	must(t, w.svc.EndClient(t.Context(), w.pool, w.user.Sub, "shop", nil))
	for _, got := range []*token.Issued{first, second, kept} {
		if _, err := w.verify(got.Access); err != nil {
			t.Fatal("ended too early:", err)
		}
	}

	must(t, w.svc.EndClient(t.Context(), w.pool, w.user.Sub, "shop", append(jtis, "unknown")))
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

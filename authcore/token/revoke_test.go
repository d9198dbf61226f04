package token_test

import (
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// machine is a token of the client batch.
func (w *world) machine() *token.Issued {
	w.t.Helper()
	c := w.pool.Clients["batch"]
	target, err := pool.ResolveMachineTarget(w.pool, c, nil, nil)
	must(w.t, err)
	got, err := w.svc.Machine(w.t.Context(), w.pool, c, target)
	must(w.t, err)
	return got
}

func (w *world) revoke(client pool.ClientID, raw string) error {
	return w.svc.Revoke(w.t.Context(), w.pool, w.pool.Clients[client], raw)
}

// RFC 7009 2.1: whichever token of a family is revoked, all of it ends, and
// nothing else does.
func TestRevokingEndsTheFamily(t *testing.T) {
	for name, choose := range map[string]func(first, second *token.Issued) string{
		"refresh token":          func(_, second *token.Issued) string { return second.Refresh },
		"rotated refresh token":  func(first, _ *token.Issued) string { return first.Refresh },
		"access token":           func(_, second *token.Issued) string { return second.Access },
		"the first access token": func(first, _ *token.Issued) string { return first.Access },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			bystander := w.tokens("shop", "openid orders.read offline_access")
			first := w.tokens("shop", "openid orders.read offline_access")
			second, err := w.refresh("shop", first.Refresh)
			must(t, err)
			must(t, w.revoke("shop", choose(first, second)))
			for _, access := range []string{first.Access, second.Access} {
				_, err := w.verify(access)
				wantCode(t, err, fault.InvalidToken)
			}
			_, err = w.refresh("shop", second.Refresh)
			wantCode(t, err, fault.InvalidGrant)
			if _, err := w.verify(bystander.Access); err != nil {
				t.Errorf("another sign-in ended: %v", err)
			}
			must(t, w.revoke("shop", second.Refresh)) // once more
			must(t, w.revoke("shop", second.Access))
		})
	}
}

// A machine's token has no family: it ends alone, here and at every other
// node, and is remembered.
func TestRevokingAMachineToken(t *testing.T) {
	w := newWorld(t)
	node, stop := w.follow()
	defer stop()
	one, other := w.machine(), w.machine()
	for _, svc := range []*token.Service{w.svc, node} {
		if _, err := svc.VerifyAccess(t.Context(), w.pool, one.Access); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := w.verify(one.Access) // as a gate keeps it
	must(t, err)
	must(t, w.revoke("batch", one.Access))
	wantCode(t, w.svc.Standing(t.Context(), w.pool, kept), fault.InvalidToken)
	_, err = w.verify(one.Access)
	wantCode(t, err, fault.InvalidToken)
	if _, err := w.verify(other.Access); err != nil {
		t.Errorf("the other token: %v", err)
	}
	eventually(t, "the other node knows", func() bool {
		_, err := node.VerifyAccess(t.Context(), w.pool, one.Access)
		return fault.CodeOf(err) == fault.InvalidToken
	})
	later := token.New(token.Config{Repo: w.repo, Keys: w.ring, Now: w.clock.now})
	must(t, later.Revocations().Load(t.Context(), w.pool.ID))
	_, err = later.VerifyAccess(t.Context(), w.pool, one.Access)
	wantCode(t, err, fault.InvalidToken)
}

func TestRevokingWhatIsNothing(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid orders.read")
	other := w.newPool("other", "https://other.example.com")
	for name, raw := range map[string]string{
		"nothing":            "",
		"noise":              "not a token",
		"a damaged MAC":      got.Refresh[:len(got.Refresh)-4] + "AAAA",
		"a damaged JWT":      got.Access[:len(got.Access)-4] + "AAAA",
		"a foreign family":   got.Refresh[:10] + flip(got.Refresh[10:11]) + got.Refresh[11:],
		"a code":             w.code(w.order("shop", "openid")),
		"a very long string": string(make([]byte, 1<<17)),
	} {
		if err := w.revoke("shop", raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Tokens of this pool are strangers in the other.
	for _, raw := range []string{got.Refresh, got.Access, got.ID} {
		if err := w.svc.Revoke(t.Context(), other, other.Clients["shop"], raw); err != nil {
			t.Errorf("at another pool: %v", err)
		}
	}
	if _, err := w.verify(got.Access); err != nil {
		t.Errorf("something was revoked: %v", err)
	}
	w.clock.move(time.Hour)
	must(t, w.revoke("shop", got.Access)) // expired
	if _, err := w.refresh("shop", got.Refresh); err != nil {
		t.Errorf("an expired access token ended its family: %v", err)
	}
}

// RFC 7009 2.1: nobody revokes the tokens of others.
func TestRevokingIsRefused(t *testing.T) {
	w := newWorld(t)
	got, machine := w.tokens("shop", "openid orders.read"), w.machine()
	for name, raw := range map[string]string{"refresh": got.Refresh, "access": got.Access, "machine": machine.Access} {
		if err := w.revoke("two", raw); fault.CodeOf(err) != fault.InvalidGrant {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, client := range []pool.ClientID{"shop", "two"} {
		if err := w.revoke(client, got.ID); fault.CodeOf(err) != fault.UnsupportedTokenType {
			t.Errorf("an ID token, by %s: %v", client, err)
		}
	}
	for _, access := range []string{got.Access, machine.Access} {
		if _, err := w.verify(access); err != nil {
			t.Errorf("something was revoked: %v", err)
		}
	}
	if _, err := w.refresh("shop", got.Refresh); err != nil {
		t.Errorf("something was revoked: %v", err)
	}
}

// flip returns another character.
func flip(c string) string {
	if c == "A" {
		return "B"
	}
	return "A"
}

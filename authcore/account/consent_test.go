package account_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

const ordersAPI = "https://orders.example.com"

func TestConsentIsRemembered(t *testing.T) {
	w := newWorld(t)
	ann := w.create(account.NewUser{Identifier: "ann@example.com"})
	bob := w.create(account.NewUser{Identifier: "bob@example.com"})
	self := pool.Caller{Kind: pool.Self, Name: string(ann.Sub)}
	give := func(client pool.ClientID, host, resource string, scopes ...string) {
		t.Helper()
		must(t, w.accounts.Consent(t.Context(), self, w.pool, ann.Sub, pool.Consent{Client: client, Host: host, Resource: resource, Scopes: scopes}))
	}
	given := func(sub pool.UserID, client pool.ClientID, host, resource string, scopes ...string) bool {
		t.Helper()
		ok, err := w.accounts.Consented(t.Context(), w.pool, sub, pool.Consent{Client: client, Host: host, Resource: resource, Scopes: scopes})
		must(t, err)
		return ok
	}
	if given(ann.Sub, "shop", "shop.example.com", "") {
		t.Error("nothing was asked, but all is given")
	}
	give("shop", "shop.example.com", "", "openid")
	give("shop", "shop.example.com", ordersAPI, "orders.read")
	w.clock.move(time.Hour)
	give("shop", "shop.example.com", ordersAPI, "orders.write")

	if !given(ann.Sub, "shop", "shop.example.com", "", "openid") || !given(ann.Sub, "shop", "shop.example.com", ordersAPI, "orders.write", "orders.read") {
		t.Error("what was given is forgotten")
	}
	for name, ok := range map[string]bool{
		"another user":     given(bob.Sub, "shop", "shop.example.com", "", "openid"),
		"another client":   given(ann.Sub, "other", "shop.example.com", "", "openid"),
		"another host":     given(ann.Sub, "shop", "evil.example.com", "", "openid"),
		"another resource": given(ann.Sub, "shop", "shop.example.com", "https://stock.example.com", "orders.read"),
		"a scope more":     given(ann.Sub, "shop", "shop.example.com", "", "openid", "email"),
	} {
		if ok {
			t.Errorf("%s is included", name)
		}
	}
	all, err := w.accounts.Consents(t.Context(), w.pool, ann.Sub)
	must(t, err)
	if len(all) != 2 {
		t.Fatalf("%+v", all)
	}
	for _, c := range all {
		if c.Resource == ordersAPI && (!slices.Equal(c.Scopes, []string{"orders.read", "orders.write"}) || !c.At.Equal(w.clock.now()) || c.Client != "shop") {
			t.Errorf("%+v", c)
		}
	}
}

func TestWithdraw(t *testing.T) {
	w := newWorld(t)
	ann := w.create(account.NewUser{Identifier: "ann@example.com"})
	self := pool.Caller{Kind: pool.Self, Name: string(ann.Sub)}
	for _, c := range []pool.Consent{
		{Client: "shop", Host: "a.example.com", Scopes: []string{"openid"}},
		{Client: "shop", Host: "b.example.com", Resource: ordersAPI, Scopes: []string{"orders.read"}},
		{Client: "other", Host: "a.example.com", Scopes: []string{"openid"}},
	} {
		must(t, w.accounts.Consent(t.Context(), self, w.pool, ann.Sub, c))
	}
	must(t, w.accounts.Withdraw(t.Context(), self, w.pool, ann.Sub, "shop"))
	must(t, w.accounts.Withdraw(t.Context(), self, w.pool, ann.Sub, "never-asked"))
	all, err := w.accounts.Consents(t.Context(), w.pool, ann.Sub)
	must(t, err)
	if len(all) != 1 || all[0].Client != "other" {
		t.Errorf("%+v", all)
	}
	// What is given later does not bring back what was withdrawn.
	must(t, w.accounts.Consent(t.Context(), self, w.pool, ann.Sub, pool.Consent{Client: "shop", Host: "b.example.com", Resource: ordersAPI, Scopes: []string{"orders.write"}}))
	if ok, err := w.accounts.Consented(t.Context(), w.pool, ann.Sub, pool.Consent{Client: "shop", Host: "b.example.com", Resource: ordersAPI, Scopes: []string{"orders.read"}}); err != nil || ok {
		t.Error(ok, err)
	}
}

func TestConsentIsOnesOwn(t *testing.T) {
	w := newWorld(t)
	ann := w.create(account.NewUser{Identifier: "ann@example.com"})
	bob := w.create(account.NewUser{Identifier: "bob@example.com"})
	c := pool.Consent{Client: "shop", Host: "shop.example.com", Scopes: []string{"openid"}}
	for _, by := range []pool.Caller{visitor, {}, {Kind: pool.Self}, {Kind: pool.Self, Name: string(bob.Sub)}} {
		wantCode(t, w.accounts.Consent(t.Context(), by, w.pool, ann.Sub, c), fault.Forbidden)
		wantCode(t, w.accounts.Withdraw(t.Context(), by, w.pool, ann.Sub, "shop"), fault.Forbidden)
	}
	if all, err := w.accounts.Consents(t.Context(), w.pool, ann.Sub); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
	must(t, w.accounts.Consent(t.Context(), pool.Caller{Kind: pool.Self, Name: string(ann.Sub)}, w.pool, ann.Sub, c))
	must(t, w.accounts.Withdraw(t.Context(), operator, w.pool, ann.Sub, "shop"))
	for _, want := range []string{"verb=consent.give allowed=false", "verb=consent.give allowed=true", "verb=consent.withdraw allowed=true"} {
		if !strings.Contains(w.log.String(), want) {
			t.Errorf("no %q in the log", want)
		}
	}
}

// Of somebody who is gone, or disabled, while the page that asks is still
// open, nothing is kept.
func TestNoConsentOfWhoIsGone(t *testing.T) {
	w := newWorld(t)
	ann := w.create(account.NewUser{Identifier: "ann@example.com"})
	self := pool.Caller{Kind: pool.Self, Name: string(ann.Sub)}
	c := pool.Consent{Client: "shop", Host: "shop.example.com", Scopes: []string{"openid"}}
	must(t, w.accounts.Disable(t.Context(), operator, w.pool, ann.Sub))
	wantCode(t, w.accounts.Consent(t.Context(), self, w.pool, ann.Sub, c), fault.Forbidden)
	must(t, w.accounts.Delete(t.Context(), operator, w.pool, ann.Sub))
	wantCode(t, w.accounts.Consent(t.Context(), self, w.pool, ann.Sub, c), fault.NotFound)
	if all, err := w.accounts.Consents(t.Context(), w.pool, ann.Sub); err != nil || len(all) != 0 {
		t.Error(all, err)
	}
}

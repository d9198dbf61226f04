package attacks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// What the gate remembers of one caller must never answer for another: many
// callers, their damaged twins and strangers, all at once, over the same caches.
func TestManyCallersAtOnce(t *testing.T) {
	w := newWorld(t)
	type caller struct{ sub, cookie, token, foreign string }
	var callers []caller
	for i := range 6 {
		name := fmt.Sprintf("user%d", i)
		w.AddUser(name, password)
		b := w.browser(name)
		c := caller{cookie: w.cookie(b, "app")}
		var me struct {
			Sub string `json:"sub"`
		}
		if err := json.Unmarshal([]byte(w.get("app", "/_auth/me", "Cookie: "+c.cookie).Body), &me); err != nil || me.Sub == "" {
			t.Fatalf("%+v, %v", me, err)
		}
		c.sub = me.Sub
		for scope, token := range map[string]*string{"orders.read": &c.token, "other.read": &c.foreign} {
			a, err := w.provider.Redeem(shop(), w.provider.GetCode(t, b, shop(), scope, name, password))
			if err != nil || a.Status != http.StatusOK {
				t.Fatalf("%+v, %v", a, err)
			}
			*token = a.Access
		}
		callers = append(callers, c)
	}
	w.up.take()
	var wg sync.WaitGroup
	good := 0
	try := func(want int, site, path string, lines ...string) {
		if want == http.StatusOK {
			good++
		}
		wg.Go(func() {
			if a := w.get(site, path, lines...); a.Status != want {
				t.Errorf("%s%s: %d, want %d", site, path, a.Status, want)
			}
		})
	}
	for range 15 {
		for _, c := range callers {
			who := "/?sub=" + url.QueryEscape(c.sub)
			try(200, "app", who, "Cookie: "+c.cookie)
			try(200, "api", who, "Authorization: Bearer "+c.token)
			try(401, "api", "/?sub=damaged", "Authorization: Bearer "+c.token[:len(c.token)-4]+"AAAA")
			try(401, "api", "/?sub=foreign", "Authorization: Bearer "+c.foreign)
			try(401, "other", "/?sub=foreign", "Authorization: Bearer "+c.token)
			try(401, "remote", "/?sub=other-site", "Cookie: "+c.cookie)
			try(401, "app", "/?sub=damaged", "Cookie: "+c.cookie[:len(c.cookie)-4]+"AAAA")
			try(401, "app", "/?sub=stranger")
		}
		wg.Wait()
	}
	seen := w.up.take()
	if len(seen) != good {
		t.Errorf("%d requests reached the upstream, want %d", len(seen), good)
	}
	for _, h := range seen {
		line, _, _ := strings.Cut(h.raw, "\r\n")
		if got := h.values("X-Auth-User"); len(got) != 1 || !strings.Contains(line, "sub="+got[0]+" ") {
			t.Errorf("%s arrived as %q", line, got)
		}
	}
}

// A user who is ended while requests pour in is out from then on: no cache
// brings the user back.
func TestDisabledUnderLoad(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	cookie := w.cookie(b, "app")
	a, err := w.provider.Redeem(shop(), w.provider.GetCode(t, b, shop(), "orders.read", bob, password))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%+v, %v", a, err)
	}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				switch i % 3 {
				case 0:
					w.get("app", "/", "Cookie: "+cookie)
				case 1:
					w.get("api", "/", "Authorization: Bearer "+a.Access)
				case 2:
					_, _ = w.provider.Refresh(shop(), a.Refresh) // right or refused
				}
			}
		})
	}
	w.CLI("user", "disable", bob)
	for range 20 { // the command has answered: from here on nothing may pass
		if got := w.get("app", "/", "Cookie: "+cookie); got.Status != 401 {
			t.Errorf("the session after disable: %d", got.Status)
		}
		if got := w.get("api", "/", "Authorization: Bearer "+a.Access); got.Status != 401 {
			t.Errorf("the token after disable: %d", got.Status)
		}
		if got, err := w.provider.Refresh(harness.Client{ID: "shop"}, a.Refresh); err != nil || got.Error != "invalid_grant" {
			t.Errorf("the refresh token after disable: %+v, %v", got, err)
		}
	}
	close(stop)
	wg.Wait()
	w.CLI("user", "enable", bob)
	if got := w.get("app", "/", "Cookie: "+cookie); got.Status != 401 {
		t.Errorf("enabling brought the session back: %d", got.Status)
	}
}

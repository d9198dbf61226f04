package token_test

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

func TestRedeemIssuesWhatWasGranted(t *testing.T) {
	w := newWorld(t)
	got := w.tokens("shop", "openid profile email orders.read")
	if got.Refresh == "" || got.ID == "" || got.Life != 15*time.Minute || got.Sub != w.user.Sub ||
		!slices.Equal(got.Scopes, []string{"openid", "profile", "email", "orders.read"}) {
		t.Errorf("issued %+v", got)
	}
	a, err := w.verify(got.Access)
	must(t, err)
	if !slices.Equal(a.Audience, []string{orders, issuer}) {
		t.Errorf("aud %v", a.Audience)
	}
	if w.tokens("short", "openid").Refresh != "" {
		t.Error("a client without the grant got a refresh token")
	}
	if w.tokens("shop", "orders.read").ID != "" {
		t.Error("an ID token without openid")
	}
}

// wrong is everything that must not redeem a code, and must not spend it.
func wrong() map[string]func(*world, *token.Redemption) {
	return map[string]func(*world, *token.Redemption){
		"another client":       func(w *world, r *token.Redemption) { r.Client = w.pool.Clients["two"] },
		"a site":               func(w *world, r *token.Redemption) { r.Client = w.pool.Clients[siteID] },
		"another redirect URI": func(_ *world, r *token.Redemption) { r.RedirectURI += "/" },
		"no verifier":          func(_ *world, r *token.Redemption) { r.Verifier = "" },
		"another verifier":     func(_ *world, r *token.Redemption) { r.Verifier = strings.Repeat("a", 43) },
		"verifier too short":   func(_ *world, r *token.Redemption) { r.Verifier = verifier[:42] },
		"verifier too long":    func(_ *world, r *token.Redemption) { r.Verifier = strings.Repeat("a", 129) },
		"the challenge itself": func(_ *world, r *token.Redemption) { r.Verifier = s256(verifier) },
		"bad alphabet":         func(_ *world, r *token.Redemption) { r.Verifier = verifier + "+" },
		"no code":              func(_ *world, r *token.Redemption) { r.Code = "" },
		"half a code":          func(_ *world, r *token.Redemption) { r.Code = r.Code[:20] },
		"a padded code":        func(_ *world, r *token.Redemption) { r.Code += "=" },
		"a code in other case": func(_ *world, r *token.Redemption) { r.Code = strings.ToUpper(r.Code) },
		"a made-up code":       func(w *world, r *token.Redemption) { r.Code = repo.NewHandle(7) },
	}
}

func TestWrongRedemptionsAreRefusedAndSpendNothing(t *testing.T) {
	w := newWorld(t)
	o := w.order("shop", "openid orders.read")
	code := w.code(o)
	for name, spoil := range wrong() {
		t.Run(name, func(t *testing.T) {
			r := present(o, code)
			spoil(w, &r)
			_, err := w.svc.RedeemCode(t.Context(), w.pool, r)
			wantCode(t, err, fault.InvalidGrant)
		})
	}
	t.Run("another pool", func(t *testing.T) {
		other := w.newPool("other", "https://other.example.com")
		_, err := w.svc.RedeemCode(t.Context(), other, present(o, code))
		wantCode(t, err, fault.InvalidGrant)
	})
	t.Run("wider", func(t *testing.T) {
		r := present(o, code)
		r.Scopes = []string{"billing.read"}
		_, err := w.svc.RedeemCode(t.Context(), w.pool, r)
		wantCode(t, err, fault.InvalidScope)
		r = present(o, code)
		r.Resource = billing
		_, err = w.svc.RedeemCode(t.Context(), w.pool, r)
		wantCode(t, err, fault.InvalidTarget)
	})
	if _, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, code)); err != nil {
		t.Errorf("the code was spent by those who could not use it: %v", err)
	}
}

func TestRedirectURIMayBeAbsentIfThereIsOne(t *testing.T) {
	w := newWorld(t)
	for client, ok := range map[pool.ClientID]bool{"shop": true, "two": false} {
		o := w.order(client, "openid")
		r := present(o, w.code(o))
		r.RedirectURI = ""
		_, err := w.svc.RedeemCode(t.Context(), w.pool, r)
		if (err == nil) != ok {
			t.Errorf("%s: %v", client, err)
		}
	}
}

func TestPKCE(t *testing.T) {
	w := newWorld(t)
	drop := func(o *token.CodeOrder) { o.Challenge = "" }
	for _, client := range []pool.ClientID{"shop", siteID} {
		_, err := w.svc.IssueCode(t.Context(), w.pool, w.order(client, "openid", drop))
		wantCode(t, err, fault.InvalidRequest)
	}
	for _, bad := range []string{verifier[:42], "plain-" + verifier, s256(verifier) + "=", "AAAAAAAAAAA", strings.Repeat("!", 43)} {
		_, err := w.svc.IssueCode(t.Context(), w.pool, w.order("shop", "openid", func(o *token.CodeOrder) { o.Challenge = bad }))
		wantCode(t, err, fault.InvalidRequest)
	}
	o := w.order("old", "openid", drop)
	r := present(o, w.code(o))
	_, err := w.svc.RedeemCode(t.Context(), w.pool, r)
	wantCode(t, err, fault.InvalidGrant) // a verifier without a challenge: it was dropped on the way
	r.Verifier = ""
	_, err = w.svc.RedeemCode(t.Context(), w.pool, r)
	must(t, err)
}

func TestVerifiersOutsideTheGrammarAreRefused(t *testing.T) {
	w := newWorld(t)
	for v, ok := range map[string]bool{
		strings.Repeat("a", 42): false, strings.Repeat("a", 43): true, strings.Repeat("-._~", 32): true,
		strings.Repeat("a", 129): false, strings.Repeat("a", 42) + "+": false, strings.Repeat("a", 42) + "é": false,
	} {
		o := w.order("shop", "openid", func(o *token.CodeOrder) { o.Challenge = s256(v) })
		r := present(o, w.code(o))
		r.Verifier = v
		if _, err := w.svc.RedeemCode(t.Context(), w.pool, r); (err == nil) != ok {
			t.Errorf("%q: %v", v, err)
		}
	}
}

func TestCodesLiveShortly(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		client pool.ClientID
		ask    time.Duration
		life   time.Duration
	}{{"shop", 0, time.Minute}, {"shop", time.Hour, time.Minute}, {"shop", 5 * time.Second, 5 * time.Second}, {siteID, 0, 30 * time.Second}} {
		for past, ok := range map[time.Duration]bool{c.life - time.Millisecond: true, c.life: false} {
			o := w.order(c.client, "openid", func(o *token.CodeOrder) { o.Life = c.ask })
			code := w.code(o)
			w.clock.move(past)
			var err error
			if o.Client.Site {
				_, _, err = w.svc.RedeemSiteCode(t.Context(), w.pool, present(o, code))
			} else {
				_, err = w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
			}
			if (err == nil) != ok {
				t.Errorf("%s, asked %v, after %v: %v", c.client, c.ask, past, err)
			}
		}
	}
}

func TestOneOfSixteenRacersRedeems(t *testing.T) {
	t.Run("memory", func(t *testing.T) { testRacers(t, newWorld(t)) })
	t.Run("sqlite", func(t *testing.T) { testRacers(t, newSQLiteWorld(t)) })
}

func testRacers(t *testing.T, w *world) {
	o := w.order("shop", "openid offline_access")
	code := w.code(o)
	var won atomic.Pointer[token.Issued]
	var wins atomic.Int32
	var group sync.WaitGroup
	for range 16 {
		group.Go(func() {
			got, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
			if err == nil {
				wins.Add(1)
				won.Store(got)
			} else if fault.CodeOf(err) != fault.InvalidGrant {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if wins.Load() != 1 {
		t.Fatalf("%d redeemed one code", wins.Load())
	}
	// The others were replays: what the code bought is ended.
	_, err := w.verify(won.Load().Access)
	wantCode(t, err, fault.InvalidToken)
	_, err = w.refresh("shop", won.Load().Refresh)
	wantCode(t, err, fault.InvalidGrant)
}

func TestReplayEndsOnlyItsOwnFamily(t *testing.T) {
	w := newWorld(t)
	o := w.order("shop", "openid")
	code := w.code(o)
	got, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
	must(t, err)
	other := w.tokens("shop", "openid")
	stranger := present(o, code)
	stranger.Verifier = strings.Repeat("x", 50)
	_, err = w.svc.RedeemCode(t.Context(), w.pool, stranger)
	wantCode(t, err, fault.InvalidGrant)
	if _, err := w.verify(got.Access); err != nil {
		t.Fatalf("who does not hold the verifier ended the family: %v", err)
	}
	_, err = w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
	wantCode(t, err, fault.InvalidGrant)
	_, err = w.verify(got.Access)
	wantCode(t, err, fault.InvalidToken)
	_, err = w.refresh("shop", got.Refresh)
	wantCode(t, err, fault.InvalidGrant)
	if _, err := w.refresh("shop", other.Refresh); err != nil {
		t.Errorf("another family ended too: %v", err)
	}
}

func TestReplayIsDurablyRevoked(t *testing.T) {
	w := newWorld(t)
	o := w.order("shop", "openid")
	code := w.code(o)
	got, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
	must(t, err)
	_, _ = w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
	_, payload := claims(t, got.Access)
	var found bool
	for r, err := range w.repo.Revocations(t.Context(), w.pool.ID) {
		must(t, err)
		found = found || r.OriginJTI == payload["origin_jti"] && r.Sub == w.user.Sub
	}
	if !found {
		t.Error("no revocation entry for the replayed code's family")
	}
	// Another process, which has only the store to learn from.
	fresh := token.New(token.Config{Repo: w.repo, Keys: w.ring, Now: w.clock.now})
	must(t, fresh.Revocations().Load(t.Context(), w.pool.ID))
	_, err = fresh.VerifyAccess(t.Context(), w.pool, got.Access)
	wantCode(t, err, fault.InvalidToken)
}

func TestCodesDieWithWhatTheyComeFrom(t *testing.T) {
	for name, end := range map[string]func(*world, token.CodeOrder){
		"disabled":   func(w *world, _ token.CodeOrder) { w.update(func(u *pool.User) { u.Disabled = true }) },
		"epoch":      func(w *world, _ token.CodeOrder) { w.update(func(u *pool.User) { u.Epoch++ }) },
		"must reset": func(w *world, _ token.CodeOrder) { w.update(func(u *pool.User) { u.Status = pool.MustSetPassword }) },
		"deleted":    func(w *world, _ token.CodeOrder) { must(w.t, w.repo.DeleteUser(w.t.Context(), w.pool.ID, w.user.Sub)) },
		"session": func(w *world, o token.CodeOrder) {
			w.put(w.pool, w.user, func(tx *repo.Tx) error {
				repo.Delete(tx, repo.SessionKey(w.pool.ID, repo.UserPartition(w.pool.ID, w.user.Sub), o.SessionName))
				return nil
			})
		},
		"failover": func(w *world, _ token.CodeOrder) { w.store.(*memstore.Store).Failover() },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			o, site := w.order("shop", "openid"), w.order(siteID, "openid")
			site.Session, site.SessionName = o.Session, o.SessionName
			code, siteCode := w.code(o), w.code(site)
			end(w, o)
			_, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
			wantCode(t, err, fault.InvalidGrant)
			_, _, err = w.svc.RedeemSiteCode(t.Context(), w.pool, present(site, siteCode))
			wantCode(t, err, fault.InvalidGrant)
		})
	}
}

func TestNoCodeForASessionThatEnded(t *testing.T) {
	w := newWorld(t)
	o := w.order("shop", "openid")
	o.SessionName = "another"
	_, err := w.svc.IssueCode(t.Context(), w.pool, o)
	wantCode(t, err, fault.LoginRequired)
}

func TestSiteCodeBuysASession(t *testing.T) {
	w := newWorld(t)
	o := w.order(siteID, "openid")
	code := w.code(o)
	_, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, code))
	wantCode(t, err, fault.InvalidGrant) // a gate never gets tokens
	shop := w.order("shop", "openid")
	_, _, err = w.svc.RedeemSiteCode(t.Context(), w.pool, present(shop, w.code(shop)))
	wantCode(t, err, fault.InvalidGrant) // and nobody else a session

	id, site, err := w.svc.RedeemSiteCode(t.Context(), w.pool, present(o, code))
	must(t, err)
	part, name, ok := repo.ParseHandle(id)
	if !ok || part != repo.UserPartition(w.pool.ID, w.user.Sub) || site.Parent != o.SessionName || site.Client != siteID || site.Sub != w.user.Sub {
		t.Errorf("site session %+v at %d", site, part)
	}
	e, err := repo.Get(t.Context(), w.repo, repo.SiteSessionKey(w.pool.ID, part, name))
	must(t, err)
	if !e.Found || !e.Expires.Equal(w.clock.now().Add(12*time.Hour)) {
		t.Errorf("stored until %v, found %v", e.Expires, e.Found)
	}
	_, _, err = w.svc.RedeemSiteCode(t.Context(), w.pool, present(o, code))
	wantCode(t, err, fault.InvalidGrant)
	if e, _ := repo.Get(t.Context(), w.repo, repo.SiteSessionKey(w.pool.ID, part, name)); e.Found {
		t.Error("a replayed code leaves its site session alive")
	}
	if !w.svc.Revocations().SessionEnded(w.pool.ID, name) {
		t.Error("its end is not known at once")
	}
}

func TestASessionKeepsItsFamiliesInMind(t *testing.T) {
	w := newWorld(t)
	first := w.order("shop", "openid")
	var all []*token.Issued
	for range 52 {
		o := first
		got, err := w.svc.RedeemCode(t.Context(), w.pool, present(o, w.code(o)))
		must(t, err)
		all = append(all, got)
	}
	lasting := first
	lasting.Scopes = []string{"openid", "offline_access"}
	got, err := w.svc.RedeemCode(t.Context(), w.pool, present(lasting, w.code(lasting)))
	must(t, err)
	e, err := repo.Get(t.Context(), w.repo, repo.SessionKey(w.pool.ID, repo.UserPartition(w.pool.ID, w.user.Sub), first.SessionName))
	must(t, err)
	if n := len(e.Value.Families); n != 50 {
		t.Errorf("%d families", n)
	}
	_, payload := claims(t, got.Access)
	if slices.Contains(e.Value.Families, payload["origin_jti"].(string)) {
		t.Error("a family that outlives the session is listed to end with it")
	}
	for i, issued := range all {
		_, err := w.verify(issued.Access)
		if (err == nil) != (i >= 2) {
			t.Errorf("family %d: %v", i, err)
		}
	}
}

package attacks

import (
	"encoding/base64"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// F01: identifiers and codes come from the system's generator and look like it.
func TestIdentifiersCannotBeGuessed(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	kinds := map[string][]string{}
	for i := range 200 {
		code := w.code(b, shop())
		kinds["code"] = append(kinds["code"], code.Value)
		if i >= 40 {
			continue
		}
		a, err := w.provider.Redeem(shop(), code)
		if err != nil || a.Status != 200 {
			t.Fatalf("%+v, %v", a, err)
		}
		kinds["jti"] = append(kinds["jti"], strings.ReplaceAll(open(t, a.Access).claims["jti"].(string), "-", ""))
	}
	for range 20 {
		for _, c := range w.browser(bob).Cookies(w.URL("app")) {
			if kind := strings.Split(c.Name, "-")[1]; kind == "sso" || kind == "site" {
				kinds[kind] = append(kinds[kind], c.Value)
			}
		}
	}
	for kind, values := range kinds {
		seen, bytes := map[string]bool{}, 0
		var counts [256]int
		for _, v := range values {
			if seen[v] {
				t.Errorf("%s: %s twice", kind, v)
			}
			seen[v] = true
			if kind == "jti" {
				continue // a UUID: unique, but no secret
			}
			raw, err := base64.RawURLEncoding.DecodeString(v[strings.LastIndex(v, ".")+1:])
			if err != nil || len(raw) < 32 {
				t.Fatalf("%s: %q has %d bytes (%v), want 32 at least", kind, v, len(raw), err)
			}
			for _, c := range raw[1:] { // the first one is the user's partition
				counts[c]++
				bytes++
			}
		}
		if bytes < 256*16 {
			continue // too few for the test below
		}
		// Chi-square with 255 degrees of freedom: 400 is passed by chance once
		// in 10^8 runs, and by any counter or clock at once.
		expected, chi := float64(bytes)/256, 0.0
		for _, n := range counts {
			chi += (float64(n) - expected) * (float64(n) - expected) / expected
		}
		t.Logf("%s: chi-square %.0f over %d bytes", kind, chi, bytes)
		if chi > 400 {
			t.Errorf("%s: chi-square %.0f: not uniform", kind, chi)
		}
	}
}

// F01: no package of the product uses a generator that can be predicted.
func TestNoPredictableGenerator(t *testing.T) {
	weak := regexp.MustCompile(`"math/rand(/v2)?"`)
	files := 0
	for _, dir := range []string{"authcore", "store", "caddymodule", "loginui", "xcaddy"} {
		err := filepath.WalkDir(filepath.Join("..", "..", dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.Contains(path, "storetest") {
				return err
			}
			raw, err := os.ReadFile(path)
			if files++; weak.Match(raw) && !strings.HasSuffix(path, "store/update.go") { // spreads retries over time
				t.Errorf("%s imports math/rand", path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("only %d files were read", files)
	}
}

// snapshot is every cookie of a browser for a site.
func snapshot(b *harness.Browser, target string) map[string]string {
	out := map[string]string{}
	for _, c := range b.Cookies(target) {
		out[c.Name] = c.Value
	}
	return out
}

func kindOf(name string) string { return strings.Split(strings.TrimPrefix(name, "__Host-"), "-")[1] }

// F03: an id that was there before the sign-in is worth nothing after it.
func TestSessionFixation(t *testing.T) {
	w := newWorld(t)
	app := w.URL("app")
	t.Run("the attacker's pre-session and transaction", func(t *testing.T) {
		attacker, victim := harness.NewBrowser(t), harness.NewBrowser(t)
		attacker.Get(app + "/")
		planted := attacker.Cookies(app)
		if len(planted) == 0 {
			t.Fatal("no cookies before the sign-in")
		}
		victim.SetCookies(app, planted)
		victim.Get(app + "/")
		victim.SignIn(bob, password)
		if victim.Status != 200 {
			t.Fatalf("%d at %s", victim.Status, victim.URL)
		}
		after := snapshot(victim, app)
		for _, c := range planted {
			if kindOf(c.Name) == "pre" && after[c.Name] == c.Value {
				t.Error("the pre-session was kept through the sign-in")
			}
		}
		if attacker.Get(app + "/"); attacker.Status == 200 && !strings.HasSuffix(attacker.URL.Path, "/login") {
			t.Errorf("the attacker is in: %d at %s", attacker.Status, attacker.URL)
		}
	})
	t.Run("an invented session id", func(t *testing.T) {
		sample := snapshot(w.browser(bob), app)
		for name, value := range sample {
			if kind := kindOf(name); kind != "sso" && kind != "site" {
				continue
			}
			invented := value[:len(value)-20] + strings.Repeat("A", 20)
			b := harness.NewBrowser(t)
			b.SetCookies(app, []*http.Cookie{{Name: name, Value: invented, Path: "/"}})
			b.Get(app + "/")
			b.SignIn(bob, password)
			if b.Status != 200 {
				t.Fatalf("%d at %s", b.Status, b.URL)
			}
			if got := snapshot(b, app)[name]; got == invented {
				t.Errorf("%s: the invented id became a session", name)
			}
			w.up.take()
			w.get("app", "/", "Cookie: "+name+"="+invented)
			w.noU(t)
		}
	})
	t.Run("the attacker's own session in the victim's browser", func(t *testing.T) {
		attacker, victim := w.browser(ann), harness.NewBrowser(t)
		planted := snapshot(attacker, app)
		victim.SetCookies(app, attacker.Cookies(app))
		victim.Get(w.provider.Base + "/logout")
		victim.Submit(nil)
		victim.Get(app + "/")
		victim.SignIn(bob, password)
		if victim.Status != 200 {
			t.Fatalf("%d at %s\n%s", victim.Status, victim.URL, victim.Body)
		}
		for name, value := range snapshot(victim, app) {
			if planted[name] == value {
				t.Errorf("%s is the attacker's still", name)
			}
		}
	})
	t.Run("signing in again makes new ids", func(t *testing.T) {
		b := w.browser(bob)
		before := snapshot(b, app)
		time.Sleep(1100 * time.Millisecond) // sign-ins of one second are one to prompt=login
		target, _ := w.provider.Authorize(shop(), "openid", url.Values{"prompt": {"login"}})
		b.Get(target)
		b.SignIn(bob, password)
		if b.URL.Query().Get("code") == "" {
			t.Fatalf("%d at %s", b.Status, b.URL)
		}
		for name, value := range snapshot(b, app) {
			if kindOf(name) == "sso" && before[name] == value {
				t.Error("the session id did not change at a new sign-in")
			}
		}
	})
	t.Run("a cookie that stands twice", func(t *testing.T) {
		mine, theirs := w.cookie(w.browser(bob), "app"), w.cookie(w.browser(ann), "app")
		w.up.take()
		for _, lines := range [][]string{{"Cookie: " + mine + "; " + theirs}, {"Cookie: " + theirs, "Cookie: " + mine}} {
			if a := w.get("app", "/", lines...); a.Status != 401 {
				t.Errorf("%d: which of two sessions counts is the sender's choice", a.Status)
			}
			w.noU(t)
		}
	})
}

// F06: after signing out nothing works that was got before, nor after a restart.
func TestNothingOutlivesSignOut(t *testing.T) {
	w := newWorld(t)
	b := w.browser(bob)
	app := w.URL("app")
	cookies := map[string]string{"app": w.cookie(b, "app"), "remote": w.cookie(b, "remote")}
	all := b.Cookies(app)
	tokens, err := w.provider.Redeem(shop(), w.code(b, shop()))
	if err != nil || tokens.Status != 200 {
		t.Fatalf("%+v, %v", tokens, err)
	}
	pending := w.code(b, shop())
	w.up.take()
	for site, cookie := range cookies { // they work now, and are cached
		if a := w.get(site, "/", "Cookie: "+cookie); a.Status != 200 {
			t.Fatalf("%s: %d", site, a.Status)
		}
	}
	if a := w.get("api", "/", "Authorization: Bearer "+tokens.Access); a.Status != 200 {
		t.Fatalf("%d", a.Status)
	}
	w.up.take()

	b.Get(app + "/_auth/logout")
	if strings.Contains(strings.Join(b.Hops, " "), "out=") || len(b.Cookies(app)) < 2 {
		t.Fatalf("signed out by a link: %v", b.Hops)
	}
	b.Submit(nil)
	if b.Status != 200 {
		t.Fatalf("%d at %s", b.Status, b.URL)
	}
	check := func(t *testing.T) {
		t.Helper()
		for site, cookie := range cookies {
			w.challenged(t, site, w.get(site, "/", "Cookie: "+cookie), 401, "", "")
			if a := w.get(site, "/_auth/me", "Cookie: "+cookie); a.Status != 401 {
				t.Errorf("%s me: %d", site, a.Status)
			}
		}
		w.dead(t, shop(), tokens.Access, tokens.Refresh)
		if a, err := w.provider.Redeem(shop(), pending); err != nil || a.Error != "invalid_grant" {
			t.Errorf("a code from before: %+v, %v", a, err)
		}
		if res, _ := harness.Call(t, "GET", w.provider.Base+"/oauth2/userInfo", tokens.Access); res.StatusCode != 401 {
			t.Errorf("userInfo: %d", res.StatusCode)
		}
		thief := harness.NewBrowser(t)
		thief.SetCookies(app, all)
		if thief.Get(app + "/"); !strings.HasSuffix(thief.URL.Path, "/login") {
			t.Errorf("the old cookies open %s", thief.URL)
		}
		w.noU(t)
	}
	t.Run("at once", check)
	w.Kill9()
	w.Run()
	t.Run("after a crash", check)
	t.Run("the site's own logout", func(t *testing.T) {
		b := w.browser(bob)
		cookie := w.cookie(b, "remote")
		w.up.take()
		// A cross-site request must not sign anybody out.
		w.get("remote", "/_auth/logout", "Cookie: "+cookie, "Sec-Fetch-Site: cross-site")
		if a := w.get("remote", "/", "Cookie: "+cookie); a.Status != 200 {
			t.Errorf("signed out from another site: %d", a.Status)
		}
		w.up.take()
		w.raw("remote", w.head("remote", "POST /_auth/logout", "Cookie: "+cookie, "Sec-Fetch-Site: same-origin", "Origin: "+w.URL("remote"), "Content-Length: 0")+"\r\n")
		w.challenged(t, "remote", w.get("remote", "/", "Cookie: "+cookie), 401, "", "")
	})
	t.Run("a password change ends the others", func(t *testing.T) {
		cookie := w.cookie(w.browser(bob), "app")
		w.up.take()
		if _, err := w.Caddy(strings.NewReader("another long password"), "gatehouse", "user", "password", bob); err != nil {
			t.Fatal(err)
		}
		w.challenged(t, "app", w.get("app", "/", "Cookie: "+cookie), 401, "", "")
	})
	t.Run("a deleted user", func(t *testing.T) {
		b := w.browser(ann)
		cookie := w.cookie(b, "app")
		w.CLI("user", "delete", ann)
		w.up.take()
		w.challenged(t, "app", w.get("app", "/", "Cookie: "+cookie), 401, "", "")
	})
}

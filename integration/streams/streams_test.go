package streams

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	// promised is the time within which a stream ends with what let it in.
	promised = 2 * time.Second
	// allowed is what a test grants on machines that others use too.
	allowed = 5 * time.Second
)

// onBoth runs a test on both stores.
func onBoth(t *testing.T, run func(t *testing.T, store string)) {
	for _, store := range []string{"memory", "sqlite"} {
		t.Run(store, func(t *testing.T) {
			t.Parallel()
			run(t, store)
		})
	}
}

// opened opens a stream of every kind, or fails.
func (w *world) opened(t *testing.T, all []kind, prefix string, header func(origin string) http.Header) []*live {
	t.Helper()
	out := make([]*live, len(all))
	for i, k := range all {
		l, err := w.open(t, k, prefix, header(w.origin(k)))
		if err != nil {
			t.Fatalf("%s: %v", k.name, err)
		}
		out[i] = l
	}
	return out
}

// cut waits until every stream is over on both sides, and tells how long it took.
func (w *world) cut(t *testing.T, all []*live, since time.Time) {
	t.Helper()
	late := time.After(time.Until(since.Add(allowed)))
	slowest := time.Duration(0)
	for _, l := range all {
		select {
		case <-l.over:
			took := l.end.Sub(since)
			slowest = max(slowest, took)
			if took > promised {
				t.Logf("%s: cut after %v, later than promised", l.kind.name, took)
			}
		case <-late:
			t.Errorf("%s is not cut", l.kind.name)
			return
		}
	}
	for _, l := range all {
		for w.up.has(l.id) {
			if time.Since(since) > allowed+time.Second {
				t.Errorf("%s is not cut at the upstream", l.kind.name)
				break
			}
			time.Sleep(10 * time.Millisecond) // the other process is on its way
		}
	}
	t.Logf("the slowest of %d was cut after %v", len(all), slowest.Round(time.Millisecond))
}

// stands fails if a stream is over.
func stands(t *testing.T, all []*live, why string) {
	t.Helper()
	for _, l := range all {
		if !l.alive(t) {
			t.Errorf("%s: %s was cut: %v", why, l.kind.name, l.err)
		}
	}
}

// TestWhatEndsAStream ends sign-ins in every way there is, and looks at the
// streams of those who are concerned and of those who are not.
func TestWhatEndsAStream(t *testing.T) {
	onBoth(t, func(t *testing.T, store string) {
		w := start(t, store, "15m", "24h")
		bystander := w.person("bystander", "staff")
		others := w.opened(t, kinds(), "", bystander.cookie)
		others = append(others, w.opened(t, kinds(), "/team", bystander.bearer)...)

		for i, c := range []struct {
			name, prefix string
			cookies      bool
			end          func(t *testing.T, p *person)
		}{
			{"sign-out in another tab", "", true, w.signOut},
			{"sign-out everywhere", "", true, func(_ *testing.T, p *person) { w.server.CLI("user", "end-sessions", p.name) }},
			{"disabled", "", true, func(_ *testing.T, p *person) { w.server.CLI("user", "disable", p.name) }},
			{"group taken away", "/team", true, func(_ *testing.T, p *person) { w.server.CLI("group", "remove", "staff", p.name) }},
			{"sign-out, tokens", "", false, w.signOut},
			{"sign-out everywhere, tokens", "", false, func(_ *testing.T, p *person) { w.server.CLI("user", "end-sessions", p.name) }},
			{"disabled, tokens", "", false, func(_ *testing.T, p *person) { w.server.CLI("user", "disable", p.name) }},
			{"revoked, tokens", "", false, w.revoke},
			{"group taken away, tokens", "/team", false, func(_ *testing.T, p *person) { w.server.CLI("group", "remove", "staff", p.name) }},
		} {
			t.Run(c.name, func(t *testing.T) {
				w := *w
				w.t = t
				p := w.person(fmt.Sprint("user", i), "staff")
				header := p.bearer
				if c.cookies {
					header = p.cookie
				}
				all := w.opened(t, kinds(), c.prefix, header)
				since := time.Now()
				c.end(t, p)
				t.Logf("ended in %v", time.Since(since).Round(time.Millisecond))
				w.cut(t, all, time.Now())
			})
		}
		stands(t, others, "others ended")
	})
}

// signOut signs out in another tab of the browser.
func (w *world) signOut(t *testing.T, p *person) {
	p.browser.Get(w.app + "/_auth/logout")
	p.browser.Submit(nil)
	if p.browser.Status != http.StatusOK {
		t.Fatalf("sign-out: %d at %s", p.browser.Status, p.browser.URL)
	}
}

// revoke gives the tokens back (RFC 7009).
func (w *world) revoke(t *testing.T, p *person) {
	for _, token := range p.token {
		w.post(t, w.provider.Base+"/oauth2/revoke", "client_id=shop&token="+token)
	}
}

// TestRefusedBeforeItBegins asks for streams without a right to them: nothing
// reaches the upstream.
func TestRefusedBeforeItBegins(t *testing.T) {
	onBoth(t, func(t *testing.T, store string) {
		w := start(t, store, "15m", "24h")
		ann, eve := w.person("ann", "staff"), w.person("eve")
		for _, c := range []struct {
			name   string
			prefix string
			header func(origin string) http.Header
			only   func(kind) bool
			want   int // 0: let in
		}{
			{"nobody", "", func(string) http.Header { return http.Header{} }, nil, 401},
			{"a wrong cookie", "", func(o string) http.Header {
				h := ann.cookie(o)
				h.Set("Cookie", strings.ReplaceAll(h.Get("Cookie"), "=", "=x"))
				return h
			}, nil, 401},
			{"a wrong token", "", func(string) http.Header { return http.Header{"Authorization": {"Bearer nonsense"}} }, nil, 401},
			{"another site's token", "", func(o string) http.Header {
				return eve.bearer(map[string]string{w.app: w.tls, w.tls: w.app}[o])
			}, nil, 401},
			{"not in the group", "/team", eve.cookie, nil, 403},
			{"not in the group, by token", "/team", eve.bearer, nil, 403},
			{"another site's script, with our cookie", "", from(ann, "https://evil.example.com", "cross-site"), kind.websocket, 403},
			{"a sibling's script, with our cookie", "", from(ann, "http://localhost:1", "same-site"), kind.websocket, 403},
			{"no origin at all, with our cookie", "", from(ann, "", ""), kind.websocket, 403},
			{"a script of nowhere, with our cookie", "", from(ann, "null", "cross-site"), kind.websocket, 403},
			{"a friend's script, with our cookie", "", from(ann, friend, "cross-site"), kind.websocket, 0},
			{"cookie", "/team", ann.cookie, nil, 0},
			{"token", "/team", ann.bearer, nil, 0},
			{"another site's script, with a token", "", func(o string) http.Header {
				h := ann.bearer(o)
				h.Set("Origin", "https://evil.example.com")
				return h
			}, kind.websocket, 0},
		} {
			t.Run(c.name, func(t *testing.T) {
				for _, k := range kinds() {
					if c.only != nil && !c.only(k) {
						continue
					}
					header := c.header(w.origin(k))
					header.Set("X-Auth-User", "mallory")
					l, err := w.open(t, k, c.prefix, header)
					if c.want == 0 {
						if err != nil {
							t.Errorf("%s: %v", k.name, err)
						} else if got := w.up.came(l.id); !identity.MatchString(got.Get("X-Auth-User")) || (got.Get("Cookie") != "") {
							t.Errorf("%s: the upstream was told %v", k.name, got)
						}
						continue
					}
					r, ok := errors.AsType[refused](err)
					if !ok || r.status != c.want {
						t.Errorf("%s: %v, want %d", k.name, err, c.want)
					}
					if w.up.came(w.last()) != nil {
						t.Errorf("%s reached the upstream", k.name)
					}
				}
			})
		}
	})
}

// from is a request with a person's cookie that another site's script sent.
func from(p *person, origin, site string) func(string) http.Header {
	return func(o string) http.Header {
		h := p.cookie(o)
		h.Del("Origin")
		h.Del("Sec-Fetch-Site")
		if origin != "" {
			h.Set("Origin", origin)
			h.Set("Sec-Fetch-Site", site)
		}
		return h
	}
}

// lasting are the kinds that outlive a reload: with or without us, Caddy closes
// connections of HTTP/3 when the grace period of one is over.
func lasting() []kind {
	return slices.DeleteFunc(kinds(), func(k kind) bool { return k.over == "3" })
}

// TestWhatEndsNoStream holds streams open over what is none of their business,
// and ends them afterwards.
func TestWhatEndsNoStream(t *testing.T) {
	onBoth(t, func(t *testing.T, store string) {
		const life = 3 * time.Second
		w := start(t, store, life.String(), "24h")
		ann := w.person("ann", "staff")
		bob := w.person("bob")
		again := w.signIn("ann")
		issued := time.Now()
		again.token[w.app], again.token[w.tls] = w.accessToken(again, w.app), w.accessToken(again, w.tls)
		byToken := w.opened(t, lasting(), "", again.bearer)
		byCookie := w.opened(t, lasting(), "/team", ann.cookie)
		bobs := w.opened(t, lasting(), "", bob.cookie)

		// A reload; what began before it goes on.
		if err := w.server.Reload(); err != nil {
			t.Fatal(err)
		}
		stands(t, byToken, "a reload")
		stands(t, byCookie, "a reload")
		byToken = append(byToken, w.opened(t, kinds(), "", again.bearer)...)
		byCookie = append(byCookie, w.opened(t, kinds(), "/team", ann.cookie)...)

		// Tokens run out: nothing new with them, what is under way goes on.
		time.Sleep(time.Until(issued.Add(life + time.Second)))
		for {
			res, _, err := harness.Do(http.MethodGet, w.app+"/", again.bearer(w.app))
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode == http.StatusUnauthorized {
				break
			}
			if time.Since(issued) > 90*time.Second {
				t.Fatal("the token does not run out")
			}
			time.Sleep(100 * time.Millisecond)
		}
		stands(t, byToken, "tokens ran out")

		// What changes, but ends nothing: a new name, a group more, other tokens given back.
		w.server.CLI("user", "set", "ann", "--name", "Ann Other")
		w.server.CLI("group", "add", "auditors", "ann")
		w.revoke(t, ann)

		// Another one's end, and that of another browser of the same person.
		since := time.Now()
		w.server.CLI("user", "disable", "bob")
		w.cut(t, bobs, since)
		third := w.signIn("ann")
		thirds := w.opened(t, kinds(), "", third.cookie)
		since = time.Now()
		w.signOut(t, third)
		w.cut(t, thirds, since)
		stands(t, byCookie, "another browser's sign-out")
		stands(t, byToken, "another browser's sign-out")

		// After the reload there is still somebody who cuts.
		since = time.Now()
		w.signOut(t, ann)
		w.cut(t, byCookie, since)
		stands(t, byToken, "another browser's sign-out")
		since = time.Now()
		w.server.CLI("user", "disable", "ann")
		w.cut(t, byToken, since)
	})
}

// TestSessionRunsOut keeps streams open beyond the end of a session.
func TestSessionRunsOut(t *testing.T) {
	onBoth(t, func(t *testing.T, store string) {
		const life = 6 * time.Second
		w := start(t, store, "15m", life.String())
		began := time.Now() // the session begins later
		ann := w.person("ann")
		all := w.opened(t, kinds(), "", ann.cookie)
		signedIn := time.Now()
		w.cut(t, all, signedIn.Add(life))
		for _, l := range all {
			if l.end.Before(began.Add(life)) {
				t.Errorf("%s was cut before its session's end: %v", l.kind.name, l.err)
			}
		}
	})
}

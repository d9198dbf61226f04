package signin_test

import (
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// A walker does at the pages what people do, in any order.
type walker struct {
	*browser
	open []*response // pages that lie open, the one that is looked at last
	path []string    // what was done
}

// look is the page that is looked at.
func (w *walker) look() *response { return w.open[len(w.open)-1] }

// see follows a response to the page that it leads to. An authorization
// endpoint is played: it wants a session, and is the end of the way if there is one.
func (w *walker) see(res *response) {
	w.t.Helper()
	for range 5 {
		if res.StatusCode >= 500 {
			w.t.Fatalf("%v: %s\n%s", w.path, res.Status, res.body)
		}
		if res.StatusCode != http.StatusFound && res.StatusCode != http.StatusSeeOther {
			w.open = append(w.open, res)
			return
		}
		to, err := res.Location()
		must(w.t, err)
		if to.Path == "/oauth2/authorize" {
			if len(w.subs()) > 0 {
				return // at the application; the page stays behind, for the back button
			}
			to.Path = "/login"
		}
		res = w.get(to.RequestURI())
	}
	w.t.Fatalf("%v: redirects without end", w.path)
}

func (w *walker) submit(word string) {
	page := w.look()
	if !strings.Contains(page.body, `name="password"`) {
		return
	}
	w.see(w.answer(page, "ann@example.com", word))
}

// steps are what people do.
func steps() map[string]func(*walker) {
	get := func(target string) func(*walker) { return func(w *walker) { w.see(w.get(target)) } }
	return map[string]func(*walker){
		"open":     get("/login?" + request),
		"bookmark": get("/login"),
		"select":   get("/select?" + request + "&prompt=select_account"),
		"right":    func(w *walker) { w.submit(right) },
		"wrong":    func(w *walker) { w.submit("wrong password") },
		"back": func(w *walker) {
			if len(w.open) > 1 {
				w.open = w.open[:len(w.open)-1]
			}
		},
		"other tab": func(w *walker) { // and on in the first
			before := w.look()
			w.see(w.get("/login?" + request))
			w.open = append(w.open, before)
		},
		"twice": func(w *walker) {
			if page := w.look(); strings.Contains(page.body, `name="password"`) {
				w.browser.copy().answer(page, "ann@example.com", right) // its answer is never seen
				w.submit(right)
			}
		},
		"choose": func(w *walker) {
			if offers := w.look().offers(); len(offers) > 0 {
				action, _ := w.look().form()
				w.see(w.post(action, url.Values{"account": {offers["ann@example.com"]}}))
			}
		},
		"leave": func(w *walker) {
			res := w.get("/logout")
			if strings.Contains(res.body, "<form") {
				action, form := res.form()
				res = w.post(action, form)
			}
			w.see(res)
		},
		"wait":         func(w *walker) { w.clock.move(11 * time.Minute) },
		"restart":      func(w *walker) { w.start() },
		"lose cookies": func(w *walker) { clear(w.jar) },
		"lose session": func(w *walker) { delete(w.jar, w.cookies.Name(mux.CookieSSO)) },
	}
}

// arrives signs in from wherever the person is, with nothing but the page
// that is there.
func (w *walker) arrives() {
	w.t.Helper()
	var seen []string
	for range 6 {
		page := w.look()
		before := len(w.open)
		switch {
		case len(page.offers()) > 0:
			action, _ := page.form()
			w.see(w.post(action, url.Values{"account": {page.offers()["ann@example.com"]}}))
		case strings.Contains(page.body, `name="password"`):
			w.see(w.answer(page, "ann@example.com", right))
		case strings.Contains(page.body, `href="/logout"`) && len(w.subs()) > 0:
			return // signed in, where no application waits
		case strings.Contains(page.body, `href="/account"`): // not any more
			w.see(w.get("/account"))
		default:
			w.see(w.get(page.link("/login")))
		}
		if len(w.open) == before {
			if got := w.subs(); len(got) != 1 {
				w.t.Fatalf("%v: at the application as %v", w.path, got)
			}
			return
		}
		seen = append(seen, w.look().Status)
	}
	w.t.Fatalf("%v: no way to the application, but %v and at last\n%s", w.path, seen, w.look().body)
}

// walk goes a way in a new browser, on a day of its own.
func (base *world) walk(first string, path []string) {
	base.t.Helper()
	base.clock.move(25 * time.Hour)
	w := &walker{browser: base.browser(), path: path}
	w.see(w.get(first))
	all := steps()
	for _, step := range path {
		all[step](w)
		w.clock.move(time.Second)
	}
	w.clock.move(20 * time.Minute) // no wrong password counts for that long
	w.arrives()
}

// TestNoDeadEnd walks every short way there is, and many long ones.
func TestNoDeadEnd(t *testing.T) {
	var names []string
	for name := range steps() {
		names = append(names, name)
	}
	slices.Sort(names)
	w, first := newWorld(t), "/login?"+request
	w.user("ann@example.com")
	for _, a := range names {
		for _, b := range names {
			w.walk(first, []string{a, b})
			for _, c := range names {
				if !testing.Short() {
					w.walk(first, []string{a, b, c})
				}
			}
		}
	}
	dice := rand.New(rand.NewPCG(1, 2))
	for range 150 {
		path := make([]string, 12)
		for i := range path {
			path[i] = names[dice.IntN(len(names))]
		}
		w.walk(first, path)
	}
}

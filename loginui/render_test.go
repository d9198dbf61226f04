package loginui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// elements returns every element of a page in document order.
func elements(t testing.TB, doc string) []*html.Node {
	t.Helper()
	root, err := html.Parse(strings.NewReader(doc))
	if err != nil {
		t.Fatal(err)
	}
	var all []*html.Node
	for n := range root.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func attr(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

func named(all []*html.Node, tag string) []*html.Node {
	return slices.DeleteFunc(slices.Clone(all), func(n *html.Node) bool { return n.Data != tag })
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for d := range n.Descendants() {
		if d.Type == html.TextNode {
			b.WriteString(d.Data)
		}
	}
	return b.String()
}

func visibleInputs(all []*html.Node) []*html.Node {
	return slices.DeleteFunc(slices.Concat(named(all, "input"), named(all, "textarea")), func(n *html.Node) bool { v, _ := attr(n, "type"); return v == "hidden" })
}

func TestEveryPageIsSoundHTML(t *testing.T) {
	u := newUI(t)
	for _, s := range samples() {
		t.Run(s.name, func(t *testing.T) {
			all := elements(t, render(t, u, s.page))
			ids := map[string]bool{}
			for _, n := range all {
				if id, ok := attr(n, "id"); ok {
					if ids[id] || id == "" {
						t.Errorf("id %q is empty or used twice", id)
					}
					ids[id] = true
				}
			}
			for _, tag := range []string{"h1", "main", "title", "style"} {
				if n := len(named(all, tag)); n != 1 {
					t.Errorf("%d <%s>, want 1", n, tag)
				}
			}
			if lang, _ := attr(all[0], "lang"); lang != s.lang {
				t.Errorf("lang %q", lang)
			}
			if dir, _ := attr(all[0], "dir"); dir != "ltr" {
				t.Errorf("dir %q", dir)
			}
			title, heading := textOf(named(all, "title")[0]), textOf(named(all, "h1")[0])
			if heading == "" || !strings.Contains(title, heading) || !strings.Contains(title, "app.example.com") {
				t.Errorf("title %q does not name the state %q and the brand", title, heading)
			}
			meta := map[string]string{}
			for _, m := range named(all, "meta") {
				name, _ := attr(m, "name")
				meta[name], _ = attr(m, "content")
			}
			if meta["referrer"] != "no-referrer" || meta["color-scheme"] != "light dark" || meta["viewport"] == "" {
				t.Errorf("meta %v", meta)
			}
			for _, in := range visibleInputs(all) {
				checkInput(t, all, ids, in)
			}
			for _, f := range named(all, "form") {
				if m, _ := attr(f, "method"); m != "post" {
					t.Errorf("form method %q", m)
				}
			}
		})
	}
}

func checkInput(t *testing.T, all []*html.Node, ids map[string]bool, in *html.Node) {
	t.Helper()
	id, _ := attr(in, "id")
	labels := slices.DeleteFunc(named(all, "label"), func(n *html.Node) bool { v, _ := attr(n, "for"); return v != id })
	if len(labels) != 1 || strings.TrimSpace(textOf(labels[0])) == "" {
		t.Errorf("input %q has %d labels", id, len(labels))
	}
	described, _ := attr(in, "aria-describedby")
	for _, ref := range strings.Fields(described) {
		if !ids[ref] {
			t.Errorf("input %q is described by %q, which is not there", id, ref)
		}
	}
	if kind, _ := attr(in, "type"); kind == "password" {
		if v, ok := attr(in, "value"); ok {
			t.Errorf("password field %q is prefilled with %q", id, v)
		}
	}
	if v, _ := attr(in, "name"); slices.ContainsFunc(profileFields, func(f profileField) bool { return f.name == v }) {
		return // people spell these as they like
	}
	for name, want := range map[string]string{"autocapitalize": "none", "spellcheck": "false", "autocorrect": "off"} {
		if got, _ := attr(in, name); got != want {
			t.Errorf("input %q: %s=%q, want %q", id, name, got, want)
		}
	}
	if got, _ := attr(in, "autocomplete"); got == "" {
		t.Errorf("input %q has no autocomplete", id)
	}
}

func TestPasswordManagersFindTheFields(t *testing.T) {
	u := newUI(t)
	type contract struct{ name, id, kind, autocomplete string }
	for name, c := range map[string]struct {
		page page.Page
		want []contract
	}{
		"sign-in": {page.SignIn{Prompt: signInPrompt("")}, []contract{
			{"identifier", "identifier", "text", "username"}, {"password", "password", "password", "current-password"}}},
		"new password of a known account": {page.SetPassword{Prompt: setPasswordPrompt(false), Account: "ada"}, []contract{
			{"", "account", "text", "username"}, {"password", "password", "password", "new-password"}}},
		"first user": {page.SetPassword{Prompt: setPasswordPrompt(true), First: true}, []contract{
			{"identifier", "identifier", "text", "username"}, {"password", "password", "password", "new-password"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []contract
			for _, in := range visibleInputs(elements(t, render(t, u, c.page))) {
				var k contract
				k.name, _ = attr(in, "name")
				k.id, _ = attr(in, "id")
				k.kind, _ = attr(in, "type")
				k.autocomplete, _ = attr(in, "autocomplete")
				got = append(got, k)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestKnownAccountIsShownAndNotSent(t *testing.T) {
	all := elements(t, render(t, newUI(t), page.SetPassword{Prompt: setPasswordPrompt(false), Account: "ada@example.com", MinLength: 12}))
	account := visibleInputs(all)[0]
	if v, _ := attr(account, "value"); v != "ada@example.com" {
		t.Errorf("account %q", v)
	}
	if _, ok := attr(account, "readonly"); !ok {
		t.Error("the account can be edited")
	}
	if _, ok := attr(account, "name"); ok {
		t.Error("the account is sent")
	}
	if v, _ := attr(visibleInputs(all)[1], "minlength"); v != "12" {
		t.Errorf("minlength %q", v)
	}
}

func TestFirstUserIsToldOfBecomingOperator(t *testing.T) {
	doc := render(t, newUI(t), page.SetPassword{Prompt: setPasswordPrompt(true), First: true, MinLength: 8})
	if !strings.Contains(doc, "becomes the operator") {
		t.Error("no word of the operator")
	}
	if strings.Contains(render(t, newUI(t), page.SetPassword{Prompt: setPasswordPrompt(true), MinLength: 8}), "operator") {
		t.Error("others are told that they become operator")
	}
}

func TestProblemsAreAnnounced(t *testing.T) {
	u := newUI(t)
	for _, p := range problems {
		var asked page.Page = page.SetPassword{Prompt: setPasswordPrompt(true), MinLength: 8, Problem: p}
		switch p {
		case page.PasswordSame, page.PasswordWrong:
			asked = page.ChangePassword{Prompt: changePasswordPrompt(true), MinLength: 8, Problem: p}
		case page.ProfileInvalid:
			continue // TestProfileProblemIsAnnounced
		}
		all := elements(t, render(t, u, asked))
		note := slices.IndexFunc(all, func(n *html.Node) bool { id, _ := attr(n, "id"); return id == "note" })
		if note < 0 {
			t.Fatalf("%s: no note", p)
		}
		role, _ := attr(all[note], "role")
		calm := p == page.AttemptExpired || p == page.TooBusy
		if want := map[bool]string{true: "status", false: "alert"}[calm]; role != want {
			t.Errorf("%s: role %q, want %q", p, role, want)
		}
		if title := textOf(named(all, "title")[0]); strings.HasPrefix(title, "Error: ") == calm {
			t.Errorf("%s: title %q", p, title)
		}
		invalid := 0
		for _, in := range visibleInputs(all) {
			if d, _ := attr(in, "aria-describedby"); !slices.Contains(strings.Fields(d), "note") {
				t.Errorf("%s: a field is not described by the note", p)
			}
			if _, ok := attr(in, "aria-invalid"); ok {
				invalid++
			}
		}
		if (invalid > 0) == calm {
			t.Errorf("%s: %d fields marked invalid", p, invalid)
		}
	}
}

func TestFocus(t *testing.T) {
	u := newUI(t)
	for name, c := range map[string]struct {
		page page.Page
		want string
	}{
		"sign-in":           {page.SignIn{Prompt: signInPrompt("")}, "identifier"},
		"name remembered":   {page.SignIn{Prompt: signInPrompt("ada")}, "password"},
		"there is text":     {page.SetPassword{Prompt: setPasswordPrompt(true), First: true}, ""},
		"something to mend": {page.SetPassword{Prompt: setPasswordPrompt(true), Problem: page.PasswordCommon}, "password"},
		"nothing to mend":   {page.SetPassword{Prompt: setPasswordPrompt(true), Problem: page.TooBusy}, ""},
	} {
		got := ""
		for _, n := range elements(t, render(t, u, c.page)) {
			if _, ok := attr(n, "autofocus"); ok {
				id, _ := attr(n, "id")
				got += id
			}
		}
		if got != c.want {
			t.Errorf("%s: focus on %q, want %q", name, got, c.want)
		}
	}
}

func TestUnknownFieldTypeIsRenderedGenerically(t *testing.T) {
	p := prompt.Prompt{Kind: "colour", Fields: []prompt.Field{{Name: "favourite_colour", Type: "colour", Value: "blue"}}}
	all := elements(t, render(t, newUI(t), page.SignIn{Prompt: p}))
	in := visibleInputs(all)
	if len(in) != 1 || textOf(named(all, "label")[0]) != "Favourite colour" {
		t.Fatalf("%d inputs, label %q", len(in), textOf(named(all, "label")[0]))
	}
	if name, _ := attr(in[0], "name"); name != "favourite_colour" {
		t.Errorf("name %q", name)
	}
	if v, _ := attr(in[0], "value"); v != "blue" {
		t.Errorf("value %q", v)
	}
}

func TestPageWeight(t *testing.T) {
	const allowed = 8 << 10 // in one request
	u := newUI(t)
	for _, s := range samples() {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write([]byte(render(t, u, s.page))); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		budget := allowed / 2
		if _, ok := s.page.(page.AccountPage); ok {
			budget = allowed // it grows with what people have
		}
		if b.Len() > budget {
			t.Errorf("%s: %d bytes compressed, budget %d", s.name, b.Len(), budget)
		}
	}
}

func TestHashesAreOfTheBytesServed(t *testing.T) {
	u := newUI(t)
	for _, s := range samples() {
		doc, err := u.Render(t.Context(), s.page)
		if err != nil {
			t.Fatal(err)
		}
		for tag, hashes := range map[string][]string{"style": doc.StyleHashes, "script": doc.ScriptHashes} {
			var got []string
			rest := string(doc.HTML)
			for {
				_, after, ok := strings.Cut(rest, "<"+tag+">")
				if !ok {
					break
				}
				body, tail, _ := strings.Cut(after, "</"+tag+">")
				sum := sha256.Sum256([]byte(body))
				got = append(got, "sha256-"+base64.StdEncoding.EncodeToString(sum[:]))
				rest = tail
			}
			if !slices.Equal(got, hashes) {
				t.Errorf("%s: <%s> hashes to %v, document says %v", s.name, tag, got, hashes)
			}
		}
	}
}

func TestNothingIsFetched(t *testing.T) {
	u := newUI(t)
	for _, s := range samples() {
		doc := render(t, u, s.page)
		for _, n := range elements(t, doc) {
			for _, a := range n.Attr {
				fetches := a.Key == "src" || a.Key == "srcset" || a.Key == "data" || a.Key == "poster" || (a.Key == "href" && n.Data != "a")
				if fetches && !strings.HasPrefix(a.Val, "data:image/svg+xml,") {
					t.Errorf("%s: <%s %s=%q>", s.name, n.Data, a.Key, a.Val)
				}
			}
		}
		style := textOf(named(elements(t, doc), "style")[0])
		for _, bad := range []string{"url(", "@import", "http:", "https:", "//"} {
			if strings.Contains(style, bad) {
				t.Errorf("%s: style contains %q", s.name, bad)
			}
		}
	}
}

func TestBrand(t *testing.T) {
	for _, c := range []struct{ option, frame, want string }{
		{"", "", "Gatehouse"}, {"Acme", "", "Acme"}, {"Acme", "shop.example.com", "shop.example.com"}, {"Acme", " \u202e ", "Acme"},
	} {
		u, err := New(Options{Brand: c.option})
		if err != nil {
			t.Fatal(err)
		}
		all := elements(t, render(t, u, page.SignedOut{Frame: page.Frame{Brand: c.frame}}))
		if got := textOf(named(all, "p")[0]); got != c.want {
			t.Errorf("%+v: brand %q", c, got)
		}
	}
}

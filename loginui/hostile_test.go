package loginui

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

var payloads = []string{
	`<script>alert(1)</script>`,
	`"><script>alert(1)</script>`,
	`'><img src=x onerror=alert(1)>`,
	`" onfocus="alert(1)" autofocus="`,
	`' onmouseover='alert(1)`,
	` onload=alert(1) x=`,
	`</title><svg onload=alert(1)>`,
	`</style><script>alert(1)</script>`,
	`</script><script>alert(1)</script>`,
	`</p></main></body><iframe srcdoc="<script>alert(1)</script>">`,
	`<!--><img src=x onerror=alert(1)>-->`,
	`<![CDATA[<img src=x onerror=alert(1)>]]>`,
	`javascript:alert(1)`,
	`JaVaScRiPt:alert(1)`,
	"java\tscript:alert(1)",
	"\x01javascript:alert(1)",
	`data:text/html,<script>alert(1)</script>`,
	`vbscript:msgbox(1)`,
	`//evil.example/x`,
	`\\evil.example\x`,
	`https:evil.example`,
	`{{.Style}}`,
	`{brand}{page}{client}{min}`,
	`${alert(1)}`,
	`&lt;script&gt;alert(1)&lt;/script&gt;`,
	`&#x3c;script&#x3e;`,
	`<base href=//evil.example>`,
	`<meta http-equiv=refresh content=0;url=//evil.example>`,
	`<form action=//evil.example><input name=password>`,
	`<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>`,
	"\xff\xfe<script>alert(1)</script>",
	"+ADw-script+AD4-alert(1)+ADw-/script+AD4-",
	"\u202e<script>\u2066alert(1)",
	"x\x00<script\x00>alert(1)</script>",
	strings.Repeat("A", 10_000) + `<script>`,
}

// hostilePages returns every kind of page with text in each string that is shown
// or sent, and url in each address.
func hostilePages(text, url string) []page.Page {
	var pages []page.Page
	for _, p := range []page.Page{
		page.SignIn{Hidden: make([]page.Hidden, 1), Prompt: prompt.Prompt{Fields: make([]prompt.Field, 1)}},
		page.SignIn{Prompt: signInPrompt("")},
		page.SetPassword{Hidden: make([]page.Hidden, 1), Prompt: setPasswordPrompt(true), First: true, MinLength: 8},
		page.SetPassword{Prompt: setPasswordPrompt(false)},
		page.SignedOut{},
		page.ConfirmSignOut{Hidden: make([]page.Hidden, 1)},
		page.SignedIn{Links: make([]page.Link, 2)},
		page.Error{},
		page.SignIn{Prompt: signInPrompt(""), Accounts: make([]page.Account, 1)},
		page.SignIn{Prompt: signInPrompt(""), Accounts: make([]page.Account, 2)},
		page.SelectAccount{Hidden: make([]page.Hidden, 1), Accounts: make([]page.Account, 2)},
		page.ChangePassword{Hidden: make([]page.Hidden, 1), Prompt: changePasswordPrompt(true), MinLength: 8},
		page.Consent{
			Hidden: make([]page.Hidden, 1), Personal: make([]string, 2), Local: true,
			Resources: []page.ConsentResource{{Scopes: make([]page.ConsentScope, 2)}, {}},
		},
		page.FormPost{Hidden: make([]page.Hidden, 1)},
		page.AccountPage{
			Hidden: make([]page.Hidden, 1), Fields: profilePrompt(),
			Sessions: []page.SessionView{{Used: time.Unix(1, 0)}, {Current: true}},
			Consents: []page.ConsentView{{Scopes: make([]string, 2), At: time.Unix(1, 0)}, {}},
		},
	} {
		v := reflect.New(reflect.TypeOf(p)).Elem()
		v.Set(reflect.ValueOf(p))
		fill(v, "", text, url)
		pages = append(pages, v.Interface().(page.Page))
	}
	return pages
}

// addresses are the names of the fields that lead somewhere.
var addresses = []string{"Action", "Back", "Continue", "Manage", "Other", "Password", "Select", "SignOut", "SignOutLink", "Stay", "URL"}

func fill(v reflect.Value, name, text, url string) {
	if v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), v.Type().Field(i).Name, text, url)
		}
	case reflect.Slice:
		for i := range v.Len() {
			fill(v.Index(i), name, text, url)
		}
	case reflect.String:
		switch {
		case slices.Contains(addresses, name):
			v.SetString(url)
		case v.Type() == reflect.TypeFor[prompt.Type]() && v.Len() > 0: // keep a type that has a look of its own
		default:
			v.SetString(text)
		}
	}
}

// skeleton is a page without its texts: elements with the names of their
// attributes, in order.
func skeleton(all []*html.Node) []string {
	var out []string
	for _, n := range all {
		s := n.Data
		for _, a := range n.Attr {
			s += " " + a.Key
		}
		out = append(out, s)
	}
	return out
}

func TestHostileTextStaysText(t *testing.T) {
	u := newUI(t)
	harmless := hostilePages("harmless", "https://x.example/")
	for _, payload := range payloads {
		for i, p := range hostilePages(payload, "https://x.example/") {
			all := elements(t, render(t, u, p))
			want := skeleton(elements(t, render(t, u, harmless[i])))
			if got := skeleton(all); !slices.Equal(got, want) {
				t.Errorf("%T with %.60q changes the page:\n got %v\nwant %v", p, payload, got, want)
			}
			if err := onlyOurs(u, all); err != nil {
				t.Errorf("%T with %.60q: %v", p, payload, err)
			}
		}
	}
}

func TestHostileAddressesAreDropped(t *testing.T) {
	u := newUI(t)
	for _, payload := range payloads {
		for _, p := range hostilePages("harmless", payload) {
			doc, err := u.Render(t.Context(), p)
			if err != nil {
				continue // a form that would go there is refused
			}
			if err := onlyOurs(u, elements(t, string(doc.HTML))); err != nil {
				t.Errorf("%T with %.60q: %v", p, payload, err)
			}
		}
	}
}

// onlyOurs says what on a page could run, load or lead where nothing of ours
// does.
func onlyOurs(u *UI, all []*html.Node) error {
	for _, n := range all {
		switch n.Data {
		case "script":
			if s := textOf(n); s != string(u.script) && s != string(u.submit) {
				return fmt.Errorf("foreign script %.80q", textOf(n))
			}
		case "style":
			if textOf(n) != string(u.style) {
				return fmt.Errorf("foreign style %.80q", textOf(n))
			}
		case "iframe", "img", "object", "embed", "base", "math", "frame", "video", "audio", "template":
			return fmt.Errorf("foreign element <%s>", n.Data)
		}
		for _, a := range n.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc", a.Key == "formaction", a.Key == "http-equiv":
				return fmt.Errorf("foreign attribute %s=%.80q", a.Key, a.Val)
			case n.Data == "link" && a.Key == "href":
				if !strings.HasPrefix(a.Val, "data:image/svg+xml,%3Csvg xmlns=") {
					return fmt.Errorf("foreign icon %.80q", a.Val)
				}
			case a.Key == "href", a.Key == "action":
				if !safeURL(a.Val) {
					return fmt.Errorf("foreign address %s=%.80q", a.Key, a.Val)
				}
			}
		}
	}
	return nil
}

func TestSafeURL(t *testing.T) {
	for _, s := range []string{"/login", "/_auth/login?x=1&y=%20#z", "?again=1", "login", "https://app.example.com/a?b=c", "http://localhost:8080/", "https://[::1]:8443/x"} {
		if !safeURL(s) {
			t.Errorf("%q is refused", s)
		}
	}
	for _, s := range []string{
		"javascript:alert(1)", "JAVASCRIPT:alert(1)", "java\nscript:alert(1)", " javascript:alert(1)", "\x00javascript:alert(1)", "data:text/html,x",
		"vbscript:x", "file:///etc/passwd", "//evil.example", "///evil.example", `/\evil.example`, `\\evil.example`, "https:evil.example", "https:///x", "https://",
		"http:/x", "<script>", `/x"y`, "/é", "blob:https://x/y", "myapp://callback", "/x y", "/\u00a0\xff", "view-source:https://x",
	} {
		if safeURL(s) {
			t.Errorf("%q is let through", s)
		}
	}
}

func TestUnsafeFormTargetIsAnError(t *testing.T) {
	u := newUI(t)
	for _, p := range []page.Page{
		page.SignIn{Action: "javascript:alert(1)"}, page.SetPassword{Action: "//evil.example"}, page.ConfirmSignOut{Action: "data:,x"},
		page.SelectAccount{Action: "//evil.example"}, page.ChangePassword{Action: "javascript:alert(1)"}, page.Consent{Action: "data:,x"},
		page.FormPost{}, page.FormPost{Action: "/callback"}, page.FormPost{Action: "?x"}, page.FormPost{Action: "//evil.example"},
		page.FormPost{Action: "com.example.app:/callback"}, page.FormPost{Action: "myapp://callback"}, page.FormPost{Action: "javascript:alert(1)"},
		page.AccountPage{Action: "//evil.example", Fields: profilePrompt()},
		page.AccountPage{Action: "//evil.example", Sessions: make([]page.SessionView, 1)},
		page.AccountPage{Action: "//evil.example", Consents: make([]page.ConsentView, 1)},
	} {
		if doc, err := u.Render(t.Context(), p); err == nil || doc.HTML != nil {
			t.Errorf("%T: rendered", p)
		}
	}
}

type strangePage struct{ page.SignIn }

func TestUnknownPageIsAnError(t *testing.T) {
	u := newUI(t)
	for _, p := range []page.Page{nil, strangePage{}, &page.SignIn{}} {
		if doc, err := u.Render(t.Context(), p); err == nil || doc.HTML != nil {
			t.Errorf("%T: rendered", p)
		}
	}
}

func TestCancelledRequestIsNotRendered(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newUI(t).Render(ctx, page.SignedOut{}); err == nil {
		t.Error("rendered")
	}
}

func TestPasswordsAreNeverShownAgain(t *testing.T) {
	const secret = "correct horse battery staple"
	u := newUI(t)
	for _, typ := range []prompt.Type{prompt.CurrentPassword, prompt.NewPassword} {
		p := prompt.Prompt{Fields: []prompt.Field{{Name: "password", Type: typ, Value: secret}}}
		for _, pg := range []page.Page{page.SignIn{Prompt: p}, page.SetPassword{Prompt: p}, page.ChangePassword{Prompt: p}, page.AccountPage{Fields: p.Fields}} {
			if strings.Contains(render(t, u, pg), secret) {
				t.Errorf("%T shows a %s", pg, typ)
			}
		}
	}
}

func TestFieldsThatShareANameGetTheirOwnIDs(t *testing.T) {
	var fields []prompt.Field
	for _, name := range []string{"a", "a", "note", "account", "", "field-1", "A b"} {
		fields = append(fields, prompt.Field{Name: name, Type: prompt.Identifier})
	}
	seen := map[string]bool{}
	for _, n := range elements(t, render(t, newUI(t), page.SignIn{Prompt: prompt.Prompt{Kind: prompt.SetPassword, Fields: fields}, Problem: page.IdentifierBad})) {
		if id, ok := attr(n, "id"); ok {
			if seen[id] || id == "" {
				t.Errorf("id %q twice", id)
			}
			seen[id] = true
		}
	}
	if len(seen) != 2*len(fields)+1 {
		t.Errorf("%d ids", len(seen))
	}
}

func TestTidy(t *testing.T) {
	for _, c := range []struct {
		in, want string
		limit    int
	}{
		{"  Shop \n of\tAda ", "Shop of Ada", 80},
		{"bank\u202e\u2066\u200bmoc", "bankmoc", 80},
		{"\x00\x1b[31m", "[31m", 80},
		{"می\u200cخواهم", "می\u200cخواهم", 80},
		{"ありがとう", "あり…", 3},
		{"a\xffb", "a\ufffdb", 80},
		{"", "", 80},
	} {
		if got := tidy(c.in, c.limit); got != c.want {
			t.Errorf("tidy(%q) = %q, want %q", c.in, got, c.want)
		}
	}
}

func FuzzRender(f *testing.F) {
	for _, p := range payloads {
		f.Add(p, "/x")
		f.Add("harmless", p)
	}
	u := newUI(f)
	f.Fuzz(func(t *testing.T, text, url string) {
		for _, p := range hostilePages(text, url) {
			doc, err := u.Render(t.Context(), p)
			if err != nil {
				_, absolute := p.(page.FormPost)
				if safeURL(url) && !absolute || url == "" && !absolute || absoluteURL(url) {
					t.Fatalf("%T: %v", p, err)
				}
				continue
			}
			if err := onlyOurs(u, elements(t, string(doc.HTML))); err != nil {
				t.Fatalf("%T: %v", p, err)
			}
		}
	})
}

package loginui

import (
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// sample is a page as it is met in life, with a name for its files.
type sample struct {
	name string
	page page.Page
}

var (
	problems = []page.Problem{
		page.WrongCredentials, page.AttemptExpired, page.PasswordTooShort, page.PasswordTooLong, page.PasswordCommon,
		page.PasswordInvalid, page.PasswordIsName, page.IdentifierBad, page.IdentifierTaken, page.TooBusy,
	}
	causes = []page.Cause{
		page.CauseBadRequest, page.CauseBadClient, page.CauseBadLink, page.CauseForbidden, page.CauseNotFound,
		page.CauseCrossSite, page.CauseCookies, page.CauseUnavailable, page.CauseInternal,
	}
)

func signInPrompt(value string) prompt.Prompt {
	return prompt.Prompt{Kind: prompt.Password, Fields: []prompt.Field{
		{Name: "identifier", Type: prompt.Identifier, Value: value},
		{Name: "password", Type: prompt.CurrentPassword},
	}}
}

func setPasswordPrompt(withIdentifier bool) prompt.Prompt {
	p := prompt.Prompt{Kind: prompt.SetPassword, Fields: []prompt.Field{{Name: "password", Type: prompt.NewPassword}}}
	if withIdentifier {
		p.Fields = slices.Insert(p.Fields, 0, prompt.Field{Name: "identifier", Type: prompt.Identifier})
	}
	return p
}

// samples returns every page in every state that has a look of its own.
func samples() []sample {
	frame := page.Frame{Brand: "app.example.com"}
	hidden := []page.Hidden{{Name: "attempt", Value: "c2VhbGVk"}, {Name: "token", Value: "dG9rZW4"}}
	all := []sample{
		{"sign-in", page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt(""), ClientName: "Orders"}},
		{"sign-in-known", page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt("ada@example.com")}},
		{"set-password", page.SetPassword{Frame: frame, Action: "/confirmUser", Hidden: hidden, Prompt: setPasswordPrompt(false), Account: "ada@example.com", MinLength: 8}},
		{"set-password-first", page.SetPassword{Frame: frame, Action: "/confirmUser", Hidden: hidden, Prompt: setPasswordPrompt(true), First: true, MinLength: 8}},
		{"signed-out", page.SignedOut{Frame: frame, Continue: "/login"}},
		{"signed-out-end", page.SignedOut{Frame: frame}},
		{"confirm-sign-out", page.ConfirmSignOut{Frame: frame, Action: "/logout", Hidden: hidden, Account: "ada@example.com"}},
		{"signed-in", page.SignedIn{Frame: frame, Account: "ada@example.com", SignOut: "/logout", Links: []page.Link{{Label: "Orders", URL: "https://orders.example.com/"}, {Label: "Wiki", URL: "https://wiki.example.com/"}}}},
		{"signed-in-empty", page.SignedIn{Frame: frame, Account: "ada@example.com", SignOut: "/logout"}},
	}
	for _, p := range append(problems, "unheard_of") {
		all = append(all,
			sample{"sign-in." + string(p), page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt("ada@example.com"), Problem: p}},
			sample{"set-password." + string(p), page.SetPassword{Frame: frame, Action: "/confirmUser", Hidden: hidden, Prompt: setPasswordPrompt(true), First: true, MinLength: 8, Problem: p}})
	}
	for _, c := range append(causes, "unheard_of") {
		all = append(all, sample{"error." + string(c), page.Error{Frame: frame, Cause: c, Reference: "7f3k-q2zm-90xd", Detail: "redirect_uri is not registered for client shop", Continue: "/login", SignOut: "/logout"}})
	}
	return append(all, sample{"error.bare", page.Error{Frame: frame, Cause: page.CauseInternal, Reference: "7f3k-q2zm-90xd"}})
}

func newUI(t testing.TB) *UI {
	t.Helper()
	u, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func render(t testing.TB, u *UI, p page.Page) string {
	t.Helper()
	doc, err := u.Render(t.Context(), p)
	if err != nil {
		t.Fatalf("%T: %v", p, err)
	}
	return string(doc.HTML)
}

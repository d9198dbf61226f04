package loginui

import (
	"slices"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// sample is a page as it is met in life, with a name for its files.
type sample struct {
	name, lang string
	page       page.Page
}

var (
	problems = []page.Problem{
		page.WrongCredentials, page.AttemptExpired, page.PasswordTooShort, page.PasswordTooLong, page.PasswordCommon,
		page.PasswordInvalid, page.PasswordIsName, page.IdentifierBad, page.TooBusy,
		page.PasswordSame, page.PasswordWrong, page.ProfileInvalid,
	}
	dones  = []page.Done{page.ProfileSaved, page.PasswordChanged, page.SessionEnded, page.SessionsEnded, page.ConsentWithdrawn}
	causes = []page.Cause{
		page.CauseEnded,
		page.CauseBadRequest, page.CauseBadClient, page.CauseBadLink, page.CauseForbidden, page.CauseNotFound,
		page.CauseCrossSite, page.CauseCookies, page.CauseStale, page.CauseLoop, page.CauseUnavailable, page.CauseInternal,
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

func changePasswordPrompt(withCurrent bool) prompt.Prompt {
	p := prompt.Prompt{Kind: prompt.ChangePassword, Fields: []prompt.Field{{Name: "new_password", Type: prompt.NewPassword}}}
	if withCurrent {
		p.Fields = slices.Insert(p.Fields, 0, prompt.Field{Name: "password", Type: prompt.CurrentPassword})
	}
	return p
}

func profilePrompt() []prompt.Field {
	values := map[string]string{
		"name": "Ada Lovelace", "given_name": "Ada", "family_name": "Lovelace", "birthdate": "1815-12-10",
		"zoneinfo": "Europe/London", "locale": "en-GB", "address": "12 St James's Square\nLondon",
	}
	var fields []prompt.Field
	for _, f := range profileFields {
		fields = append(fields, prompt.Field{Name: f.name, Type: prompt.Text, Value: values[f.name]})
	}
	return fields
}

func accountSample(frame page.Frame, hidden []page.Hidden) page.AccountPage {
	used := time.Date(2026, 11, 24, 13, 5, 0, 0, time.UTC)
	return page.AccountPage{
		Frame: frame, Action: "/account", Hidden: hidden, Account: "ada@example.com",
		Fields: profilePrompt(), Password: "/account/password", SignOut: "/logout",
		Sessions: []page.SessionView{
			{Value: "s1", Device: "Firefox on Linux", Address: "192.0.2.7", Begun: used.Add(-time.Hour), Used: used, Current: true},
			{Value: "s2", Device: "Safari on iPhone", Address: "2001:db8::20:7", Begun: used.Add(-72 * time.Hour), Used: used.Add(-5 * time.Hour)},
			{Value: "s3", Begun: used.Add(-90 * time.Hour)},
		},
		Consents: []page.ConsentView{
			{Value: "c1", ClientName: "Orders", Scopes: []string{"openid", "email", "orders/read"}, At: used},
			{Value: "c2", At: used},
		},
	}
}

func consentSample(frame page.Frame, hidden []page.Hidden) page.Consent {
	return page.Consent{
		Frame: frame, Action: "/consent", Hidden: hidden, Account: "ada@example.com", ClientName: "Orders", ClientHost: "orders.example.com", SignOutLink: "/select",
		Personal: []string{"openid", "profile", "email", "phone", "address", "offline_access", "gatehouse.admin"},
		Resources: []page.ConsentResource{
			{Name: "https://api.example.com/orders", Scopes: []page.ConsentScope{{Name: "orders/read", Text: "See what you have ordered"}, {Name: "orders/write"}}},
			{Name: "payments", Scopes: []page.ConsentScope{{Name: "pay", Text: "Pay with the cards that you have stored, up to the limit that you have set"}}},
		},
	}
}

// samples returns every page in every language and in every state that has a
// look of its own.
func samples() []sample { return slices.Concat(samplesIn("en"), samplesIn("de")) }

func samplesIn(lang string) []sample {
	frame := page.Frame{Brand: "app.example.com", Locales: []string{lang}}
	all := slices.Concat(signInSamples(frame), accountSamples(frame), problemSamples(frame))
	for i := range all {
		all[i].name, all[i].lang = lang+"."+all[i].name, lang
	}
	return all
}

func sampleHidden() []page.Hidden {
	return []page.Hidden{{Name: "attempt", Value: "c2VhbGVk"}, {Name: "token", Value: "dG9rZW4"}}
}

func signInSamples(frame page.Frame) []sample {
	hidden := sampleHidden()
	accounts := []page.Account{{Value: "a1", Label: "ada@example.com"}, {Value: "a2", Label: "countess.of.lovelace@mathematics.example.org"}}
	return []sample{
		{name: "sign-in", page: page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt(""), ClientName: "Orders"}},
		{name: "sign-in-known", page: page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt("ada@example.com")}},
		{name: "sign-in-other", page: page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt(""), Accounts: accounts[:1], Select: "/select?x=1"}},
		{name: "sign-in-others", page: page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt(""), Accounts: accounts, Select: "/select?x=1"}},
		{name: "select-account", page: page.SelectAccount{Frame: frame, Action: "/select", Hidden: hidden, Accounts: accounts, Other: "/login?x=1", ClientName: "Orders"}},
		{name: "set-password", page: page.SetPassword{Frame: frame, Action: "/confirmUser", Hidden: hidden, Prompt: setPasswordPrompt(false), Account: "ada@example.com", MinLength: 8}},
		{name: "set-password-first", page: page.SetPassword{Frame: frame, Action: "/confirmUser", Hidden: hidden, Prompt: setPasswordPrompt(true), First: true, MinLength: 8}},
		{name: "change-password", page: page.ChangePassword{Frame: frame, Action: "/account/password", Hidden: hidden, Prompt: changePasswordPrompt(true), Account: "ada@example.com", MinLength: 8, Back: "/account"}},
		{name: "change-password-asked", page: page.ChangePassword{Frame: frame, Action: "/password", Hidden: hidden, Prompt: changePasswordPrompt(false), Account: "ada@example.com", MinLength: 8}},
		{name: "form-post", page: page.FormPost{Frame: frame, Action: "https://orders.example.com/callback", Hidden: hidden, ClientName: "Orders"}},
		{name: "form-post-bare", page: page.FormPost{Frame: frame, Action: "http://127.0.0.1:8400/"}},
		{name: "signed-out", page: page.SignedOut{Frame: frame, Continue: "/login"}},
		{name: "signed-out-end", page: page.SignedOut{Frame: frame}},
		{name: "signed-out-back", page: page.SignedOut{Frame: frame, Continue: "/login", Back: "https://orders.example.com/", ClientName: "Orders"}},
		{name: "signed-out-back-bare", page: page.SignedOut{Frame: frame, Back: "https://orders.example.com/"}},
		{name: "confirm-sign-out", page: page.ConfirmSignOut{Frame: frame, Action: "/logout", Hidden: hidden, Account: "ada@example.com"}},
		{name: "confirm-sign-out-client", page: page.ConfirmSignOut{Frame: frame, Action: "/logout", Hidden: hidden, Account: "ada@example.com", ClientName: "Orders", Stay: "/account"}},
		{name: "signed-in", page: page.SignedIn{Frame: frame, Account: "ada@example.com", SignOut: "/logout", Manage: "/account", Links: []page.Link{{Label: "Orders", URL: "https://orders.example.com/"}, {Label: "Wiki", URL: "https://wiki.example.com/"}}}},
		{name: "signed-in-empty", page: page.SignedIn{Frame: frame, Account: "ada@example.com", SignOut: "/logout"}},
	}
}

func accountSamples(frame page.Frame) []sample {
	hidden := sampleHidden()
	local := consentSample(frame, hidden)
	local.Local, local.ClientHost, local.Resources, local.Personal = true, "127.0.0.1", nil, []string{"openid"}
	all := []sample{
		{name: "consent", page: consentSample(frame, hidden)},
		{name: "consent-local", page: local},
		{name: "consent-bare", page: page.Consent{Frame: frame, Action: "/consent"}},
		{name: "account", page: accountSample(frame, hidden)},
		{name: "account-bare", page: page.AccountPage{Frame: frame, Action: "/account"}},
	}
	for _, d := range append(dones, "unheard_of") {
		p := accountSample(frame, hidden)
		p.Done = d
		all = append(all, sample{name: "account." + string(d), page: p})
	}
	return all
}

func problemSamples(frame page.Frame) []sample {
	hidden := sampleHidden()
	var all []sample
	for _, p := range append(problems, "unheard_of") {
		a := accountSample(frame, hidden)
		a.Problem = p
		all = append(all,
			sample{name: "sign-in." + string(p), page: page.SignIn{Frame: frame, Action: "/login", Hidden: hidden, Prompt: signInPrompt("ada@example.com"), Problem: p}},
			sample{name: "set-password." + string(p), page: page.SetPassword{Frame: frame, Action: "/confirmUser", Hidden: hidden, Prompt: setPasswordPrompt(true), First: true, MinLength: 8, Problem: p}},
			sample{name: "change-password." + string(p), page: page.ChangePassword{Frame: frame, Action: "/account/password", Hidden: hidden, Prompt: changePasswordPrompt(true), Account: "ada@example.com", MinLength: 8, Back: "/account", Problem: p}},
			sample{name: "account.problem." + string(p), page: a})
	}
	for _, c := range append(causes, "unheard_of") {
		all = append(all, sample{name: "error." + string(c), page: page.Error{Frame: frame, Cause: c, Reference: "7f3k-q2zm-90xd", Detail: "redirect_uri is not registered for client shop", Continue: "/login", SignOut: "/logout"}})
	}
	return append(all, sample{name: "error.bare", page: page.Error{Frame: frame, Cause: page.CauseInternal, Reference: "7f3k-q2zm-90xd"}})
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

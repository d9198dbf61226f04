package loginui

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// sent is what a form sends when its only button is used.
func sent(t *testing.T, f *html.Node) string {
	t.Helper()
	var pairs []string
	for n := range f.Descendants() {
		name, _ := attr(n, "name")
		if value, ok := attr(n, "value"); n.Data == "input" && ok {
			if kind, _ := attr(n, "type"); kind == "hidden" {
				pairs = append(pairs, name+"="+value)
			}
		}
	}
	return strings.Join(pairs, "&")
}

func TestAccountPageSendsEachFormWithItsVerb(t *testing.T) {
	p := accountSample(page.Frame{}, []page.Hidden{{Name: "seal", Value: "x"}})
	var got []string
	for _, f := range named(elements(t, render(t, newUI(t), p)), "form") {
		if to, _ := attr(f, "action"); to != "/account" {
			t.Errorf("a form goes to %q", to)
		}
		got = append(got, sent(t, f))
	}
	want := []string{
		"seal=x&verb=save_profile",
		"seal=x&verb=end_session&session=s2", "seal=x&verb=end_session&session=s3", "seal=x&verb=end_sessions",
		"seal=x&verb=withdraw&consent=c1", "seal=x&verb=withdraw&consent=c2",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestAccountPageLeavesOutWhatIsNotThere(t *testing.T) {
	u := newUI(t)
	p := accountSample(page.Frame{}, nil)
	p.Fields, p.Consents, p.Password, p.SignOut, p.Sessions = nil, nil, "", "", p.Sessions[:1]
	all := elements(t, render(t, u, p))
	if n := len(named(all, "h2")); n != 1 {
		t.Errorf("%d parts, want the session alone", n)
	}
	if len(named(all, "form"))+len(named(all, "a")) != 0 {
		t.Error("there is something to do")
	}
}

// TestAccountPageListsScopesInOneOrder: first what they tell of the person,
// as the consent page has it, however they are stored.
func TestAccountPageListsScopesInOneOrder(t *testing.T) {
	p := accountSample(page.Frame{}, nil)
	p.Consents = []page.ConsentView{{ClientName: "Orders", Scopes: []string{"email", "a.read", "openid", "z.read"}}}
	want := "Know that it is you · See your email address · a.read · z.read"
	if doc := render(t, newUI(t), p); !strings.Contains(doc, want) {
		t.Errorf("no %q in %s", want, doc)
	}
}

// TestButtonsTellWhatTheyEnd: a list of equal buttons must be told apart by
// those who do not see the list, and speech control needs the visible words.
func TestButtonsTellWhatTheyEnd(t *testing.T) {
	seen := map[string]bool{}
	for _, b := range named(elements(t, render(t, newUI(t), accountSample(page.Frame{}, nil))), "button") {
		label, ok := attr(b, "aria-label")
		if ok && !strings.HasPrefix(label, textOf(b)) {
			t.Errorf("%q is called %q", textOf(b), label)
		}
		if !ok {
			label = textOf(b)
		}
		if seen[label] {
			t.Errorf("two buttons are called %q", label)
		}
		seen[label] = true
	}
	if !seen["Sign out: Safari on iPhone"] || !seen["Withdraw: Orders"] {
		t.Errorf("buttons %v", seen)
	}
}

func TestTimesAreWrittenInTheLanguage(t *testing.T) {
	at := time.Date(2026, 11, 24, 14, 5, 0, 0, time.FixedZone("CET", 3600))
	u := newUI(t)
	for lang, want := range map[string]string{
		"en": `<time datetime="2026-11-24T13:05:00Z">24 Nov 2026, 13:05 UTC</time>`,
		"de": `<time datetime="2026-11-24T13:05:00Z">24.11.2026, 13:05 UTC</time>`,
	} {
		p := page.AccountPage{Frame: page.Frame{Locales: []string{lang}}, Sessions: []page.SessionView{{Begun: at}}}
		if doc := render(t, u, p); strings.Count(doc, "<time") != 1 || !strings.Contains(doc, want) {
			t.Errorf("%s: no %s alone", lang, want)
		}
	}
}

func TestProfileFieldsAreOptionalAndKnownToBrowsers(t *testing.T) {
	want := map[string]string{
		"name": "name", "given_name": "given-name", "family_name": "family-name", "middle_name": "additional-name", "nickname": "nickname",
		"website": "url", "birthdate": "bday", "address": "street-address", "locale": "language", "gender": "sex", "picture": "photo",
		"profile": "off", "zoneinfo": "off",
	}
	all := elements(t, render(t, newUI(t), page.AccountPage{Fields: profilePrompt()}))
	inputs := visibleInputs(all)
	if len(inputs) != len(want) {
		t.Fatalf("%d inputs, want %d", len(inputs), len(want))
	}
	for _, in := range inputs {
		name, _ := attr(in, "name")
		if got, _ := attr(in, "autocomplete"); got != want[name] {
			t.Errorf("%s: autocomplete %q, want %q", name, got, want[name])
		}
		if _, ok := attr(in, "required"); ok {
			t.Errorf("%s is required", name)
		}
		if (in.Data == "textarea") != (name == "address") {
			t.Errorf("%s is a %s", name, in.Data)
		}
	}
}

func TestATextIsKeptAsItWasWritten(t *testing.T) {
	const address = "\n  1 <Main> Street\n\nTown "
	p := page.AccountPage{Fields: []prompt.Field{{Name: "address", Type: prompt.Text, Value: address}}}
	if got := textOf(named(elements(t, render(t, newUI(t), p)), "textarea")[0]); got != address {
		t.Errorf("%q became %q", address, got)
	}
}

func TestProfileProblemIsAnnounced(t *testing.T) {
	p := accountSample(page.Frame{}, nil)
	p.Problem, p.Done = page.ProfileInvalid, page.ProfileSaved
	doc := render(t, newUI(t), p)
	if !strings.Contains(doc, `role="alert"`) || !strings.Contains(doc, "<title>Error: ") || strings.Contains(doc, "is saved") {
		t.Error("a problem looks like success")
	}
	p.Problem = page.NoProblem
	if doc := render(t, newUI(t), p); !strings.Contains(doc, `role="status"`) || !strings.Contains(doc, "Your profile is saved.") {
		t.Error("success is not told")
	}
}

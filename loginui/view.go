package loginui

import (
	"fmt"
	"html/template"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// view is what the one template shows: the parts of a card, top to bottom.
type view struct {
	Lang, Dir, Title, Brand, Footer string
	Style                           template.CSS
	Script                          template.JS
	Heading, Lead                   string
	Failed                          bool // the page itself is the bad news
	Wide                            bool // there is much to show
	Submits                         bool // a script sends the form at once
	Who                             *who
	Note                            *note
	Parts                           []part
	Form                            *form
	Links                           []link
	Facts                           []fact
}

type who struct{ Initial, Name string }

type note struct {
	Text string
	Bad  bool
}

// part is a section of a page that has several.
type part struct {
	Class, Heading, Lead string
	Entries              []entry
	Form                 *form
	Links                []link
}

// entry is a thing in a list, with what can be done about it.
type entry struct {
	Text, Code, Badge string
	Facts             []fact
	Form              *form
}

type form struct {
	Action  string
	Hidden  []page.Hidden
	Fields  []field
	Buttons []button
}

// button sends its form. Label is its name for those who do not see what it
// belongs to.
type button struct {
	Name, Value, Text, Label, Class string
	Who                             *who
}

type link struct {
	Label, URL string
	Main       bool
}

// fact is a value with its label; Time is set for a point in time, for machines.
type fact struct{ Label, Value, Time string }

// The longest texts of others that a page shows, in characters.
const (
	maxName   = 80
	maxDetail = 300
)

func (u *UI) view(p page.Page) (view, error) {
	switch p := p.(type) {
	case page.SignIn:
		return build(u, p.Frame, p, signIn)
	case page.SelectAccount:
		return build(u, p.Frame, p, selectAccount)
	case page.SetPassword:
		return build(u, p.Frame, p, setPassword)
	case page.ChangePassword:
		return build(u, p.Frame, p, changePassword)
	case page.Consent:
		return build(u, p.Frame, p, consent)
	case page.FormPost:
		return build(u, p.Frame, p, formPost)
	case page.AccountPage:
		return build(u, p.Frame, p, accountPage)
	case page.SignedOut:
		return build(u, p.Frame, p, signedOut)
	case page.ConfirmSignOut:
		return build(u, p.Frame, p, confirmSignOut)
	case page.SignedIn:
		return build(u, p.Frame, p, signedIn)
	case page.Error:
		return build(u, p.Frame, p, failure)
	default:
		return view{}, fmt.Errorf("loginui: unknown page %T", p)
	}
}

// build makes the view of p in the language of its frame.
func build[P page.Page](u *UI, f page.Frame, p P, parts func(*words, P) (view, error)) (view, error) {
	w := &words{messages: u.language(f.Locales)}
	v, err := parts(w, p)
	if err != nil {
		return view{}, err
	}
	u.dress(w, f, &v)
	return v, w.err
}

// dress adds what every page shares.
func (u *UI) dress(w *words, f page.Frame, v *view) {
	v.Lang, v.Dir, v.Footer = w.say("lang"), w.say("dir"), w.say("footer")
	if v.Brand = tidy(f.Brand, maxName); v.Brand == "" {
		v.Brand = tidy(u.brand, maxName)
	}
	title := "title"
	if v.Note != nil && v.Note.Bad {
		title = "title.problem"
	}
	v.Title = w.say(title, "page", v.Heading, "brand", v.Brand)
}

func (v view) asksPassword() bool {
	return v.Form != nil && slices.ContainsFunc(v.Form.Fields, func(f field) bool { return f.Type == "password" })
}

func failure(w *words, p page.Error) (view, error) {
	id := "cause." + string(p.Cause)
	v := view{
		Failed:  true,
		Heading: w.sayOr(id, "cause."+string(page.CauseInternal)),
		Lead:    w.sayOr(id+".lead", "cause."+string(page.CauseInternal)+".lead"),
	}
	onwards := "error.continue"
	if passes(p.Cause) {
		onwards = "error.retry"
	}
	v.Links = links(v.Links, w.say(onwards), p.Continue, true)
	v.Links = links(v.Links, w.say("other_account"), p.SignOut, len(v.Links) == 0)
	for _, f := range []fact{
		{Label: w.say("error.detail"), Value: tidy(p.Detail, maxDetail)},
		{Label: w.say("error.reference"), Value: tidy(p.Reference, maxName)},
	} {
		if f.Value != "" {
			v.Facts = append(v.Facts, f)
		}
	}
	return v, nil
}

// passes reports whether the same request may well succeed when repeated.
func passes(c page.Cause) bool {
	switch c {
	case page.CauseCrossSite, page.CauseCookies, page.CauseStale, page.CauseLoop, page.CauseUnavailable, page.CauseInternal:
		return true
	}
	return false
}

// newForm refuses a target that is not safe.
func newForm(action string, hidden []page.Hidden, fields []field, buttons ...button) (*form, error) {
	if action != "" && !safeURL(action) {
		return nil, fmt.Errorf("loginui: unsafe form target %q", action)
	}
	return &form{Action: action, Hidden: hidden, Fields: fields, Buttons: buttons}, nil
}

// withForm gives a page its one form, which ends in one button.
func withForm(v view, action string, hidden []page.Hidden, fields []field, submit string) (view, error) {
	var err error
	v.Form, err = newForm(action, hidden, fields, button{Text: submit, Class: mainButton})
	return v, err
}

// Looks of a button.
const (
	plainButton = "btn"
	mainButton  = "btn main"
	smallButton = "btn small"
	whoButton   = "btn who"
)

// problemNote tells what went wrong. An expired form and a busy server are
// nobody's mistake and look so.
func problemNote(w *words, p page.Problem, minLength int) *note {
	if p == page.NoProblem {
		return nil
	}
	text := w.sayOr("problem."+string(p), "problem.other", "min", strconv.Itoa(max(minLength, 1)))
	return &note{Text: text, Bad: p != page.AttemptExpired && p != page.TooBusy}
}

// links appends a link unless its address is empty or unsafe.
func links(to []link, label, url string, main bool) []link {
	if url == "" || label == "" || !safeURL(url) {
		return to
	}
	return append(to, link{Label: label, URL: url, Main: main})
}

func account(name string) *who {
	name = tidy(name, maxName)
	if name == "" {
		return nil
	}
	_, size := utf8.DecodeRuneInString(name)
	return &who{Initial: upperFirst(name[:size]), Name: name}
}

// accountField shows who the password is for, in the form that a password
// manager files it under. It has no name, so it is not sent.
func accountField(w *words, account string) field {
	return field{
		ID: "account", Label: w.say("account"), Type: "text", Autocomplete: "username",
		Value: strings.ToValidUTF8(account, "\uFFFD"), ReadOnly: true,
	}
}

func promptFields(w *words, p prompt.Prompt, problem page.Problem, minLength int) []field {
	ids := map[string]bool{"account": true, "note": true}
	var fields []field
	for i, f := range p.Fields {
		fields = append(fields, promptField(w, f, fieldID(ids, f.Name, i), p.Kind, problem, minLength))
	}
	return fields
}

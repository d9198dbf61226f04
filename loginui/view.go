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
	Show                            string // label of the button that shows a password
	Style                           template.CSS
	Script                          template.JS
	Heading, Lead                   string
	Failed                          bool // the page itself is the bad news
	Who                             *who
	Note                            *note
	Form                            *form
	Links                           []link
	Facts                           []fact
}

type who struct{ Initial, Name string }

type note struct {
	Text string
	Bad  bool
}

type form struct {
	Action string
	Hidden []page.Hidden
	Fields []field
	Submit string
}

type link struct {
	Label, URL string
	Main       bool
}

type fact struct{ Label, Value string }

// The longest texts of others that a page shows, in characters.
const (
	maxName   = 80
	maxDetail = 300
)

func (u *UI) view(p page.Page) (view, error) {
	var v view
	var err error
	w := &words{}
	var frame page.Frame
	switch p := p.(type) {
	case page.SignIn:
		frame, w.messages = p.Frame, u.language(p.Locales)
		v, err = signIn(w, p)
	case page.SetPassword:
		frame, w.messages = p.Frame, u.language(p.Locales)
		v, err = setPassword(w, p)
	case page.SignedOut:
		frame, w.messages = p.Frame, u.language(p.Locales)
		v = signedOut(w, p)
	case page.ConfirmSignOut:
		frame, w.messages = p.Frame, u.language(p.Locales)
		v, err = confirmSignOut(w, p)
	case page.SignedIn:
		frame, w.messages = p.Frame, u.language(p.Locales)
		v = signedIn(w, p)
	case page.Error:
		frame, w.messages = p.Frame, u.language(p.Locales)
		v = failure(w, p)
	default:
		return view{}, fmt.Errorf("loginui: unknown page %T", p)
	}
	if err != nil {
		return view{}, err
	}
	u.dress(w, frame, &v)
	return v, w.err
}

// dress adds what every page shares.
func (u *UI) dress(w *words, f page.Frame, v *view) {
	v.Lang, v.Dir, v.Footer = w.say("lang"), w.say("dir"), w.say("footer")
	v.Show = w.say("show")
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

func signIn(w *words, p page.SignIn) (view, error) {
	v := view{Heading: w.say("sign_in"), Note: problemNote(w, p.Problem, 0)}
	if client := tidy(p.ClientName, maxName); client != "" {
		v.Lead = w.say("sign_in.lead", "client", client)
	}
	fields := promptFields(w, p.Prompt, p.Problem, 0)
	focusFirstEmpty(fields)
	return withForm(v, p.Action, p.Hidden, fields, w.say("sign_in.submit"))
}

func setPassword(w *words, p page.SetPassword) (view, error) {
	id := "set_password"
	if p.First {
		id = "set_password.first"
	}
	v := view{
		Heading: w.say(id),
		Lead:    w.say(id + ".lead"),
		Note:    problemNote(w, p.Problem, p.MinLength),
	}
	fields := promptFields(w, p.Prompt, p.Problem, p.MinLength)
	if p.Account != "" {
		fields = append([]field{accountField(w, p.Account)}, fields...)
	}
	// What the lead says matters here, so focus moves only to an error.
	if v.Note != nil {
		focusFirstInvalid(fields)
	}
	return withForm(v, p.Action, p.Hidden, fields, w.say(id+".submit"))
}

func signedOut(w *words, p page.SignedOut) view {
	return view{
		Heading: w.say("signed_out"),
		Lead:    w.say("signed_out.lead"),
		Links:   links(nil, w.say("signed_out.continue"), p.Continue, true),
	}
}

func confirmSignOut(w *words, p page.ConfirmSignOut) (view, error) {
	v := view{
		Heading: w.say("confirm_sign_out"),
		Lead:    w.say("confirm_sign_out.lead"),
		Who:     account(p.Account),
	}
	return withForm(v, p.Action, p.Hidden, nil, w.say("confirm_sign_out.submit"))
}

func signedIn(w *words, p page.SignedIn) view {
	v := view{Heading: w.say("signed_in"), Lead: w.say("signed_in.lead"), Who: account(p.Account)}
	for _, l := range p.Links {
		v.Links = links(v.Links, tidy(l.Label, maxName), l.URL, len(v.Links) == 0)
	}
	if len(v.Links) == 0 {
		v.Lead = w.say("signed_in.empty")
	}
	v.Links = links(v.Links, w.say("sign_out"), p.SignOut, false)
	return v
}

func failure(w *words, p page.Error) view {
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
	v.Links = links(v.Links, w.say("sign_out.other"), p.SignOut, len(v.Links) == 0)
	for _, f := range []fact{
		{w.say("error.detail"), tidy(p.Detail, maxDetail)},
		{w.say("error.reference"), tidy(p.Reference, maxName)},
	} {
		if f.Value != "" {
			v.Facts = append(v.Facts, f)
		}
	}
	return v
}

// passes reports whether the same request may well succeed when repeated.
func passes(c page.Cause) bool {
	switch c {
	case page.CauseCrossSite, page.CauseCookies, page.CauseUnavailable, page.CauseInternal:
		return true
	}
	return false
}

func withForm(v view, action string, hidden []page.Hidden, fields []field, submit string) (view, error) {
	if action != "" && !safeURL(action) {
		return view{}, fmt.Errorf("loginui: unsafe form target %q", action)
	}
	v.Form = &form{Action: action, Hidden: hidden, Fields: fields, Submit: submit}
	return v, nil
}

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

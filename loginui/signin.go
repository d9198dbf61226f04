package loginui

import (
	"fmt"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

func signIn(w *words, p page.SignIn) (view, error) {
	v := view{Heading: w.say("sign_in"), Note: problemNote(w, p.Problem, 0)}
	if client := tidy(p.ClientName, maxName); client != "" {
		v.Lead = w.say("sign_in.lead", "client", client)
	}
	v.Links = links(nil, continueAs(w, p.Accounts), p.Select, false)
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

func signedOut(w *words, p page.SignedOut) (view, error) {
	v := view{Heading: w.say("signed_out"), Lead: w.say("signed_out.lead")}
	back := w.say("signed_out.back")
	if client := tidy(p.ClientName, maxName); client != "" {
		back = w.say("signed_out.back_to", "client", client)
	}
	v.Links = links(v.Links, back, p.Back, true)
	v.Links = links(v.Links, w.say("signed_out.continue"), p.Continue, len(v.Links) == 0)
	return v, nil
}

func confirmSignOut(w *words, p page.ConfirmSignOut) (view, error) {
	v := view{
		Heading: w.say("confirm_sign_out"),
		Lead:    w.say("confirm_sign_out.lead"),
		Who:     account(p.Account),
		Links:   links(nil, w.say("confirm_sign_out.stay"), p.Stay, false),
	}
	if client := tidy(p.ClientName, maxName); client != "" {
		v.Lead = w.say("confirm_sign_out.lead.client", "client", client)
	}
	if len(v.Links) == 0 {
		v.Lead += " " + w.say("confirm_sign_out.close")
	}
	return withForm(v, p.Action, p.Hidden, nil, w.say("confirm_sign_out.submit"))
}

func signedIn(w *words, p page.SignedIn) (view, error) {
	v := view{Heading: w.say("signed_in"), Lead: w.say("signed_in.lead"), Who: account(p.Account)}
	for _, l := range p.Links {
		v.Links = links(v.Links, tidy(l.Label, maxName), l.URL, len(v.Links) == 0)
	}
	if len(v.Links) == 0 {
		v.Lead = w.say("signed_in.empty")
	}
	v.Links = links(v.Links, w.say("manage"), p.Manage, false)
	v.Links = links(v.Links, w.say("sign_out"), p.SignOut, false)
	return v, nil
}

// continueAs labels the way to the accounts that are signed in already; empty
// where there is none.
func continueAs(w *words, accounts []page.Account) string {
	switch len(accounts) {
	case 0:
		return ""
	case 1:
		return w.say("sign_in.as", "account", labelOr(accounts[0].Label, w.say("account")))
	default:
		return w.say("sign_in.accounts")
	}
}

// selectAccount is a form of which every account is a button.
func selectAccount(w *words, p page.SelectAccount) (view, error) {
	v := view{Heading: w.say("select_account"), Links: links(nil, w.say("other_account"), p.Other, false)}
	if client := tidy(p.ClientName, maxName); client != "" {
		v.Lead = w.say("sign_in.lead", "client", client)
	}
	var buttons []button
	for _, a := range p.Accounts {
		buttons = append(buttons, button{
			Name: page.FieldAccount, Value: a.Value, Class: whoButton, Who: account(labelOr(a.Label, w.say("account"))),
		})
	}
	var err error
	v.Form, err = newForm(p.Action, p.Hidden, nil, buttons...)
	return v, err
}

func changePassword(w *words, p page.ChangePassword) (view, error) {
	v := view{
		Heading: w.say("change_password"),
		Lead:    w.say("change_password.asked"),
		Note:    problemNote(w, p.Problem, p.MinLength),
		Links:   links(nil, w.say("change_password.back"), p.Back, false),
	}
	if slices.ContainsFunc(p.Prompt.Fields, func(f prompt.Field) bool { return f.Type == prompt.CurrentPassword }) {
		v.Lead = w.say("change_password.lead")
	}
	fields := promptFields(w, p.Prompt, p.Problem, p.MinLength)
	if p.Account != "" {
		fields = append([]field{accountField(w, p.Account)}, fields...)
	}
	if v.Note != nil {
		focusFirstInvalid(fields)
	}
	return withForm(v, p.Action, p.Hidden, fields, w.say("change_password.submit"))
}

// formPost is a page that most people never see: a script sends it at once.
func formPost(w *words, p page.FormPost) (view, error) {
	if !absoluteURL(p.Action) {
		return view{}, fmt.Errorf("loginui: form_post to %q, which is no http(s) address", p.Action)
	}
	v := view{Heading: w.say("form_post"), Lead: w.say("form_post.lead"), Submits: true}
	if client := tidy(p.ClientName, maxName); client != "" {
		v.Lead = w.say("form_post.lead.client", "client", client)
	}
	return withForm(v, p.Action, p.Hidden, nil, w.say("form_post.submit"))
}

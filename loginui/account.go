package loginui

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// accountForms makes the forms of an account page, which differ in what they
// do and to what.
type accountForms struct {
	page page.AccountPage
}

func (f accountForms) form(verb string, object page.Hidden, fields []field, b button) (*form, error) {
	hidden := append(slices.Clone(f.page.Hidden), page.Hidden{Name: page.FieldVerb, Value: verb})
	if object.Name != "" {
		hidden = append(hidden, object)
	}
	return newForm(f.page.Action, hidden, fields, b)
}

func accountPage(w *words, p page.AccountPage) (view, error) {
	v := view{
		Heading: w.say("account_page"), Who: account(p.Account), Wide: true,
		Note:  accountNote(w, p),
		Links: links(nil, w.say("sign_out"), p.SignOut, false),
	}
	forms := accountForms{page: p}
	for _, partOf := range []func(*words, accountForms) (part, error){profilePart, passwordPart, sessionsPart, consentsPart} {
		s, err := partOf(w, forms)
		if err != nil {
			return view{}, err
		}
		if s.Heading != "" {
			v.Parts = append(v.Parts, s)
		}
	}
	return v, nil
}

// accountNote tells of a problem, or else of what has just been done.
func accountNote(w *words, p page.AccountPage) *note {
	if p.Problem != page.NoProblem || p.Done == page.NothingDone {
		return problemNote(w, p.Problem, 0)
	}
	return &note{Text: w.sayOr("done."+string(p.Done), "done.other")}
}

func profilePart(w *words, f accountForms) (part, error) {
	if len(f.page.Fields) == 0 {
		return part{}, nil
	}
	fields := promptFields(w, prompt.Prompt{Fields: f.page.Fields}, f.page.Problem, 0)
	form, err := f.form(page.VerbSaveProfile, page.Hidden{}, fields, button{Text: w.say("profile.submit"), Class: mainButton})
	return part{Heading: w.say("profile"), Lead: w.say("profile.lead"), Form: form}, err
}

func passwordPart(w *words, f accountForms) (part, error) {
	to := links(nil, w.say("change_password"), f.page.Password, false)
	if len(to) == 0 {
		return part{}, nil
	}
	return part{Heading: w.say("password"), Links: to}, nil
}

func sessionsPart(w *words, f accountForms) (part, error) {
	if len(f.page.Sessions) == 0 {
		return part{}, nil
	}
	out := part{Heading: w.say("sessions"), Lead: w.say("sessions.lead")}
	others := false
	for _, s := range f.page.Sessions {
		e := entry{Text: labelOr(s.Device, w.say("sessions.device"))}
		e.Facts = facts(e.Facts, fact{Label: w.say("sessions.address"), Value: tidy(s.Address, maxName)})
		e.Facts = facts(e.Facts, moment(w, w.say("sessions.used"), s.Used))
		e.Facts = facts(e.Facts, moment(w, w.say("sessions.begun"), s.Begun))
		if s.Current {
			e.Badge = w.say("sessions.current")
		} else {
			others = true
			var err error
			e.Form, err = f.form(page.VerbEndSession, page.Hidden{Name: page.FieldSession, Value: s.Value}, nil,
				button{Text: w.say("sign_out"), Label: w.say("sessions.end", "device", e.Text), Class: smallButton})
			if err != nil {
				return part{}, err
			}
		}
		out.Entries = append(out.Entries, e)
	}
	if !others {
		return out, nil
	}
	var err error
	out.Form, err = f.form(page.VerbEndSessions, page.Hidden{}, nil, button{Text: w.say("sessions.end_others"), Class: plainButton})
	return out, err
}

func consentsPart(w *words, f accountForms) (part, error) {
	if len(f.page.Consents) == 0 {
		return part{}, nil
	}
	out := part{Heading: w.say("consents"), Lead: w.say("consents.lead")}
	for _, c := range f.page.Consents {
		e := entry{Text: labelOr(c.ClientName, w.say("consent.unnamed"))}
		e.Facts = facts(e.Facts, fact{Label: w.say("consents.scopes"), Value: scopeList(w, c.Scopes)})
		e.Facts = facts(e.Facts, moment(w, w.say("consents.at"), c.At))
		var err error
		e.Form, err = f.form(page.VerbWithdraw, page.Hidden{Name: page.FieldConsent, Value: c.Value}, nil,
			button{Text: w.say("consents.withdraw"), Label: w.say("consents.withdraw.from", "client", e.Text), Class: smallButton})
		if err != nil {
			return part{}, err
		}
		out.Entries = append(out.Entries, e)
	}
	return out, nil
}

// scopeList names scopes in one line: those with words of their own first, in
// the order of their list.
func scopeList(w *words, scopes []string) string {
	var out []string
	rank := func(s string) int {
		if i := slices.Index(personalScopes, s); i >= 0 {
			return i
		}
		return len(personalScopes)
	}
	sorted := slices.SortedStableFunc(slices.Values(scopes), func(a, b string) int { return cmp.Compare(rank(a), rank(b)) })
	for _, e := range scopeEntries(w, sorted) {
		out = append(out, e.Text+e.Code)
	}
	return strings.Join(out, " · ")
}

// moment is a point in time as the language writes it. The zone of the person
// is not known, so it is UTC and says so.
func moment(w *words, label string, t time.Time) fact {
	if t.IsZero() {
		return fact{}
	}
	t = t.UTC()
	return fact{Label: label, Value: t.Format(w.say("time")), Time: t.Format(time.RFC3339)}
}

// facts appends f unless it says nothing.
func facts(to []fact, f fact) []fact {
	if f.Value == "" {
		return to
	}
	return append(to, f)
}

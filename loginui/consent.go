package loginui

import (
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
)

// personalScopes are the scopes of OIDC Core 5.4 and 11 that have words of
// their own.
var personalScopes = []string{"openid", "profile", "email", "phone", "address", "offline_access"}

// consent names who asks, where the answer goes and all that is asked for: a
// name alone can be anybody's.
func consent(w *words, p page.Consent) (view, error) {
	host := tidy(p.ClientHost, maxDetail) // the end of a host counts most
	v := view{Heading: w.say("consent"), Who: account(p.Account)}
	v.Lead = w.say("consent.lead", "client", labelOr(p.ClientName, w.say("consent.unnamed")))
	if host != "" {
		v.Parts = append(v.Parts, part{Class: "list", Heading: w.say("consent.host"), Entries: []entry{{Text: host}}})
	}
	if p.Local {
		v.Note = &note{Text: w.say("consent.local")}
	}
	if len(p.Personal) > 0 {
		entries := scopeEntries(w, p.Personal)
		v.Parts = append(v.Parts, part{Class: "list", Heading: w.say("consent.personal"), Entries: entries})
	}
	for _, r := range p.Resources {
		v.Parts = append(v.Parts, resource(w, r))
	}
	v.Links = links(nil, w.say("other_account"), p.SignOutLink, false)
	var err error
	v.Form, err = newForm(p.Action, p.Hidden, nil,
		button{Name: page.FieldDecision, Value: page.DecisionAllow, Text: w.say("consent.allow"), Class: mainButton},
		button{Name: page.FieldDecision, Value: page.DecisionDeny, Text: w.say("consent.deny"), Class: plainButton})
	return v, err
}

// resource lists what is asked for of one API, in the operator's words next to
// the name that the application sent.
func resource(w *words, r page.ConsentResource) part {
	out := part{Class: "list", Heading: w.say("consent.resource", "resource", labelOr(r.Name, "…"))}
	for _, s := range r.Scopes {
		out.Entries = append(out.Entries, entry{Text: tidy(s.Text, maxDetail), Code: tidy(s.Name, maxName)})
	}
	return out
}

func scopeEntries(w *words, scopes []string) []entry {
	var out []entry
	for _, s := range scopes {
		if slices.Contains(personalScopes, s) {
			out = append(out, entry{Text: w.say("scope." + s)})
		} else {
			out = append(out, entry{Code: tidy(s, maxName)})
		}
	}
	return out
}

package loginui

// profileField says how a claim of a profile (OIDC Core 5.1) is entered.
type profileField struct {
	name, autocomplete, inputMode string
	hint, area                    bool
}

// profileFields are the claims that have words of their own.
var profileFields = []profileField{
	{name: "name", autocomplete: "name"},
	{name: "given_name", autocomplete: "given-name"},
	{name: "family_name", autocomplete: "family-name"},
	{name: "middle_name", autocomplete: "additional-name"},
	{name: "nickname", autocomplete: "nickname"},
	{name: "profile", autocomplete: "off", inputMode: "url"},
	{name: "picture", autocomplete: "photo", inputMode: "url"},
	{name: "website", autocomplete: "url", inputMode: "url"},
	{name: "gender", autocomplete: "sex"},
	{name: "birthdate", autocomplete: "bday", hint: true},
	{name: "zoneinfo", autocomplete: "off", hint: true},
	{name: "locale", autocomplete: "language", hint: true},
	{name: "address", autocomplete: "street-address", area: true},
}

// profile makes v the field of the claim that it is named after. A claim
// without words of its own is labelled by its name.
func (v *field) profile(w *words) {
	v.Optional, v.Label = true, labelOf(v.Name)
	for _, f := range profileFields {
		if f.name != v.Name {
			continue
		}
		v.Autocomplete, v.InputMode, v.Area = f.autocomplete, f.inputMode, f.area
		v.Label = w.say("field." + f.name)
		if f.hint {
			v.Hint = w.say("field." + f.name + ".hint")
		}
	}
}

package loginui

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// field is one labelled input.
type field struct {
	ID, Name, Label, Hint         string
	Type, Autocomplete, InputMode string
	Value, DescribedBy            string
	MinLength                     int
	Invalid, ReadOnly, Autofocus  bool
	Optional                      bool   // may be left empty, and is spelt as people spell it
	Area                          bool   // of several lines
	Show                          string // label of the button that shows a password
}

// promptField renders a field by its type alone, so that a new factor needs no
// page. A type without words of its own is plain text labelled by its name.
func promptField(w *words, f prompt.Field, id string, kind prompt.Kind, problem page.Problem, minLength int) field {
	v := field{ID: id, Name: f.Name, Type: "text", Autocomplete: "off", Value: strings.ToValidUTF8(f.Value, "\uFFFD")}
	switch f.Type {
	case prompt.Identifier:
		v.Autocomplete, v.InputMode, v.Label = "username", "email", w.say("field.identifier")
		if kind == prompt.SetPassword {
			v.Hint = w.say("field.identifier.hint")
		}
	case prompt.CurrentPassword:
		v.Type, v.Autocomplete, v.Value, v.Show = "password", "current-password", "", w.say("show")
		v.Label = w.say("field.current_password")
		if kind == prompt.ChangePassword {
			v.Label = w.say("field.old_password")
		}
	case prompt.NewPassword:
		v.Type, v.Autocomplete, v.Value, v.Show = "password", "new-password", "", w.say("show")
		v.Label = w.say("field.new_password")
		if minLength > 0 {
			v.MinLength = minLength
			v.Hint = w.say("field.new_password.hint", "min", strconv.Itoa(minLength))
		}
	case prompt.Text:
		v.profile(w)
	default:
		v.Label = labelOf(f.Name)
	}
	if v.Hint != "" {
		v.DescribedBy = id + "-hint"
	}
	v.Invalid = slices.Contains(blamed(kind, problem), f.Type)
	if problem != page.NoProblem && !v.Optional {
		v.DescribedBy = strings.TrimSpace("note " + v.DescribedBy)
	}
	return v
}

// blamed returns the types of fields that a problem is about.
func blamed(kind prompt.Kind, p page.Problem) []prompt.Type {
	switch p {
	case page.WrongCredentials:
		return []prompt.Type{prompt.Identifier, prompt.CurrentPassword}
	case page.PasswordWrong:
		return []prompt.Type{prompt.CurrentPassword}
	case page.PasswordSame:
		return []prompt.Type{prompt.NewPassword}
	case page.PasswordTooShort, page.PasswordTooLong, page.PasswordCommon, page.PasswordInvalid, page.PasswordIsName:
		if kind == prompt.ChangePassword {
			return []prompt.Type{prompt.NewPassword}
		}
		return []prompt.Type{prompt.NewPassword, prompt.CurrentPassword}
	case page.IdentifierBad:
		return []prompt.Type{prompt.Identifier}
	default:
		return nil
	}
}

// fieldID returns an id that is stable, valid and used once on the page.
func fieldID(used map[string]bool, name string, i int) string {
	valid := name != "" && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
	if !valid || used[name] {
		name = "field-" + strconv.Itoa(i+1)
	}
	used[name] = true
	return name
}

// labelOf makes words of a field's name: "zip_code" becomes "Zip code".
func labelOf(name string) string {
	s := tidy(strings.ReplaceAll(name, "_", " "), maxName)
	if s == "" {
		return "…"
	}
	return upperFirst(s)
}

func focusFirstEmpty(fields []field) {
	for i := range fields {
		if fields[i].Value == "" {
			fields[i].Autofocus = true
			return
		}
	}
}

func focusFirstInvalid(fields []field) {
	for i := range fields {
		if fields[i].Invalid {
			fields[i].Autofocus = true
			return
		}
	}
}

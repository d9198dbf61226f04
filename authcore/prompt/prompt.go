// Package prompt says what a sign-in asks next, free of look: a hosted page
// renders a Prompt as a form, another face as a JSON challenge.
//
// It owns the words Prompt, Field and Answer. It knows no HTML, no HTTP and
// no factor.
package prompt

// Kind names what is asked for, such as "password". A renderer that has no
// page of its own for a kind renders its fields generically.
type Kind string

// The kinds this build asks for.
const (
	// Password asks for an identifier and a password in one step, so that
	// password managers fill both.
	Password Kind = "password"
	// SetPassword asks for a new password, and for an identifier if the
	// account has none yet.
	SetPassword Kind = "set_password"
	// ChangePassword asks for a new password in the place of one that is
	// there, and may ask for that one first.
	ChangePassword Kind = "change_password"
)

// Type tells a renderer how a field is entered.
type Type string

// The types of fields.
const (
	Identifier      Type = "identifier"       // e-mail, phone or user name
	CurrentPassword Type = "current_password" // never prefilled
	NewPassword     Type = "new_password"     // never prefilled
	Text            Type = "text"             // a line of text; the field's name says which
)

// Field is one thing to enter.
type Field struct {
	Name  string // form and JSON name, stable across releases
	Type  Type
	Value string // prefilled; always empty for passwords
}

// Prompt is one question.
type Prompt struct {
	Kind   Kind
	Fields []Field
}

// Answer holds what was entered, by field name.
type Answer map[string]string

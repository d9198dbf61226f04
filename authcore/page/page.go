// Package page holds the view models of the hosted pages and the Renderer
// that turns one into HTML.
//
// A view model says what a page tells and asks, in codes and data; every
// visible word, and every choice of look, belongs to the Renderer (loginui by
// default). The package does no I/O and knows no HTTP.
package page

import (
	"context"

	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// Page is one of the view models of this package.
type Page interface{ page() }

// Frame is what every page shares.
type Frame struct {
	// Brand is the name of the pool as people know it, often the app's host.
	Brand string
	// Locale is a BCP 47 tag; empty means English.
	Locale string
}

// Hidden is a hidden form value.
type Hidden struct{ Name, Value string }

// Problem is a code for what went wrong, in plain words once rendered.
type Problem string

// The problems a form can have. None tells a known user from an unknown one.
const (
	NoProblem        Problem = ""
	WrongCredentials Problem = "wrong_credentials" // also unknown, disabled, locked
	AttemptExpired   Problem = "attempt_expired"   // the form was open too long; just try again
	PasswordTooShort Problem = "password_too_short"
	PasswordTooLong  Problem = "password_too_long"
	PasswordCommon   Problem = "password_common" // among the commonest
	PasswordInvalid  Problem = "password_invalid"
	PasswordIsName   Problem = "password_is_name" // equals the identifier
	IdentifierBad    Problem = "identifier_bad"   // not an e-mail address, phone number or user name we can take
	IdentifierTaken  Problem = "identifier_taken"
	TooBusy          Problem = "too_busy" // try again in a moment
)

// SignIn asks for identifier and password on one page.
type SignIn struct {
	Frame
	Action  string // form target
	Hidden  []Hidden
	Prompt  prompt.Prompt // Kind prompt.Password
	Problem Problem
	// ClientName is the application that asked, if it has a name to show.
	ClientName string
}

// SetPassword asks a new user, or one who follows a link, for a password.
type SetPassword struct {
	Frame
	Action  string
	Hidden  []Hidden
	Prompt  prompt.Prompt // Kind prompt.SetPassword; an identifier field if one is to be chosen
	Problem Problem
	// First is set for the first user of a pool, who becomes its operator.
	First bool
	// Account is who the password is for, when that is known.
	Account string
	// MinLength is the least number of characters.
	MinLength int
}

// SignedOut says that the person is signed out.
type SignedOut struct {
	Frame
	// Continue is a link to sign in again; may be empty.
	Continue string
}

// ConfirmSignOut asks whether to sign out; it is a form because a GET must
// not end a session unasked.
type ConfirmSignOut struct {
	Frame
	Action  string
	Hidden  []Hidden
	Account string
}

// SignedIn says that the person is signed in where no application waits.
type SignedIn struct {
	Frame
	Account string
	Links   []Link // where to go on; may be empty
	SignOut string // link to sign out
}

// Link is a labelled address.
type Link struct{ Label, URL string }

// Cause is a code for why an error page is shown.
type Cause string

// The causes of error pages.
const (
	CauseBadRequest  Cause = "bad_request" // the link or form is damaged
	CauseBadClient   Cause = "bad_client"  // unknown application or return address: never redirect
	CauseBadLink     Cause = "bad_link"    // used, expired or unknown one-time link
	CauseForbidden   Cause = "forbidden"   // signed in, but not allowed here
	CauseNotFound    Cause = "not_found"   //
	CauseCrossSite   Cause = "cross_site"  // the form was sent from another site
	CauseCookies     Cause = "cookies"     // the browser sent no cookie back
	CauseUnavailable Cause = "unavailable" // try again in a moment
	CauseInternal    Cause = "internal"    //
)

// Error is a page that explains what went wrong and how to go on.
type Error struct {
	Frame
	Cause Cause
	// Detail is a short technical sentence for developers, such as the name
	// of the wrong parameter; may be empty. Untrusted text.
	Detail string
	// Reference is the id under which the log tells more.
	Reference string
	// Continue is a link onwards; may be empty.
	Continue string
	// SignOut is a link to sign out and use another account; may be empty.
	SignOut string
}

func (SignIn) page()         {}
func (SetPassword) page()    {}
func (SignedOut) page()      {}
func (ConfirmSignOut) page() {}
func (SignedIn) page()       {}
func (Error) page()          {}

// Document is a rendered page: one self-contained response. Styles and
// scripts are inline and named by hash in the content security policy, which
// must also allow images from data: URLs (the icon). No page needs a script:
// where a policy leaves it out, only a convenience is missing.
type Document struct {
	HTML         []byte
	StyleHashes  []string // "sha256-…", base64, of each inline style
	ScriptHashes []string // the same of each inline script
}

// Renderer turns view models into HTML. Addresses in them are paths or http(s)
// URLs in the characters of RFC 3986: a link that is not is left out, a form
// target that is not is an error.
type Renderer interface {
	Render(ctx context.Context, p Page) (Document, error)
}

// Package page holds the view models of the hosted pages and the Renderer
// that turns one into HTML.
//
// A view model says what a page tells and asks, in codes and data; every
// visible word, and every choice of look, belongs to the Renderer (loginui by
// default). The package does no I/O and knows no HTTP.
package page

import (
	"context"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
)

// Page is one of the view models of this package.
type Page interface{ page() }

// Frame is what every page shares.
type Frame struct {
	// Brand is the name of the pool as people know it, often the app's host.
	Brand string
	// Locales are BCP 47 tags in the order in which the person prefers them;
	// the renderer takes the first that it speaks, or English.
	Locales []string
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
	TooBusy          Problem = "too_busy"         // try again in a moment
	PasswordSame     Problem = "password_same"    // the new password is the old one
	PasswordWrong    Problem = "password_wrong"   // the current password did not match
	ProfileInvalid   Problem = "profile_invalid"  // a profile field holds what it cannot
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
	// Accounts are those that are signed in in this browser and may be used
	// instead; Select is where that is done. Both may be empty.
	Accounts []Account
	Select   string
}

// Account is an account that is signed in in this browser.
type Account struct {
	Value string // what the form sends for it
	Label string // what the person knows it by
}

// SelectAccount asks with which of several accounts to go on: a form whose
// buttons are named page.FieldAccount, one for each account, and a link to
// sign in with another.
type SelectAccount struct {
	Frame
	Action     string
	Hidden     []Hidden
	Accounts   []Account
	Other      string // link to sign in with another account
	ClientName string
}

// ChangePassword asks somebody for a new password: where an operator wanted it
// changed at the next sign-in (Prompt has no current password then), or on the
// account page.
type ChangePassword struct {
	Frame
	Action    string
	Hidden    []Hidden
	Prompt    prompt.Prompt // Kind prompt.ChangePassword
	Problem   Problem
	Account   string
	MinLength int
	Back      string // link back to the account page; may be empty
}

// Consent asks whether a client may have what it asks for: a form with two
// buttons named FieldDecision, of the values DecisionAllow and DecisionDeny.
type Consent struct {
	Frame
	Action      string
	Hidden      []Hidden
	ClientName  string
	ClientHost  string // host of the redirect URI: where the answer goes
	Local       bool   // that is an application on the person's own machine
	Account     string
	Resources   []ConsentResource // APIs with the scopes asked for
	Personal    []string          // OIDC scopes asked for: openid, profile, email, phone, address, offline_access
	SignOutLink string            // link to use another account; may be empty
}

// ConsentResource is an API with what is asked for of it.
type ConsentResource struct {
	Name   string // identifier of the API
	Scopes []ConsentScope
}

// ConsentScope is a scope, with the operator's words for it if there are any.
type ConsentScope struct{ Name, Text string }

// Names and values of buttons.
const (
	FieldAccount  = "account"
	FieldDecision = "decision"
	DecisionAllow = "allow"
	DecisionDeny  = "deny"
)

// FormPost sends an authorization response by a form (OAuth 2.0 Form Post
// Response Mode): a script submits it, and a button where there is none.
type FormPost struct {
	Frame
	Action     string // redirect URI
	Hidden     []Hidden
	ClientName string
}

// AccountPage is where people see and change what is theirs. Every part is a
// form of its own, sent to Action with the hidden values and, in FieldVerb,
// what is to be done.
type AccountPage struct {
	Frame
	Action   string
	Hidden   []Hidden
	Account  string
	Fields   []prompt.Field // of the profile, Value filled
	Problem  Problem        // of the profile form
	Done     Done           // what has just been done
	Password string         // link to change the password; empty: not possible
	Sessions []SessionView
	Consents []ConsentView
	SignOut  string // link to sign out here
}

// Done is a code for what an account page has just done.
type Done string

// What an account page can have done.
const (
	NothingDone      Done = ""
	ProfileSaved     Done = "profile_saved"
	PasswordChanged  Done = "password_changed"
	SessionEnded     Done = "session_ended"
	SessionsEnded    Done = "sessions_ended"
	ConsentWithdrawn Done = "consent_withdrawn"
)

// Verbs of the account page's forms, and the fields that name their object.
const (
	FieldVerb    = "verb"
	FieldSession = "session"
	FieldConsent = "consent"

	VerbSaveProfile = "save_profile"
	VerbEndSession  = "end_session"
	VerbEndSessions = "end_sessions" // all but this one
	VerbWithdraw    = "withdraw"
)

// SessionView is one of the person's sessions.
type SessionView struct {
	Value   string // what the form sends for it
	Device  string // browser and system, as far as its User-Agent tells; may be empty
	Address string
	Begun   time.Time
	Used    time.Time
	Current bool
}

// ConsentView is what the person lets a client have.
type ConsentView struct {
	Value      string // what the form sends for it
	ClientName string
	Scopes     []string
	At         time.Time
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
	// Back is a link to the application that asked; may be empty.
	Back       string
	ClientName string
}

// ConfirmSignOut asks whether to sign out; it is a form because a GET must
// not end a session unasked.
type ConfirmSignOut struct {
	Frame
	Action  string
	Hidden  []Hidden
	Account string
	// ClientName is the application that asked, if it has a name to show.
	ClientName string
	// Stay is a link for those who want to stay signed in; may be empty.
	Stay string
}

// SignedIn says that the person is signed in where no application waits.
type SignedIn struct {
	Frame
	Account string
	Links   []Link // where to go on; may be empty
	SignOut string // link to sign out
	Manage  string // link to the account page; may be empty
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
	CauseEnded       Cause = "ended"       // the sign-in behind a form is over
	CauseStale       Cause = "stale"       // the sign-in took too long, or is another browser's
	CauseLoop        Cause = "loop"        // sent back and forth without getting on
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
func (SelectAccount) page()  {}
func (ChangePassword) page() {}
func (Consent) page()        {}
func (FormPost) page()       {}
func (AccountPage) page()    {}

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

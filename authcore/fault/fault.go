// Package fault is the one internal error type: a code of a small set, a text
// that is safe to show, and a cause that only the log sees.
//
// It owns the codes and nothing of how they look: protocol errors (OAuth
// JSON, error page, plain API) are rendered only at the edge, by mux. An error
// without a code is Internal, and its text never leaves the process.
package fault

import "errors"

// Code classifies a failure. A Code is itself an error, so that
// errors.Is(err, fault.NotFound) works through wrapping.
type Code string

// The codes of failures that are nobody's protocol.
const (
	Internal     Code = "internal"
	Invalid      Code = "invalid"       // the input is wrong; Text says how
	NotFound     Code = "not_found"     //
	Conflict     Code = "conflict"      // exists already, or changed meanwhile
	Forbidden    Code = "forbidden"     // the caller may not
	Busy         Code = "busy"          // too much at once: try again in a moment
	Unavailable  Code = "unavailable"   // a part is down: try again later
	CrossSite    Code = "cross_site"    // a state change without a same-origin proof
	TooLarge     Code = "too_large"     // a request body over its limit
	NotSupported Code = "not_supported" // method or media type
)

// The codes of OAuth 2.0 and OpenID Connect, by their wire names.
const (
	InvalidRequest          Code = "invalid_request"                   // RFC 6749 4.1.2.1, 5.2
	InvalidClient           Code = "invalid_client"                    // RFC 6749 5.2
	InvalidGrant            Code = "invalid_grant"                     // RFC 6749 5.2
	UnauthorizedClient      Code = "unauthorized_client"               // RFC 6749 4.1.2.1
	UnsupportedGrantType    Code = "unsupported_grant_type"            // RFC 6749 5.2
	UnsupportedResponseType Code = "unsupported_response_type"         // RFC 6749 4.1.2.1
	InvalidScope            Code = "invalid_scope"                     // RFC 6749 4.1.2.1
	InvalidTarget           Code = "invalid_target"                    // RFC 8707 2
	AccessDenied            Code = "access_denied"                     // RFC 6749 4.1.2.1
	LoginRequired           Code = "login_required"                    // OIDC Core 3.1.2.6
	ConsentRequired         Code = "consent_required"                  // OIDC Core 3.1.2.6
	InteractionRequired     Code = "interaction_required"              // OIDC Core 3.1.2.6
	SelectionRequired       Code = "account_selection_required"        // OIDC Core 3.1.2.6
	UnmetAuthentication     Code = "unmet_authentication_requirements" // OIDC Unmet Authentication Requirements 1.0
	UnsupportedTokenType    Code = "unsupported_token_type"            // RFC 7009 2.2.1
	InsufficientUserAuth    Code = "insufficient_user_authentication"  // RFC 9470 3
	RequestNotSupported     Code = "request_not_supported"             // OIDC Core 3.1.2.6
	RequestURINotSupported  Code = "request_uri_not_supported"         // OIDC Core 3.1.2.6
	RegistrationUnsupported Code = "registration_not_supported"        // OIDC Core 3.1.2.6
	InvalidToken            Code = "invalid_token"                     // RFC 6750 3.1
	InsufficientScope       Code = "insufficient_scope"                // RFC 6750 3.1
)

// Error makes a Code an error.
func (c Code) Error() string { return string(c) }

// Error is a failure with a code.
type Error struct {
	Code  Code
	Text  string // safe to show to whoever asked
	Cause error  // for the log only; may be nil
}

// New returns an error with a code and a text that is safe to show.
func New(code Code, text string) error { return &Error{Code: code, Text: text} }

// Wrap gives a cause a code and a text that is safe to show.
func Wrap(code Code, cause error, text string) error {
	return &Error{Code: code, Text: text, Cause: cause}
}

// Error includes the cause: it is for logs.
func (e *Error) Error() string {
	s := string(e.Code)
	if e.Text != "" {
		s += ": " + e.Text
	}
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is reports whether target is the error's code.
func (e *Error) Is(target error) bool {
	c, ok := target.(Code)
	return ok && c == e.Code
}

// CodeOf returns the outermost code of err, or Internal if it has none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	var c Code
	if errors.As(err, &c) {
		return c
	}
	return Internal
}

// TextOf returns the outermost text that is safe to show; empty if none.
func TextOf(err error) string {
	var e *Error
	if errors.As(err, &e) && e.Code != Internal {
		return e.Text
	}
	return ""
}

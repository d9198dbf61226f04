package mux

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

// ErrNoToken says that a request to a resource came without a token: a
// challenge without an error code, and without a body (RFC 6750 3.1).
var ErrNoToken = fault.New(fault.InvalidToken, "An access token is needed.")

// errMethod is what the 405 of a known path is rendered from.
var errMethod = fault.New(fault.NotSupported, "This method is not supported here.")

// retryAfter is the wait that a busy or unavailable server asks for, in seconds.
const retryAfter = "2"

// rendering is how a code looks at the edge.
type rendering struct {
	status int
	wire   string // error of RFC 6749 5.2 and its extensions
}

// renderings maps every code; one that is missing is rendered as Internal.
var renderings = map[fault.Code]rendering{
	fault.Internal:     {http.StatusInternalServerError, "server_error"},
	fault.Invalid:      {http.StatusBadRequest, "invalid_request"},
	fault.NotFound:     {http.StatusNotFound, "invalid_request"},
	fault.Conflict:     {http.StatusConflict, "invalid_request"},
	fault.Forbidden:    {http.StatusForbidden, "access_denied"},
	fault.Busy:         {http.StatusServiceUnavailable, "temporarily_unavailable"},
	fault.Unavailable:  {http.StatusServiceUnavailable, "temporarily_unavailable"},
	fault.CrossSite:    {http.StatusForbidden, "access_denied"},
	fault.TooLarge:     {http.StatusRequestEntityTooLarge, "invalid_request"},
	fault.NotSupported: {http.StatusUnsupportedMediaType, "invalid_request"},

	fault.InvalidRequest:          {http.StatusBadRequest, "invalid_request"},
	fault.InvalidClient:           {http.StatusUnauthorized, "invalid_client"},
	fault.InvalidGrant:            {http.StatusBadRequest, "invalid_grant"},
	fault.UnauthorizedClient:      {http.StatusBadRequest, "unauthorized_client"},
	fault.UnsupportedGrantType:    {http.StatusBadRequest, "unsupported_grant_type"},
	fault.UnsupportedResponseType: {http.StatusBadRequest, "unsupported_response_type"},
	fault.InvalidScope:            {http.StatusBadRequest, "invalid_scope"},
	fault.InvalidTarget:           {http.StatusBadRequest, "invalid_target"},
	fault.AccessDenied:            {http.StatusBadRequest, "access_denied"},
	fault.LoginRequired:           {http.StatusBadRequest, "login_required"},
	fault.ConsentRequired:         {http.StatusBadRequest, "consent_required"},
	fault.InteractionRequired:     {http.StatusBadRequest, "interaction_required"},
	fault.SelectionRequired:       {http.StatusBadRequest, "account_selection_required"},
	fault.UnmetAuthentication:     {http.StatusBadRequest, "unmet_authentication_requirements"},
	fault.UnsupportedTokenType:    {http.StatusBadRequest, "unsupported_token_type"},
	fault.InsufficientUserAuth:    {http.StatusUnauthorized, "insufficient_user_authentication"},
	fault.RequestNotSupported:     {http.StatusBadRequest, "request_not_supported"},
	fault.RequestURINotSupported:  {http.StatusBadRequest, "request_uri_not_supported"},
	fault.RegistrationUnsupported: {http.StatusBadRequest, "registration_not_supported"},
	fault.InvalidToken:            {http.StatusUnauthorized, "invalid_token"},
	fault.InsufficientScope:       {http.StatusForbidden, "insufficient_scope"},
}

// codeOf is fault.CodeOf, but that a request which ran out of time or was
// given up is not our failure.
func codeOf(err error) fault.Code {
	code := fault.CodeOf(err)
	if code == fault.Internal && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return fault.Unavailable
	}
	return code
}

func render(err error) rendering {
	if errors.Is(err, errMethod) {
		return rendering{http.StatusMethodNotAllowed, "invalid_request"}
	}
	if r, ok := renderings[codeOf(err)]; ok {
		return r
	}
	return renderings[fault.Internal]
}

// StatusOf returns the HTTP status that an error is rendered with.
func StatusOf(err error) int { return render(err).status }

// OAuthError returns the error and error_description that an error is
// rendered with (RFC 6749 4.1.2.1, 5.2). What is ours to fix shows the
// reference alone.
func OAuthError(err error, reference string) (code, description string) {
	r := render(err)
	if r.status == http.StatusInternalServerError {
		return r.wire, "Something went wrong. Reference: " + reference
	}
	return r.wire, Printable(fault.TextOf(err))
}

// Printable replaces what error_description may not hold (RFC 6749 5.2) and
// cuts it to 300 bytes.
func Printable(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '"':
			return '\''
		case r < 0x20 || r > 0x7e || r == '\\':
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), 300)]
}

// WriteOAuthError renders err as RFC 6749 5.2 JSON, with the challenge of
// RFC 6750 3 for token errors. invalid_client is a 401, with a challenge if
// the client tried HTTP Basic.
func WriteOAuthError(w http.ResponseWriter, r *http.Request, err error) {
	h := w.Header()
	status := prepareError(h, err)
	if errors.Is(err, ErrNoToken) {
		h.Set("WWW-Authenticate", "Bearer")
		h.Set("Cache-Control", "no-store")
		w.WriteHeader(status)
		return
	}
	code, description := OAuthError(err, EventOf(r.Context()).Reference)
	switch codeOf(err) {
	case fault.InvalidClient:
		if scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " "); strings.EqualFold(scheme, "Basic") {
			h.Set("WWW-Authenticate", `Basic realm="token", charset="UTF-8"`)
		}
	case fault.InvalidToken, fault.InsufficientScope:
		if h.Get("WWW-Authenticate") == "" {
			h.Set("WWW-Authenticate", bearer(code, description))
		}
	}
	h.Set("Cache-Control", "no-store")
	WriteJSON(w, status, struct {
		Error       string `json:"error"`
		Description string `json:"error_description,omitempty"`
	}{code, description})
}

func bearer(code, description string) string {
	if description == "" {
		return fmt.Sprintf(`Bearer error="%s"`, code)
	}
	return fmt.Sprintf(`Bearer error="%s", error_description="%s"`, code, description)
}

// prepareError returns the status of an error and sets the headers that every
// rendering of it shares.
func prepareError(h http.Header, err error) int {
	status := StatusOf(err)
	if status == http.StatusServiceUnavailable && h.Get("Retry-After") == "" {
		h.Set("Retry-After", retryAfter)
	}
	return status
}

// writeErrorPage renders err as a page, or as plain text when there is no
// renderer or it fails too.
func (m *Mux) writeErrorPage(w http.ResponseWriter, r *http.Request, err error) {
	status := prepareError(w.Header(), err)
	if status == http.StatusUnauthorized {
		status = http.StatusBadRequest // a page has no challenge to offer
	}
	if status == http.StatusInternalServerError {
		err = fault.Wrap(fault.Internal, err, "") // no text of it is for showing
	}
	reference := EventOf(r.Context()).Reference
	if m.options.ErrorPage != nil {
		d, pageErr := m.options.ErrorPage(r, err, status, reference)
		if pageErr == nil {
			WriteDocument(w, r, status, d)
			return
		}
		m.options.Logger.ErrorContext(r.Context(), "error page", "reference", reference, "error", pageErr)
	}
	secure(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprintf(w, "%s\nReference: %s\n", http.StatusText(status), reference)
}

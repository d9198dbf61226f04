package signin

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
)

// pageError is an error whose page says more than its code does.
type pageError struct {
	cause page.Cause
	next  string // link onwards
	err   error
}

func (e *pageError) Error() string { return string(e.cause) + ": " + e.err.Error() }

func (e *pageError) Unwrap() error { return e.err }

// ErrorPage returns what renders errors as pages under a brand; the prefix is
// that of the login host's paths.
func ErrorPage(renderer page.Renderer, brand, prefix string) mux.ErrorPage {
	return func(r *http.Request, err error, status int, reference string) (mux.Document, error) {
		view := page.Error{
			Frame: page.Frame{Brand: brand, Locales: mux.Locales(r)}, Cause: causeOf(err, status), Detail: fault.TextOf(err), Reference: reference,
		}
		special := (*pageError)(nil)
		if errors.As(err, &special) {
			view.Cause, view.Continue = special.cause, special.next
		}
		switch view.Cause {
		case page.CauseLoop:
			view.Continue = cmp.Or(view.Continue, prefix+loginPath)
			view.SignOut = prefix + logoutPath
		case page.CauseForbidden:
			view.SignOut = prefix + logoutPath
		case page.CauseCrossSite: // the form itself, to be filled in here
			view.Continue = cmp.Or(view.Continue, r.URL.EscapedPath()+suffix(uriQuery(r.URL.RawQuery)))
		}
		d, err := renderer.Render(r.Context(), view)
		if err != nil {
			return mux.Document{}, fmt.Errorf("signin: render error page: %w", err)
		}
		return document(d), nil
	}
}

// causeOf tells in a person's words what a code means.
func causeOf(err error, status int) page.Cause {
	if status == http.StatusServiceUnavailable {
		return page.CauseUnavailable // a request that was given up has no code
	}
	if errors.Is(err, flow.ErrLoop) {
		return page.CauseLoop
	}
	switch fault.CodeOf(err) {
	case fault.Internal:
		return page.CauseInternal
	case fault.InvalidClient, fault.UnauthorizedClient:
		return page.CauseBadClient
	case fault.NotFound:
		return page.CauseNotFound
	case fault.Forbidden, fault.AccessDenied, fault.InsufficientScope:
		return page.CauseForbidden
	case fault.CrossSite:
		return page.CauseCrossSite
	}
	return page.CauseBadRequest
}

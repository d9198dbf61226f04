package signin

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Parameters of a logout request: those of RP-Initiated Logout 1.0, 2, and
// Cognito's logout_uri and redirect_uri.
const (
	paramHint       = "id_token_hint"
	paramClient     = "client_id"
	paramBack       = "post_logout_redirect_uri"
	paramState      = "state"
	paramLogoutHint = "logout_hint"
	paramLocales    = "ui_locales"
	paramLogoutURI  = "logout_uri"
	paramRedirect   = "redirect_uri"
	paramType       = "response_type"
)

// logoutRequest is what a request to sign out asks for.
type logoutRequest struct {
	ticket  string
	hint    *token.Hint  // nil: none, or none that is good
	client  *pool.Client // who asks; nil: not said
	to      string       // checked address to go on to; empty: the page that says it is done
	proven  bool         // a GET may end what is meant without a question
	person  string       // logout_hint: whom the application means, unproven
	carried string       // the query that the answer to a question needs
}

// logoutRequest reads and checks a request. Nothing of it that is wrong leads
// to a redirect: it is an error page with a link to sign out all the same.
func (s *pages) logoutRequest(r *http.Request, params url.Values) (*logoutRequest, error) {
	req := &logoutRequest{ticket: mux.One(params, fieldTicket), person: mux.One(params, paramLogoutHint)}
	id, badHint, err := s.readHint(r, req, params)
	if err != nil {
		return nil, err
	}
	if id != "" {
		req.client = s.site.Pool.Client(id)
		if req.client == nil || req.client.Disabled {
			return nil, s.refused(fault.InvalidClient, "client_id is not known here.")
		}
		mux.EventOf(r.Context()).Client = string(id)
	}
	keep := url.Values{}
	if id != "" && !badHint {
		if err := s.onwardsOf(req, params, keep); err != nil {
			return nil, err
		}
		keep.Set(paramClient, string(id))
	}
	if locales := mux.One(params, paramLocales); locales != "" {
		keep.Set(paramLocales, locales)
	}
	req.carried = keep.Encode()
	return req, nil
}

// readHint reads an id_token_hint and returns which client asks. A hint that
// is not good does no more than to have the person asked: it may be of a key
// that is gone.
func (s *pages) readHint(r *http.Request, req *logoutRequest, params url.Values) (id pool.ClientID, bad bool, err error) {
	id = pool.ClientID(mux.One(params, paramClient))
	raw := mux.One(params, paramHint)
	if raw == "" {
		return id, false, nil
	}
	hint, err := s.config.Hints.ReadHint(r.Context(), s.site.Pool, raw)
	switch {
	case errors.Is(err, fault.InvalidRequest):
		mux.EventOf(r.Context()).Err = err
		return id, true, nil
	case err != nil:
		return "", false, err
	case id != "" && id != hint.Client:
		return "", false, s.refused(fault.InvalidRequest, "id_token_hint was issued to another client than client_id.")
	}
	req.hint, req.proven = hint, true
	return hint.Client, false, nil
}

// onwardsOf checks where a known client wants people to go on, and notes in
// keep what says so.
func (s *pages) onwardsOf(req *logoutRequest, params, keep url.Values) error {
	back, cognito, again := mux.One(params, paramBack), mux.One(params, paramLogoutURI), mux.One(params, paramRedirect)
	switch {
	case back != "":
		if !req.client.AllowsLogout(back) {
			return s.refused(fault.InvalidClient, "post_logout_redirect_uri is not registered for the client.")
		}
		state := mux.One(params, paramState)
		req.to = back
		if state != "" {
			req.to = mux.WithQuery(back, paramState, state)
			keep.Set(paramState, state)
		}
		keep.Set(paramBack, back)
	case cognito != "":
		if !req.client.AllowsLogout(cognito) {
			return s.refused(fault.InvalidClient, "logout_uri is not registered for the client.")
		}
		req.to, req.proven = cognito, true
		keep.Set(paramLogoutURI, cognito)
	case again != "" && params.Has(paramType):
		if !req.client.AllowsRedirect(again) {
			return s.refused(fault.InvalidClient, "redirect_uri is not registered for the client.")
		}
		for name, values := range params {
			if name != fieldTicket && name != paramHint {
				keep[name] = values
			}
		}
		keep.Set(paramClient, string(req.client.ID))
		req.to, req.proven = s.url(loginPath)+suffix(keep.Encode()), true
	}
	return nil
}

// refused is an error page from which people can sign out all the same.
func (s *pages) refused(code fault.Code, text string) error {
	cause := page.CauseBadRequest
	if code == fault.InvalidClient {
		cause = page.CauseBadClient
	}
	return &pageError{cause: cause, next: s.path(logoutPath), err: fault.New(code, text)}
}

// meant returns which of the browser's sessions a request is about.
func (q *logoutRequest) meant(all []*session.Live) []*session.Live {
	some := slices.DeleteFunc(slices.Clone(all), func(l *session.Live) bool {
		if q.hint != nil {
			return l.User.Sub != q.hint.Sub
		}
		return !names(q.person, l.User) && l.Name != q.person
	})
	if q.hint == nil && len(some) == 0 {
		return all
	}
	return some
}

// back is where people find the application again that asked and named no
// address: the first that it has registered.
func (q *logoutRequest) back() string {
	if q.client == nil || len(q.client.LogoutURIs) == 0 {
		return ""
	}
	return q.client.LogoutURIs[0]
}

func (q *logoutRequest) clientName() string {
	if q.client == nil {
		return ""
	}
	return q.client.Name
}

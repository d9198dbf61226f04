package oauth

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// maxQuery is the longest query that a form posted to authorize is carried
// over in, in bytes: what every browser and server takes.
const maxQuery = 8 << 10

// carryOver answers a posted authorization request (OIDC Core 3.1.2.1) with a
// GET of the same parameters. The form may come from another site, where the
// browser holds back our cookies; the GET is a navigation that has them.
func (e *endpoints) carryOver(w http.ResponseWriter, r *http.Request) error {
	form, err := mux.BodyForm(r)
	if err != nil {
		return err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return fault.New(fault.InvalidRequest, "The parameters are not well encoded.")
	}
	for name, values := range query {
		form[name] = append(form[name], values...) // both: the GET refuses it as repeated
	}
	encoded := form.Encode()
	if len(encoded) > maxQuery {
		return fault.New(fault.InvalidRequest, "The request is too long.")
	}
	mux.Redirect(w, r, e.url(authorizePath)+"?"+encoded)
	return nil
}

// authorize is the authorization endpoint (RFC 6749 3.1). An error goes to the
// client only once the client and its redirect URI are known to be right.
func (e *endpoints) authorize(w http.ResponseWriter, r *http.Request) error {
	if mode := r.Header.Get("Sec-Fetch-Mode"); r.Method != http.MethodGet || mode != "" && mode != "navigate" {
		return fault.New(fault.CrossSite, "This address must be opened as a page.")
	}
	params, formErr := mux.Form(r, "resource", "audience")
	if formErr != nil {
		if params = lenient(r.URL.RawQuery); params == nil {
			return formErr
		}
	}
	req, err := e.recipient(params)
	if err != nil {
		return err
	}
	mux.EventOf(r.Context()).Client = string(req.client.ID)
	if formErr == nil {
		formErr = e.read(r.Context(), req, params)
	}
	if formErr != nil {
		return e.refuse(w, r, req, formErr)
	}
	live, err := e.session(r)
	if err != nil {
		return e.refuse(w, r, req, err)
	}
	if live == nil || !req.satisfied(live, e.config.Now()) {
		return e.signIn(w, r, req, live)
	}
	return e.grant(w, r, req, live)
}

// lenient returns the parameters that stand once, so that the error about the
// others can go to the client; nil if they say who that is more than once.
func lenient(rawQuery string) url.Values {
	values, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil
	}
	if len(values["client_id"]) > 1 || len(values["redirect_uri"]) > 1 {
		return nil
	}
	for name, vs := range values {
		if len(vs) != 1 {
			delete(values, name)
		}
	}
	return values
}

// session returns the browser's SSO session, or nil.
func (e *endpoints) session(r *http.Request) (*session.Live, error) {
	id := e.cookies.Get(r, mux.CookieSSO)
	if id == "" {
		return nil, nil
	}
	live, err := e.config.Sessions.Find(r.Context(), e.site.Pool, id)
	if fault.CodeOf(err) == fault.NotFound {
		return nil, nil
	}
	return live, err
}

// signIn sends the browser to the login with the same query, or refuses if
// the client forbade it, or if a fresh sign-in was that of another user.
func (e *endpoints) signIn(w http.ResponseWriter, r *http.Request, req *request, live *session.Live) error {
	if req.prompt == promptNone || live != nil && req.isFresh(live) {
		return e.refuse(w, r, req, fault.New(fault.LoginRequired, ""))
	}
	query := r.URL.RawQuery
	if req.wantsFresh() && req.fresh == 0 {
		query += "&" + flow.ParamFresh + "=" + strconv.FormatInt(e.config.Now().UnixMilli(), 10)
	}
	mux.EventOf(r.Context()).Outcome = "sign_in"
	mux.Redirect(w, r, e.url(loginPath)+"?"+query)
	return nil
}

// grant issues the code.
func (e *endpoints) grant(w http.ResponseWriter, r *http.Request, req *request, live *session.Live) error {
	mux.EventOf(r.Context()).User = string(live.User.Sub)
	code, err := e.config.Tokens.IssueCode(r.Context(), e.site.Pool, token.CodeOrder{
		Client:      req.client,
		RedirectURI: req.redirect,
		Challenge:   req.challenge,
		Nonce:       req.nonce,
		Scopes:      req.scopes,
		Resources:   req.resources,
		Session:     live.Session,
		SessionName: live.Name,
	})
	switch {
	case err == nil:
		mux.Redirect(w, r, e.answer(req, "code", code))
		return nil
	case fault.CodeOf(err) == fault.LoginRequired: // the session has ended meanwhile
		return e.signIn(w, r, req, nil)
	}
	return e.refuse(w, r, req, err)
}

// refuse sends an error to the client (RFC 6749 4.1.2.1).
func (e *endpoints) refuse(w http.ResponseWriter, r *http.Request, req *request, err error) error {
	event := mux.EventOf(r.Context())
	code, description := mux.OAuthError(err, event.Reference)
	event.Outcome, event.Err = code, err
	pairs := []string{"error", code}
	if description != "" {
		pairs = append(pairs, "error_description", description)
	}
	mux.Redirect(w, r, e.answer(req, pairs...))
	return nil
}

// answer appends parameters, state and iss (RFC 9207 2) to the redirect URI;
// its own query stays as it is.
func (e *endpoints) answer(req *request, pairs ...string) string {
	if req.state != "" {
		pairs = append(pairs, "state", req.state)
	}
	pairs = append(pairs, "iss", e.site.Pool.Issuer)
	var b strings.Builder
	b.WriteString(req.redirect)
	separator := "?"
	if strings.Contains(req.redirect, "?") {
		separator = "&"
		if strings.HasSuffix(req.redirect, "?") || strings.HasSuffix(req.redirect, "&") {
			separator = ""
		}
	}
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(separator + url.QueryEscape(pairs[i]) + "=" + url.QueryEscape(pairs[i+1]))
		separator = "&"
	}
	return b.String()
}

// hinted returns the sub of an id_token_hint that this pool signed for the
// client; expired ones are fine (OIDC Core 3.1.2.1).
func (e *endpoints) hinted(ctx context.Context, c *pool.Client, hint string) (pool.UserID, error) {
	set, err := e.config.Keys.Set(ctx, e.site.Pool.ID, pool.TokenKeys)
	if err != nil {
		return "", fault.Wrap(fault.Unavailable, err, "The keys cannot be read at the moment.")
	}
	return hintedSub(set, e.site.Pool.Issuer, c.ID, hint)
}

package oauth

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

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
	for i, hint := range form["id_token_hint"] {
		if form["id_token_hint"][i], err = e.config.Tokens.SealHint(r.Context(), e.site.Pool, hint); err != nil {
			return err
		}
	}
	encoded := form.Encode()
	if len(encoded) > flow.MaxQuery {
		return errTooLong
	}
	mux.Redirect(w, r, e.url(authorizePath)+"?"+encoded)
	return nil
}

// authorize is the authorization endpoint (RFC 6749 3.1). An error goes to the
// client only once the client and its redirect URI are known to be right.
func (e *endpoints) authorize(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet {
		return errNoNavigation
	}
	req, live, err := e.ready(w, r)
	if err != nil || live == nil {
		return err
	}
	ask, err := e.asksConsent(r.Context(), req, live)
	switch {
	case err != nil:
		return e.refuse(w, r, req, err)
	case !ask:
		return e.grant(w, r, req, live)
	case req.wants(promptNone):
		return e.refuse(w, r, req, fault.New(fault.ConsentRequired, "The user must be asked first."))
	}
	e.lead(w, r, consentPath, r.URL.RawQuery)
	return nil
}

var (
	errNoNavigation = fault.New(fault.CrossSite, "This address must be opened as a page.")
	errTooLong      = fault.New(fault.InvalidRequest, "The request is too long.")
)

// ready judges a request up to the point where only consent may be missing.
// The session is nil if the request has been answered already: refused, or led
// to where the person signs in or chooses an account.
func (e *endpoints) ready(w http.ResponseWriter, r *http.Request) (*request, *session.Live, error) {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return nil, nil, errNoNavigation
	}
	if len(r.URL.RawQuery) > flow.MaxQuery {
		return nil, nil, errTooLong
	}
	params, formErr := queryForm(r)
	if formErr != nil {
		if params = lenient(r.URL.RawQuery); params == nil {
			return nil, nil, formErr
		}
	}
	req, err := e.recipient(params)
	if err != nil {
		return nil, nil, err
	}
	mux.EventOf(r.Context()).Client = string(req.client.ID)
	if formErr == nil {
		formErr = e.read(r.Context(), req, params)
	}
	if formErr != nil {
		return nil, nil, e.refuse(w, r, req, formErr)
	}
	all, err := e.sessions(r)
	if err != nil {
		return nil, nil, e.refuse(w, r, req, err)
	}
	c := req.choose(all, e.config.Now())
	if c.live == nil {
		return nil, nil, e.signIn(w, r, req, c)
	}
	mux.EventOf(r.Context()).User = string(c.live.User.Sub)
	asked := len(req.scopes)
	if req.scopes = e.site.Pool.MayGrant(c.live.User, req.scopes); asked > 0 && len(req.scopes) == 0 {
		return nil, nil, e.refuse(w, r, req, errOperatorsOnly)
	}
	return req, c.live, nil
}

var errOperatorsOnly = fault.New(fault.AccessDenied, "Only operators can let a client have the scope gatehouse.admin.")

// queryForm reads the parameters of the query, of a POST as well.
func queryForm(r *http.Request) (url.Values, error) {
	query := *r
	query.Method = http.MethodGet
	return mux.Form(&query, "resource", "audience", flow.ParamFresh, flow.ParamAccount)
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

// signIn leads the browser to the page where the person signs in or chooses an
// account, or refuses if the client forbade it or if it is of no use.
func (e *endpoints) signIn(w http.ResponseWriter, r *http.Request, req *request, c choice) error {
	if req.wants(promptNone) && c.several {
		return e.refuse(w, r, req, fault.New(fault.SelectionRequired, "login_hint names none of the accounts that the user is signed in with."))
	}
	if req.wants(promptNone) || c.wrong {
		return e.refuse(w, r, req, fault.New(fault.LoginRequired, "The user is not signed in as the request demands."))
	}
	query := without(r.URL.RawQuery, flow.ParamAccount)
	if c.selects {
		e.lead(w, r, flow.SelectPath, query)
		return nil
	}
	if now := e.config.Now(); c.fresh && !req.freshAsked(now) {
		query = without(query, flow.ParamFresh) + "&" + flow.ParamFresh + "=" + strconv.FormatInt(now.UnixMilli(), 10)
	}
	if err := e.countHop(w, r); err != nil {
		return err
	}
	e.lead(w, r, loginPath, query)
	return nil
}

// lead sends the browser to one of our pages with a request.
func (e *endpoints) lead(w http.ResponseWriter, r *http.Request, path, query string) {
	mux.EventOf(r.Context()).Outcome = path
	mux.Redirect(w, r, e.url(path)+"?"+query)
}

// without drops parameters from a query and leaves the others byte for byte.
func without(rawQuery string, names ...string) string {
	pairs := slices.DeleteFunc(strings.Split(rawQuery, "&"), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		plain, err := url.QueryUnescape(name)
		return err == nil && slices.Contains(names, plain)
	})
	return strings.Join(pairs, "&")
}

// grant issues the code.
func (e *endpoints) grant(w http.ResponseWriter, r *http.Request, req *request, live *session.Live) error {
	code, err := e.config.Tokens.IssueCode(r.Context(), e.site.Pool, token.CodeOrder{
		Client:      req.client,
		RedirectURI: req.redirect,
		Challenge:   req.challenge,
		Nonce:       req.nonce,
		Scopes:      req.scopes,
		Resources:   req.resources,
		IDClaims:    req.idClaims,
		InfoClaims:  req.infoClaims,
		Session:     live.Session,
		SessionName: live.Name,
	})
	switch {
	case err == nil:
		if err := e.config.Sessions.Use(r.Context(), e.site.Pool, live); err != nil {
			mux.EventOf(r.Context()).Err = err // the code is good all the same
		}
		return e.respond(w, r, req, "code", code)
	case fault.CodeOf(err) == fault.LoginRequired: // the session has ended meanwhile
		return e.signIn(w, r, req, choice{})
	}
	return e.refuse(w, r, req, err)
}

package oauth

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Limits of an authorization request, in bytes.
const (
	maxState = 1 << 10
	maxNonce = 512
)

// Values of prompt (OIDC Core 3.1.2.1).
const (
	promptNone    = "none"
	promptLogin   = "login"
	promptConsent = "consent"
	promptSelect  = "select_account"
)

// Values of response_mode (OAuth 2.0 Multiple Response Types 2.1, Form Post
// Response Mode 1.0).
const (
	modeQuery    = "query"
	modeFormPost = "form_post"
)

// request is an authorization request. client, redirect, state and formPost
// are set before anything else, for they decide where errors go, and how.
type request struct {
	client   *pool.Client
	redirect string // where answers go
	state    string
	formPost bool
	query    string // the parameters, encoded in one way: what a consent is bound to

	challenge  string
	nonce      string
	scopes     []string
	resources  []string
	idClaims   []string // asked for by name
	infoClaims []string

	prompts   []string
	maxAge    time.Duration // -1: not limited
	fresh     int64         // Unix milliseconds; 0: no sign-in was asked for
	account   string        // name of the session that the person chose
	loginHint string
	subject   pool.UserID // whom id_token_hint names
	claimed   pool.UserID // whom the claims parameter names
}

// wants reports whether a prompt is asked for.
func (req *request) wants(prompt string) bool { return slices.Contains(req.prompts, prompt) }

// recipient finds out who asks and where answers go. Its errors must never be
// redirected (RFC 6749 4.1.2.1).
func (e *endpoints) recipient(params url.Values) (*request, error) {
	client := e.site.Pool.Client(pool.ClientID(mux.One(params, "client_id")))
	if client == nil || client.Disabled {
		return nil, fault.New(fault.InvalidClient, "The application is not known here.")
	}
	req := &request{client: client, redirect: mux.One(params, "redirect_uri"), query: params.Encode(), maxAge: -1}
	switch {
	case req.redirect != "":
		if !client.AllowsRedirect(req.redirect) {
			return nil, fault.New(fault.InvalidClient, "redirect_uri is not registered for this application.")
		}
	case len(client.RedirectURIs) != 1 || slices.Contains(strings.Fields(mux.One(params, "scope")), pool.ScopeOpenID):
		return nil, fault.New(fault.InvalidClient, "redirect_uri is missing.")
	default:
		req.redirect = client.RedirectURIs[0]
	}
	if state := mux.One(params, "state"); len(state) <= maxState {
		req.state = state
	}
	req.formPost = mux.One(params, "response_mode") == modeFormPost && formPostable(req.redirect)
	return req, nil
}

// read judges everything else; its errors go to the client.
func (e *endpoints) read(ctx context.Context, req *request, params url.Values) error {
	for _, step := range []func(*request, url.Values) error{
		readForm, readChallenge, readPrompt, readOurs, e.readTarget, readClaims,
	} {
		if err := step(req, params); err != nil {
			return err
		}
	}
	return e.readHint(ctx, req, mux.One(params, "id_token_hint"))
}

// readHint notes whom an id_token_hint names: an ID token that this pool has
// signed for the client; expired ones are fine (OIDC Core 3.1.2.1).
func (e *endpoints) readHint(ctx context.Context, req *request, raw string) error {
	if raw == "" {
		return nil
	}
	hint, err := e.config.Tokens.ReadHint(ctx, e.site.Pool, raw)
	switch {
	case err != nil:
		return err
	case hint.Client != req.client.ID:
		return fault.New(fault.InvalidRequest, "id_token_hint is not an ID token of this client.")
	}
	req.subject = hint.Sub
	return nil
}

func readForm(req *request, params url.Values) error {
	req.nonce = mux.One(params, "nonce")
	switch {
	case mux.One(params, "request") != "":
		return fault.New(fault.RequestNotSupported, "Request objects are not taken: send the parameters.")
	case mux.One(params, "request_uri") != "":
		return fault.New(fault.RequestURINotSupported, "Request objects are not fetched: send the parameters.")
	case mux.One(params, "registration") != "":
		return fault.New(fault.RegistrationUnsupported, "Clients do not register in a request: they are configured.")
	case len(mux.One(params, "state")) > maxState:
		return fault.New(fault.InvalidRequest, "state is too long.")
	case len(req.nonce) > maxNonce:
		return fault.New(fault.InvalidRequest, "nonce is too long.")
	case mux.One(params, "response_type") == "":
		return fault.New(fault.InvalidRequest, "response_type is missing.")
	case mux.One(params, "response_type") != "code":
		return fault.New(fault.UnsupportedResponseType, "response_type must be code.")
	case !slices.Contains([]string{"", modeQuery, modeFormPost}, mux.One(params, "response_mode")):
		return fault.New(fault.InvalidRequest, "response_mode must be query or form_post.")
	case mux.One(params, "response_mode") == modeFormPost && !req.formPost:
		return fault.New(fault.InvalidRequest, "A form cannot be posted to this redirect_uri.")
	case !req.client.HasGrant(pool.GrantCode):
		return fault.New(fault.UnauthorizedClient, "The client may not use the authorization code grant.")
	}
	return nil
}

// readChallenge wants PKCE with S256 (RFC 7636 4.3), from all but
// confidential clients that are excused.
func readChallenge(req *request, params url.Values) error {
	challenge, method := mux.One(params, "code_challenge"), mux.One(params, "code_challenge_method")
	switch {
	case challenge == "" && method == "" && req.client.PKCEOptional && req.client.Confidential():
		return nil
	case challenge == "":
		return fault.New(fault.InvalidRequest, "code_challenge is missing.")
	case method != "S256":
		return fault.New(fault.InvalidRequest, "code_challenge_method must be S256.")
	case !isChallenge(challenge):
		return fault.New(fault.InvalidRequest, "code_challenge must be 43 characters of base64url.")
	}
	req.challenge = challenge
	return nil
}

// isChallenge reports whether s can be a SHA-256 in base64url.
func isChallenge(s string) bool {
	sum, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return err == nil && len(sum) == sha256.Size && len(s) == 43
}

func readPrompt(req *request, params url.Values) error {
	req.prompts = strings.Fields(mux.One(params, "prompt"))
	for _, value := range req.prompts {
		if !slices.Contains(promptValues(), value) {
			return fault.New(fault.InvalidRequest, "prompt must be of: "+strings.Join(promptValues(), " ")+".")
		}
	}
	if req.wants(promptNone) && len(req.prompts) > 1 {
		return fault.New(fault.InvalidRequest, "prompt=none must stand alone.")
	}
	if s := mux.One(params, "max_age"); s != "" {
		seconds, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return fault.New(fault.InvalidRequest, "max_age must be a number of seconds.")
		}
		req.maxAge = time.Duration(seconds) * time.Second
	}
	req.loginHint = mux.One(params, "login_hint")
	return nil
}

// promptValues are the prompts that are known here.
func promptValues() []string {
	return []string{promptNone, promptLogin, promptConsent, promptSelect}
}

// readOurs reads what our own pages add to the request. A page may have added
// to what another added before: the last word counts.
func readOurs(req *request, params url.Values) error {
	req.account = last(params[flow.ParamAccount])
	if s := last(params[flow.ParamFresh]); s != "" {
		millis, err := strconv.ParseInt(s, 10, 64)
		if err != nil || millis <= 0 {
			return fault.New(fault.InvalidRequest, flow.ParamFresh+" is damaged.")
		}
		req.fresh = millis
	}
	return nil
}

func last(values []string) string {
	if len(values) == 0 {
		return ""
	}
	return values[len(values)-1]
}

// readTarget settles scopes and resources. A gate's own client asks for
// neither: it gets a session, not tokens.
func (e *endpoints) readTarget(req *request, params url.Values) error {
	if req.client.Site {
		return nil
	}
	asked, err := pool.ParseScope(mux.One(params, "scope"))
	if err != nil {
		return err
	}
	scopes, err := grantable(req.client, asked)
	if err != nil {
		return err
	}
	target, err := pool.ResolveTarget(e.site.Pool, req.client, scopes, params["resource"])
	if err != nil {
		return err
	}
	req.scopes, req.resources = target.Granted, target.Resources
	return nil
}

// grantable cuts what was asked for to what the client may have (RFC 6749
// 3.3); the token response tells what was granted. Nothing stays nothing: the
// defaults are pool.ResolveTarget's.
func grantable(c *pool.Client, asked []string) ([]string, error) {
	if len(asked) == 0 {
		return nil, nil
	}
	granted := slices.DeleteFunc(slices.Clone(asked), func(s string) bool { return !slices.Contains(c.Scopes, s) })
	if len(granted) == 0 {
		return nil, fault.New(fault.InvalidScope, "The client may have none of these scopes.")
	}
	return granted, nil
}

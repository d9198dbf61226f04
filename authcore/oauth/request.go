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
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
)

// Limits of an authorization request, in bytes.
const (
	maxState = 1 << 10
	maxNonce = 512
)

// Values of prompt (OIDC Core 3.1.2.1). Consent is not asked of a pool's own
// clients, so that "consent" changes nothing.
const (
	promptNone    = "none"
	promptLogin   = "login"
	promptConsent = "consent"
	promptSelect  = "select_account"
)

// request is an authorization request. client, redirect and state are set
// before anything else, for they decide where errors go.
type request struct {
	client   *pool.Client
	redirect string // where answers go
	state    string

	challenge string
	nonce     string
	scopes    []string
	resources []string
	prompt    string        // promptNone, promptLogin or empty
	maxAge    time.Duration // -1: not limited
	fresh     int64         // Unix milliseconds; 0: no sign-in was asked for
	subject   pool.UserID   // whom id_token_hint names
}

// recipient finds out who asks and where answers go. Its errors must never be
// redirected (RFC 6749 4.1.2.1).
func (e *endpoints) recipient(params url.Values) (*request, error) {
	client, ok := e.site.Pool.Clients[pool.ClientID(mux.One(params, "client_id"))]
	if !ok || client.Disabled {
		return nil, fault.New(fault.InvalidClient, "The application is not known here.")
	}
	req := &request{client: client, redirect: mux.One(params, "redirect_uri"), maxAge: -1}
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
	return req, nil
}

// read judges everything else; its errors go to the client.
func (e *endpoints) read(ctx context.Context, req *request, params url.Values) error {
	for _, step := range []func(*request, url.Values) error{
		readForm, readChallenge, readPrompt, e.readTarget,
	} {
		if err := step(req, params); err != nil {
			return err
		}
	}
	var err error
	if hint := mux.One(params, "id_token_hint"); hint != "" {
		req.subject, err = e.hinted(ctx, req.client, hint)
	}
	return err
}

func readForm(req *request, params url.Values) error {
	req.nonce = mux.One(params, "nonce")
	switch {
	case mux.One(params, "request") != "":
		return fault.New(fault.RequestNotSupported, "")
	case mux.One(params, "request_uri") != "":
		return fault.New(fault.RequestURINotSupported, "")
	case len(mux.One(params, "state")) > maxState:
		return fault.New(fault.InvalidRequest, "state is too long.")
	case len(req.nonce) > maxNonce:
		return fault.New(fault.InvalidRequest, "nonce is too long.")
	case mux.One(params, "response_type") == "":
		return fault.New(fault.InvalidRequest, "response_type is missing.")
	case mux.One(params, "response_type") != "code":
		return fault.New(fault.UnsupportedResponseType, "response_type must be code.")
	case mux.One(params, "response_mode") != "" && mux.One(params, "response_mode") != "query":
		return fault.New(fault.InvalidRequest, "response_mode must be query.")
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
	values := strings.Fields(mux.One(params, "prompt"))
	for _, value := range values {
		switch value {
		case promptNone:
			if len(values) > 1 {
				return fault.New(fault.InvalidRequest, "prompt=none must stand alone.")
			}
			req.prompt = promptNone
		case promptLogin, promptSelect:
			req.prompt = promptLogin
		case promptConsent:
		default:
			return fault.New(fault.InvalidRequest, "prompt is not one that is known here.")
		}
	}
	if s := mux.One(params, "max_age"); s != "" {
		seconds, err := strconv.ParseUint(s, 10, 31)
		if err != nil {
			return fault.New(fault.InvalidRequest, "max_age must be a number of seconds.")
		}
		req.maxAge = time.Duration(seconds) * time.Second
	}
	if s := mux.One(params, flow.ParamFresh); s != "" {
		millis, err := strconv.ParseInt(s, 10, 64)
		if err != nil || millis <= 0 {
			return fault.New(fault.InvalidRequest, flow.ParamFresh+" is damaged.")
		}
		req.fresh = millis
	}
	return nil
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

// wantsFresh reports whether the client may want a new sign-in although there
// is a session.
func (req *request) wantsFresh() bool {
	return req.prompt == promptLogin || req.maxAge >= 0 || req.subject != ""
}

// isFresh reports whether a session was begun because the client wanted a new
// sign-in.
func (req *request) isFresh(live *session.Live) bool {
	return req.fresh > 0 && live.Session.AuthTime.UnixMilli() >= req.fresh
}

// satisfied reports whether a session is recent enough, and of the right user.
func (req *request) satisfied(live *session.Live, now time.Time) bool {
	fresh := req.isFresh(live)
	switch {
	case req.subject != "" && req.subject != live.User.Sub:
		return false
	case req.prompt == promptLogin && !fresh:
		return false
	case req.maxAge >= 0 && now.Sub(live.Session.AuthTime) > req.maxAge && !fresh:
		return false
	}
	return true
}

// hintedSub reads an ID token of ours.
func hintedSub(set *jose.Set, issuer string, client pool.ClientID, hint string) (pool.UserID, error) {
	wrong := fault.New(fault.InvalidRequest, "id_token_hint is not an ID token of this client.")
	verified, err := set.Verify(hint)
	if err != nil {
		return "", wrong
	}
	var claims struct {
		Issuer   string        `json:"iss"`
		Sub      pool.UserID   `json:"sub"`
		Audience jose.Audience `json:"aud"`
		Use      string        `json:"token_use"`
	}
	if jose.Decode(verified.Payload, &claims) != nil || verified.Type != "jwt" || claims.Use != "id" ||
		claims.Issuer != issuer || claims.Sub == "" || !slices.Contains(claims.Audience, string(client)) {
		return "", wrong
	}
	return claims.Sub, nil
}

package oauth

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// document is the metadata of RFC 8414 2 and OpenID Connect Discovery 3. It
// holds what is on and nothing else.
type document struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	RevocationEndpoint    string   `json:"revocation_endpoint"`
	IntrospectionEndpoint string   `json:"introspection_endpoint"`
	EndSessionEndpoint    string   `json:"end_session_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	ScopesSupported       []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	RevocationAuth        []string `json:"revocation_endpoint_auth_methods_supported"`
	IntrospectionAuth     []string `json:"introspection_endpoint_auth_methods_supported"`
	IntrospectionAlgs     []string `json:"introspection_signing_alg_values_supported"` // RFC 9701 7
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	ACRValues             []string `json:"acr_values_supported"`
	ClaimsSupported       []string `json:"claims_supported"`
	PromptValues          []string `json:"prompt_values_supported"`
	UILocales             []string `json:"ui_locales_supported,omitempty"`
	ResponseIss           bool     `json:"authorization_response_iss_parameter_supported"` // RFC 9207 3
	ClaimsParameter       bool     `json:"claims_parameter_supported"`
	RequestParameter      bool     `json:"request_parameter_supported"`
	RequestURIParameter   bool     `json:"request_uri_parameter_supported"` // absent would mean true
}

// metadata returns the handler of the metadata, which is the same under all
// its addresses and does not change while a configuration lives.
func (e *endpoints) metadata() mux.Handler {
	body, err := json.Marshal(e.document())
	return func(w http.ResponseWriter, _ *http.Request) error {
		if err != nil {
			return err
		}
		mux.WriteRawJSON(w, http.StatusOK, body)
		return nil
	}
}

func (e *endpoints) document() document {
	secrets := []string{pool.AuthBasic, pool.AuthPost}
	return document{
		Issuer:                e.site.Pool.Issuer,
		AuthorizationEndpoint: e.url(authorizePath),
		TokenEndpoint:         e.url(tokenPath),
		UserInfoEndpoint:      e.url(userInfoPath),
		RevocationEndpoint:    e.url(revokePath),
		IntrospectionEndpoint: e.url(introspectPath),
		EndSessionEndpoint:    e.url(logoutPath),
		JWKSURI:               e.url(jwksPath),
		ScopesSupported:       scopesOf(e.site.Pool),
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{modeQuery, modeFormPost},
		GrantTypes:            []string{pool.GrantCode, pool.GrantRefresh, pool.GrantClient},
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           algsOf(e.site.Pool, string(e.site.Pool.Token.IDAlg)),
		TokenAuthMethods:      append(secrets, pool.AuthNone),
		RevocationAuth:        append(secrets, pool.AuthNone),
		IntrospectionAuth:     secrets,
		IntrospectionAlgs:     algsOf(e.site.Pool),
		ChallengeMethods:      []string{"S256"},
		ACRValues:             reachable(),
		ClaimsSupported: append([]string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash", "sid",
			"cognito:username", "cognito:groups"}, token.UserClaimNames()...),
		PromptValues:    promptValues(),
		UILocales:       e.config.Locales,
		ResponseIss:     true,
		ClaimsParameter: true,
	}
}

// scopesOf lists the OpenID Connect scopes, and those that the pool's
// resources declare.
func scopesOf(p *pool.Pool) []string {
	var declared []string
	for _, r := range p.Resources {
		declared = append(declared, r.Scopes...)
	}
	slices.Sort(declared)
	return append(pool.OIDCScopes(), slices.Compact(declared)...)
}

// algsOf lists RS256, which is always there (OIDC Discovery 3), what is usual
// besides, and what clients ask for.
func algsOf(p *pool.Pool, usual ...string) []string {
	algs := append([]string{"RS256"}, usual...)
	for _, c := range p.Clients {
		algs = append(algs, string(c.IDAlg))
	}
	slices.Sort(algs)
	return slices.DeleteFunc(slices.Compact(algs), func(a string) bool { return a == "" })
}

// keys returns the handler of a key set.
func (e *endpoints) keys(use pool.KeyUse) mux.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		jwks, err := e.config.JWKS(r.Context(), e.site.Pool.ID, use)
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "The keys cannot be read at the moment.")
		}
		mux.WriteRawJSON(w, http.StatusOK, jwks)
		return nil
	}
}

package oauth

import (
	"encoding/json"
	"net/http"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// document is the metadata of RFC 8414 2 and OpenID Connect Discovery 3. It
// holds what is on and nothing else.
type document struct {
	Issuer                string   `json:"issuer"`
	AuthorizationEndpoint string   `json:"authorization_endpoint"`
	TokenEndpoint         string   `json:"token_endpoint"`
	UserInfoEndpoint      string   `json:"userinfo_endpoint"`
	JWKSURI               string   `json:"jwks_uri"`
	ScopesSupported       []string `json:"scopes_supported"`
	ResponseTypes         []string `json:"response_types_supported"`
	ResponseModes         []string `json:"response_modes_supported"`
	GrantTypes            []string `json:"grant_types_supported"`
	SubjectTypes          []string `json:"subject_types_supported"`
	IDTokenAlgs           []string `json:"id_token_signing_alg_values_supported"`
	TokenAuthMethods      []string `json:"token_endpoint_auth_methods_supported"`
	ChallengeMethods      []string `json:"code_challenge_methods_supported"`
	ACRValues             []string `json:"acr_values_supported"`
	ClaimsSupported       []string `json:"claims_supported"`
	PromptValues          []string `json:"prompt_values_supported"`
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
	return document{
		Issuer:                e.site.Pool.Issuer,
		AuthorizationEndpoint: e.url(authorizePath),
		TokenEndpoint:         e.url(tokenPath),
		UserInfoEndpoint:      e.url(userInfoPath),
		JWKSURI:               e.url(jwksPath),
		ScopesSupported:       scopesOf(e.site.Pool),
		ResponseTypes:         []string{"code"},
		ResponseModes:         []string{"query"},
		GrantTypes:            []string{pool.GrantCode, pool.GrantRefresh, pool.GrantClient},
		SubjectTypes:          []string{"public"},
		IDTokenAlgs:           idAlgsOf(e.site.Pool),
		TokenAuthMethods:      []string{pool.AuthBasic, pool.AuthPost, pool.AuthNone},
		ChallengeMethods:      []string{"S256"},
		ACRValues:             []string{pool.AAL1},
		ClaimsSupported: []string{"iss", "sub", "aud", "exp", "iat", "auth_time", "nonce", "acr", "amr", "at_hash",
			"name", "preferred_username", "updated_at", "email", "email_verified", "phone_number", "phone_number_verified",
			"cognito:username", "cognito:groups"},
		PromptValues: []string{promptNone, promptLogin, promptConsent, promptSelect},
		ResponseIss:  true,
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

// idAlgsOf lists what ID tokens are or may be signed with; RS256 is always
// there, because a client may ask for it (OIDC Discovery 3 demands it).
func idAlgsOf(p *pool.Pool) []string {
	algs := []string{string(jose.RS256), string(p.Token.IDAlg)}
	for _, c := range p.Clients {
		algs = append(algs, string(c.IDAlg))
	}
	slices.Sort(algs)
	algs = slices.DeleteFunc(slices.Compact(algs), func(a string) bool { return a == "" })
	return algs
}

// keys returns the handler of a key set.
func (e *endpoints) keys(use pool.KeyUse) mux.Handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		set, err := e.config.Keys.Set(r.Context(), e.site.Pool.ID, use)
		if err != nil {
			return fault.Wrap(fault.Unavailable, err, "The keys cannot be read at the moment.")
		}
		mux.WriteRawJSON(w, http.StatusOK, set.JWKS())
		return nil
	}
}

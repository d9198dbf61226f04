package oauth

import (
	"net/http"
	"net/url"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

const (
	revokePath     = "/oauth2/revoke"
	introspectPath = "/oauth2/introspect"
)

// mountTokens registers the endpoints that give, use, end and explain tokens.
// Scripts of clients may call all but introspection, which is for APIs.
func (e *endpoints) mountTokens(m *mux.Mux) {
	m.Cross("POST "+tokenPath, e.knownOrigin, e.token)
	m.Cross("GET "+userInfoPath, e.knownOrigin, e.userInfo)
	m.Cross("POST "+userInfoPath, e.knownOrigin, e.userInfo)
	m.Cross("POST "+revokePath, e.knownOrigin, e.revoke)
	m.API("POST "+introspectPath, e.introspect)
}

// revoke is the revocation endpoint (RFC 7009). A token that is not known, or
// has ended anyway, is revoked as far as its client is concerned.
func (e *endpoints) revoke(w http.ResponseWriter, r *http.Request) error {
	form, err := tokenForm(r)
	if err != nil {
		return err
	}
	e.shareWithNamed(w, r, form)
	client, err := e.authenticate(r, form)
	if err != nil {
		return err
	}
	raw, err := theToken(form)
	if err != nil {
		return err
	}
	if err := e.config.Tokens.Revoke(r.Context(), e.site.Pool, client, raw); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

// theToken is what a request is about. token_type_hint may be wrong (RFC 7009
// 2.1, RFC 7662 2.1): what a token is, we see from it.
func theToken(form url.Values) (string, error) {
	if raw := form.Get("token"); raw != "" {
		return raw, nil
	}
	return "", fault.New(fault.InvalidRequest, "token is missing.")
}

package oauth

import (
	"mime"
	"net/http"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// userInfo answers claims about the user of an access token (OIDC Core 5.3).
func (e *endpoints) userInfo(w http.ResponseWriter, r *http.Request) error {
	access, err := e.accessOf(r)
	if err != nil {
		e.shareRefusal(w, r)
		return err
	}
	shareWith(w, r, e.site.Pool.Client(access.Client))
	event := mux.EventOf(r.Context())
	event.Client, event.User = string(access.Client), access.Sub
	if !slices.Contains(access.Audience, e.site.Pool.Issuer) {
		return fault.New(fault.InvalidToken, "The token is for another resource.")
	}
	scopes := strings.Fields(access.Scope)
	if access.Machine() || !slices.Contains(scopes, pool.ScopeOpenID) {
		w.Header().Set("WWW-Authenticate", `Bearer error="insufficient_scope", scope="openid"`)
		return fault.New(fault.InsufficientScope, "The scope openid is needed.")
	}
	user, err := e.userOf(r, access)
	if err != nil {
		return err
	}
	asked, err := e.config.Tokens.InfoClaims(r.Context(), e.site.Pool, access)
	if err != nil {
		return err
	}
	claims := token.ClaimsOf(user, scopes, asked...)
	claims["sub"] = user.Sub
	mux.WriteJSON(w, http.StatusOK, claims)
	return nil
}

// accessOf returns the access token that a request comes with.
func (e *endpoints) accessOf(r *http.Request) (*token.Access, error) {
	raw, err := bearerToken(r)
	if err != nil {
		return nil, err
	}
	return e.config.Tokens.VerifyAccess(r.Context(), e.site.Pool, raw)
}

// userOf returns the user of a token as of now; fault.InvalidToken if there
// is none any more, or if the token's epoch is over.
func (e *endpoints) userOf(r *http.Request, access *token.Access) (*pool.User, error) {
	user, err := e.config.Users.User(r.Context(), e.site.Pool.ID, pool.UserID(access.Sub))
	switch {
	case fault.CodeOf(err) == fault.NotFound:
		return nil, fault.Wrap(fault.InvalidToken, err, "The user is gone.")
	case err != nil:
		return nil, err
	case !user.Stands(access.Epoch):
		return nil, fault.New(fault.InvalidToken, "The token is revoked.")
	}
	return user, nil
}

// bearerToken reads the token from the header, or from the body of a form
// (OIDC Core 5.3.1 by way of RFC 6750 2.2); never from the query.
func bearerToken(r *http.Request) (string, error) {
	var found []string
	for _, header := range r.Header["Authorization"] {
		scheme, value, _ := strings.Cut(header, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", mux.ErrNoToken
		}
		found = append(found, strings.TrimSpace(value))
	}
	if media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && media == "application/x-www-form-urlencoded" {
		form, err := mux.BodyForm(r)
		if err != nil {
			return "", err
		}
		found = append(found, form["access_token"]...)
	}
	switch {
	case len(found) > 1:
		return "", fault.New(fault.InvalidRequest, "The token is sent in more than one way.")
	case len(found) == 0 || found[0] == "":
		return "", mux.ErrNoToken
	}
	return found[0], nil
}

package oauth

import (
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/oauth/grant"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// tokenResponse is RFC 6749 5.1; scope is always told.
type tokenResponse struct {
	AccessToken  string `json:"access_token"`
	TokenType    string `json:"token_type"`
	ExpiresIn    int64  `json:"expires_in"`
	Scope        string `json:"scope"`
	RefreshToken string `json:"refresh_token,omitempty"`
	IDToken      string `json:"id_token,omitempty"`
}

// token is the token endpoint (RFC 6749 3.2). It owns the security steps; a
// grant only says what to issue.
func (e *endpoints) token(w http.ResponseWriter, r *http.Request) error {
	event := mux.EventOf(r.Context())
	form, err := tokenForm(r)
	if err != nil {
		return err
	}
	e.shareWithNamed(w, r, form)
	g, known := e.grants[form.Get("grant_type")]
	switch {
	case form.Get("grant_type") == "":
		return fault.New(fault.InvalidRequest, "grant_type is missing.")
	case !known:
		return fault.New(fault.UnsupportedGrantType, "There is no such grant type here: the metadata lists those that there are.")
	}
	event.Grant = form.Get("grant_type")
	client, err := e.authenticate(r, form)
	if err != nil {
		return err
	}
	if !client.HasGrant(event.Grant) {
		return fault.New(fault.UnauthorizedClient, "The client may not use this grant type.")
	}
	issued, err := g.Issue(r.Context(), grant.Request{Pool: e.site.Pool, Client: client, Form: form})
	if err != nil {
		return err
	}
	event.User = string(issued.Sub)
	mux.WriteJSON(w, http.StatusOK, responseOf(issued))
	return nil
}

func responseOf(i *token.Issued) tokenResponse {
	return tokenResponse{
		AccessToken: i.Access, TokenType: "Bearer", ExpiresIn: int64(i.Life / time.Second),
		Scope: strings.Join(i.Scopes, " "), RefreshToken: i.Refresh, IDToken: i.ID,
	}
}

// tokenForm reads the body. A query is refused: what belongs here must not
// stand in addresses, which are logged.
func tokenForm(r *http.Request) (url.Values, error) {
	if r.URL.RawQuery != "" {
		return nil, fault.New(fault.InvalidRequest, "Parameters belong in the body.")
	}
	return mux.Form(r, "resource", "audience")
}

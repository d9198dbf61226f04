package oauth

import (
	"encoding/json"
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// maxClaims is the longest claims parameter that is read, in bytes.
const maxClaims = 4 << 10

// claimsRequest is the claims parameter (OIDC Core 5.5). Members and claims
// that are not known here are ignored.
type claimsRequest struct {
	UserInfo map[string]*claimWish `json:"userinfo"`
	IDToken  map[string]*claimWish `json:"id_token"`
}

// claimWish is how one claim is asked for (OIDC Core 5.5.1); null in the
// parameter, and nil here, is the plain wish.
type claimWish struct {
	Essential bool  `json:"essential"`
	Value     any   `json:"value"`
	Values    []any `json:"values"`
}

// accepts reports whether a value is one of those that are asked for; if none
// is named, all are.
func (w *claimWish) accepts(value string) bool {
	if w == nil || w.Value == nil && w.Values == nil {
		return true
	}
	return w.Value == value || slices.Contains(w.Values, any(value))
}

// readClaims settles which claims are asked for by name, and judges the two
// that say something of the sign-in: sub and acr.
func readClaims(req *request, params url.Values) error {
	text := mux.One(params, "claims")
	if text == "" {
		return nil
	}
	if len(text) > maxClaims {
		return fault.New(fault.InvalidRequest, "claims is too long.")
	}
	var asked *claimsRequest
	if err := json.Unmarshal([]byte(text), &asked); err != nil || asked == nil {
		return fault.Wrap(fault.InvalidRequest, err, "claims is not the JSON of OpenID Connect Core 5.5.")
	}
	for _, wishes := range []map[string]*claimWish{asked.IDToken, asked.UserInfo} {
		if acr := wishes["acr"]; acr != nil && acr.Essential && !slices.ContainsFunc(reachable(), acr.accepts) {
			return fault.New(fault.UnmetAuthentication, "None of the essential acr values can be reached here.")
		}
		if err := req.wantSubject(wishes["sub"]); err != nil {
			return err
		}
	}
	if !slices.Contains(req.scopes, pool.ScopeOpenID) {
		return nil // nothing is issued that could hold a claim
	}
	req.idClaims, req.infoClaims = req.claimNames(asked.IDToken), req.claimNames(asked.UserInfo)
	return nil
}

// reachable are the assurance levels that a sign-in can have in this build.
func reachable() []string { return []string{pool.AAL1} }

// wantSubject notes that only one user will do.
func (req *request) wantSubject(wish *claimWish) error {
	if wish == nil || wish.Value == nil {
		return nil
	}
	sub, ok := wish.Value.(string)
	switch {
	case !ok || sub == "":
		return fault.New(fault.InvalidRequest, "The value of sub in claims must be a string.")
	case req.claimed != "" && req.claimed != pool.UserID(sub):
		return fault.New(fault.InvalidRequest, "claims asks for two values of sub.")
	}
	req.claimed = pool.UserID(sub)
	return nil
}

// claimNames are the names of the claims about a user that are asked for and
// known, sorted. Asking by name opens no more than asking by scope: what
// belongs to a scope that the client may not have is left out.
func (req *request) claimNames(wishes map[string]*claimWish) []string {
	var names []string
	for name := range wishes {
		if scope := token.ScopeOfClaim(name); scope != "" && slices.Contains(req.client.Scopes, scope) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

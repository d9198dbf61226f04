package oauth

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

// introspectionType is the media type of a signed answer (RFC 9701 4).
const introspectionType = "application/token-introspection+jwt"

// introspect is the introspection endpoint (RFC 7662), for clients with a
// secret. An API is registered as one, with itself among its resources.
func (e *endpoints) introspect(w http.ResponseWriter, r *http.Request) error {
	form, err := tokenForm(r)
	if err != nil {
		return err
	}
	client, err := e.authenticate(r, form)
	if err != nil {
		return err
	}
	if !client.Confidential() {
		return errClient
	}
	raw, err := theToken(form)
	if err != nil {
		return err
	}
	answer, err := e.config.Tokens.Introspect(r.Context(), e.site.Pool, client, raw)
	if err != nil {
		return err
	}
	w.Header().Add("Vary", "Accept")
	if !accepts(r, introspectionType) {
		mux.WriteJSON(w, http.StatusOK, answer)
		return nil
	}
	signed, err := e.config.Tokens.SignIntrospection(r.Context(), e.site.Pool, client, answer)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", introspectionType)
	w.Header().Set("Content-Length", strconv.Itoa(len(signed)))
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write([]byte(signed)) // the client is gone: nobody to tell
	return nil
}

// accepts reports whether a media type is named in Accept (RFC 9110 12.5.1)
// and not refused there.
func accepts(r *http.Request, want string) bool {
	for part := range strings.SplitSeq(strings.Join(r.Header["Accept"], ","), ",") {
		media, params, err := mime.ParseMediaType(part)
		if err != nil || media != want {
			continue
		}
		q, weighted := params["q"]
		weight, err := strconv.ParseFloat(q, 64)
		return !weighted || err == nil && weight > 0
	}
	return false
}

package oauth

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// knownOrigin reports whether scripts of an origin belong to some client:
// preflights do not say to which.
func (e *endpoints) knownOrigin(origin string) bool {
	for _, c := range e.site.Pool.Clients {
		if isOriginOf(c, origin) {
			return true
		}
	}
	return false
}

// shareWithNamed lets the script that asks read the answer if it is one of the
// client's that the request names, truly or not: to others it is a refusal.
func (e *endpoints) shareWithNamed(w http.ResponseWriter, r *http.Request, form url.Values) {
	if cred, err := credentialsOf(r, form); err == nil {
		shareWith(w, r, e.site.Pool.Client(pool.ClientID(cred.id)))
	}
}

// shareWith lets the script that asks read the answer if it is one of the
// client's; not for nil.
func shareWith(w http.ResponseWriter, r *http.Request, c *pool.Client) {
	if isOriginOf(c, mux.OriginOf(r)) {
		mux.AllowOrigin(w, r)
	}
}

// shareRefusal lets the script that asks read an answer that tells it nothing
// but that its token is none: whose script it is cannot be known.
func (e *endpoints) shareRefusal(w http.ResponseWriter, r *http.Request) {
	if e.knownOrigin(mux.OriginOf(r)) {
		mux.AllowOrigin(w, r)
	}
}

func isOriginOf(c *pool.Client, origin string) bool {
	return c != nil && !c.Disabled && origin != "" && slices.Contains(c.Origins, origin)
}

package oauth

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// errClient is the one answer to every client that is not who it says: an
// unknown one, a wrong secret, a method it is not registered for, a disabled one.
var errClient = fault.New(fault.InvalidClient, "The client could not be authenticated.")

// credentials are what a request says about its client.
type credentials struct {
	method string // pool.AuthNone, …
	id     string
	secret string
}

// newDecoy returns the client that stands in for unknown ones, so that they
// take as long as a wrong secret.
func newDecoy() *pool.Client {
	return &pool.Client{ID: "unknown", Secrets: []pool.ClientSecret{
		{ID: "1", Value: secret.Hide(secret.Token(32))},
		{ID: "2", Value: secret.Hide(secret.Token(32))},
	}}
}

// authenticate returns the client of a request (RFC 6749 2.3): exactly one
// method, and one that the client is registered for.
func (e *endpoints) authenticate(r *http.Request, form url.Values) (*pool.Client, error) {
	cred, err := credentialsOf(r, form)
	if err != nil {
		return nil, err
	}
	client := e.site.Pool.Client(pool.ClientID(cred.id))
	known := client != nil
	if !known {
		client = e.decoy
	}
	proven := cred.method == pool.AuthNone && !client.Confidential()
	if cred.method != pool.AuthNone {
		_, proven = client.Authenticate(cred.secret)
	}
	if !known || !proven || client.Disabled || client.Site || !client.AcceptsAuth(cred.method) {
		return nil, errClient
	}
	mux.EventOf(r.Context()).Client = string(client.ID)
	return client, nil
}

// credentialsOf reads the credentials of a request; fault.InvalidRequest if
// there is more than one method, fault.InvalidClient if they are damaged, of
// a method that this build does not have, or absent.
func credentialsOf(r *http.Request, form url.Values) (credentials, error) {
	headers := r.Header["Authorization"]
	post, assertion := form.Get("client_secret") != "", form.Get("client_assertion") != "" || form.Get("client_assertion_type") != ""
	methods := len(headers)
	for _, used := range []bool{post, assertion} {
		if used {
			methods++
		}
	}
	if methods > 1 {
		return credentials{}, fault.New(fault.InvalidRequest, "A request may use one method of client authentication.")
	}
	id := form.Get("client_id")
	switch {
	case assertion:
		return credentials{}, errClient
	case len(headers) == 1:
		return basicCredentials(headers[0], id)
	case id == "":
		return credentials{}, errClient
	case post:
		return credentials{pool.AuthPost, id, form.Get("client_secret")}, nil
	}
	return credentials{method: pool.AuthNone, id: id}, nil
}

// basicCredentials reads HTTP Basic, whose halves are form-encoded (RFC 6749
// 2.3.1). A client_id in the body must be the same.
func basicCredentials(header, bodyID string) (credentials, error) {
	scheme, rest, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Basic") {
		return credentials{}, errClient
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return credentials{}, errClient
	}
	user, password, ok := strings.Cut(string(raw), ":")
	id, idErr := url.QueryUnescape(user)
	value, secretErr := url.QueryUnescape(password)
	if !ok || idErr != nil || secretErr != nil || id == "" || value == "" {
		return credentials{}, errClient
	}
	if bodyID != "" && bodyID != id {
		return credentials{}, fault.New(fault.InvalidRequest, "The request names two clients.")
	}
	return credentials{pool.AuthBasic, id, value}, nil
}

package admin

import (
	"net/http"
	"reflect"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// operation is one thing that can be done. Routes and the OpenAPI document
// are made of the table of them.
type operation struct {
	method, path string // of the socket; the login host has it below /admin
	id, summary  string
	query        []parameter
	in, out      reflect.Type // nil: none
	open         bool         // the OpenAPI document: nobody is asked who they are
	do           func(*API, *call) (any, error)
}

// parameter is a parameter in the query.
type parameter struct{ name, kind, doc string }

// as makes a verb of a method that takes its input typed.
func as[T any](verb func(*API, *call, *T) (any, error)) (reflect.Type, func(*API, *call) (any, error)) {
	return reflect.TypeFor[T](), func(a *API, c *call) (any, error) { return verb(a, c, c.in.(*T)) }
}

// get is an operation that reads.
func get[Out any](path, id, summary string, do func(*API, *call) (any, error), query ...parameter) operation {
	return operation{method: http.MethodGet, path: inPool + path, id: id, summary: summary, query: query, out: reflect.TypeFor[Out](), do: do}
}

// post is an operation that changes.
func post[In, Out any](path, id, summary string, verb func(*API, *call, *In) (any, error)) operation {
	in, do := as(verb)
	return operation{method: http.MethodPost, path: inPool + path, id: id, summary: summary, in: in, out: reflect.TypeFor[Out](), do: do}
}

const (
	inPool       = "/v1/pools/{pool}"
	documentPath = "/v1/openapi.json"
)

// operations is all that there is.
func operations() []operation {
	paging := []parameter{
		{"after", "string", "The member next of the page before"},
		{"limit", "integer", "At most so many users, from 1 to 200; 60 if absent"},
	}
	filter := parameter{"filter", "string", `Who: attribute = "value" or attribute ^= "beginning", as in Cognito's ListUsers; the attribute is one of ` + strings.Join(pool.FilterAttributes(), ", ")}
	return []operation{
		{method: http.MethodGet, path: documentPath, id: "getDocument", summary: "This document", open: true},

		get[Users]("/users", "listUsers", "Lists users, page by page, in a stable order; with a filter, a page may be short, or empty, before the last", (*API).listUsers, append(paging, filter)...),
		post[NewUser, User]("/users", "addUser", "Adds a user; without a password the answer has a one-time link to set one", (*API).addUser),
		get[User]("/users/{user}", "showUser", "Shows a user, by e-mail address, phone number, user name or sub", (*API).showUser),
		post[UserChange, User]("/users/{user}", "changeUser", "Changes what the body names, all of it or nothing", (*API).changeUser),
		post[Password, User]("/users/{user}/password", "setPassword", "Sets a password; all sessions and tokens of the user end", (*API).setPassword),
		post[nothing, User]("/users/{user}/disable", "disableUser", "Ends everything a user has and lets nothing new begin", (*API).disableUser),
		post[nothing, User]("/users/{user}/enable", "enableUser", "Reverses disable; what was ended stays ended", (*API).enableUser),
		post[nothing, Deleted]("/users/{user}/delete", "deleteUser", "Deletes a user for good; the sub is never used again", (*API).deleteUser),
		post[nothing, Link]("/users/{user}/invite", "inviteUser", "Makes a one-time link with which the user sets a password", (*API).inviteUser),

		get[Sessions]("/users/{user}/sessions", "listSessions", "Lists the browsers in which a user is signed in, latest first", (*API).listSessions),
		post[EndSession, Ended]("/users/{user}/sessions/end", "endSession", "Ends one session, and with it its sites and tokens", (*API).endSession),
		post[nothing, User]("/users/{user}/sessions/end-all", "endSessions", "Ends all sessions and tokens of a user", (*API).endSessions),
		get[Consents]("/users/{user}/consents", "listConsents", "Lists what a user lets clients have", (*API).listConsents),
		post[Withdraw, Consents]("/users/{user}/consents/withdraw", "withdrawConsent", "Forgets what a user lets a client have, and answers with what is left", (*API).withdraw),

		get[Groups]("/groups", "listGroups", "Lists the groups that the configuration declares", (*API).listGroups),
		get[Users]("/groups/{group}/members", "listMembers", "Lists members, page by page; a page may be short, or empty, before the last", (*API).listMembers, paging...),
		post[Member, User]("/groups/{group}/add", "addMember", "Makes a user a member", (*API).addMember),
		post[Member, User]("/groups/{group}/remove", "removeMember", "Ends a membership; gates learn of it at once", (*API).removeMember),

		get[Clients]("/clients", "listClients", "Lists the clients of the configuration, and those of gated sites", (*API).listClients),
		get[Client]("/clients/{client}", "showClient", "Shows a client", (*API).showClient),
		post[map[string]any, Client]("/clients", "addClient", "Always refused with 409: clients stand in the Caddyfile", (*API).editClient),
		post[map[string]any, Client]("/clients/{client}", "changeClient", "Always refused with 409: clients stand in the Caddyfile", (*API).editClient),

		get[Keys]("/keys", "listKeys", "Lists the signing keys that are published", (*API).listKeys),
		post[Rotate, Keys]("/keys/rotate", "rotateKeys", "Publishes new signing keys, which take over once verifiers have seen them", (*API).rotateKeys),
		post[DropKey, Keys]("/keys/drop", "dropKey", "Takes a key away that somebody else may know: whatever it has signed is refused, and a new one signs in its place at once", (*API).dropKey),
	}
}

// read decodes the input of an operation.
func (op *operation) read(w http.ResponseWriter, r *http.Request) (any, error) {
	if op.in == nil {
		return nil, nil
	}
	in := reflect.New(op.in).Interface()
	return in, decode(http.MaxBytesReader(w, r.Body, mux.MaxBody), in)
}

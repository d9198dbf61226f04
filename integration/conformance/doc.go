// Package conformance holds the built binary to the OpenID Foundation's
// certification profiles Basic OP, Config OP, Form Post OP and RP-Initiated
// Logout OP: for every module of their test plans a story of the same name
// shows the demanded behaviour, on each embedded store, with an issuer that is
// an origin and one with a path.
//
// It is a relying party that believes nothing: ID tokens are verified by
// go-oidc against the published keys, and every answer is looked at as it
// stands on the wire.
//
// Where the suite lets a provider choose, Gatehouse has chosen: request
// objects, by value or by reference, are refused by name; no ID token is
// unsigned; clients send PKCE unless they are confidential and excused, as
// those of these plans are; errors go to the client as soon as it is known,
// and a logout that is not proven asks the person first.
package conformance

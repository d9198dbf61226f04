// Package conformance holds the built binary to the OpenID Foundation's
// certification profiles Basic OP, Config OP, Form Post OP and RP-Initiated
// Logout OP: for every module of their test plans a story of the same name
// shows the demanded behaviour, on every store that needs nothing but a disk.
//
// It is a relying party that believes nothing: ID tokens are verified by
// go-oidc against the published keys, and every answer is looked at as it
// stands on the wire.
package conformance

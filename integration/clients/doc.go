// Package clients lets OAuth and OpenID Connect clients that others wrote
// complete their flows against the built binary, unmodified: coreos/go-oidc
// with x/oauth2 in Go, openid-client and oauth4webapi in JavaScript. The
// person's step on the sign-in page is done by plain form posts.
package clients

// Package clients lets OAuth and OpenID Connect clients that others wrote
// complete their flows against the built binary, unmodified: coreos/go-oidc
// with x/oauth2 and zitadel/oidc in Go, openid-client and oauth4webapi in
// JavaScript, where plain form posts do the person's step on the sign-in page;
// and oidc-client-ts in the single-page app of examples/spa, in Chromium.
package clients

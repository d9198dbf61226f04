package clients

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/clientcredentials"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// TestGoOIDC takes the whole way with coreos/go-oidc and x/oauth2, in every
// style of client authentication that they know.
func TestGoOIDC(t *testing.T) {
	everywhere(t, func(t *testing.T, w *world) {
		provider, err := oidc.NewProvider(t.Context(), w.issuer)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range []struct {
			name, id, secret string
			style            oauth2.AuthStyle
			scopes           []string
		}{
			{"basic", "shop", secret, oauth2.AuthStyleInHeader, []string{oidc.ScopeOfflineAccess, "orders.read"}},
			{"the second secret", "shop", secretTwo, oauth2.AuthStyleInHeader, []string{"orders.read", "orders.write"}},
			{"a style found out by trying", "shop", secret, oauth2.AuthStyleAutoDetect, []string{"orders.read"}},
			{"post", "shop-post", secret, oauth2.AuthStyleInParams, []string{"orders.read"}},
			{"public", "phone", "", oauth2.AuthStyleInParams, []string{"orders.read"}},
		} {
			t.Run(c.name, func(t *testing.T) {
				endpoint := provider.Endpoint()
				endpoint.AuthStyle = c.style
				w.signIn(t, provider, oauth2.Config{
					ClientID: c.id, ClientSecret: c.secret, Endpoint: endpoint, RedirectURL: redirect,
					Scopes: append([]string{oidc.ScopeOpenID, "profile", "email"}, c.scopes...),
				})
				w.opened(t, c.id, c.id)
			})
		}
		t.Run("machine", func(t *testing.T) {
			c := clientcredentials.Config{ClientID: "batch", ClientSecret: secret, TokenURL: provider.Endpoint().TokenURL, Scopes: []string{"orders.read"}}
			w.call(t, c.Client(t.Context()))
			w.opened(t, "batch")
		})
		t.Run("machine for one of two resources", func(t *testing.T) { w.resources(t, provider.Endpoint().TokenURL) })
	})
}

// resources is a machine that names the API that its token is for (RFC 8707).
func (w *world) resources(t *testing.T, tokenURL string) {
	c := clientcredentials.Config{
		ClientID: "batch", ClientSecret: secret, TokenURL: tokenURL, EndpointParams: url.Values{"resource": {w.api}},
	}
	token, err := c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if scope := token.Extra("scope"); scope != "orders.read" {
		t.Errorf("the scopes %v of a token for %s", scope, w.api)
	}
	w.call(t, oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(token)))
	w.opened(t, "batch")

	c.EndpointParams = url.Values{"resource": {"https://stock.example.com"}}
	token, err = c.Token(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if res, _ := harness.Call(t, http.MethodGet, w.api, token.AccessToken); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("a token for another API opens this one: %d", res.StatusCode)
	}
	w.opened(t)

	c.EndpointParams = url.Values{"resource": {"https://nobody.example.com"}}
	var refused *oauth2.RetrieveError
	if _, err := c.Token(t.Context()); !errors.As(err, &refused) || refused.ErrorCode != "invalid_target" {
		t.Errorf("for a resource that is none: %v", err)
	}
}

// signIn is code + PKCE with state and nonce, the API, userinfo, and refresh.
func (w *world) signIn(t *testing.T, provider *oidc.Provider, c oauth2.Config) {
	t.Helper()
	verifier, nonce := oauth2.GenerateVerifier(), oauth2.GenerateVerifier()
	state := oauth2.GenerateVerifier()
	callback, err := url.Parse(visit(t, c.AuthCodeURL(state, oauth2.S256ChallengeOption(verifier), oidc.Nonce(nonce))))
	if err != nil {
		t.Fatal(err)
	}
	if q := callback.Query(); q.Get("state") != state || q.Get("iss") != w.issuer {
		t.Fatalf("the response at %s", callback)
	}
	token, err := c.Exchange(t.Context(), callback.Query().Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	sub := w.identify(t, provider, c.ClientID, token, nonce)
	w.call(t, c.Client(t.Context(), token))

	// A source that remembers its token refreshes what has expired, once.
	expired := *token
	expired.Expiry = time.Now().Add(-time.Minute)
	source := c.TokenSource(t.Context(), &expired)
	next, err := source.Token()
	if err != nil {
		t.Fatal(err)
	}
	if next.AccessToken == token.AccessToken || next.RefreshToken == token.RefreshToken || !next.Expiry.After(time.Now()) {
		t.Error("a refresh that changed nothing")
	}
	if same, err := source.Token(); err != nil || same.AccessToken != next.AccessToken {
		t.Errorf("the source asks again for what is good: %v", err)
	}
	if again := w.identify(t, provider, c.ClientID, next, ""); again != sub {
		t.Errorf("sub %s, after a refresh %s", sub, again)
	}
	w.call(t, oauth2.NewClient(t.Context(), source))
}

// identify verifies the ID token and asks userinfo, and returns the sub.
func (w *world) identify(t *testing.T, provider *oidc.Provider, clientID string, token *oauth2.Token, nonce string) string {
	t.Helper()
	raw, _ := token.Extra("id_token").(string)
	id, err := provider.Verifier(&oidc.Config{ClientID: clientID}).Verify(t.Context(), raw)
	if err != nil {
		t.Fatalf("ID token: %v", err)
	}
	if nonce != "" && id.Nonce != nonce {
		t.Errorf("nonce %q, want %q", id.Nonce, nonce)
	}
	if err := id.VerifyAccessToken(token.AccessToken); err != nil {
		t.Errorf("at_hash: %v", err)
	}
	info, err := provider.UserInfo(t.Context(), oauth2.StaticTokenSource(token))
	if err != nil {
		t.Fatalf("userinfo: %v", err)
	}
	var claims struct {
		Name string `json:"name"`
	}
	if err := info.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	if info.Subject != id.Subject || claims.Name != "Zoë Example" || info.Email != person {
		t.Errorf("userinfo says %s, %q, %q; the ID token %s", info.Subject, claims.Name, info.Email, id.Subject)
	}
	return id.Subject
}

// call opens the API.
func (w *world) call(t *testing.T, client *http.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, w.api+"/orders", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("the API answers %d, %s", res.StatusCode, res.Header.Get("WWW-Authenticate"))
	}
}

// TestGoOIDCAcrossRotation holds that a verifier that was made before a
// rotation of keys still verifies what is issued after it.
func TestGoOIDCAcrossRotation(t *testing.T) {
	w := start(t, places[0])
	provider, err := oidc.NewProvider(t.Context(), w.issuer)
	if err != nil {
		t.Fatal(err)
	}
	c := oauth2.Config{ClientID: "phone", Endpoint: provider.Endpoint(), RedirectURL: redirect, Scopes: []string{oidc.ScopeOpenID, "profile", "email", "orders.read"}}
	w.signIn(t, provider, c)
	before := harness.Provider{Base: w.issuer}.Machine(t, harness.Client{ID: "batch", Secret: secret}, "orders.read")
	w.server.CLI("key", "rotate", "--now")
	w.signIn(t, provider, c)
	if res, _ := harness.Call(t, http.MethodGet, w.api, before); res.StatusCode != http.StatusOK {
		t.Errorf("a token from before the rotation: %d", res.StatusCode)
	}
}

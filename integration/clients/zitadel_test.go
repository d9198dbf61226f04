package clients

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/zitadel/oidc/v3/pkg/client/rp"
	"github.com/zitadel/oidc/v3/pkg/client/rs"
	httphelper "github.com/zitadel/oidc/v3/pkg/http"
	"github.com/zitadel/oidc/v3/pkg/oidc"
	"golang.org/x/oauth2"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// tokens is what a party gets.
type tokens = oidc.Tokens[*oidc.IDTokenClaims]

// TestZitadelOIDC takes the whole way with zitadel/oidc: a web site made of its
// handlers, then refresh, introspection, revocation and sign-out.
func TestZitadelOIDC(t *testing.T) {
	for i, c := range []struct {
		name, id, secret string
		style            oauth2.AuthStyle
	}{
		{"default", "shop", secret, oauth2.AuthStyleAutoDetect},
		{"basic", "shop", secret, oauth2.AuthStyleInHeader},
		{"post", "shop", secretTwo, oauth2.AuthStyleInParams},
		{"public", "phone", "", oauth2.AuthStyleInParams},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := start(t, places[i%len(places)])
			party := w.party(t, c.id, c.secret, c.style)
			b := harness.NewBrowser(t)
			first := w.welcome(t, b, party)
			w.callWith(t, first.AccessToken)
			next := w.refresh(t, party, first)
			w.callWith(t, next.AccessToken)
			w.opened(t, c.id, c.id)
			w.introspect(t, c.id, first, next)
			w.revoke(t, party, next)
			w.signOut(t, b, party, next)
		})
	}
}

// party discovers the provider as zitadel/oidc's relying party.
func (w *world) party(t *testing.T, id, secret string, style oauth2.AuthStyle) rp.RelyingParty {
	t.Helper()
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	cookies := httphelper.NewCookieHandler(key, key, httphelper.WithUnsecure())
	party, err := rp.NewRelyingPartyOIDC(t.Context(), w.issuer, id, secret, w.site.URL+"/callback", []string{"openid", "profile", "email", "orders.read"},
		rp.WithPKCEFromDiscovery(cookies), rp.WithAuthStyle(style), rp.WithSigningAlgsFromDiscovery())
	if err != nil {
		t.Fatal(err)
	}
	if !party.IsPKCE() {
		t.Error("discovery does not tell of PKCE")
	}
	return party
}

// welcome makes a web site of the library's handlers, which sign in with PKCE and
// ask userinfo, and lets the person sign in to it.
func (w *world) welcome(t *testing.T, b *harness.Browser, party rp.RelyingParty) *tokens {
	t.Helper()
	var got *tokens
	greet := func(out http.ResponseWriter, _ *http.Request, all *tokens, _ string, _ rp.RelyingParty, info *oidc.UserInfo) {
		got = all
		fmt.Fprintf(out, "Hello, %s of %s", info.Name, info.Email)
	}
	w.pages.Handle("/login", rp.AuthURLHandler(oauth2.GenerateVerifier, party))
	w.pages.Handle("/callback", rp.CodeExchangeHandler(rp.UserinfoCallback(greet), party))
	b.Get(w.site.URL + "/login")
	b.SignIn(person, password)
	if b.Status != http.StatusOK || b.Body != "Hello, Zoë Example of "+person || got == nil {
		t.Fatalf("%d at %s\n%s", b.Status, b.URL, b.Body)
	}
	if got.IDTokenClaims.Name != "Zoë Example" || got.IDTokenClaims.AccessTokenHash == "" || got.RefreshToken == "" {
		t.Errorf("tokens %+v with %+v", got.Token, got.IDTokenClaims)
	}
	return got
}

func (w *world) callWith(t *testing.T, token string) {
	t.Helper()
	w.call(t, oauth2.NewClient(t.Context(), oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})))
}

func (w *world) refresh(t *testing.T, party rp.RelyingParty, old *tokens) *tokens {
	t.Helper()
	next, err := rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, old.RefreshToken, "", "")
	if err != nil {
		t.Fatal(err)
	}
	if next.AccessToken == old.AccessToken || next.RefreshToken == old.RefreshToken || next.IDTokenClaims == nil {
		t.Fatal("a refresh that changed nothing")
	}
	sub := next.IDTokenClaims.Subject
	if sub != old.IDTokenClaims.Subject {
		t.Errorf("sub %s, after a refresh %s", old.IDTokenClaims.Subject, sub)
	}
	if info, err := rp.Userinfo[*oidc.UserInfo](t.Context(), next.AccessToken, next.TokenType, sub, party); err != nil || info.Email != person {
		t.Errorf("userinfo after a refresh: %+v, %v", info, err)
	}
	return next
}

// introspect lets the API ask about tokens, as a resource server of the library.
func (w *world) introspect(t *testing.T, client string, all ...*tokens) {
	t.Helper()
	for _, one := range all {
		answer := w.ask(t, "orders-api", secret, one.AccessToken)
		if !answer.Active || answer.Subject != one.IDTokenClaims.Subject || answer.ClientID != client || answer.TokenType != "Bearer" ||
			!slices.Contains(answer.Scope, "orders.read") || !slices.Contains(answer.Audience, w.api) || answer.Issuer != w.issuer {
			t.Errorf("introspection: %+v", answer)
		}
		if answer := w.ask(t, "orders-api", secret, one.RefreshToken); answer.Active {
			t.Errorf("an API is told of a refresh token: %+v", answer)
		}
	}
	server := w.resourceServer(t, "orders-api", "not its secret at all")
	var refused *oidc.Error
	if _, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), server, all[0].AccessToken); !errors.As(err, &refused) || refused.ErrorType != oidc.InvalidClient {
		t.Errorf("with a wrong secret: %v", err)
	}
}

func (w *world) resourceServer(t *testing.T, id, secret string) rs.ResourceServer {
	t.Helper()
	server, err := rs.NewResourceServerClientCredentials(t.Context(), w.issuer, id, secret)
	if err != nil {
		t.Fatal(err)
	}
	return server
}

func (w *world) ask(t *testing.T, id, secret, token string) *oidc.IntrospectionResponse {
	t.Helper()
	answer, err := rs.Introspect[*oidc.IntrospectionResponse](t.Context(), w.resourceServer(t, id, secret), token)
	if err != nil {
		t.Fatal(err)
	}
	return answer
}

// revoke takes the refresh token back, and what it gave.
func (w *world) revoke(t *testing.T, party rp.RelyingParty, all *tokens) {
	t.Helper()
	if err := rp.RevokeToken(t.Context(), party, all.RefreshToken, "refresh_token"); err != nil {
		t.Fatal(err)
	}
	var refused *oidc.Error
	if _, err := rp.RefreshTokens[*oidc.IDTokenClaims](t.Context(), party, all.RefreshToken, "", ""); !errors.As(err, &refused) || refused.ErrorType != oidc.InvalidGrant {
		t.Errorf("a refresh with a revoked token: %v", err)
	}
	if answer := w.ask(t, "orders-api", secret, all.AccessToken); answer.Active {
		t.Errorf("the access token of a revoked refresh token: %+v", answer)
	}
	if err := rp.RevokeToken(t.Context(), party, "a token of nobody", "access_token"); err != nil {
		t.Errorf("an unknown token: %v", err)
	}
}

// signOut asks the provider, as the library does by itself, where to send the
// browser, which is signed out there and comes back.
func (w *world) signOut(t *testing.T, b *harness.Browser, party rp.RelyingParty, all *tokens) {
	t.Helper()
	w.pages.HandleFunc("/logout", func(out http.ResponseWriter, r *http.Request) {
		to, err := rp.EndSession(r.Context(), party, all.IDToken, w.site.URL+"/", "state-of-the-site", "", nil)
		if err != nil || to == nil {
			http.Error(out, fmt.Sprintf("end of the session: %v, %v", to, err), http.StatusInternalServerError)
			return
		}
		http.Redirect(out, r, to.String(), http.StatusSeeOther)
	})
	w.pages.HandleFunc("/{$}", func(out http.ResponseWriter, _ *http.Request) { fmt.Fprint(out, "Goodbye") })
	b.Get(w.site.URL + "/logout")
	if b.Body != "Goodbye" || b.URL.Query().Get("state") != "state-of-the-site" {
		t.Fatalf("signing out ends with %d at %s\n%s", b.Status, b.URL, b.Body)
	}
	b.Get(w.site.URL + "/login")
	if !strings.HasSuffix(b.URL.Path, "/login") || !strings.HasPrefix(b.URL.String(), w.issuer) {
		t.Errorf("after signing out the person is let in: %d at %s", b.Status, b.URL)
	}
}

// TestZitadelOIDCMachine is client_credentials with the library's relying party.
func TestZitadelOIDCMachine(t *testing.T) {
	w := start(t, places[1])
	machine, err := rp.NewRelyingPartyOIDC(t.Context(), w.issuer, "batch", secret, "", []string{"orders.read"}, rp.WithAuthStyle(oauth2.AuthStyleInHeader))
	if err != nil {
		t.Fatal(err)
	}
	token, err := rp.ClientCredentials(t.Context(), machine, nil)
	if err != nil {
		t.Fatal(err)
	}
	w.callWith(t, token.AccessToken)
	w.opened(t, "batch")
	if answer := w.ask(t, "batch", secret, token.AccessToken); !answer.Active || answer.ClientID != "batch" || !slices.Equal(answer.Scope, []string{"orders.read"}) {
		t.Errorf("introspection by the client itself: %+v", answer)
	}
	if answer := w.ask(t, "shop", secret, "a token of nobody"); answer.Active {
		t.Errorf("a token of nobody: %+v", answer)
	}
	if err := rp.RevokeToken(t.Context(), machine, token.AccessToken, "access_token"); err != nil {
		t.Fatal(err)
	}
	if answer := w.ask(t, "orders-api", secret, token.AccessToken); answer.Active {
		t.Errorf("after its revocation: %+v", answer)
	}
}

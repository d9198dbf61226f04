package conformance

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/oauth2"
)

// basicModules show the Basic OP plan, and by form_post the Form Post OP plan.
func basicModules() modules {
	all := modules{
		"oidcc-server":                server,
		"oidcc-response-type-missing": responseTypeMissing,
		"oidcc-idtoken-signature":     idTokenSignature,
		"oidcc-idtoken-unsigned":      idTokenUnsigned,
		"oidcc-userinfo-get":          userinfoGet,
		"oidcc-userinfo-post-header":  userinfoPostHeader,
		"oidcc-userinfo-post-body":    userinfoPostBody,

		"oidcc-ensure-request-without-nonce-succeeds-for-code-flow": func(p *party) { p.passes(p.request("nonce", "")) },
		"oidcc-display-page":  func(p *party) { p.passes(p.request("display", "page")) },
		"oidcc-display-popup": func(p *party) { p.passes(p.request("display", "popup")) },
		"oidcc-ensure-request-with-unknown-parameter-succeeds": func(p *party) { p.passes(p.request("extra", "foobar")) },
		"oidcc-claims-locales":                                 func(p *party) { p.passes(p.request("claims_locales", "se")) },

		"oidcc-ensure-registered-redirect-uri":                                         registeredRedirectURI,
		"oidcc-ensure-post-request-succeeds":                                           postRequest,
		"oidcc-server-client-secret-post":                                              clientSecretPost,
		"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported":    requestURI,
		"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": requestObject,
		"oidcc-ensure-request-object-with-redirect-uri":                                requestObjectWithRedirectURI,
		"oidcc-refresh-token":                                                          refreshToken,
		"oidcc-ensure-request-with-valid-pkce-succeeds":                                pkce,
		"oidcc-codereuse":           codeReuse,
		"oidcc-codereuse-30seconds": codeReuseLater,
	}
	maps.Copy(all, scopeModules())
	maps.Copy(all, personModules())
	return all
}

// server is the code flow with HTTP Basic; somebody else's secret buys nothing.
func server(p *party) {
	q := p.request()
	p.open(q)
	p.signIn(ann)
	code := p.code(q)
	thief := p.client
	thief.Secret = rpPost.Secret
	a, err := call(p.w, thief, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {thief.Redirect}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.failed(a, http.StatusUnauthorized, "invalid_client")
	if !strings.HasPrefix(a.Header.Get("WWW-Authenticate"), "Basic ") {
		p.t.Errorf("WWW-Authenticate %q", a.Header.Get("WWW-Authenticate"))
	}
	p.failed(p.redeem(q, code, "redirect_uri", p.client.Redirect+"/other"), http.StatusBadRequest, "invalid_grant")
	t := p.given(p.redeem(q, code), q.Get("nonce"))
	p.userinfo(t)
	if t.Scope != "openid" {
		p.t.Errorf("scope %q", t.Scope)
	}
}

// responseTypeMissing is answered to the client: who asks is known.
func responseTypeMissing(p *party) {
	q := p.request("response_type", "")
	p.open(q)
	p.refused(q, "invalid_request")
}

// idTokenSignature: RS256 with a published key that the header names, and a
// token with one bit changed is none.
func idTokenSignature(p *party) {
	t := p.passes(p.request())
	header := p.decode(t.ID, 0)
	if kid, _ := header["kid"].(string); header["alg"] != "RS256" || !slices.Contains(p.keyIDs(), kid) {
		p.t.Errorf("the header is %v, the keys are %q", header, p.keyIDs())
	}
	if id, err := p.w.oidc.VerifierContext(p.t.Context(), oidcConfig()).Verify(p.t.Context(), damaged(t.ID)); err == nil {
		p.t.Errorf("a damaged token was verified: %v", id)
	}
}

// idTokenUnsigned: the suite has a client register for unsigned tokens, where
// that is offered. Here it is not, neither in the metadata nor to operators.
func idTokenUnsigned(p *party) {
	if algs := p.metadata()["id_token_signing_alg_values_supported"]; slices.Contains(list(algs), "none") {
		p.t.Errorf("offered are %v", algs)
	}
	path := filepath.Join(p.t.TempDir(), "Caddyfile")
	unsigned := strings.Replace(p.w.server.Expand(p.w.config), "client rp {", "client rp {\n\t\t\tid_signing_alg none", 1)
	if err := os.WriteFile(path, []byte(unsigned), 0o600); err != nil {
		p.t.Fatal(err)
	}
	if _, stderr, err := p.w.server.Exec(nil, "adapt", "--adapter", "caddyfile", "--validate", "--config", path); err == nil || !strings.Contains(stderr, "none") {
		p.t.Errorf("a client with unsigned ID tokens: %v, %s", err, stderr)
	}
	if header := p.decode(p.passes(p.request()).ID, 0); header["alg"] != "RS256" {
		p.t.Errorf("the header is %v", header)
	}
}

func userinfoGet(p *party) {
	t := p.passes(p.request())
	status, header, _ := p.ask(http.MethodGet, "", nil)
	if challenge := header.Get("WWW-Authenticate"); status != http.StatusUnauthorized || challenge != "Bearer" {
		p.t.Errorf("without a token: %d, %s", status, challenge)
	}
	status, header, _ = p.ask(http.MethodGet, t.ID, nil)
	if status != http.StatusUnauthorized || !strings.Contains(header.Get("WWW-Authenticate"), `error="invalid_token"`) {
		p.t.Errorf("with an ID token: %d, %s", status, header.Get("WWW-Authenticate"))
	}
}

func userinfoPostHeader(p *party) {
	t := p.passes(p.request())
	if status, _, claims := p.ask(http.MethodPost, t.Access, nil); status != http.StatusOK || claims["sub"] != t.id.Subject {
		p.t.Errorf("userinfo answers %d %v", status, claims)
	}
}

func userinfoPostBody(p *party) {
	t := p.passes(p.request())
	body := url.Values{"access_token": {t.Access}}
	if status, _, claims := p.ask(http.MethodPost, "", body); status != http.StatusOK || claims["sub"] != t.id.Subject {
		p.t.Errorf("userinfo answers %d %v", status, claims)
	}
	if status, _, claims := p.ask(http.MethodPost, t.Access, body); status != http.StatusBadRequest || claims["error"] != "invalid_request" {
		p.t.Errorf("a token in both places: %d %v", status, claims)
	}
}

// registeredRedirectURI: an address that is not registered is never gone to,
// neither by who must sign in nor by who has.
func registeredRedirectURI(p *party) {
	foreign := p.request("redirect_uri", p.client.Redirect+"/foo")
	p.open(foreign)
	p.stays(http.StatusBadRequest)
	p.passes(p.request())
	p.open(foreign)
	p.stays(http.StatusBadRequest)
	p.open(p.request("redirect_uri", ""))
	p.stays(http.StatusBadRequest)
}

// postRequest sends the request as a form of the client's page.
func postRequest(p *party) {
	var err error
	if p.b.URL, err = url.Parse("https://rp.example.com/sign-in"); err != nil {
		p.t.Fatal(err)
	}
	q := p.request()
	if err := p.b.Navigate(http.MethodPost, p.w.oidc.Endpoint().AuthURL, q); err != nil {
		p.t.Fatal(err)
	}
	p.signIn(ann)
	p.goesOn(q)
}

// clientSecretPost: a client has one way to authenticate, the registered one
// (RFC 6749 2.3).
func clientSecretPost(p *party) {
	p.client = rpPost
	q := p.request()
	p.open(q)
	p.signIn(ann)
	code := p.code(q)
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {rpPost.Redirect}}
	basic, err := p.w.host.Token(rpPost, form)
	if err != nil {
		p.t.Fatal(err)
	}
	p.failed(basic, http.StatusUnauthorized, "invalid_client")
	p.userinfo(p.given(p.redeem(q, code), q.Get("nonce")))
}

// requestURI and requestObject: DESIGN has neither, the metadata says so, and
// so does the answer (OIDC Core 3.1.2.6).
func requestURI(p *party) {
	q := p.request("request_uri", "https://rp.example.com/request.jwt")
	p.open(q)
	p.refused(q, "request_uri_not_supported")
	if p.metadata()["request_uri_parameter_supported"] != false {
		p.t.Error("request_uri_parameter_supported is not false")
	}
}

func requestObject(p *party) {
	q := p.request()
	q.Set("request", unsigned(p.t, asClaims(q)))
	p.open(q)
	p.refused(q, "request_not_supported")
	if p.metadata()["request_parameter_supported"] != false {
		p.t.Error("request_parameter_supported is not false")
	}
}

// requestObjectWithRedirectURI: what a request object says of where to go
// counts for nothing, and does not make a foreign address a registered one.
func requestObjectWithRedirectURI(p *party) {
	q := p.request()
	inside := asClaims(q)
	q.Set("request", unsigned(p.t, inside))
	foreign := url.Values(maps.Clone(q))
	foreign["redirect_uri"] = []string{p.client.Redirect + "/foo"}
	p.open(foreign)
	p.stays(http.StatusBadRequest)
	inside["redirect_uri"] = "http://127.0.0.1:1/elsewhere"
	q.Set("request", unsigned(p.t, inside))
	p.open(q)
	p.refused(q, "request_not_supported")
}

// refreshToken: OIDC Core 12.2, and a refresh token is its client's alone.
func refreshToken(p *party) {
	if !slices.Contains(list(p.metadata()["grant_types_supported"]), "refresh_token") {
		p.t.Error("refresh_token is not in grant_types_supported")
	}
	first := p.passes(p.request())
	if first.Refresh == "" || strings.IndexFunc(first.Refresh, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		p.t.Fatalf("the refresh token is %q", first.Refresh)
	}
	stolen, err := call(p.w, rpPost, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}})
	if err != nil {
		p.t.Fatal(err)
	}
	p.failed(stolen, http.StatusBadRequest, "invalid_grant")
	second := p.given(p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {first.Refresh}}), "")
	p.userinfo(second)
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr", "sid"} {
		if first.claims[name] != second.claims[name] {
			p.t.Errorf("%s was %v, after the refresh %v", name, first.claims[name], second.claims[name])
		}
	}
	if second.Access == first.Access || second.ID == first.ID || second.id.IssuedAt.Before(first.id.IssuedAt) {
		p.t.Error("the refresh gave nothing new")
	}
	wider := p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {second.Refresh}, "scope": {"openid email"}})
	p.failed(wider, http.StatusBadRequest, "invalid_scope")

	other := newParty(p.t, p.w, p.mode)
	other.client = rpPost
	form := url.Values{"grant_type": {"refresh_token"}, "refresh_token": {other.passes(other.request()).Refresh}}
	p.failed(p.token(form), http.StatusBadRequest, "invalid_grant")
	other.userinfo(other.given(other.token(form), ""))
}

// pkce: DESIGN 7: even where no challenge is needed, one that was sent needs
// its verifier, and a verifier needs a challenge (RFC 9700 4.8.2).
func pkce(p *party) {
	verifier := oauth2.GenerateVerifier()
	sum := sha256.Sum256([]byte(verifier))
	q := p.request("code_challenge", base64.RawURLEncoding.EncodeToString(sum[:]), "code_challenge_method", "S256")
	p.open(q)
	p.signIn(ann)
	code := p.code(q)
	p.failed(p.redeem(q, code), http.StatusBadRequest, "invalid_grant")
	p.failed(p.redeem(q, code, "code_verifier", oauth2.GenerateVerifier()), http.StatusBadRequest, "invalid_grant")
	p.userinfo(p.given(p.redeem(q, code, "code_verifier", verifier), q.Get("nonce")))

	bare := p.request()
	p.open(bare)
	p.failed(p.redeem(bare, p.code(bare), "code_verifier", verifier), http.StatusBadRequest, "invalid_grant")
	plain := p.request("code_challenge", verifier, "code_challenge_method", "plain")
	p.open(plain)
	p.refused(plain, "invalid_request")
}

// unsigned makes a JWT of alg none.
func unsigned(t interface{ Fatal(...any) }, claims map[string]any) string {
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	encode := base64.RawURLEncoding.EncodeToString
	return encode([]byte(`{"alg":"none"}`)) + "." + encode(payload) + "."
}

// asClaims are the parameters of a request as a request object has them.
func asClaims(q url.Values) map[string]any {
	claims := map[string]any{}
	for name := range q {
		claims[name] = q.Get(name)
	}
	return claims
}

// decode reads one part of a JWT without verifying it.
func (p *party) decode(jwt string, part int) map[string]any {
	p.t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		p.t.Fatalf("not a JWT: %q", jwt)
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[part])
	if err != nil {
		p.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(raw, &out); err != nil {
		p.t.Fatal(err)
	}
	return out
}

// damaged changes one bit of a JWT's signature.
func damaged(jwt string) string {
	cut := strings.LastIndex(jwt, ".") + 1
	signature, err := base64.RawURLEncoding.DecodeString(jwt[cut:])
	if err != nil || len(signature) == 0 {
		panic(fmt.Sprintf("not a signed JWT: %q", jwt))
	}
	signature[len(signature)/2] ^= 1
	return jwt[:cut] + base64.RawURLEncoding.EncodeToString(signature)
}

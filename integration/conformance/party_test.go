package conformance

import (
	"crypto/rand"
	"encoding/json"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const formPost = "form_post"

// party is a relying party in the middle of one module, and the browser of the
// person in front of it.
type party struct {
	t      *testing.T
	w      *world
	client harness.Client
	mode   string // response_mode; empty: not sent
	b      *harness.Browser
}

func newParty(t *testing.T, w *world, mode string) *party {
	t.Helper()
	return &party{t: t, w: w, client: rp, mode: mode, b: harness.NewBrowser(t)}
}

// request is an authorization request as the suite's clients send it, with
// further parameters; an empty value takes one away.
func (p *party) request(pairs ...string) url.Values {
	q := url.Values{
		"response_type": {"code"}, "client_id": {p.client.ID}, "redirect_uri": {p.client.Redirect},
		"scope": {"openid"}, "state": {rand.Text()}, "nonce": {rand.Text()},
	}
	if p.mode != "" {
		q.Set("response_mode", p.mode)
	}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			q.Del(pairs[i])
		}
	}
	return q
}

// open goes to the authorization endpoint.
func (p *party) open(q url.Values) {
	p.t.Helper()
	p.b.Get(p.w.oidc.Endpoint().AuthURL + "?" + q.Encode())
}

// asked reports whether the person is asked to sign in.
func (p *party) asked() bool {
	return p.b.Status == http.StatusOK && strings.HasPrefix(p.b.URL.String(), p.w.host.Base+"/login?") && strings.Contains(p.b.Body, `name="password"`)
}

// signIn answers the sign-in page, which must be there.
func (p *party) signIn(who string) {
	p.t.Helper()
	if !p.asked() {
		p.t.Fatalf("not asked to sign in: %d at %s\n%s", p.b.Status, p.b.URL, p.b.Body)
	}
	p.b.SignIn(who, password)
}

// answer reads the authorization response, whose state and iss must be right
// (RFC 6749 4.1.2, RFC 9207 2.4).
func (p *party) answer(q url.Values) url.Values {
	p.t.Helper()
	got := p.b.URL.Query()
	if q.Get("response_mode") == formPost {
		got = p.posted(q.Get("redirect_uri"))
	} else if before, _, _ := strings.Cut(p.b.URL.String(), "?"); before != q.Get("redirect_uri") || p.b.URL.Fragment != "" {
		p.t.Fatalf("not back at the client: %d at %s\n%s", p.b.Status, p.b.URL, p.b.Body)
	}
	for name, values := range got {
		if len(values) != 1 {
			p.t.Errorf("%s in the response: %q", name, values)
		}
	}
	if got.Get("state") != q.Get("state") || got.Get("iss") != p.w.host.Base {
		p.t.Errorf("state %q, iss %q in the response, want %q and %q", got.Get("state"), got.Get("iss"), q.Get("state"), p.w.host.Base)
	}
	return got
}

// posted reads the page that posts the response (OAuth 2.0 Form Post Response
// Mode 1.0, 2): one form, to the redirect URI, and hidden fields alone.
func (p *party) posted(redirect string) url.Values {
	p.t.Helper()
	media, _, _ := mime.ParseMediaType(p.b.Header.Get("Content-Type"))
	if p.b.Status != http.StatusOK || media != "text/html" || p.b.Header.Get("Cache-Control") != "no-store" {
		p.t.Fatalf("no form post: %d %s, Cache-Control %q at %s\n%s", p.b.Status, media, p.b.Header.Get("Cache-Control"), p.b.URL, p.b.Body)
	}
	doc, err := html.Parse(strings.NewReader(p.b.Body))
	if err != nil {
		p.t.Fatal(err)
	}
	for _, hop := range p.b.Hops {
		if u, err := url.Parse(hop); err != nil || u.Query().Has("code") || u.Query().Has("error") || u.Port() == "1" {
			p.t.Errorf("by way of %s, %v", hop, err)
		}
	}
	forms, got := 0, url.Values{}
	for n := range doc.Descendants() {
		attr := map[string]string{}
		for _, a := range n.Attr {
			attr[a.Key] = a.Val
		}
		switch {
		case n.Type != html.ElementNode:
		case n.Data == "form":
			if forms++; attr["action"] != redirect || !strings.EqualFold(attr["method"], http.MethodPost) || attr["enctype"] != "" {
				p.t.Errorf("the form: method %q, action %q, enctype %q", attr["method"], attr["action"], attr["enctype"])
			}
		case n.Data == "input":
			if attr["type"] != "hidden" {
				p.t.Errorf("a field of the form: %v", attr)
			}
			got.Add(attr["name"], attr["value"])
		}
	}
	if forms != 1 {
		p.t.Errorf("%d forms:\n%s", forms, p.b.Body)
	}
	if p.b.Submit(nil); p.b.URL.String() != redirect {
		p.t.Errorf("the form went to %s", p.b.URL)
	}
	return got
}

// refused reads an authorization response that must be an error, and nothing
// but one.
func (p *party) refused(q url.Values, code string) {
	p.t.Helper()
	got := p.answer(q)
	if got.Get("error") != code || got.Has("code") || !helps(got.Get("error_description")) {
		p.t.Errorf("the response is %v, want %s", got, code)
	}
}

// helps reports whether an error_description is there, in the characters of
// RFC 6749 5.2.
func helps(description string) bool {
	return description != "" && strings.IndexFunc(description, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' }) < 0
}

// code reads an authorization response that must be a code, and nothing else.
func (p *party) code(q url.Values) string {
	p.t.Helper()
	got := p.answer(q)
	for name := range got {
		if !slices.Contains([]string{"code", "state", "iss"}, name) {
			p.t.Errorf("the response has %s=%s", name, got.Get(name))
		}
	}
	if len(got.Get("code")) < 22 { // 128 bits (RFC 6749 10.10)
		p.t.Fatalf("the response is %v", got)
	}
	return got.Get("code")
}

// redeem exchanges a code in the client's own way to authenticate.
func (p *party) redeem(q url.Values, code string, pairs ...string) *harness.Answer {
	p.t.Helper()
	form := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {q.Get("redirect_uri")}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	return p.token(form)
}

func (p *party) token(form url.Values) *harness.Answer {
	p.t.Helper()
	a, err := call(p.w, p.client, form)
	if err != nil {
		p.t.Fatal(err)
	}
	return a
}

// call sends a token request of a client: rp uses HTTP Basic, rp-post the body.
func call(w *world, c harness.Client, form url.Values) (*harness.Answer, error) {
	if c.ID == rpPost.ID {
		form.Set("client_secret", c.Secret)
		c.Secret = ""
	}
	return w.host.Token(c, form)
}

// failed checks an error of the token endpoint (RFC 6749 5.2).
func (p *party) failed(a *harness.Answer, status int, code string) {
	p.t.Helper()
	media, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if a.Status != status || a.Error != code || media != "application/json" || a.Header.Get("Cache-Control") != "no-store" || !helps(a.Text) {
		p.t.Errorf("the token endpoint answers %d %s %s, Cache-Control %q, want %d %s", a.Status, media, a.Raw, a.Header.Get("Cache-Control"), status, code)
	}
}

// tokens is what a client was given.
type tokens struct {
	*harness.Answer
	id     *oidc.IDToken
	claims map[string]any // of the ID token
}

func (t *tokens) authTime() int64 {
	seconds, _ := t.claims["auth_time"].(float64)
	return int64(seconds)
}

// given checks a good answer of the token endpoint (OIDC Core 3.1.3.3).
func (p *party) given(a *harness.Answer, nonce string) *tokens {
	p.t.Helper()
	media, _, _ := mime.ParseMediaType(a.Header.Get("Content-Type"))
	if a.Status != http.StatusOK || media != "application/json" || a.Header.Get("Cache-Control") != "no-store" {
		p.t.Fatalf("the token endpoint answers %d %s %s, Cache-Control %q", a.Status, media, a.Raw, a.Header.Get("Cache-Control"))
	}
	if a.Type != "Bearer" || a.Access == "" || a.Life <= 0 {
		p.t.Errorf("the token response: token_type %q, expires_in %d", a.Type, a.Life)
	}
	t := &tokens{Answer: a}
	t.id = p.verified(a.ID)
	if err := t.id.Claims(&t.claims); err != nil {
		p.t.Fatal(err)
	}
	if err := t.id.VerifyAccessToken(a.Access); err != nil {
		p.t.Errorf("at_hash: %v", err)
	}
	if sent, has := t.claims["nonce"]; t.id.Nonce != nonce || has != (nonce != "") {
		p.t.Errorf("nonce %v, want %q", sent, nonce)
	}
	return t
}

// verified checks an ID token by OIDC Core 2 and 3.1.3.7.
func (p *party) verified(raw string) *oidc.IDToken {
	p.t.Helper()
	id, err := p.w.oidc.Verifier(&oidc.Config{ClientID: p.client.ID, SupportedSigningAlgs: []string{oidc.RS256}}).Verify(p.t.Context(), raw)
	if err != nil {
		p.t.Fatalf("ID token: %v", err)
	}
	var claims struct {
		AuthTime int64  `json:"auth_time"`
		Azp      string `json:"azp"`
	}
	if err := id.Claims(&claims); err != nil {
		p.t.Fatal(err)
	}
	now := time.Now()
	switch {
	case id.Issuer != p.w.host.Base, !slices.Equal(id.Audience, []string{p.client.ID}), claims.Azp != "" && claims.Azp != p.client.ID:
		p.t.Errorf("iss %q, aud %q, azp %q", id.Issuer, id.Audience, claims.Azp)
	case id.IssuedAt.After(now.Add(time.Second)), id.IssuedAt.Before(now.Add(-time.Minute)), id.Expiry.After(now.Add(24 * time.Hour)):
		p.t.Errorf("iat %s, exp %s, now %s", id.IssuedAt, id.Expiry, now)
	case claims.AuthTime <= 0, claims.AuthTime > id.IssuedAt.Unix():
		p.t.Errorf("auth_time %d, iat %d", claims.AuthTime, id.IssuedAt.Unix())
	case id.Subject == "", len(id.Subject) > 255, strings.IndexFunc(id.Subject, func(r rune) bool { return r <= ' ' || r > '~' }) >= 0:
		p.t.Errorf("sub %q", id.Subject)
	}
	return id
}

// userinfo reads the claims about the user of an access token (OIDC Core 5.3.2).
func (p *party) userinfo(t *tokens) map[string]any {
	p.t.Helper()
	status, header, claims := p.ask(http.MethodGet, t.Access, nil)
	media, _, _ := mime.ParseMediaType(header.Get("Content-Type"))
	if status != http.StatusOK || media != "application/json" || claims["sub"] != t.id.Subject {
		p.t.Fatalf("userinfo answers %d %s %v, want sub %q", status, media, claims, t.id.Subject)
	}
	return claims
}

// ask calls the userinfo endpoint with a token in the header, if one is given,
// and a form.
func (p *party) ask(method, bearer string, form url.Values) (int, http.Header, map[string]any) {
	p.t.Helper()
	r, err := http.NewRequestWithContext(p.t.Context(), method, p.w.oidc.UserInfoEndpoint(), strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	if bearer != "" {
		r.Header.Set("Authorization", "Bearer "+bearer)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		p.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	var claims map[string]any
	if len(body) > 0 {
		if err := json.Unmarshal(body, &claims); err != nil {
			p.t.Fatalf("userinfo answers %d %q: %v", res.StatusCode, body, err)
		}
	}
	return res.StatusCode, res.Header, claims
}

// passes goes the whole way: the person signs in and the client gets tokens
// that userinfo takes.
func (p *party) passes(q url.Values) *tokens {
	p.t.Helper()
	p.open(q)
	p.signIn(ann)
	return p.goesOn(q)
}

// passesUnasked is passes for a person who is signed in: no page may show.
func (p *party) passesUnasked(q url.Values) *tokens {
	p.t.Helper()
	p.open(q)
	return p.goesOn(q)
}

func (p *party) goesOn(q url.Values) *tokens {
	p.t.Helper()
	t := p.given(p.redeem(q, p.code(q)), q.Get("nonce"))
	p.userinfo(t)
	return t
}

// dead checks that a token opens nothing any more (RFC 6750 3.1).
func (p *party) dead(t *tokens) {
	p.t.Helper()
	status, header, claims := p.ask(http.MethodGet, t.Access, nil)
	if status != http.StatusUnauthorized || !strings.Contains(header.Get("WWW-Authenticate"), `error="invalid_token"`) || claims["sub"] != nil {
		p.t.Errorf("userinfo answers %d %v, %s", status, claims, header.Get("WWW-Authenticate"))
	}
}

// stays checks that the browser was answered with a page of ours and never
// sent anywhere else.
func (p *party) stays(status int) {
	p.t.Helper()
	for _, hop := range p.b.Hops {
		if !strings.HasPrefix(hop, p.w.host.Base+"/") {
			p.t.Errorf("sent on to %s", hop)
		}
	}
	media, _, _ := mime.ParseMediaType(p.b.Header.Get("Content-Type"))
	if p.b.Status != status || media != "text/html" {
		p.t.Errorf("answered with %d %s at %s, want %d\n%s", p.b.Status, media, p.b.URL, status, p.b.Body)
	}
}

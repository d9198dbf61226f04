package harness

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// Provider is a login host as OAuth clients see it.
type Provider struct {
	Base string // origin and prefix: https://login.example.com, http://localhost:8080/_auth
}

// Answer is an answer of the token endpoint.
type Answer struct {
	Status  int
	Header  http.Header
	Raw     []byte `json:"-"` // the body
	Access  string `json:"access_token"`
	ID      string `json:"id_token"`
	Refresh string `json:"refresh_token"`
	Type    string `json:"token_type"`
	Life    int    `json:"expires_in"`
	Scope   string `json:"scope"`
	Error   string `json:"error"`
	Text    string `json:"error_description"`
}

// Client is one OAuth client of the tests.
type Client struct {
	ID, Secret string
	Redirect   string // at port 1, so that a Browser stops there: http://127.0.0.1:1/callback
}

// Token calls the token endpoint; a client with a secret uses HTTP Basic.
func (p Provider) Token(c Client, form url.Values) (*Answer, error) {
	form = cloneValues(form)
	if c.Secret == "" {
		form.Set("client_id", c.ID)
	}
	r, err := http.NewRequest(http.MethodPost, p.Base+"/oauth2/token", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if c.Secret != "" {
		r.SetBasicAuth(url.QueryEscape(c.ID), url.QueryEscape(c.Secret))
	}
	client := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DialContext: dialLocalhost, DisableKeepAlives: true}}
	res, err := client.Do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = res.Body.Close() }() // it has been read
	raw, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	a := &Answer{Status: res.StatusCode, Header: res.Header, Raw: raw}
	if err := json.Unmarshal(raw, a); err != nil {
		return nil, fmt.Errorf("token endpoint: %d %q: %w", res.StatusCode, raw, err)
	}
	return a, nil
}

func cloneValues(v url.Values) url.Values {
	out := url.Values{}
	for k, list := range v {
		out[k] = append([]string(nil), list...)
	}
	return out
}

// Code is an authorization code with what redeems it.
type Code struct {
	Value    string
	Verifier string
}

// Authorize returns the address of an authorization request with PKCE.
func (p Provider) Authorize(c Client, scope string, extra url.Values) (target, verifier string) {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // never fails
	verifier = base64.RawURLEncoding.EncodeToString(raw)
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{
		"response_type": {"code"}, "client_id": {c.ID}, "redirect_uri": {c.Redirect}, "scope": {scope}, "state": {"state-of-the-test"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}
	for k, v := range extra {
		q[k] = v
	}
	return p.Base + "/oauth2/authorize?" + q.Encode(), verifier
}

// GetCode gets a code in a browser that is signed in, or that signs in with
// the identifier and password.
func (p Provider) GetCode(t testing.TB, b *Browser, c Client, scope, identifier, password string) Code {
	t.Helper()
	target, verifier := p.Authorize(c, scope, nil)
	b.Get(target)
	if strings.HasSuffix(b.URL.Path, "/login") {
		b.SignIn(identifier, password)
	}
	code := b.URL.Query().Get("code")
	if code == "" {
		t.Fatalf("no code: %d at %s\n%s", b.Status, b.URL, b.Body)
	}
	return Code{Value: code, Verifier: verifier}
}

// Redeem exchanges a code.
func (p Provider) Redeem(c Client, code Code) (*Answer, error) {
	return p.Token(c, url.Values{
		"grant_type": {"authorization_code"}, "code": {code.Value}, "redirect_uri": {c.Redirect}, "code_verifier": {code.Verifier},
	})
}

// Refresh exchanges a refresh token.
func (p Provider) Refresh(c Client, token string) (*Answer, error) {
	return p.Token(c, url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}})
}

// Machine gets a token by client_credentials.
func (p Provider) Machine(t testing.TB, c Client, scope string) string {
	t.Helper()
	a, err := p.Token(c, url.Values{"grant_type": {"client_credentials"}, "scope": {scope}})
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("client_credentials: %+v, %v", a, err)
	}
	return a.Access
}

// Call sends a request with a bearer token, if it is not empty.
func Call(t testing.TB, method, target, token string) (*http.Response, string) {
	t.Helper()
	header := http.Header{}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	res, body, err := Do(method, target, header)
	if err != nil {
		t.Fatal(err)
	}
	return res, body
}

// Do sends a request as a program does and follows no redirect.
func Do(method, target string, header http.Header) (*http.Response, string, error) {
	return Send(method, target, header, "")
}

// Send is Do with a body.
func Send(method, target string, header http.Header, content string) (*http.Response, string, error) {
	r, err := http.NewRequest(method, target, strings.NewReader(content))
	if err != nil {
		return nil, "", err
	}
	r.Header = header.Clone()
	transport := &http.Transport{DialContext: dialLocalhost, DisableKeepAlives: true}
	client := http.Client{Timeout: 30 * time.Second, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(r)
	if err != nil {
		return nil, "", err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	return res, string(body), errors.Join(err, res.Body.Close())
}

package conformance

import (
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
)

// logoutModules show the RP-Initiated Logout OP plan.
func logoutModules() modules {
	return modules{
		"oidcc-rp-initiated-logout-discovery-endpoint-verification":         logoutDiscovery,
		"oidcc-rp-initiated-logout":                                         logout,
		"oidcc-rp-initiated-logout-bad-post-logout-redirect-uri":            badLogoutURI,
		"oidcc-rp-initiated-logout-modified-id-token-hint":                  modifiedHint,
		"oidcc-rp-initiated-logout-no-id-token-hint":                        noHint,
		"oidcc-rp-initiated-logout-no-params":                               noParams,
		"oidcc-rp-initiated-logout-no-post-logout-redirect-uri":             noLogoutURI,
		"oidcc-rp-initiated-logout-no-state":                                noState,
		"oidcc-rp-initiated-logout-only-state":                              onlyState,
		"oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri": queryAdded,
		"oidcc-rp-initiated-logout-bad-id-token-hint":                       badHint,
	}
}

func logoutDiscovery(p *party) {
	p.address(p.metadata(), "end_session_endpoint")
	discovery(p)
}

// ends sends the person to the end_session_endpoint.
func (p *party) ends(pairs ...string) {
	p.t.Helper()
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		q.Set(pairs[i], pairs[i+1])
	}
	address, _ := p.metadata()["end_session_endpoint"].(string)
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	p.b.Get(address)
}

// arrives checks that the person was sent on, unasked, to exactly this address.
func (p *party) arrives(address string) {
	p.t.Helper()
	if got := p.b.URL.String(); got != address || len(p.b.Hops) != 2 {
		p.t.Errorf("%d at %s by way of %q, want %s\n%s", p.b.Status, got, p.b.Hops, address, p.b.Body)
	}
}

// out checks that nobody is signed in any more: OIDC Core 3.1.2.6.
func (p *party) out() {
	p.t.Helper()
	q := p.request("prompt", "none")
	p.open(q)
	p.refused(q, "login_required")
}

// in checks that somebody still is.
func (p *party) in(t *tokens) {
	p.t.Helper()
	p.still(t, p.passesUnasked(p.request("prompt", "none")))
}

// confirms checks that the person is asked before anything happens (a page
// with a form), stays signed in until then, and is signed out and sent nowhere
// by the answer.
func (p *party) confirms(t *tokens, again func()) {
	p.t.Helper()
	p.stays(http.StatusOK)
	if _, form, err := p.b.Form(); err != nil || form.Get("ticket") == "" {
		p.t.Fatalf("no question: %v, %v\n%s", form, err, p.b.Body)
	}
	p.in(t)
	again()
	p.b.Submit(nil)
	p.stays(http.StatusOK)
	p.out()
}

// longState is as long as the suite's, to see that it comes back whole.
func longState() string { return strings.Repeat(rand.Text(), 5)[:128] }

func logout(p *party) {
	t := p.passes(p.request())
	state := longState()
	p.ends("id_token_hint", t.ID, "post_logout_redirect_uri", bye, "state", state)
	p.arrives(bye + "?state=" + state)
	p.out()

	t = p.passes(p.request()) // a registered query stays, and state is encoded
	p.ends("id_token_hint", t.ID, "post_logout_redirect_uri", bye+"-with?own=1", "state", "a b&c")
	p.arrives(bye + "-with?own=1&state=a+b%26c")
	p.out()

	p.passes(p.request()) // as a form of the client's page (RP-Initiated Logout 1.0, 2)
	var err error
	if p.b.URL, err = url.Parse("https://rp.example.com/sign-out"); err != nil {
		p.t.Fatal(err)
	}
	address, _ := p.metadata()["end_session_endpoint"].(string)
	if err := p.b.Navigate(http.MethodPost, address, url.Values{"id_token_hint": {t.ID}, "post_logout_redirect_uri": {bye}}); err != nil {
		p.t.Fatal(err)
	}
	if p.b.URL.String() != bye {
		p.t.Errorf("posted: %d at %s\n%s", p.b.Status, p.b.URL, p.b.Body)
	}
	p.out()
}

// badLogoutURI: an address that is not registered is an error page.
func badLogoutURI(p *party) {
	t := p.passes(p.request())
	for _, foreign := range []string{bye + "/foo", "https://evil.example.com/", p.client.Redirect} {
		p.ends("id_token_hint", t.ID, "post_logout_redirect_uri", foreign, "state", longState())
		p.stays(http.StatusBadRequest)
	}
	p.in(t)
}

// modifiedHint: a hint whose signature is wrong proves nothing.
func modifiedHint(p *party) {
	t := p.passes(p.request())
	ask := func() {
		p.ends("id_token_hint", damaged(t.ID), "post_logout_redirect_uri", bye, "state", longState())
	}
	ask()
	p.confirms(t, ask)
}

// badHint: a hint without a signature proves nothing.
func badHint(p *party) {
	t := p.passes(p.request())
	ask := func() {
		p.ends("id_token_hint", unsigned(p.t, t.claims), "post_logout_redirect_uri", bye, "state", longState())
	}
	ask()
	p.confirms(t, ask)
	t = p.passes(p.request())
	ask = func() { p.ends("id_token_hint", t.Access, "post_logout_redirect_uri", bye) } // signed, but no ID token
	ask()
	p.confirms(t, ask)
}

// noHint: who asks is not known, so that nobody is sent there. A client that
// names itself is known, and the person is asked first.
func noHint(p *party) {
	t := p.passes(p.request())
	ask := func() { p.ends("post_logout_redirect_uri", bye, "state", longState()) }
	ask()
	p.confirms(t, ask)

	t = p.passes(p.request())
	p.ends("post_logout_redirect_uri", bye, "client_id", p.client.ID)
	p.stays(http.StatusOK)
	p.in(t)
	p.ends("post_logout_redirect_uri", bye, "client_id", p.client.ID)
	p.b.Submit(nil)
	if p.b.URL.String() != bye {
		p.t.Errorf("confirmed: %d at %s", p.b.Status, p.b.URL)
	}
	p.out()
}

func noParams(p *party) {
	t := p.passes(p.request())
	ask := func() { p.ends() }
	ask()
	p.confirms(t, ask)
	p.ends() // nobody is signed in: there is nothing to ask
	p.stays(http.StatusOK)
}

// noLogoutURI: the hint proves who is meant, so that nobody is asked.
func noLogoutURI(p *party) {
	t := p.passes(p.request())
	p.ends("id_token_hint", t.ID, "state", longState())
	p.stays(http.StatusOK)
	p.out()
}

func noState(p *party) {
	t := p.passes(p.request())
	p.ends("id_token_hint", t.ID, "post_logout_redirect_uri", bye)
	p.arrives(bye)
	p.out()
}

func onlyState(p *party) {
	t := p.passes(p.request())
	ask := func() { p.ends("state", longState()) }
	ask()
	p.confirms(t, ask)
}

// queryAdded: addresses are compared as they stand (RFC 3986 6.2.1).
func queryAdded(p *party) {
	t := p.passes(p.request())
	p.ends("id_token_hint", t.ID, "post_logout_redirect_uri", bye+"?foo=bar", "state", longState())
	p.stays(http.StatusBadRequest)
	p.in(t)
}

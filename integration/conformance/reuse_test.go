package conformance

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// codeReuse: the second use of a code is refused and ends what the first
// bought (RFC 6749 4.1.2).
func codeReuse(p *party) {
	q := p.request()
	p.open(q)
	p.signIn(ann)
	code := p.code(q)
	t := p.given(p.redeem(q, code), q.Get("nonce"))
	p.userinfo(t)
	p.failed(p.redeem(q, code), http.StatusBadRequest, "invalid_grant")
	p.dead(t)
	p.failed(p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {t.Refresh}}), http.StatusBadRequest, "invalid_grant")
}

// lateReuse is what came of a code that was used again half a minute later.
type lateReuse struct {
	bought *tokens
	again  *harness.Answer
	err    error
}

// reuseLater uses a code, and again after 30 seconds. Modules go on meanwhile.
func (w *world) reuseLater(t *testing.T, mode string) {
	t.Helper()
	p := newParty(t, w, mode)
	q := p.request()
	p.open(q)
	p.signIn(ann)
	code := p.code(q)
	bought := p.given(p.redeem(q, code), q.Get("nonce"))
	p.userinfo(bought)
	used := time.Now()
	done := make(chan lateReuse, 1)
	w.late[mode] = done
	go func() {
		time.Sleep(time.Until(used.Add(30 * time.Second)))
		again, err := call(w, p.client, url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {p.client.Redirect}})
		done <- lateReuse{bought, again, err}
	}()
}

// codeReuseLater is codeReuse after 30 seconds.
func codeReuseLater(p *party) {
	late := <-p.w.late[p.mode]
	if late.err != nil {
		p.t.Fatal(late.err)
	}
	p.failed(late.again, http.StatusBadRequest, "invalid_grant")
	p.dead(late.bought)
	p.failed(p.token(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {late.bought.Refresh}}), http.StatusBadRequest, "invalid_grant")
}

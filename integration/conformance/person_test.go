package conformance

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// personModules show who is asked to sign in, when and how.
func personModules() modules {
	return modules{
		"oidcc-prompt-login":              promptLogin,
		"oidcc-prompt-none-not-logged-in": promptNoneNotLoggedIn,
		"oidcc-prompt-none-logged-in":     promptNoneLoggedIn,
		"oidcc-max-age-1":                 maxAge1,
		"oidcc-max-age-10000":             maxAge10000,
		"oidcc-id-token-hint":             idTokenHint,
		"oidcc-login-hint":                loginHint,
		"oidcc-ui-locales":                uiLocales,

		"oidcc-ensure-request-with-acr-values-succeeds": acrValues,
	}
}

// again checks that a second sign-in was one: of the same person, and later.
func (p *party) again(first, second *tokens) {
	p.t.Helper()
	if first.id.Subject != second.id.Subject || second.authTime() <= first.authTime() {
		p.t.Errorf("sub %s, then %s; auth_time %d, then %d", first.id.Subject, second.id.Subject, first.authTime(), second.authTime())
	}
}

// still checks that no second sign-in took place.
func (p *party) still(first, second *tokens) {
	p.t.Helper()
	if first.id.Subject != second.id.Subject || second.authTime() != first.authTime() {
		p.t.Errorf("sub %s, then %s; auth_time %d, then %d", first.id.Subject, second.id.Subject, first.authTime(), second.authTime())
	}
}

// pause lets a clock of seconds go on by more than n of them.
func pause(n time.Duration) { time.Sleep(n*time.Second + 50*time.Millisecond) }

func promptLogin(p *party) {
	first := p.passes(p.request())
	pause(1)
	p.again(first, p.passes(p.request("prompt", "login")))
	p.passes(p.request("prompt", "login")) // what one request asked for does not answer the next
}

func promptNoneNotLoggedIn(p *party) {
	q := p.request("prompt", "none")
	p.open(q)
	p.refused(q, "login_required")
}

func promptNoneLoggedIn(p *party) {
	first := p.passes(p.request())
	pause(1)
	p.still(first, p.passesUnasked(p.request("prompt", "none")))
}

// maxAge1 signs in again when the sign-in is older than a second.
func maxAge1(p *party) {
	first := p.passes(p.request())
	pause(2)
	second := p.passes(p.request("max_age", "1"))
	p.again(first, second)
	if age := time.Now().Unix() - second.authTime(); age < 0 || age > 30 {
		p.t.Errorf("auth_time is %d seconds ago", age)
	}
}

func maxAge10000(p *party) {
	first := p.passes(p.request())
	pause(1)
	p.still(first, p.passesUnasked(p.request("max_age", "10000")))
}

// idTokenHint: who is meant by the hint, or nobody (OIDC Core 3.1.2.1).
func idTokenHint(p *party) {
	first := p.passes(p.request())
	second := p.passesUnasked(p.request("prompt", "none", "id_token_hint", first.ID))
	p.still(first, second)

	other := newParty(p.t, p.w, p.mode)
	q := other.request()
	other.open(q)
	other.signIn(bob)
	if bobs := other.goesOn(q); bobs.id.Subject == first.id.Subject {
		p.t.Fatal("two people with one sub")
	}
	q = other.request("prompt", "none", "id_token_hint", first.ID)
	other.open(q)
	other.refused(q, "login_required")
	q = p.request("prompt", "none", "id_token_hint", damaged(first.ID))
	p.open(q)
	p.refused(q, "invalid_request")
}

// loginHint: the suite's hint is of nobody's, and must not be in the way; one
// that helps stands in the form.
func loginHint(p *party) {
	p.passes(p.request("login_hint", "buffy@localhost"))

	helped := newParty(p.t, p.w, p.mode)
	q := helped.request("login_hint", annMail)
	helped.open(q)
	if _, form, err := helped.b.Form(); err != nil || form.Get("identifier") != annMail {
		p.t.Errorf("the form says %q, %v", form.Get("identifier"), err)
	}
	helped.signIn(annMail)
	helped.goesOn(q)
}

// uiLocales: a language that there is is spoken, one that there is not is no error.
func uiLocales(p *party) {
	for locales, spoken := range map[string]string{"se": "en", "se de": "de", "en": "en"} {
		one := newParty(p.t, p.w, p.mode)
		q := one.request("ui_locales", locales)
		one.open(q)
		if want := fmt.Sprintf("<html lang=%q", spoken); one.b.Status != http.StatusOK || !strings.Contains(one.b.Body, want) {
			p.t.Errorf("ui_locales=%s: %d without %s\n%s", locales, one.b.Status, want, one.b.Body)
		}
		one.signIn(ann)
		one.goesOn(q)
	}
}

// acrValues are a wish: what was reached is told, whatever was asked for.
func acrValues(p *party) {
	offered := list(p.metadata()["acr_values_supported"])
	if len(offered) == 0 {
		p.t.Fatal("no acr_values_supported")
	}
	first := p.passes(p.request("acr_values", strings.Join(offered, " ")))
	if first.claims["acr"] != offered[0] {
		p.t.Errorf("acr %v, offered are %q", first.claims["acr"], offered)
	}
	second := p.passesUnasked(p.request("acr_values", "1 2"))
	if second.claims["acr"] != first.claims["acr"] {
		p.t.Errorf("acr %v, then %v", first.claims["acr"], second.claims["acr"])
	}
}

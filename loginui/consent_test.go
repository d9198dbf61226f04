package loginui

import (
	"slices"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
)

func TestConsentTellsAllThatIsAskedFor(t *testing.T) {
	p := consentSample(page.Frame{}, nil)
	all := elements(t, render(t, newUI(t), p))
	text := textOf(named(all, "main")[0])
	for _, want := range []string{
		"Orders asks for access", "orders.example.com", "ada@example.com",
		"Know that it is you", "See your postal address", "gatehouse.admin",
		"https://api.example.com/orders", "orders/read", "See what you have ordered", "orders/write", "payments", "pay",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no word of %q", want)
		}
	}
	var decisions []string
	for _, b := range named(all, "button") {
		name, _ := attr(b, "name")
		value, _ := attr(b, "value")
		decisions = append(decisions, name+"="+value)
	}
	if !slices.Equal(decisions, []string{"decision=allow", "decision=deny"}) {
		t.Errorf("buttons %v", decisions)
	}
}

func TestConsentWarnsOfApplicationsOnTheDevice(t *testing.T) {
	u := newUI(t)
	p := consentSample(page.Frame{}, nil)
	const warning = "runs on your own device"
	if strings.Contains(render(t, u, p), warning) {
		t.Error("a website is said to run on the device")
	}
	p.Local = true
	if !strings.Contains(render(t, u, p), warning) {
		t.Error("no warning")
	}
}

// TestConsentShowsTheWholeHost: the end of a host says whose it is.
func TestConsentShowsTheWholeHost(t *testing.T) {
	p := page.Consent{ClientName: "Bank (bank.example)", ClientHost: "bank.example." + strings.Repeat("x.", 100) + "evil.example"}
	if !strings.Contains(render(t, newUI(t), p), "x.evil.example</bdi>") {
		t.Error("the end of the host is cut off")
	}
}

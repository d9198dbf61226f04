package loginui

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
)

func TestEveryAccountIsAButton(t *testing.T) {
	p := page.SelectAccount{Action: "/select", Accounts: []page.Account{{Value: "a1", Label: "ada"}, {Value: "a2", Label: "\u202e"}}, Other: "/login"}
	all := elements(t, render(t, newUI(t), p))
	var got []string
	for _, b := range named(all, "button") {
		name, _ := attr(b, "name")
		value, _ := attr(b, "value")
		got = append(got, name+"="+value+":"+textOf(named(descendants(b), "bdi")[0]))
	}
	if !slices.Equal(got, []string{"account=a1:ada", "account=a2:Account"}) {
		t.Errorf("buttons %v", got)
	}
	if to, _ := attr(named(all, "a")[0], "href"); to != "/login" {
		t.Errorf("another account at %q", to)
	}
}

func descendants(n *html.Node) []*html.Node { return slices.Collect(n.Descendants()) }

func TestSignInLeadsToTheOtherAccounts(t *testing.T) {
	u := newUI(t)
	for _, c := range []struct {
		accounts []page.Account
		want     string
	}{
		{nil, ""},
		{[]page.Account{{Label: "ada"}}, "Continue as ada"},
		{[]page.Account{{Label: "ada"}, {Label: "bob"}}, "Choose a signed-in account"},
	} {
		got := ""
		for _, a := range named(elements(t, render(t, u, page.SignIn{Prompt: signInPrompt(""), Accounts: c.accounts, Select: "/select?x=1"})), "a") {
			got += textOf(a)
		}
		if got != c.want {
			t.Errorf("%d accounts: %q, want %q", len(c.accounts), got, c.want)
		}
	}
}

func TestFormPostSendsItselfOrByAButton(t *testing.T) {
	u := newUI(t)
	p := page.FormPost{Action: "https://app.example.com/cb?x=1", Hidden: []page.Hidden{{Name: "submit", Value: "a&b"}, {Name: "code", Value: `"<c>`}}}
	doc, err := u.Render(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	all := elements(t, string(doc.HTML))
	form := named(all, "form")[0]
	if to, _ := attr(form, "action"); to != p.Action {
		t.Errorf("goes to %q", to)
	}
	if got := sent(t, form); got != `submit=a&b&code="<c>` {
		t.Errorf("sends %q", got)
	}
	button := named(all, "button")
	if _, sends := attr(button[0], "name"); len(button) != 1 || sends || textOf(button[0]) != "Continue" {
		t.Error("no plain button")
	}
	if len(doc.ScriptHashes) != 1 || doc.ScriptHashes[0] != u.submitHash || u.submitHash == u.scriptHash {
		t.Errorf("scripts %v", doc.ScriptHashes)
	}
	// A parameter named submit hides the method of the form, but not that of its kind.
	if !strings.Contains(string(u.submit), "HTMLFormElement.prototype.submit.call(") {
		t.Errorf("script %q", u.submit)
	}
}

func TestChangePasswordSaysWhy(t *testing.T) {
	u := newUI(t)
	own := render(t, u, page.ChangePassword{Prompt: changePasswordPrompt(true), MinLength: 8, Back: "/account"})
	asked := render(t, u, page.ChangePassword{Prompt: changePasswordPrompt(false), MinLength: 8})
	if strings.Contains(own, "has to be replaced") || !strings.Contains(own, "Current password") || !strings.Contains(own, `href="/account"`) {
		t.Error("a wish looks like an order")
	}
	if !strings.Contains(asked, "has to be replaced") || strings.Contains(asked, "current-password") {
		t.Error("an order looks like a wish")
	}
}

func TestSignOutLeadsBack(t *testing.T) {
	u := newUI(t)
	confirm := render(t, u, page.ConfirmSignOut{ClientName: "Orders", Stay: "/stay"})
	if !strings.Contains(confirm, "Orders asks to sign you out") || !strings.Contains(confirm, `href="/stay"`) || strings.Contains(confirm, "close this page") {
		t.Error("no way to stay")
	}
	if !strings.Contains(render(t, u, page.ConfirmSignOut{}), "close this page") {
		t.Error("no word of how to stay")
	}
	out := elements(t, render(t, u, page.SignedOut{Continue: "/login", Back: "https://orders.example.com/", ClientName: "Orders"}))
	var links []string
	for _, a := range named(out, "a") {
		class, _ := attr(a, "class")
		links = append(links, class+": "+textOf(a))
	}
	if !slices.Equal(links, []string{"btn main: Back to Orders", "btn: Sign in again"}) {
		t.Errorf("links %v", links)
	}
}

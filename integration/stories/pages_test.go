package stories

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// pressCmd presses a button that a person finds by what it says.
func pressCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 1, -1, "press BUTTON [NAME=VALUE…]"); err != nil {
		return err
	}
	doc, err := html.Parse(strings.NewReader(s.browser.Body))
	if err != nil {
		return err
	}
	button := find(doc, func(n *html.Node) bool { return n.Data == "button" && label(n) == args[0] })
	if button == nil {
		return not("no button %q at %s", args[0], s.browser.URL)
	}
	form := button.Parent
	for form != nil && form.Data != "form" {
		form = form.Parent
	}
	if form == nil {
		return errors.New("the button belongs to no form")
	}
	values := inputs(form)
	if name := attribute(button, "name"); name != "" {
		values.Set(name, attribute(button, "value"))
	}
	for _, a := range args[1:] {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return errors.New("usage: press BUTTON [NAME=VALUE…]")
		}
		values.Set(name, value)
	}
	action, err := s.browser.URL.Parse(attribute(form, "action"))
	if err != nil {
		return err
	}
	return s.shown(ts, s.browser.Navigate(http.MethodPost, action.String(), values))
}

// followCmd follows a link that a person finds by what it says.
func followCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "follow LINK"); err != nil {
		return err
	}
	doc, err := html.Parse(strings.NewReader(s.browser.Body))
	if err != nil {
		return err
	}
	link := find(doc, func(n *html.Node) bool { return n.Data == "a" && label(n) == args[0] })
	if link == nil {
		return not("no link %q at %s", args[0], s.browser.URL)
	}
	to, err := s.browser.URL.Parse(attribute(link, "href"))
	if err != nil {
		return err
	}
	return s.shown(ts, s.browser.Navigate(http.MethodGet, to.String(), nil))
}

// postCmd sends a form of the page shown to any address, as a page of any site may.
func postCmd(s *story, ts *testscript.TestScript, args []string) error {
	const usage = "post URL [NAME=VALUE…]"
	if err := want(args, 1, -1, usage); err != nil {
		return err
	}
	form := url.Values{}
	for _, a := range args[1:] {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return errors.New("usage: " + usage)
		}
		form.Add(name, value)
	}
	return s.shown(ts, s.browser.Navigate(http.MethodPost, args[0], form))
}

// codeCmd sets $code to the code in the browser's address, when a page came before it.
func codeCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 0, 0, "code"); err != nil {
		return err
	}
	code := s.browser.URL.Query().Get("code")
	if ts.Setenv("code", code); code == "" {
		return not("no code at %s", s.browser.URL)
	}
	return nil
}

// strangersCmd has many guess, none from where another did. Each is refused.
func strangersCmd(s *story, ts *testscript.TestScript, args []string) error {
	const usage = "strangers N IDENTIFIER"
	if err := want(args, 2, 2, usage); err != nil {
		return err
	}
	n, err := strconv.Atoi(args[0])
	if err != nil {
		return errors.New("usage: " + usage)
	}
	page := s.provider(ts).Base + "/login"
	for i := range n {
		if err := guess(page, fmt.Sprintf("198.51.%d.%d", i/250, 1+i%250), args[1]); err != nil {
			return err
		}
	}
	return nil
}

// guess tries a wrong password at a sign-in page.
func guess(page, address, identifier string) error {
	header := http.Header{"X-Forwarded-For": {address}}
	res, body, err := harness.Send(http.MethodGet, page, header, "")
	if err != nil {
		return err
	}
	doc, err := html.Parse(strings.NewReader(body))
	if err != nil {
		return err
	}
	form := find(doc, func(n *html.Node) bool { return n.Data == "form" })
	if form == nil {
		return fmt.Errorf("no form at %s (%d)", page, res.StatusCode)
	}
	values := inputs(form)
	values.Set("identifier", identifier)
	values.Set("password", "a stranger's guess")
	for _, c := range res.Cookies() {
		header.Add("Cookie", c.Name+"="+c.Value)
	}
	header.Set("Sec-Fetch-Site", "same-origin")
	header.Set("Content-Type", "application/x-www-form-urlencoded")
	action, err := res.Request.URL.Parse(attribute(form, "action"))
	if err != nil {
		return err
	}
	res, body, err = harness.Send(http.MethodPost, action.String(), header, values.Encode())
	if err == nil && res.StatusCode != http.StatusForbidden {
		err = fmt.Errorf("a stranger's guess: %d\n%s", res.StatusCode, body)
	}
	return err
}

// carried is what belongs to one attempt: where a form goes and what it holds.
var carried = regexp.MustCompile(`\b(value|action|href)="([^"]*)"`)

// alikeCmd compares two pages but for that, which must be as long in both.
func alikeCmd(_ *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 2, 2, "alike A B"); err != nil {
		return err
	}
	bare := func(file string) string {
		return carried.ReplaceAllStringFunc(ts.ReadFile(file), func(s string) string {
			name, _, _ := strings.Cut(s, "=")
			return fmt.Sprintf("%s of %d", name, len(s))
		})
	}
	if a, b := bare(args[0]), bare(args[1]); a != b {
		return not("%s\n\nis not like\n\n%s", a, b)
	}
	return nil
}

// find returns the first element that fits; nil if there is none.
func find(root *html.Node, fits func(*html.Node) bool) *html.Node {
	for n := range root.Descendants() {
		if n.Type == html.ElementNode && fits(n) {
			return n
		}
	}
	return nil
}

// inputs is what a form sends when nobody has changed it.
func inputs(form *html.Node) url.Values {
	values := url.Values{}
	for n := range form.Descendants() {
		switch name := attribute(n, "name"); {
		case name == "":
		case n.Data == "input":
			values.Add(name, attribute(n, "value"))
		case n.Data == "textarea":
			values.Add(name, strings.TrimPrefix(text(n), "\n"))
		}
	}
	return values
}

// label is what an element is called: its aria-label, or its text.
func label(n *html.Node) string {
	if l := attribute(n, "aria-label"); l != "" {
		return l
	}
	return strings.TrimSpace(text(n))
}

// text is what there is to read in an element.
func text(n *html.Node) string {
	if n.Type == html.TextNode {
		return n.Data
	}
	if attribute(n, "aria-hidden") == "true" {
		return ""
	}
	var b strings.Builder
	for c := range n.ChildNodes() {
		b.WriteString(text(c))
	}
	return b.String()
}

func attribute(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

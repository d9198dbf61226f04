// Package loginui is the default face of the hosted pages: it turns the view
// models of package page into self-contained HTML.
//
// It owns every visible word (messages), every choice of look (one template,
// one style sheet, the mark) and the accessibility of the result. A page is one
// response: no script is needed, nothing is fetched, and the inline style and
// script are named by hash for a content security policy without unsafe-*.
//
// It does not own HTTP, cookies, headers or the policy itself (package mux), nor
// what is asked and why (packages flow and signin). It trusts no string that it
// is given.
package loginui

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
)

//go:embed page.html style.css script.js submit.js messages
var assets embed.FS

// Options says how the pages look. The zero value works.
type Options struct {
	// Brand is shown on pages whose frame names none; empty means "Gatehouse".
	Brand string
}

// UI renders the hosted pages. It is safe for concurrent use.
type UI struct {
	brand     string
	page      *template.Template
	style     template.CSS
	styleHash string
	// script lets people look at a password, and has a page that answers a form
	// asked for anew by back and reload: else the browser shows a question of its
	// own instead. A one-time link is in its form alone, and keeps that.
	script     template.JS // only where a password is asked for
	scriptHash string
	submit     template.JS // sends the one form of a page
	submitHash string
	languages  map[string]messages // by primary language subtag
}

var _ page.Renderer = (*UI)(nil)

// New prepares the template, the style and the texts.
func New(o Options) (*UI, error) {
	languages, err := readLanguages(assets)
	if err != nil {
		return nil, err
	}
	tmpl, err := template.ParseFS(assets, "page.html")
	if err != nil {
		return nil, fmt.Errorf("loginui: page template: %w", err)
	}
	var sources [3]string
	for i, name := range []string{"style.css", "script.js", "submit.js"} {
		raw, err := assets.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("loginui: %s: %w", name, err)
		}
		sources[i] = strings.TrimSpace(string(raw))
	}
	u := &UI{brand: cmp.Or(o.Brand, "Gatehouse"), page: tmpl, languages: languages}
	css, js, submit := compactCSS(sources[0]), sources[1], sources[2]
	u.style, u.styleHash = template.CSS(css), sourceHash(css)
	u.script, u.scriptHash = template.JS(js), sourceHash(js)
	u.submit, u.submitHash = template.JS(submit), sourceHash(submit)
	return u, nil
}

// Languages returns the BCP 47 tags of the languages that the pages speak, sorted.
func (u *UI) Languages() []string { return slices.Sorted(maps.Keys(u.languages)) }

// Render turns p into a document. It fails for a page type it does not know and
// for a form whose target is not a plain path or an http(s) address; that of a
// page.FormPost must be such an address.
func (u *UI) Render(ctx context.Context, p page.Page) (page.Document, error) {
	if err := ctx.Err(); err != nil {
		return page.Document{}, fmt.Errorf("loginui: %w", err)
	}
	v, err := u.view(p)
	if err != nil {
		return page.Document{}, err
	}
	doc := page.Document{StyleHashes: []string{u.styleHash}}
	v.Style = u.style
	switch {
	case v.Submits:
		v.Script, doc.ScriptHashes = u.submit, []string{u.submitHash}
	case v.asksPassword():
		v.Script, doc.ScriptHashes = u.script, []string{u.scriptHash}
	}
	var b bytes.Buffer
	if err := u.page.Execute(&b, v); err != nil {
		return page.Document{}, fmt.Errorf("loginui: rendering %T: %w", p, err)
	}
	doc.HTML = b.Bytes()
	return doc, nil
}

// sourceHash names an inline style or script in a content security policy.
func sourceHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

var cssBlank = regexp.MustCompile(`(\s|/\*[^*]*\*/)+`)
var cssTight = regexp.MustCompile(` ?([{};,]) ?`)

// compactCSS drops the comments and white space that only people need.
func compactCSS(s string) string {
	s = cssTight.ReplaceAllString(cssBlank.ReplaceAllString(s, " "), "$1")
	return strings.TrimSpace(strings.ReplaceAll(s, ";}", "}"))
}

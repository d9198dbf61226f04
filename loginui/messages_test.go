package loginui

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"github.com/gatehouse-auth/gatehouse/authcore/page"
)

// codes returns the values of the constants of one type in package page.
func codes(t *testing.T, typeName string) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../authcore/page/page.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var values []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if id, ok := spec.Type.(*ast.Ident); ok && id.Name == typeName {
			s, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			if s != "" {
				values = append(values, s)
			}
		}
		return true
	})
	if len(values) == 0 {
		t.Fatalf("no constants of type %s", typeName)
	}
	return values
}

func TestEveryCodeHasItsOwnWords(t *testing.T) {
	for language, m := range newUI(t).languages {
		seen := map[string]string{}
		for _, id := range slices.Concat(prefixed("problem.", codes(t, "Problem")), prefixed("cause.", codes(t, "Cause")), prefixed("done.", codes(t, "Done"))) {
			text := m[id]
			if text == "" || seen[text] != "" {
				t.Errorf("%s: %s says %q, as does %q", language, id, text, seen[text])
			}
			seen[text] = id
		}
		for _, c := range codes(t, "Cause") {
			if m["cause."+c+".lead"] == "" {
				t.Errorf("%s: cause %s does not say the way forward", language, c)
			}
		}
	}
	// The samples below stand for all codes only if they hold all codes.
	for _, p := range codes(t, "Problem") {
		if !slices.Contains(problems, page.Problem(p)) {
			t.Errorf("problem %s is not sampled", p)
		}
	}
	for _, d := range codes(t, "Done") {
		if !slices.Contains(dones, page.Done(d)) {
			t.Errorf("what is done, %s, is not sampled", d)
		}
	}
	for _, c := range codes(t, "Cause") {
		if !slices.Contains(causes, page.Cause(c)) {
			t.Errorf("cause %s is not sampled", c)
		}
	}
}

func prefixed(prefix string, names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = prefix + n
	}
	return out
}

// codePrefixes begin the ids of texts that fall back on another on purpose.
var codePrefixes = []string{"problem.", "cause.", "done."}

// TestNoMessageIsUnused takes each text away in turn: the pages must miss it,
// and with all of them in place miss none, in any language.
func TestNoMessageIsUnused(t *testing.T) {
	u := newUI(t)
	renderAll := func(all []sample) error {
		for _, s := range all {
			if _, err := u.Render(t.Context(), s.page); err != nil {
				return err
			}
		}
		return nil
	}
	if err := renderAll(samples()); err != nil {
		t.Fatal(err)
	}
	full := u.languages["en"]
	fallbacks := []string{"problem.other", "done.other", "cause.internal", "cause.internal.lead"}
	for id := range full {
		if slices.ContainsFunc(codePrefixes, func(p string) bool { return strings.HasPrefix(id, p) }) && !slices.Contains(fallbacks, id) {
			continue // TestEveryCodeHasItsOwnWords holds these
		}
		less := maps.Clone(full)
		delete(less, id)
		u.languages = map[string]messages{"en": less}
		if err := renderAll(samplesIn("en")); err == nil || !strings.Contains(err.Error(), strconv.Quote(id)) {
			t.Errorf("nobody misses the message %q (%v)", id, err)
		}
	}
	known := slices.Concat(codes(t, "Problem"), codes(t, "Cause"), codes(t, "Done"), []string{"other"})
	for id := range full {
		for _, prefix := range codePrefixes {
			if code, ok := strings.CutPrefix(id, prefix); ok && !slices.Contains(known, strings.TrimSuffix(code, ".lead")) {
				t.Errorf("message %q belongs to no code", id)
			}
		}
	}
}

func TestPlaceholdersAreFilled(t *testing.T) {
	u := newUI(t)
	for _, s := range samples() {
		for _, n := range elements(t, render(t, u, s.page)) {
			if n.Data == "script" || n.Data == "style" {
				continue
			}
			for c := range n.ChildNodes() {
				if c.Type == html.TextNode && strings.ContainsAny(c.Data, "{}") {
					t.Errorf("%s: a placeholder was left unfilled: %q", s.name, c.Data)
				}
			}
			if label, _ := attr(n, "aria-label"); strings.ContainsAny(label, "{}") {
				t.Errorf("%s: a placeholder was left unfilled: %q", s.name, label)
			}
		}
	}
}

// sameEverywhere are the texts that another language may share with English.
var sameEverywhere = []string{"dir", "title", "field.website"}

var placeholder = regexp.MustCompile(`\{[^}]*\}`)

func TestEveryLanguageSaysEverything(t *testing.T) {
	all := newUI(t).languages
	for language, m := range all {
		if problems := compare(all["en"], m, language == "en"); len(problems) > 0 {
			t.Errorf("%s: %s", language, strings.Join(problems, "\n"))
		}
		if m["lang"] != language {
			t.Errorf("%s calls itself %q", language, m["lang"])
		}
	}
	for _, id := range sameEverywhere {
		if !slices.ContainsFunc(slices.Sorted(maps.Keys(all)), func(l string) bool { return l != "en" && all[l][id] == all["en"][id] }) {
			t.Errorf("%s is allowed to be the same and is not", id)
		}
	}
}

// compare says what is wrong with the texts of a language, beside English.
func compare(english, m messages, isEnglish bool) []string {
	var wrong []string
	for id, text := range m {
		want, ok := english[id]
		switch {
		case !ok:
			wrong = append(wrong, "unused: "+id)
		case strings.TrimSpace(text) == "" || strings.TrimSpace(text) != text:
			wrong = append(wrong, "blank at an end: "+id)
		case !slices.Equal(slices.Sorted(slices.Values(placeholder.FindAllString(text, -1))), slices.Sorted(slices.Values(placeholder.FindAllString(want, -1)))):
			wrong = append(wrong, "other placeholders: "+id)
		case text == want && !isEnglish && !slices.Contains(sameEverywhere, id):
			wrong = append(wrong, "not translated: "+id)
		}
	}
	for id := range english {
		if _, ok := m[id]; !ok {
			wrong = append(wrong, "missing: "+id)
		}
	}
	return wrong
}

func TestALanguageWithGapsIsNoticed(t *testing.T) {
	all := newUI(t).languages
	for want, spoil := range map[string]func(messages){
		"missing: sign_in":                  func(m messages) { delete(m, "sign_in") },
		"unused: sign_im":                   func(m messages) { m["sign_im"] = "x" },
		"other placeholders: title":         func(m messages) { m["title"] = "{page} · {brnad}" },
		"not translated: account_page":      func(m messages) { m["account_page"] = all["en"]["account_page"] },
		"blank at an end: confirm_sign_out": func(m messages) { m["confirm_sign_out"] = "" },
	} {
		m := maps.Clone(all["de"])
		spoil(m)
		if got := compare(all["en"], m, false); !slices.Equal(got, []string{want}) {
			t.Errorf("%v, want %q", got, want)
		}
	}
}

func TestLanguages(t *testing.T) {
	u := newUI(t)
	u.languages["he"] = maps.Clone(u.languages["en"])
	maps.Copy(u.languages["he"], messages{"lang": "he", "dir": "rtl"})
	for tag, want := range map[string]string{"": `lang="en" dir="ltr"`, "de-CH": `lang="de" dir="ltr"`, "fr": `lang="en" dir="ltr"`, "he-IL": `lang="he" dir="rtl"`, "HE": `lang="he" dir="rtl"`, `"><script>`: `lang="en" dir="ltr"`} {
		if doc := render(t, u, page.SignedOut{Frame: page.Frame{Locales: []string{tag}}}); !strings.Contains(doc, want) {
			t.Errorf("%q: no %s", tag, want)
		}
	}
}

func TestTheFirstLanguageSpokenIsTaken(t *testing.T) {
	u := newUI(t)
	if got := u.Languages(); !slices.Equal(got, []string{"de", "en"}) {
		t.Errorf("languages %v", got)
	}
	for want, tags := range map[string][]string{"de": {"fr", "de-AT", "en"}, "en": {"", "x", "en-GB", "de"}} {
		if doc := render(t, u, page.SignedOut{Frame: page.Frame{Locales: tags}}); !strings.Contains(doc, `lang="`+want+`"`) {
			t.Errorf("%v: not %s", tags, want)
		}
	}
}

package docs

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// page is a Markdown file of the repository.
type page struct {
	path, text string
}

func pages(t *testing.T) []page {
	t.Helper()
	var out []page
	names, err := filepath.Glob(filepath.Join(root, "docs", "*.md"))
	if err != nil || len(names) < 4 {
		t.Fatalf("documents: %v, %v", names, err)
	}
	for _, name := range append(names, filepath.Join(root, "README.md")) {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, page{name, string(raw)})
	}
	return out
}

var fence = regexp.MustCompile("(?ms)^```(\\w+)( [^\n]*)?\n(.*?)^```$")

// blocks returns the code blocks of one language.
func (p page) blocks(language string) []string {
	var out []string
	for _, m := range fence.FindAllStringSubmatch(p.text, -1) {
		if m[1] == language {
			out = append(out, m[3])
		}
	}
	return out
}

func examples(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(root, "examples", "*.Caddyfile"))
	if err != nil || len(names) < 4 {
		t.Fatalf("examples: %v, %v", names, err)
	}
	out := map[string]string{}
	for _, name := range names {
		raw, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out[filepath.Base(name)] = string(raw)
	}
	return out
}

// validate adapts, validates and checks, and sees that it makes no file of ours.
func validate(t *testing.T, caddyfile string) {
	t.Helper()
	home := t.TempDir()
	file := filepath.Join(t.TempDir(), "Caddyfile")
	if err := os.WriteFile(file, []byte(caddyfile), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(home, "demo-client-secret"), []byte("0123456789abcdef0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	if diff, err := caddy(t, home, "fmt", "--diff", file); err == nil && regexp.MustCompile(`(?m)^[+-]`).MatchString(diff) {
		t.Errorf("`caddy fmt` would change it:\n%s", diff)
	}
	if _, err := caddy(t, home, "validate", "--adapter", "caddyfile", "--config", file); err != nil {
		t.Fatalf("%v\n%s", err, caddyfile)
	}
	if report, err := caddy(t, home, "gatehouse", "check", "--adapter", "caddyfile", "--config", file); err != nil || !strings.Contains(report, "http") {
		t.Errorf("check: %v\n%s", err, report)
	}
	_ = filepath.WalkDir(home, func(path string, d fs.DirEntry, err error) error {
		if err == nil && strings.Contains(path, "gatehouse") {
			t.Errorf("validating made %s", path)
		}
		return err
	})
}

func TestCaddyfilesInThePagesAreValid(t *testing.T) {
	for _, p := range pages(t) {
		for i, b := range p.blocks("caddyfile") {
			t.Run(fmt.Sprintf("%s/%d", filepath.Base(p.path), i+1), func(t *testing.T) { validate(t, b) })
		}
	}
}

func TestExamplesAreValid(t *testing.T) {
	all := examples(t)
	all["Caddyfile.example"] = read(t, "Caddyfile.example")
	for name, text := range all {
		t.Run(name, func(t *testing.T) { validate(t, text) })
	}
}

// TestExamplesRun starts every example and looks at each of its sites: login
// hosts publish their issuer, gated ones let no stranger reach the upstream.
func TestExamplesRun(t *testing.T) {
	site := regexp.MustCompile(`(?ms)^(?:http://)?(\w+)\.example\.com \{\n(.*?)^\}`)
	for name, text := range examples(t) {
		t.Run(name, func(t *testing.T) {
			upstream := harness.NewUpstream(t)
			s := run(t, text, upstream)
			if s.FirstLink() == "" {
				t.Error("no link for the first user")
			}
			for _, m := range site.FindAllStringSubmatch(text, -1) {
				origin, login := s.URL(m[1]), ""
				switch {
				case strings.Contains(m[2], "gatehouse_login"):
					login = origin
				case strings.Contains(m[2], "\tgatehouse\n"):
					login = origin + "/_auth"
				}
				if login != "" {
					answer, text := harness.Call(t, http.MethodGet, login+"/.well-known/openid-configuration", "")
					if !strings.Contains(text, `"issuer":"`+login+`"`) {
						t.Errorf("%s: discovery: %s %s", origin, answer.Status, text)
					}
				}
				if !strings.Contains(m[2], "reverse_proxy") {
					continue
				}
				answer, _ := harness.Call(t, http.MethodGet, origin+"/", "")
				if challenge := answer.Header.Get("WWW-Authenticate"); answer.StatusCode != http.StatusUnauthorized || !strings.Contains(challenge, "/.well-known/oauth-protected-resource") {
					t.Errorf("%s: a stranger gets %s, challenge %q", m[1], answer.Status, challenge)
				}
			}
			if seen := upstream.Take(); len(seen) > 0 {
				t.Errorf("a stranger reached the upstream: %+v", seen)
			}
		})
	}
}

var link = regexp.MustCompile(`\]\(([^)]+)\)`)

func TestLinksLeadSomewhere(t *testing.T) {
	for _, p := range pages(t) {
		for _, m := range link.FindAllStringSubmatch(p.text, -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(p.path), target)); err != nil {
				t.Errorf("%s: %v", p.path, err)
			}
		}
	}
}

// TestExamplesAreListed looks for every example in the quick start.
func TestExamplesAreListed(t *testing.T) {
	text := read(t, "docs", "quick-start.md")
	for name := range examples(t) {
		if !strings.Contains(text, "(../examples/"+name+")") {
			t.Errorf("%s is not in docs/quick-start.md", name)
		}
	}
}

func TestReadmeIsOneScreen(t *testing.T) {
	if n := strings.Count(read(t, "README.md"), "\n"); n > 60 {
		t.Errorf("README.md has %d lines, more than 60", n)
	}
}

// TestTheMapIsWhole looks for every package in the architecture's list.
func TestTheMapIsWhole(t *testing.T) {
	_, section, _ := strings.Cut(read(t, "docs", "architecture.md"), "\n## Packages\n")
	section, _, _ = strings.Cut(section, "\n## ")
	packages := map[string]bool{}
	for _, top := range []string{"authcore", "store", "loginui", "caddymodule", "xcaddy"} {
		err := filepath.WalkDir(filepath.Join(root, top), func(path string, d fs.DirEntry, err error) error {
			if err == nil && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				packages[filepath.Dir(path)] = true
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(packages) < 20 {
		t.Fatalf("only %d packages were found", len(packages))
	}
	for path := range packages {
		name := filepath.Base(path)
		if strings.Contains(path, "internal") || name == "grant" { // stands with its parent
			continue
		}
		if !strings.Contains(section, name+"/") {
			t.Errorf("the package %s is not in the list", path)
		}
	}
}

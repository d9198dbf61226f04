package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// vocabulary is what the parser of the Caddyfile knows, read from its source.
type vocabulary struct {
	words      map[string]bool // directives and words of blocks
	conditions map[string]bool
	choices    map[string]bool // fixed arguments
	later      map[string]bool // refused by name
}

// readVocabulary collects the word tables of caddymodule.
func readVocabulary(t *testing.T) vocabulary {
	t.Helper()
	v := vocabulary{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}}
	names, err := filepath.Glob(filepath.Join(root, "caddymodule", "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			v.collect(n)
			return true
		})
	}
	if len(v.words) < 30 || len(v.conditions) < 5 || len(v.choices) < 8 || len(v.later) < 10 {
		t.Fatalf("the parser's tables were not found: %+v", v)
	}
	return v
}

func (v vocabulary) collect(n ast.Node) {
	switch n := n.(type) {
	case *ast.CompositeLit:
		if array, ok := n.Type.(*ast.ArrayType); ok && isIdent(array.Elt, "word") {
			for _, e := range n.Elts {
				if entry, ok := e.(*ast.CompositeLit); ok && len(entry.Elts) > 0 {
					addString(v.words, entry.Elts[0])
				}
			}
		}
	case *ast.CallExpr:
		switch {
		case isIdent(n.Fun, "choice"):
			for _, arg := range n.Args[1:] {
				addString(v.choices, arg)
			}
		case isSelector(n.Fun, "RegisterGlobalOption"):
			addString(v.words, n.Args[0])
		case isSelector(n.Fun, "RegisterDirectiveOrder"):
			addString(v.words, n.Args[0]) // of a name that is written out
		}
	case *ast.RangeStmt: // directives are registered from a table
		if table, ok := n.X.(*ast.CompositeLit); ok && callsSelector(n.Body, "RegisterDirective") {
			for _, e := range table.Elts {
				if pair, ok := e.(*ast.KeyValueExpr); ok {
					addString(v.words, pair.Key)
				}
			}
		}
	case *ast.FuncDecl:
		switch n.Name.Name {
		case "conditions":
			addAll(v.conditions, n)
		case "laterConditions":
			addAll(v.later, n)
		case "later":
			ast.Inspect(n, func(n ast.Node) bool {
				if pair, ok := n.(*ast.KeyValueExpr); ok {
					addString(v.later, pair.Key)
				}
				return true
			})
		}
	}
}

func isIdent(e ast.Expr, name string) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == name
}

func isSelector(e ast.Expr, name string) bool {
	s, ok := e.(*ast.SelectorExpr)
	return ok && s.Sel.Name == name
}

func callsSelector(n ast.Node, name string) (found bool) {
	ast.Inspect(n, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		found = found || ok && isSelector(call.Fun, name)
		return !found
	})
	return found
}

func addString(to map[string]bool, e ast.Expr) {
	if lit, ok := e.(*ast.BasicLit); ok && lit.Kind == token.STRING {
		if s, err := strconv.Unquote(lit.Value); err == nil {
			to[s] = true
		}
	}
}

func addAll(to map[string]bool, n ast.Node) {
	ast.Inspect(n, func(n ast.Node) bool {
		if e, ok := n.(ast.Expr); ok {
			addString(to, e)
		}
		return true
	})
}

var (
	row      = regexp.MustCompile("(?m)^\\| `([^`]+)`")
	codeSpan = regexp.MustCompile("`([^`]+)`")
)

// TestTheReferenceIsTheParser holds docs/caddyfile.md against the words that
// the parser knows, both ways.
func TestTheReferenceIsTheParser(t *testing.T) {
	text, reserved, found := strings.Cut(read(t, "docs", "caddyfile.md"), "\n## Not in this build\n")
	if !found {
		t.Fatal("the reference has no section on what is not in this build")
	}
	v := readVocabulary(t)
	told := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		name := strings.Fields(m[1])[0]
		if before, _, isCondition := strings.Cut(name, ":"); isCondition {
			name = before + ":"
		}
		told[name] = true
	}
	known := maps.Clone(v.words)
	maps.Copy(known, v.conditions)
	compare(t, "in the tables of the reference", told, known)

	spans := map[string]bool{}
	for _, m := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(text, ""), -1) {
		for _, w := range strings.Fields(m[1]) {
			spans[w] = true
		}
	}
	for _, c := range slices.Sorted(maps.Keys(v.choices)) {
		if !spans[c] {
			t.Errorf("the argument %q is nowhere in the reference", c)
		}
	}

	refused := map[string]bool{}
	for _, m := range codeSpan.FindAllStringSubmatch(reserved, -1) {
		refused[m[1]] = true
	}
	for _, where := range []string{"password", "session"} { // named as the place of others
		delete(refused, where)
	}
	compare(t, "among what is not in this build", refused, v.later)
}

func compare(t *testing.T, where string, told, known map[string]bool) {
	t.Helper()
	for _, w := range slices.Sorted(maps.Keys(known)) {
		if !told[w] {
			t.Errorf("the parser knows %q, which is not %s", w, where)
		}
	}
	for _, w := range slices.Sorted(maps.Keys(told)) {
		if !known[w] {
			t.Errorf("%q stands %s, and the parser does not know it", w, where)
		}
	}
}

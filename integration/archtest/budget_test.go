package archtest

import (
	"go/ast"
	"go/token"
	"os"
	"slices"
	"strings"
	"testing"
)

// The hard budgets.
const (
	maxFunction  = 80  // lines, table literals exempt
	maxFile      = 600 // lines
	maxInterface = 6   // methods
)

func TestBudgets(t *testing.T) {
	for _, f := range source(t) {
		if f.test || within(f.pkg, "integration", "store/storetest") {
			continue
		}
		if f.lines > maxFile {
			t.Errorf("%s has %d lines, more than %d", f.path, f.lines, maxFile)
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if lines := f.span(n) - literalLines(&f, n); lines > maxFunction {
					t.Errorf("%s: %s has %d lines, more than %d", f.at(n), n.Name.Name, lines, maxFunction)
				}
				if n.Name.Name == "init" && n.Recv == nil && !within(f.pkg, "caddymodule") {
					t.Errorf("%s: init() only in caddymodule", f.at(n))
				}
			case *ast.InterfaceType:
				if n.Methods.NumFields() > maxInterface {
					t.Errorf("%s: an interface of %d methods, more than %d", f.at(n), n.Methods.NumFields(), maxInterface)
				}
			}
			return true
		})
	}
}

// literalLines is how many lines of a function are inside its outermost table literals.
func literalLines(f *file, n ast.Node) int {
	lines := 0
	ast.Inspect(n, func(n ast.Node) bool {
		if lit, ok := n.(*ast.CompositeLit); ok {
			lines += f.span(lit) - 1
			return false
		}
		return true
	})
	return lines
}

func TestEveryPackageSaysWhatItOwns(t *testing.T) {
	docs, seen := map[string]int{}, map[string]bool{}
	for _, f := range source(t) {
		seen[f.pkg] = seen[f.pkg] || !f.test
		if f.syntax.Doc != nil && !f.test {
			docs[f.pkg] += len(strings.Fields(f.syntax.Doc.Text()))
		}
	}
	for pkg, code := range seen {
		if code && docs[pkg] < 8 {
			t.Errorf("package %s has no doc that says what it owns", pkg)
		}
	}
}

func TestExportedNamesAreDocumented(t *testing.T) {
	total, bare := 0, 0
	for _, f := range source(t) {
		if f.test || within(f.pkg, "integration") {
			continue
		}
		for _, d := range f.syntax.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Name.IsExported() && (d.Recv == nil || exportedReceiver(d)) && !obvious(d.Name.Name) {
					total++
					if d.Doc == nil {
						bare++
						t.Logf("%s: %s has no doc", f.at(d), d.Name.Name)
					}
				}
			case *ast.GenDecl:
				for _, s := range d.Specs {
					if ts, ok := s.(*ast.TypeSpec); ok && ts.Name.IsExported() {
						total++
						if d.Doc == nil && ts.Doc == nil {
							bare++
							t.Logf("%s: %s has no doc", f.at(ts), ts.Name.Name)
						}
					}
				}
			}
		}
	}
	if bare*10 > total {
		t.Errorf("%d of %d exported names have no doc: at most one in ten", bare, total)
	}
}

func exportedReceiver(d *ast.FuncDecl) bool {
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	if index, ok := t.(*ast.IndexExpr); ok {
		t = index.X
	}
	name, ok := t.(*ast.Ident)
	return ok && name.IsExported()
}

// obvious names implement well-known interfaces.
func obvious(name string) bool {
	return slices.Contains([]string{"Error", "Unwrap", "Is", "String", "ServeHTTP", "CaddyModule", "Close"}, name)
}

// TestNoMutableGlobals finds package-level variables that something assigns
// to, takes the address of, or calls a pointer method on through sync.
func TestNoMutableGlobals(t *testing.T) {
	files := source(t)
	for _, f := range files {
		if f.test || within(f.pkg, "integration", "caddymodule", "xcaddy") {
			continue
		}
		for _, d := range f.syntax.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				if name := syncType(v.Type); name != "" {
					t.Errorf("%s: a global %s is mutable", f.at(v), name)
				}
				for _, name := range v.Names {
					if name.Name != "_" {
						assigned(t, files, f.pkg, name.Name)
					}
				}
			}
		}
	}
}

// syncType names a declared type whose zero value is there to be changed.
func syncType(e ast.Expr) string {
	if sel, ok := e.(*ast.SelectorExpr); ok {
		if pkg, ok := sel.X.(*ast.Ident); ok && (pkg.Name == "sync" || pkg.Name == "atomic") {
			return pkg.Name + "." + sel.Sel.Name
		}
	}
	return ""
}

// assigned reports every place in a package that changes a global by name.
// Names that are shadowed locally are not told apart: rename the local.
func assigned(t *testing.T, files []file, pkg, name string) {
	t.Helper()
	for _, f := range files {
		if f.pkg != pkg || f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok == token.DEFINE {
					return true
				}
				for _, l := range n.Lhs {
					if base(l) == name {
						t.Errorf("%s: the global %s is assigned to", f.at(n), name)
					}
				}
			case *ast.IncDecStmt:
				if base(n.X) == name {
					t.Errorf("%s: the global %s is changed", f.at(n), name)
				}
			}
			return true
		})
	}
}

// base is the identifier that an assignable expression begins with, if it is
// a plain variable or an element of one.
func base(e ast.Expr) string {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			if x.Obj != nil && x.Obj.Kind == ast.Var {
				if _, local := x.Obj.Decl.(*ast.ValueSpec); !local {
					return "" // a parameter or a local that was defined here
				}
			}
			return x.Name
		case *ast.IndexExpr:
			e = x.X
		case *ast.SelectorExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return ""
		}
	}
}

// TestCauses finds fmt.Errorf calls that hide an error's cause.
func TestCauses(t *testing.T) {
	for _, f := range source(t) {
		if f.test {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 || !isCall(call, "fmt", "Errorf") {
				return true
			}
			format, ok := call.Args[0].(*ast.BasicLit)
			if !ok || strings.Contains(format.Value, "%w") {
				return true
			}
			for _, a := range call.Args[1:] {
				if id, ok := a.(*ast.Ident); ok && (id.Name == "err" || strings.HasSuffix(id.Name, "Err")) {
					t.Errorf("%s: wrap %s with %%w", f.at(call), id.Name)
				}
			}
			return true
		})
	}
}

// TestOneDoor holds what only one package may do.
func TestOneDoor(t *testing.T) {
	for _, f := range source(t) {
		if f.test || within(f.pkg, "integration", "examples") {
			continue
		}
		ast.Inspect(f.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				if isCall(n, "http", "Error") && f.pkg != "authcore/mux" {
					t.Errorf("%s: only mux writes error bodies", f.at(n))
				}
			case *ast.CompositeLit:
				if sel, ok := n.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "Key" {
					if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "store" && !within(f.pkg, "authcore/repo", "store") {
						t.Errorf("%s: only repo builds store keys", f.at(n))
					}
				}
			}
			return true
		})
	}
}

func isCall(call *ast.CallExpr, pkg, name string) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || sel.Sel.Name != name {
		return false
	}
	id, ok := sel.X.(*ast.Ident)
	return ok && id.Name == pkg
}

// TestTopLevel keeps the root as small as the README says.
func TestTopLevel(t *testing.T) {
	allowed := []string{"caddymodule", "authcore", "loginui", "store", "xcaddy", "examples", "integration", "go.mod", "go.sum",
		"Caddyfile.example", "README.md", "Makefile", "LICENSE", "SECURITY.md", "docs"}
	entries, err := os.ReadDir(root(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".") && !slices.Contains(allowed, e.Name()) && e.Name() != "caddy" {
			t.Errorf("%s does not belong at the top level", e.Name())
		}
	}
}

package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/gatehouse-auth/gatehouse"

// file is one parsed Go file of the module.
type file struct {
	path    string // slash-separated, from the root
	pkg     string // its folder
	test    bool
	lines   int
	syntax  *ast.File
	imports []string
	fset    *token.FileSet
}

// root is the module's folder.
func root(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "go.mod")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// source parses every Go file of the module.
func source(t *testing.T) []file {
	t.Helper()
	var files []file
	dir := root(t)
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); path != dir && (strings.HasPrefix(name, ".") || name == "node_modules" || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		files = append(files, parse(t, path, filepath.ToSlash(rel)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d Go files found: is this the module?", len(files))
	}
	return files
}

func parse(t *testing.T, path, rel string) file {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	fset := token.NewFileSet()
	syntax, err := parser.ParseFile(fset, rel, text, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	f := file{
		path: rel, pkg: strings.TrimSuffix(filepath.ToSlash(filepath.Dir(rel)), "/"), test: strings.HasSuffix(rel, "_test.go"),
		lines: strings.Count(string(text), "\n"), syntax: syntax, fset: fset,
	}
	for _, i := range syntax.Imports {
		name, err := strconv.Unquote(i.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		f.imports = append(f.imports, name)
	}
	return f
}

// at is where a node stands.
func (f *file) at(n ast.Node) string { return f.fset.Position(n.Pos()).String() }

// span is how many lines a node takes.
func (f *file) span(n ast.Node) int {
	return f.fset.Position(n.End()).Line - f.fset.Position(n.Pos()).Line + 1
}

// within reports whether a package is one of the folders or below one.
func within(pkg string, folders ...string) bool {
	for _, folder := range folders {
		if pkg == folder || strings.HasPrefix(pkg, folder+"/") {
			return true
		}
	}
	return false
}

package archtest

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// licences are the texts that a module linked into the binary may come with.
var licences = []struct {
	name string
	text *regexp.Regexp
}{
	{"Apache-2.0", regexp.MustCompile(`Apache License,?\s+Version 2\.0`)},
	{"MIT", regexp.MustCompile(`Permission is hereby granted, free of charge`)},
	{"BSD", regexp.MustCompile(`Redistribution and use in source and binary forms`)},
	{"ISC", regexp.MustCompile(`Permission to use, copy, modify, and(/or)? distribute this software`)},
	{"MPL-2.0", regexp.MustCompile(`Mozilla Public License,? (Version|version) 2\.0|Mozilla Public License, v\. 2\.0`)},
	{"CC0", regexp.MustCompile(`CC0 1\.0 Universal`)},
	{"Unlicense", regexp.MustCompile(`free and unencumbered software released into the public domain`)},
}

// copyleft would bind whoever distributes the binary.
var copyleft = regexp.MustCompile(`GNU (AFFERO |LESSER )?GENERAL PUBLIC LICENSE\s+Version`)

// mpl are the only modules under the Mozilla licence, whose terms are kept by
// leaving their files as they are.
var mpl = []string{"github.com/hashicorp/golang-lru/v2", "github.com/go-sql-driver/mysql"}

// TestLicences reads the licence of every module that is linked into the binary.
func TestLicences(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Dir}}{{end}}{{end}}", "./xcaddy")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Skipf("go list: %v: modules cannot be looked at here", err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(lines)
	count := map[string]int{}
	for _, line := range slices.Compact(lines) {
		path, dir, ok := strings.Cut(line, "\t")
		if !ok {
			continue
		}
		name, problem := licenceOf(path, dir)
		if problem != "" {
			t.Errorf("%s: %s", path, problem)
		}
		count[name]++
	}
	t.Logf("%v", count)
	if len(count) < 3 {
		t.Error("hardly any module was looked at")
	}
}

func licenceOf(path, dir string) (name, problem string) {
	files, err := filepath.Glob(filepath.Join(dir, "[LlCcUu]*"))
	if err != nil {
		return "", err.Error()
	}
	var text []byte
	for _, f := range files {
		base := strings.ToUpper(filepath.Base(f))
		if strings.HasPrefix(base, "LICEN") || strings.HasPrefix(base, "COPYING") || strings.HasPrefix(base, "UNLICENSE") {
			if more, err := os.ReadFile(f); err == nil {
				text = append(text, more...)
			}
		}
	}
	if len(text) == 0 {
		return "", "no licence file"
	}
	for _, l := range licences {
		if !l.text.Match(text) {
			continue
		}
		if l.name == "MPL-2.0" && !slices.Contains(mpl, path) {
			return l.name, "MPL-2.0: say why in mpl"
		}
		return l.name, ""
	}
	if copyleft.Match(text) {
		return "", "a copyleft licence"
	}
	return "", "an unknown licence"
}

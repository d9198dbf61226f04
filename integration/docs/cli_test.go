package docs

import (
	"regexp"
	"strings"
	"testing"
)

// TestTheCommandLineIsDocumented holds docs/cli.md against what the binary
// says of its commands and their flags, both ways.
func TestTheCommandLineIsDocumented(t *testing.T) {
	text := read(t, "docs", "cli.md")
	told, known := map[string]bool{}, map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		told[m[1]] = true
	}
	home := t.TempDir()
	for _, kind := range subcommands(t, home) {
		commands := [][]string{{kind}}
		if verbs := subcommands(t, home, kind); len(verbs) > 0 {
			commands = nil
			for _, verb := range verbs {
				commands = append(commands, []string{kind, verb})
			}
		}
		for _, command := range commands {
			known[strings.Join(command, " ")] = true
			for _, flag := range flags(t, home, command...) {
				if !strings.Contains(text, "`"+flag+"`") && !strings.Contains(text, "`"+flag+" ") {
					t.Errorf("the flag %s of %q is not on the page", flag, command)
				}
			}
		}
	}
	for _, flag := range []string{"--data-dir", "--pool", "--json"} {
		known[flag] = true
	}
	if len(known) < 12 {
		t.Fatalf("the commands were not found: %v", known)
	}
	compare(t, "in the tables of docs/cli.md", told, known)
}

var command = regexp.MustCompile(`^(?:(?:sudo -u caddy )?(?:\./)?caddy gatehouse )?((?:user|group|client|key) [a-z-]+|check|import|export)\b`)

// TestCommandsInPagesExist looks at the commands that the pages name beside
// their examples, which are run.
func TestCommandsInPagesExist(t *testing.T) {
	known := map[string]bool{}
	for _, m := range row.FindAllStringSubmatch(read(t, "docs", "cli.md"), -1) {
		known[m[1]] = true
	}
	found := 0
	for _, p := range pages(t) {
		for _, span := range codeSpan.FindAllStringSubmatch(fence.ReplaceAllString(p.text, ""), -1) {
			m := command.FindStringSubmatch(span[1])
			if m == nil {
				continue
			}
			if found++; !known[m[1]] {
				t.Errorf("%s: there is no command %q", p.path, m[1])
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

// help is what the binary says of a command.
func help(t *testing.T, home string, command ...string) string {
	t.Helper()
	out, err := caddy(t, home, append(append([]string{"gatehouse"}, command...), "--help")...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func subcommands(t *testing.T, home string, command ...string) []string {
	t.Helper()
	_, list, _ := strings.Cut(help(t, home, command...), "Available Commands:\n")
	list, _, _ = strings.Cut(list, "\n\n")
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^  (\S+)`).FindAllStringSubmatch(list, -1) {
		if m[1] != "help" && m[1] != "completion" {
			out = append(out, m[1])
		}
	}
	return out
}

func flags(t *testing.T, home string, command ...string) []string {
	t.Helper()
	var out []string
	for _, m := range regexp.MustCompile(`(?m)^ .*(--[a-z-]+)`).FindAllStringSubmatch(help(t, home, command...), -1) {
		if m[1] != "--help" {
			out = append(out, m[1])
		}
	}
	return out
}

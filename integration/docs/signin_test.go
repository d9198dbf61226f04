package docs

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"
)

var firstCell = regexp.MustCompile("(?m)^\\| ([^|`]+) \\|")

// TestMessagesAreExplained holds docs/sign-in.md against what the pages say:
// what is quoted there can be seen, and no error is without an explanation.
func TestMessagesAreExplained(t *testing.T) {
	var said map[string]string
	if err := json.Unmarshal([]byte(read(t, "loginui", "messages", "en.json")), &said); err != nil {
		t.Fatal(err)
	}
	text := read(t, "docs", "sign-in.md")
	_, explained, found := strings.Cut(text, "\n## Messages, and what to do\n")
	if !found {
		t.Fatal("no section on messages")
	}
	rows := map[string]bool{}
	for _, m := range firstCell.FindAllStringSubmatch(explained, -1) {
		if rows[m[1]] = m[1] != "message" && m[1] != "---"; !rows[m[1]] {
			delete(rows, m[1])
		}
	}
	for name, message := range said {
		if strings.HasPrefix(name, "cause.") && !strings.HasSuffix(name, ".lead") && !rows[message] {
			t.Errorf("%s, %q, is not explained", name, message)
		}
	}
	for row := range rows {
		if !beginsMessage(said, row) {
			t.Errorf("no page says %q", row)
		}
	}
	_, pages, _ := strings.Cut(text, "\n## The pages\n")
	pages, _, _ = strings.Cut(pages, "\n## ")
	for _, m := range firstCell.FindAllStringSubmatch(pages, -1) {
		if m[1] != "page" && m[1] != "---" && m[1] != "Error pages" && !beginsMessage(said, m[1]) {
			t.Errorf("no page is called %q", m[1])
		}
	}
}

func beginsMessage(said map[string]string, text string) bool {
	for _, message := range said {
		if strings.HasPrefix(message, text) {
			return true
		}
	}
	return false
}

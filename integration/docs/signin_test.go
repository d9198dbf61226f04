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

// TestLimitsAreAsDocumented holds the numbers of docs/sign-in.md against the
// constants that they stand for.
func TestLimitsAreAsDocumented(t *testing.T) {
	text := read(t, "docs", "sign-in.md")
	for _, c := range []struct{ file, constant, told string }{
		{"flow/guess.go", `freeGuesses\s+= 5\s`, "| 5 | a pause of 1 s, doubled by each failure after that, up to 15 min; forgotten 15 min after the last guess |"},
		{"flow/guess.go", `longestLock\s+= 15 \* time.Minute`, "up to 15 min"},
		{"flow/guess.go", `quietTime\s+= 15 \* time.Minute`, "forgotten 15 min after"},
		{"flow/guess.go", `accountWindow = 24 \* time.Hour`, "100 in 24 h from the first"},
		{"flow/guess.go", `accountMost\s+= 100\s`, "100 in 24 h from the first"},
		{"flow/spray.go", `sprayWindow = 15 \* time.Minute`, "300 in 15 min"},
		{"flow/spray.go", `sprayMost\s+= 300\s`, "300 in 15 min"},
		{"flow/device.go", `DeviceLife = 400 \* 24 \* time.Hour`, "for 400 days"},
		{"flow/device.go", `maxKnown = 5\s`, "for the latest five people"},
		{"flow/attempt.go", `attemptLife = 10 \* time.Minute`, "| a form on a sign-in page, a choice of a new password | 10 min"},
		{"flow/attempt.go", `ticketLife = 5 \* time.Minute`, "| a form on the account page, *Sign out?* | 5 min |"},
		{"oauth/consent.go", `questionLife = 10 \* time.Minute`, "| an application's question on the consent page | 10 min |"},
		{"guard/signin.go", `txLife = time.Hour`, "while signing in | 1 h; five tabs at once |"},
		{"guard/signin.go", `maxTx = 5\s`, "five tabs at once"},
		{"guard/hops.go", `maxHops = 3\s`, "signed in three times within ten seconds"},
		{"guard/hops.go", `hopWindow = 10 \* time.Second`, "signed in three times within ten seconds"},
		{"session/accounts.go", `MaxAccounts = 5\s`, "Up to five people"},
		{"account/link.go", `inviteLife = 24 \* time.Hour`, "| an invitation | 24 h |"},
		{"factor/password/password.go", `MaxBytes = 1 << 10`, "at most 1024 bytes"},
	} {
		if !regexp.MustCompile(c.constant).MatchString(read(t, "authcore", c.file)) {
			t.Errorf("%s has no %s: what the page says may be wrong", c.file, c.constant)
		}
		if !strings.Contains(text, c.told) {
			t.Errorf("docs/sign-in.md does not say %q", c.told)
		}
	}
}

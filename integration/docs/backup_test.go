package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// TestBackupExamples runs every line of docs/backup.md but those that are
// systemd's: on this machine, as this user, with folders of the test's.
func TestBackupExamples(t *testing.T) {
	s := run(t, "{\n\tgatehouse\n}\n\nlogin.example.com {\n\tgatehouse_login\n}\n", harness.NewUpstream(t))
	for _, who := range []string{"ann@example.com", "eve@example.com"} {
		s.AddUser(who, "seven lanterns by the gate")
	}
	p := page{text: read(t, "docs", "backup.md")}
	bin, backups, fresh, work := t.TempDir(), t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.Symlink(harness.Binary(t), filepath.Join(bin, "caddy")); err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/var/backups/gatehouse", backups, "/var/lib/caddy/.local/share", fresh, "ssh backup.example.com", "bash -c",
		"sudo systemctl", "true", "-o caddy ", "", "sudo -u caddy ", "", "sudo ", "", `\%`, "%")
	do := func(data, lines, want string) string {
		t.Helper()
		out := shell(t, s, work, here.Replace(lines), "PATH="+bin+":"+os.Getenv("PATH"), "XDG_DATA_HOME="+data)
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
		return out
	}
	data, lines := filepath.Dir(filepath.Dir(s.Data)), p.blocks("sh")
	if len(lines) != 6 {
		t.Fatalf("%d blocks", len(lines))
	}
	do(data, lines[0], "monday.db")
	do(data, lines[1], "")
	if info, err := os.Stat(filepath.Join(work, "gatehouse.db")); err != nil || info.Size() == 0 {
		t.Errorf("through the pipe came nothing: %v", err)
	}
	key := filepath.Join(s.Data, "gatehouse.key")
	do(data, lines[2], key)
	_, entry, ok := strings.Cut(p.blocks("crontab")[0], "  ")
	if !ok {
		t.Fatal("no line for cron")
	}
	do(data, entry, "Wrote "+backups)

	s.Stop()
	do(data, lines[3], "The store of before is now")
	raw, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(work, "gatehouse.key"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	do(fresh, lines[4], "Restored "+fresh)
	id := regexp.MustCompile(`(?m)^(\S+) +token `).FindStringSubmatch(do(fresh, "caddy gatehouse key list", "token"))
	if id == nil {
		t.Fatal("no key of use token")
	}
	do(fresh, strings.ReplaceAll(lines[5], "KEY", id[1]), "assertion")
}

package caddymodule

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"
)

// writeUsers makes a file of n users in our own format; every tenth line is damaged.
func writeUsers(t *testing.T, n int) string {
	t.Helper()
	var text strings.Builder
	for i := 1; i <= n; i++ {
		if i%10 == 0 {
			text.WriteString("{damaged\n")
			continue
		}
		fmt.Fprintf(&text, `{"email":"user%d@example.com","password_hash":"{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng=="}`+"\n", i)
	}
	path := filepath.Join(t.TempDir(), "users.ndjson")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// failing is a server that goes away over one batch.
type failing struct {
	http.RoundTripper
	over string       // what is in that batch; empty: it stays
	seen atomic.Int64 // calls that were answered
}

func (f *failing) RoundTrip(r *http.Request) (*http.Response, error) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	if f.over != "" && bytes.Contains(raw, []byte(f.over)) {
		return nil, errors.New("the server is gone")
	}
	f.seen.Add(1)
	again := r.Clone(r.Context())
	again.Body = io.NopCloser(bytes.NewReader(raw))
	return f.RoundTripper.RoundTrip(again)
}

// importWith runs an import over a connection that ends over a batch.
func importWith(t *testing.T, path, over string, flags importFlags) (stdout, stderr string, answered int64, err error) {
	t.Helper()
	c := &cli{pool: defaultPool}
	var out, errOut bytes.Buffer
	cmd := &cobra.Command{}
	cmd.SetContext(t.Context())
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	api, err := c.connect(t.Context(), &errOut)
	if err != nil {
		t.Fatal(err)
	}
	f := &failing{RoundTripper: api.transport, over: over}
	api.transport = f
	err = c.runImport(cmd, api, path, flags)
	if e := api.Close(); e != nil {
		t.Error(e)
	}
	return out.String(), errOut.String(), f.seen.Load(), err
}

func TestAnImportGoesOnWhereItEnded(t *testing.T) {
	run(t, site("", "gatehouse"))
	const users = 2000 // eight batches
	path := writeUsers(t, users)
	_, _, _, err := importWith(t, path, "user751@", importFlags{})
	if err == nil || !strings.Contains(err.Error(), "run the same command again") {
		t.Fatal(err)
	}
	errorsSoFar, err := os.ReadFile(path + ".errors")
	if err != nil {
		t.Fatal(err)
	}
	// What the run that died wrote beyond what was settled is written once.
	if err := os.WriteFile(path+".errors", append(errorsSoFar, "{\"line\":9999,\"reas"...), 0o600); err != nil {
		t.Fatal(err)
	}
	out, stderr, answered, err := importWith(t, path, "", importFlags{})
	var added, there int // a batch behind the one that failed may have been done
	if _, e := fmt.Sscanf(out, "Added %d, there already %d, refused 200.", &added, &there); err == nil || e != nil || added+there != 1800 || added < 675 {
		t.Errorf("%v, %v\n%s", err, e, out)
	}
	if !strings.Contains(stderr, "Going on after the first 750 users") || answered != 5 {
		t.Errorf("%d calls: %s", answered, stderr)
	}
	raw, err := os.ReadFile(path + ".errors")
	if err != nil || bytes.Count(raw, []byte("\n")) != 200 || !bytes.HasPrefix(raw, errorsSoFar) || bytes.Contains(raw, []byte("9999")) || bytes.Contains(raw, []byte("SSHA")) {
		t.Errorf("%v\n%.400s", err, raw)
	}
	if exists(path+".progress") || exists(path+".progress.new") {
		t.Error("the progress is still kept")
	}
	if out := ok(t, "", "", "user", "list", "--json"); strings.Count(out, `"sub"`) != 1800 {
		t.Errorf("%d users", strings.Count(out, `"sub"`))
	}
}

func TestAProgressOfAnotherFileCountsForNothing(t *testing.T) {
	run(t, site("", "gatehouse"))
	path := writeUsers(t, 600)
	if _, _, _, err := importWith(t, path, "user251@", importFlags{}); err == nil {
		t.Fatal("nothing failed")
	}
	if !exists(path + ".progress") {
		t.Fatal("there is no progress")
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	out, stderr, _, _ := importWith(t, path, "", importFlags{})
	if strings.Contains(stderr, "Going on") || !strings.Contains(out, "refused 60.") || strings.Contains(out, "there already 0") {
		t.Errorf("%s%s", stderr, out)
	}
}

func TestADryRunLeavesNothing(t *testing.T) {
	run(t, site("", "gatehouse"))
	path := writeUsers(t, 300)
	out, _, _, err := importWith(t, path, "", importFlags{dry: true})
	if err == nil || !strings.Contains(out, "Nothing was changed. Would add 270, there already 0, refused 30.") {
		t.Errorf("%v %s", err, out)
	}
	if exists(path + ".progress") {
		t.Error("a dry run keeps its progress")
	}
	if out := ok(t, "", "", "user", "list", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("%s", out)
	}
}

func TestExportAndImportWithoutAServer(t *testing.T) {
	run(t, site("", "gatehouse"))
	ok(t, "Added", password+"\n", "user", "add", "ada@example.com", "--password-stdin")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "all.ndjson")
	ok(t, "Wrote 1 users", "", "export", path)
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	raw, err := os.ReadFile(path)
	if err != nil || !bytes.Contains(raw, []byte(`"password_hash":"$argon2id$`)) {
		t.Errorf("%v %s", err, raw)
	}
	refused(t, "is there already", "export", path)
	ok(t, "Added 0, there already 1, refused 0.", "", "import", path)
	refused(t, "no such file", "import", path+".not-there")
	refused(t, "format", "import", path, "--format", "xml")
}

func TestTheBarSaysHowFar(t *testing.T) {
	b := &bar{total: 200}
	if got := b.line(100, 50, time.Second); got != "[###############               ]  50 %  50 users, 50 a second" {
		t.Errorf("%q", got)
	}
	if got := b.line(400, 50, time.Second); !strings.HasPrefix(got, "["+strings.Repeat("#", barWidth)+"] 100 %") {
		t.Errorf("%q", got)
	}
	if got := (&bar{}).line(0, 7, time.Second); got != "7 users, 7 a second" {
		t.Errorf("%q", got)
	}
	var out bytes.Buffer
	none := newBar(&out, 1)
	none.show(1, 1)
	none.end()
	if out.Len() != 0 {
		t.Errorf("no terminal, but %q", out.String())
	}
}

package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// names are the files of a directory, but for the socket and the lock.
func names(t *testing.T, dir string) string {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if e.Name() != "admin.sock" && e.Name() != "gatehouse.db.lock" && !strings.HasSuffix(e.Name(), "-wal") && !strings.HasSuffix(e.Name(), "-shm") {
			out = append(out, e.Name())
		}
	}
	return strings.Join(out, " ")
}

// backUp is what a person does to have a backup, in whichever mode.
func backUp(t *testing.T) (file string) {
	t.Helper()
	dir := t.TempDir()
	file = filepath.Join(dir, "gatehouse.backup")
	key := filepath.Join(dataDir(), "gatehouse.key")
	ok(t, "keep a copy of "+key, "", "backup", file)
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 || info.Size() == 0 {
		t.Errorf("%v, %v", info, err)
	}
	refused(t, "--force replaces it", "backup", file)
	var done backedUp
	if err := json.Unmarshal([]byte(ok(t, "", "", "backup", file, "--force", "--json")), &done); err != nil || done.File != file || done.Bytes == 0 || done.Key != key {
		t.Errorf("%+v, %v", done, err)
	}
	out, said, err := command(t, "", "backup", "-")
	if err != nil || !strings.HasPrefix(out, "SQLite format 3\x00") || !strings.Contains(said, "keep a copy of "+key) {
		t.Errorf("on standard output: %v, %q…, %s", err, out[:min(20, len(out))], said)
	}
	refused(t, "not a regular file", "backup", dir, "--force")
	refused(t, "no such file", "backup", filepath.Join(dir, "no", "backup"))
	if err := os.WriteFile(filepath.Join(dir, "x.part"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "x.part is there", "backup", filepath.Join(dir, "x"))
	if got := names(t, dir); got != "gatehouse.backup x.part" {
		t.Errorf("there is %s", got)
	}
	if got := names(t, dataDir()); got != "gatehouse.db gatehouse.key" {
		t.Errorf("in the data directory there is %s", got)
	}
	return file
}

func TestBackupOfARunningServer(t *testing.T) {
	run(t, site("", "gatehouse"))
	ok(t, "Added", password+"\n", "user", "add", "ada@example.com", "--password-stdin")
	file := backUp(t)
	raw, err := os.ReadFile(file)
	if err != nil || bytes.Contains(raw, []byte("ada@")) || bytes.Contains(raw, []byte("argon2")) {
		t.Errorf("the backup shows what it holds: %v", err)
	}
	refused(t, "a server answers", "restore", file, "--force")
	ok(t, "ada@example.com", "", "user", "list")
}

func TestBackupOfAStoreThatNoServerHas(t *testing.T) {
	run(t, site("", "gatehouse"))
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	backUp(t)
	refused(t, "no store at", "backup", filepath.Join(t.TempDir(), "b"), "--data-dir", t.TempDir())
}

func TestBackupOfAStoreThatForgets(t *testing.T) {
	run(t, site("store memory", "gatehouse"))
	file := filepath.Join(t.TempDir(), "b")
	refused(t, "store memory forgets everything: there is nothing to back up", "backup", file)
	if got := names(t, filepath.Dir(file)); got != "" {
		t.Errorf("there is %s", got)
	}
}

// knock posts to the admin socket.
func knock(t *testing.T, path string) *http.Response {
	t.Helper()
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", filepath.Join(dataDir(), "admin.sock"))
	}}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://gatehouse"+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

// TestTheSocketGivesOutBackups one at a time, and to nobody but itself; what it
// makes for them is gone afterwards, also if whoever asked goes halfway.
func TestTheSocketGivesOutBackups(t *testing.T) {
	c := run(t, site("", "gatehouse"))
	s := held()[0]
	for range 3 {
		res := knock(t, backupPath)
		raw, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK || res.ContentLength != int64(len(raw)) || res.Header.Get("Content-Type") != "application/octet-stream" {
			t.Fatalf("%v: %s, %d bytes of %d", err, res.Status, len(raw), res.ContentLength)
		}
	}
	if got := names(t, dataDir()); got != "gatehouse.db gatehouse.key" {
		t.Errorf("there is %s", got)
	}
	refused(t, "ended after", "backup", filepath.Join(t.TempDir(), "b"), "--data-dir", cutter(t))

	for _, w := range []http.ResponseWriter{deaf{}, panics{}} {
		func() {
			defer func() { _ = recover() }() // as net/http does
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.state.ServeBackup(w, (&http.Request{Method: http.MethodPost}).WithContext(ctx), s.key.spare())
		}()
		if got := names(t, dataDir()); got != "gatehouse.db gatehouse.key" {
			t.Errorf("%T: there is %s", w, got)
		}
	}
	if err := os.WriteFile(s.key.path+".backup", []byte("of a crash"), 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, "Wrote", "", "backup", filepath.Join(t.TempDir(), "b"))

	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, c.url("/_auth/admin"+backupPath), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer nothing")
	if res, text := c.do(r); res.StatusCode < 400 || strings.Contains(text, "SQLite") {
		t.Errorf("over HTTP: %s", res.Status)
	}
}

// deaf is a client that has gone.
type deaf struct{}

func (deaf) Header() http.Header       { return http.Header{} }
func (deaf) WriteHeader(int)           {}
func (deaf) Write([]byte) (int, error) { return 0, errors.New("gone") }

type panics struct{ deaf }

func (panics) Write([]byte) (int, error) { panic(http.ErrAbortHandler) }

// cutter is the data directory of a server that ends in the middle of a backup.
func cutter(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "cut") // short enough for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	l, err := net.Listen("unix", filepath.Join(dir, "admin.sock"))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "1000")
		_, _ = w.Write([]byte("half"))
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	})}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { server.Close() })
	return dir
}

// TestRestore brings a store back on the machine where it was.
func TestRestore(t *testing.T) {
	text := site("", "gatehouse")
	c := run(t, text)
	ok(t, "Added", password+"\n", "user", "add", "ada@example.com", "--password-stdin")
	file := filepath.Join(t.TempDir(), "backup")
	ok(t, "Wrote", "", "backup", file)
	ok(t, "Deleted", "", "user", "delete", "ada@example.com")
	ok(t, "Added", password+"\n", "user", "add", "ben@example.com", "--password-stdin")
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	refused(t, "--force restores over it", "restore", file)
	out := ok(t, "the pool default", "", "restore", file, "--force")
	if !strings.Contains(out, "gatehouse.db.before-") || !strings.Contains(out, "is back") {
		t.Errorf("%s", out)
	}
	if list := ok(t, "ada@example.com", "", "user", "list"); strings.Contains(list, "ben@") {
		t.Errorf("%s", list)
	}
	if err := c.load(text); err != nil {
		t.Fatal(err)
	}
	ok(t, "ada@example.com", "", "user", "list")
}

// TestRestoreElsewhere begins with an empty data directory and the key.
func TestRestoreElsewhere(t *testing.T) {
	run(t, site("", "gatehouse"))
	ok(t, "Added", password+"\n", "user", "add", "ada@example.com", "--password-stdin")
	file := filepath.Join(t.TempDir(), "backup")
	ok(t, "Wrote", "", "backup", file)
	key := filepath.Join(dataDir(), "gatehouse.key")

	dir := t.TempDir()
	refused(t, "--key names", "restore", file, "--data-dir", dir)
	refused(t, "make it as the user", "restore", file, "--key", key, "--data-dir", filepath.Join(dir, "not", "there"))
	var done struct {
		Store, Aside string
		Pools        []string
	}
	if err := json.Unmarshal([]byte(ok(t, "", "", "restore", file, "--key", key, "--data-dir", dir, "--json")), &done); err != nil ||
		done.Store != filepath.Join(dir, "gatehouse.db") || done.Aside != "" || len(done.Pools) != 1 {
		t.Errorf("%+v, %v", done, err)
	}
	if got := names(t, dir); got != "gatehouse.db" {
		t.Errorf("there is %s", got)
	}
	ok(t, "A server looks for the key at "+filepath.Join(dir, "gatehouse.key"), "", "restore", file, "--key", key, "--data-dir", dir, "--force")
	raw, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gatehouse.key"), raw, 0o600); err != nil {
		t.Fatal(err)
	}
	ok(t, "ada@example.com", "", "user", "list", "--data-dir", dir)
}

func TestRestoreRefuses(t *testing.T) {
	run(t, site("", "gatehouse"))
	ok(t, "Added", password+"\n", "user", "add", "ada@example.com", "--password-stdin")
	dir := t.TempDir()
	file := filepath.Join(dir, "backup")
	ok(t, "Wrote", "", "backup", file)
	hidden := filepath.Join(dataDir(), "admin.sock")
	if err := os.Rename(hidden, hidden+".hidden"); err != nil {
		t.Fatal(err)
	}
	refused(t, "a server holds the store", "restore", file, "--force")
	if err := os.Rename(hidden+".hidden", hidden); err != nil {
		t.Fatal(err)
	}
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	whole, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	made := func(name string, raw []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, raw, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	stranger := filepath.Join(dir, "stranger.key")
	if _, err := secret.LoadKeys(stranger, true); err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(whole)
	newer[63] = 99 // user_version
	for want, args := range map[string][]string{
		"does not open":        {file, "--key", stranger},
		"damaged or cut off":   {made("half", whole[:len(whole)/2/8192*8192])},
		"not a backup":         {made("text", bytes.Repeat([]byte("text "), 9000))},
		"newer version":        {made("newer", newer)},
		"no such file":         {filepath.Join(dir, "nothing")},
		"is the store itself":  {filepath.Join(dataDir(), "gatehouse.db")},
		"lets others read it":  {file, "--key", open644(t, stranger)},
		"accepts 1 arg":        {},
		"unknown flag: --keys": {file, "--keys", stranger},
	} {
		refused(t, want, append([]string{"restore", "--force"}, args...)...)
		if got := names(t, dataDir()); got != "gatehouse.db gatehouse.key" {
			t.Errorf("%s: there is %s", want, got)
		}
	}
	ok(t, "ada@example.com", "", "user", "list")
}

// open644 is a copy of a key that others may read.
func open644(t *testing.T, key string) string {
	t.Helper()
	raw, err := os.ReadFile(key)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "open.key")
	if err := os.WriteFile(path, raw, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestAmount(t *testing.T) {
	for n, want := range map[int64]string{0: "0 bytes", 999: "999 bytes", 1000: "1.0 kB", 81920: "81.9 kB", 12_345_678: "12.3 MB", 5_000_000_000: "5.0 GB", 7e15: "7000.0 TB"} {
		if got := amount(n); got != want {
			t.Errorf("%d is %s, want %s", n, got, want)
		}
	}
}

func TestProgressIsOneLine(t *testing.T) {
	var out bytes.Buffer
	p := &progress{to: &out, shown: true, size: 2000}
	p.say("Taking a snapshot…")
	for range 2000 {
		_, _ = p.Write([]byte("x"))
	}
	p.end()
	if got := out.String(); strings.Contains(got, "\n") || !strings.Contains(got, " of 2.0 kB") || !strings.HasSuffix(got, "\r\x1b[K") {
		t.Errorf("%q", got)
	}
	out.Reset()
	quiet := &progress{to: &out, size: 1}
	_, _ = quiet.Write([]byte("x"))
	if quiet.end(); out.Len() > 0 {
		t.Errorf("not on a terminal: %q", out.String())
	}
}

package caddymodule

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
)

// command runs `caddy gatehouse args…` in this process.
func command(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := &cobra.Command{Use: "gatehouse", SilenceUsage: true}
	buildCommand(cmd)
	var out, errOut bytes.Buffer
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&errOut)
	cmd.SetArgs(args)
	err = cmd.ExecuteContext(t.Context())
	return out.String(), errOut.String(), err
}

// ok demands that a command succeeds and prints what is expected.
func ok(t *testing.T, want, stdin string, args ...string) string {
	t.Helper()
	out, errOut, err := command(t, stdin, args...)
	if err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out, errOut)
	}
	if !strings.Contains(out, want) {
		t.Errorf("%v: no %q in\n%s", args, want, out)
	}
	return out
}

// refused demands that a command fails with a sentence.
func refused(t *testing.T, want string, args ...string) {
	t.Helper()
	out, errOut, err := command(t, "", args...)
	if err == nil {
		t.Errorf("%v: it was taken:\n%s", args, out)
	} else if !strings.Contains(err.Error()+errOut, want) {
		t.Errorf("%v: no %q in %v\n%s", args, want, err, errOut)
	}
}

const password = "correct horse battery staple"

// manage is what a person does with the command line, in whichever mode.
func manage(t *testing.T, groups bool) {
	t.Helper()
	add := []string{"user", "add", "ada@example.com", "--name", "Ada", "--group", "operators"}
	if groups {
		add = append(add, "--group", "staff")
	}
	ok(t, "/signup?link=", "", add...)
	refused(t, "", "user", "add", "ADA@example.com")
	ok(t, "Added ben@example.com", password+"\n", "user", "add", "ben@example.com", "--password-stdin")
	refused(t, "the password is empty", "user", "add", "eve@example.com", "--password-stdin") // an empty one
	list := ok(t, "ben@example.com", "", "user", "list")
	if !strings.Contains(list, "ada@example.com") || strings.Contains(list, "eve@") || strings.Count(list, "\n") != 3 {
		t.Errorf("%s", list)
	}
	var users []admin.User
	if err := json.Unmarshal([]byte(ok(t, "", "", "user", "list", "--json")), &users); err != nil || len(users) != 2 {
		t.Errorf("%v %v", users, err)
	}
	ok(t, "Ada", "", "user", "show", "ada@example.com")
	refused(t, "", "user", "show", "nobody@example.com")
	ok(t, "true", "", "user", "disable", "ben@example.com")
	ok(t, "false", "", "user", "enable", "ben@example.com")
	ok(t, "confirmed", password+"2\n", "user", "password", "ada@example.com")
	ok(t, "must_change_password", password+"3\n", "user", "add", "cyd", "--password-stdin", "--must-change", "--json")
	refused(t, "--password-stdin", "user", "add", "dan", "--must-change")
	ok(t, "must_change_password", password+"4\n", "user", "require-password-change", "ada@example.com")
	ok(t, "/signup?link=", "", "user", "invite", "ada@example.com")
	manageMore(t)
	ok(t, "Deleted", "", "user", "delete", "ben@example.com")
	refused(t, "", "user", "show", "ben@example.com")
	refused(t, "pool", "user", "list", "--pool", "nope")

	before := strings.Count(ok(t, "token", "", "key", "list"), "\n")
	ok(t, "token", "", "key", "rotate", "--now")
	if after := strings.Count(ok(t, "token", "", "key", "list"), "\n"); after <= before {
		t.Errorf("%d lines of keys before, %d after", before, after)
	}
	ok(t, "assertion", "", "key", "rotate", "--use", "assertion", "--json")
	var keys []admin.Key
	if err := json.Unmarshal([]byte(ok(t, "", "", "key", "list", "--json")), &keys); err != nil || len(keys) == 0 {
		t.Fatalf("%v %v", keys, err)
	}
	if out := ok(t, string(keys[0].Alg), "", "key", "drop", keys[0].ID); strings.Contains(out, keys[0].ID) {
		t.Errorf("the key is still there:\n%s", out)
	}
	refused(t, "key list", "key", "drop", keys[0].ID)
	refused(t, "", "key", "rotate", "--use", "nothing")
}

// manageMore is about what stands beside a user: profile, groups, sessions, consents.
func manageMore(t *testing.T) {
	t.Helper()
	var u admin.User
	out := ok(t, "", "", "user", "set", "ada@example.com", "--name", "Ada King", "--phone", "+49 30 901820", "--claim", "given_name=Ada", "--claim", "locale=en", "--json")
	if err := json.Unmarshal([]byte(out), &u); err != nil || u.Name != "Ada King" || u.Phone != "+4930901820" || u.Profile["given_name"] != "Ada" || !slices.Contains(u.Groups, "operators") {
		t.Errorf("%v %s", err, out)
	}
	ok(t, `given_name="Ada"`, "", "user", "set", "+4930901820", "--claim", "locale=", "--email", "ada@example.org")
	refused(t, "user list", "user", "show", "ada@example.com")
	ok(t, "ada@example.com", "", "user", "set", "ada@example.org", "--email", "ada@example.com")
	refused(t, "nothing to change", "user", "set", "ada@example.com")
	refused(t, "name=value", "user", "set", "ada@example.com", "--claim", "given_name")
	refused(t, "claim", "user", "set", "ada@example.com", "--claim", "sub=x")

	ok(t, "operators", "", "group", "list")
	ok(t, "operators", "", "user", "groups", "ada@example.com")
	if out := ok(t, "cyd", "", "group", "add", "operators", "cyd"); !strings.Contains(out, "operators") {
		t.Errorf("%s", out)
	}
	var members []admin.User
	if err := json.Unmarshal([]byte(ok(t, "", "", "group", "members", "operators", "--json")), &members); err != nil || len(members) != 2 {
		t.Errorf("%v %v", members, err)
	}
	ok(t, "cyd", "", "group", "remove", "operators", "cyd")
	if out := ok(t, "", "", "user", "groups", "cyd", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("%s", out)
	}
	ok(t, "", "", "user", "set", "cyd", "--group", "operators")
	if out := ok(t, "", "", "user", "set", "cyd", "--group", "", "--json"); !strings.Contains(out, `"groups": []`) {
		t.Errorf("%s", out)
	}
	refused(t, "group list", "group", "members", "nobodys")
	refused(t, "`group nobodys`", "group", "add", "nobodys", "cyd")
	refused(t, "user list", "group", "add", "operators", "nobody")

	if out := ok(t, "", "", "user", "sessions", "cyd", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("%s", out)
	}
	ok(t, "SESSION", "", "user", "sessions", "cyd")
	ok(t, "cyd", "", "user", "end-sessions", "cyd")
	refused(t, "user sessions", "user", "end-sessions", "cyd", "--session", "nonsense")
	ok(t, "CLIENT", "", "user", "consents", "cyd")
	if out := ok(t, "", "", "user", "withdraw", "cyd", "web", "--json"); strings.TrimSpace(out) != "[]" {
		t.Errorf("%s", out)
	}
	ok(t, "Deleted", "", "user", "delete", "cyd")
}

func TestCommandsTalkToTheServer(t *testing.T) {
	t.Setenv("SECRET", "0123456789abcdef")
	run(t, site("group staff\nclient batch {\n\tsecret {env.SECRET}\n\tgrant client_credentials\n}", "gatehouse"))
	manage(t, true)
	refused(t, "staf", "user", "add", "x@example.com", "--group", "staf")
	if out := ok(t, "batch", "", "client", "list"); strings.Contains(out, "0123456789") {
		t.Errorf("%s", out)
	}
	if out := ok(t, "client_credentials", "", "client", "show", "batch", "--json"); strings.Contains(out, "0123456789") {
		t.Errorf("%s", out)
	}
	refused(t, "", "client", "show", "nobody")
}

func TestCommandsOpenTheStoreThemselves(t *testing.T) {
	run(t, site("", "gatehouse"))
	if err := caddy.Stop(); err != nil {
		t.Fatal(err)
	}
	manage(t, false)
	_, stderr, err := command(t, "", "user", "list")
	if err != nil || !strings.Contains(stderr, filepath.Join(dataDir(), "gatehouse.db")) {
		t.Errorf("%v: the path is not printed: %s", err, stderr)
	}
}

// A store is never made by mistake, and never opened beside its owner.
func TestCommandsWithoutAServer(t *testing.T) {
	dir := t.TempDir()
	refused(t, "--data-dir", "user", "list", "--data-dir", dir)
	refused(t, "--data-dir", "user", "add", "ada@example.com", "--data-dir", filepath.Join(dir, "not", "there"))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("%v %v", entries, err)
	}

	run(t, site("", "gatehouse"))
	key := held()[0].key
	hidden := key.socket + ".hidden"
	if err := os.Rename(key.socket, hidden); err != nil {
		t.Fatal(err)
	}
	refused(t, "a server holds the store", "user", "list")
	if err := os.Rename(hidden, key.socket); err != nil {
		t.Fatal(err)
	}
}

func TestCommandsThatAreNotUnderstood(t *testing.T) {
	for _, args := range [][]string{
		{"usr"}, {"user", "lst"}, {"user", "show"}, {"user", "add", "a", "b"}, {"user", "list", "--nope"}, {"client", "show"}, {"key", "rotate", "x"}, {"check", "x"},
		{"user", "add", "a@example.com", "--password", "never-as-an-argument"}, {"group", "add", "staff"}, {"import"}, {"export"}, {"import", "a", "b"}, {"doctor"},
	} {
		_, stderr, err := command(t, "", args...)
		if err == nil || !strings.Contains(err.Error(), "status 2") || !strings.Contains(stderr, "Error: ") {
			t.Errorf("%v: %v\n%s", args, err, stderr)
		}
		if strings.Contains(stderr, "never-as-an-argument") {
			t.Errorf("%v: %s", args, stderr)
		}
	}
}

// What is planned says that it is, and not that it was misspelt.
func TestCommandsThatAreStillToCome(t *testing.T) {
	for _, name := range stillToCome() {
		_, stderr, err := command(t, "", name)
		if err == nil || !strings.Contains(stderr, "no \""+name+"\" yet") || !strings.Contains(stderr, "user, ") && !strings.Contains(stderr, ", user") {
			t.Errorf("%s: %v\n%s", name, err, stderr)
		}
	}
}

func TestCheck(t *testing.T) {
	file := filepath.Join(t.TempDir(), "Caddyfile")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("app.example.com {\n\tgatehouse\n\treverse_proxy localhost:1\n}\n")
	ok(t, "https://app.example.com/_auth", "", "check", "--config", file)
	var report checkReport
	if err := json.Unmarshal([]byte(ok(t, "", "", "check", "--config", file, "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if len(report) != 1 || len(report[0].Sites) != 1 || report[0].Sites[0].Origin != "https://app.example.com" || len(report[0].Sites[0].Gates) != 1 {
		t.Errorf("%+v", report)
	}
	write("{\n\tgatehouse {\n\t\tresource https://api.example.com read write\n\t}\n}\nlogin.example.com {\n\tgatehouse_login\n}\n" +
		"api.example.com {\n\t@write method POST\n\tgatehouse_require scope:read\n\tgatehouse_require @write scope:write\n\treverse_proxy localhost:1\n}\n")
	if err := json.Unmarshal([]byte(ok(t, "", "", "check", "--config", file, "--json")), &report); err != nil {
		t.Fatal(err)
	}
	if len(report) != 1 || len(report[0].Sites) != 1 || len(report[0].Sites[0].Gates) != 2 {
		t.Errorf("a site of two lines is one row: %+v", report)
	}
	write("app.example.com {\n\troute {\n\t\treverse_proxy localhost:1\n\t\tgatehouse\n\t}\n}\n")
	refused(t, "add gatehouse_require, or gatehouse_public to say that it is open", "check", "--config", file)
	write("app.example.com {\n\trespond hello\n}\n")
	refused(t, "no gatehouse", "check", "--config", file)
	write("app.example.com {\n\tgatehouse_requir\n}\n")
	refused(t, "gatehouse_requir", "check", "--config", file)
	refused(t, "", "check", "--config", file+".not-there")
}

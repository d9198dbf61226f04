package stories

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// answer is the last answer that a step got.
type answer struct {
	status int
	header http.Header
}

// command is one word of a story. It returns errUnless when what it looked for
// is not so, which `!` in front of the step turns into success.
type command func(s *story, ts *testscript.TestScript, args []string) error

// unless is a finding that `!` turns round; all other errors fail a story.
type unless struct{ error }

func not(format string, args ...any) error { return unless{fmt.Errorf(format, args...)} }

func commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := map[string]command{
		"upstream": upstreamCmd, "serverenv": serverenvCmd, "prepare": prepareCmd, "server": serverCmd, "start": startCmd,
		"shutdown": shutdownCmd, "kill9": kill9Cmd, "restart": restartCmd, "reload": reloadCmd, "expand": expandCmd,
		"logs": logsCmd, "tree": treeCmd, "cli": cliCmd, "caddy": caddyCmd, "user": userCmd, "first": firstCmd, "link": linkCmd,
		"browser": browserCmd, "get": getCmd, "submit": submitCmd, "signin": signinCmd, "fetch": fetchCmd, "at": atCmd, "hop": hopCmd,
		"refuse": refuseCmd, "raw": rawCmd,
		"press": pressCmd, "follow": followCmd, "post": postCmd, "code": codeCmd,
		"strangers": strangersCmd, "alike": alikeCmd,
		"authorize": authorizeCmd, "token": tokenCmd, "claims": claimsCmd, "call": callCmd,
		"status": statusCmd, "header": headerCmd, "seen": seenCmd, "pick": pickCmd, "same": sameCmd,
	}
	out := map[string]func(*testscript.TestScript, bool, []string){}
	for name, run := range all {
		out[name] = func(ts *testscript.TestScript, neg bool, args []string) {
			err := run(ts.Value(key{}).(*story), ts, args)
			finding, found := errors.AsType[unless](err)
			switch {
			case err != nil && !found:
				ts.Fatalf("%s: %v", name, err)
			case neg && err == nil:
				ts.Fatalf("%s: must not be so", name)
			case !neg && found:
				ts.Fatalf("%s: %v", name, finding)
			}
		}
	}
	return out
}

// want checks the number of arguments; usage names them.
func want(args []string, least, most int, usage string) error {
	if len(args) < least || most >= 0 && len(args) > most {
		return errors.New("usage: " + usage)
	}
	return nil
}

// say prints to the story's standard output.
func say(ts *testscript.TestScript, text string) {
	_, _ = ts.Stdout().Write([]byte(text)) // a buffer
}

// --- the server ---

func upstreamCmd(s *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "upstream NAME"); err != nil {
		return err
	}
	s.upstream(args[0])
	return nil
}

func serverenvCmd(s *story, _ *testscript.TestScript, args []string) error {
	s.options.Env = append(s.options.Env, args...)
	return nil
}

func prepareCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "prepare FILE"); err != nil {
		return err
	}
	s.server = harness.New(s.t, ts.ReadFile(args[0]), s.options)
	s.export(ts)
	return nil
}

// export sets $NAME to the address of every port, and $NAME_port.
func (s *story) export(ts *testscript.TestScript) {
	for _, name := range s.server.Ports() {
		ts.Setenv(name, s.server.URL(name))
		ts.Setenv(name+"_port", strconv.Itoa(s.server.Port(name)))
	}
	ts.Setenv("admin", s.server.Admin())
}

func serverCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := prepareCmd(s, ts, args); err != nil {
		return err
	}
	return startCmd(s, ts, nil)
}

func startCmd(s *story, ts *testscript.TestScript, _ []string) error {
	if err := s.server.TryRun(); err != nil {
		_, _ = ts.Stderr().Write([]byte(s.server.Logs())) // a buffer
		return unless{err}
	}
	return nil
}

func shutdownCmd(s *story, _ *testscript.TestScript, _ []string) error {
	s.server.Stop()
	return nil
}

func kill9Cmd(s *story, _ *testscript.TestScript, _ []string) error {
	s.server.Kill9()
	return nil
}

func restartCmd(s *story, ts *testscript.TestScript, _ []string) error {
	s.server.Stop()
	return startCmd(s, ts, nil)
}

func reloadCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 0, 1, "reload [FILE]"); err != nil {
		return err
	}
	if len(args) == 1 {
		s.server.Configure(ts.ReadFile(args[0]))
		s.export(ts)
	}
	if err := s.server.Reload(); err != nil {
		_, _ = ts.Stderr().Write([]byte(err.Error())) // a buffer
		return unless{err}
	}
	return nil
}

func expandCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "expand FILE"); err != nil {
		return err
	}
	text := s.server.Expand(ts.ReadFile(args[0]))
	s.export(ts)
	return os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600)
}

func logsCmd(s *story, ts *testscript.TestScript, _ []string) error {
	say(ts, s.server.Logs())
	return nil
}

// treeCmd lists the files under a directory, sockets and all, without Caddy's
// own autosaved configuration; a directory that is not there is empty.
func treeCmd(_ *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "tree DIR"); err != nil {
		return err
	}
	root := ts.MkAbs(args[0])
	return filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if path == root && errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, path)
		say(ts, fmt.Sprintf("%v %s\n", info.Mode(), filepath.ToSlash(rel)))
		return err
	})
}

func cliCmd(s *story, ts *testscript.TestScript, args []string) error {
	return caddyCmd(s, ts, slices.Insert(args, lead(args), "gatehouse"))
}

// lead is where a command begins after -in TEXT.
func lead(args []string) int {
	if len(args) > 1 && args[0] == "-in" {
		return 2
	}
	return 0
}

func caddyCmd(s *story, ts *testscript.TestScript, args []string) error {
	stdin := ""
	if n := lead(args); n > 0 {
		stdin, args = args[1], args[n:]
	}
	out, errs, err := s.server.Exec(strings.NewReader(stdin), args...)
	say(ts, out)
	_, _ = ts.Stderr().Write([]byte(errs)) // a buffer
	if err != nil {
		return unless{err}
	}
	return nil
}

func userCmd(s *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 2, -1, "user IDENTIFIER PASSWORD [FLAG…]"); err != nil {
		return err
	}
	s.server.AddUser(args[0], args[1], args[2:]...)
	return nil
}

func firstCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 2, 2, "first IDENTIFIER PASSWORD"); err != nil {
		return err
	}
	s.browser.MakeFirstUser(s.server.FirstLink(), args[0], args[1])
	return s.shown(ts, nil)
}

func linkCmd(s *story, ts *testscript.TestScript, _ []string) error {
	ts.Setenv("link", s.server.FirstLink())
	return nil
}

// --- browsers ---

func browserCmd(s *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "browser NAME"); err != nil {
		return err
	}
	s.browse(args[0])
	return nil
}

// shown remembers and prints the page of the browser.
func (s *story) shown(ts *testscript.TestScript, err error) error {
	s.answer = answer{s.browser.Status, s.browser.Header}
	ts.Setenv("at", s.browser.URL.String())
	say(ts, s.browser.Body)
	ts.Logf("%d %s", s.browser.Status, strings.Join(s.browser.Hops, "\n    → "))
	return err
}

func getCmd(s *story, ts *testscript.TestScript, args []string) error {
	until, args := untilFlag(args)
	if err := want(args, 1, 1, "get [-until STATUS] URL"); err != nil {
		return err
	}
	return poll(until, func() (int, error) {
		err := s.browser.Navigate(http.MethodGet, args[0], nil)
		return s.browser.Status, err
	}, func(err error) error { return s.shown(ts, err) })
}

func submitCmd(s *story, ts *testscript.TestScript, args []string) error {
	values := map[string]string{}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return errors.New("usage: submit [NAME=VALUE…]")
		}
		values[name] = value
	}
	return s.shown(ts, s.browser.TrySubmit(values))
}

func signinCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 2, 2, "signin IDENTIFIER PASSWORD"); err != nil {
		return err
	}
	return s.shown(ts, s.browser.TrySubmit(map[string]string{"identifier": args[0], "password": args[1]}))
}

func fetchCmd(s *story, ts *testscript.TestScript, args []string) error {
	until, args := untilFlag(args)
	method := http.MethodGet
	if len(args) > 1 && args[0] == "-X" {
		method, args = args[1], args[2:]
	}
	if err := want(args, 1, 1, "fetch [-until STATUS] [-X METHOD] URL"); err != nil {
		return err
	}
	var body string
	return poll(until, func() (int, error) {
		res, text, err := s.browser.Fetch(method, args[0])
		if err != nil {
			return 0, err
		}
		body, s.answer = text, answer{res.StatusCode, res.Header}
		return res.StatusCode, nil
	}, func(err error) error {
		say(ts, body)
		return err
	})
}

func atCmd(s *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "at REGEXP"); err != nil {
		return err
	}
	return match(args[0], s.browser.URL.String())
}

func hopCmd(s *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "hop REGEXP"); err != nil {
		return err
	}
	for _, hop := range s.browser.Hops {
		if match(args[0], hop) == nil {
			return nil
		}
	}
	return not("the browser came by\n%s", strings.Join(s.browser.Hops, "\n"))
}

// refuseCmd makes the browser take no cookies of some names, or all again.
func refuseCmd(s *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 0, 1, "refuse [REGEXP]"); err != nil {
		return err
	}
	if len(args) == 0 {
		s.browser.Refuse(nil)
		return nil
	}
	names, err := regexp.Compile(args[0])
	if err != nil {
		return err
	}
	s.browser.Refuse(names)
	return nil
}

// match fits a regular expression to the whole of a text.
func match(expr, text string) error {
	re, err := regexp.Compile(`^(?s:` + expr + `)$`)
	if err != nil {
		return err
	}
	if !re.MatchString(text) {
		return not("%q does not fit %q", text, expr)
	}
	return nil
}

// --- OAuth ---

func (s *story) provider(ts *testscript.TestScript) harness.Provider {
	if base := ts.Getenv("issuer"); base != "" {
		return harness.Provider{Base: base}
	}
	return harness.Provider{Base: ts.Getenv("app") + "/_auth"}
}

func authorizeCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 3, -1, "authorize CLIENT REDIRECT SCOPE [NAME=VALUE…]"); err != nil {
		return err
	}
	target, verifier := s.provider(ts).Authorize(harness.Client{ID: args[0], Redirect: args[1]}, args[2], nil)
	u, err := url.Parse(target)
	if err != nil {
		return err
	}
	q, given := u.Query(), url.Values{}
	for _, a := range args[3:] {
		name, value, ok := strings.Cut(a, "=")
		if q.Del(name); ok {
			given.Add(name, value)
		}
	}
	maps.Copy(q, given)
	u.RawQuery = q.Encode()
	err = s.browser.Navigate(http.MethodGet, u.String(), nil)
	ts.Setenv("verifier", verifier)
	ts.Setenv("code", s.browser.URL.Query().Get("code"))
	return s.shown(ts, err)
}

// tokenCmd calls the token endpoint and sets $access, $refresh and $id to what
// it got; without an answer they are empty.
func tokenCmd(s *story, ts *testscript.TestScript, args []string) error {
	until, args := untilFlag(args)
	form, id, secret, post := url.Values{}, "", "", false
	for len(args) > 1 && (args[0] == "-c" || args[0] == "-u" || args[0] == "-p") {
		id, secret, _ = strings.Cut(args[1], ":")
		post = args[0] == "-p"
		args = args[2:]
	}
	for _, a := range args {
		name, value, ok := strings.Cut(a, "=")
		if !ok {
			return errors.New("usage: token [-until STATUS] [-c CLIENT | -u CLIENT:SECRET | -p CLIENT:SECRET] NAME=VALUE…")
		}
		form.Add(name, value)
	}
	if post {
		form.Set("client_id", id)
		form.Set("client_secret", secret)
		secret = ""
	}
	var a *harness.Answer
	return poll(until, func() (_ int, err error) {
		if a, err = s.provider(ts).Token(harness.Client{ID: id, Secret: secret}, form); err != nil {
			return 0, err
		}
		return a.Status, nil
	}, func(err error) error {
		if a == nil {
			return err
		}
		s.answer = answer{a.Status, a.Header}
		ts.Setenv("access", a.Access)
		ts.Setenv("refresh", a.Refresh)
		ts.Setenv("id", a.ID)
		say(ts, pretty(a.Raw))
		return err
	})
}

// claimsCmd prints header and claims of a token, without looking at its signature.
func claimsCmd(_ *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "claims TOKEN"); err != nil {
		return err
	}
	parts := strings.Split(args[0], ".")
	if len(parts) != 3 {
		return fmt.Errorf("%q is no JWT", args[0])
	}
	for _, part := range parts[:2] {
		raw, err := base64.RawURLEncoding.DecodeString(part)
		if err != nil {
			return err
		}
		say(ts, pretty(raw))
	}
	return nil
}

// pretty sorts and indents JSON; other text stays.
func pretty(raw []byte) string {
	var v any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(v) // it was JSON
	return out.String()
}

const callUsage = "call [-until STATUS] [-X METHOD] [-t TOKEN | -u ID:SECRET] [-H 'NAME: VALUE']… [-d NAME=VALUE]… [-j JSON] URL"

func callCmd(s *story, ts *testscript.TestScript, args []string) error {
	until, args := untilFlag(args)
	c, args, err := parseCall(args)
	if err != nil {
		return err
	}
	if err := want(args, 1, 1, callUsage); err != nil {
		return err
	}
	var body string
	return poll(until, func() (int, error) {
		res, text, err := harness.Send(c.method, args[0], c.header, c.body)
		if err != nil {
			return 0, err
		}
		body, s.answer = text, answer{res.StatusCode, res.Header}
		return res.StatusCode, nil
	}, func(err error) error {
		say(ts, pretty([]byte(body)))
		return err
	})
}

// outgoing is a request of a program.
type outgoing struct {
	method string
	header http.Header
	body   string
}

// parseCall takes the flags of call off the front. With a body it is a POST.
func parseCall(args []string) (outgoing, []string, error) {
	c, form := outgoing{header: http.Header{}}, url.Values{}
	for len(args) > 1 && strings.HasPrefix(args[0], "-") {
		switch name, value, _ := strings.Cut(args[1], "="); args[0] {
		case "-X":
			c.method = args[1]
		case "-t":
			c.header.Set("Authorization", "Bearer "+args[1])
		case "-u":
			c.header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(args[1])))
		case "-H":
			name, value, _ := strings.Cut(args[1], ": ")
			c.header.Add(name, value)
		case "-d":
			form.Add(name, value)
			c.body = form.Encode()
			c.header.Set("Content-Type", "application/x-www-form-urlencoded")
		case "-j":
			c.body = args[1]
			c.header.Set("Content-Type", "application/json")
		default:
			return c, nil, fmt.Errorf("no flag %s", args[0])
		}
		args = args[2:]
	}
	if c.method == "" {
		c.method = http.MethodGet
		if c.body != "" {
			c.method = http.MethodPost
		}
	}
	return c, args, nil
}

// rawCmd sends a request as it is written: no client tidies the target or the
// spelling of a header.
func rawCmd(s *story, ts *testscript.TestScript, args []string) error {
	method, host, lines := http.MethodGet, "", ""
	for len(args) > 1 && (args[0] == "-X" || args[0] == "-H" || args[0] == "-host") {
		switch args[0] {
		case "-X":
			method = args[1]
		case "-host":
			host = args[1]
		default:
			lines += args[1] + "\r\n"
		}
		args = args[2:]
	}
	if err := want(args, 2, 2, "raw [-X METHOD] [-host HOST] [-H 'NAME: VALUE']… ORIGIN TARGET"); err != nil {
		return err
	}
	u, err := url.Parse(args[0])
	if err != nil {
		return err
	}
	c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", u.Port()))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }() // it has been read
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(c, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n", method, args[1], cmp.Or(host, u.Host), lines); err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		return err
	}
	body, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	s.answer = answer{res.StatusCode, res.Header}
	say(ts, string(body))
	return errors.Join(err, res.Body.Close())
}

// untilFlag takes -until STATUS off the front; 0: once.
func untilFlag(args []string) (int, []string) {
	if len(args) > 1 && args[0] == "-until" {
		n, err := strconv.Atoi(args[1])
		if err != nil {
			n = -1 // no answer has it
		}
		return n, args[2:]
	}
	return 0, args
}

// poll repeats a step until it has the status: what must reach every gate may
// take two seconds, an expired token half a minute, and a busy machine longer.
func poll(until int, step func() (int, error), done func(error) error) error {
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		status, err := step()
		if err != nil || until == 0 || status == until {
			return done(err)
		}
		if time.Now().After(deadline) {
			return done(fmt.Errorf("still %d", status))
		}
	}
}

// --- what came of it ---

func statusCmd(s *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 1, 1, "status CODE"); err != nil {
		return err
	}
	if got := strconv.Itoa(s.answer.status); got != args[0] {
		return not("%s, not %s", got, args[0])
	}
	return nil
}

func headerCmd(s *story, _ *testscript.TestScript, args []string) error {
	if len(args) == 3 && args[0] == "-like" {
		return match(args[2], strings.Join(s.answer.header.Values(args[1]), ", "))
	}
	if err := want(args, 1, 2, "header [-like] NAME [VALUE]"); err != nil {
		return err
	}
	values := s.answer.header.Values(args[0])
	switch got := strings.Join(values, ", "); {
	case len(values) == 0:
		return not("no %s in %v", args[0], slices.Sorted(maps.Keys(s.answer.header)))
	case len(args) == 2 && got != args[1]:
		return not("%s: %s\nnot: %s", args[0], got, args[1])
	}
	return nil
}

// seenCmd prints what reached an upstream since the last look, heads and bodies.
func seenCmd(s *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 0, 1, "seen [UPSTREAM]"); err != nil {
		return err
	}
	name := "up"
	if len(args) == 1 {
		name = args[0]
	}
	seen := s.upstream(name).Take()
	for _, r := range seen {
		say(ts, strings.ReplaceAll(r.Raw, "\r\n", "\n")+"\n\n"+r.Body)
	}
	if len(seen) == 0 {
		return not("nothing reached the upstream")
	}
	return nil
}

func pickCmd(_ *story, ts *testscript.TestScript, args []string) error {
	if err := want(args, 2, 3, "pick VARIABLE REGEXP [FILE]"); err != nil {
		return err
	}
	file := "stdout"
	if len(args) == 3 {
		file = args[2]
	}
	re, err := regexp.Compile(args[1])
	if err != nil {
		return err
	}
	found := re.FindStringSubmatch(ts.ReadFile(file))
	if len(found) < 2 {
		return not("%s has nothing like %q", file, args[1])
	}
	ts.Setenv(args[0], found[1])
	return nil
}

func sameCmd(_ *story, _ *testscript.TestScript, args []string) error {
	if err := want(args, 2, 2, "same A B"); err != nil {
		return err
	}
	if args[0] != args[1] {
		return not("%q is not %q", args[0], args[1])
	}
	return nil
}

package caddymodule

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/admin"
)

// base is the path of the pool's resources.
func (c *cli) base() string  { return "/v1/pools/" + escape(c.pool) }
func (c *cli) users() string { return c.base() + "/users" }

// user is the path of a user, by whatever names one.
func (c *cli) user(who string) string { return c.users() + "/" + escape(who) }

func escape(s string) string { return url.PathEscape(s) }

// adminAPI calls the admin API: of a running server, or of one made for this
// call on the store itself.
type adminAPI struct {
	transport http.RoundTripper
	close     func() error

	state   *authcore.State // if no server runs
	storage storage         // of state
}

// Close ends the connection, and closes the store if it was opened.
func (a *adminAPI) Close() error { return a.close() }

// directory is the data directory.
func (c *cli) directory() string {
	if c.dir != "" {
		return c.dir
	}
	return dataDir()
}

// connect finds the running server by its socket, or opens the store.
func (c *cli) connect(ctx context.Context, stderr io.Writer) (*adminAPI, error) {
	dir := c.directory()
	socket := resolveStorage(nil, nil, dir).socket
	conn, err := net.DialTimeout("unix", socket, 2*time.Second)
	if err == nil {
		if err := conn.Close(); err != nil {
			return nil, fmt.Errorf("admin socket: %w", err)
		}
		t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		}}
		return &adminAPI{transport: t, close: func() error { t.CloseIdleConnections(); return nil }}, nil
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("the admin socket %s belongs to somebody else: run this as the user that runs the server", socket)
	}
	return openDirectly(ctx, dir, stderr)
}

// openDirectly serves the admin API in process on the embedded store. It
// makes no file: a store that is not there is a mistake in the directory.
func openDirectly(ctx context.Context, dir string, stderr io.Writer) (*adminAPI, error) {
	s := resolveStorage(nil, nil, dir)
	s.createKey = false
	if !exists(s.path) {
		return nil, fmt.Errorf("no server answers at %s, and there is no store at %s: name the server's data directory with --data-dir (it is `gatehouse` in the data directory of the user that runs Caddy)", s.socket, s.path)
	}
	state, err := s.openState(ctx, slog.New(slog.DiscardHandler))
	if errors.Is(err, authcore.ErrInUse) {
		return nil, fmt.Errorf("a server holds the store but does not answer at %s: %w", s.socket, err)
	}
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(stderr, "No server is running: working on %s itself.\n", s.path)
	return &adminAPI{transport: inProcess{state.Admin()}, close: state.Close, state: state, storage: s}, nil
}

// inProcess calls a handler without a connection.
type inProcess struct{ handler http.Handler }

// RoundTrip serves the request.
func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	w := &answer{header: http.Header{}, status: http.StatusOK}
	p.handler.ServeHTTP(w, r)
	return &http.Response{StatusCode: w.status, Header: w.header, Body: io.NopCloser(&w.body), Request: r}, nil
}

// answer is a response that stays in memory.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return a.body.Write(p) }

// maxAnswer bounds an answer of the admin API, in bytes.
const maxAnswer = 16 << 20

// call sends a request and reads the answer into out, or its error.
func (a *adminAPI) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader = http.NoBody
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("admin API: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	r, err := http.NewRequestWithContext(ctx, method, "http://gatehouse"+path, body)
	if err != nil {
		return fmt.Errorf("admin API: %w", err)
	}
	res, err := a.transport.RoundTrip(r)
	if err != nil {
		return fmt.Errorf("admin API: %w", err)
	}
	raw, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err = errors.Join(err, res.Body.Close()); err != nil {
		return fmt.Errorf("admin API: %w", err)
	}
	if res.StatusCode != http.StatusOK {
		return problem(res.StatusCode, raw)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("admin API: %w", err)
	}
	return nil
}

// problem is the error that an answer says.
func problem(status int, raw []byte) error {
	var e admin.Problem
	if json.Unmarshal(raw, &e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("%s (%s): the server's log says why", http.StatusText(status), e.Error)
	}
	return errors.New(e.Message + remedy(status, e.Message))
}

// remedy names the likely fix of a refusal.
func remedy(status int, message string) string {
	if status != http.StatusNotFound {
		return ""
	}
	for _, known := range []struct{ in, fix string }{
		{"no pool", "--pool names another"}, {"no group", "see `caddy gatehouse group list`"},
		{"such key", "see `caddy gatehouse key list`"}, {"session", "see `caddy gatehouse user sessions`"}, {"client", "see `caddy gatehouse client list`"}, {"user", "see `caddy gatehouse user list`"},
	} {
		if strings.Contains(message, known.in) {
			return ": " + known.fix
		}
	}
	return ""
}

// print prints v as JSON, or as people read it.
func (c *cli) print(cmd *cobra.Command, v any, plain func(io.Writer)) error {
	if !c.json {
		plain(cmd.OutOrStdout())
		return nil
	}
	e := json.NewEncoder(cmd.OutOrStdout())
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func (c *cli) printUser(cmd *cobra.Command, u admin.User) error {
	return c.print(cmd, u, func(w io.Writer) { fields(w, u) })
}

// table prints aligned columns.
func table(w io.Writer, head []string, rows func(row func(...string))) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...string) { fmt.Fprintln(t, strings.Join(cells, "\t")) }
	row(head...)
	rows(row)
	_ = t.Flush() // the writer's own error shows when the program's output fails
}

// fields prints a value's JSON members, one a line.
func fields(w io.Writer, v any) {
	raw, err := json.Marshal(v)
	if err != nil {
		fmt.Fprintln(w, err)
		return
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = d.Token() // the opening brace
	for d.More() {
		name, _ := d.Token()
		var value any
		if d.Decode(&value) != nil {
			break
		}
		fmt.Fprintf(t, "%v\t%s\n", name, onOneLine(value))
	}
	_ = t.Flush() // as in table
}

// printable is text of somebody else's without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
}

// onOneLine is a value of JSON as a person reads it.
func onOneLine(value any) string {
	var items []string
	switch value := value.(type) {
	case []any:
		for _, item := range value {
			items = append(items, fmt.Sprint(item))
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(value)) {
			items = append(items, fmt.Sprintf("%s=%q", name, value[name]))
		}
	default:
		return fmt.Sprint(value)
	}
	return strings.Join(items, " ")
}

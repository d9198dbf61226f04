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
	"net"
	"net/http"
	"net/url"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/store"
)

// userInput, user, client and key are what the admin API takes and answers.
type userInput struct {
	Identifier string   `json:"identifier,omitempty"`
	Name       string   `json:"name,omitempty"`
	Groups     []string `json:"groups,omitempty"`
	Password   string   `json:"password,omitempty"`
}

type user struct {
	Sub      string    `json:"sub"`
	Username string    `json:"username"`
	Email    string    `json:"email,omitempty"`
	Phone    string    `json:"phone,omitempty"`
	Name     string    `json:"name,omitempty"`
	Groups   []string  `json:"groups"`
	Status   string    `json:"status"`
	Disabled bool      `json:"disabled"`
	Created  time.Time `json:"created"`
	Updated  time.Time `json:"updated"`
	Link     string    `json:"link,omitempty"`
}

// name is what a person calls the user.
func (u user) name() string {
	for _, s := range []string{u.Email, u.Phone} {
		if s != "" {
			return s
		}
	}
	return u.Username
}

func (u user) state() string {
	if u.Disabled {
		return "disabled"
	}
	return strings.ReplaceAll(u.Status, "_", " ")
}

type client struct {
	ID        string   `json:"id"`
	Name      string   `json:"name,omitempty"`
	Auth      []string `json:"auth"`
	Secrets   []string `json:"secret_ids,omitempty"`
	Grants    []string `json:"grants"`
	Redirects []string `json:"redirect_uris,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	Machine   []string `json:"machine_scopes,omitempty"`
	Resources []string `json:"resources,omitempty"`
	Disabled  bool     `json:"disabled"`
	Site      bool     `json:"site,omitempty"`
}

func (c client) scopes() string { return strings.Join(append(c.Scopes, c.Machine...), " ") }

type key struct {
	ID       string    `json:"id"`
	Use      string    `json:"use"`
	Alg      string    `json:"alg"`
	State    string    `json:"state"`
	Created  time.Time `json:"created"`
	SignFrom time.Time `json:"sign_from"`
	Retire   time.Time `json:"retire,omitzero"`
}

// base is the path of the pool's resources.
func (c *cli) base() string  { return "/v1/pools/" + escape(c.pool) }
func (c *cli) users() string { return c.base() + "/users" }

func escape(s string) string { return url.PathEscape(s) }

// adminAPI calls the admin API: of a running server, or of one made for this
// call on the store itself.
type adminAPI struct {
	transport http.RoundTripper
	close     func() error
}

// Close ends the connection, and closes the store if it was opened.
func (a *adminAPI) Close() error { return a.close() }

// connect finds the running server by its socket, or opens the store.
func (c *cli) connect(ctx context.Context, stderr io.Writer) (*adminAPI, error) {
	dir := c.dir
	if dir == "" {
		dir = dataDir()
	}
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
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("a server holds the store but does not answer at %s: %w", s.socket, err)
	}
	if err != nil {
		return nil, err
	}
	fmt.Fprintf(stderr, "No server is running: working on %s itself.\n", s.path)
	return &adminAPI{transport: inProcess{state.Admin()}, close: state.Close}, nil
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
		var e struct{ Error, Message string }
		if json.Unmarshal(raw, &e) != nil || e.Message == "" {
			e.Message = fmt.Sprintf("%s (%s)", http.StatusText(res.StatusCode), e.Error)
		}
		return errors.New(e.Message)
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("admin API: %w", err)
	}
	return nil
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

func (c *cli) printUser(cmd *cobra.Command, u user) error {
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
		if list, ok := value.([]any); ok {
			var items []string
			for _, item := range list {
				items = append(items, fmt.Sprint(item))
			}
			value = strings.Join(items, " ")
		}
		fmt.Fprintf(t, "%v\t%v\n", name, value)
	}
	_ = t.Flush() // as in table
}

// Package admin is the admin API: users, their sessions, groups, clients and
// keys of a pool as JSON, for the command line and for operators' programs.
//
// It has two doors: the admin socket, where everybody is an operator and every
// pool is there, and the login host, for the access tokens of operators and of
// machines that may (door.go). It owns the shape of requests and answers, and
// the OpenAPI document. What may be done, and what it does, is account's,
// session's and keyring's.
package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

// Config says what the API stands on.
type Config struct {
	Accounts *account.Service
	Sessions *session.Service
	Tokens   *token.Service
	Keys     *keyring.Ring
	// Pool finds a pool by name; fault.NotFound.
	Pool func(ctx context.Context, name string) (*pool.Pool, error)
	// Link makes the address of a one-time link from its token.
	Link   func(p *pool.Pool, token string) string
	Logger *slog.Logger // audit records go here; nil: discards
}

// API is the admin API of all pools.
type API struct {
	config   Config
	document []byte
}

// New returns the API.
func New(c Config) *API {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &API{config: c, document: Document()}
}

// call is a request that was let in.
type call struct {
	*http.Request
	by   pool.Caller
	pool *pool.Pool
	in   any // what operation.in points to, filled
}

// door lets a request in: who asks, and the pool of a name; an error refuses.
type door func(r *http.Request, name string) (pool.Caller, *pool.Pool, error)

// router is the API behind a door.
type router struct {
	api  *API
	mux  *http.ServeMux
	door door
}

// route builds the routes behind a door: one for each path of the table.
func (a *API) route(d door) *router {
	t := &router{api: a, mux: http.NewServeMux(), door: d}
	methods := map[string]map[string]operation{}
	for _, op := range operations() {
		if methods[op.path] == nil {
			methods[op.path] = map[string]operation{}
		}
		methods[op.path][op.method] = op
	}
	for pattern, ops := range methods {
		t.mux.Handle(pattern, endpoint{t, ops})
	}
	return t
}

// endpoint is one path; the router asks it, and nobody else serves it.
type endpoint struct {
	*router
	ops map[string]operation // by method
}

// ServeHTTP is run for its error by router.serve.
func (e endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := e.answer(w, r); err != nil {
		w.(*outcome).err = err
	}
}

// outcome carries an error out of http.ServeMux.
type outcome struct {
	http.ResponseWriter
	err error
}

// Unwrap serves http.ResponseController.
func (o *outcome) Unwrap() http.ResponseWriter { return o.ResponseWriter }

// serve answers, or returns an error and has written nothing.
func (t *router) serve(w http.ResponseWriter, r *http.Request) error {
	if p := r.URL.EscapedPath(); path.Clean(p) != p {
		return errNowhere // http.ServeMux would redirect
	}
	if _, pattern := t.mux.Handler(r); pattern == "" {
		return errNowhere
	}
	o := &outcome{ResponseWriter: w}
	t.mux.ServeHTTP(o, r)
	return o.err
}

var (
	errNowhere = fault.New(fault.NotFound, "there is nothing at this address; /v1/openapi.json says what there is")
	errMethod  = fault.New(fault.NotSupported, "this method is not supported here: reading is GET, every change is POST")
)

// answer is the pipeline of every operation: door, input, verb, answer.
func (e endpoint) answer(w http.ResponseWriter, r *http.Request) error {
	op, known := e.ops[r.Method]
	if known && op.open {
		mux.WriteRawJSON(w, http.StatusOK, e.api.document)
		return nil
	}
	by, p, err := e.door(r, r.PathValue("pool"))
	if err != nil {
		return err
	}
	if !known {
		w.Header().Set("Allow", e.allowed())
		return errMethod
	}
	c := &call{Request: r, by: by, pool: p}
	if c.in, err = op.read(w, r); err != nil {
		return err
	}
	answer, err := op.do(e.api, c)
	if err != nil {
		return plain(err)
	}
	mux.WriteJSON(w, http.StatusOK, answer)
	return nil
}

func (e endpoint) allowed() string {
	var methods []string
	for m := range e.ops {
		methods = append(methods, m)
	}
	slices.Sort(methods)
	return strings.Join(methods, ", ")
}

// decode reads a JSON object and nothing after it; an empty body is an empty object.
func decode(r io.Reader, v any) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		var large *http.MaxBytesError
		if errors.As(err, &large) {
			return fault.Wrap(fault.TooLarge, err, fmt.Sprintf("the body is larger than %d bytes", large.Limit))
		}
		return fault.Wrap(fault.Invalid, err, "the body was cut off")
	}
	if len(bytes.TrimSpace(raw)) == 0 {
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		text := "the body is not the JSON that is expected here"
		if _, member, ok := strings.Cut(err.Error(), "unknown field "); ok {
			text = "there is no member " + member + " here"
		}
		return fault.Wrap(fault.Invalid, err, text)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fault.New(fault.Invalid, "there is something after the JSON object")
	}
	return nil
}

// plain turns a password problem into words.
func plain(err error) error {
	var problem *account.PasswordProblem
	if errors.As(err, &problem) {
		return fault.Wrap(fault.Invalid, err, "the password will not do: "+strings.ReplaceAll(problem.Problem, "_", " "))
	}
	return err
}

// record writes the audit record of a change that is about to be made by a
// service which knows no callers.
func (a *API) record(c *call, verb string, sub pool.UserID) {
	a.config.Logger.LogAttrs(c.Context(), slog.LevelInfo, "audit",
		slog.String("verb", verb), slog.Bool("allowed", true), slog.String("caller", string(c.by.Kind)), slog.String("caller_name", c.by.Name),
		slog.String("pool", string(c.pool.ID)), slog.String("user", string(sub)))
}

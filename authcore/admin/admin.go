// Package admin is the admin API: users, clients and keys of a pool as JSON,
// for the admin socket and the command line.
//
// It owns the shape of requests and answers. What may be done, and what it
// does, is account's and keyring's; who may reach it is decided where it is
// mounted: everybody who reaches it is an operator.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/keyring"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Config says what the API stands on.
type Config struct {
	Accounts *account.Service
	Keys     *keyring.Ring
	// Pool finds a pool by name; fault.NotFound.
	Pool func(ctx context.Context, name string) (*pool.Pool, error)
	// Link makes the address of a one-time link from its token.
	Link func(p *pool.Pool, token string) string
	// Caller says who is asking.
	Caller func(*http.Request) pool.Caller
}

// maxPage is the most users in one answer.
const maxPage = 200

type api struct{ Config }

// New returns the API's handler; its paths begin with /v1/.
func New(c Config) http.Handler {
	a := &api{c}
	m := http.NewServeMux()
	a.handle(m, "GET /v1/pools/{pool}/users", a.listUsers)
	a.handle(m, "POST /v1/pools/{pool}/users", a.addUser)
	a.handle(m, "GET /v1/pools/{pool}/users/{who}", a.showUser)
	a.handle(m, "POST /v1/pools/{pool}/users/{who}/{verb}", a.changeUser)
	a.handle(m, "GET /v1/pools/{pool}/clients", a.listClients)
	a.handle(m, "GET /v1/pools/{pool}/clients/{id...}", a.showClient)
	a.handle(m, "GET /v1/pools/{pool}/keys", a.listKeys)
	a.handle(m, "POST /v1/pools/{pool}/keys/rotate", a.rotateKeys)
	return m
}

// handler answers with a value to encode, or an error.
type handler func(r *http.Request, p *pool.Pool) (any, error)

// handle is the pipeline of every endpoint: pool, verb, answer or error.
func (a *api) handle(m *http.ServeMux, pattern string, h handler) {
	m.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, mux.MaxBody)
		p, err := a.Pool(r.Context(), r.PathValue("pool"))
		var answer any
		if err == nil {
			answer, err = h(r, p)
		}
		if err != nil {
			mux.WriteAPIError(w, r, err)
			return
		}
		mux.WriteJSON(w, http.StatusOK, answer)
	})
}

// userInput is what a caller may say of a user.
type userInput struct {
	Identifier string   `json:"identifier"`
	Name       string   `json:"name"`
	Groups     []string `json:"groups"`
	Password   string   `json:"password"`
}

// userOutput is what is told of a user: never a hash.
type userOutput struct {
	Sub      pool.UserID `json:"sub"`
	Username string      `json:"username"`
	Email    string      `json:"email,omitempty"`
	Phone    string      `json:"phone,omitempty"`
	Name     string      `json:"name,omitempty"`
	Groups   []string    `json:"groups"`
	Status   string      `json:"status"`
	Disabled bool        `json:"disabled"`
	Created  time.Time   `json:"created"`
	Updated  time.Time   `json:"updated"`
	Link     string      `json:"link,omitempty"` // one-time, to set a password
}

func output(u *pool.User) userOutput {
	status := "confirmed"
	if u.Status == pool.MustSetPassword {
		status = "must_set_password"
	}
	groups := u.Groups
	if groups == nil {
		groups = []string{}
	}
	return userOutput{
		Sub: u.Sub, Username: u.Username, Email: u.Email, Phone: u.Phone, Name: u.Name,
		Groups: groups, Status: status, Disabled: u.Disabled, Created: u.Created, Updated: u.Updated,
	}
}

func (a *api) listUsers(r *http.Request, p *pool.Pool) (any, error) {
	limit := 60
	if s := r.URL.Query().Get("limit"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil || n < 1 || n > maxPage {
			return nil, fault.New(fault.Invalid, "limit is a number from 1 to "+strconv.Itoa(maxPage))
		}
		limit = n
	}
	users, next, err := a.Accounts.Users(r.Context(), p, r.URL.Query().Get("after"), limit)
	if err != nil {
		return nil, err
	}
	out := make([]userOutput, 0, len(users))
	for _, u := range users {
		out = append(out, output(u))
	}
	return map[string]any{"users": out, "next": next}, nil
}

func (a *api) addUser(r *http.Request, p *pool.Pool) (any, error) {
	var in userInput
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	for _, g := range in.Groups {
		if g != pool.OperatorsGroup && p.Groups[g] == nil {
			return nil, fault.New(fault.Invalid, "the pool has no group "+strconv.Quote(g)+": declare it with `group "+g+"`")
		}
	}
	u, err := a.Accounts.Create(r.Context(), a.Caller(r), p, account.NewUser{
		Identifier: in.Identifier, Name: in.Name, Groups: in.Groups, Password: in.Password, Verified: true,
	})
	if err != nil {
		return nil, plain(err)
	}
	return a.withLink(r, p, u)
}

// withLink adds a one-time link for a user who has no password yet.
func (a *api) withLink(r *http.Request, p *pool.Pool, u *pool.User) (any, error) {
	out := output(u)
	if u.Status == pool.MustSetPassword {
		token, err := a.Accounts.Invite(r.Context(), a.Caller(r), p, u.Sub)
		if err != nil {
			return nil, err
		}
		out.Link = a.Link(p, token)
	}
	return out, nil
}

func (a *api) showUser(r *http.Request, p *pool.Pool) (any, error) {
	u, err := a.Accounts.Find(r.Context(), p, r.PathValue("who"))
	if err != nil {
		return nil, err
	}
	return output(u), nil
}

func (a *api) changeUser(r *http.Request, p *pool.Pool) (any, error) {
	var in userInput
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	ctx, by := r.Context(), a.Caller(r)
	u, err := a.Accounts.Find(ctx, p, r.PathValue("who"))
	if err != nil {
		return nil, err
	}
	switch r.PathValue("verb") {
	case "password":
		_, err = a.Accounts.SetPassword(ctx, by, p, u.Sub, in.Password)
	case "disable":
		err = a.Accounts.Disable(ctx, by, p, u.Sub)
	case "enable":
		err = a.Accounts.Enable(ctx, by, p, u.Sub)
	case "delete":
		err = a.Accounts.Delete(ctx, by, p, u.Sub)
		return map[string]any{"deleted": u.Sub}, err
	case "invite":
		var token string
		if token, err = a.Accounts.Invite(ctx, by, p, u.Sub); err == nil {
			return map[string]any{"link": a.Link(p, token)}, nil
		}
	default:
		err = fault.New(fault.NotFound, "no such verb")
	}
	if err != nil {
		return nil, plain(err)
	}
	if u, err = a.Accounts.Find(ctx, p, string(u.Sub)); err != nil {
		return nil, err
	}
	return output(u), nil
}

// clientOutput is what is told of a client: never a secret.
type clientOutput struct {
	ID        pool.ClientID `json:"id"`
	Name      string        `json:"name,omitempty"`
	Auth      []string      `json:"auth"`
	Secrets   []string      `json:"secret_ids,omitempty"`
	Grants    []string      `json:"grants"`
	Redirects []string      `json:"redirect_uris,omitempty"`
	Scopes    []string      `json:"scopes,omitempty"`
	Machine   []string      `json:"machine_scopes,omitempty"`
	Resources []string      `json:"resources,omitempty"`
	Disabled  bool          `json:"disabled"`
	Site      bool          `json:"site,omitempty"`
}

func outputClient(c *pool.Client) clientOutput {
	out := clientOutput{
		ID: c.ID, Name: c.Name, Auth: c.AuthMethods, Grants: c.Grants, Redirects: c.RedirectURIs, Scopes: c.Scopes,
		Machine: c.MachineScopes, Resources: c.Resources, Disabled: c.Disabled, Site: c.Site,
	}
	for _, s := range c.Secrets {
		out.Secrets = append(out.Secrets, s.ID)
	}
	return out
}

func (a *api) listClients(_ *http.Request, p *pool.Pool) (any, error) {
	out := make([]clientOutput, 0, len(p.Clients))
	for _, c := range p.Clients {
		out = append(out, outputClient(c))
	}
	slices.SortFunc(out, func(a, b clientOutput) int { return strings.Compare(string(a.ID), string(b.ID)) })
	return map[string]any{"clients": out}, nil
}

func (a *api) showClient(r *http.Request, p *pool.Pool) (any, error) {
	c := p.Clients[pool.ClientID(r.PathValue("id"))]
	if c == nil {
		return nil, fault.New(fault.NotFound, "no such client")
	}
	return outputClient(c), nil
}

func (a *api) listKeys(r *http.Request, p *pool.Pool) (any, error) {
	keys, err := a.Keys.List(r.Context(), p.ID)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keys": keys}, nil
}

func (a *api) rotateKeys(r *http.Request, p *pool.Pool) (any, error) {
	in := struct {
		Use pool.KeyUse `json:"use"`
		Now bool        `json:"now"`
	}{Use: pool.TokenKeys}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	if in.Use != pool.TokenKeys && in.Use != pool.AssertionKeys {
		return nil, fault.New(fault.Invalid, "use is token or assertion")
	}
	keys, err := a.Keys.Rotate(r.Context(), a.Caller(r), p.ID, in.Use, in.Now)
	if err != nil {
		return nil, err
	}
	return map[string]any{"keys": keys}, nil
}

// decode reads a JSON body; an empty one is an empty object.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return fault.Wrap(fault.Invalid, err, "the body is not the JSON that is expected here")
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

package oauth

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

const (
	// fieldQuestion holds what the person was asked.
	fieldQuestion = "question"
	// questionLife is how long an answer to it is taken.
	questionLife = 10 * time.Minute
	// maxQuestion bounds what is opened, in bytes.
	maxQuestion = 1 << 10
)

// asksConsent reports whether the person must be asked before the client gets
// anything. Where the answer goes to a program on the person's own machine,
// nobody knows which: it is asked each time.
func (e *endpoints) asksConsent(ctx context.Context, req *request, live *session.Live) (bool, error) {
	switch {
	case req.client.Site:
		return false, nil
	case req.wants(promptConsent):
		return true, nil
	case !req.client.Consent:
		return false, nil
	}
	if _, local := redirectHost(req.redirect); local {
		return true, nil
	}
	for _, want := range e.consents(req) {
		given, err := e.config.Accounts.Consented(ctx, e.site.Pool, live.User.Sub, want)
		if err != nil || !given {
			return true, err
		}
	}
	return false, nil
}

// redirectHost is where an answer goes, as people are told, and whether that
// is the person's own machine: a loopback address, or a scheme of an app's.
func redirectHost(redirect string) (host string, local bool) {
	u, err := url.Parse(redirect)
	switch {
	case err != nil:
		return "", true
	case u.Scheme != "https" && u.Scheme != "http":
		return u.Scheme + ":", true
	case pool.Loopback(u.Hostname()):
		return u.Hostname(), true // its port changes from run to run
	}
	return u.Host, false
}

// consents is what a request asks a person to let the client have: of the
// issuer, and of each resource.
func (e *endpoints) consents(req *request) []pool.Consent {
	host, _ := redirectHost(req.redirect)
	all := []pool.Consent{{Client: req.client.ID, Host: host, Scopes: req.personal()}}
	for _, id := range req.resources {
		all = append(all, pool.Consent{Client: req.client.ID, Host: host, Resource: id, Scopes: scopesAt(e.site.Pool.Resources[id], req.scopes)})
	}
	return all
}

// scopesAt are those of the scopes that a resource declares.
func scopesAt(r *pool.Resource, scopes []string) []string {
	return slices.DeleteFunc(slices.Clone(scopes), func(s string) bool { return !r.Has(s) })
}

// personal are the OIDC scopes asked for, and those that the claims asked for
// by name belong to.
func (req *request) personal() []string {
	scopes := slices.DeleteFunc(slices.Clone(req.scopes), func(s string) bool { return !pool.IsOIDCScope(s) })
	for _, name := range slices.Concat(req.idClaims, req.infoClaims) {
		if s := token.ScopeOfClaim(name); !slices.Contains(scopes, s) {
			scopes = append(scopes, s)
		}
	}
	return scopes
}

// showConsent asks the person.
func (e *endpoints) showConsent(w http.ResponseWriter, r *http.Request) error {
	req, live, err := e.ready(w, r)
	if err != nil || live == nil {
		return err
	}
	ask, err := e.asksConsent(r.Context(), req, live)
	switch {
	case err != nil:
		return e.refuse(w, r, req, err)
	case !ask || req.wants(promptNone):
		e.lead(w, r, authorizePath, r.URL.RawQuery)
		return nil
	}
	return e.question(w, r, req, live)
}

// question shows the page with a question of its own.
func (e *endpoints) question(w http.ResponseWriter, r *http.Request, req *request, live *session.Live) error {
	sealed, err := e.sealQuestion(r.Context(), req, live)
	if err != nil {
		return e.refuse(w, r, req, fault.Wrap(fault.Unavailable, err, "The question cannot be asked at the moment."))
	}
	host, local := redirectHost(req.redirect)
	view := page.Consent{
		Frame:       e.frame(r),
		Action:      e.site.Prefix + consentPath + "?" + req.query,
		Hidden:      []page.Hidden{{Name: fieldQuestion, Value: sealed}},
		ClientName:  cmp.Or(req.client.Name, string(req.client.ID)),
		ClientHost:  host,
		Local:       local,
		Account:     live.User.Label(),
		Personal:    req.personal(),
		SignOutLink: e.site.Prefix + flow.SelectPath + "?" + without(req.query, flow.ParamAccount, flow.ParamFresh),
	}
	for _, id := range req.resources {
		view.Resources = append(view.Resources, describe(e.site.Pool.Resources[id], req.scopes))
	}
	return e.show(w, r, req, view)
}

// describe says what is asked for of a resource.
func describe(r *pool.Resource, scopes []string) page.ConsentResource {
	out := page.ConsentResource{Name: r.ID}
	for _, s := range scopesAt(r, scopes) {
		out.Scopes = append(out.Scopes, page.ConsentScope{Name: s, Text: r.Texts[s]})
	}
	return out
}

// consent takes the person's answer. One that is late, or to another question,
// is asked for again.
func (e *endpoints) consent(w http.ResponseWriter, r *http.Request) error {
	form, err := mux.BodyForm(r)
	if err != nil {
		return err
	}
	req, live, err := e.ready(w, r)
	if err != nil || live == nil {
		return err
	}
	asked, err := e.wasAsked(r.Context(), req, live, mux.One(form, fieldQuestion))
	if err != nil {
		return e.refuse(w, r, req, fault.Wrap(fault.Unavailable, err, "The answer cannot be read at the moment."))
	}
	decision := mux.One(form, page.FieldDecision)
	switch {
	case asked && decision == page.DecisionDeny:
		return e.refuse(w, r, req, fault.New(fault.AccessDenied, "The user refused."))
	case !asked || decision != page.DecisionAllow:
		return e.question(w, r, req, live)
	}
	by := pool.Caller{Kind: pool.Self, Name: string(live.User.Sub), Address: mux.ClientOf(r).Address}
	for _, given := range e.consents(req) {
		if err := e.config.Accounts.Consent(r.Context(), by, e.site.Pool, live.User.Sub, given); err != nil {
			return e.refuse(w, r, req, err)
		}
	}
	return e.grant(w, r, req, live)
}

// question is what a person was asked: it belongs to one session and request.
type question struct {
	Session string `json:"n"`
	Request []byte `json:"q"` // hash of the parameters and of what they mean
	Asked   int64  `json:"t"` // Unix milliseconds
}

func (e *endpoints) sealQuestion(ctx context.Context, req *request, live *session.Live) (string, error) {
	key, err := e.config.Secret(ctx, e.site.Pool.ID, "consent")
	if err != nil {
		return "", fmt.Errorf("oauth: key to seal: %w", err)
	}
	raw, err := json.Marshal(question{Session: live.Name, Request: req.hash(), Asked: e.config.Now().UnixMilli()})
	if err != nil {
		return "", fmt.Errorf("oauth: seal: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(secret.Seal(key, raw, []byte(e.site.Pool.ID))), nil
}

// wasAsked reports whether this is what the person was asked in this session
// about this request, not too long ago.
func (e *endpoints) wasAsked(ctx context.Context, req *request, live *session.Live, sealed string) (bool, error) {
	raw, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil || len(raw) > maxQuestion {
		return false, nil
	}
	key, err := e.config.Secret(ctx, e.site.Pool.ID, "consent")
	if err != nil {
		return false, fmt.Errorf("oauth: key to open: %w", err)
	}
	var q question
	plain, err := secret.Open(key, raw, []byte(e.site.Pool.ID))
	if err != nil || json.Unmarshal(plain, &q) != nil {
		return false, nil
	}
	age := e.config.Now().Sub(time.UnixMilli(q.Asked))
	return q.Session == live.Name && secret.Equal(q.Request, req.hash()) && age < questionLife && age > -time.Minute, nil
}

// hash is what a consent is bound to: the parameters, and what was made of
// them, which a new configuration or the user's groups may change meanwhile.
func (req *request) hash() []byte {
	meant := url.Values{
		"redirect": {req.redirect}, "scopes": req.scopes, "resources": req.resources, "id": req.idClaims, "info": req.infoClaims,
	}
	sum := sha256.Sum256([]byte(req.query + "\x00" + meant.Encode()))
	return sum[:]
}

package guard

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

const (
	// txLife is how long a person may take to sign in before the return path is forgotten.
	txLife = time.Hour
	// maxTx is how many sign-ins may be under way in one browser; tabs do not disturb one another.
	maxTx = 5
	// maxReturn is the longest return path that is kept, in bytes.
	maxReturn = 2 << 10
)

// transaction is a sign-in under way, sealed in a cookie of its own.
type transaction struct {
	Verifier string    `json:"v"`
	Return   string    `json:"r"` // path and query at this site
	At       time.Time `json:"t"`
}

// Causes of denials that a page can explain.
var (
	// ErrLoop means that signing in did not help, again and again.
	ErrLoop = errors.New("guard: sent to sign in again and again")
	// ErrStale means that a callback names no sign-in that this browser has under way.
	ErrStale = errors.New("guard: no such sign-in under way")
	// ErrCookies means that the browser keeps no cookies.
	ErrCookies = errors.New("guard: no cookie came back")
)

// signIn begins an authorization code flow with PKCE as the site's own client.
func (g *Gate) signIn(w http.ResponseWriter, r *http.Request, s *site, c credentials, returnTo string) error {
	tx := transaction{Verifier: secret.Token(32), Return: localPath(returnTo), At: g.guard.now()}
	if looping(s, c, tx.At) {
		s.cookies.Clear(w, cookieHops) // to try again is up to the person
		cause := fault.Wrap(fault.InvalidRequest, ErrLoop, "Signing in succeeded several times in a row, and still it was not enough for this page.")
		return callbackDenial(s, tx.Return, cause)
	}
	id := strconv.FormatInt(tx.At.UnixMilli(), 36) + "_" + secret.Token(12)
	sealed, err := g.guard.sealTx(r, s, id, tx)
	if err != nil {
		return unavailable(r, err)
	}
	dropOldest(w, c, s)
	s.cookies.Set(w, mux.CookieTx+id, sealed, txLife)
	challenge := sha256.Sum256([]byte(tx.Verifier))
	q := url.Values{
		"response_type":         {"code"},
		"client_id":             {string(s.Client.ID)},
		"redirect_uri":          {s.callback},
		"scope":                 {pool.ScopeOpenID},
		"state":                 {id},
		"code_challenge":        {base64.RawURLEncoding.EncodeToString(challenge[:])},
		"code_challenge_method": {"S256"},
	}
	if g.rule.ACR != "" {
		q.Set("acr_values", g.rule.ACR)
	}
	if g.rule.MaxAge > 0 {
		q.Set("max_age", seconds(g.rule.MaxAge))
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Add("Vary", "Sec-Fetch-Mode, Accept, Cookie")
	http.Redirect(w, r, s.Login+"/oauth2/authorize?"+q.Encode(), http.StatusFound)
	return nil
}

// callback ends the flow: the code buys a site session, and the person is
// back where the sign-in began.
func (g *Guard) callback(w http.ResponseWriter, r *http.Request, s *site, c credentials, q url.Values) error {
	id := q.Get("state")
	tx, err := g.openTx(r, s, id)
	switch {
	case errors.Is(err, ErrStale):
		return g.strayed(w, r, s, c, id, tx)
	case err != nil:
		return unavailable(r, err)
	}
	s.cookies.Clear(w, mux.CookieTx+id)
	if q.Get("iss") != s.Pool.Issuer {
		return callbackDenial(s, tx.Return, fault.New(fault.InvalidRequest, "the answer came from another issuer"))
	}
	if code := q.Get("error"); code != "" {
		return callbackDenial(s, tx.Return, fault.New(fault.AccessDenied, "the sign-in did not succeed"))
	}
	cookie, _, err := g.tokens.RedeemSiteCode(r.Context(), s.Pool, token.Redemption{
		Client: s.Client, Code: q.Get("code"), RedirectURI: s.callback, Verifier: tx.Verifier,
	})
	switch {
	case err == nil:
	case fault.CodeOf(err) == fault.InvalidGrant:
		return callbackDenial(s, tx.Return, fault.Wrap(fault.InvalidGrant, errors.Join(ErrStale, err), fault.TextOf(err)))
	default:
		return unavailable(r, err)
	}
	if c.cookie != "" {
		if err := g.sessions.EndSite(r.Context(), s.Pool, c.cookie); err != nil {
			g.log.WarnContext(r.Context(), "earlier site session not ended", "error", err)
		}
	}
	s.cookies.Set(w, mux.CookieSite, cookie, s.Pool.Session.Absolute)
	countHop(w, s, c, g.now())
	mux.Redirect(w, r, s.Origin+tx.Return)
	return nil
}

// strayed answers a callback whose sign-in this browser does not know: it was
// used, as by the back button, or is too old, or was begun elsewhere, or the
// browser keeps no cookies.
func (g *Guard) strayed(w http.ResponseWriter, r *http.Request, s *site, c credentials, id string, tx transaction) error {
	returnTo := cmp.Or(tx.Return, "/")
	if c.cookie != "" {
		if _, err := g.session(r.Context(), s, c.cookie); err == nil {
			mux.Redirect(w, r, s.Origin+returnTo) // signed in already
			return nil
		}
	}
	begun, ok := txTime(id)
	if age := g.now().Sub(begun); ok && len(s.cookies.Kinds(c.request(), "")) == 0 && age >= 0 && age < txLife {
		return callbackDenial(s, returnTo, fault.Wrap(fault.InvalidRequest, ErrCookies, "Your browser did not keep the cookie of this sign-in."))
	}
	return callbackDenial(s, returnTo, fault.Wrap(fault.InvalidRequest, ErrStale, "this sign-in was begun elsewhere, or too long ago"))
}

// callbackDenial shows a person what went wrong on the way, with a link to try again.
func callbackDenial(s *site, returnTo string, err error) *Denial {
	return &Denial{
		Status: http.StatusBadRequest, Cause: err, Browser: true, Retry: s.Origin + returnTo,
		Header: http.Header{"Cache-Control": {"no-store"}},
	}
}

// sealTx seals a transaction for one browser, site and state.
func (g *Guard) sealTx(r *http.Request, s *site, id string, tx transaction) (string, error) {
	key, err := g.secret(r.Context(), s.Pool.ID, "tx")
	if err != nil {
		return "", err
	}
	raw, err := json.Marshal(tx)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(secret.Seal(key, raw, []byte(s.callback+"\x00"+id))), nil
}

// openTx reads the transaction that a callback's state names. Beside ErrStale
// it returns what can be known of one that is too old.
func (g *Guard) openTx(r *http.Request, s *site, id string) (transaction, error) {
	var tx transaction
	if !validTx(id) {
		return tx, ErrStale
	}
	key, err := g.secret(r.Context(), s.Pool.ID, "tx")
	if err != nil {
		return tx, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(s.cookies.Get(r, mux.CookieTx+id))
	if err != nil {
		return tx, ErrStale
	}
	raw, err := secret.Open(key, sealed, []byte(s.callback+"\x00"+id))
	if err != nil {
		return tx, ErrStale
	}
	if err := json.Unmarshal(raw, &tx); err != nil {
		return tx, err
	}
	if age := g.now().Sub(tx.At); age > txLife || age < -time.Minute {
		return tx, ErrStale
	}
	return tx, nil
}

// txTime reads when a transaction began from its id. Nothing vouches for it.
func txTime(id string) (time.Time, bool) {
	stamp, _, ok := strings.Cut(id, "_")
	ms, err := strconv.ParseInt(stamp, 36, 64)
	return time.UnixMilli(ms), ok && err == nil
}

// validTx bounds what may become part of a cookie's name.
func validTx(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// dropOldest makes room for one more transaction; ids begin with their time.
// The request itself has been cleaned of our cookies by now.
func dropOldest(w http.ResponseWriter, c credentials, s *site) {
	ids := s.cookies.Kinds(c.request(), mux.CookieTx)
	ids = slices.DeleteFunc(ids, func(kind string) bool { return kind == cookieHops })
	slices.Sort(ids)
	for len(ids) >= maxTx {
		s.cookies.Clear(w, ids[0])
		ids = ids[1:]
	}
}

// localPath returns a request URI's path and query, which can only lead to
// the site itself; anything odd leads to its root.
func localPath(uri string) string {
	u, err := url.ParseRequestURI(uri)
	if err != nil || len(uri) > maxReturn || !strings.HasPrefix(u.Path, "/") {
		return "/"
	}
	path := u.EscapedPath()
	if strings.HasPrefix(path, "//") || strings.HasPrefix(path, ownPrefix) || strings.Contains(u.Path, `\`) {
		return "/"
	}
	if u.RawQuery != "" {
		path += "?" + u.RawQuery
	}
	return path
}

package guard

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
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

// signIn begins an authorization code flow with PKCE as the site's own client.
func (g *Guard) signIn(w http.ResponseWriter, r *http.Request, s *site, c credentials, returnTo string) error {
	tx := transaction{Verifier: secret.Token(32), Return: localPath(returnTo), At: g.now()}
	id := strconv.FormatInt(tx.At.UnixMilli(), 36) + "_" + secret.Token(12)
	sealed, err := g.sealTx(r, s, id, tx)
	if err != nil {
		return unavailable(err)
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
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Vary", "Sec-Fetch-Mode, Accept, Cookie")
	http.Redirect(w, r, s.Login+"/oauth2/authorize?"+q.Encode(), http.StatusFound)
	return nil
}

// callback ends the flow: the code buys a site session, and the person is
// back where the sign-in began.
func (g *Guard) callback(w http.ResponseWriter, r *http.Request, s *site, q url.Values) error {
	id := q.Get("state")
	tx, err := g.openTx(r, s, id)
	if err != nil {
		return callbackDenial(s, "/", err)
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
		return callbackDenial(s, tx.Return, err)
	default:
		return unavailable(err)
	}
	if old := s.cookies.Get(r, mux.CookieSite); old != "" {
		if err := g.sessions.EndSite(r.Context(), s.Pool, old); err != nil {
			g.log.WarnContext(r.Context(), "earlier site session not ended", "error", err)
		}
	}
	s.cookies.Set(w, mux.CookieSite, cookie, s.Pool.Session.Absolute)
	mux.Redirect(w, r, s.Origin+tx.Return)
	return nil
}

// callbackDenial shows a person what went wrong on the way back, with a link to try again.
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

// openTx reads the transaction that a callback's state names.
func (g *Guard) openTx(r *http.Request, s *site, id string) (transaction, error) {
	var tx transaction
	lost := fault.New(fault.InvalidRequest, "this sign-in was begun elsewhere, or too long ago")
	if !validTx(id) {
		return tx, lost
	}
	key, err := g.secret(r.Context(), s.Pool.ID, "tx")
	if err != nil {
		return tx, err
	}
	sealed, err := base64.RawURLEncoding.DecodeString(s.cookies.Get(r, mux.CookieTx+id))
	if err != nil {
		return tx, lost
	}
	raw, err := secret.Open(key, sealed, []byte(s.callback+"\x00"+id))
	if err != nil {
		return tx, lost
	}
	if err := json.Unmarshal(raw, &tx); err != nil {
		return tx, err
	}
	if age := g.now().Sub(tx.At); age > txLife || age < -time.Minute {
		return tx, lost
	}
	return tx, nil
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
	ids := s.cookies.Kinds(&http.Request{Header: http.Header{"Cookie": c.cookies}}, mux.CookieTx)
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

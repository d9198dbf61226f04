package mux

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// Cookies names and writes the cookies of one origin and pool.
type Cookies struct {
	Origin string // of the site that sets them
	Pool   string // pool id

	head, tail string // what stands around the kind in a name, if it was computed before
}

// Prepared returns the same cookies with their names computed, for those who
// read them on every request.
func (c Cookies) Prepared() Cookies {
	c.head, c.tail = c.around()
	return c
}

// Kinds of cookies.
const (
	CookieSSO    = "sso"  // SSO session
	CookieSite   = "site" // site session
	CookiePre    = "pre"  // pre-session, binds attempts to a browser
	CookieDevice = "dev"  // a known device: where the password was right before
	CookieHop    = "hop"  // how often the browser was led to the login: keeps it from circling
	CookieTx     = "tx-"  // + transaction id: a gate's sign-in under way
)

const hostPrefix = "__Host-"

// ours matches the name of every cookie that Name can make, "dev" (a known
// device) included.
var ours = regexp.MustCompile(`^(?:__Host-)?gh-(?:sso|site|pre|dev|hop|tx-[0-9A-Za-z_-]+)-[0-9a-f]{16}$`)

// Name returns __Host-gh-<kind>-<hash of origin and pool>; on a plain-HTTP
// loopback origin the prefix __Host- is dropped.
func (c Cookies) Name(kind string) string {
	head, tail := c.around()
	return head + kind + tail
}

// around is what stands before and after the kind in a name.
func (c Cookies) around() (head, tail string) {
	if c.tail != "" {
		return c.head, c.tail
	}
	sum := sha256.Sum256([]byte(c.Origin + "\x00" + c.Pool))
	head, tail = hostPrefix+"gh-", "-"+hex.EncodeToString(sum[:8])
	if PlainLoopback(c.Origin) {
		head = "gh-"
	}
	return head, tail
}

// Set writes a cookie: HttpOnly, Secure (but on plain-HTTP loopback),
// SameSite=Lax, Path=/. life 0 makes it a browser-session cookie. It replaces
// what the response said about the cookie before.
func (c Cookies) Set(w http.ResponseWriter, kind, value string, life time.Duration) {
	seconds := 0
	if life > 0 {
		seconds = int((life + time.Second - 1) / time.Second)
	}
	c.write(w, kind, value, seconds)
}

// Clear deletes a cookie.
func (c Cookies) Clear(w http.ResponseWriter, kind string) { c.write(w, kind, "", -1) }

func (c Cookies) write(w http.ResponseWriter, kind, value string, maxAge int) {
	name := c.Name(kind)
	h := w.Header()
	earlier := h["Set-Cookie"]
	h.Del("Set-Cookie")
	for _, line := range earlier {
		if !strings.HasPrefix(line, name+"=") {
			h.Add("Set-Cookie", line)
		}
	}
	http.SetCookie(w, &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: maxAge,
		HttpOnly: true, Secure: !PlainLoopback(c.Origin), SameSite: http.SameSiteLaxMode,
	})
}

// Get returns the value of a cookie, empty if there is none or more than one.
func (c Cookies) Get(r *http.Request, kind string) string {
	if len(r.Header["Cookie"]) == 0 {
		return ""
	}
	name, value, found := c.Name(kind), "", 0
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			if n, v := cookiePair(pair); n == name {
				value = v
				found++
			}
		}
	}
	if found != 1 {
		return ""
	}
	return value
}

// Kinds returns the kinds of this origin's and pool's cookies that the request carries and
// that begin with prefix, such as CookieTx; each once, in the order of the header.
func (c Cookies) Kinds(r *http.Request, prefix string) []string {
	head, tail := c.around()
	var kinds []string
	seen := map[string]bool{}
	for _, line := range r.Header["Cookie"] {
		for pair := range strings.SplitSeq(line, ";") {
			name, _ := cookiePair(pair)
			kind, ok := strings.CutPrefix(name, head)
			if !ok || !ours.MatchString(name) {
				continue
			}
			kind, ok = strings.CutSuffix(kind, tail)
			if ok && strings.HasPrefix(kind, prefix) && !seen[kind] {
				seen[kind] = true
				kinds = append(kinds, kind)
			}
		}
	}
	return kinds
}

// cookiePair splits one segment of a Cookie header, forgiving about spaces.
func cookiePair(pair string) (name, value string) {
	name, value, _ = strings.Cut(pair, "=")
	return strings.TrimSpace(name), strings.TrimSpace(value)
}

// StripCookies removes every cookie of ours, of any origin and pool, from a
// request's header and leaves the others byte for byte.
func StripCookies(h http.Header) {
	lines := h["Cookie"]
	if len(lines) == 0 {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if line, keep := stripLine(line); keep {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

// stripLine drops our segments with the separator in front of them; a line
// without any is returned as it is, and keep is false if nothing is left.
func stripLine(line string) (rest string, keep bool) {
	segments := strings.Split(line, ";")
	kept := make([]string, 0, len(segments))
	firstGone := false
	for i, segment := range segments {
		if name, _ := cookiePair(segment); ours.MatchString(name) {
			firstGone = firstGone || i == 0
			continue
		}
		kept = append(kept, segment)
	}
	if len(kept) == len(segments) {
		return line, true
	}
	rest = strings.Join(kept, ";")
	if firstGone {
		rest = strings.TrimLeft(rest, " \t")
	}
	return rest, strings.Trim(rest, "; \t") != ""
}

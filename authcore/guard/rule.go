package guard

import (
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// Mode says what a gate line does.
type Mode string

// The modes of a gate.
const (
	Require Mode = "require"
	Public  Mode = "public" // names a caller who has a valid session, refuses nobody
)

// Rule is one line of configuration, parsed.
type Rule struct {
	Mode     Mode
	Scopes   []string      // each must be held; implies API
	Clients  []string      // any of them; implies API
	Groups   [][]string    // of each element, one group must be held
	Browser  bool          // cookie only
	API      bool          // bearer only
	ACR      string        // least assurance level; empty: any
	MaxAge   time.Duration // since the person signed in; 0: any
	Strict   bool          // refuse while revocations may be older than 5 s
	CORS     []string      // origins whose scripts may call the site, with its cookie too
	Public   []string      // paths open to all: exact, or ending in /*
	Headers  string        // preset of upstream headers; "" is X-Auth-*
	Strip    bool          // strip_token
	Resource string        // overrides the site's resource
}

// Validate refuses what could be read as "allow", and fills in what is implied.
func (r *Rule) Validate() error {
	if r.Mode != Require && r.Mode != Public {
		return fmt.Errorf("guard: mode %q is neither require nor public", r.Mode)
	}
	if len(r.Scopes) > 0 || len(r.Clients) > 0 {
		r.API = true
	}
	if r.Mode == Public && (r.API || r.Browser || len(r.Groups) > 0) {
		return fmt.Errorf("guard: a public line refuses nobody, and takes no conditions")
	}
	if r.API && r.Browser {
		return fmt.Errorf("guard: scope:, client: and api ask for a bearer token, browser for a session: nobody has both")
	}
	for _, oneOf := range r.Groups {
		if len(oneOf) == 0 || slices.Contains(oneOf, "") {
			return fmt.Errorf("guard: an empty group condition would deny everybody")
		}
	}
	if err := r.validateStepUp(); err != nil {
		return err
	}
	for _, origin := range r.CORS {
		if err := pool.ValidateOrigin(origin); err != nil {
			return fmt.Errorf("guard: cors: %w", err)
		}
	}
	for _, p := range r.Public {
		if err := validatePublic(p); err != nil {
			return err
		}
	}
	if _, ok := presets()[r.Headers]; !ok {
		return fmt.Errorf("guard: no header preset is named %q", r.Headers)
	}
	return nil
}

// validateStepUp checks what a rule asks of a sign-in.
func (r *Rule) validateStepUp() error {
	switch r.ACR {
	case "", pool.AAL1:
	case pool.AAL2, pool.PHR:
		return fmt.Errorf("guard: acr:%s: this build has no factor that reaches %s, so nobody could pass", r.ACR, r.ACR)
	default:
		return fmt.Errorf("guard: acr:%s is no assurance level: there are %s, %s and %s", r.ACR, pool.AAL1, pool.AAL2, pool.PHR)
	}
	if r.MaxAge < 0 || r.MaxAge%time.Second != 0 {
		return fmt.Errorf("guard: max_age:%s: write whole seconds, at least one", r.MaxAge)
	}
	if r.Mode == Public && r.demanding() {
		return fmt.Errorf("guard: a public line refuses nobody, and takes no acr or max_age")
	}
	return nil
}

// demanding reports whether the rule asks something of a sign-in.
func (r *Rule) demanding() bool { return r.ACR != "" || r.MaxAge > 0 }

// validatePublic checks a pattern of public paths: an absolute ASCII path,
// exact, or ending in /*.
func validatePublic(p string) error {
	body := strings.TrimSuffix(p, "/*")
	switch {
	case !strings.HasPrefix(p, "/"):
		return fmt.Errorf("guard: public path %q does not begin with /", p)
	case strings.ContainsAny(body, "*?"):
		return fmt.Errorf("guard: public path %q: a wildcard may only stand at the end, as /*", p)
	case strings.ContainsAny(body, `%\;#`) || !visibleASCII(body):
		return fmt.Errorf("guard: public path %q: write plain visible ASCII, not encoded", p)
	case body != "" && body != "/" && path.Clean(body) != strings.TrimSuffix(body, "/"):
		return fmt.Errorf("guard: public path %q is not in its shortest form", p)
	}
	return nil
}

// missing is what a principal lacks; the zero value is nothing.
type missing struct {
	code   fault.Code // of the challenge: InsufficientScope, InsufficientUserAuth, or Forbidden
	reason string
}

// judge says what the principal lacks for the rule. Its kind of credential was
// checked when it was read. A better sign-in comes last: it does not help who
// lacks something else.
func (r *Rule) judge(p *pool.Principal, now func() time.Time) missing {
	for _, s := range r.Scopes {
		if !p.HasScope(s) {
			return missing{fault.InsufficientScope, "the token lacks the scope " + s}
		}
	}
	if len(r.Clients) > 0 && !slices.Contains(r.Clients, string(p.Client)) {
		return missing{fault.Forbidden, "the token's client is not allowed here"}
	}
	for _, oneOf := range r.Groups {
		if !slices.ContainsFunc(oneOf, p.InGroup) {
			return missing{fault.Forbidden, "not a member of " + strings.Join(oneOf, " or ")}
		}
	}
	if r.Browser && !p.Browser {
		return missing{fault.Forbidden, "this route takes browser sessions only"}
	}
	if r.demanding() {
		return r.judgeSignIn(p, now())
	}
	return missing{}
}

// judgeSignIn says what the sign-in behind a principal lacks (RFC 9470). A
// machine has none.
func (r *Rule) judgeSignIn(p *pool.Principal, now time.Time) missing {
	switch {
	case p.Kind != pool.Person:
		return missing{fault.InsufficientUserAuth, "a person must have signed in for this"}
	case r.ACR != "" && !pool.ACRAtLeast(p.ACR, r.ACR):
		return missing{fault.InsufficientUserAuth, "a stronger sign-in is needed for this"}
	// Whole seconds on both sides: the claim has no finer ones.
	case r.MaxAge > 0 && (p.AuthTime.IsZero() || now.Unix()-p.AuthTime.Unix() > int64(r.MaxAge/time.Second)):
		return missing{fault.InsufficientUserAuth, "the sign-in is too long ago for this"}
	}
	return missing{}
}

// open reports whether every form of every path matches a public pattern.
func (r *Rule) open(paths ...string) bool {
	for _, p := range paths {
		forms := pathForms(p)
		if forms == nil {
			return false
		}
		for _, f := range forms {
			if !slices.ContainsFunc(r.Public, func(pattern string) bool { return matchPublic(pattern, f) }) {
				return false
			}
		}
	}
	return true
}

// matchPublic matches one form against one pattern.
func matchPublic(pattern, path string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "*"); ok {
		return strings.HasPrefix(path, prefix)
	}
	return path == pattern
}

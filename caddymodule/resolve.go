package caddymodule

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/caddyserver/caddy/v2"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// Pool configures a user pool; every member has a safe default.
type Pool struct {
	Issuer    string          `json:"issuer,omitempty"`  // origin of the login site by default
	Brand     string          `json:"brand,omitempty"`   // name that people see; the login site's host by default
	SignIn    []string        `json:"sign_in,omitempty"` // first factors; this build has "password"
	Password  *PasswordPolicy `json:"password,omitempty"`
	Session   *SessionPolicy  `json:"session,omitempty"`
	Token     *TokenPolicy    `json:"token,omitempty"`
	Groups    []string        `json:"groups,omitempty"` // "operators" always exists
	Resources []*Resource     `json:"resources,omitempty"`
	Clients   []*Client       `json:"clients,omitempty"`
	Where     string          `json:"where,omitempty"` // place in the configuration, for errors
}

// PasswordPolicy bounds new passwords.
type PasswordPolicy struct {
	MinLength int `json:"min_length,omitempty"` // characters, 8 by default
}

// SessionPolicy bounds browser sessions.
type SessionPolicy struct {
	Idle     caddy.Duration `json:"idle,omitempty"`     // 12h by default
	Absolute caddy.Duration `json:"absolute,omitempty"` // 30d by default
}

// TokenPolicy bounds tokens.
type TokenPolicy struct {
	Access       caddy.Duration `json:"access,omitempty"`         // 15m by default, at most 24h
	ID           caddy.Duration `json:"id,omitempty"`             // 15m by default
	Refresh      caddy.Duration `json:"refresh,omitempty"`        // 30d by default
	ReuseGrace   caddy.Duration `json:"reuse_grace,omitempty"`    // 10s by default, at most 1m
	SigningAlg   string         `json:"signing_alg,omitempty"`    // of access tokens: ES256 (default) or RS256
	IDSigningAlg string         `json:"id_signing_alg,omitempty"` // of ID tokens: RS256 (default) or ES256
}

// Resource is an API and the scopes that it owns.
type Resource struct {
	ID     string   `json:"id"` // absolute URI
	Scopes []string `json:"scopes,omitempty"`
	// Texts are what people read about scopes before they agree.
	Texts      map[string]string `json:"texts,omitempty"`
	TokenTTL   caddy.Duration    `json:"token_ttl,omitempty"`   // the pool's by default
	SigningAlg string            `json:"signing_alg,omitempty"` // the pool's by default
	Where      string            `json:"where,omitempty"`
}

// Client is an application.
type Client struct {
	ID              string       `json:"id"`
	Name            string       `json:"name,omitempty"`    // that people see
	Secrets         []string     `json:"secrets,omitempty"` // at most two, as {env.X} or {file./path}; none: a public client
	Auth            string       `json:"auth,omitempty"`    // client_secret_basic, client_secret_post or none
	Redirects       []string     `json:"redirect_uris,omitempty"`
	Logouts         []string     `json:"logout_redirect_uris,omitempty"` // where people may be sent after signing out
	Origins         []string     `json:"origins,omitempty"`              // whose scripts may call the login host's endpoints
	Consent         bool         `json:"consent,omitempty"`              // people are asked before they share anything with it
	Grants          []Grant      `json:"grants,omitempty"`               // authorization_code and refresh_token by default
	Scopes          []string     `json:"scopes,omitempty"`
	DefaultScopes   []string     `json:"default_scopes,omitempty"`
	Resources       []string     `json:"resources,omitempty"` // those that declare its scopes by default
	DefaultResource string       `json:"default_resource,omitempty"`
	Native          bool         `json:"native,omitempty"` // loopback redirect URIs match any port
	PKCEOptional    bool         `json:"pkce_optional,omitempty"`
	RotateOff       bool         `json:"rotate_off,omitempty"`
	Token           *TokenPolicy `json:"token,omitempty"`
	IDSigningAlg    string       `json:"id_signing_alg,omitempty"`
	Disabled        bool         `json:"disabled,omitempty"`
	Where           string       `json:"where,omitempty"`
}

// Grant allows a client a grant type; scopes are of client_credentials.
type Grant struct {
	Type   string   `json:"type"`
	Scopes []string `json:"scopes,omitempty"`
}

// empty reports whether nothing was written about the pool.
func (p *Pool) empty() bool {
	bare := *p
	bare.Where = ""
	return reflect.ValueOf(bare).IsZero()
}

// at puts an error at its place in the configuration.
func at(where string, err error) error {
	if where == "" {
		return err
	}
	return fmt.Errorf("%s: %w", where, err)
}

// resolve turns the configuration into authcore's, secrets resolved.
func (a *App) resolve() error {
	if len(a.Pools) == 0 {
		a.Pools = map[string]*Pool{defaultPool: {}}
	}
	repl := caddy.NewReplacer()
	var problems []error
	for _, path := range a.paths() {
		text, err := repl.ReplaceOrErr(*path, true, true)
		if err != nil {
			problems = append(problems, fmt.Errorf("gatehouse: %s: %w", *path, err))
		}
		*path = text
	}
	if a.EncryptionKey != nil && (a.EncryptionKey.File == "") == (a.EncryptionKey.Env == "") {
		problems = append(problems, errors.New("gatehouse: encryption_key names a file or an environment variable, one of them"))
	}
	for _, name := range sortedKeys(a.Pools) {
		if a.Pools[name] == nil {
			a.Pools[name] = &Pool{}
		}
		p, err := a.Pools[name].resolve(name, repl)
		if err != nil {
			problems = append(problems, err)
		}
		a.config.Pools = append(a.config.Pools, p)
		for _, c := range a.Pools[name].Clients {
			if c != nil && slices.ContainsFunc(c.Secrets, func(s string) bool { return !isPlaceholder(s) }) {
				a.log.Warn("a client's secret stands in the configuration itself, for everybody who may read it: write {env.NAME} or {file./path} instead", "client", c.ID, "where", c.Where)
			}
		}
	}
	return errors.Join(problems...)
}

// paths are the members that may hold placeholders, besides secrets.
func (a *App) paths() []*string {
	var list []*string
	if a.Store != nil {
		list = append(list, &a.Store.Path)
	}
	if a.EncryptionKey != nil {
		list = append(list, &a.EncryptionKey.File)
	}
	return slices.DeleteFunc(list, func(s *string) bool { return *s == "" })
}

// resolve turns one pool's configuration into authcore's.
func (p *Pool) resolve(name string, repl *caddy.Replacer) (authcore.PoolConfig, error) {
	out := authcore.PoolConfig{Name: name, Issuer: strings.TrimSuffix(p.Issuer, "/"), Brand: p.Brand, Groups: p.Groups, Where: p.Where}
	var problems []error
	if slices.Contains(p.Resources, nil) || slices.Contains(p.Clients, nil) {
		return out, at(p.Where, fmt.Errorf("pool %s: a resource or client is null", name))
	}
	for _, factor := range p.SignIn {
		if err := knownFactor(factor); err != nil {
			problems = append(problems, at(p.Where, err))
		}
	}
	if p.Password != nil {
		out.MinLength = p.Password.MinLength
	}
	if p.Session != nil {
		out.SessionIdle, out.SessionLife = time.Duration(p.Session.Idle), time.Duration(p.Session.Absolute)
	}
	if t := p.Token; t != nil {
		out.Access, out.ID, out.Refresh, out.ReuseGrace = time.Duration(t.Access), time.Duration(t.ID), time.Duration(t.Refresh), time.Duration(t.ReuseGrace)
		out.SigningAlg, out.IDSigningAlg = t.SigningAlg, t.IDSigningAlg
	}
	for _, r := range p.Resources {
		out.Resources = append(out.Resources, authcore.ResourceConfig{ID: r.ID, Scopes: r.Scopes, Texts: r.Texts, TokenTTL: time.Duration(r.TokenTTL), SigningAlg: r.SigningAlg, Where: r.Where})
	}
	for _, c := range p.Clients {
		client, err := c.resolve(repl)
		if err != nil {
			problems = append(problems, err)
		}
		out.Clients = append(out.Clients, client)
	}
	return out, errors.Join(problems...)
}

// knownFactor refuses a first factor that this build does not have.
func knownFactor(name string) error {
	if name == "password" {
		return nil
	}
	return fmt.Errorf("sign_in: this build has no factor %q: it has password", name)
}

// resolve turns a client's configuration into authcore's. Secrets are read
// here, so that the stored configuration never holds one.
func (c *Client) resolve(repl *caddy.Replacer) (authcore.ClientConfig, error) {
	out := authcore.ClientConfig{
		ID: c.ID, Name: c.Name, Auth: c.Auth, Redirects: c.Redirects, Scopes: c.Scopes,
		Logouts: c.Logouts, Origins: c.Origins, Consent: c.Consent,
		DefaultScopes: c.DefaultScopes, Resources: c.Resources, DefaultResource: c.DefaultResource, Native: c.Native,
		PKCEOptional: c.PKCEOptional, RotateOff: c.RotateOff, IDSigningAlg: c.IDSigningAlg, Disabled: c.Disabled, Where: c.Where,
	}
	if t := c.Token; t != nil {
		out.Access, out.IDLife, out.Refresh = time.Duration(t.Access), time.Duration(t.ID), time.Duration(t.Refresh)
	}
	for _, g := range c.Grants {
		out.Grants = append(out.Grants, authcore.GrantConfig(g))
	}
	for i, s := range c.Secrets {
		value, err := repl.ReplaceOrErr(s, true, true)
		value = strings.TrimSpace(value)
		if err != nil || value == "" {
			return out, at(c.Where, fmt.Errorf("client %s: secret %d is empty or cannot be read: does the file or environment variable that %s names exist?", c.ID, i+1, placeholderOf(s)))
		}
		out.Secrets = append(out.Secrets, secret.Hide(value))
	}
	return out, nil
}

// placeholderOf shows a secret's placeholder, and nothing of a literal one.
func placeholderOf(s string) string {
	if isPlaceholder(s) {
		return s
	}
	return "it"
}

// isPlaceholder reports whether a value is only a placeholder.
func isPlaceholder(s string) bool { return strings.HasPrefix(s, "{") && strings.HasSuffix(s, "}") }

// known refuses a pool that is not configured.
func (a *App) known(name, where string) error {
	if a.Pools[name] != nil {
		return nil
	}
	return at(where, fmt.Errorf("no pool is named %s%s", name, suggestion(name, sortedKeys(a.Pools))))
}

// parse turns a gate's configuration into a rule.
func (g *Gate) parse() (guard.Rule, error) {
	rule := guard.Rule{Mode: guard.Mode(g.Mode), Public: g.Public, Headers: g.Headers, Strip: g.StripToken, Strict: g.Strict, CORS: g.CORS, Resource: g.Resource}
	if rule.Headers == "default" {
		rule.Headers = ""
	}
	if rule.Mode == "" {
		rule.Mode = guard.Require
	}
	for _, c := range g.Conditions {
		if err := addCondition(&rule, c); err != nil {
			return rule, err
		}
	}
	for _, o := range g.CORS {
		if err := pool.ValidateOrigin(o); err != nil {
			return rule, fmt.Errorf("cors: %w", err)
		}
	}
	if err := rule.Validate(); err != nil {
		return rule, err
	}
	if rule.Resource != "" {
		if err := pool.ValidateResourceID(rule.Resource); err != nil {
			return rule, fmt.Errorf("resource %q: %w", rule.Resource, err)
		}
	}
	return rule, nil
}

// poolCondition begins the word of a gate line that names the gate's pool.
const poolCondition = "pool:"

// conditions lists the words of conditions: with an argument or without.
func conditions() []string {
	return []string{"scope:", "client:", "group:", "acr:", "max_age:", "pool:", "browser", "api"}
}

// laterConditions are words of the Caddyfile that this build cannot check.
func laterConditions() []string { return []string{"mfa"} }

// addCondition parses one condition into a rule.
func addCondition(rule *guard.Rule, c string) error {
	word, arg, hasArg := strings.Cut(c, ":")
	if slices.Contains(laterConditions(), word) {
		return fmt.Errorf("condition %q: this build has no second factors, so nobody could meet it", c)
	}
	if slices.Contains(conditions(), word+":") && (!hasArg || arg == "") {
		return fmt.Errorf("condition %q: say which, as in %s:%s; an empty one would deny everybody", c, word, exampleOf(word))
	}
	switch word {
	case "scope":
		if !pool.ValidScope(arg) {
			return fmt.Errorf("condition %q: not a scope", c)
		}
		rule.Scopes = append(rule.Scopes, arg)
	case "client":
		list := strings.Split(arg, "|")
		if slices.Contains(list, "") {
			return fmt.Errorf("condition %q: an empty name beside a bar", c)
		}
		if len(rule.Clients) > 0 {
			return fmt.Errorf("condition %q: no token has two clients: write client:a|b for either", c)
		}
		rule.Clients = list
	case "group":
		rule.Groups = append(rule.Groups, strings.Split(arg, "|"))
	case "acr":
		return addACR(rule, arg)
	case "max_age":
		return addMaxAge(rule, arg)
	case "pool":
		return fmt.Errorf("condition %q: in JSON the gate's member \"pool\" says so", c)
	case "browser", "api":
		if hasArg {
			return fmt.Errorf("condition %q takes no argument", word)
		}
		rule.Browser = rule.Browser || word == "browser"
		rule.API = rule.API || word == "api"
	default:
		if hasArg {
			word += ":"
		}
		return fmt.Errorf("condition %q is unknown%s", c, suggestion(word, conditions()))
	}
	return nil
}

// exampleOf is an argument that a condition might have.
func exampleOf(word string) string {
	switch word {
	case "acr":
		return pool.AAL1
	case "max_age":
		return "5m"
	}
	return "name"
}

// addACR sets the least assurance level; the rule knows which can be reached.
func addACR(rule *guard.Rule, level string) error {
	levels := []string{pool.AAL1, pool.AAL2, pool.PHR}
	switch {
	case rule.ACR != "":
		return fmt.Errorf("condition \"acr:%s\": the line asks for %s already: write the higher one", level, rule.ACR)
	case !slices.Contains(levels, level):
		return fmt.Errorf("condition \"acr:%s\": not a level%s", level, suggestion(level, levels))
	}
	rule.ACR = level
	return nil
}

// addMaxAge sets how long ago a person may have signed in.
func addMaxAge(rule *guard.Rule, text string) error {
	age, err := caddy.ParseDuration(text)
	switch {
	case rule.MaxAge != 0:
		return fmt.Errorf("condition \"max_age:%s\": the line has a max_age already: write the shorter one", text)
	case err != nil || age <= 0:
		return fmt.Errorf("condition \"max_age:%s\": not a duration such as 5m, 12h or 30d", text)
	}
	rule.MaxAge = age
	return nil
}

// knownConditions refuses a scope that nothing declares, and warns of a group
// or client that the file does not know: it denies.
func (a *App) knownConditions(g *Gate) error {
	p := a.Pools[g.Pool]
	var scopes []string
	for _, r := range p.Resources {
		scopes = append(scopes, r.Scopes...)
	}
	for _, s := range g.rule.Scopes {
		if !slices.Contains(scopes, s) {
			return fmt.Errorf("scope:%s: no resource of pool %s declares it%s", s, g.Pool, suggestion(s, scopes))
		}
	}
	for _, id := range g.rule.Clients {
		if !slices.ContainsFunc(p.Clients, func(c *Client) bool { return c.ID == id }) {
			a.log.Warn("a gate names a client that is not configured: it lets nobody in", "client", id, "where", g.Where)
		}
	}
	for _, any := range g.rule.Groups {
		for _, name := range any {
			if name != pool.OperatorsGroup && !slices.Contains(p.Groups, name) {
				a.log.Warn("a gate names a group that is not configured: it lets nobody in", "group", name, "where", g.Where)
			}
		}
	}
	return nil
}

// sortedKeys returns a map's keys in order, so that errors are the same each time.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// suggestion names the known word that is nearest to a wrong one, if one is near.
func suggestion(wrong string, known []string) string {
	best, distance := "", max(2, len(wrong)/3)+1
	for _, k := range known {
		if d := edits(wrong, k); d < distance {
			best, distance = k, d
		}
	}
	if best == "" {
		if len(known) == 0 || len(known) > 40 {
			return ""
		}
		return "; known are " + strings.Join(known, ", ")
	}
	return "; did you mean " + best + "?"
}

// edits is the Levenshtein distance of two words.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0]++
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost = 1 + min(last, row[j], row[j+1])
			}
			last, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}

package caddymodule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

func init() {
	httpcaddyfile.RegisterGlobalOption("gatehouse", parseGlobal)
}

// word is a word of the Caddyfile: how to read what follows it.
type word struct {
	name  string
	parse func(d *caddyfile.Dispenser) error
}

// later lists words of the Caddyfile that this build does not have, with what
// to say of them.
func later() map[string]string {
	return map[string]string{
		"sign_up": "sign-up", "mfa": "second factors", "attribute": "custom attributes", "provider": "federation", "trigger": "triggers",
		"claim": "claims of your own", "mail": "mail", "sms": "text messages", "limit": "configurable limits", "plan": "plans",
		"registration": "client registration", "rp_id": "passkeys", "trusted_outbound": "outbound calls", "region": "regions",
		"jwks": "private_key_jwt", "require": "par and dpop", "logout": "back-channel logout",
		"history": "password history", "max_age": "password age", "breached": "breach lists of your own",
		"classes": "composition rules", "profile": "password profiles", "srp": "SRP", "remember_device": "remembered devices",
	}
}

// repeats lists the words that may stand more than once in a block: each adds
// to what there is.
func repeats() []string {
	return []string{"pool", "group", "resource", "client", "secret", "redirect", "logout_redirect", "origins", "grant", "scopes", "scope", "resources", "public", "cors"}
}

// block reads the words of a block, each at most as often as it may stand.
func block(d *caddyfile.Dispenser, words []word) error {
	seen := map[string]int{}
	for nesting := d.Nesting(); d.NextBlock(nesting); {
		name := d.Val()
		i := slices.IndexFunc(words, func(w word) bool { return w.name == name })
		if i < 0 {
			return unknown(d, name, words)
		}
		if line, twice := seen[name]; twice && !slices.Contains(repeats(), name) {
			return d.Errf("%s stands twice, before at line %d", name, line)
		}
		seen[name] = d.Line()
		if err := words[i].parse(d); err != nil {
			return err
		}
	}
	return nil
}

// unknown says what is wrong with a word, and what may have been meant.
func unknown(d *caddyfile.Dispenser, name string, words []word) error {
	if what, ok := later()[name]; ok {
		return d.Errf("%s: this build does not have %s", name, what)
	}
	var names []string
	for _, w := range words {
		names = append(names, w.name)
	}
	return d.Errf("unknown word %q%s", name, suggestion(name, names))
}

// args reads the rest of a line: at least one argument.
func args(d *caddyfile.Dispenser) ([]string, error) {
	name := d.Val()
	list := d.RemainingArgs()
	if len(list) == 0 {
		return nil, d.Errf("%s: an empty list; say which", name)
	}
	for i, a := range list {
		if a == "" {
			return nil, d.Errf("%s: an empty argument", name)
		}
		if slices.Contains(list[:i], a) {
			return nil, d.Errf("%s stands twice", a)
		}
	}
	return list, nil
}

// one reads exactly one argument.
func one(d *caddyfile.Dispenser) (string, error) {
	name := d.Val()
	list := d.RemainingArgs()
	if len(list) != 1 || list[0] == "" {
		return "", d.Errf("%s takes one argument", name)
	}
	return list[0], nil
}

// none refuses arguments.
func none(d *caddyfile.Dispenser) error {
	name := d.Val()
	if len(d.RemainingArgs()) > 0 {
		return d.Errf("%s takes no argument", name)
	}
	return nil
}

// into returns a parser of one string argument.
func into(target *string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) (err error) {
		*target, err = one(d)
		return err
	}
}

// add returns a parser that appends arguments.
func add(target *[]string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		list, err := args(d)
		for _, a := range list {
			if slices.Contains(*target, a) {
				return d.Errf("%s stands twice", a)
			}
		}
		*target = append(*target, list...)
		return err
	}
}

// duration returns a parser of one duration, days allowed.
func duration(target *caddy.Duration) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		text, err := one(d)
		if err != nil {
			return err
		}
		t, err := caddy.ParseDuration(text)
		if err != nil || t <= 0 {
			return d.Errf("%s: %q is not a duration such as 15m, 12h or 30d", name, text)
		}
		*target = caddy.Duration(t)
		return nil
	}
}

// choice returns a parser of one of a few arguments.
func choice(target *string, choices ...string) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		name := d.Val()
		text, err := one(d)
		if err != nil {
			return err
		}
		if !slices.Contains(choices, text) {
			return d.Errf("%s: %q is unknown%s", name, text, suggestion(text, choices))
		}
		*target = text
		return nil
	}
}

// toggle returns a parser of a word without arguments.
func toggle(target *bool) func(*caddyfile.Dispenser) error {
	return func(d *caddyfile.Dispenser) error {
		*target = true
		return none(d)
	}
}

// where is the place of the current word.
func where(d *caddyfile.Dispenser) string { return fmt.Sprintf("%s:%d", d.File(), d.Line()) }

// parseGlobal reads the global option:
//
//	gatehouse {
//		store sqlite [<path>] | memory
//		encryption_key file <path> | env <name>
//		<pool options>              # of the pool "default"
//		pool <name> { <pool options> }
//	}
func parseGlobal(d *caddyfile.Dispenser, existing any) (any, error) {
	d.Next()
	if existing != nil {
		return nil, d.Err("the global option gatehouse stands twice: put everything into one block")
	}
	if err := none(d); err != nil {
		return nil, err
	}
	app := &App{}
	first := &Pool{Where: where(d)}
	words := append([]word{
		{"store", app.parseStore},
		{"encryption_key", app.parseKey},
		{"pool", app.parsePool},
	}, first.words()...)
	if err := block(d, words); err != nil {
		return nil, err
	}
	if app.Pools == nil {
		app.Pools = map[string]*Pool{}
	}
	app.Pools[defaultPool] = first
	return httpcaddyfile.App{Name: "gatehouse", Value: caddyconfig.JSON(app, nil)}, nil
}

func (a *App) parseStore(d *caddyfile.Dispenser) error {
	list := d.RemainingArgs()
	switch {
	case len(list) == 1 && (list[0] == "memory" || list[0] == "sqlite"):
		a.Store = &StoreConfig{Backend: list[0]}
	case len(list) == 2 && list[0] == "sqlite" && list[1] != "":
		a.Store = &StoreConfig{Backend: "sqlite", Path: list[1]}
	case len(list) > 0 && list[0] == "redis":
		return d.Err("store redis: this build has no Redis store: use `store sqlite`")
	default:
		return d.Err("write `store sqlite [<path>]` or `store memory`")
	}
	return nil
}

func (a *App) parseKey(d *caddyfile.Dispenser) error {
	place := where(d)
	list := d.RemainingArgs()
	switch {
	case len(list) == 2 && list[0] == "file" && list[1] != "":
		a.EncryptionKey = &KeyConfig{File: list[1], Where: place}
	case len(list) == 2 && list[0] == "env" && list[1] != "":
		a.EncryptionKey = &KeyConfig{Env: list[1], Where: place}
	case len(list) > 0 && (list[0] == "vault" || list[0] == "aws_kms"):
		return d.Errf("encryption_key %s: this build does not have it: use `encryption_key file <path>` or `env <name>`", list[0])
	default:
		return d.Err("write `encryption_key file <path>` or `encryption_key env <name>`")
	}
	return nil
}

func (a *App) parsePool(d *caddyfile.Dispenser) error {
	p := &Pool{Where: where(d)}
	name, err := one(d)
	if err != nil {
		return err
	}
	switch {
	case name == defaultPool:
		return d.Errf("options outside a pool block are those of the pool %q: do not write `pool %[1]s`", name)
	case !pool.ValidName(name):
		return d.Errf("pool %q: a name is of lower-case letters, digits, - and _", name)
	case a.Pools[name] != nil:
		return d.Errf("pool %s stands twice, before at %s", name, a.Pools[name].Where)
	}
	if a.Pools == nil {
		a.Pools = map[string]*Pool{}
	}
	a.Pools[name] = p
	return block(d, p.words())
}

// words are the options of a pool.
func (p *Pool) words() []word {
	return []word{
		{"issuer", into(&p.Issuer)},
		{"brand", into(&p.Brand)},
		{"sign_in", p.parseSignIn},
		{"password", p.parsePassword},
		{"session", p.parseSession},
		{"token", p.parseToken},
		{"group", p.parseGroup},
		{"resource", p.parseResource},
		{"client", p.parseClient},
	}
}

func (p *Pool) parseSignIn(d *caddyfile.Dispenser) error {
	list, err := args(d)
	if err != nil {
		return err
	}
	for _, factor := range list {
		if err := knownFactor(factor); err != nil {
			return d.WrapErr(err)
		}
	}
	p.SignIn = list
	return nil
}

func (p *Pool) parseGroup(d *caddyfile.Dispenser) error {
	list, err := args(d)
	if err != nil {
		return err
	}
	for _, name := range list {
		switch {
		case name == "mfa":
			return d.Err("group mfa: this build does not have second factors")
		case !pool.ValidGroupName(name):
			return d.Errf("group %q: a name has no space, comma or bar", name)
		case slices.Contains(p.Groups, name):
			return d.Errf("group %s stands twice", name)
		}
		p.Groups = append(p.Groups, name)
	}
	return nil
}

func (p *Pool) parsePassword(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	p.Password = &PasswordPolicy{}
	return block(d, []word{{"min_length", func(d *caddyfile.Dispenser) error {
		text, err := one(d)
		if err != nil {
			return err
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 8 || n > 128 {
			return d.Errf("min_length: %q is not a number from 8 to 128", text)
		}
		p.Password.MinLength = n
		return nil
	}}})
}

func (p *Pool) parseSession(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	p.Session = &SessionPolicy{}
	return block(d, []word{{"idle", duration(&p.Session.Idle)}, {"absolute", duration(&p.Session.Absolute)}})
}

func (p *Pool) parseToken(d *caddyfile.Dispenser) error {
	if err := none(d); err != nil {
		return err
	}
	p.Token = &TokenPolicy{}
	t := p.Token
	return block(d, []word{
		{"access", duration(&t.Access)}, {"id", duration(&t.ID)}, {"refresh", duration(&t.Refresh)}, {"reuse_grace", duration(&t.ReuseGrace)},
		{"signing_alg", choice(&t.SigningAlg, "ES256", "RS256")}, {"id_signing_alg", choice(&t.IDSigningAlg, "ES256", "RS256")},
	})
}

func (p *Pool) parseResource(d *caddyfile.Dispenser) error {
	r := &Resource{Where: where(d)}
	list, err := args(d)
	if err != nil {
		return err
	}
	r.ID = list[0]
	if err := pool.ValidateResourceID(r.ID); err != nil {
		return d.Errf("resource %q: %w", r.ID, err)
	}
	for _, other := range p.Resources {
		if other.ID == r.ID {
			return d.Errf("resource %s is declared already, at %s", r.ID, other.Where)
		}
	}
	p.Resources = append(p.Resources, r)
	for _, name := range list[1:] {
		if err := p.declare(r, name); err != nil {
			return d.WrapErr(err)
		}
	}
	return block(d, []word{
		{"scope", func(d *caddyfile.Dispenser) error {
			list := d.RemainingArgs() // its text is for the consent page
			if len(list) == 0 || len(list) > 2 {
				return d.Errf("scope takes a name, and may take a text in quotation marks")
			}
			if err := p.declare(r, list[0]); err != nil {
				return d.WrapErr(err)
			}
			if len(list) == 2 {
				return r.describe(d, list[0], list[1])
			}
			return nil
		}},
		{"token_ttl", duration(&r.TokenTTL)},
		{"signing_alg", choice(&r.SigningAlg, "ES256", "RS256")},
	})
}

// declare gives a resource a scope that no resource of the pool has.
func (p *Pool) declare(r *Resource, scope string) error {
	if !pool.ValidScope(scope) || pool.IsOIDCScope(scope) {
		return fmt.Errorf("scope %q: not a name that a resource may declare; write one such as orders.read", scope)
	}
	for _, other := range p.Resources {
		if slices.Contains(other.Scopes, scope) {
			return fmt.Errorf("scope %s is declared already, by %s at %s", scope, other.ID, other.Where)
		}
	}
	r.Scopes = append(r.Scopes, scope)
	return nil
}

// describe keeps what people read about a scope before they agree.
func (r *Resource) describe(d *caddyfile.Dispenser, scope, text string) error {
	if strings.TrimSpace(text) == "" {
		return d.Errf("scope %s: an empty text; leave it out, or say what the scope lets an application do", scope)
	}
	if r.Texts == nil {
		r.Texts = map[string]string{}
	}
	r.Texts[scope] = text
	return nil
}

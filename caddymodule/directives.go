package caddymodule

import (
	"strings"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
	"github.com/caddyserver/caddy/v2/caddyconfig/httpcaddyfile"
	"github.com/caddyserver/caddy/v2/modules/caddyhttp"
)

func init() {
	// The gates stand after rewrites, so that they judge the path that the
	// upstream will get, and before everything that answers.
	for name, parse := range map[string]httpcaddyfile.UnmarshalFunc{
		"gatehouse": parseOneSite, "gatehouse_login": parseLogin, "gatehouse_require": parseRequire, "gatehouse_public": parsePublic,
	} {
		httpcaddyfile.RegisterDirective(name, parse)
	}
	for _, name := range []string{"gatehouse", "gatehouse_login", "gatehouse_public", "gatehouse_require"} {
		httpcaddyfile.RegisterDirectiveOrder(name, httpcaddyfile.Before, "basic_auth")
	}
}

// parseOneSite reads `gatehouse [<pool>]`: the login under /_auth on the
// application's own origin, everything else for signed-in users.
func parseOneSite(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	name, err := poolArgument(h)
	if err != nil {
		return nil, err
	}
	gate := &Gate{Pool: name, Where: where(h.Dispenser)}
	if err := gate.block(h.Dispenser); err != nil {
		return nil, err
	}
	login := h.NewRoute(nil, &Login{Pool: name, OneSite: true, Where: gate.Where})
	return append(login, h.NewRoute(nil, gate)...), nil
}

// parseLogin reads `gatehouse_login [<pool>]`.
func parseLogin(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	name, err := poolArgument(h)
	if err != nil {
		return nil, err
	}
	l := &Login{Pool: name, Where: where(h.Dispenser)}
	if err := block(h.Dispenser, nil); err != nil {
		return nil, err
	}
	return h.NewRoute(nil, l), nil
}

// poolArgument reads an optional pool name.
func poolArgument(h httpcaddyfile.Helper) (string, error) {
	h.Next()
	list := h.RemainingArgs()
	if len(list) > 1 || len(list) == 1 && strings.ContainsAny(list[0], "@/*:") {
		return "", h.Errf("the only argument is a pool's name: conditions and matchers go to gatehouse_require")
	}
	if len(list) == 0 {
		return "", nil
	}
	return list[0], nil
}

// parseRequire reads the gate:
//
//	gatehouse_require [<matcher>] [<condition>…] {
//		public <path>…
//		resource <uri>
//		headers <preset>
//		cors <origin>…
//		strict
//		strip_token
//	}
func parseRequire(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	return parseGate(h, "")
}

// parsePublic reads `gatehouse_public [<matcher>] [pool:<name>]`: on purpose
// open to all.
func parsePublic(h httpcaddyfile.Helper) ([]httpcaddyfile.ConfigValue, error) {
	return parseGate(h, "public")
}

// parseGate reads a gate. Its matcher goes into the handler: Caddy would sort
// a route that has one before the others.
func parseGate(h httpcaddyfile.Helper, mode string) ([]httpcaddyfile.ConfigValue, error) {
	if !h.Next() {
		return nil, h.ArgErr()
	}
	gate := &Gate{Mode: mode, Where: where(h.Dispenser)}
	matcher, err := h.ExtractMatcherSet()
	if err != nil {
		return nil, err
	}
	if matcher != nil {
		gate.MatcherSetsRaw = caddyhttp.RawMatcherSets{caddy.ModuleMap(matcher)}
	}
	h.Next() // the directive's name again
	if err := gate.arguments(h); err != nil {
		return nil, err
	}
	if mode == "public" && len(gate.Conditions) > 0 {
		return nil, h.Errf("gatehouse_public takes no condition but pool:NAME: it refuses nobody")
	}
	if err := gate.block(h.Dispenser); err != nil {
		return nil, err
	}
	if _, err := gate.parse(); err != nil {
		return nil, h.WrapErr(err)
	}
	return h.NewRoute(nil, gate), nil
}

// arguments reads the conditions of a line. pool:NAME is none: it says whose
// gate it is.
func (g *Gate) arguments(h httpcaddyfile.Helper) error {
	for _, c := range h.RemainingArgs() {
		name, ok := strings.CutPrefix(c, poolCondition)
		switch {
		case !ok:
			g.Conditions = append(g.Conditions, c)
		case name == "":
			return h.Errf("condition %q: say which, as in pool:name", c)
		case g.Pool != "":
			return h.Errf("condition %q: the gate belongs to the pool %s already: a gate has one pool", c, g.Pool)
		default:
			g.Pool = name
		}
	}
	return nil
}

// block reads what may stand in a gate's braces.
func (g *Gate) block(d *caddyfile.Dispenser) error {
	return block(d, []word{
		{"public", add(&g.Public)},
		{"resource", into(&g.Resource)},
		{"headers", choice(&g.Headers, "default", "remote", "x-forwarded", "alb", "none")},
		{"cors", add(&g.CORS)},
		{"strict", toggle(&g.Strict)},
		{"strip_token", toggle(&g.StripToken)},
	})
}

package caddymodule

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/caddyserver/caddy/v2/modules/caddyhttp"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/guard"
)

// A directive cannot see its site's address while it is adapted, and a
// handler cannot ask for the http app while that is being provisioned. So the
// app walks the provisioned servers when it starts and pairs each of our
// handlers with the origins that lead to it.

// oneSitePrefix is where the login's paths are in one-site mode.
const oneSitePrefix = "/_auth"

// place walks the http app and fills in where everything is. It says
// everything that is wrong, joined.
func (a *App) place() error {
	for _, l := range a.logins {
		l.at = ""
	}
	for _, g := range a.gates {
		g.origins, g.handled = nil, nil
	}
	f := &finds{}
	m, err := a.ctx.AppIfConfigured("http")
	switch {
	case err == nil:
		route := 0
		app := m.(*caddyhttp.App)
		for _, name := range sortedKeys(app.Servers) {
			route = f.walk(app, app.Servers[name], route)
		}
	case len(a.logins)+len(a.gates) > 0:
		return fmt.Errorf("gatehouse: %w", err)
	}
	a.dropUnused()
	f.judgeGates()
	f.judgeOpen()
	f.judgePools()
	for i := range a.config.Pools {
		f.settle(a, &a.config.Pools[i])
	}
	for _, g := range a.gates {
		if len(g.origins) == 0 && len(f.problems) == 0 {
			f.problems = append(f.problems, at(g.Where, errors.New("no site leads to this gate: a host matcher keeps all away, or it stands inside a handler that Gatehouse does not know")))
		}
	}
	return errors.Join(f.problems...)
}

// dropUnused forgets the pool "default" if nobody wrote or uses it: the
// Caddyfile always makes one.
func (a *App) dropUnused() {
	used := slices.ContainsFunc(a.gates, func(g *Gate) bool { return g.Pool == defaultPool }) ||
		slices.ContainsFunc(a.logins, func(l *Login) bool { return l.Pool == defaultPool })
	if p := a.Pools[defaultPool]; used || p == nil || !p.empty() {
		return
	}
	a.config.Pools = slices.DeleteFunc(a.config.Pools, func(p authcore.PoolConfig) bool { return p.Name == defaultPool })
}

// judgeGates refuses a gate whose site cannot be signed in to: the gate's own
// paths, the callback among them, must come to some gate.
func (f *finds) judgeGates() {
	var reached []string // origins with a gate that requests for /_auth/* come to
	for _, g := range f.gates {
		if g.auth {
			reached = appendNew(reached, g.origins)
		}
	}
	for _, g := range f.gates {
		if g.gate.rule.API || g.gate.rule.Mode == guard.Public {
			continue
		}
		for _, o := range g.origins {
			if !slices.Contains(reached, o) {
				f.problems = append(f.problems, at(g.gate.Where, fmt.Errorf("nobody could sign in to %s: %s/* comes to no gate, since path matchers stand around them: put gatehouse_public, or another gatehouse_require, where the rest of the site is", o, oneSitePrefix)))
				break
			}
		}
	}
}

// judgeOpen refuses what would leave a site with a gate open, and what would
// hand the cookies of a login to somebody behind it: a gate takes them away.
func (f *finds) judgeOpen() {
	for _, open := range f.open {
		near := func(route int, origins []string) bool {
			return route == open.route || slices.ContainsFunc(origins, func(o string) bool { return slices.Contains(open.origins, o) })
		}
		i := slices.IndexFunc(f.gates, func(g gateFound) bool { return near(g.route, g.origins) })
		j := slices.IndexFunc(f.logins, func(l loginFound) bool { return near(l.route, l.origins) })
		where, has := "", "a gate, can be reached without one"
		switch {
		case i >= 0:
			where = f.gates[i].gate.Where
		case j >= 0:
			where, has = f.logins[j].login.Where, "the login, can be reached without a gate"
		case !open.errors:
			continue
		}
		site := "a site"
		if len(open.origins) > 0 {
			site = open.origins[0]
		}
		f.problems = append(f.problems, at(where, fmt.Errorf("%s on %s, which has %s: add gatehouse_require, or gatehouse_public to say that it is open", open.name, site, has)))
	}
}

// judgePools refuses two pools on one origin.
func (f *finds) judgePools() {
	pools, places := map[string]string{}, map[string]string{}
	claim := func(origins []string, name, where string) {
		for _, o := range origins {
			if other, ok := pools[o]; ok && other != name {
				f.problems = append(f.problems, at(where, fmt.Errorf("%s belongs to the pool %s already, by %s: one origin has one pool", o, other, places[o])))
				return
			}
			pools[o], places[o] = name, where
		}
	}
	for _, l := range f.logins {
		claim(slices.Concat(l.origins, l.behind), l.login.Pool, l.login.Where)
	}
	for _, g := range f.gates {
		claim(g.origins, g.gate.Pool, g.gate.Where)
	}
}

// settle turns what was found into one pool's configuration.
func (f *finds) settle(a *App, p *authcore.PoolConfig) {
	p.Sites = nil
	if err := f.settleLogin(p); err != nil {
		f.problems = append(f.problems, err)
		return
	}
	for _, g := range f.gates {
		if g.gate.Pool != p.Name {
			continue
		}
		for _, o := range g.origins {
			same := func(s authcore.SiteConfig) bool { return s.Origin == o && s.Resource == g.gate.Resource }
			if !slices.ContainsFunc(p.Sites, same) {
				p.Sites = append(p.Sites, authcore.SiteConfig{Origin: o, Resource: g.gate.Resource})
			}
		}
		if p.Login.Origin == "" {
			f.problems = append(f.problems, at(g.gate.Where, fmt.Errorf("the pool %s has no login site: add `gatehouse_login%s` to a site of its own, or use `gatehouse` here", p.Name, argument(p.Name))))
			return
		}
	}
	if p.Login.Origin == "" && p.Issuer == "" {
		f.problems = append(f.problems, at(a.Pools[p.Name].Where, fmt.Errorf("the pool %s has no login site: add `gatehouse_login%s` or `gatehouse%[2]s` to a site", p.Name, argument(p.Name))))
	}
}

// argument writes a pool's name as a directive's argument.
func argument(name string) string {
	if name == defaultPool {
		return ""
	}
	return " " + name
}

// settleLogin finds the one origin that serves a pool's login: the only one,
// or the one that the issuer names.
func (f *finds) settleLogin(p *authcore.PoolConfig) error {
	p.Login = authcore.LoginConfig{}
	type candidate struct {
		login *Login
		authcore.LoginConfig
	}
	var all, behind []candidate // at its own origins; at those of a proxy in front of it
	for _, l := range f.logins {
		if l.login.Pool != p.Name {
			continue
		}
		prefix := ""
		if l.login.OneSite {
			prefix = oneSitePrefix
		}
		for _, o := range l.origins {
			all = append(all, candidate{l.login, authcore.LoginConfig{Origin: o, Prefix: prefix}})
		}
		for _, o := range l.behind {
			behind = append(behind, candidate{l.login, authcore.LoginConfig{Origin: o, Prefix: prefix}})
		}
	}
	if len(all) == 0 {
		return nil
	}
	names := func() string {
		var list []string
		for _, c := range all {
			list = append(list, c.Origin+c.Prefix)
		}
		return strings.Join(list, ", ")
	}
	chosen := all[0]
	named := slices.Concat(all, behind)
	switch i := slices.IndexFunc(named, func(c candidate) bool { return p.Issuer == c.Origin+c.Prefix }); {
	case i >= 0:
		chosen = named[i]
	case p.Issuer != "":
		return at(all[0].login.Where, fmt.Errorf("the issuer of pool %s is %s, but its login is at %s", p.Name, p.Issuer, names()))
	case len(all) > 1:
		return at(all[0].login.Where, fmt.Errorf("the pool %s has several login sites: choose one with `issuer` in the global options, one of %s", p.Name, names()))
	}
	p.Login, chosen.login.at = chosen.LoginConfig, chosen.Origin
	return nil
}

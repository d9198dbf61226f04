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
	f.judgePatterns()
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

// judgePatterns refuses a gate on a site of many origins that has no name as a
// resource, or where nobody could be sent back to after signing in.
func (f *finds) judgePatterns() {
	for _, g := range f.gates {
		i := slices.IndexFunc(g.origins, isPattern)
		if i < 0 {
			continue
		}
		what := "with a wildcard"
		if isAny(g.origins[i]) {
			what = "without a host name"
			if rule := g.gate.rule; !rule.API && rule.Mode != guard.Public {
				f.problems = append(f.problems, at(g.gate.Where, errors.New("a site without a host name has no origin that people could be sent back to after signing in: give it an address such as app.example.com, or let it take tokens only with the condition `api`")))
				continue
			}
		}
		switch names := f.resources(g); len(names) {
		case 1:
		case 0:
			f.problems = append(f.problems, at(g.gate.Where, fmt.Errorf("a site %s has no name as a resource: add `resource https://api.example.com`, the audience of its tokens, in the braces of the gate", what)))
		default:
			f.problems = append(f.problems, at(g.gate.Where, fmt.Errorf("a site %s that has several resources, %s: say `resource` at this gate too", what, strings.Join(names, ", "))))
		}
	}
}

// resources returns the name of the resource that a gate says, or those that
// other lines of its site say.
func (f *finds) resources(g gateFound) (names []string) {
	if g.gate.Resource != "" {
		return []string{g.gate.Resource}
	}
	for _, other := range f.gates {
		if other.route == g.route && other.gate.Resource != "" && slices.Equal(other.origins, g.origins) {
			names = appendNew(names, []string{other.gate.Resource})
		}
	}
	return names
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
			if !slices.ContainsFunc(reached, func(r string) bool { return reaches(r, o) }) {
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
		near := func(route int, origins []string, whole bool) bool {
			return route == open.route || slices.ContainsFunc(origins, func(o string) bool {
				return slices.ContainsFunc(open.origins, func(p string) bool { return p == o || !whole && reaches(p, o) })
			})
		}
		i := slices.IndexFunc(f.gates, func(g gateFound) bool { return near(g.route, g.origins, g.whole) })
		j := slices.IndexFunc(f.logins, func(l loginFound) bool { return near(l.route, l.origins, true) })
		where, has := "", "a gate, can be reached without one"
		switch {
		case i >= 0:
			where = f.gates[i].gate.Where
		case j >= 0:
			where, has = f.logins[j].login.Where, "the login, can be reached without a gate"
		case open.errors != nil:
			where = open.errors.Where
		default:
			continue
		}
		site := "a site"
		if len(open.origins) > 0 && !isAny(open.origins[0]) {
			site = open.origins[0]
		}
		f.problems = append(f.problems, at(where, fmt.Errorf("%s on %s, which has %s: add gatehouse_require, or gatehouse_public to say that it is open", open.name, site, has)))
	}
}

// claim is what says that origins belong to a pool.
type claim struct {
	pool, where string
	origins     []string
	route       int
	whole       bool
}

// judgePools refuses two pools on one origin. Of a pattern and an origin that
// it covers each may have its own pool if they are sites of their own: Caddy
// takes the nearest name. Not so if one request could come to both.
func (f *finds) judgePools() {
	var claims []claim
	for _, l := range f.logins {
		claims = append(claims, claim{l.login.Pool, l.login.Where, slices.Concat(l.origins, l.behind), l.route, true})
	}
	for _, g := range f.gates {
		claims = append(claims, claim{g.gate.Pool, g.gate.Where, g.origins, g.route, g.whole})
	}
	for i, c := range claims {
		for _, earlier := range claims[:i] {
			if c.pool == earlier.pool {
				continue
			}
			apart := c.route != earlier.route && c.whole && earlier.whole
			if o, ok := common(c.origins, earlier.origins, apart); ok {
				f.problems = append(f.problems, at(c.where, fmt.Errorf("%s belongs to the pool %s already, by %s: one origin has one pool", o, earlier.pool, earlier.where)))
				break
			}
		}
	}
}

// common finds an origin of both lists; of patterns too, unless they are apart.
func common(a, b []string, apart bool) (string, bool) {
	for _, x := range a {
		for _, y := range b {
			switch {
			case x == y, !apart && reaches(y, x):
				return x, true
			case !apart && reaches(x, y):
				return y, true
			}
		}
	}
	return "", false
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
			site := authcore.SiteConfig{Origin: known([]string{o})[0], Resource: g.gate.Resource, API: g.gate.rule.API && len(g.gate.matchers) == 0}
			if names := f.resources(g); isPattern(o) && len(names) == 1 {
				site.Resource = names[0]
			}
			if !slices.Contains(p.Sites, site) {
				p.Sites = append(p.Sites, site)
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

package caddymodule

import (
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/guard"
)

// A site may stand for more than one origin. Its origins are then patterns:
// https://*.example.com for one label more, or https://* for any host, by the
// scheme and port at which the site is reached.

// anyHost stands for the host of a site that names none.
const anyHost = "*"

// orAny returns a site's hosts, or anyHost if it names none.
func orAny(hosts []string) []string {
	if len(hosts) == 0 {
		return []string{anyHost}
	}
	return hosts
}

// isPattern reports whether an origin stands for many.
func isPattern(origin string) bool { return strings.Contains(origin, "*") }

// isAny reports whether an origin stands for every host.
func isAny(origin string) bool {
	_, host := parts(origin)
	return host == anyHost
}

// parts splits an origin into what surrounds its host, and the host.
func parts(origin string) (around, host string) {
	scheme, rest, _ := strings.Cut(origin, "://")
	host, port := rest, ""
	if i := strings.LastIndex(rest, ":"); i > strings.LastIndex(rest, "]") {
		host, port = rest[:i], rest[i:]
	}
	return scheme + port, host
}

// reaches reports whether one origin is another, or a pattern that stands for
// it; the other may be a pattern itself.
func reaches(pattern, origin string) bool {
	if pattern == origin {
		return true
	}
	around, host := parts(pattern)
	other, name := parts(origin)
	return around == other && (host == anyHost || isPattern(pattern) && covers(host, name))
}

// known turns origins into those that gates know: a site without a host takes
// whatever comes to it.
func known(origins []string) []string {
	list := make([]string, len(origins))
	for i, o := range origins {
		if list[i] = o; isAny(o) {
			list[i] = guard.AnyOrigin
		}
	}
	return list
}

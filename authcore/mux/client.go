package mux

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// Client is what the server in front knows about the request, from trusted
// sources only.
type Client struct {
	Address string // client address without port
	Origin  string // scheme://host[:port] of the request, default ports dropped
	OrigURI string // request URI before any rewrite
}

type clientKey struct{}

// WithClient returns a context that carries c.
func WithClient(ctx context.Context, c Client) context.Context {
	return context.WithValue(ctx, clientKey{}, c)
}

// ClientOf returns what WithClient stored, or facts of the bare request: its
// connection and Host, never a forwarded header.
func ClientOf(r *http.Request) Client {
	c, _ := r.Context().Value(clientKey{}).(Client)
	if c.Address == "" {
		c.Address = addressOf(r.RemoteAddr)
	}
	if c.Origin == "" {
		c.Origin = originOf(r)
	}
	if c.OrigURI == "" {
		c.OrigURI = r.URL.RequestURI()
	}
	return c
}

func addressOf(remote string) string {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return remote
	}
	return host
}

func originOf(r *http.Request) string {
	scheme, port := "http", ":80"
	if r.TLS != nil {
		scheme, port = "https", ":443"
	}
	return scheme + "://" + strings.TrimSuffix(strings.ToLower(r.Host), port)
}

// SameOrigin reports whether the browser vouches that a request came from a
// page of the request's own origin. It is a positive proof: a request that
// says nothing about where it came from has none. "Origin: null", which a
// page with "Referrer-Policy: no-referrer" sends for its own forms, counts
// only beside "Sec-Fetch-Site: same-origin".
func SameOrigin(r *http.Request) bool {
	origins, sites := r.Header["Origin"], r.Header["Sec-Fetch-Site"]
	if len(origins) > 1 || len(sites) > 1 {
		return false
	}
	own := ClientOf(r).Origin
	protection := http.NewCrossOriginProtection()
	if protection.AddTrustedOrigin(own) != nil || protection.Check(r) != nil {
		return false
	}
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	switch site {
	case "same-origin":
		return origin == "" || origin == "null" || origin == own
	case "", "none":
		return origin == own
	}
	return false
}

// unsafe is the complement of the safe methods (RFC 9110 9.2.1).
func unsafe(method string) bool {
	return method != http.MethodGet && method != http.MethodHead && method != http.MethodOptions
}

// PlainLoopback reports whether an origin is plain HTTP on this machine,
// where browsers take neither Secure cookies nor the __Host- prefix for
// granted.
func PlainLoopback(origin string) bool {
	u, err := url.Parse(origin)
	if err != nil || u.Scheme != "http" {
		return false
	}
	host := u.Hostname()
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

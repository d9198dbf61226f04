package pool

import (
	"errors"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

const (
	orders = "https://orders.example.com"
	stock  = "https://stock.example.com/api"
	site   = "https://app.example.com"
	iss    = "https://login.example.com"
)

func targetPool() *Pool {
	return &Pool{
		Issuer: iss,
		Resources: map[string]*Resource{
			orders: {ID: orders, Scopes: []string{"orders.read", "orders.write"}},
			stock:  {ID: stock, Scopes: []string{"stock.read"}},
			site:   {ID: site, Site: true},
		},
	}
}

func TestResolveTarget(t *testing.T) {
	all := []string{"openid", "email", "orders.read", "orders.write", "stock.read"}
	both := []string{orders, stock}
	cases := []struct {
		name      string
		client    Client
		machine   bool
		scopes    []string
		resources []string
		want      Target
		code      fault.Code
	}{
		{
			name: "the requested resource", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid", "orders.read"}, resources: []string{orders},
			want: Target{Audience: orders, Scopes: []string{"openid", "orders.read"}, Resources: []string{orders}},
		}, {
			name: "spelt differently", client: Client{Scopes: all, Resources: both},
			scopes: []string{"orders.read"}, resources: []string{"HTTPS://Orders.Example.com:443/"},
			want: Target{Audience: orders, Scopes: []string{"orders.read"}, Resources: []string{orders}},
		}, {
			name: "scopes of another resource are cut", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid", "orders.read", "stock.read"}, resources: []string{stock},
			want: Target{Audience: stock, Scopes: []string{"openid", "stock.read"}, Resources: []string{stock}},
		}, {
			name: "the one resource of the scopes", client: Client{Scopes: all, Resources: both, DefaultResource: stock},
			scopes: []string{"openid", "orders.write"},
			want:   Target{Audience: orders, Scopes: []string{"openid", "orders.write"}, Resources: []string{orders}},
		}, {
			name: "scopes of two resources", client: Client{Scopes: all, Resources: both, DefaultResource: stock},
			scopes: []string{"orders.read", "stock.read"}, code: fault.InvalidTarget,
		}, {
			name: "several resources: the first", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid", "orders.read", "stock.read"}, resources: []string{stock, orders, stock},
			want: Target{
				Audience: stock, Scopes: []string{"openid", "stock.read"},
				Resources: []string{stock, orders}, Granted: []string{"openid", "orders.read", "stock.read"},
			},
		}, {
			name: "the client's default", client: Client{Scopes: all, Resources: []string{site, orders}, DefaultResource: site},
			scopes: []string{"openid"},
			want:   Target{Audience: site, Scopes: []string{"openid"}, Resources: []string{site}},
		}, {
			name: "the issuer", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid", "email"},
			want:   Target{Audience: iss, Scopes: []string{"openid", "email"}},
		}, {
			name: "nothing at all", client: Client{},
			want: Target{Audience: iss, Scopes: []string{}},
		}, {
			name: "no scope: the default ones", client: Client{Scopes: all, DefaultScopes: []string{"openid", "orders.read"}, Resources: both},
			want: Target{Audience: orders, Scopes: []string{"openid", "orders.read"}, Resources: []string{orders}},
		}, {
			name: "no scope, none default: all", client: Client{Scopes: []string{"openid", "stock.read"}, Resources: both},
			want: Target{Audience: stock, Scopes: []string{"openid", "stock.read"}, Resources: []string{stock}},
		}, {
			name: "no scope, default ones span two", client: Client{Scopes: all, Resources: both}, code: fault.InvalidTarget,
		}, {
			name: "no scope, default ones span two, a default resource", client: Client{Scopes: all, Resources: both, DefaultResource: orders},
			want: Target{Audience: orders, Scopes: []string{"openid", "email", "orders.read", "orders.write"}, Resources: []string{orders}},
		}, {
			name: "a scope that is not the client's", client: Client{Scopes: []string{"openid"}, Resources: both},
			scopes: []string{"openid", "orders.read"}, code: fault.InvalidScope,
		}, {
			name: "an OIDC scope that is not the client's", client: Client{Scopes: []string{"openid"}},
			scopes: []string{"openid", "email"}, code: fault.InvalidScope,
		}, {
			name: "a scope that nobody declares", client: Client{Scopes: []string{"ghost"}},
			scopes: []string{"ghost"}, code: fault.InvalidScope,
		}, {
			name: "an unknown resource", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid"}, resources: []string{"https://evil.example.com"}, code: fault.InvalidTarget,
		}, {
			name: "an unknown resource beside a known one", client: Client{Scopes: all, Resources: both},
			resources: []string{orders, "https://evil.example.com"}, code: fault.InvalidTarget,
		}, {
			name: "a resource that is not the client's", client: Client{Scopes: all, Resources: []string{orders}},
			scopes: []string{"openid"}, resources: []string{stock}, code: fault.InvalidTarget,
		}, {
			name: "scopes of a resource that is not the client's", client: Client{Scopes: all, Resources: []string{orders}},
			scopes: []string{"stock.read"}, code: fault.InvalidTarget,
		}, {
			name: "a site that was not named", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid"}, resources: []string{site}, code: fault.InvalidTarget,
		}, {
			name: "the issuer is no resource", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid"}, resources: []string{iss}, code: fault.InvalidTarget,
		}, {
			name: "a relative resource", client: Client{Scopes: all, Resources: both},
			scopes: []string{"openid"}, resources: []string{"orders"}, code: fault.InvalidTarget,
		}, {
			name: "machine: its own scopes", client: Client{Scopes: all, MachineScopes: []string{"orders.read"}, Resources: both}, machine: true,
			want: Target{Audience: orders, Scopes: []string{"orders.read"}, Resources: []string{orders}},
		}, {
			name: "machine: a user's scope", client: Client{Scopes: all, MachineScopes: []string{"orders.read"}, Resources: both}, machine: true,
			scopes: []string{"orders.write"}, code: fault.InvalidScope,
		}, {
			name: "machine: openid", client: Client{Scopes: all, MachineScopes: []string{"orders.read"}, Resources: both}, machine: true,
			scopes: []string{"openid"}, code: fault.InvalidScope,
		}, {
			name: "machine: no scopes at all", client: Client{Scopes: all, Resources: both}, machine: true,
			want: Target{Audience: iss, Scopes: []string{}},
		}, {
			name: "machine: a default resource", client: Client{Resources: both, DefaultResource: stock}, machine: true,
			want: Target{Audience: stock, Scopes: []string{}, Resources: []string{stock}},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			resolve := ResolveTarget
			if c.machine {
				resolve = ResolveMachineTarget
			}
			got, err := resolve(targetPool(), &c.client, c.scopes, c.resources)
			if c.code != "" {
				if !errors.Is(err, c.code) {
					t.Fatalf("got %+v, %v; want %s", got, err, c.code)
				}
				return
			}
			if c.want.Granted == nil {
				c.want.Granted = c.want.Scopes
			}
			if err != nil || got.Audience != c.want.Audience || !slices.Equal(got.Scopes, c.want.Scopes) ||
				!slices.Equal(got.Resources, c.want.Resources) || !slices.Equal(got.Granted, c.want.Granted) {
				t.Fatalf("got %+v, %v; want %+v", got, err, c.want)
			}
		})
	}
}

func TestNarrowTarget(t *testing.T) {
	granted := []string{"openid", "orders.read", "orders.write", "stock.read"}
	both := []string{orders, stock}
	cases := []struct {
		name      string
		resources []string
		scopes    []string
		resource  string
		audience  string
		want      []string
		code      fault.Code
	}{
		{"all of the first", both, nil, "", orders, []string{"openid", "orders.read", "orders.write"}, ""},
		{"the second", both, nil, stock + "/", stock, []string{"openid", "stock.read"}, ""},
		{"fewer scopes", both, []string{"orders.read"}, "", orders, []string{"orders.read"}, ""},
		{"no scope", both, []string{}, "", orders, []string{}, ""},
		{"no resource", nil, nil, "", iss, []string{"openid"}, ""},
		{"a resource that was not granted", []string{orders}, nil, stock, "", nil, fault.InvalidTarget},
		{"an unknown resource", both, nil, "https://evil.example.com", "", nil, fault.InvalidTarget},
		{"a resource where none was granted", nil, nil, orders, "", nil, fault.InvalidTarget},
		{"a scope that was not granted", both, []string{"email"}, "", "", nil, fault.InvalidScope},
	}
	for _, c := range cases {
		got, err := NarrowTarget(targetPool(), granted, c.resources, c.scopes, c.resource)
		if c.code != "" {
			if !errors.Is(err, c.code) {
				t.Errorf("%s: got %+v, %v", c.name, got, err)
			}
			continue
		}
		if err != nil || got.Audience != c.audience || !slices.Equal(got.Scopes, c.want) {
			t.Errorf("%s: got %+v, %v", c.name, got, err)
		}
	}
}

func TestParseScope(t *testing.T) {
	many := ""
	for range 101 {
		many += " x"
	}
	for in, want := range map[string][]string{
		"":                  nil,
		"openid":            {"openid"},
		"b a b":             {"b", "a"},
		"orders.read x:y/z": {"orders.read", "x:y/z"},
		"!#$%&'()*+,-./[]":  {"!#$%&'()*+,-./[]"},
	} {
		if got, err := ParseScope(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{" ", " a", "a ", "a  b", "a\tb", "a\nb", `a"b`, `a\b`, "\u00e4", "a\x00", many[1:]} {
		if got, err := ParseScope(in); !errors.Is(err, fault.InvalidScope) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
}

func FuzzParseScope(f *testing.F) {
	for _, s := range []string{"", "a b", "a  b", "openid\x7f", "\""} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := ParseScope(s)
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, token := range got {
			if !ValidScope(token) || seen[token] {
				t.Fatalf("%q: bad token %q", s, token)
			}
			seen[token] = true
		}
		if (len(got) == 0) != (s == "") || len(got) > maxScopes {
			t.Fatalf("%q: %d tokens", s, len(got))
		}
	})
}

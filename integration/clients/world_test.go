package clients

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	person    = "zoë@example.com"
	password  = "a horse, a battery, a staple"
	redirect  = "http://127.0.0.1:1/callback"
	secret    = "shop+secret/with=signs&and spaces"
	secretTwo = "the-second-secret-of-the-shop"
)

// pool is what both places share: a confidential client for each way to
// authenticate, a public one, a machine, the API that tokens are for, and another.
const pool = `{
	admin {{admin}}
	gatehouse {
		group staff
		resource http://localhost:{{port api}} orders.read orders.write
		resource https://stock.example.com stock.read
		client shop {
			secret {env.SHOP_SECRET} {env.SHOP_SECRET_2}
			redirect http://127.0.0.1:1/callback {{site}}/callback
			logout_redirect {{site}}/
			scopes openid profile email offline_access orders.read orders.write
		}
		client shop-post {
			secret {env.SHOP_SECRET}
			auth client_secret_post
			redirect http://127.0.0.1:1/callback
			scopes openid profile email orders.read
		}
		client phone {
			redirect http://127.0.0.1:1/callback {{site}}/callback
			logout_redirect {{site}}/
			scopes openid profile email orders.read
			id_signing_alg ES256
		}
		client batch {
			secret {env.SHOP_SECRET}
			grant client_credentials orders.read stock.read
		}
		client orders-api {
			secret {env.SHOP_SECRET}
			grant client_credentials
			resources http://localhost:{{port api}}
		}
	}
}
http://localhost:{{port api}} {
	gatehouse_require scope:orders.read
	reverse_proxy {{up}}
}
`

// place is where the login host stands: on a host of its own, its issuer an
// origin, or under /_auth, its issuer with a path.
type place struct{ name, caddyfile, issuer string }

var places = []place{
	{"an issuer that is an origin", pool + "http://localhost:{{port login}} {\n\tgatehouse_login\n}\n", "http://localhost:{{port login}}"},
	{"an issuer with a path", pool + "http://localhost:{{port app}} {\n\tgatehouse\n\treverse_proxy {{up}}\n}\n", "http://localhost:{{port app}}/_auth"},
}

// world is a running server with one person in it, and a web site that a test
// makes a client of it.
type world struct {
	issuer, api string
	up          *harness.Upstream
	server      *harness.Server
	site        *httptest.Server
	pages       *http.ServeMux // of the site
}

func start(t *testing.T, p place) *world {
	t.Helper()
	up, pages := harness.NewUpstream(t), http.NewServeMux()
	site := httptest.NewServer(pages)
	t.Cleanup(site.Close)
	s := harness.Start(t, p.caddyfile, harness.Options{
		Vars: map[string]string{"up": up.Address, "site": site.URL},
		Env:  []string{"SHOP_SECRET=" + secret, "SHOP_SECRET_2=" + secretTwo},
	})
	s.AddUser(person, password, "--name", "Zoë Example", "--group", "staff")
	return &world{issuer: s.Expand(p.issuer), api: s.URL("api"), up: up, server: s, site: site, pages: pages}
}

// everywhere runs a test at both places.
func everywhere(t *testing.T, test func(t *testing.T, w *world)) {
	for _, p := range places {
		t.Run(p.name, func(t *testing.T) { test(t, start(t, p)) })
	}
}

// visit does what the person does with an authorization request: goes there in
// a new browser, signs in, and ends where the client waits.
func visit(t *testing.T, authorize string) (callback string) {
	t.Helper()
	b := harness.NewBrowser(t)
	b.Get(authorize)
	b.SignIn(person, password)
	if b.URL.Port() != "1" {
		t.Fatalf("not back at the client: %d at %s\n%s", b.Status, b.URL, b.Body)
	}
	return b.URL.String()
}

// opened asserts that each of the clients' calls reached the API's upstream in
// the name it was made in.
func (w *world) opened(t *testing.T, clients ...string) {
	t.Helper()
	var got []string
	for _, r := range w.up.Take() {
		id := r.Header.Get("X-Auth-Client")
		got = append(got, id)
		if human := r.Header.Get("X-Auth-User") != ""; human == (id == "batch") {
			t.Errorf("a call of %s with the user %q", id, r.Header.Get("X-Auth-User"))
		}
	}
	slices.Sort(got)
	slices.Sort(clients)
	if !slices.Equal(got, clients) {
		t.Error(fmt.Errorf("calls that reached the API: %v, want %v", got, clients))
	}
}

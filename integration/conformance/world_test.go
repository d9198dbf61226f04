package conformance

import (
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	ann      = "ann" // chose this name and has every standard claim
	annMail  = "ann@example.com"
	annPhone = "+493012345678"
	bob      = "bob@example.com"
	password = "a long enough password"

	// The suite's clients send no PKCE but in the module that is about it:
	// hence pkce optional, which confidential clients alone may have.
	pool = `{
	admin {{admin}}
	gatehouse {
		store {{store}}
		client rp {
			secret rp-secret-0123456789abcdef+/=
			redirect http://127.0.0.1:1/callback
			logout_redirect http://127.0.0.1:1/bye http://127.0.0.1:1/bye-with?own=1
			scopes openid profile email address phone
			pkce optional
		}
		client rp-post {
			secret post-secret-0123456789abcdef+/=
			auth client_secret_post
			redirect http://127.0.0.1:1/post
			scopes openid profile email
			pkce optional
		}
	}
}
`
)

// setup is a store with a place for the login host: one of its own, whose
// issuer is an origin, or under /_auth of an application, whose issuer has a
// path.
type setup struct{ store, site, issuer string }

func setups() []setup {
	return []setup{
		{"sqlite", "http://localhost:{{port site}} {\n\tgatehouse_login\n}\n", "http://localhost:{{port site}}"},
		{"memory", "http://localhost:{{port site}} {\n\tgatehouse\n\treverse_proxy {{up}}\n}\n", "http://localhost:{{port site}}/_auth"},
	}
}

var (
	rp     = harness.Client{ID: "rp", Secret: "rp-secret-0123456789abcdef+/=", Redirect: "http://127.0.0.1:1/callback"}
	rpPost = harness.Client{ID: "rp-post", Secret: "post-secret-0123456789abcdef+/=", Redirect: "http://127.0.0.1:1/post"}
)

// bye is where rp may send people after they signed out.
const bye = "http://127.0.0.1:1/bye"

// world is a running server with two people.
type world struct {
	config string // as in Options of the harness
	server *harness.Server
	host   harness.Provider
	oidc   *oidc.Provider // as discovered
	late   map[string]<-chan lateReuse
}

func newWorld(t *testing.T, s setup) *world {
	t.Helper()
	w := &world{config: pool + s.site, late: map[string]<-chan lateReuse{}}
	up := harness.NewUpstream(t)
	w.server = harness.Start(t, w.config, harness.Options{Store: s.store, Ready: "site", Vars: map[string]string{"up": up.Address}})
	w.host = harness.Provider{Base: w.server.Expand(s.issuer)}
	w.server.AddUser(bob, password)
	w.server.AddUser(ann, password, "--name", "Ann Example")
	set := []string{"user", "set", ann, "--email", annMail, "--phone", annPhone}
	for name, value := range annClaims() {
		set = append(set, "--claim", name+"="+value)
	}
	w.server.CLI(set...)
	var err error
	if w.oidc, err = oidc.NewProvider(t.Context(), w.host.Base); err != nil {
		t.Fatal(err)
	}
	return w
}

// annClaims are ann's other standard claims (OIDC Core 5.1).
func annClaims() map[string]string {
	return map[string]string{
		"given_name": "Ann", "family_name": "Example", "middle_name": "Q", "nickname": "annie",
		"profile": "https://ann.example.com/", "picture": "https://ann.example.com/ann.png", "website": "https://example.com/",
		"gender": "female", "birthdate": "1990-12-31", "zoneinfo": "Europe/Berlin", "locale": "de-DE",
		"address": "Am Ufer 1\n10999 Berlin",
	}
}

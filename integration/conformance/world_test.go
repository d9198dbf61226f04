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
	sites = `{
	admin {{admin}}
	gatehouse {
		store {{store}}
		client rp {
			secret rp-secret-0123456789abcdef+/=
			redirect http://127.0.0.1:1/callback http://127.0.0.1:1/second?own=1
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
http://localhost:{{port login}} {
	gatehouse_login
}
`
)

var (
	rp     = harness.Client{ID: "rp", Secret: "rp-secret-0123456789abcdef+/=", Redirect: "http://127.0.0.1:1/callback"}
	rpPost = harness.Client{ID: "rp-post", Secret: "post-secret-0123456789abcdef+/=", Redirect: "http://127.0.0.1:1/post"}
)

// bye is where rp may send people after they signed out.
const bye = "http://127.0.0.1:1/bye"

// world is a running server with two people.
type world struct {
	server *harness.Server
	host   harness.Provider
	oidc   *oidc.Provider // as discovered
	late   map[string]<-chan lateReuse
}

func newWorld(t *testing.T, store string) *world {
	t.Helper()
	w := &world{server: harness.Start(t, sites, harness.Options{Store: store, Ready: "login"}), late: map[string]<-chan lateReuse{}}
	w.host = harness.Provider{Base: w.server.URL("login")}
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

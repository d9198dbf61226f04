package browser

import (
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// everyPage is a server on which every hosted page can be reached: a login
// host with applications of each kind, a gate that not everybody passes, and a
// pool that has no user yet.
const everyPage = `{
	admin {{admin}}
	skip_install_trust
	auto_https disable_redirects
	gatehouse {
		brand "Lantern & Daughters"
		group staff
		resource https://photos.example.com {
			scope photos.read "See the photos that you keep here"
			scope photos.share "Show them to others"
		}
		client shop {
			name "The shop"
			redirect {{shop}}/callback {{shop}}/stay
			logout_redirect {{shop}}/bye
			scopes openid email
		}
		client prints {
			name "Lantern Prints"
			redirect https://prints.example.com/callback {{prints}}
			scopes openid profile email offline_access photos.read photos.share
			consent
		}
		client tool {
			name "Photo tool"
			redirect http://127.0.0.1/callback
			scopes openid photos.read
			native
			consent
		}
		pool fresh {
			brand "Lantern & Daughters"
		}
	}
}
http://localhost:{{port ready}} {
	respond ready
}
http://login.localhost:{{port login}} {
	gatehouse_login
}
http://first.localhost:{{port login}} {
	gatehouse_login fresh
}
http://app.localhost:{{port app}} {
	gatehouse_require
	reverse_proxy {{up}}
}
http://admin.localhost:{{port app}} {
	gatehouse_require group:operators
	reverse_proxy {{up}}
}
`

var firstLink = regexp.MustCompile(`http://first\.localhost:\S+/signup\?link=\S+`)

// startEveryPage starts that server with its people and returns the variables
// of the scripts.
func startEveryPage(t *testing.T, up *harness.Upstream) (*harness.Server, map[string]string) {
	t.Helper()
	shop, prints := newShop(t), newPrints(t)
	s := harness.Start(t, everyPage, harness.Options{Ready: "ready", Vars: map[string]string{"up": up.Address, "shop": shop, "prints": prints}})
	s.AddUser("ada@example.com", "a lantern by the gate", "--name", "Ada Lovelace")
	s.AddUser("bob@example.com", "correct horse battery staple")
	s.AddUser("carol@example.com", "not known to carol")
	demand(t, s, "carol@example.com", "for the first time only")
	return s, map[string]string{
		"LOGIN": s.Expand("http://login.localhost:{{port login}}"), "APP": s.Expand("http://app.localhost:{{port app}}"),
		"ADMIN": s.Expand("http://admin.localhost:{{port app}}"), "SHOP": shop, "PRINTS": prints,
		"FIRST_LINK": firstLink.FindString(s.Logs()), "INVITE_LINK": invite(t, s, "dora@example.com"),
	}
}

// newPrints is an application that is not on the person's own machine, as far
// as its address tells, and returns its redirect URI.
func newPrints(t *testing.T) string {
	t.Helper()
	prints := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, "the prints") // a browser that went away needs no page
	}))
	prints.Config.ErrorLog = log.New(io.Discard, "", 0) // Chromium first asks whether it may overlook the certificate
	prints.StartTLS()
	t.Cleanup(prints.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(prints.URL, "https://"), ":")
	return "https://prints.gatehouse.test:" + port + "/callback"
}

// demand gives a user a password that has to be replaced at the next sign-in.
func demand(t *testing.T, s *harness.Server, user, password string) {
	t.Helper()
	if _, err := s.Caddy(strings.NewReader(password), "gatehouse", "user", "require-password-change", user); err != nil {
		t.Fatal(err)
	}
}

// TestEveryPage looks at every page in light and dark, narrow and wide, in both
// languages, with JavaScript and without. Each is in docs/screenshots.
func TestEveryPage(t *testing.T) {
	tools(t)
	_, vars := startEveryPage(t, harness.NewUpstream(t))
	_, pages, _ := strings.Cut(node(t, vars, "matrix.js"), "all pages: ")
	pictured(t, strings.Fields(pages))
}

// TestAccountsAndConsents walks through what people do with several accounts,
// with what applications ask them for, and with what is theirs.
func TestAccountsAndConsents(t *testing.T) {
	tools(t)
	for _, javascript := range []string{"on", "off"} {
		t.Run("JavaScript "+javascript, func(t *testing.T) {
			t.Parallel()
			up := harness.NewUpstream(t)
			_, vars := startEveryPage(t, up)
			vars["JAVASCRIPT"] = javascript
			node(t, vars, "accounts.js", "consent", "formPost", "choice", "changeAsked", "profile", "elsewhere", "newPassword", "leaving", "languages", "noCookies")
			identified(t, up)
		})
	}
}

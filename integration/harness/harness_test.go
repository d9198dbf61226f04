package harness_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// TestTheShortestWay runs the three-line Caddyfile from the link to the
// application: when this fails, nothing else needs to be looked at.
func TestTheShortestWay(t *testing.T) {
	up := harness.NewUpstream(t)
	s := harness.Start(t, "{\n\tadmin {{admin}}\n}\nhttp://localhost:{{port app}} {\n\tgatehouse\n\treverse_proxy {{up}}\n}\n",
		harness.Options{Vars: map[string]string{"up": up.Address}})
	b := harness.NewBrowser(t)
	b.MakeFirstUser(s.FirstLink(), "ann@example.com", "correct horse battery staple")
	b.Get(s.URL("app") + "/hello")
	if b.Status != http.StatusOK || !strings.Contains(b.Body, "groups=operators") {
		t.Fatalf("%d at %s: %s", b.Status, b.URL, b.Body)
	}
	seen := up.Take()
	if last := seen[len(seen)-1]; last.Header.Get("X-Auth-User") == "" || last.Header.Get("Cookie") != "" || !strings.HasPrefix(last.Raw, "GET /hello HTTP/1.1\r\n") {
		t.Errorf("%+v", last)
	}
	if out := s.CLI("user", "list", "--json"); !strings.Contains(out, "ann@example.com") {
		t.Error(out)
	}
	s.Restart()
	if b.Get(s.URL("app") + "/hello"); b.Status != http.StatusOK || !strings.Contains(b.Body, "groups=operators") {
		t.Errorf("after a restart: %d at %s", b.Status, b.URL)
	}
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	if b.Get(s.URL("app") + "/hello"); b.Status != http.StatusOK || !strings.Contains(b.Body, "groups=operators") {
		t.Errorf("after a reload: %d at %s", b.Status, b.URL)
	}
}

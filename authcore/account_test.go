package authcore_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// TestAPasswordChangeEndsEverythingElse tells of somebody who finds a strange
// session in the list and changes the password: the stranger's browser is out
// of the application, what clients were given is dead, and the person stays
// signed in where the change was made.
func TestAPasswordChangeEndsEverythingElse(t *testing.T) {
	w := newWorld(t)
	ann := w.firstUser("ann@example.com")
	strange := w.browser()
	strange.get(appOrigin + "/")
	strange.submit(map[string]string{"identifier": "ann@example.com", "password": password})
	if strange.url.String() != appOrigin+"/" || strange.status != http.StatusOK {
		t.Fatalf("not at the application but at %s (%d)", strange.url, strange.status)
	}
	tokens := ann.grant("openid offline_access")

	ann.get(loginOrigin + "/account")
	if ann.status != http.StatusOK || strings.Count(ann.body, "Network address") != 2 {
		t.Fatalf("%d:\n%s", ann.status, ann.body)
	}
	ann.get(loginOrigin + "/account/password")
	ann.submit(map[string]string{"current_password": password, "password": "quite another one"})
	if ann.url.String() != loginOrigin+"/account?done=password_changed" || ann.status != http.StatusOK {
		t.Fatalf("at %s (%d):\n%s", ann.url, ann.status, ann.body)
	}
	if strings.Count(ann.body, "Network address") != 1 {
		t.Errorf("more than this session is left:\n%s", ann.body)
	}
	if !strange.signedOutSoon() {
		t.Error("the strange browser is still in the application")
	}
	status, answer := w.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {"web"}, "refresh_token": {tokens["refresh_token"].(string)}}, "")
	if status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("%d %v", status, answer)
	}
	ann.get(appOrigin + "/")
	if ann.status != http.StatusOK || ann.url.Path != "/" {
		t.Errorf("the person is signed out too: at %s (%d)", ann.url, ann.status)
	}
}

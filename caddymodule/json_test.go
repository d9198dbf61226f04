package caddymodule

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2"
)

// TestBadJSON: JSON is the configuration itself, and is judged as strictly as
// the Caddyfile that adapts to it.
func TestBadJSON(t *testing.T) {
	t.Setenv("SECRET", "0123456789abcdef")
	gate := func(members string) string {
		return `"http":{"servers":{"s":{"listen":[":443"],"routes":[{"match":[{"host":["app.example.com"]}],"handle":[{"handler":"gatehouse_login","one_site":true},{"handler":"gatehouse_require"` + members + `}]}]}}}`
	}
	app := func(members string) string { return `"gatehouse":{` + members + `},` + gate("") }
	client := func(members string) string {
		return app(`"pools":{"default":{"clients":[{"id":"a","redirect_uris":["https://a.example/"]` + members + `}]}}`)
	}
	for text, want := range map[string]string{
		gate(""):                               "",
		gate(`,"match":[]`):                    "",
		app(""):                                "",
		app(`"pools":null`):                    "",
		app(`"pools":{"default":null}`):        "",
		gate(`,"mode":"open"`):                 "neither require nor public",
		gate(`,"conditions":[""]`):             "unknown",
		gate(`,"conditions":["group:"]`):       "say which",
		gate(`,"conditions":["pool:default"]`): "in JSON the gate's member",
		gate(`,"mode":"public","conditions":["max_age:5m"]`):                                                              "refuses nobody",
		gate(`,"mode":"public","conditions":["group:operators"]`):                                                         "takes no conditions",
		gate(`,"mode":"public","conditions":["api"]`):                                                                     "takes no conditions",
		gate(`,"conditions":["acr:aal1","max_age:5m"],"strict":true,"cors":["https://www.example.com"],"pool":"default"`): "",
		gate(`,"conditions":["max_age:1500ms"]`):                                                                          "whole seconds",
		gate(`,"cors":[""]`):                                                                                              "is no origin",
		gate(`,"cors":["null"]`):                                                                                          "is no origin",
		client(`,"logout_redirect_uris":["https://a.example/out"],"origins":["https://a.example"],"consent":true`):        "",
		client(`,"logout_redirect_uris":["/out"]`):                                                                        "must be absolute",
		client(`,"origins":["https://a.example/"]`):                                                                       "did you mean https://a.example?",
		app(`"pools":{"default":{"resources":[{"id":"https://x","scopes":["a"],"texts":{"b":"B"}}]}}`):                    "does not declare",
		gate(`,"public":[""]`):                                                                                            "does not begin with /",
		gate(`,"public":["/a*b"]`):                                                                                        "wildcard",
		gate(`,"headers":"all"`):                                                                                          "no header preset",
		gate(`,"pool":"nope"`):                                                                                            "no pool is named nope",
		gate(`,"conditons":["api"]`):                                                                                      "unknown field",
		gate(`,"match":[{"nope":{}}]`):                                                                                    "matcher",
		app(`"store":{"backend":"redis"}`):                                                                                "no store",
		app(`"stores":{}`):                                                                                                "unknown field",
		app(`"encryption_key":{}`):                                                                                        "one of them",
		app(`"encryption_key":{"file":"a","env":"b"}`):                                                                    "one of them",
		app(`"encryption_key":{"file":"{env.GATEHOUSE_TEST_UNSET}"}`):                                                     "GATEHOUSE_TEST_UNSET",
		app(`"pools":{"other":{}}`):                                                                                       "no pool is named default",
		app(`"pools":{"Other Pool":{},"default":{}}`):                                                                     "malformed name",
		app(`"pools":{"default":{"sign_in":["passkey"]}}`):                                                                "no factor",
		app(`"pools":{"default":{"groups":[""]}}`):                                                                        "group",
		app(`"pools":{"default":{"session":{"idle":-1}}}`):                                                                "session idle",
		app(`"pools":{"default":{"resources":[{"id":"x"}]}}`):                                                             "absolute URI",
		app(`"pools":{"default":{"resources":[{"id":"https://x"},{"id":"https://x"}]}}`):                                  "twice",
		client(""): "",
		app(`"pools":{"default":{"clients":[null]}}`):                         "null",
		app(`"pools":{"default":{"resources":[null]}}`):                       "null",
		client(`},{"id":"a"`):                                                 "twice",
		client(`,"grants":[{"type":"password"}]`):                             "password",
		client(`,"secrets":["{env.SECRET}","{env.SECRET}x","{env.SECRET}y"]`): "secret",
		client(`,"secrets":[""]`):                                             "secret 1 is empty",
		client(`,"secret":"x"`):                                               "unknown field",
		client(`,"auth":"none","secrets":["{env.SECRET}"]`):                   "auth",
	} {
		var cfg caddy.Config
		if err := json.Unmarshal([]byte(`{"admin":{"disabled":true},"apps":{`+text+`}}`), &cfg); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		err := caddy.Validate(&cfg)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(fmt.Sprint(err), want)) {
			t.Errorf("%s\n\twant %q: %v", text, want, err)
		}
	}
}

package caddymodule

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/caddyserver/caddy/v2/caddyconfig"
	_ "github.com/caddyserver/caddy/v2/modules/standard"

	"github.com/caddyserver/caddy/v2"
)

var update = flag.Bool("update", false, "write the expected JSON of testdata/*.caddyfiletest anew")

// adapt turns a Caddyfile into JSON.
func adapt(t *testing.T, text string) ([]byte, []caddyconfig.Warning, error) {
	t.Helper()
	return caddyconfig.GetAdapter("caddyfile").Adapt([]byte(text), map[string]any{"filename": "Caddyfile"})
}

// load adapts, validates and so provisions a Caddyfile, but starts nothing.
func load(t *testing.T, text string) error {
	t.Helper()
	raw, _, err := adapt(t, text)
	if err != nil {
		return err
	}
	var cfg caddy.Config
	if err := json.Unmarshal(raw, &cfg); err != nil {
		t.Fatal(err)
	}
	return caddy.Validate(&cfg)
}

// TestAdapt holds what a Caddyfile becomes: input, a line of dashes, JSON.
func TestAdapt(t *testing.T) {
	files, err := filepath.Glob("testdata/*.caddyfiletest")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	for _, f := range files {
		t.Run(strings.TrimSuffix(filepath.Base(f), ".caddyfiletest"), func(t *testing.T) {
			text, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			input, want, _ := strings.Cut(string(text), "\n----------\n")
			raw, _, err := adapt(t, input)
			if err != nil {
				t.Fatal(err)
			}
			var v any
			if err := json.Unmarshal(raw, &v); err != nil {
				t.Fatal(err)
			}
			got, err := json.MarshalIndent(v, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			if *update {
				if err := os.WriteFile(f, []byte(input+"\n----------\n"+string(got)+"\n"), 0o600); err != nil {
					t.Fatal(err)
				}
				return
			}
			if strings.TrimSpace(want) != string(got) {
				t.Errorf("adapts to\n%s", got)
			}
		})
	}
}

// good configurations are validated as a whole.
func TestGoodConfigurations(t *testing.T) {
	t.Setenv("SECRET", "0123456789abcdef")
	for name, text := range map[string]string{
		"three lines": "app.example.com {\n\tgatehouse\n\treverse_proxy localhost:3000\n}",
		"the larger form": `{
	gatehouse {
		store memory
		sign_in password
		group staff
		resource https://orders.example.com orders.read orders.write
		client shop {
			redirect https://shop.example.com/callback
			scopes openid email orders.read orders.write
		}
		client nightly-batch {
			secret {env.SECRET}
			grant client_credentials orders.read
		}
	}
}
login.example.com {
	gatehouse_login
}
app.example.com {
	gatehouse_require group:staff {
		public /healthz
	}
	reverse_proxy localhost:3000
}
orders.example.com {
	@write not method GET HEAD
	gatehouse_require scope:orders.read
	gatehouse_require @write scope:orders.write
	reverse_proxy orders:8080
}`,
		"everything a client and a gate may say": `{
	gatehouse {
		resource https://orders.example.com {
			scope orders.read "See your orders"
			scope orders.write
		}
		client shop {
			redirect https://shop.example.com/callback
			logout_redirect https://shop.example.com/ https://shop.example.com/bye
			logout_redirect http://localhost:3000/
			origins https://shop.example.com https://shop.example.com:8443
			origins http://localhost:3000 http://[::1]:3000
			consent
			scopes openid profile email phone address orders.read
		}
		pool staff
	}
}
login.example.com {
	gatehouse_login
}
id.example.com {
	gatehouse_login staff
}
app.example.com {
	@admin path /admin/*
	gatehouse_require acr:aal1 max_age:12h {
		cors https://www.example.com
		cors http://localhost:3000
		strict
	}
	gatehouse_require @admin max_age:5m
	reverse_proxy localhost:3000
}
tools.example.com {
	@admin path /admin/*
	gatehouse_public pool:staff
	gatehouse_require @admin pool:staff group:operators
	reverse_proxy localhost:3000
}`,
		"two pools": `{
	gatehouse {
		pool partners {
			issuer https://partners.example.com
			password {
				min_length 12
			}
		}
	}
}
partners.example.com {
	gatehouse_login partners
}
app.example.com {
	gatehouse
	respond "hello"
}`,
	} {
		if err := load(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadConfigurations: each is refused before anything starts, with its
// place and a hint.
func TestBadConfigurations(t *testing.T) {
	t.Setenv("SHORT", "tooshort")
	t.Setenv("SECRET", "0123456789abcdef")
	global := func(lines string) string {
		return "{\n\tgatehouse {\n\t\t" + strings.ReplaceAll(lines, "\n", "\n\t\t") + "\n\t}\n}\napp.example.com {\n\tgatehouse\n\treverse_proxy localhost:3000\n}\n"
	}
	site := func(lines string) string {
		return "login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\t" + strings.ReplaceAll(lines, "\n", "\n\t") + "\n\treverse_proxy localhost:3000\n}\n"
	}
	for _, c := range []struct{ name, text, want string }{
		{"unknown global word", global("strore memory"), "Caddyfile:3"},
		{"near miss", global("strore memory"), "did you mean store?"},
		{"unknown store", global("store etcd"), "Caddyfile:3"},
		{"redis", global("store redis redis://localhost"), "no Redis store"},
		{"store twice", global("store memory\nstore memory"), "Caddyfile:4"},
		{"vault", global("encryption_key vault x y"), "Caddyfile:3"},
		{"key without value", global("encryption_key file"), "Caddyfile:3"},
		{"key file absent", global("encryption_key file /does/not/exist"), "/does/not/exist"},
		{"key variable unset", global("encryption_key env GATEHOUSE_TEST_UNSET"), "GATEHOUSE_TEST_UNSET"},
		{"factor of a later build", global("sign_in passkey"), "passkey"},
		{"empty sign_in", global("sign_in"), "Caddyfile:3"},
		{"sign_up", global("sign_up open"), "Caddyfile:3"},
		{"mfa", global("mfa required totp"), "second factors"},
		{"empty group", global("group"), "Caddyfile:3"},
		{"group twice", global("group staff staff"), "Caddyfile:3"},
		{"pool default", global("pool default {\n}"), "do not write `pool default`"},
		{"pool twice", global("pool a {\n}\npool a {\n}"), "Caddyfile:5"},
		{"pool without name", global("pool {\n}"), "Caddyfile:3"},
		{"min_length", global("password {\n\tmin_length 4\n}"), "Caddyfile:4"},
		{"password word", global("password {\n\tminlength 12\n}"), "did you mean min_length?"},
		{"duration", global("session {\n\tidle soon\n}"), "Caddyfile:4"},
		{"negative duration", global("token {\n\taccess -5m\n}"), "Caddyfile:4"},
		{"too long a token", global("token {\n\taccess 48h\n}"), "access token"},
		{"algorithm", global("token {\n\tsigning_alg HS256\n}"), "Caddyfile:4"},
		{"idle over absolute", global("session {\n\tidle 48h\n\tabsolute 24h\n}"), "absolute is shorter than idle"},
		{"issuer with a query", global("issuer https://login.example.com/?x"), "issuer"},
		{"issuer over http", global("issuer http://login.example.com"), "issuer"},
		{"resource without id", global("resource"), "Caddyfile:3"},
		{"resource twice", global("resource https://a.example a.read\nresource https://a.example b.read"), "Caddyfile:4"},
		{"relative resource", global("resource orders orders.read"), "absolute URI"},
		{"resource with fragment", global("resource https://a.example#x a.read"), "fragment"},
		{"scope twice", global("resource https://a.example a.read a.read"), "Caddyfile:3"},
		{"scope of two resources", global("resource https://a.example a.read\nresource https://b.example a.read"), "a.read"},
		{"client without id", global("client"), "Caddyfile:3"},
		{"client twice", global("client a {\n\tredirect https://a.example/\n}\nclient a {\n}"), "Caddyfile:6"},
		{"client like a UUID", global("client 11111111-1111-4111-8111-111111111111 {\n\tredirect https://a.example/\n}"), "Caddyfile:3"},
		{"client unknown word", global("client a {\n\tredirects https://a.example/\n}"), "did you mean redirect?"},
		{"client unknown scope", global("client a {\n\tredirect https://a.example/\n\tscopes orders.read\n}"), "orders.read"},
		{"client misspelt scope", global("resource https://a.example orders.read\nclient a {\n\tredirect https://a.example/\n\tscopes orders.rea\n}"), "did you mean orders.read?"},
		{"client without redirect", global("client a {\n\tscopes openid\n}"), "redirect"},
		{"logout redirect over http", global("client a {\n\tredirect https://a.example/\n\tlogout_redirect http://a.example/\n}"), "logout_redirect"},
		{"logout redirect with fragment", global("client a {\n\tredirect https://a.example/\n\tlogout_redirect https://a.example/#x\n}"), "Caddyfile:3"},
		{"logout redirect of a private scheme", global("client a {\n\tredirect https://a.example/\n\tlogout_redirect com.example.app:/out\n}"), "Caddyfile:3"},
		{"empty logout redirect", global("client a {\n\tlogout_redirect\n}"), "Caddyfile:4"},
		{"logout redirect twice", global("client a {\n\tlogout_redirect https://a.example/ https://a.example/\n}"), "stands twice"},
		{"consent with an argument", global("client a {\n\tconsent always\n}"), "Caddyfile:4"},
		{"origin over http", global("client a {\n\tredirect https://a.example/\n\torigins http://a.example\n}"), "must be https"},
		{"origin with a path", global("client a {\n\tredirect https://a.example/\n\torigins https://a.example/\n}"), "did you mean https://a.example?"},
		{"origin in upper case", global("client a {\n\tredirect https://a.example/\n\torigins https://A.example\n}"), "did you mean https://a.example?"},
		{"origin with its default port", global("client a {\n\tredirect https://a.example/\n\torigins https://a.example:443\n}"), "did you mean https://a.example?"},
		{"origin with a wildcard", global("client a {\n\tredirect https://a.example/\n\torigins https://*.example\n}"), "is no origin"},
		{"origin null", global("client a {\n\tredirect https://a.example/\n\torigins null\n}"), "is no origin"},
		{"any origin", global("client a {\n\tredirect https://a.example/\n\torigins *\n}"), "is no origin"},
		{"empty scope text", global("resource https://a.example {\n\tscope a.read \"\"\n}"), "an empty text"},
		{"scope with two texts", global("resource https://a.example {\n\tscope a.read See orders\n}"), "in quotation marks"},
		{"address in a resource", global("resource https://a.example address"), "Caddyfile:3"},
		{"back-channel logout", global("client a {\n\tlogout back_channel https://a.example/\n}"), "back-channel"},
		{"redirect with fragment", global("client a {\n\tredirect https://a.example/#x\n}"), "Caddyfile:3"},
		{"redirect over http", global("client a {\n\tredirect http://a.example/\n}"), "Caddyfile:3"},
		{"javascript redirect", global("client a {\n\tredirect javascript:alert(1)\n\tnative\n}"), "Caddyfile:3"},
		{"three secrets", global("client a {\n\tsecret {env.SECRET} {env.SECRET2} {env.SECRET3}\n}"), "Caddyfile:4"},
		{"secret without value", global("client a {\n\tsecret\n}"), "Caddyfile:4"},
		{"secret variable unset", global("client a {\n\tsecret {env.GATEHOUSE_TEST_UNSET}\n\tgrant client_credentials\n}"), "{env.GATEHOUSE_TEST_UNSET}"},
		{"secret file absent", global("client a {\n\tsecret {file./does/not/exist}\n\tgrant client_credentials\n}"), "/does/not/exist"},
		{"short secret", global("client a {\n\tsecret {env.SHORT}\n\tgrant client_credentials\n}"), "fewer than 16"},
		{"machine without secret", global("client a {\n\tgrant client_credentials\n}"), "secret"},
		{"unknown grant", global("client a {\n\tgrant password\n}"), "Caddyfile:4"},
		{"scopes on the code grant", global("client a {\n\tredirect https://a.example/\n\tgrant authorization_code openid\n}"), "client_credentials"},
		{"auth word", global("client a {\n\tauth private_key_jwt\n}"), "Caddyfile:4"},
		{"pkce word", global("client a {\n\tpkce off\n}"), "Caddyfile:4"},
		{"public client, pkce optional", global("client a {\n\tredirect https://a.example/\n\tpkce optional\n}"), "pkce"},
		{"gatehouse with a matcher", site("gatehouse @x"), "Caddyfile:5"},
		{"unknown pool", site("gatehouse nope"), "Caddyfile:5"},
		{"unknown condition", site("gatehouse_require grup:staff"), "did you mean group:?"},
		{"bare scope", site("gatehouse_require scope:"), "Caddyfile:5"},
		{"unknown scope condition", site("gatehouse_require scope:orders.read"), "no resource of pool default declares it"},
		{"empty alternative", site("gatehouse_require group:a|"), "Caddyfile:5"},
		{"browser with an argument", site("gatehouse_require browser:yes"), "Caddyfile:5"},
		{"browser and api", site("gatehouse_require browser api"), "nobody has both"},
		{"mfa condition", site("gatehouse_require mfa"), "no second factors"},
		{"level of two factors", site("gatehouse_require acr:aal2"), "no factor that reaches aal2, so nobody could pass"},
		{"level of a passkey", site("gatehouse_require acr:phr"), "nobody could pass"},
		{"unknown level", site("gatehouse_require acr:aal11"), "did you mean aal1?"},
		{"no level", site("gatehouse_require acr:"), "as in acr:aal1"},
		{"bare acr", site("gatehouse_require acr"), "as in acr:aal1"},
		{"two levels", site("gatehouse_require acr:aal1 acr:aal1"), "already"},
		{"no age", site("gatehouse_require max_age:"), "as in max_age:5m"},
		{"an odd age", site("gatehouse_require max_age:soon"), "not a duration"},
		{"a negative age", site("gatehouse_require max_age:-5m"), "not a duration"},
		{"age zero", site("gatehouse_require max_age:0s"), "not a duration"},
		{"half a second", site("gatehouse_require max_age:1500ms"), "whole seconds"},
		{"two ages", site("gatehouse_require max_age:5m max_age:1m"), "shorter"},
		{"gate of no pool", site("gatehouse_require pool:"), "as in pool:name"},
		{"gate of two pools", site("gatehouse_require pool:default pool:default"), "a gate has one pool"},
		{"gate of an unknown pool", site("gatehouse_require pool:defualt"), "did you mean default?"},
		{"open gate of an unknown pool", site("gatehouse_public pool:nope"), "no pool is named nope"},
		{"cors without an origin", site("gatehouse_require {\n\tcors\n}"), "Caddyfile:6"},
		{"cors for all", site("gatehouse_require {\n\tcors *\n}"), "is no origin"},
		{"cors over http", site("gatehouse_require {\n\tcors http://a.example\n}"), "must be https"},
		{"cors with a path", site("gatehouse_require {\n\tcors https://a.example/x\n}"), "did you mean https://a.example?"},
		{"strict with an argument", site("gatehouse_require {\n\tstrict yes\n}"), "Caddyfile:6"},
		{"empty client condition", site("gatehouse_require client:|"), "Caddyfile:5"},
		{"two client conditions", site("gatehouse_require client:a client:b"), "write client:a|b"},
		{"password twice", global("password {\n}\npassword {\n}"), "password stands twice, before at line 3"},
		{"brand twice", global("brand a\nbrand b"), "Caddyfile:4"},
		{"rotate twice", global("client a {\n\trotate on\n\trotate off\n}"), "Caddyfile:5"},
		{"empty argument", global("group \"\""), "an empty argument"},
		{"empty redirect", global("client a {\n\tredirect \"\"\n}"), "Caddyfile:4"},
		{"group with a bar", global("group a|b"), "Caddyfile:3"},
		{"group with a factor", global("group staff mfa"), "second factors"},
		{"pool name", global("pool Staff {\n}"), "lower-case"},
		{"KMS", global("encryption_key aws_kms arn"), "does not have it"},
		{"option of a later build", global("client a {\n\tjwks https://a.example/keys\n}"), "private_key_jwt"},
		{"OIDC scope in a resource", global("resource https://a.example openid"), "Caddyfile:3"},
		{"scope of a block", global("resource https://a.example {\n\tscope a.read\n\tscope a.read\n}"), "Caddyfile:5"},
		{"two options of gatehouse_login", "login.example.com {\n\tgatehouse_login a b\n}", "Caddyfile:2"},
		{"a block of gatehouse_login", "login.example.com {\n\tgatehouse_login {\n\t\tpublic /x\n\t}\n}", "Caddyfile:3"},
		{"two global blocks", "{\n\tgatehouse\n\tgatehouse\n}\n", "Caddyfile:3"},
		{"client condition of a wrong kind", site("gatehouse_require browser client:a"), "nobody has both"},
		{"conditions on public", site("gatehouse_public group:a"), "Caddyfile:5"},
		{"unknown word in a gate", site("gatehouse_require {\n\tpubic /x\n}"), "did you mean public?"},
		{"empty public", site("gatehouse_require {\n\tpublic\n}"), "Caddyfile:6"},
		{"wildcard in the middle", site("gatehouse_require {\n\tpublic /a/*/b\n}"), "wildcard"},
		{"relative public", site("gatehouse_require {\n\tpublic healthz\n}"), "does not begin with /"},
		{"header preset", site("gatehouse_require {\n\theaders remot\n}"), "did you mean remote?"},
		{"resource of a gate", site("gatehouse_require {\n\tresource orders\n}"), "absolute URI"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := load(t, c.text)
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q in: %v", c.want, err)
			}
			if !place.MatchString(err.Error()) {
				t.Errorf("no file and line in: %v", err)
			}
		})
	}
}

// place is a file and line of an error.
var place = regexp.MustCompile(`Caddyfile:\d+`)

func TestSecretsStayPlaceholders(t *testing.T) {
	t.Setenv("SECRET", "a-secret-value-of-the-test")
	raw, _, err := adapt(t, "{\n\tgatehouse {\n\t\tclient batch {\n\t\t\tsecret {env.SECRET}\n\t\t\tgrant client_credentials\n\t\t}\n\t}\n}\napp.example.com {\n\tgatehouse\n}\n")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(raw), "a-secret-value") || !strings.Contains(string(raw), "{env.SECRET}") {
		t.Errorf("%s", raw)
	}
}

func TestValidateMakesNoFile(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("XDG_DATA_HOME", dir)
	if err := load(t, "app.example.com {\n\tgatehouse\n}\n"); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && strings.Contains(path, "gatehouse") {
			t.Errorf("made %s", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func FuzzConditions(f *testing.F) {
	for _, s := range []string{"scope:a", "group:a|b", "client:x", "browser", "api", "mfa", "group:", "acr:aal1", "max_age:5m", "pool:x", "::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		g := &Gate{Conditions: []string{s}}
		rule, err := g.parse()
		if err == nil && !rule.Browser && !rule.API && len(rule.Groups) == 0 && rule.ACR == "" && rule.MaxAge <= 0 {
			t.Errorf("%q is taken and asks for nothing", s)
		}
	})
}

func FuzzReadings(f *testing.F) {
	for _, s := range []string{"/", "/a%2fb", "/a;b/..%5c", "/%25%32%35", "//./x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		forms, all := readings(s)
		if len(forms) == 0 || len(forms) > 8*(maxDecodings+1) {
			t.Errorf("%q has %d readings", s, len(forms))
		}
		if strings.HasPrefix(s, "/") && plain(s) && (!all || len(forms) != 1 || forms[0] != s) {
			t.Errorf("%q is plain, and is read as %q", s, forms)
		}
	})
}

func TestSuggestions(t *testing.T) {
	for wrong, want := range map[string]string{"grup": "group", "clinet": "client", "redirekt": "redirect"} {
		if got := suggestion(wrong, []string{"group", "client", "redirect", "resource"}); got != "; did you mean "+want+"?" {
			t.Errorf("%s: %s", wrong, got)
		}
	}
	if got := suggestion("zzzzzz", []string{"group"}); strings.Contains(got, "did you mean") {
		t.Error(got)
	}
}

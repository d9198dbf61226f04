package authcore_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore"
	"github.com/gatehouse-auth/gatehouse/authcore/admin"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/loginui"
)

const (
	adminScope    = "gatehouse.admin"
	adminResource = loginOrigin + "/admin"
	adminMetadata = "/.well-known/oauth-protected-resource/admin"
)

// administered is the world's configuration with clients for the admin API,
// and a second pool.
func administered() authcore.Config {
	c := config()
	web := &c.Pools[0].Clients[0]
	web.Scopes = append(web.Scopes, adminScope)
	c.Pools[0].Clients = append(c.Pools[0].Clients, authcore.ClientConfig{
		ID: "robot", Secrets: []secret.Hidden{secret.Hide(batchSecret)}, Grants: []authcore.GrantConfig{
			{Type: "client_credentials", Scopes: []string{adminScope, "orders.read"}}},
	})
	c.Pools = append(c.Pools, authcore.PoolConfig{Name: "other", Login: authcore.LoginConfig{Origin: "http://id.localhost"}})
	return c
}

// robot gets a token for a machine client.
func (w *world) robot(scope string) string {
	w.t.Helper()
	form := url.Values{"grant_type": {"client_credentials"}, "scope": {scope}}
	status, answer := w.token(form, "robot:"+batchSecret)
	if status != http.StatusOK {
		w.t.Fatal(answer)
	}
	return answer["access_token"].(string)
}

// a door leads to the admin API: path is below /v1/pools/default.
type adminDoor func(method, path string, in any) *http.Response

// socketDoor is the admin socket.
func (w *world) socketDoor() adminDoor {
	return func(method, path string, in any) *http.Response {
		w.t.Helper()
		out := httptest.NewRecorder()
		w.state.Admin().ServeHTTP(out, httptest.NewRequest(method, "/v1/pools/default"+path, body(w.t, in)))
		return out.Result()
	}
}

// loginDoor is the login host, with a token.
func (w *world) loginDoor(token string) adminDoor {
	return func(method, path string, in any) *http.Response {
		w.t.Helper()
		return w.knock(method, "/v1/pools/default"+path, in, http.Header{"Authorization": {"Bearer " + token}})
	}
}

// knock sends a request to the admin API at the login host.
func (w *world) knock(method, path string, in any, header http.Header) *http.Response {
	w.t.Helper()
	r, err := http.NewRequest(method, adminResource+path, body(w.t, in))
	if err != nil {
		w.t.Fatal(err)
	}
	for name, values := range header {
		r.Header[name] = values
	}
	res, err := w.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	return res
}

func body(t *testing.T, in any) io.Reader {
	t.Helper()
	if in == nil {
		return http.NoBody
	}
	raw, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.NewReader(raw)
}

// describedAPI holds answers against the OpenAPI document.
type describedAPI struct {
	t     *testing.T
	doc   map[string]any
	asked map[string]bool // operations, "get /v1/…"
}

func newDescribedAPI(t *testing.T) *describedAPI {
	d := &describedAPI{t: t, asked: map[string]bool{}}
	if err := json.Unmarshal(admin.Document(), &d.doc); err != nil {
		t.Fatal(err)
	}
	return d
}

// at walks down the document.
func at(v any, names ...string) any {
	for _, name := range names {
		object, _ := v.(map[string]any)
		v = object[name]
	}
	return v
}

// do sends a request through a door, demands a status, and holds request and
// answer against the document. path is the document's; names fill it in.
func (d *describedAPI) do(door adminDoor, want int, method, path string, in any, names ...string) map[string]any {
	d.t.Helper()
	op := at(d.doc, "paths", "/v1/pools/{pool}"+path, strings.ToLower(method))
	if op == nil {
		d.t.Fatalf("%s %s is not in the document", method, path)
	}
	d.asked[strings.ToLower(method)+" /v1/pools/{pool}"+path] = true
	filled := path
	for _, name := range names {
		open, end := strings.Index(filled, "{"), strings.Index(filled, "}")
		filled = filled[:open] + url.PathEscape(name) + filled[end+1:]
	}
	if schema := at(op, "requestBody", "content", "application/json", "schema"); schema != nil && want == http.StatusOK {
		var sent any
		if err := json.NewDecoder(body(d.t, in)).Decode(&sent); err != nil {
			d.t.Fatal(err)
		}
		d.fits(method+" "+path+" request", schema, sent)
	}
	res := door(method, filled, in)
	raw, err := io.ReadAll(res.Body)
	if err != nil {
		d.t.Fatal(err)
	}
	if res.StatusCode != want || res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
		d.t.Errorf("%s %s: %d %v %s", method, filled, res.StatusCode, res.Header, raw)
	}
	response := "200"
	if want != http.StatusOK {
		response = "default"
	}
	var answer map[string]any
	if err := json.Unmarshal(raw, &answer); err != nil {
		d.t.Fatalf("%s %s: %v: %s", method, filled, err, raw)
	}
	d.fits(method+" "+path+" answer", at(op, "responses", response, "content", "application/json", "schema"), answer)
	return answer
}

// fits holds a value against a schema: the part of JSON Schema that the document uses.
func (d *describedAPI) fits(where string, schema, value any) {
	d.t.Helper()
	if ref, ok := at(schema, "$ref").(string); ok {
		schema = at(d.doc, strings.Split(strings.TrimPrefix(ref, "#/"), "/")...)
	}
	bad := func(why string) { d.t.Helper(); d.t.Errorf("%s: %s: %v", where, why, value) }
	switch at(schema, "type") {
	case "string":
		s, ok := value.(string)
		if !ok {
			bad("not a string")
		}
		if enum, is := at(schema, "enum").([]any); is && !slices.Contains(enum, any(s)) {
			bad("not one of the enumeration")
		}
		if _, err := time.Parse(time.RFC3339, s); at(schema, "format") == "date-time" && err != nil {
			bad("not a time")
		}
	case "boolean":
		if _, ok := value.(bool); !ok {
			bad("not a boolean")
		}
	case "array":
		items, ok := value.([]any)
		if !ok {
			bad("not an array")
		}
		for _, item := range items {
			d.fits(where+"[]", at(schema, "items"), item)
		}
	case "object":
		d.fitsObject(where, schema, value)
	default:
		bad(fmt.Sprintf("no schema: %v", schema))
	}
}

func (d *describedAPI) fitsObject(where string, schema, value any) {
	d.t.Helper()
	object, ok := value.(map[string]any)
	if !ok {
		d.t.Errorf("%s: not an object: %v", where, value)
	}
	required, _ := at(schema, "required").([]any)
	for _, name := range required {
		if _, has := object[name.(string)]; !has {
			d.t.Errorf("%s: %v is missing", where, name)
		}
	}
	for name, member := range object {
		switch s := at(schema, "properties", name); {
		case s != nil:
			d.fits(where+"."+name, s, member)
		case at(schema, "additionalProperties") == false:
			d.t.Errorf("%s: %s is not described", where, name)
		case at(schema, "additionalProperties") != nil:
			d.fits(where+"."+name, at(schema, "additionalProperties"), member)
		}
	}
}

// administer is all that an operator does, through whichever door.
func administer(d *describedAPI, door adminDoor) {
	t := d.t
	ada := d.do(door, 200, "POST", "/users", admin.NewUser{Identifier: "Ada@Example.com", Name: "Ada", Groups: []string{"staff"}})
	sub, _ := ada["sub"].(string)
	if ada["email"] != "ada@example.com" || ada["status"] != "must_set_password" || !strings.HasPrefix(fmt.Sprint(ada["link"]), loginOrigin+"/signup?link=") {
		t.Errorf("added: %v", ada)
	}
	d.do(door, 409, "POST", "/users", admin.NewUser{Identifier: "ada@example.com"})
	d.do(door, 400, "POST", "/users", admin.NewUser{Identifier: "eve@example.com", Groups: []string{"staf"}})
	d.do(door, 400, "POST", "/users", admin.NewUser{Identifier: "eve@example.com", Password: "short"})
	d.do(door, 400, "POST", "/users", map[string]any{"identifier": "eve@example.com", "sub": sub})
	ben := d.do(door, 200, "POST", "/users", admin.NewUser{Identifier: "ben@example.com", Password: password, MustChange: true})
	if ben["status"] != "must_change_password" || ben["link"] != nil {
		t.Errorf("added: %v", ben)
	}

	var seen []any
	for after := ""; ; {
		page := d.do(func(m, p string, in any) *http.Response {
			return door(m, p+"?limit=1&after="+url.QueryEscape(after), in)
		}, 200, "GET", "/users", nil)
		for _, u := range page["users"].([]any) {
			seen = append(seen, u.(map[string]any)["sub"])
		}
		if after, _ = page["next"].(string); after == "" {
			break
		}
	}
	if !slices.Contains(seen, ada["sub"]) || !slices.Contains(seen, ben["sub"]) {
		t.Errorf("listed: %v", seen)
	}
	for filter, want := range map[string]int{`email = "ADA@example.com"`: 1, `email ^= "ada@"`: 1, `email = "nobody@example.com"`: 0} {
		page := d.do(func(m, p string, in any) *http.Response {
			return door(m, p+"?filter="+url.QueryEscape(filter), in)
		}, 200, "GET", "/users", nil)
		if users := page["users"].([]any); len(users) != want || want == 1 && at(users[0], "sub") != ada["sub"] {
			t.Errorf("%s: %v", filter, users)
		}
	}
	for _, query := range []string{"limit=0", "limit=201", "limit=x", "after=nonsense", "filter=email", "filter=password+%3D+%22x%22"} {
		d.do(func(m, p string, in any) *http.Response { return door(m, p+"?"+query, in) }, 400, "GET", "/users", nil)
	}

	given, phone, none := "Countess", "+49 30 901820", ""
	changed := d.do(door, 200, "POST", "/users/{user}", admin.UserChange{
		Name: &given, Phone: &phone, Profile: map[string]string{"given_name": "Ada", "locale": "en-GB"}, Groups: &[]string{"operators"},
	}, "ada@example.com")
	if changed["name"] != given || changed["phone"] != "+4930901820" || changed["phone_verified"] != true || at(changed, "profile", "locale") != "en-GB" || fmt.Sprint(changed["groups"]) != "[operators]" {
		t.Errorf("changed: %v", changed)
	}
	changed = d.do(door, 200, "POST", "/users/{user}", admin.UserChange{Email: &none, Profile: map[string]string{"locale": ""}}, sub)
	if changed["email"] != nil || changed["email_verified"] != false || at(changed, "profile", "locale") != nil || at(changed, "profile", "given_name") != "Ada" || changed["name"] != given {
		t.Errorf("changed: %v", changed)
	}
	for _, in := range []any{
		admin.UserChange{Phone: &none}, admin.UserChange{Email: &given}, admin.UserChange{Groups: &[]string{"staf"}},
		admin.UserChange{Profile: map[string]string{"sub": "x"}}, map[string]any{"status": "confirmed"}, []int{1},
	} {
		d.do(door, 400, "POST", "/users/{user}", in, sub)
	}
	taken := "ben@example.com"
	d.do(door, 409, "POST", "/users/{user}", admin.UserChange{Email: &taken}, sub)
	if now := d.do(door, 200, "GET", "/users/{user}", nil, sub); now["phone"] != "+4930901820" || now["email"] != nil {
		t.Errorf("a refused change left its mark: %v", now)
	}

	d.do(door, 400, "POST", "/users/{user}/password", admin.Password{Password: "short"}, sub)
	if u := d.do(door, 200, "POST", "/users/{user}/password", admin.Password{Password: password + "1"}, sub); u["status"] != "confirmed" {
		t.Errorf("with a password: %v", u)
	}
	if u := d.do(door, 200, "POST", "/users/{user}/password", admin.Password{Password: password + "2", MustChange: true}, sub); u["status"] != "must_change_password" {
		t.Errorf("with one to change: %v", u)
	}
	if u := d.do(door, 200, "POST", "/users/{user}/disable", nil, sub); u["disabled"] != true {
		t.Errorf("disabled: %v", u)
	}
	d.do(door, 409, "POST", "/users/{user}/invite", nil, sub)
	if u := d.do(door, 200, "POST", "/users/{user}/enable", nil, sub); u["disabled"] != false {
		t.Errorf("enabled: %v", u)
	}
	if l := d.do(door, 200, "POST", "/users/{user}/invite", nil, sub); !strings.HasPrefix(fmt.Sprint(l["link"]), loginOrigin+"/signup?link=") {
		t.Errorf("invited: %v", l)
	}
	d.do(door, 200, "POST", "/users/{user}/sessions/end-all", nil, sub)

	if g := d.do(door, 200, "GET", "/groups", nil); fmt.Sprint(g["groups"]) != "[map[name:operators] map[name:staff]]" {
		t.Errorf("groups: %v", g)
	}
	if u := d.do(door, 200, "POST", "/groups/{group}/add", admin.Member{User: sub}, "staff"); fmt.Sprint(u["groups"]) != "[operators staff]" {
		t.Errorf("joined: %v", u)
	}
	if m := d.do(door, 200, "GET", "/groups/{group}/members", nil, "staff"); len(m["users"].([]any)) != 1 {
		t.Errorf("members: %v", m)
	}
	if u := d.do(door, 200, "POST", "/groups/{group}/remove", admin.Member{User: sub}, "operators"); fmt.Sprint(u["groups"]) != "[staff]" {
		t.Errorf("left: %v", u)
	}
	d.do(door, 400, "POST", "/groups/{group}/add", admin.Member{User: sub}, "staf")
	d.do(door, 400, "POST", "/groups/{group}/add", admin.Member{}, "staff")
	d.do(door, 404, "POST", "/groups/{group}/add", admin.Member{User: "nobody"}, "staff")
	d.do(door, 404, "POST", "/groups/{group}/remove", admin.Member{User: sub}, "staf")
	d.do(door, 404, "GET", "/groups/{group}/members", nil, "staf")

	if c := d.do(door, 200, "GET", "/clients", nil); len(c["clients"].([]any)) != 6 || strings.Contains(fmt.Sprint(c), batchSecret) {
		t.Errorf("clients: %v", c)
	}
	if c := d.do(door, 200, "GET", "/clients/{client}", nil, "site:"+appOrigin); c["site"] != true {
		t.Errorf("the client of a gate: %v", c)
	}
	d.do(door, 404, "GET", "/clients/{client}", nil, "nobody")
	for _, path := range []string{"/clients", "/clients/{client}"} {
		if e := d.do(door, 409, "POST", path, map[string]any{"id": "web", "scopes": []string{"x"}}, []string{"web"}[:strings.Count(path, "{")]...); !strings.Contains(fmt.Sprint(e["message"]), "Caddyfile") {
			t.Errorf("editing a client: %v", e)
		}
	}

	before := d.do(door, 200, "GET", "/keys", nil)["keys"].([]any)
	if after := d.do(door, 200, "POST", "/keys/rotate", admin.Rotate{Use: "assertion", Now: true})["keys"].([]any); len(after) != len(before)+1 {
		t.Errorf("%d keys, then %d", len(before), len(after))
	}
	d.do(door, 400, "POST", "/keys/rotate", admin.Rotate{Use: "nothing"})
	for _, k := range before {
		if id := at(k, "id").(string); at(k, "use") == "assertion" {
			if left := d.do(door, 200, "POST", "/keys/drop", admin.DropKey{ID: id}); strings.Contains(fmt.Sprint(left), id) {
				t.Errorf("dropped %s: %v", id, left)
			}
			d.do(door, 404, "POST", "/keys/drop", admin.DropKey{ID: id})
		}
	}

	if gone := d.do(door, 200, "POST", "/users/{user}/delete", nil, sub); gone["deleted"] != sub {
		t.Errorf("deleted: %v", gone)
	}
	d.do(door, 404, "GET", "/users/{user}", nil, sub)
	d.do(door, 404, "POST", "/users/{user}/disable", nil, "nobody@example.com")
	d.do(door, 200, "POST", "/users/{user}/delete", nil, "ben@example.com")
}

// lookAfterSessions is about a user who is signed in.
func lookAfterSessions(d *describedAPI, door adminDoor, w *world, b *browser, who string) {
	t := d.t
	sessions := d.do(door, 200, "GET", "/users/{user}/sessions", nil, who)["sessions"].([]any)
	if len(sessions) != 1 {
		t.Fatalf("sessions: %v", sessions)
	}
	id := at(sessions[0], "id").(string)
	d.do(door, 404, "POST", "/users/{user}/sessions/end", admin.EndSession{ID: "nonsense"}, who)
	d.do(door, 400, "POST", "/users/{user}/sessions/end", admin.EndSession{}, who)
	d.do(door, 200, "POST", "/users/{user}/sessions/end", admin.EndSession{ID: id}, who)
	if left := d.do(door, 200, "GET", "/users/{user}/sessions", nil, who)["sessions"].([]any); len(left) != 0 {
		t.Errorf("sessions after the end: %v", left)
	}
	if !b.signedOutSoon() {
		t.Error("the browser is still signed in")
	}
	if c := d.do(door, 200, "GET", "/users/{user}/consents", nil, who); c["consents"] == nil {
		t.Errorf("consents: %v", c)
	}
	d.do(door, 200, "POST", "/users/{user}/consents/withdraw", admin.Withdraw{Client: "web"}, who)
	d.do(door, 400, "POST", "/users/{user}/consents/withdraw", admin.Withdraw{}, who)
}

// The same story through both doors; every operation of the document is in
// it, and every answer is as the document says.
func TestAdministrationThroughBothDoors(t *testing.T) {
	w := newWorld(t)
	w.configure(administered())
	boss := w.firstUser("boss@example.com")
	operator := boss.grant(adminScope)["access_token"].(string)
	w.admin("POST", "/users", admin.NewUser{Identifier: "carl", Password: password})
	for name, door := range map[string]adminDoor{"socket": w.socketDoor(), "operator": w.loginDoor(operator), "machine": w.loginDoor(w.robot(adminScope))} {
		t.Run(name, func(t *testing.T) {
			d := newDescribedAPI(t)
			administer(d, door)
			carl := w.browser()
			carl.get(appOrigin + "/")
			carl.signIn("carl", password)
			lookAfterSessions(d, door, w, carl, "carl")
			paths, _ := d.doc["paths"].(map[string]any)
			for path, methods := range paths {
				for method := range methods.(map[string]any) {
					if op := method + " " + path; !d.asked[op] && path != "/v1/openapi.json" {
						t.Errorf("%s was never tried", op)
					}
				}
			}
		})
	}
	for _, path := range []string{adminResource + "/v1/openapi.json", "socket"} {
		var raw []byte
		if path == "socket" {
			out := httptest.NewRecorder()
			w.state.Admin().ServeHTTP(out, httptest.NewRequest("GET", "/v1/openapi.json", nil))
			raw = out.Body.Bytes()
		} else {
			raw, _ = io.ReadAll(w.call("GET", path, "").Body)
		}
		if !bytes.Equal(raw, admin.Document()) {
			t.Errorf("%s: another document", path)
		}
	}
}

// An operator who withdraws a user's consent ends what the client was given.
func TestWithdrawingConsentEndsTokens(t *testing.T) {
	w := newWorld(t)
	w.configure(administered())
	boss := w.firstUser("boss@example.com")
	lost := boss.grant("openid offline_access")
	w.admin("POST", "/users/boss@example.com/consents/withdraw", admin.Withdraw{Client: "robot"})
	refresh := func(token any) (int, map[string]any) {
		return w.token(url.Values{"grant_type": {"refresh_token"}, "client_id": {"web"}, "refresh_token": {fmt.Sprint(token)}}, "")
	}
	status, fresh := refresh(lost["refresh_token"])
	if status != http.StatusOK {
		t.Fatalf("another client's consent was withdrawn: %d %v", status, fresh)
	}
	w.admin("POST", "/users/boss@example.com/consents/withdraw", admin.Withdraw{Client: "web"})
	if status, answer := refresh(fresh["refresh_token"]); status != http.StatusBadRequest || answer["error"] != "invalid_grant" {
		t.Errorf("a refresh token is good after the withdrawal: %d %v", status, answer)
	}
	if res := w.call("GET", loginOrigin+"/oauth2/userInfo", fresh["access_token"].(string)); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("an access token is good after the withdrawal: %d", res.StatusCode)
	}
}

// signIn fills in the sign-in pages.
func (b *browser) signIn(who, with string) {
	b.w.t.Helper()
	b.submit(map[string]string{"identifier": who, "password": with})
}

// refusal is what the admin API at the login host says to somebody it does
// not let in.
func (w *world) refusal(res *http.Response, status int, code string) {
	w.t.Helper()
	raw, _ := io.ReadAll(res.Body)
	challenge := res.Header.Get("WWW-Authenticate")
	if res.StatusCode != status || !strings.HasPrefix(challenge, `Bearer resource_metadata="`+loginOrigin+adminMetadata+`"`) || !strings.Contains(challenge, `scope="`+adminScope+`"`) {
		w.t.Errorf("%d %s %s", res.StatusCode, challenge, raw)
	}
	if code == "" && strings.Contains(challenge, "error=") || code != "" && !strings.Contains(challenge, `error="`+code+`", error_description="`) {
		w.t.Errorf("challenge %s, want %q", challenge, code)
	}
	var problem struct{ Error, Message string }
	if err := json.Unmarshal(raw, &problem); err != nil || problem.Error == "" || problem.Message == "" || strings.Contains(string(raw), "@") {
		w.t.Errorf("%s: %v", raw, err)
	}
	if res.Header.Get("Access-Control-Allow-Origin") != "" || res.Header.Get("Set-Cookie") != "" {
		w.t.Errorf("headers %v", res.Header)
	}
}

func TestWhoMayNotAdminister(t *testing.T) {
	const users = "/v1/pools/default/users"
	w := newWorld(t)
	w.configure(administered())
	boss := w.firstUser("boss@example.com")
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	operator := boss.grant(adminScope)["access_token"].(string)
	if res := w.knock("GET", users, nil, bearer(operator)); res.StatusCode != http.StatusOK {
		t.Fatalf("an operator: %d", res.StatusCode)
	}

	t.Run("without a token", func(t *testing.T) {
		w.refusal(w.knock("GET", users, nil, nil), 401, "")
		w.refusal(w.knock("GET", users, nil, http.Header{"Authorization": {"Basic Ym9zczpib3Nz"}}), 401, "")
		for _, path := range []string{"/v1/pools/nope/users", "/v1/pools/default/users/boss@example.com"} {
			w.refusal(w.knock("POST", path, nil, nil), 401, "")
		}
	})
	t.Run("with a cookie only, from the site itself or another", func(t *testing.T) {
		u, _ := url.Parse(loginOrigin)
		var cookies []string
		for _, c := range boss.jar.Cookies(u) {
			cookies = append(cookies, c.Name+"="+c.Value)
		}
		if len(cookies) == 0 {
			t.Fatal("the operator has no cookie")
		}
		for _, origin := range []string{loginOrigin, "https://evil.example"} {
			h := http.Header{"Cookie": {strings.Join(cookies, "; ")}, "Origin": {origin}, "Sec-Fetch-Site": {"cross-site"}, "Content-Type": {"text/plain"}}
			w.refusal(w.knock("POST", users, admin.NewUser{Identifier: "mallory", Groups: []string{"operators"}}, h), 401, "")
		}
	})
	t.Run("a script of another site gets no leave", func(t *testing.T) {
		res := w.knock("OPTIONS", users, nil, http.Header{"Origin": {"https://evil.example"}, "Access-Control-Request-Method": {"POST"}, "Access-Control-Request-Headers": {"authorization"}})
		if res.StatusCode < 400 || res.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	})
	t.Run("with a header that is no token", func(t *testing.T) {
		for _, h := range [][]string{{"Bearer "}, {"Bearer a b"}, {"Bearer a,b"}, {"Bearer " + operator, "Bearer " + operator}, {"Bearer a.b.c"}, {"Bearer " + operator[:len(operator)-6] + "AAAAAA"}} {
			w.refusal(w.knock("GET", users, nil, http.Header{"Authorization": h}), 401, "invalid_token")
		}
		if res := w.knock("GET", users+"?access_token="+operator, nil, nil); res.StatusCode != 401 {
			t.Errorf("a token in the query: %d", res.StatusCode)
		}
	})
	t.Run("for another audience", func(t *testing.T) {
		w.refusal(w.knock("GET", users, nil, bearer(w.robot("orders.read"))), 401, "invalid_token")
		w.refusal(w.knock("GET", users, nil, bearer(boss.grant("openid")["access_token"].(string))), 401, "invalid_token")
	})
	t.Run("openid beside the scope", func(t *testing.T) { // its audience is the issuer as well
		if res := w.knock("GET", users, nil, bearer(boss.grant("openid " + adminScope)["access_token"].(string))); res.StatusCode != http.StatusOK {
			t.Errorf("%d", res.StatusCode)
		}
	})
	t.Run("in another pool", func(t *testing.T) {
		if res := w.knock("GET", "/v1/pools/other/users", nil, bearer(operator)); res.StatusCode != http.StatusNotFound {
			t.Errorf("%d", res.StatusCode)
		}
		login, err := w.engine.Login("other")
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "http://id.localhost/admin/v1/pools/other/users", nil)
		r.Header = bearer(operator)
		out := httptest.NewRecorder()
		login.ServeHTTP(out, r)
		if out.Code != http.StatusUnauthorized {
			t.Errorf("at the other pool's login host: %d %s", out.Code, out.Body)
		}
	})
	t.Run("where nothing is", func(t *testing.T) {
		for path, want := range map[string]int{"/v1/nothing": 404, "/v2" + users[3:]: 404, users + "/": 404, "/v1/pools/default/../default/users": 404, "//host" + users: 404, "/%2Fhost" + users: 404} {
			if res := w.knock("GET", path, nil, bearer(operator)); res.StatusCode != want || res.Header.Get("Location") != "" {
				t.Errorf("%s: %d %v", path, res.StatusCode, res.Header)
			}
		}
		if res := w.knock("DELETE", users, nil, bearer(operator)); res.StatusCode != 405 || res.Header.Get("Allow") != "GET, POST" {
			t.Errorf("%d %v", res.StatusCode, res.Header)
		}
	})
	t.Run("an operator no more", func(t *testing.T) {
		w.admin("POST", "/groups/operators/remove", admin.Member{User: "boss@example.com"})
		w.refusal(w.knock("GET", users, nil, bearer(operator)), 403, "insufficient_scope")
		w.admin("POST", "/groups/operators/add", admin.Member{User: "boss@example.com"})
		if res := w.knock("GET", users, nil, bearer(operator)); res.StatusCode != http.StatusOK {
			t.Errorf("an operator again: %d", res.StatusCode)
		}
	})
	t.Run("a client that may no more", func(t *testing.T) {
		robot := w.robot(adminScope)
		c := administered()
		c.Pools[0].Clients[0].Scopes = config().Pools[0].Clients[0].Scopes
		c.Pools[0].Clients[2].Grants[0].Scopes = []string{"orders.read"}
		w.configure(c)
		w.refusal(w.knock("GET", users, nil, bearer(operator)), 403, "insufficient_scope")
		w.refusal(w.knock("GET", users, nil, bearer(robot)), 403, "insufficient_scope")
		w.configure(administered())
	})
	t.Run("disabled", func(t *testing.T) {
		w.admin("POST", "/users/boss@example.com/disable", nil)
		w.refusal(w.knock("GET", users, nil, bearer(operator)), 401, "invalid_token")
		w.admin("POST", "/users/boss@example.com/delete", nil)
		w.refusal(w.knock("GET", users, nil, bearer(operator)), 401, "invalid_token")
	})
	t.Run("expired", func(t *testing.T) {
		robot := w.robot(adminScope)
		w.clock.add(time.Hour)
		w.refusal(w.knock("GET", users, nil, bearer(robot)), 401, "invalid_token")
	})
}

// Somebody who is no operator cannot be granted the scope, and a machine only
// what its configuration says; whoever has a token all the same is refused.
func TestWhoGetsTheAdminScope(t *testing.T) {
	w := newWorld(t)
	w.configure(administered())
	w.firstUser("boss@example.com")
	w.admin("POST", "/users", admin.NewUser{Identifier: "carl", Password: password, Groups: []string{"staff"}})
	carl := w.browser()
	carl.get(appOrigin + "/")
	carl.signIn("carl", password)
	granted := carl.grant("openid " + adminScope)
	if granted["scope"] != "openid" {
		t.Errorf("somebody who is no operator was granted %v", granted["scope"])
	}
	res := w.knock("GET", "/v1/pools/default/users", nil, http.Header{"Authorization": {"Bearer " + granted["access_token"].(string)}})
	if res.StatusCode != http.StatusForbidden && res.StatusCode != http.StatusUnauthorized {
		t.Errorf("and got in: %d", res.StatusCode)
	}
	carl.get(loginOrigin + "/oauth2/authorize?" + url.Values{
		"response_type": {"code"}, "client_id": {"web"}, "redirect_uri": {"http://127.0.0.1:7777/callback"}, "scope": {adminScope},
		"code_challenge": {strings.Repeat("A", 43)}, "code_challenge_method": {"S256"},
	}.Encode())
	if q := carl.url.Query(); q.Get("error") != "access_denied" || q.Has("code") {
		t.Errorf("asked for the scope alone: %s", carl.url)
	}
	w.configure(only(administered(), "robot", adminScope))
	if status, answer := w.token(url.Values{"grant_type": {"client_credentials"}}, "robot:"+batchSecret); status != http.StatusOK || strings.Contains(fmt.Sprint(answer["scope"]), adminScope) {
		t.Errorf("a machine that did not ask: %d %v", status, answer)
	} else if res := w.loginDoor(answer["access_token"].(string))("GET", "/users", nil); res.StatusCode != http.StatusUnauthorized {
		t.Errorf("and got in: %d", res.StatusCode)
	}
	w.configure(administered())
	if status, answer := w.token(url.Values{"grant_type": {"client_credentials"}, "scope": {adminScope}}, "batch:"+batchSecret); status != http.StatusBadRequest || answer["error"] != "invalid_scope" {
		t.Errorf("a machine without the grant: %d %v", status, answer)
	}
	c := administered()
	c.Pools[0].Resources = append(c.Pools[0].Resources, authcore.ResourceConfig{ID: adminResource, Scopes: []string{"x"}})
	if err := c.Validate(); err != nil {
		t.Logf("declared without an issuer: %v", err) // the address is known only once it is placed
	}
	c.Renderer = nil
	if _, err := authcore.New(context.Background(), c, w.state); err == nil || !strings.Contains(err.Error(), adminResource) {
		t.Errorf("the admin API's resource was declared by hand: %v", err)
	}
}

// only leaves a machine client one scope.
func only(c authcore.Config, client, scope string) authcore.Config {
	for i, cl := range c.Pools[0].Clients {
		if cl.ID == client {
			c.Pools[0].Clients[i].Grants = []authcore.GrantConfig{{Type: "client_credentials", Scopes: []string{scope}}}
		}
	}
	return c
}

// The resource describes itself (RFC 9728), to everybody.
func TestTheAdminResourceDescribesItself(t *testing.T) {
	w := newWorld(t)
	w.configure(administered())
	res := w.call("GET", loginOrigin+adminMetadata, "")
	var metadata struct {
		Resource string   `json:"resource"`
		Servers  []string `json:"authorization_servers"`
		Scopes   []string `json:"scopes_supported"`
	}
	if err := json.NewDecoder(res.Body).Decode(&metadata); err != nil || res.StatusCode != http.StatusOK {
		t.Fatal(res.StatusCode, err)
	}
	if metadata.Resource != adminResource || !slices.Equal(metadata.Servers, []string{loginOrigin}) || !slices.Equal(metadata.Scopes, []string{adminScope}) {
		t.Errorf("%+v", metadata)
	}
	if res.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("%v", res.Header)
	}
}

// lines collects a log.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) { l.mu.Lock(); defer l.mu.Unlock(); return l.buf.Write(p) }

func (l *lines) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.buf.String()
	l.buf.Reset()
	return s
}

// Every change that comes in by the login host has an audit record with who
// did it, and no record has a password or an address of a person.
func TestChangesAreRecorded(t *testing.T) {
	log := &lines{}
	w := newWorldLogging(t, slog.New(slog.NewJSONHandler(log, nil)))
	w.configure(administered())
	w.admin("POST", "/users", admin.NewUser{Identifier: "ada@example.com", Password: password})
	door := w.loginDoor(w.robot(adminScope))
	ada := w.browser()
	ada.get(appOrigin + "/")
	ada.signIn("ada@example.com", password)
	_, answer := w.admin("GET", "/users/ada@example.com/sessions", nil)
	id := at(answer["sessions"].([]any)[0], "id")
	_, answer = w.admin("GET", "/keys", nil)
	keys := answer["keys"].([]any)
	key := at(keys[slices.IndexFunc(keys, func(k any) bool { return at(k, "use") == "assertion" })], "id").(string)
	name := "Ada"
	for _, c := range []struct {
		path, verb string
		in         any
	}{
		{"/users", "user.create", admin.NewUser{Identifier: "eve@example.com", Password: password}},
		{"/users/ada@example.com", "user.change", admin.UserChange{Name: &name}},
		{"/groups/staff/add", "user.set_groups", admin.Member{User: "ada@example.com"}},
		{"/groups/staff/remove", "user.set_groups", admin.Member{User: "ada@example.com"}},
		{"/users/ada@example.com/sessions/end", "session.end", map[string]any{"id": id}},
		{"/users/ada@example.com/sessions/end-all", "user.end_sessions", nil},
		{"/users/ada@example.com/consents/withdraw", "consent", admin.Withdraw{Client: "web"}},
		{"/users/ada@example.com/password", "user.set_password", admin.Password{Password: password + "1"}},
		{"/users/ada@example.com/password", "user.require_password_change", admin.Password{Password: password + "2", MustChange: true}},
		{"/users/ada@example.com/disable", "user.disable", nil},
		{"/users/ada@example.com/enable", "user.enable", nil},
		{"/users/ada@example.com/invite", "user.invite", nil},
		{"/keys/rotate", "key.rotate", admin.Rotate{}},
		{"/keys/drop", "key.drop", admin.DropKey{ID: key}},
		{"/users/ada@example.com/delete", "user.delete", nil},
	} {
		log.take()
		if res := door("POST", c.path, c.in); res.StatusCode != http.StatusOK {
			t.Errorf("%s: %d", c.path, res.StatusCode)
		}
		found := false
		said := log.take()
		for line := range strings.Lines(said) {
			var record struct {
				Msg, Verb, Caller string
				CallerName        string `json:"caller_name"`
				Allowed           bool
			}
			if json.Unmarshal([]byte(line), &record) == nil && record.Msg == "audit" && strings.Contains(record.Verb, c.verb) {
				found = record.Caller == "operator" && record.CallerName == "robot" && record.Allowed
			}
		}
		if !found || strings.Contains(said, password) || strings.Contains(said, "@example.com") {
			t.Errorf("%s: %s", c.path, said)
		}
	}
}

// A key that leaked is dropped: what it signed opens nothing any more, and
// everybody gets what the next one signs.
func TestADroppedKeyOpensNothing(t *testing.T) {
	w := newWorld(t)
	w.configure(administered())
	token := w.robot(adminScope)
	if res := w.loginDoor(token)("GET", "/users", nil); res.StatusCode != http.StatusOK {
		t.Fatalf("before: %d", res.StatusCode)
	}
	_, answer := w.admin("GET", "/keys", nil)
	for _, k := range answer["keys"].([]any) {
		if status, _ := w.admin("POST", "/keys/drop", admin.DropKey{ID: at(k, "id").(string)}); status != http.StatusOK {
			t.Errorf("%v: %d", k, status)
		}
	}
	w.refusal(w.loginDoor(token)("GET", "/users", nil), 401, "invalid_token")
	if res := w.loginDoor(w.robot(adminScope))("GET", "/users", nil); res.StatusCode != http.StatusOK {
		t.Errorf("with a new token: %d", res.StatusCode)
	}
}

// In one-site mode the API is below the login's prefix, and so is its name.
func TestTheAdminAPIOfASiteWithItsOwnLogin(t *testing.T) {
	w := newWorld(t)
	ui, err := loginui.New(loginui.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const origin = "http://one.localhost"
	c := authcore.Config{Renderer: ui, Pools: []authcore.PoolConfig{{
		Name: "one", Login: authcore.LoginConfig{Origin: origin, Prefix: "/_auth"}, Sites: []authcore.SiteConfig{{Origin: origin}},
		Clients: []authcore.ClientConfig{{ID: "janitor", Secrets: []secret.Hidden{secret.Hide(batchSecret)}, Grants: []authcore.GrantConfig{{Type: "client_credentials", Scopes: []string{adminScope}}}}},
	}}}
	engine, err := authcore.New(context.Background(), c, w.state)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	login, err := engine.Login("one")
	if err != nil {
		t.Fatal(err)
	}
	w.handlers[origin] = login
	r, _ := http.NewRequest("POST", origin+"/_auth/oauth2/token", strings.NewReader("grant_type=client_credentials&scope="+adminScope))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth("janitor", batchSecret)
	res, _ := w.RoundTrip(r)
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Token == "" {
		t.Fatal(res.StatusCode, err)
	}
	const metadata = "/.well-known/oauth-protected-resource/_auth/admin"
	for path, want := range map[string]int{
		"/_auth/admin/v1/pools/one/users": 200, "/_auth/admin/v1/openapi.json": 200, "/_auth/admin/v1/pools/default/users": 404,
		"/_auth/%61dmin/v1/pools/one/users": 404, "/_auth/admin/v1/pools/one//users": 404, metadata: 200,
	} {
		if plain, _ := url.PathUnescape(path); !login.Matches(plain) {
			t.Errorf("%s is nobody's", path)
		}
		if res := w.call("GET", origin+path, answer.Token); res.StatusCode != want {
			t.Errorf("%s: %d", path, res.StatusCode)
		}
	}
	if login.Matches("/admin/v1/openapi.json") || login.Matches("/_auth/administer") || login.Matches("/_auth/admin") {
		t.Error("more than its own paths is the API's")
	}
	if challenge := w.call("GET", origin+"/_auth/admin/v1/pools/one/users", "").Header.Get("WWW-Authenticate"); !strings.Contains(challenge, `resource_metadata="`+origin+metadata+`"`) {
		t.Errorf("challenge %s", challenge)
	}
}

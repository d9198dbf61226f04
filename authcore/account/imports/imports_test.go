package imports

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/secret/hashes"
)

const (
	aSub       = "0b7d9a3e-5a0c-4c3f-9d0b-6f7a2f1e4c11"
	bcryptHash = "$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6" // hashcat's examples, 3200
)

// all reads a whole file.
func all(t *testing.T, text string, o Options) []Item {
	t.Helper()
	items, err := Read(strings.NewReader(text), o)
	if err != nil {
		t.Fatal(err)
	}
	var out []Item
	for item, err := range items {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, item)
	}
	return out
}

// matches checks a record's hash against its password.
func matches(t *testing.T, rec account.Record, password string) {
	t.Helper()
	h, err := hashes.Parse(rec.Hash)
	if err != nil {
		t.Fatalf("%q: %v", rec.Hash, err)
	}
	if !h.Matches(password) || h.Matches(password+"x") {
		t.Errorf("%s does not match %q", rec.Hash, password)
	}
}

// told checks what is said of each item: "" of one that is read.
func told(t *testing.T, items []Item, want ...string) {
	t.Helper()
	var got []string
	for _, item := range items {
		text := fmt.Sprintf("%d:", item.Line)
		if item.Err != nil {
			text += " " + item.Err.Error()
		}
		got = append(got, text)
	}
	if len(got) != len(want) {
		t.Fatalf("%q", got)
	}
	for i := range want {
		if !strings.HasPrefix(got[i], want[i]) || strings.HasSuffix(want[i], ":") && got[i] != want[i] {
			t.Errorf("%q, want %q", got[i], want[i])
		}
	}
}

func TestNDJSON(t *testing.T) {
	rec := account.Record{Sub: aSub, Email: "ada@example.org", EmailVerified: true, Claims: map[string]string{"locale": "de"}, Groups: []string{"staff"}, Hash: bcryptHash}
	raw, err := json.Marshal(rec)
	if err != nil {
		t.Fatal(err)
	}
	items := all(t, "\ufeff"+string(raw)+"\n\n"+`{"email":"bob@example.org"}`+"\r\n"+`{"emial":"x"}`+"\n"+`{"email":7}`+"\n"+`{"email":`+"\n"+`{} {}`+"\n"+
		`{"email":"`+strings.Repeat("a", maxLine)+`"}`+"\n"+`{"username":"last"}`, Options{Format: NDJSON})
	told(t, items, "1:", "3:", `4: there is no member "emial"`, `5: the member "email" is of another type`, "6: this is not JSON",
		"7: there is something after", "8: the line is longer", "9:")
	if !reflect.DeepEqual(items[0].Record, rec) || items[7].Record.Username != "last" {
		t.Errorf("%+v", items)
	}
}

const cognitoHead = "cognito:username,name,given_name,family_name,middle_name,nickname,preferred_username,profile,picture,website,email,email_verified,gender,birthdate,zoneinfo,locale,phone_number,phone_number_verified,address,updated_at,cognito:mfa_enabled,custom:team,password_hash\n"

func TestCognitoCSV(t *testing.T) {
	text := "\ufeff" + cognitoHead +
		aSub + `,Ada,,,,,,,,,ada@example.org,TRUE,,,,en,,,"12 Road
Town",,FALSE,,` + bcryptHash + "\n" +
		"bob,,,,,,,,,,,,,,,,+4930123456,true,,,false,,16384$8$1$536f6469756d43686c6f72696465$7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887\n" +
		"cy@example.org,,,,,,,,,,,,,,,,,,,,false,,\n" +
		"dan,short\n" +
		"eve,,,,,,,,,,eve@example.org,maybe,,,,,,,,,false,,\n" +
		"fay,,,,,,,,,,,,,,,,,,,,false,blue,\n" +
		"gus,,,,,,gussy,,,,,,,,,,,,,,false,,\n" +
		"hal,\"bad\"quote,,,,,,,,,,,,,,,,,,,false,,\n" +
		"ida,,,,,,,,,,,,,,,,,,,,false,,\n"
	items := all(t, text, Options{Format: CognitoCSV})
	told(t, items, "2:", "4:", "5:", "6: the line has 2 fields", "7: email_verified is neither", "8: there is no place for custom:team", "9: there is no place for preferred_username", "10: the line is not CSV", "11:")
	want := account.Record{
		Sub: aSub, Name: "Ada", Email: "ada@example.org", EmailVerified: true, Claims: map[string]string{"locale": "en", "address": "12 Road\nTown"}, Hash: bcryptHash,
	}
	if !reflect.DeepEqual(items[0].Record, want) {
		t.Errorf("%+v", items[0].Record)
	}
	matches(t, items[0].Record, "hashcat")
	matches(t, items[1].Record, "pleaseletmein") // RFC 7914 12
	if r := items[1].Record; r.Username != "bob" || r.Phone != "+4930123456" || !r.PhoneVerified {
		t.Errorf("%+v", r)
	}
	if r := items[2].Record; r.Email != "cy@example.org" || r.Username != "" {
		t.Errorf("%+v", r)
	}
	told(t, all(t, text, Options{Format: CognitoCSV, Drop: []string{"custom:team", "preferred_username"}}),
		"2:", "4:", "5:", "6: the line has", "7: email_verified", "8:", "9:", "10: the line is not CSV", "11:")
	for _, head := range []string{"", "a,b\n", "email,email\n", "name\n"} {
		if _, err := Read(strings.NewReader(head), Options{Format: CognitoCSV}); err == nil {
			t.Errorf("%q was taken for Cognito's header", head)
		}
	}
}

func TestKeycloak(t *testing.T) {
	// The salt and hash are RFC 6070's, and the SHA-256 and SHA-512 of its inputs; Argon2id is the reference implementation's.
	credential := func(alg, salt, value, more string, n int) string {
		secret, _ := json.Marshal(fmt.Sprintf(`{"value":%q,"salt":%q,"additionalParameters":{}}`, value, salt))
		data, _ := json.Marshal(fmt.Sprintf(`{"hashIterations":%d,"algorithm":%q,"additionalParameters":{%s}}`, n, alg, more))
		return fmt.Sprintf(`"credentials":[{"type":"otp","secretData":"{}"},{"id":"x","type":"password","secretData":%s,"credentialData":%s}]`, secret, data)
	}
	argon := `"hashLength":["32"],"memory":["256"],"type":["id"],"version":["1.3"],"parallelism":["1"]`
	text := `{"id":"master","realm":"master","roles":{"realm":[{"name":"users"}]},
"users":[
 {"id":"` + aSub + `","username":"ada","email":"ada@example.org","emailVerified":true,"enabled":false,"createdTimestamp":1556938921000,
  "firstName":"Ada","lastName":"Lovelace","attributes":{"phoneNumber":["+4930123456"],"locale":["en"]},"groups":["/staff/eu"],"requiredActions":["UPDATE_PASSWORD"],
  ` + credential("pbkdf2-sha256", "c2FsdA==", "xeR41ZKIyEGqUw22hFxMjZYok6ABzk4RpJY4c6qYE0o=", "", 4096) + `},
 {"username":"bob@example.org","email":"bob@example.org",` + credential("pbkdf2", "c2FsdA==", "SwB5AbdlSJq+rUnZJvch0GWkKcE=", "", 4096) + `},
 {"username":"cy",` + credential("argon2", "c29tZXNhbHQ=", "nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4=", argon, 2) + `},
 {"username":"dan","credentials":[{"type":"password","hashedSaltedValue":"SwB5AbdlSJq+rUnZJvch0GWkKcE=","salt":"c2FsdA==","hashIterations":4096,"algorithm":"pbkdf2"}]},
 {"username":"eve",` + credential("rot13", "c2FsdA==", "c2FsdA==", "", 1) + `},
 {"username":["fay"]},
 {"username":"gus","credentials":[{"type":"password","secretData":"{","credentialData":"{}"}]},
 {"username":"hal"}
],"clients":[]}`
	items := all(t, text, Options{Format: Keycloak})
	told(t, items, "3:", "6:", "7:", "8:", "9: the password's hash is not one", `10: the member "username"`, "11: the password credential is damaged", "12:")
	want := account.Record{
		Sub: aSub, Username: "ada", Email: "ada@example.org", EmailVerified: true, Phone: "+4930123456", Name: "Ada Lovelace", Disabled: true,
		Claims: map[string]string{"given_name": "Ada", "family_name": "Lovelace", "locale": "en"}, Groups: []string{"staff/eu"},
		Status: "must_change_password", Created: time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC), Hash: items[0].Record.Hash,
	}
	if !reflect.DeepEqual(items[0].Record, want) {
		t.Errorf("%+v", items[0].Record)
	}
	if r := items[1].Record; r.Username != "" || r.Email != "bob@example.org" {
		t.Errorf("%+v", r)
	}
	for i := range 4 {
		matches(t, items[i].Record, "password")
	}
	cut := all(t, text[:strings.Index(text, `{"username":"dan"`)+20], Options{Format: Keycloak})
	told(t, cut, "3:", "6:", "7:", "7: the JSON is damaged")
	told(t, all(t, `{"users":[{"username":"ada"}`, Options{Format: Keycloak}), "1:", "1: the JSON is damaged or ends too early")
}

func TestAuth0(t *testing.T) {
	text := `{"_id":{"$oid":"5f"},"user_id":"auth0|5f","email":"ada@example.org","email_verified":true,"name":"ada@example.org","given_name":"Ada","blocked":true,"created_at":"2019-05-04T03:02:01.000Z","passwordHash":"` + bcryptHash + `"}
{"email":"bob@example.org","created_at":{"$date":"2019-05-04T03:02:01.000Z"},"password_hash":"` + bcryptHash + `"}
{"email":"cy@example.org","custom_password_hash":{"algorithm":"sha256","hash":{"value":"eb368a2dfd38b405f014118c7d9747fcc97f4f0ee75c05963cd9da6ee65ef498","encoding":"hex"},"salt":{"value":"560407001617"}}}
{"email":"dan@example.org","custom_password_hash":{"algorithm":"md5","hash":{"value":"Ad+ubl1NkNmJJiIyWVmvvg==","encoding":"base64"},"salt":{"value":"7050461","encoding":"utf8","position":"suffix"}}}
{"email":"eve@example.org","custom_password_hash":{"algorithm":"scrypt","hash":{"value":"7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2d5432955613f0fcf62d49705242a9af9e61e85dc0d651e40dfcf017b45575887","encoding":"hex"},"salt":{"value":"SodiumChloride"},"cost":16384,"blockSize":8,"parallelization":1}}
{"email":"fay@example.org","custom_password_hash":{"algorithm":"ldap","hash":{"value":"{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng==","encoding":"utf8"}}}
{"email":"gus@example.org","custom_password_hash":{"algorithm":"hmac","hash":{"value":"00","encoding":"hex"}}}
{"email":"hal@example.org","custom_password_hash":{"algorithm":"md5","hash":{"value":"zz","encoding":"hex"}}}
{"email":"ida@example.org","passwordHash":"x","custom_password_hash":{"algorithm":"md5","hash":{"value":"00","encoding":"hex"}}}
`
	items := all(t, text, Options{Format: Auth0})
	told(t, items, "1:", "2:", "3:", "4:", "5:", "6:", "7: the password's hash is not one", "8: the custom_password_hash is damaged", "9: there are two passwords")
	want := account.Record{
		Email: "ada@example.org", EmailVerified: true, Claims: map[string]string{"given_name": "Ada"}, Disabled: true, Hash: bcryptHash,
		Created: time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC),
	}
	if !reflect.DeepEqual(items[0].Record, want) || !items[1].Record.Created.Equal(want.Created) {
		t.Errorf("%+v", items[:2])
	}
	for i, password := range []string{"hashcat", "hashcat", "hashcat", "hashcat", "pleaseletmein", "hashcat"} {
		matches(t, items[i].Record, password)
	}
	array := all(t, "\n[\n"+strings.Join(strings.Split(strings.TrimSpace(text), "\n"), ",\n")+"]", Options{Format: Auth0})
	if len(array) != len(items) || !reflect.DeepEqual(array[0].Record, items[0].Record) || array[0].Line != 3 {
		t.Errorf("%+v", array)
	}
}

// The values are those of github.com/firebase/scrypt's README.
const hashConfig = `hash_config {
  algorithm: SCRYPT,
  base64_signer_key: jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==,
  base64_salt_separator: Bw==,
  rounds: 8,
  mem_cost: 14,
}`

func TestFirebase(t *testing.T) {
	text := `{"users": [
{"localId":"a1","email":"ada@example.org","emailVerified":true,"passwordHash":"lSrfV15cpx95/sZS2W9c9Kp6i/LVgQNDNC/qzrCnh1SAyZvqmZqAjTdn3aoItz+VHjoZilo78198JAdRuid5lQ==","salt":"42xEC+ixf3L2lw==","displayName":"Ada","photoUrl":"https://example.org/ada.png","createdAt":"1556938921000","disabled":true,"providerUserInfo":[]},
{"localId":"b2","phoneNumber":"+4930123456"}
]}`
	items := all(t, text, Options{Format: Firebase, HashConfig: hashConfig})
	told(t, items, "2:", "3:")
	matches(t, items[0].Record, "user1password")
	want := account.Record{
		Email: "ada@example.org", EmailVerified: true, Name: "Ada", Claims: map[string]string{"picture": "https://example.org/ada.png"}, Disabled: true,
		Created: time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC), Hash: items[0].Record.Hash,
	}
	if !reflect.DeepEqual(items[0].Record, want) || !items[1].Record.PhoneVerified {
		t.Errorf("%+v", items)
	}
	told(t, all(t, text, Options{Format: Firebase}), "2: the user has a password: name", "3:")
	for _, bad := range []string{"x", "algorithm: BCRYPT", `{"rounds": 8}`} {
		if _, err := Read(strings.NewReader(text), Options{Format: Firebase, HashConfig: bad}); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	asJSON := `{"base64_signer_key":"jxspr8Ki0RYycVU8zykbdLGjFQ3McFUH0uiiTvC8pVMXAn210wjLNmdZJzxUECKbm0QsEmYUSDzZvpjeJ9WmXA==","base64_salt_separator":"Bw==","rounds":8,"mem_cost":14}`
	matches(t, all(t, text, Options{Format: Firebase, HashConfig: asJSON})[0].Record, "user1password")
}

func TestFormatsAreTold(t *testing.T) {
	for head, want := range map[string]string{
		cognitoHead: CognitoCSV, "\ufeff" + cognitoHead: CognitoCSV, `{"sub":"x","email":"y"}`: NDJSON, ` {"realm":"master","users":[`: Keycloak,
		`[{"user_id":"auth0|1"`: Auth0, `{"_id":{"$oid":"1"},"email":"x"}`: Auth0, `{"users":[{"localId":"x"`: Firebase,
		"": "", "hello": "", "a,b,c": "", `{"name":"realm","email":"\"realm\":"}`: NDJSON, `{ "realm" : "x"`: Keycloak, "{\n\tadmin off": "", "[1]": "",
	} {
		if got := Detect([]byte(head)); got != want {
			t.Errorf("%.40q is %q, want %q", head, got, want)
		}
	}
	if _, err := Read(strings.NewReader(""), Options{Format: "xml"}); err == nil {
		t.Error("xml was taken")
	}
}

// A disk that fails ends the reading with an error, never as the end of the file.
func TestAFileThatCannotBeReadIsNoEnd(t *testing.T) {
	for format, text := range map[string]string{
		NDJSON: "{\"username\":\"ada\"}\n", CognitoCSV: "cognito:username\nada\n", Keycloak: `{"users":[{"username":"ada"},`, Auth0: "{\"username\":\"ada\"}\n", Firebase: `{"users":[`,
	} {
		broken := iotest.ErrReader(fmt.Errorf("the disk is gone"))
		items, err := Read(&joined{strings.NewReader(text), broken}, Options{Format: format})
		for _, e := range items {
			if e != nil {
				err = e
			}
		}
		if err == nil || !strings.Contains(err.Error(), "the disk is gone") {
			t.Errorf("%s: %v", format, err)
		}
	}
}

type joined struct {
	first, second interface{ Read([]byte) (int, error) }
}

func (j *joined) Read(p []byte) (int, error) {
	if n, _ := j.first.Read(p); n > 0 {
		return n, nil
	}
	return j.second.Read(p)
}

// Whatever the bytes, there is an end, and no record with an error.
func FuzzRead(f *testing.F) {
	f.Add(0, `{"email":"x"}`)
	f.Add(1, cognitoHead+"a,b")
	f.Add(2, `{"users":[{"username":"x"}]}`)
	f.Add(3, `[{"email":"x"}]`)
	f.Add(4, `{"users":[{"localId":"x"}]}`)
	f.Fuzz(func(t *testing.T, n int, text string) {
		format := Formats()[uint(n)%uint(len(Formats()))]
		items, err := Read(strings.NewReader(text), Options{Format: format})
		if err != nil {
			return
		}
		last := 0
		for item, err := range items {
			if err == nil && (item.Line < last || item.Line < 1) {
				t.Fatalf("line %d after %d", item.Line, last)
			}
			last = item.Line
		}
	})
}

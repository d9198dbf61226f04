package pool

import (
	"errors"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

func TestParseIdentifier(t *testing.T) {
	cases := []struct {
		in   string
		kind AliasKind
		want string // empty: refused
	}{
		{"Ann@Example.COM", ByEmail, "ann@example.com"},
		{"  ann@example.com ", ByEmail, "ann@example.com"},
		{"ann@b\u00fccher.example", ByEmail, "ann@xn--bcher-kva.example"},
		{"ann@BU\u0308CHER.example", ByEmail, "ann@xn--bcher-kva.example"},
		{"zoe\u0308@example.com", ByEmail, "zo\u00eb@example.com"},
		{"ann+tag@example.com", ByEmail, "ann+tag@example.com"},
		{"+ann@example.com", ByEmail, "+ann@example.com"},
		{"ann@localhost", ByEmail, "ann@localhost"},
		{"@example.com", "", ""},
		{"ann@", "", ""},
		{"ann@example.com.", "", ""},
		{"ann@exa mple.com", "", ""},
		{"ann@-example.com", "", ""},
		{"ann@[127.0.0.1]", "", ""},
		{"a..b@example.com", "", ""},
		{".a@example.com", "", ""},
		{"a@b@example.com", "", ""},
		{"a\u200bb@example.com", "", ""},
		{"a\nb@example.com", "", ""},
		{`"a b"@example.com`, "", ""},
		{strings.Repeat("a", 65) + "@example.com", "", ""},
		{"+49 (151) 234-567.89", ByPhone, "+4915123456789"},
		{"+4915123456789", ByPhone, "+4915123456789"},
		{"+0151", "", ""},
		{"+49", "", ""},
		{"+", "", ""},
		{"+1234567890123456", "", ""},
		{"+49151abc", "", ""},
		{"+\u0664\u0669151234", "", ""},
		{"Ann", ByUsername, "ann"},
		{"\uff21nn", ByUsername, "ann"},
		{"ann.b-c_d", ByUsername, "ann.b-c_d"},
		{"ann b", "", ""},
		{"ann\u200b", "", ""},
		{"ann\uff20example.com", "", ""}, // fullwidth @
		{"\uff0b49151", "", ""},          // fullwidth +
		{"\u265a", "", ""},
		{"", "", ""},
		{"   ", "", ""},
		{"\xff\xfe", "", ""},
		{strings.Repeat("a", 129), "", ""},
		{"6F9619FF-8B86-D011-B42D-00C04FC964FF", ByUsername, "6f9619ff-8b86-d011-b42d-00c04fc964ff"},
	}
	for _, c := range cases {
		got, err := ParseIdentifier(c.in)
		if c.want == "" {
			if !errors.Is(err, fault.Invalid) {
				t.Errorf("%q: got %v, %v; want fault.Invalid", c.in, got, err)
			}
			continue
		}
		if err != nil || got != (Identifier{c.kind, c.want}) {
			t.Errorf("%q: got %v, %v", c.in, got, err)
		}
	}
}

func FuzzParseIdentifier(f *testing.F) {
	for _, s := range []string{"Ann@Example.com", "+49 151 234", "ann", "\u0130@x.example", "\u03a3\u03c2@x.example", "a@xn--bcher-kva.example", "\uff21"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		i, err := ParseIdentifier(s)
		if err != nil {
			if !errors.Is(err, fault.Invalid) || strings.Contains(fault.TextOf(err), s) && len(s) > 8 {
				t.Fatalf("%q: %v", s, err)
			}
			return
		}
		again, err := ParseIdentifier(i.Value)
		if err != nil || again != i {
			t.Fatalf("%q: not stable: %+q then %+q, %v", s, i, again, err)
		}
		if i.Value == "" || len(i.Value) > MaxIdentifier {
			t.Fatalf("%q: bad length %q", s, i.Value)
		}
		if at := strings.Contains(i.Value, "@"); at != (i.Kind == ByEmail) {
			t.Fatalf("%q: kind %q", s, i.Kind)
		}
	})
}

func TestNormalizePassword(t *testing.T) {
	for in, want := range map[string]string{
		"pass word":            "pass word",
		"pass\u00a0word":       "pass word",
		"e\u0301te\u0301":      "\u00e9t\u00e9",
		" lead and trail ":     " lead and trail ",
		"\uff21":               "\uff21", // no width mapping (RFC 8265 4.2)
		"correct Horse \u2603": "correct Horse \u2603",
	} {
		if got, err := NormalizePassword(in); err != nil || got != want {
			t.Errorf("%+q: got %+q, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "a\nb", "a\x00b", "\xff", strings.Repeat("a", 4097)} {
		if got, err := NormalizePassword(in); !errors.Is(err, fault.Invalid) {
			t.Errorf("%+q: got %q, %v; want fault.Invalid", in, got, err)
		}
	}
}

func TestUserIdentifiersAndValidate(t *testing.T) {
	sub := UserID("6f9619ff-8b86-4011-b42d-00c04fc964ff")
	ok := func() *User {
		return &User{Sub: sub, Username: string(sub), Email: "ann@example.com", Phone: "+49151234", Status: Confirmed, Groups: []string{"staff"}}
	}
	if err := ok().Validate(); err != nil {
		t.Fatal(err)
	}
	if got := ok().Identifiers(); len(got) != 2 || got[0].Kind != ByEmail || got[1].Kind != ByPhone {
		t.Errorf("identifiers: %v", got)
	}
	named := ok()
	named.Username = "ann"
	if got := named.Identifiers(); len(got) != 3 || got[0] != (Identifier{ByUsername, "ann"}) {
		t.Errorf("identifiers: %v", got)
	}
	for name, spoil := range map[string]func(*User){
		"sub in upper case":     func(u *User) { u.Sub = UserID(strings.ToUpper(string(sub))) },
		"no sub":                func(u *User) { u.Sub = "" },
		"no user name":          func(u *User) { u.Username = "" },
		"another's sub as name": func(u *User) { u.Username = "7f9619ff-8b86-4011-b42d-00c04fc964ff" },
		"sub in upper as name":  func(u *User) { u.Username = strings.ToUpper(string(sub)) },
		"name with @":           func(u *User) { u.Username = "ann@example.com" },
		"name in upper case":    func(u *User) { u.Username = "Ann" },
		"e-mail not normalised": func(u *User) { u.Email = "Ann@example.com" },
		"phone not normalised":  func(u *User) { u.Phone = "+49 151 234" },
		"e-mail as phone":       func(u *User) { u.Phone = "ann@example.com" },
		"control in name":       func(u *User) { u.Name = "Ann\r\nX" },
		"long name":             func(u *User) { u.Name = strings.Repeat("x", 257) },
		"unknown status":        func(u *User) { u.Status = "" },
		"comma in group":        func(u *User) { u.Groups = []string{"a,b"} },
		"bar in group":          func(u *User) { u.Groups = []string{"a|b"} },
		"group twice":           func(u *User) { u.Groups = []string{"a", "a"} },
		"empty password":        func(u *User) { u.Password = &PasswordEntry{} },
		"too many groups":       func(u *User) { u.Groups = make([]string, 101) },
		"invisible group":       func(u *User) { u.Groups = []string{"a\u200b"} },
	} {
		u := ok()
		spoil(u)
		if err := u.Validate(); !errors.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	u := ok()
	if u.VerifiedEmail() != "" {
		t.Error("an unverified address left the user")
	}
	u.EmailVerified = true
	if u.VerifiedEmail() != u.Email {
		t.Error("a verified address did not")
	}
}

func TestLabelIsNeverTheSub(t *testing.T) {
	const sub = "7f2c1a34-0b6e-4c1d-9a77-3f5f5d0f6a11"
	for want, u := range map[string]User{
		"ann@example.com": {Sub: sub, Username: sub, Email: "ann@example.com", Phone: "+15550100", Name: "Ann"},
		"+15550100":       {Sub: sub, Username: "ann", Phone: "+15550100", Name: "Ann"},
		"ann":             {Sub: sub, Username: "ann", Name: "Ann"},
		"Ann":             {Sub: sub, Username: sub, Name: "Ann"},
		"":                {Sub: sub, Username: sub},
	} {
		if got := u.Label(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

package pool

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
)

func ann() *User {
	return &User{
		Sub: "0b7d9a3e-5a0c-4c3f-9d0b-6f7a2f1e4c11", Username: "ann.o", Email: "ann@xn--mller-kva.example", Phone: "+4930123456",
		Name: `Ann "O" Müller\`, Claims: map[string]string{"given_name": "Ann", "family_name": "Müller"}, Status: MustChangePassword,
	}
}

func TestFilterMatches(t *testing.T) {
	for filter, want := range map[string]bool{
		`email = "ANN@Müller.example"`:                      true,
		`email="ann@xn--mller-kva.example"`:                 true,
		`email = "ann@"`:                                    false,
		`email = "ann.o"`:                                   false,
		`email ^= "Ann@MÜ"`:                                 true,
		`email ^= "ann@xn--m"`:                              true,
		`email ^= "bob"`:                                    false,
		`email ^= ""`:                                       true,
		`email = ""`:                                        false,
		`username = "Ann.O"`:                                true,
		`username = "ann"`:                                  false,
		`username ^= "ANN"`:                                 true,
		`preferred_username ^= "ann."`:                      true,
		`phone_number = "+49 (30) 123-456"`:                 true,
		`phone_number ^= "+49 30"`:                          true,
		`phone_number = "4930123456"`:                       false,
		`name = "Ann \"O\" Müller\\"`:                       true,
		`name ^= "Ann \"O"`:                                 true,
		`name ^= "ann"`:                                     false,
		`name = "Ann"`:                                      false,
		`  given_name   =   "Ann"  `:                        true,
		`given_name = "ann"`:                                false,
		`family_name ^= "Mü"`:                               true,
		`status = "Enabled"`:                                true,
		`status ^= "dis"`:                                   false,
		`cognito:user_status = "force_change_password"`:     true,
		`cognito:user_status = "CONFIRMED"`:                 false,
		`cognito:user_status ^= "FORCE"`:                    true,
		`sub = "0B7D9A3E-5a0c-4c3f-9d0b-6f7a2f1e4c11"`:      true,
		`sub ^= "0b7d"`:                                     true,
		`sub = "0b7d"`:                                      false,
		`username = "0b7d9a3e-5a0c-4c3f-9d0b-6f7a2f1e4c11"`: false,
	} {
		f, err := ParseFilter(filter)
		if err != nil {
			t.Errorf("%s: %v", filter, err)
			continue
		}
		if got := f.Matches(ann()); got != want {
			t.Errorf("%s: %t", filter, got)
		}
	}
}

// A user without an attribute is chosen by no filter on it.
func TestFilterOfWhatIsNotThere(t *testing.T) {
	u := &User{Sub: "0b7d9a3e-5a0c-4c3f-9d0b-6f7a2f1e4c11", Disabled: true, Status: MustSetPassword}
	u.Username = string(u.Sub)
	for _, filter := range []string{`email ^= ""`, `email = ""`, `phone_number ^= ""`, `name ^= ""`, `name = ""`, `given_name ^= ""`, `preferred_username ^= ""`, `status = "enabled"`} {
		if f, err := ParseFilter(filter); err != nil || f.Matches(u) {
			t.Error(filter, err)
		}
	}
	for _, filter := range []string{`username ^= ""`, `username = "` + u.Username + `"`, `status = "Disabled"`, `cognito:user_status = "RESET_REQUIRED"`} {
		if f, err := ParseFilter(filter); err != nil || !f.Matches(u) {
			t.Error(filter, err)
		}
	}
}

func TestFilterErrorsSayWhatIsWrong(t *testing.T) {
	for filter, want := range map[string]string{
		``:                           "a filter is",
		`   `:                        "a filter is",
		`= "x"`:                      "a filter is",
		`email`:                      "a filter is",
		`email "x"`:                  "needs = (is) or ^=",
		`email ^ = "x"`:              "needs = (is) or ^=",
		`email ~ "x"`:                "needs = (is) or ^=",
		`email == "x"`:               "in quotation marks",
		`email = x`:                  "in quotation marks",
		`email = 'x'`:                "in quotation marks",
		`email = `:                   "in quotation marks",
		`email = "`:                  "no quotation mark at its end",
		`email = "x`:                 "no quotation mark at its end",
		`email = "x\"`:               "no quotation mark at its end",
		`email = "x\`:                "a backslash stands before",
		`email = "x\n"`:              "a backslash stands before",
		`email = "x" and name = "y"`: "goes on behind its value",
		`name = "a"b"`:               "goes on behind its value",
		`Email = "x"`:                `"Email" is none of username, email`,
		`password = "x"`:             `"password" is none of`,
		`custom:team = "x"`:          "custom attributes",
		"name = \"a\x00\"":           "control characters",
		"name = \"\xff\"":            "control characters",
		`name = "` + strings.Repeat("a", maxFilter) + `"`: "too long",
		strings.Repeat("é", 100) + ` = "x"`:               "…",
	} {
		_, err := ParseFilter(filter)
		if fault.CodeOf(err) != fault.Invalid || !strings.Contains(fault.TextOf(err), want) {
			t.Errorf("%s: %v", filter, err)
		}
	}
}

// Whatever a value is, quoted it is read as it is; and whoever has exactly it
// has something that begins with it.
func FuzzFilter(f *testing.F) {
	f.Add(`email ^= "ann"`, `a"b\c`)
	f.Add(`name = "\\\""`, "+49 30")
	f.Add(`cognito:user_status = "x`, "İ@é")
	f.Fuzz(func(t *testing.T, text, value string) {
		for _, s := range []string{text, `name = "` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(value) + `"`} {
			got, err := ParseFilter(s)
			if err != nil {
				if fault.CodeOf(err) != fault.Invalid || !utf8.ValidString(fault.TextOf(err)) {
					t.Fatal(err)
				}
				continue
			}
			got.Matches(ann())
		}
		if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) || value == "" || len(value) > maxFilter/4 {
			return
		}
		quoted := `"` + strings.NewReplacer(`"`, `\"`, `\`, `\\`).Replace(value) + `"`
		for _, operator := range []string{"=", "^="} {
			got, err := ParseFilter("name " + operator + quoted)
			if err != nil || !got.Matches(&User{Name: value}) {
				t.Fatalf("%s %q: %v", operator, value, err)
			}
		}
	})
}

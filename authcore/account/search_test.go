package account_test

import (
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// found are the labels of those whom a filter chooses, in order.
func (w *world) found(filter string) []string {
	w.t.Helper()
	var out []string
	for after := ""; ; {
		users, next, err := w.accounts.Search(w.t.Context(), w.pool, filter, after, 2)
		if err != nil {
			w.t.Fatalf("%s: %v", filter, err)
		}
		for _, u := range users {
			out = append(out, u.Name)
		}
		if after = next; after == "" {
			slices.Sort(out)
			return out
		}
	}
}

func TestSearchByEveryAttribute(t *testing.T) {
	w := newWorld(t)
	w.imports(false,
		account.Record{Sub: aSub, Username: "ada", Email: "ada@example.org", Phone: "+4930123456", Name: "Ada", Claims: map[string]string{"given_name": "Ada", "family_name": "King"}, Groups: []string{"staff"}, Hash: sshaHash},
		account.Record{Email: "adam@example.org", Name: "Adam", Disabled: true, Claims: map[string]string{"given_name": "Adam", "family_name": "King"}, Hash: bcryptHash},
		account.Record{Username: "cy", Name: "Cy", Groups: []string{"staff"}, Hash: bcryptHash, Status: "must_change_password"},
		account.Record{Email: "di@example.org", Phone: "+4930999999", Name: "Di"},
	)
	for filter, want := range map[string][]string{
		``:                                              {"Ada", "Adam", "Cy", "Di"},
		`sub = "` + aSub + `"`:                          {"Ada"},
		`sub ^= "` + aSub[:8] + `"`:                     {"Ada"},
		`sub = "` + aSub[:8] + `"`:                      nil,
		`username = "ADA"`:                              {"Ada"},
		`username = "` + aSub + `"`:                     nil,
		`username ^= "c"`:                               {"Cy"},
		`preferred_username = "ada"`:                    {"Ada"},
		`email = "Ada@Example.org"`:                     {"Ada"},
		`email = "nobody@example.org"`:                  nil,
		`email = "cy"`:                                  nil,
		`email ^= "ADA"`:                                {"Ada", "Adam"},
		`phone_number = "+49 30 123456"`:                {"Ada"},
		`phone_number ^= "+4930"`:                       {"Ada", "Di"},
		`name = "Ada"`:                                  {"Ada"},
		`name ^= "Ada"`:                                 {"Ada", "Adam"},
		`given_name = "Adam"`:                           {"Adam"},
		`family_name = "King"`:                          {"Ada", "Adam"},
		`family_name = "king"`:                          nil,
		`status = "Disabled"`:                           {"Adam"},
		`status = "Enabled"`:                            {"Ada", "Cy", "Di"},
		`cognito:user_status = "CONFIRMED"`:             {"Ada", "Adam"},
		`cognito:user_status = "FORCE_CHANGE_PASSWORD"`: {"Cy"},
		`cognito:user_status = "RESET_REQUIRED"`:        {"Di"},
	} {
		if got := w.found(filter); !slices.Equal(got, want) {
			t.Errorf("%s: %v", filter, got)
		}
	}
	// Adam's user name is the sub that he was given.
	adam, err := w.accounts.Find(t.Context(), w.pool, "adam@example.org")
	if err != nil {
		t.Fatal(err)
	}
	if got := w.found(`username = "` + string(adam.Sub) + `"`); !slices.Equal(got, []string{"Adam"}) {
		t.Error(got)
	}
	if got := w.found(`preferred_username = "` + string(adam.Sub) + `"`); got != nil {
		t.Error(got)
	}
	members, next, err := w.accounts.Members(t.Context(), w.pool, "staff", "", 60)
	if err != nil || next != "" || len(members) != 2 || slices.ContainsFunc(members, func(u *pool.User) bool { return !u.InGroup("staff") }) {
		t.Error(members, next, err)
	}
}

func TestSearchRefusals(t *testing.T) {
	w := newWorld(t)
	w.imports(false, account.Record{Email: "ada@example.org"}, account.Record{Email: "bob@example.org"})
	_, next, err := w.accounts.Search(t.Context(), w.pool, "", "", 1)
	if err != nil || next == "" {
		t.Fatal(next, err)
	}
	for _, c := range []struct{ filter, after string }{
		{`email`, ""}, {`password = "x"`, ""}, {`email ^= "a"`, "x"}, {`email = "ada@example.org"`, next}, {`email = "nobody"`, next},
	} {
		if _, _, err := w.accounts.Search(t.Context(), w.pool, c.filter, c.after, 1); fault.CodeOf(err) != fault.Invalid {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

package account_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/store"
)

// Published vectors: hashcat's examples 111 and 3200; the password is "hashcat".
const (
	sshaHash   = "{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng=="
	bcryptHash = "$2a$05$LhayLxezLhK1LhWvKxCyLOj0j1u.Kj0jZ0pEmm134uzrQlFvQJLF6"
	aSub       = "0b7d9a3e-5a0c-4c3f-9d0b-6f7a2f1e4c11"
)

func (w *world) imports(dry bool, records ...account.Record) []account.Outcome {
	w.t.Helper()
	out, err := w.accounts.Import(w.t.Context(), operator, w.pool, records, dry)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) exports() []account.Record {
	w.t.Helper()
	var all []account.Record
	for after := ""; ; {
		page, next, err := w.accounts.Export(w.t.Context(), operator, w.pool, after)
		if err != nil {
			w.t.Fatal(err)
		}
		all = append(all, page...)
		if after = next; after == "" {
			break
		}
	}
	slices.SortFunc(all, func(a, b account.Record) int { return strings.Compare(a.Sub, b.Sub) })
	return all
}

func TestImportedUsersAreThereAsTheyWere(t *testing.T) {
	w := newWorld(t)
	made := time.Date(2019, 5, 4, 3, 2, 1, 0, time.UTC)
	got := w.imports(false,
		account.Record{
			Sub: strings.ToUpper(aSub), Username: "Ada", Email: "Ada@Example.org", EmailVerified: true, Phone: "+49 30 123456", Name: " Ada ",
			Claims: map[string]string{"given_name": "Ada"}, Groups: []string{"staff", "admins", "staff"}, Disabled: true, Hash: sshaHash, Created: made,
		},
		account.Record{Email: "bob@example.org"},
		account.Record{Username: "cy", Hash: bcryptHash, Status: "must_change_password"},
	)
	for i, o := range got {
		if o != (account.Outcome{Result: account.Added}) {
			t.Errorf("%d: %+v", i, o)
		}
	}
	u, err := w.accounts.Find(t.Context(), w.pool, "ada")
	if err != nil {
		t.Fatal(err)
	}
	want := &pool.User{
		Sub: aSub, Username: "ada", Email: "ada@example.org", EmailVerified: true, Phone: "+4930123456", Name: "Ada", Claims: map[string]string{"given_name": "Ada"},
		Groups: []string{"admins", "staff"}, Status: pool.Confirmed, Disabled: true, Created: made, Updated: u.Updated,
		Password: &pool.PasswordEntry{PHC: sshaHash, Set: made},
	}
	if !reflect.DeepEqual(u, want) {
		t.Errorf("%+v\n%+v", u, want)
	}
	if u, err := w.accounts.Find(t.Context(), w.pool, "bob@example.org"); err != nil || u.Status != pool.MustSetPassword || !u.Sub.Valid() {
		t.Errorf("%+v, %v", u, err)
	}
	if u, err := w.accounts.Find(t.Context(), w.pool, "cy"); err != nil || u.Status != pool.MustChangePassword {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestAnImportMayBeRunAgain(t *testing.T) {
	w := newWorld(t)
	records := []account.Record{
		{Sub: aSub, Email: "ada@example.org", Hash: sshaHash}, {Email: "bob@example.org", Phone: "+4930123456"}, {Username: "cy"},
	}
	w.imports(false, records...)
	before := w.exports()
	for i, o := range w.imports(false, records...) {
		if o.Result != account.Exists {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if after := w.exports(); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v\n%+v", before, after)
	}
}

func TestADryRunChangesNothing(t *testing.T) {
	w := newWorld(t)
	w.imports(false, account.Record{Email: "ada@example.org"})
	before := w.exports()
	got := w.imports(true, account.Record{Email: "ada@example.org"}, account.Record{Email: "bob@example.org"}, account.Record{Email: "nobody"})
	if got[0].Result != account.Exists || got[1].Result != account.Added || got[2].Result != account.Refused {
		t.Errorf("%+v", got)
	}
	if after := w.exports(); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v", after)
	}
}

// Every refusal says why, without a secret, and leaves nothing behind.
func TestWhatCannotBeImportedIsRefusedWhole(t *testing.T) {
	w := newWorld(t)
	w.imports(false, account.Record{Sub: aSub, Username: "ada", Email: "ada@example.org"}, account.Record{Email: "bob@example.org"})
	before := w.exports()
	for _, c := range []struct {
		rec  account.Record
		says string
	}{
		{account.Record{}, "sign in with"},
		{account.Record{Name: "Ada", Hash: sshaHash}, "sign in with"},
		{account.Record{Sub: "42", Email: "cy@example.org"}, "UUID"},
		{account.Record{Email: "cy"}, "no e-mail address"},
		{account.Record{Phone: "0301"}, "no phone number"},
		{account.Record{Username: "cy@example.org"}, "no user name"},
		{account.Record{Username: "0b7d9a3e-5a0c-4c3f-9d0b-6f7a2f1e4c12"}, "no user name"},
		{account.Record{Email: "cy@example.org", Claims: map[string]string{"shoe": "42"}}, "not known"},
		{account.Record{Email: "cy@example.org", Groups: []string{"a b"}}, "group"},
		{account.Record{Email: "cy@example.org", Status: "odd"}, "status"},
		{account.Record{Email: "cy@example.org", Status: "confirmed"}, "needs a password hash"},
		{account.Record{Email: "cy@example.org", Hash: "hunter2-in-plain"}, "not known"},
		{account.Record{Email: "cy@example.org", Hash: bcryptHash[:40]}, "damaged"},
		{account.Record{Email: "cy@example.org", Hash: strings.Replace(bcryptHash, "$05$", "$20$", 1)}, "costs more"},
		{account.Record{Email: "cy@example.org", Hash: sshaHash, HashNorm: 7}, "password_norm"},
		{account.Record{Email: "ada@example.org", Phone: "+4930123456"}, "another user"},
		{account.Record{Email: "bob@example.org", Username: "ada"}, "another user"},
		{account.Record{Sub: "0b7d9a3e-5a0c-4c3f-9d0b-6f7a2f1e4c12", Email: "ada@example.org"}, "another user"},
	} {
		for _, dry := range []bool{true, false} {
			got := w.imports(dry, c.rec)[0]
			if got.Result != account.Refused || !strings.Contains(got.Reason, c.says) {
				t.Errorf("%+v: %+v", c.rec, got)
			}
			if strings.Contains(got.Reason, "hunter2") || strings.Contains(got.Reason, "LhayLx") || strings.Contains(got.Reason, "@") && !strings.Contains(got.Reason, "no @") {
				t.Errorf("the reason tells what it must not: %s", got.Reason)
			}
		}
	}
	if after := w.exports(); !reflect.DeepEqual(before, after) {
		t.Errorf("%+v", after)
	}
}

func TestExportReadsBack(t *testing.T) {
	w := newWorld(t)
	w.imports(false,
		account.Record{Sub: aSub, Username: "ada", Email: "ada@example.org", EmailVerified: true, Name: "Ada", Hash: sshaHash, Groups: []string{"staff"}, Epoch: 3, Disabled: true},
		account.Record{Phone: "+4930123456", PhoneVerified: true, Claims: map[string]string{"address": "Here\nThere"}},
	)
	if _, err := w.accounts.Create(t.Context(), operator, w.pool, account.NewUser{Identifier: "own@example.org", Password: secretWord}); err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(w.exports())
	if err != nil {
		t.Fatal(err)
	}
	var records []account.Record
	if err := json.Unmarshal(raw, &records); err != nil {
		t.Fatal(err)
	}
	other := newWorld(t)
	for i, o := range other.imports(false, records...) {
		if o.Result != account.Added {
			t.Errorf("%d: %+v", i, o)
		}
	}
	again, _ := json.Marshal(other.exports())
	if string(again) != string(raw) {
		t.Errorf("%s\n%s", again, raw)
	}
}

func TestOnlyOperatorsImportAndExport(t *testing.T) {
	w := newWorld(t)
	self := pool.Caller{Kind: pool.Self, Name: aSub}
	for _, by := range []pool.Caller{visitor, self} {
		if _, err := w.accounts.Import(t.Context(), by, w.pool, []account.Record{{Email: "ada@example.org"}}, false); fault.CodeOf(err) != fault.Forbidden {
			t.Error(err)
		}
		if _, _, err := w.accounts.Export(t.Context(), by, w.pool, ""); fault.CodeOf(err) != fault.Forbidden {
			t.Error(err)
		}
	}
	if len(w.exports()) != 0 {
		t.Error("somebody was imported")
	}
}

// A store that fails is no reason to skip anybody: the call fails, and can be repeated.
func TestAFailingStoreSkipsNobody(t *testing.T) {
	w := newWorld(t)
	var records []account.Record
	for i := range 50 {
		records = append(records, account.Record{Email: fmt.Sprintf("u%d@example.org", i)})
	}
	n := 0
	w.store.failing(func(store.Txn) bool { n++; return n > 40 })
	if _, err := w.accounts.Import(t.Context(), operator, w.pool, records, false); fault.CodeOf(err) != fault.Unavailable {
		t.Fatal(err)
	}
	w.store.failing(nil)
	w.clock.move(time.Minute) // what the failure left reserved has run out
	for i, o := range w.imports(false, records...) {
		if o.Result == account.Refused {
			t.Errorf("%d: %+v", i, o)
		}
	}
	if got := len(w.exports()); got != len(records) {
		t.Errorf("%d of %d", got, len(records))
	}
}

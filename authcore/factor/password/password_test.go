package password

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

func newFactor(memory uint32) *Factor {
	return New(Config{
		Hasher: secret.NewHasher(secret.HasherConfig{Memory: memory, Time: 1}),
		Now:    func() time.Time { return time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC) },
	})
}

func testPool() *pool.Pool {
	return &pool.Pool{Password: pool.PasswordPolicy{MinLength: 8, Breached: true}}
}

func TestTheListIsWhole(t *testing.T) {
	list := newFactor(64).common()
	if len(list) != 10000 {
		t.Errorf("%d passwords", len(list))
	}
	for _, p := range []string{"123456", "password", "qwertyuiop", "football", "iloveyou", "trustno1"} {
		if _, ok := list[p]; !ok {
			t.Errorf("%s is missing", p)
		}
	}
}

func TestPolicy(t *testing.T) {
	f, p := newFactor(64), testPool()
	ids := []string{"Ann.Example@example.com", "+4915112345678"}
	for password, want := range map[string]string{
		"":                              TooShort,
		"1234567":                       TooShort,
		"ü2345678":                      "",
		"éééé\u0301ééé":                 "",       // eight characters as typed, and after normalisation
		"e\u0301e\u0301e\u0301e\u0301":  TooShort, // eight code points, four characters
		"password":                      Common,
		"PassWord":                      Common,
		"qwertyuiop":                    Common,
		"ann.example@example.com":       IsName,
		"ANN.EXAMPLE":                   IsName,
		"+4915112345678":                IsName,
		"ann.example1":                  "",
		"correct horse battery staple":  "",
		"tab\tinside the password":      Invalid,
		"nul\x00inside":                 Invalid,
		"\xff\xfe bad utf-8 bytes":      Invalid,
		strings.Repeat("a", MaxBytes):   "",
		strings.Repeat("a", MaxBytes+1): TooLong,
		strings.Repeat("x", 1<<20):      TooLong,
		"🏰🏰🏰🏰🏰🏰🏰🏰":                      "",
	} {
		entry, problem, err := f.New(context.Background(), p, ids, password)
		if err != nil || problem != want || (entry == nil) != (want != "") {
			t.Errorf("%.30q: %q (want %q), %v", password, problem, want, err)
		}
	}
	p.Password.Breached = false
	if _, problem, _ := f.New(context.Background(), p, nil, "password"); problem != "" {
		t.Errorf("with the list off: %s", problem)
	}
}

func TestRightAndWrong(t *testing.T) {
	ctx := context.Background()
	f := newFactor(64)
	entry, _, err := f.New(ctx, testPool(), nil, "caf\u00e9 noir")
	if err != nil || entry.Norm != pool.PasswordNorm || strings.Contains(entry.PHC, "noir") {
		t.Fatalf("%+v, %v", entry, err)
	}
	for password, want := range map[string]bool{
		"caf\u00e9 noir": true, "cafe\u0301 noir": true, "caf\u00e9\u00a0noir": true, // the same to a person (RFC 8265 4.2)
		"cafe noir": false, "CAF\u00c9 NOIR": false, "": false, strings.Repeat("x", 1<<20): false, "nul\x00": false,
	} {
		ok, better, err := f.Check(ctx, entry, password)
		if err != nil || ok != want || better != nil {
			t.Errorf("%.20q: %v, %v, %v", password, ok, better, err)
		}
	}
	if ok, _, err := f.Check(ctx, nil, "caf\u00e9 noir"); ok || err != nil {
		t.Error("nobody's password is right")
	}
	// A hash of another cost is replaced, and keeps its date.
	dearer := newFactor(128)
	ok, better, err := dearer.Check(ctx, entry, "caf\u00e9 noir")
	if !ok || err != nil || better == nil || better.PHC == entry.PHC || !better.Set.Equal(entry.Set) {
		t.Errorf("%v, %+v, %v", ok, better, err)
	}
	if ok, again, _ := dearer.Check(ctx, better, "cafe\u0301 noir"); !ok || again != nil {
		t.Error("the better entry does not hold")
	}
}

func TestImportedHashesAreOfWhatWasTyped(t *testing.T) {
	ctx := context.Background()
	f := newFactor(64)
	raw, err := f.hasher.Hash(ctx, "cafe\u0301 noir")
	if err != nil {
		t.Fatal(err)
	}
	ok, better, err := f.Check(ctx, &pool.PasswordEntry{PHC: raw}, "cafe\u0301 noir")
	if !ok || err != nil || better == nil || better.Norm != pool.PasswordNorm {
		t.Errorf("%v, %+v, %v", ok, better, err)
	}
}

func TestBusyIsSaid(t *testing.T) {
	if err := busy(secret.ErrBusy); !errors.Is(err, fault.Busy) || !errors.Is(err, secret.ErrBusy) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := busy(ctx.Err()); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

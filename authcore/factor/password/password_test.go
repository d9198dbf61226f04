package password

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/page"
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
		"+49 151 1234-5678":             IsName, // however it is written
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

// TestImportedHashesAreTriedBothWays: nobody knows how a hash from elsewhere
// was normalised.
func TestImportedHashesAreTriedBothWays(t *testing.T) {
	ctx := context.Background()
	f := newFactor(64)
	const typed, normal = "cafe\u0301 noir", "caf\u00e9 noir"
	for _, hashed := range []string{typed, normal} {
		phc, err := f.hasher.Hash(ctx, hashed)
		if err != nil {
			t.Fatal(err)
		}
		entry := &pool.PasswordEntry{PHC: phc, Set: time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)}
		ok, better, err := f.Check(ctx, entry, typed)
		if err != nil || !ok || better == nil || better.Norm != pool.PasswordNorm || !better.Set.Equal(entry.Set) {
			t.Fatalf("%+q: %v, %+v, %v", hashed, ok, better, err)
		}
		if ok, again, err := f.Check(ctx, better, normal); err != nil || !ok || again != nil {
			t.Errorf("%+q: its better entry: %v, %+v, %v", hashed, ok, again, err)
		}
		if ok, _, _ := f.Check(ctx, entry, "cafe noir"); ok {
			t.Errorf("%+q: a wrong password is right", hashed)
		}
		// Only imported hashes may be of what was typed.
		entry.Norm = pool.PasswordNorm
		if ok, _, err := f.Check(ctx, entry, typed); err != nil || ok != (hashed == normal) {
			t.Errorf("%+q: not imported: %v, %v", hashed, ok, err)
		}
	}
	// One that only the old system could take signs in, and stays as it is.
	phc, err := f.hasher.Hash(ctx, "tab\tinside")
	if err != nil {
		t.Fatal(err)
	}
	if ok, better, err := f.Check(ctx, &pool.PasswordEntry{PHC: phc}, "tab\tinside"); err != nil || !ok || better != nil {
		t.Errorf("%v, %+v, %v", ok, better, err)
	}
}

// counter counts the operations of a real hasher.
type counter struct {
	*secret.Hasher
	hashes, verifies int
}

func (c *counter) Hash(ctx context.Context, password string) (string, error) {
	c.hashes++
	return c.Hasher.Hash(ctx, password)
}

func (c *counter) Verify(ctx context.Context, phc, password string) (bool, bool, error) {
	c.verifies++
	return c.Hasher.Verify(ctx, phc, password)
}

// TestChecksCostTheSameForAll: the number of hash operations tells neither a
// known user from an unknown one, nor an imported hash from one of ours, nor a
// right password from a wrong one.
func TestChecksCostTheSameForAll(t *testing.T) {
	ctx := context.Background()
	f := newFactor(64)
	count := &counter{Hasher: secret.NewHasher(secret.HasherConfig{Memory: 64, Time: 1})}
	f.hasher = count
	entry, problem, err := f.New(ctx, testPool(), nil, "caf\u00e9 noir")
	if err != nil || problem != "" || count.hashes != 1 {
		t.Fatalf("%q, %v, %d hashes", problem, err, count.hashes)
	}
	imported := *entry
	imported.Norm = 0
	for _, c := range []struct {
		password string
		want     int
	}{
		{"caf\u00e9 noir", 1}, {"caf\u00e8 noir", 1}, {"", 1}, {"nul\x00", 1}, {"\xff", 1}, {strings.Repeat("x", 1<<20), 1},
		{"cafe\u0301 noir", 2}, {"cafe\u0300 noir", 2}, // typed and normalised differ
	} {
		for name, e := range map[string]*pool.PasswordEntry{"nobody": nil, "somebody": entry, "imported": &imported, "damaged": {PHC: "x"}} {
			count.verifies = 0
			if _, _, err := f.Check(ctx, e, c.password); err != nil || count.verifies != c.want {
				t.Errorf("%.20q, %s: hashed %d times, %v", c.password, name, count.verifies, err)
			}
		}
	}
	count.hashes = 0
	if _, problem, _ := f.New(ctx, testPool(), nil, strings.Repeat("x", 1<<20)); problem != TooLong || count.hashes != 0 {
		t.Errorf("%q, %d hashes: what is refused costs nothing", problem, count.hashes)
	}
}

func TestMinLengthCountsCharacters(t *testing.T) {
	f := newFactor(64)
	for _, least := range []int{8, 15} {
		p := &pool.Pool{Password: pool.PasswordPolicy{MinLength: least, Breached: true}}
		for _, letter := range []string{"z", "\u00e9", "\u65e5", "\U0001F3F0"} { // of one to four bytes
			for n, want := range map[int]string{least - 1: TooShort, least: "", least + 1: ""} {
				if _, problem, err := f.New(context.Background(), p, nil, strings.Repeat(letter, n)); err != nil || problem != want {
					t.Errorf("%d of %s, at least %d: %q, %v", n, letter, least, problem, err)
				}
			}
		}
	}
}

// TestProblemsAreThoseThatPagesKnow: the codes are page's.
func TestProblemsAreThoseThatPagesKnow(t *testing.T) {
	for have, want := range map[string]page.Problem{
		TooShort: page.PasswordTooShort, TooLong: page.PasswordTooLong, Common: page.PasswordCommon,
		Invalid: page.PasswordInvalid, IsName: page.PasswordIsName,
	} {
		if have != string(want) {
			t.Errorf("%s is %s to a page", have, want)
		}
	}
}

// TestBusyIsSaid fills a hasher with one slot and one place to wait.
func TestBusyIsSaid(t *testing.T) {
	ctx, stop := context.WithTimeout(context.Background(), time.Minute)
	defer stop()
	f := New(Config{Hasher: secret.NewHasher(secret.HasherConfig{Memory: 8 << 10, Time: 1, Slots: 1, Queue: 1})})
	var wg sync.WaitGroup
	defer wg.Wait()
	crowd, leave := context.WithCancel(ctx)
	defer leave()
	for range 4 {
		wg.Go(func() {
			for crowd.Err() == nil {
				if _, _, err := f.Check(crowd, nil, "x"); err != nil && !errors.Is(err, fault.Busy) && crowd.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	said := func(what string, try func() error) {
		for ctx.Err() == nil {
			if err := try(); errors.Is(err, fault.Busy) && errors.Is(err, secret.ErrBusy) {
				return
			} else if err != nil {
				t.Errorf("%s: %v", what, err)
				return
			}
		}
		t.Errorf("%s: never busy", what)
	}
	said("check", func() error {
		ok, better, err := f.Check(ctx, nil, "x")
		if ok || better != nil {
			t.Error("busy, and right all the same")
		}
		return err
	})
	said("new", func() error {
		entry, _, err := f.New(ctx, testPool(), nil, "correct horse battery staple")
		if err != nil && entry != nil {
			t.Error("busy, and an entry all the same")
		}
		return err
	})
}

func TestCancelledIsNotBusy(t *testing.T) {
	f := newFactor(64)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for range 32 { // a free slot may win against the context
		if _, _, err := f.Check(ctx, nil, "x"); err != nil && (!errors.Is(err, context.Canceled) || errors.Is(err, fault.Busy)) {
			t.Error(err)
		}
	}
}

// FuzzPassword: what the policy takes checks right against its own entry, and
// nothing that is typed is a failure.
func FuzzPassword(f *testing.F) {
	for _, s := range []string{"", "password", "correct horse", "cafe\u0301 noir", "nul\x00nul\x00", "\xff\xfe\xfd", "\u200b\u200b\u200b\u200b\u200b\u200b\u200b\u200b"} {
		f.Add(s)
	}
	ctx := context.Background()
	factor, p := newFactor(8), testPool()
	f.Fuzz(func(t *testing.T, password string) {
		entry, problem, err := factor.New(ctx, p, []string{"ann@example.com"}, password)
		if err != nil || (entry == nil) == (problem == "") {
			t.Fatalf("%+v, %q, %v", entry, problem, err)
		}
		ok, better, err := factor.Check(ctx, entry, password)
		if err != nil || ok != (entry != nil) || better != nil {
			t.Fatalf("%+v: %v, %+v, %v", entry, ok, better, err)
		}
	})
}

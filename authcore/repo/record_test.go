package repo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
	"github.com/gatehouse-auth/gatehouse/store/sqlitestore"
)

// recorder keeps the writes that went through it, newest last.
type recorder struct {
	store.Store
	mu     sync.Mutex
	writes []store.Write
}

func (s *recorder) Commit(ctx context.Context, t store.Txn) (store.Receipt, error) {
	receipt, err := s.Store.Commit(ctx, t)
	if err == nil {
		s.mu.Lock()
		s.writes = append(s.writes, t.Writes...)
		s.mu.Unlock()
	}
	return receipt, err
}

func (s *recorder) Now() time.Time { return s.Store.(store.Clock).Now() }

func (s *recorder) last(t testing.TB, table store.Table) store.Write {
	t.Helper()
	for i := len(s.writes) - 1; i >= 0; i-- {
		if w := s.writes[i]; w.Key.Table.ID == table.ID && !w.Delete {
			return w
		}
	}
	t.Fatalf("nothing was written to table %d", table.ID)
	return store.Write{}
}

func recorded(t testing.TB) (*rig, *recorder) {
	c := newClock()
	rec := &recorder{Store: memstore.New(memstore.Options{Now: c.Now})}
	return rigOn(t, rec, c), rec
}

// later is a user as a newer build might write it.
type later struct {
	pool.User
	Locale   string         `json:"lo"`
	Password *laterPassword `json:"pw,omitempty"`
}

type laterPassword struct {
	pool.PasswordEntry
	SRP string `json:"srp"`
}

func TestUnknownMembersSurvive(t *testing.T) {
	r, _ := recorded(t)
	ctx := t.Context()
	ann := newUser("ann@example.com")
	ann.Password = &pool.PasswordEntry{Norm: 1, PHC: "$argon2id$one"}
	r.create(t, ann)
	k := userKey(r.pool, ann.Sub)
	rewrite(t, r, k, func(m map[string]any) {
		m["lo"] = "de"
		m["pw"].(map[string]any)["srp"] = "verifier"
	})
	raw := func() string {
		e, err := Get(ctx, r.Repo, k)
		if err != nil {
			t.Fatal(err)
		}
		return string(e.raw)
	}
	if _, err := r.UpdateUser(ctx, r.pool, ann.Sub, func(u *pool.User) error { u.Name = "Ann"; u.Email = ""; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := raw(); !strings.Contains(got, `"lo":"de"`) || !strings.Contains(got, `"srp":"verifier"`) || strings.Contains(got, "example.com") {
		t.Fatalf("after a rewrite: %s", got)
	}
	if _, err := r.UpdateUser(ctx, r.pool, ann.Sub, func(u *pool.User) error { u.Password.PHC = "$argon2id$two"; return nil }); err != nil {
		t.Fatal(err)
	}
	if got := raw(); !strings.Contains(got, `"lo":"de"`) || strings.Contains(got, "verifier") {
		t.Fatalf("what belonged to the old password was joined to the new one: %s", got)
	}

	keys := SigningKeysKey(r.pool, pool.TokenKeys)
	save := func(v pool.SigningKeys) {
		t.Helper()
		_, err := r.Update(ctx, r.pool, HomePartition(r.pool), func(tx *Tx) error { return Put(tx, keys, v, time.Time{}) })
		if err != nil {
			t.Fatal(err)
		}
	}
	save(pool.SigningKeys{Keys: []pool.SigningKey{{ID: "one"}, {ID: "two"}}})
	rewrite(t, r, keys, func(m map[string]any) { m["k"].([]any)[1].(map[string]any)["kms"] = "arn" })
	save(pool.SigningKeys{Keys: []pool.SigningKey{{ID: "two", Retire: r.clock.Now()}, {ID: "three"}}})
	e, err := Get(ctx, r.Repo, keys)
	if err != nil || strings.Count(string(e.raw), `"kms":"arn"`) != 1 || len(e.Value.Keys) != 2 || e.Value.Keys[0].Retire.IsZero() {
		t.Fatalf("%s, %v", e.raw, err)
	}
	// The structs above say what the rewritten record stands for.
	var newer later
	if got := raw(); json.Unmarshal([]byte(got), &newer) != nil || newer.Locale != "de" {
		t.Fatal(got)
	}
}

// rewrite changes a record's JSON as another build would.
func rewrite[T any](t *testing.T, r *rig, k Key[T], change func(map[string]any)) {
	t.Helper()
	ks, err := r.keyset(t.Context(), k.id)
	if err != nil {
		t.Fatal(err)
	}
	e, err := Get(t.Context(), r.Repo, k)
	if err != nil {
		t.Fatal(err)
	}
	m := map[string]any{}
	if err := json.Unmarshal(e.raw, &m); err != nil {
		t.Fatal(err)
	}
	change(m)
	raw, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	e.raw = raw
	b := ks.batch(e.key.Partition)
	touch(b, e)
	if _, err := r.commit(t.Context(), b.t); err != nil {
		t.Fatal(err)
	}
}

func TestRecordOfAnUnknownFormIsRefused(t *testing.T) {
	r := newRig(t)
	ann := r.create(t, newUser("ann@example.com"))
	for _, v := range []any{2, 0, nil, "1"} {
		k := userKey(r.pool, ann.Sub)
		rewrite(t, r, k, func(m map[string]any) { m["v"] = v })
		if u, err := r.User(t.Context(), r.pool, ann.Sub); err == nil {
			t.Errorf("form %v was read as %+v", v, u)
		}
		// Put it right again past the decoder.
		ks, _ := r.keyset(t.Context(), r.pool)
		entries, err := r.store.Get(t.Context(), k.key)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := ks.open(k.key, entries[0].Value)
		if err != nil {
			t.Fatal(err)
		}
		m := map[string]any{}
		if err := json.Unmarshal(raw, &m); err != nil {
			t.Fatal(err)
		}
		m["v"] = 1
		raw, _ = json.Marshal(m)
		if _, err := r.commit(t.Context(), store.Txn{Partition: k.key.Partition, Writes: []store.Write{{Key: k.key, Value: ks.seal(k.key, raw)}}}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestMovedAndChangedRecordsDoNotOpen(t *testing.T) {
	r, rec := recorded(t)
	ctx := t.Context()
	ann, bob := r.create(t, newUser("ann@example.com")), r.create(t, newUser("bob@example.com"))
	annKey, bobKey := userKey(r.pool, ann.Sub).key, userKey(r.pool, bob.Sub).key
	entries, err := rec.Get(ctx, annKey, bobKey)
	if err != nil {
		t.Fatal(err)
	}
	good := entries[0].Value
	overwrite := func(k store.Key, value []byte, expires time.Time) {
		t.Helper()
		_, err := rec.Commit(ctx, store.Txn{Partition: k.Partition, Writes: []store.Write{{Key: k, Value: value, Expires: expires}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	overwrite(bobKey, good, time.Time{})
	if u, err := r.User(ctx, r.pool, bob.Sub); !errors.Is(err, secret.ErrSealed) {
		t.Fatalf("ann's record was read as bob's: %v, %v", u, err)
	}
	_, err = r.UpdateUser(ctx, r.pool, bob.Sub, func(*pool.User) error { return nil })
	if !errors.Is(err, secret.ErrSealed) {
		t.Fatal(err)
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		overwrite(annKey, bad, time.Time{})
		if _, err := r.User(ctx, r.pool, ann.Sub); err == nil {
			t.Fatalf("byte %d may be changed", i)
		}
	}
	for _, bad := range [][]byte{nil, {1}, {1, 1}, good[:20], append(bytes.Clone(good), 0), []byte(`{"v":1}`)} {
		overwrite(annKey, bad, time.Time{})
		if _, err := r.User(ctx, r.pool, ann.Sub); err == nil {
			t.Fatalf("%x was read", bad)
		}
	}
	overwrite(annKey, good, time.Time{})
	if _, err := r.User(ctx, r.pool, ann.Sub); err != nil {
		t.Fatal(err)
	}

	// The same name in another table and partition.
	end := r.clock.Now().Add(time.Hour)
	_, err = r.Update(ctx, r.pool, 7, func(tx *Tx) error {
		return Put(tx, SessionKey(r.pool, 7, "name"), pool.Session{Sub: ann.Sub}, end)
	})
	if err != nil {
		t.Fatal(err)
	}
	value := rec.last(t, tableSessions).Value
	overwrite(SiteSessionKey(r.pool, 7, "name").key, value, end)
	overwrite(SessionKey(r.pool, 8, "name").key, value, end)
	if _, err := Get(ctx, r.Repo, SiteSessionKey(r.pool, 7, "name")); !errors.Is(err, secret.ErrSealed) {
		t.Fatal(err)
	}
	if _, err := Get(ctx, r.Repo, SessionKey(r.pool, 8, "name")); !errors.Is(err, secret.ErrSealed) {
		t.Fatal(err)
	}
	if e, err := Get(ctx, r.Repo, SessionKey(r.pool, 7, "name")); err != nil || e.Value.Sub != ann.Sub {
		t.Fatal(err)
	}
}

func TestRewrapping(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	ann := r.create(t, newUser("ann@example.com"))
	before, err := r.Secret(ctx, r.pool, "x")
	if err != nil {
		t.Fatal(err)
	}
	with := func(seeds ...byte) *Repo { return New(Config{Directory: r.store, Keys: testKeys(t, seeds...)}) }

	if _, err := with(2).EnsurePool(ctx, "default", issuer); err == nil {
		t.Fatal("a foreign key-encryption key opened the store")
	} else if strings.Contains(err.Error(), "example.com") || fault.TextOf(err) != "" {
		t.Fatal(err)
	}
	if _, err := with(2).User(ctx, r.pool, ann.Sub); err == nil {
		t.Fatal("a foreign key-encryption key opened a user")
	}
	// The new key comes first, the old one still opens.
	both := with(2, 1)
	if _, err := both.EnsurePool(ctx, "default", issuer); err != nil {
		t.Fatal(err)
	}
	// The old one can go.
	only := with(2)
	if _, err := only.EnsurePool(ctx, "default", issuer); err != nil {
		t.Fatal(err)
	}
	if u, err := only.User(ctx, r.pool, ann.Sub); err != nil || u.Email != ann.Email {
		t.Fatal(u, err)
	}
	after, err := only.Secret(ctx, r.pool, "x")
	if err != nil || !bytes.Equal(before, after) {
		t.Fatal("the data key changed", err)
	}
	if _, err := with(1).User(ctx, r.pool, ann.Sub); err == nil {
		t.Fatal("the old key-encryption key still opens the store")
	}
	entries, err := r.store.Get(ctx, dataKeysKey(r.pool))
	if err != nil {
		t.Fatal(err)
	}
	version := entries[0].Version
	if _, err := only.EnsurePool(ctx, "default", issuer); err != nil {
		t.Fatal(err)
	}
	if entries, _ = r.store.Get(ctx, dataKeysKey(r.pool)); entries[0].Version != version {
		t.Fatal("a data key that is not stale was wrapped again")
	}
}

func TestSecondDataKey(t *testing.T) {
	// What a rotation of data keys will need: old records open, new ones are
	// sealed under the newest, names and purposes stay.
	r := newRig(t)
	ann := r.create(t, newUser("ann@example.com"))
	old, err := r.keyset(t.Context(), r.pool)
	if err != nil {
		t.Fatal(err)
	}
	r.remember(r.pool, map[byte][]byte{1: old.root, 2: bytes.Repeat([]byte{9}, 32)})
	if _, err := r.find(t, "ann@example.com"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.UpdateUser(t.Context(), r.pool, ann.Sub, func(u *pool.User) error { u.Name = "Ann"; return nil }); err != nil {
		t.Fatal(err)
	}
	entries, err := r.store.Get(t.Context(), userKey(r.pool, ann.Sub).key)
	if err != nil || entries[0].Value[1] != 2 {
		t.Fatal("the record is not under the newest key", err)
	}
	if u, err := r.find(t, "ann@example.com"); err != nil || u.Name != "Ann" {
		t.Fatal(u, err)
	}
}

// TestNothingPersonalAtRest looks for planted words in everything that was
// ever written, and in the raw files of the embedded store.
func TestNothingPersonalAtRest(t *testing.T) {
	c := newClock()
	dir := t.TempDir()
	s, err := sqlitestore.Open(t.Context(), filepath.Join(dir, "g.db"), sqlitestore.Options{Now: c.Now})
	if err != nil {
		t.Fatal(err)
	}
	rec := &recorder{Store: s}
	r := rigOn(t, rec, c)
	ctx := t.Context()
	ann := newUser("canary-mail@canary-domain.example")
	ann.Username, ann.Phone, ann.Name, ann.Groups = "canary-user", "+4915155512345", "Canary Name", []string{"canary-group"}
	ann.Password = &pool.PasswordEntry{Norm: 1, PHC: "canary-phc"}
	r.create(t, ann)
	if _, err := r.UpdateUser(ctx, r.pool, ann.Sub, func(u *pool.User) error { u.Groups = nil; return nil }); err != nil {
		t.Fatal(err)
	}
	part := UserPartition(r.pool, ann.Sub)
	handle := NewHandle(part)
	_, name, _ := ParseHandle(handle)
	end := c.Now().Add(time.Hour)
	_, err = r.Update(ctx, r.pool, part, func(tx *Tx) error {
		return errors.Join(
			Put(tx, SessionKey(r.pool, part, name), pool.Session{Sub: ann.Sub, ACR: "canary-acr"}, end),
			Put(tx, CodeKey(r.pool, part, name), pool.Code{Nonce: "canary-nonce", RedirectURI: "https://canary-redirect.example"}, end),
			Put(tx, GuessKey(r.pool, ann.Sub, "password", "203.0.113.77"), pool.Guesses{Count: 1}, end),
		)
	})
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	for _, w := range rec.writes {
		raw = append(append(raw, w.Key.Name...), w.Value...)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, b...)
	}
	lower := bytes.ToLower(raw)
	for _, word := range []string{"canary", "15155512345", handle, "203.0.113.77", hex.EncodeToString([]byte("canary"))} {
		if bytes.Contains(lower, []byte(strings.ToLower(word))) {
			t.Errorf("%q lies open in the store", word)
		}
	}
	if !bytes.Contains(raw, []byte(name)) {
		t.Error("the dump misses what was written: the test proves nothing")
	}
}

// types of the records; their member names are the disk format.
func recordTypes() []reflect.Type {
	return []reflect.Type{
		reflect.TypeFor[Identity](), reflect.TypeFor[wrappedKeys](), reflect.TypeFor[pool.User](), reflect.TypeFor[tombstone](),
		reflect.TypeFor[alias](), reflect.TypeFor[pool.Invite](), reflect.TypeFor[pool.FirstUser](), reflect.TypeFor[pool.SigningKeys](),
		reflect.TypeFor[pool.Revocation](), reflect.TypeFor[pool.Session](), reflect.TypeFor[pool.SiteSession](), reflect.TypeFor[pool.Code](),
		reflect.TypeFor[pool.Family](), reflect.TypeFor[pool.Guesses](),
	}
}

func TestMemberNames(t *testing.T) {
	for _, typ := range recordTypes() {
		seen := map[string]string{}
		for f := range typ.Fields() {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			fold := strings.ToLower(name)
			if name == "" || name == "-" || fold == "v" || f.Anonymous {
				t.Errorf("%v.%s: member %q", typ, f.Name, name)
			}
			if other, twice := seen[fold]; twice {
				t.Errorf("%v: %s and %s differ by case only, which decoding does not tell apart", typ, other, f.Name)
			}
			seen[fold] = f.Name
		}
	}
}

func TestTablesAreDeclaredOnce(t *testing.T) {
	seen := map[uint8]bool{}
	for _, table := range []store.Table{
		tablePools, tableDataKeys, tableUsers, tableTombstones, tableAliases, tableInvites, tableFirst, tableSigning,
		tableRevocations, tableSessions, tableSites, tableCodes, tableFamilies, tableUsed, tableGuesses, tableConsents, tableSessionRefs, tableAttempts, tableFamilyRefs,
	} {
		k := store.Key{Table: table, Name: "x"}
		if err := k.Validate(); err != nil || seen[table.ID] || table.MaxValue == 0 {
			t.Errorf("table %d: %v", table.ID, err)
		}
		seen[table.ID] = true
	}
}

func TestKeysTakeAnyName(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	end := r.clock.Now().Add(time.Hour)
	for _, name := range []string{"", strings.Repeat("x", 5000), "\x00\xff", "ok"} {
		k := UsedAttemptKey(r.pool, 3, name)
		if _, err := r.Update(ctx, r.pool, 3, func(tx *Tx) error { return Put(tx, k, struct{}{}, end) }); err != nil {
			t.Fatal(err)
		}
		if e, err := Get(ctx, r.Repo, UsedAttemptKey(r.pool, 3, k.Name())); err != nil || !e.Found {
			t.Errorf("%q is not found by its name again: %v", name, err)
		}
	}
	if _, err := r.User(ctx, r.pool, "nonsense"); !errors.Is(err, fault.NotFound) {
		t.Fatal(err)
	}
}

func TestTypedTransactions(t *testing.T) {
	onBackends(t, func(t *testing.T, r *rig) {
		ctx := t.Context()
		k := CodeKey(r.pool, 5, "code")
		end := store.Millis(r.clock.Now().Add(time.Minute))
		before, err := Get(ctx, r.Repo, k)
		if err != nil || before.Found || before.Version != 0 || before.Epoch == 0 {
			t.Fatalf("%+v, %v", before, err)
		}
		receipt, err := r.Update(ctx, r.pool, 5, func(tx *Tx) error {
			if !tx.Now().Equal(r.clock.Now()) {
				t.Error("not the store's time")
			}
			tx.FenceEpoch(before.Epoch)
			if err := Put(tx, k, pool.Code{Client: "shop"}, end); err != nil {
				return err
			}
			pending, err := Read(tx, k)
			if err != nil || !pending.Found || pending.Value.Client != "shop" {
				t.Errorf("a pending write does not show: %+v, %v", pending, err)
			}
			return Put(tx, k, pool.Code{Client: "shop2"}, end)
		})
		if err != nil {
			t.Fatal(err)
		}
		e, err := Get(ctx, r.Repo, k)
		if err != nil || e.Value.Client != "shop2" || e.Version != receipt.Version || !e.Expires.Equal(end) || e.Epoch != before.Epoch {
			t.Fatalf("%+v, %v", e, err)
		}
		_, err = r.Update(ctx, r.pool, 5, func(tx *Tx) error { tx.FenceEpoch(before.Epoch + 1); Delete(tx, k); return nil })
		if !errors.Is(err, store.ErrEpoch) || !errors.Is(err, fault.Conflict) {
			t.Fatal(err)
		}
		mine := errors.New("mine")
		if _, err := r.Update(ctx, r.pool, 5, func(tx *Tx) error { Delete(tx, k); return mine }); err != mine {
			t.Fatal(err)
		}
		if _, err := r.Update(ctx, r.pool, 5, func(tx *Tx) error { Delete(tx, k); return nil }); err != nil {
			t.Fatal(err)
		}
		if e, err := Get(ctx, r.Repo, k); err != nil || e.Found {
			t.Fatal(e, err)
		}
		if err := r.store.Close(); err != nil {
			t.Fatal(err)
		}
		_, err = Get(ctx, r.Repo, k)
		wantCode(t, err, fault.Unavailable)
		_, err = r.Update(ctx, r.pool, 5, func(tx *Tx) error { return Put(tx, k, pool.Code{}, end) })
		wantCode(t, err, fault.Unavailable)
		wantCode(t, r.CreateUser(ctx, r.pool, newUser("ann@example.com")), fault.Unavailable)
	})
}

func TestHandles(t *testing.T) {
	seen := map[string]bool{}
	for p := range store.Partitions {
		h := NewHandle(store.Partition(p))
		got, name, ok := ParseHandle(h)
		if !ok || got != store.Partition(p) || len(h) != 44 || name == h || strings.Contains(name, h) || seen[h] {
			t.Fatalf("%q: %d, %q, %v", h, got, name, ok)
		}
		seen[h] = true
	}
	h := NewHandle(1)
	for _, bad := range []string{"", "x", h[:43], h + "A", h + "=", h[:43] + "\n", " " + h[1:], strings.Repeat("=", 44), strings.Repeat("/", 44), strings.Repeat("\n", 44), h[:42] + "\r\n", h[:43] + "="} {
		if _, _, ok := ParseHandle(bad); ok {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzParseHandle(f *testing.F) {
	f.Add(NewHandle(0))
	f.Add("")
	f.Add(strings.Repeat("A", 44))
	f.Fuzz(func(t *testing.T, s string) {
		p, name, ok := ParseHandle(s)
		if !ok {
			if name != "" || p != 0 {
				t.Fatal("a refused handle has a place")
			}
			return
		}
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil || base64.RawURLEncoding.EncodeToString(b) != s || store.Partition(b[0]) != p || len(name) != 43 {
			t.Fatalf("%q: %d %q", s, p, name)
		}
	})
}

func FuzzOpenRecord(f *testing.F) {
	keys := newKeyset("xx-edge-1_AbC123xyz", map[byte][]byte{1: bytes.Repeat([]byte{1}, 32)})
	k := userKey("xx-edge-1_AbC123xyz", "6f9619ff-8b86-4011-b42d-00c04fc964ff").key
	f.Add([]byte(`{"v":1,"s":"x"}`))
	f.Add([]byte{1, 1, 2})
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := keys.open(k, b); err == nil {
			t.Fatal("forged")
		}
		// As if somebody had the key: junk must be an error, never a panic.
		if _, err := typed[pool.User](keys, store.Entry{Key: k, Version: 1, Value: keys.seal(k, b)}); err == nil {
			if _, err := encode(pool.User{}, b); err != nil {
				t.Fatal(err)
			}
		}
	})
}

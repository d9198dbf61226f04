package repo

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gatehouse-auth/gatehouse/authcore/jose"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/store"
	"github.com/gatehouse-auth/gatehouse/store/memstore"
)

var update = flag.Bool("update", false, "write golden files that are missing; those that exist are never changed")

// golden is one stored record: the bytes as they lie in the store, and what
// they say. A file, once released, is never changed: it must load for ever.
type golden struct {
	Partition store.Partition `json:"partition"`
	Table     uint8           `json:"table"`
	Name      []byte          `json:"name"`
	Value     []byte          `json:"value"`
	Expires   time.Time       `json:"expires,omitzero"`
	Plain     json.RawMessage `json:"plain"` // for the reader; the test compares with Go values
}

const (
	goldenPool pool.ID     = "xx-edge-1_Golden001"
	goldenSub  pool.UserID = "6f9619ff-8b86-4011-b42d-00c04fc964ff"
)

var (
	goldenTime = time.Date(2026, 11, 24, 12, 0, 0, 123456789, time.UTC)
	goldenEnd  = time.Date(2999, 1, 1, 0, 0, 0, 0, time.UTC)
)

// record is one golden record: how to write it and how to read it back.
type record struct {
	name  string
	id    pool.ID
	table store.Table
	write func(*testing.T, *Repo) store.Key
	read  func(*testing.T, *Repo) // fails unless the record says what it must
}

func goldenRecord[T any](name string, k Key[T], v T, expires time.Time) record {
	rec := record{name: name, id: k.id, table: k.key.Table}
	rec.write = func(t *testing.T, r *Repo) store.Key {
		_, err := r.Update(t.Context(), k.id, k.key.Partition, func(tx *Tx) error { return Put(tx, k, v, expires) })
		if err != nil {
			t.Fatal(err)
		}
		ks, err := r.keyset(t.Context(), k.id)
		if err != nil {
			t.Fatal(err)
		}
		return k.at(ks)
	}
	rec.read = func(t *testing.T, r *Repo) {
		e, err := Get(t.Context(), r, k)
		if err != nil || !e.Found {
			t.Fatalf("found %v, %v", e.Found, err)
		}
		if diff := cmp.Diff(v, e.Value); diff != "" {
			t.Fatalf("it says something else now (-want +got):\n%s", diff)
		}
		// And it says the same after this build wrote it again.
		rec.write(t, r)
		if e, err = Get(t.Context(), r, k); err != nil || !cmp.Equal(v, e.Value) {
			t.Fatal(e.Value, err)
		}
	}
	return rec
}

func goldenRecords() []record {
	part := UserPartition(goldenPool, goldenSub)
	lists := func(s ...string) []string { return s }
	return []record{
		goldenRecord("identity", identityKey("golden"), Identity{goldenPool, "golden", issuer}, time.Time{}),
		goldenRecord("user", userKey(goldenPool, goldenSub), pool.User{
			Sub: goldenSub, Username: "ann", Email: "ann@example.com", EmailVerified: true, Phone: "+49151234567", PhoneVerified: true,
			Name: "Ann Example", Groups: lists("staff", "operators"), Status: pool.Confirmed, Disabled: true, Epoch: 7,
			Password: &pool.PasswordEntry{Norm: 1, PHC: "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA", Set: goldenTime}, Created: goldenTime, Updated: goldenTime.Add(time.Hour),
		}, time.Time{}),
		goldenRecord("tombstone", tombstoneKey(goldenPool, goldenSub), tombstone{Made: goldenTime}, goldenEnd),
		goldenRecord("alias", newKey[alias](tableAliases, goldenPool, 9, "0123456789abcdef"), alias{Sub: goldenSub, Pending: true, Lease: goldenTime, Owner: 42}, time.Time{}),
		goldenRecord("invite", InviteKey(goldenPool, part, "invite-name"), pool.Invite{Sub: goldenSub, Epoch: 7}, goldenEnd),
		goldenRecord("first-user", FirstUserKey(goldenPool), pool.FirstUser{Sub: goldenSub, Link: "link-hash", Claimed: true}, goldenEnd),
		goldenRecord("signing-keys", SigningKeysKey(goldenPool, pool.TokenKeys), pool.SigningKeys{Keys: []pool.SigningKey{
			{ID: "kid-1", Alg: jose.ES256, Private: []byte(`{"kty":"EC"}`), Created: goldenTime, SignFrom: goldenTime.Add(time.Hour), Retire: goldenEnd},
			{ID: "kid-2", Alg: jose.RS256, Private: []byte(`{"kty":"RSA"}`), Created: goldenTime, SignFrom: goldenTime.Add(time.Hour)},
		}}, time.Time{}),
		goldenRecord("revocation", revocationKey(goldenPool, goldenSub), pool.Revocation{Sub: goldenSub, Epoch: 7, Groups: lists("staff"), Gone: true}, goldenEnd),
		goldenRecord("family-revocation", FamilyRevocationKey(goldenPool, goldenSub, "origin"), pool.Revocation{Sub: goldenSub, OriginJTI: "origin"}, goldenEnd),
		goldenRecord("session", SessionKey(goldenPool, part, "session-name"), pool.Session{
			Sub: goldenSub, Epoch: 7, AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), Created: goldenTime, Used: goldenTime.Add(time.Minute), Families: lists("origin"),
		}, goldenEnd),
		goldenRecord("site-session", SiteSessionKey(goldenPool, part, "site-name"), pool.SiteSession{
			Sub: goldenSub, Parent: "session-name", Client: "site:https://app.example.com", Epoch: 7, AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), Created: goldenTime, Used: goldenTime.Add(time.Minute),
		}, goldenEnd),
		goldenRecord("code", CodeKey(goldenPool, part, "code-name"), pool.Code{
			Client: "shop", RedirectURI: "https://shop.example.com/cb", Challenge: "challenge", Nonce: "nonce", Scopes: lists("openid", "orders.read"), Resources: lists("https://orders.example.com"),
			Sub: goldenSub, Session: "session-name", Epoch: 7, AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), Family: "family-name", Used: true,
		}, goldenEnd),
		goldenRecord("family", FamilyKey(goldenPool, part, "family-name"), pool.Family{
			Client: "shop", Sub: goldenSub, Session: "session-name", OriginJTI: "origin", Key: []byte("0123456789abcdef0123456789abcdef"), Gen: 3, Rotated: goldenTime, StoreEp: 2,
			Scopes: lists("openid"), Resources: lists("https://orders.example.com"), Nonce: "nonce", Epoch: 7, AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), Refresh: true, Dead: true, Expires: goldenEnd,
		}, goldenEnd),
		goldenRecord("used-attempt", UsedAttemptKey(goldenPool, part, "attempt"), struct{}{}, goldenEnd),
		goldenRecord("guesses", GuessKey(goldenPool, goldenSub, "password", "203.0.113.7"), pool.Guesses{Count: 3, First: goldenTime, Last: goldenTime.Add(time.Minute)}, goldenEnd),
		goldenRecord("user-claims", userKey(goldenPool, goldenSub), pool.User{
			Sub: goldenSub, Username: "ann", Name: "Ann Example", Claims: map[string]string{"given_name": "Ann", "address": "1 High Street"},
			Status: pool.MustChangePassword, Created: goldenTime, Updated: goldenTime,
		}, time.Time{}),
		goldenRecord("session-place", SessionKey(goldenPool, part, "session-name"), pool.Session{
			Sub: goldenSub, AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), Created: goldenTime, Used: goldenTime, Address: "203.0.113.7", Agent: "Mozilla/5.0",
		}, goldenEnd),
		goldenRecord("session-replaced", SessionKey(goldenPool, part, "session-name"), pool.Session{
			Sub: goldenSub, AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), Created: goldenTime, Used: goldenTime, Earlier: lists("session-before"), Replaced: "session-after",
		}, goldenEnd),
		goldenRecord("code-claims", CodeKey(goldenPool, part, "code-name"), pool.Code{
			Client: "shop", RedirectURI: "https://shop.example.com/cb", Scopes: lists("openid"), Sub: goldenSub, Session: "session-name",
			AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), IDClaims: lists("name"), InfoClaims: lists("email"),
		}, goldenEnd),
		goldenRecord("family-claims", FamilyKey(goldenPool, part, "family-name"), pool.Family{
			Client: "shop", Sub: goldenSub, Session: "session-name", OriginJTI: "origin", Key: []byte("0123456789abcdef0123456789abcdef"), Rotated: goldenTime,
			Scopes: lists("openid"), AuthTime: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), IDClaims: lists("name"), InfoClaims: lists("email"), Expires: goldenEnd,
		}, goldenEnd),
		goldenRecord("consent", ConsentKey(goldenPool, goldenSub, "shop", "shop.example.com", "https://orders.example.com"), pool.Consent{
			Client: "shop", Host: "shop.example.com", Resource: "https://orders.example.com", Scopes: lists("openid", "orders.read"), At: goldenTime,
		}, time.Time{}),
		goldenRecord("session-ref", SessionRefKey(goldenPool, goldenSub, "session-name"), struct{}{}, goldenEnd),
		goldenRecord("family-ref", FamilyRefKey(goldenPool, goldenSub, "shop", "family-name"), struct{}{}, goldenEnd),
		goldenRecord("attempt", AttemptKey(goldenPool, part, "attempt-name"), pool.Attempt{
			ID: "attempt", Place: "place-hash", Sub: goldenSub, Epoch: 7, At: goldenTime, ACR: pool.AAL1, AMR: lists("pwd"), Step: "change_password",
		}, goldenEnd),
	}
}

const goldenDir = "testdata/v1"

// TestGoldenRecords loads every kind of record of version 1 from the bytes
// that were stored then, the wrapped data keys included.
func TestGoldenRecords(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	s := memstore.New(memstore.Options{Now: newClock().Now})
	r := New(Config{Directory: s, Keys: testKeys(t, 1)})
	for _, name := range []string{"data-keys", "data-keys-system"} {
		plant(t, s, name)
	}
	records := goldenRecords()
	for _, rec := range records {
		t.Run(rec.name, func(t *testing.T) {
			plant(t, s, rec.name)
			rec.read(t, r)
		})
	}
	files, err := filepath.Glob(filepath.Join(goldenDir, "*.json"))
	if err != nil || len(files) != len(records)+2 {
		t.Fatalf("%d golden files for %d records and 2 sets of data keys: a file was removed, or one has no test", len(files), len(records))
	}
}

// TestEveryTableHasGoldenFiles keeps a new table from going without.
func TestEveryTableHasGoldenFiles(t *testing.T) {
	have := []uint8{tableDataKeys.ID}
	for _, rec := range goldenRecords() {
		have = append(have, rec.table.ID)
	}
	for id := range newKeyset(goldenPool, map[byte][]byte{1: make([]byte, 32)}).seals[1] {
		if !slices.Contains(have, id) {
			t.Errorf("table %d has no golden file", id)
		}
	}
}

// plant puts a golden file's bytes where they were.
func plant(t *testing.T, s store.Store, name string) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(goldenDir, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var g golden
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	k := store.Key{Partition: g.Partition, Table: tableByID(t, g.Table), Name: string(g.Name)}
	_, err = s.Commit(t.Context(), store.Txn{Partition: g.Partition, Writes: []store.Write{{Key: k, Value: g.Value, Expires: g.Expires}}})
	if err != nil {
		t.Fatal(err)
	}
}

func tableByID(t *testing.T, id uint8) store.Table {
	t.Helper()
	for _, rec := range goldenRecords() {
		if rec.table.ID == id {
			return rec.table
		}
	}
	if id == tableDataKeys.ID {
		return tableDataKeys
	}
	t.Fatalf("table %d is gone", id)
	return store.Table{}
}

// writeGolden adds the files that are missing, under the data keys of those
// that are there.
func writeGolden(t *testing.T) {
	s := memstore.New(memstore.Options{Now: newClock().Now})
	r := New(Config{Directory: s, Keys: testKeys(t, 1)})
	if err := os.MkdirAll(goldenDir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, id := range map[string]pool.ID{"data-keys-system": systemPool, "data-keys": goldenPool} {
		if _, err := os.Stat(filepath.Join(goldenDir, name+".json")); err == nil {
			plant(t, s, name)
			continue
		}
		if _, err := r.ensureKeys(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		save(t, r, s, name, id, dataKeysKey(id))
	}
	for _, rec := range goldenRecords() {
		if _, err := os.Stat(filepath.Join(goldenDir, rec.name+".json")); err == nil {
			continue
		}
		save(t, r, s, rec.name, rec.id, rec.write(t, r))
	}
}

func save(t *testing.T, r *Repo, s store.Store, name string, id pool.ID, k store.Key) {
	t.Helper()
	entries, err := s.Get(t.Context(), k)
	if err != nil || entries[0].Version == 0 {
		t.Fatal(name, err)
	}
	e := entries[0]
	plain := json.RawMessage(e.Value)
	if k.Table.ID != tableDataKeys.ID {
		ks, err := r.keyset(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err = ks.open(k, e.Value); err != nil {
			t.Fatal(err)
		}
	}
	raw, err := json.MarshalIndent(golden{k.Partition, k.Table.ID, []byte(k.Name), e.Value, e.Expires, plain}, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(goldenDir, name+".json"), append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

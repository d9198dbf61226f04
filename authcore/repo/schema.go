package repo

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/store"
)

// The tables. They are the disk format: see the package doc.
var (
	tablePools       = store.Table{ID: 1, Kind: store.Directory, Listed: true, Expiry: store.NeverExpires, MaxValue: 4 << 10}
	tableDataKeys    = store.Table{ID: 2, Kind: store.Directory, Expiry: store.NeverExpires, MaxValue: 16 << 10}
	tableUsers       = store.Table{ID: 3, Kind: store.Directory, Listed: true, Expiry: store.NeverExpires, MaxValue: 64 << 10}
	tableTombstones  = store.Table{ID: 4, Kind: store.Directory, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	tableAliases     = store.Table{ID: 5, Kind: store.Directory, Expiry: store.NeverExpires, MaxValue: 1 << 10}
	tableInvites     = store.Table{ID: 6, Kind: store.Directory, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	tableFirst       = store.Table{ID: 7, Kind: store.Directory, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	tableSigning     = store.Table{ID: 8, Kind: store.Directory, Expiry: store.NeverExpires, MaxValue: 64 << 10}
	tableRevocations = store.Table{ID: 9, Kind: store.Directory, Listed: true, Expiry: store.AlwaysExpires, MaxValue: 16 << 10}
	tableConsents    = store.Table{ID: 10, Kind: store.Directory, Listed: true, Expiry: store.NeverExpires, MaxValue: 16 << 10}
	tableSessions    = store.Table{ID: 16, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 16 << 10}
	tableSites       = store.Table{ID: 17, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 16 << 10}
	tableCodes       = store.Table{ID: 18, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 16 << 10}
	tableFamilies    = store.Table{ID: 19, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 16 << 10}
	tableUsed        = store.Table{ID: 20, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	tableGuesses     = store.Table{ID: 21, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	tableSessionRefs = store.Table{ID: 22, Kind: store.Session, Listed: true, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	tableFamilyRefs  = store.Table{ID: 24, Kind: store.Session, Listed: true, Expiry: store.AlwaysExpires, MaxValue: 1 << 10}
	tableAttempts    = store.Table{ID: 23, Kind: store.Session, Expiry: store.AlwaysExpires, MaxValue: 4 << 10}
)

// tagLen is the length of a pool's tag in bytes.
const tagLen = 8

// systemPool is the pool id under which the list of pools lies.
const systemPool pool.ID = ""

// RevocationLife is how long a revocation entry lives; no access token may live longer.
const RevocationLife = pool.MaxAccess

// Key is the typed key of an entry. The constructors below are the only ones.
type Key[T any] struct {
	key   store.Key
	id    pool.ID
	blind string // if set, the name is the HMAC of it, made when the key is used
}

// Name is the last part of the key, as other records refer to it. It is empty
// for keys that nothing refers to (GuessKey).
func (k Key[T]) Name() string {
	if k.blind != "" {
		return ""
	}
	return k.key.Name[tagLen:]
}

func newKey[T any](t store.Table, id pool.ID, p store.Partition, name string) Key[T] {
	return Key[T]{key: store.Key{Partition: p, Table: t, Name: tagOf(id) + name}, id: id}
}

func tagOf(id pool.ID) string {
	sum := sha256.Sum256([]byte(id))
	return string(sum[:tagLen])
}

// maxPart is the longest last part of a name that is kept as it is.
const maxPart = 120

// part makes any string fit for a name: what could not be one of ours is
// replaced by its hash. It is idempotent.
func part(s string) string {
	if len(s) > 0 && len(s) <= maxPart {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// rawSub returns the 16 bytes of a sub, or the hash of what is none.
func rawSub(sub pool.UserID) string {
	b, err := hex.DecodeString(strings.ReplaceAll(string(sub), "-", ""))
	if err != nil || !sub.Valid() {
		sum := sha256.Sum256([]byte(sub))
		return string(sum[:])
	}
	return string(b)
}

// UserPartition is where a user and all that belongs to the user lies.
func UserPartition(id pool.ID, sub pool.UserID) store.Partition {
	sum := sha256.Sum256([]byte(string(id) + "\x00" + string(sub)))
	return store.Partition(sum[0])
}

// HomePartition is where a pool's own objects lie.
func HomePartition(id pool.ID) store.Partition {
	sum := sha256.Sum256([]byte(id))
	return store.Partition(sum[0])
}

func identityKey(name string) Key[Identity] {
	return newKey[Identity](tablePools, systemPool, HomePartition(systemPool), part(name))
}

func dataKeysKey(id pool.ID) store.Key {
	return store.Key{Partition: HomePartition(id), Table: tableDataKeys, Name: tagOf(id) + "dk"}
}

func userKey(id pool.ID, sub pool.UserID) Key[pool.User] {
	return newKey[pool.User](tableUsers, id, UserPartition(id, sub), rawSub(sub))
}

func tombstoneKey(id pool.ID, sub pool.UserID) Key[tombstone] {
	return newKey[tombstone](tableTombstones, id, UserPartition(id, sub), rawSub(sub))
}

func revocationKey(id pool.ID, sub pool.UserID) Key[pool.Revocation] {
	return newKey[pool.Revocation](tableRevocations, id, UserPartition(id, sub), "u"+rawSub(sub))
}

// SessionKey is an SSO session, under the hash of its handle.
func SessionKey(id pool.ID, p store.Partition, name string) Key[pool.Session] {
	return newKey[pool.Session](tableSessions, id, p, part(name))
}

// SessionRefKey lists an SSO session under its user; it lives as long as the session.
func SessionRefKey(id pool.ID, sub pool.UserID, name string) Key[struct{}] {
	return newKey[struct{}](tableSessionRefs, id, UserPartition(id, sub), rawSub(sub)+part(name))
}

// AttemptKey is a stored attempt, under the hash of its handle.
func AttemptKey(id pool.ID, p store.Partition, name string) Key[pool.Attempt] {
	return newKey[pool.Attempt](tableAttempts, id, p, part(name))
}

// ConsentKey is what a user lets a client have at one redirect host and resource.
func ConsentKey(id pool.ID, sub pool.UserID, client pool.ClientID, host, resource string) Key[pool.Consent] {
	sum := sha256.Sum256([]byte(string(client) + "\x00" + host + "\x00" + resource))
	return newKey[pool.Consent](tableConsents, id, UserPartition(id, sub), rawSub(sub)+string(sum[:16]))
}

// SiteSessionKey is a site session, under the hash of its handle.
func SiteSessionKey(id pool.ID, p store.Partition, name string) Key[pool.SiteSession] {
	return newKey[pool.SiteSession](tableSites, id, p, part(name))
}

// CodeKey is an authorization code, under the hash of its handle.
func CodeKey(id pool.ID, p store.Partition, name string) Key[pool.Code] {
	return newKey[pool.Code](tableCodes, id, p, part(name))
}

// FamilyKey is a refresh family.
func FamilyKey(id pool.ID, p store.Partition, name string) Key[pool.Family] {
	return newKey[pool.Family](tableFamilies, id, p, part(name))
}

// FamilyRefKey lists a refresh family under its user and client; it lives as
// long as the family.
func FamilyRefKey(id pool.ID, sub pool.UserID, client pool.ClientID, name string) Key[struct{}] {
	return newKey[struct{}](tableFamilyRefs, id, UserPartition(id, sub), rawSub(sub)+clientPart(client)+part(name))
}

// clientPart stands for a client within a name.
func clientPart(client pool.ClientID) string {
	sum := sha256.Sum256([]byte(client))
	return string(sum[:16])
}

// UsedAttemptKey marks an attempt that has succeeded.
func UsedAttemptKey(id pool.ID, p store.Partition, attempt string) Key[struct{}] {
	return newKey[struct{}](tableUsed, id, p, part(attempt))
}

// WithdrawnKey marks that what a client was given for a user was taken back:
// codes that are older buy nothing any more.
func WithdrawnKey(id pool.ID, sub pool.UserID, client pool.ClientID) Key[struct{}] {
	return newKey[struct{}](tableUsed, id, UserPartition(id, sub), "w"+rawSub(sub)+clientPart(client))
}

// GuessKey counts guesses of one kind ("password") for a user or stand-in;
// scope tells counters apart ("" the account's, else a client address).
func GuessKey(id pool.ID, sub pool.UserID, kind, scope string) Key[pool.Guesses] {
	k := newKey[pool.Guesses](tableGuesses, id, UserPartition(id, sub), "")
	k.blind = "guess\x00" + string(sub) + "\x00" + kind + "\x00" + scope
	return k
}

// InviteKey is a directory entry with expiry, under the hash of the link's handle.
func InviteKey(id pool.ID, p store.Partition, name string) Key[pool.Invite] {
	return newKey[pool.Invite](tableInvites, id, p, part(name))
}

// FirstUserKey is a directory entry with expiry in the home partition.
func FirstUserKey(id pool.ID) Key[pool.FirstUser] {
	return newKey[pool.FirstUser](tableFirst, id, HomePartition(id), "first")
}

// SigningKeysKey is a directory entry in the home partition.
func SigningKeysKey(id pool.ID, use pool.KeyUse) Key[pool.SigningKeys] {
	return newKey[pool.SigningKeys](tableSigning, id, HomePartition(id), part(string(use)))
}

// FamilyRevocationKey is a directory entry with expiry in the user's partition.
func FamilyRevocationKey(id pool.ID, sub pool.UserID, originJTI string) Key[pool.Revocation] {
	sum := sha256.Sum256([]byte(originJTI))
	return newKey[pool.Revocation](tableRevocations, id, UserPartition(id, sub), "f"+rawSub(sub)+string(sum[:16]))
}

// tombstone stands where a user was, or where a slow creator wanted to put
// one, and refuses both the sub.
type tombstone struct {
	Made time.Time `json:"t"`
}

// encodedHash names a thing by the hash of its secret.
func encodedHash(s string) string {
	sum := sha256.Sum256([]byte("gatehouse handle\x00" + s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

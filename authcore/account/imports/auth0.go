package imports

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
)

// auth0User is a user of Auth0's export, or of a file for its bulk import.
type auth0User struct {
	Email         string          `json:"email"`
	EmailVerified bool            `json:"email_verified"`
	Username      string          `json:"username"`
	Phone         string          `json:"phone_number"`
	PhoneVerified bool            `json:"phone_verified"`
	Name          string          `json:"name"`
	GivenName     string          `json:"given_name"`
	FamilyName    string          `json:"family_name"`
	Nickname      string          `json:"nickname"`
	Picture       string          `json:"picture"`
	Blocked       bool            `json:"blocked"`
	CreatedAt     json.RawMessage `json:"created_at"`
	PasswordHash  string          `json:"passwordHash"`  // the export's name
	Hash          string          `json:"password_hash"` // the bulk import's
	Custom        *auth0Hash      `json:"custom_password_hash"`
}

// auth0Hash is the custom_password_hash of a bulk import.
type auth0Hash struct {
	Algorithm string `json:"algorithm"`
	Hash      struct {
		Value    string `json:"value"`
		Encoding string `json:"encoding"`
	} `json:"hash"`
	Salt struct {
		Value    string `json:"value"`
		Encoding string `json:"encoding"`
		Position string `json:"position"`
	} `json:"salt"`
	Cost            int `json:"cost"`
	BlockSize       int `json:"blockSize"`
	Parallelization int `json:"parallelization"`
}

// auth0Record reads a user of Auth0's.
func auth0Record(raw []byte) (account.Record, error) {
	var u auth0User
	if err := json.Unmarshal(raw, &u); err != nil {
		return account.Record{}, inWords(err)
	}
	rec := account.Record{
		Email: u.Email, EmailVerified: u.EmailVerified, Phone: u.Phone, PhoneVerified: u.PhoneVerified, Name: u.Name, Disabled: u.Blocked,
		Hash: u.PasswordHash, Created: auth0Time(u.CreatedAt),
	}
	if rec.Hash == "" {
		rec.Hash = u.Hash
	}
	if strings.EqualFold(rec.Name, rec.Email) {
		rec.Name = "" // Auth0 fills it in
	}
	for name, value := range map[string]string{"given_name": u.GivenName, "family_name": u.FamilyName, "nickname": u.Nickname, "picture": u.Picture} {
		claim(&rec, name, value)
	}
	named(&rec, u.Username)
	if u.Custom == nil {
		return rec, nil
	}
	if rec.Hash != "" {
		return rec, errors.New("there are two passwords")
	}
	var err error
	rec.Hash, err = u.Custom.hash()
	return rec, err
}

// auth0Time reads a time, in either of the two ways in which exports write it; zero if there is none.
func auth0Time(raw json.RawMessage) time.Time {
	var plain time.Time
	if json.Unmarshal(raw, &plain) == nil {
		return plain
	}
	var wrapped struct {
		Date time.Time `json:"$date"`
	}
	_ = json.Unmarshal(raw, &wrapped) // stays zero
	return wrapped.Date
}

// hash writes a custom hash as one string.
func (h *auth0Hash) hash() (string, error) {
	switch h.Algorithm {
	case "argon2", "bcrypt", "ldap", "pbkdf2":
		return h.Hash.Value, nil
	}
	value, err := bytesOf(h.Hash.Value, h.Hash.Encoding)
	if err != nil {
		return "", err
	}
	salt, err := bytesOf(h.Salt.Value, h.Salt.Encoding)
	if err != nil {
		return "", err
	}
	switch h.Algorithm {
	case "md5", "sha1", "sha256", "sha512":
		position := h.Salt.Position
		if position == "" {
			position = "prefix"
		}
		b64 := base64.StdEncoding
		return "$salted$" + h.Algorithm + "$" + position + "$" + b64.EncodeToString(salt) + "$" + b64.EncodeToString(value), nil
	case "scrypt":
		return fmt.Sprintf("%d$%d$%d$%x$%x", h.Cost, h.BlockSize, h.Parallelization, salt, value), nil
	}
	return "", errHash
}

// bytesOf reads a value in its encoding.
func bytesOf(value, encoding string) ([]byte, error) {
	damaged := errors.New("the custom_password_hash is damaged")
	switch encoding {
	case "hex":
		if b, err := hex.DecodeString(value); err == nil {
			return b, nil
		}
	case "base64":
		if b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(value, "=")); err == nil {
			return b, nil
		}
	case "utf8", "":
		return []byte(value), nil
	}
	return nil, damaged
}

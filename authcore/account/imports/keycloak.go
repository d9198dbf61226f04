package imports

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
)

// keycloakUser is a user of a realm's export, as far as it is kept.
type keycloakUser struct {
	ID            string               `json:"id"`
	Username      string               `json:"username"`
	Email         string               `json:"email"`
	EmailVerified bool                 `json:"emailVerified"`
	Enabled       *bool                `json:"enabled"`
	Created       int64                `json:"createdTimestamp"` // milliseconds
	FirstName     string               `json:"firstName"`
	LastName      string               `json:"lastName"`
	Attributes    map[string][]string  `json:"attributes"`
	Credentials   []keycloakCredential `json:"credentials"`
	Actions       []string             `json:"requiredActions"`
	Groups        []string             `json:"groups"`
}

type keycloakCredential struct {
	Type           string `json:"type"`
	SecretData     string `json:"secretData"`
	CredentialData string `json:"credentialData"`
	// Before version 8:
	HashedSaltedValue string `json:"hashedSaltedValue"`
	Salt              string `json:"salt"`
	HashIterations    int    `json:"hashIterations"`
	Algorithm         string `json:"algorithm"`
}

// keycloakRecord reads a user of Keycloak's.
func keycloakRecord(raw []byte) (account.Record, error) {
	var u keycloakUser
	if err := json.Unmarshal(raw, &u); err != nil {
		return account.Record{}, inWords(err)
	}
	rec := account.Record{
		Sub: u.ID, Email: u.Email, EmailVerified: u.EmailVerified, Disabled: u.Enabled != nil && !*u.Enabled,
		Name: strings.TrimSpace(u.FirstName + " " + u.LastName),
	}
	if u.Created > 0 {
		rec.Created = time.UnixMilli(u.Created).UTC()
	}
	claim(&rec, "given_name", u.FirstName)
	claim(&rec, "family_name", u.LastName)
	for _, from := range []string{"phoneNumber", "phone_number"} {
		if values := u.Attributes[from]; len(values) > 0 {
			rec.Phone = values[0]
		}
	}
	if values := u.Attributes["phoneNumberVerified"]; len(values) > 0 {
		rec.PhoneVerified = values[0] == "true"
	}
	for _, name := range []string{"locale", "zoneinfo", "birthdate", "gender", "nickname", "picture", "website"} {
		if values := u.Attributes[name]; len(values) > 0 {
			claim(&rec, name, values[0])
		}
	}
	for _, g := range u.Groups {
		rec.Groups = append(rec.Groups, strings.TrimPrefix(g, "/"))
	}
	named(&rec, u.Username)
	return rec, u.password(&rec)
}

// password takes over the one credential that is a password.
func (u *keycloakUser) password(rec *account.Record) (err error) {
	for _, c := range u.Credentials {
		if c.Type != "password" {
			continue
		}
		if rec.Hash != "" {
			return errors.New("there are two passwords")
		}
		if rec.Hash, err = c.hash(); err != nil {
			return err
		}
	}
	for _, action := range u.Actions {
		if action == "UPDATE_PASSWORD" && rec.Hash != "" {
			rec.Status = "must_change_password"
		}
	}
	return nil
}

// hash writes the credential as one string.
func (c *keycloakCredential) hash() (string, error) {
	var secret struct{ Value, Salt string }
	var data struct {
		HashIterations       int                 `json:"hashIterations"`
		Algorithm            string              `json:"algorithm"`
		AdditionalParameters map[string][]string `json:"additionalParameters"`
	}
	secret.Value, secret.Salt = c.HashedSaltedValue, c.Salt
	data.HashIterations, data.Algorithm = c.HashIterations, c.Algorithm
	for text, into := range map[string]any{c.SecretData: &secret, c.CredentialData: &data} {
		if text != "" && json.Unmarshal([]byte(text), into) != nil {
			return "", errors.New("the password credential is damaged")
		}
	}
	tail := "$" + secret.Salt + "$" + secret.Value
	switch data.Algorithm {
	case "pbkdf2", "pbkdf2-sha1":
		return "$pbkdf2$" + strconv.Itoa(data.HashIterations) + tail, nil
	case "pbkdf2-sha256", "pbkdf2-sha512":
		return "$" + data.Algorithm + "$" + strconv.Itoa(data.HashIterations) + tail, nil
	case "argon2":
		one := func(name string) string { return strings.Join(data.AdditionalParameters[name], "") }
		if one("version") != "1.3" || one("type") == "d" {
			return "", errHash
		}
		return "$argon2" + one("type") + "$v=19$m=" + one("memory") + ",t=" + strconv.Itoa(data.HashIterations) + ",p=" + one("parallelism") + tail, nil
	case "bcrypt":
		return secret.Value, nil
	}
	return "", errHash
}

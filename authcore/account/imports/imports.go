// Package imports reads users from files: our own and those that other systems
// export. It knows their shapes and nothing of the store; whether a user will
// do is account's to say. No error holds anything of a hash.
package imports

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"regexp"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// The formats.
const (
	NDJSON     = "ndjson"
	CognitoCSV = "cognito-csv"
	Keycloak   = "keycloak"
	Auth0      = "auth0"
	Firebase   = "firebase"
)

// Formats lists them.
func Formats() []string { return []string{NDJSON, CognitoCSV, Keycloak, Auth0, Firebase} }

// Options says what a file does not.
type Options struct {
	Format     string
	HashConfig string   // Firebase: the project's hash parameters, as its console shows them
	Drop       []string // CSV: columns to leave out
}

// Item is a user of a file, or what is wrong in its place.
type Item struct {
	Line   int // where it begins, from 1
	Record account.Record
	Err    error // nil, or why there is no record; the items after it are read
}

// Read reads the users of a file, in its order. The second value is an error of
// the reader or of the whole file, which ends it.
func Read(r io.Reader, o Options) (iter.Seq2[Item, error], error) {
	switch o.Format {
	case NDJSON:
		return lines(r, ownRecord), nil
	case CognitoCSV:
		return table(r, o.Drop)
	case Keycloak:
		return document(r, keycloakRecord), nil
	case Auth0:
		return either(r, auth0Record), nil
	case Firebase:
		project, err := parseHashConfig(o.HashConfig)
		if err != nil {
			return nil, err
		}
		return document(r, project.record), nil
	}
	return nil, fmt.Errorf("the format %q is not known: there are %s", o.Format, strings.Join(Formats(), ", "))
}

// tellingMember is the name of a member that only one system's files have.
var tellingMember = regexp.MustCompile(`"(localId|user_id|_id|custom_password_hash|realm|credentials)"\s*:`)

// Detect guesses the format from how a file begins; empty if it cannot.
func Detect(head []byte) string {
	text := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\ufeff")))
	if len(text) == 0 {
		return ""
	}
	if text[0] != '{' && text[0] != '[' {
		if bytes.Contains(text, []byte("cognito:username")) {
			return CognitoCSV
		}
		return ""
	}
	telling := map[string]string{
		"localId": Firebase, "user_id": Auth0, "_id": Auth0, "custom_password_hash": Auth0, "realm": Keycloak, "credentials": Keycloak,
	}
	first := tellingMember.FindSubmatch(text)
	switch {
	case first != nil:
		return telling[string(first[1])]
	case text[0] == '{' && bytes.HasPrefix(bytes.TrimSpace(text[1:]), []byte{'"'}):
		return NDJSON
	}
	return ""
}

// named puts what another system calls the user name where it belongs here:
// it may be a sub, an address, or a user name.
func named(rec *account.Record, name string) {
	name = strings.TrimSpace(name)
	switch {
	case name == "":
	case pool.LooksLikeUUID(name):
		if rec.Sub == "" {
			rec.Sub = name
		}
	case strings.Contains(name, "@") && (rec.Email == "" || strings.EqualFold(rec.Email, name)):
		rec.Email = name
	case strings.HasPrefix(name, "+") && (rec.Phone == "" || rec.Phone == name):
		rec.Phone = name
	default:
		rec.Username = name
	}
}

// claim keeps a claim that is not empty.
func claim(rec *account.Record, name, value string) {
	if value = strings.TrimSpace(value); value == "" {
		return
	}
	if rec.Claims == nil {
		rec.Claims = map[string]string{}
	}
	rec.Claims[name] = value
}

var errHash = errors.New("the password's hash is not one that is known")

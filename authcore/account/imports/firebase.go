package imports

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
)

// firebaseProject is how a project hashes: its console shows it under
// "Password hash parameters".
type firebaseProject struct {
	signer, separator string // base64
	rounds, memory    string
}

var hashParameter = regexp.MustCompile(`"?([A-Za-z_0-9]+)"?\s*[:=]\s*"?([A-Za-z0-9+/=_-]+)`)

// parseHashConfig reads the hash_config that the console shows. None is fine
// as long as no user has a hash.
func parseHashConfig(text string) (*firebaseProject, error) {
	p := &firebaseProject{}
	for _, pair := range hashParameter.FindAllStringSubmatch(text, -1) {
		switch name, value := strings.ToLower(pair[1]), pair[2]; name {
		case "algorithm":
			if value != "SCRYPT" {
				return nil, errors.New("the hash configuration is of another algorithm than SCRYPT")
			}
		case "base64_signer_key", "signer_key":
			p.signer = value
		case "base64_salt_separator", "salt_separator":
			p.separator = value
		case "rounds":
			p.rounds = value
		case "mem_cost":
			p.memory = value
		}
	}
	if text != "" && (p.signer == "" || p.rounds == "" || p.memory == "") {
		return nil, errors.New("the hash configuration needs base64_signer_key, base64_salt_separator, rounds and mem_cost, as the Firebase console shows them")
	}
	return p, nil
}

// firebaseUser is a user of `firebase auth:export --format=json`.
type firebaseUser struct {
	Email         string `json:"email"`
	EmailVerified bool   `json:"emailVerified"`
	Phone         string `json:"phoneNumber"`
	DisplayName   string `json:"displayName"`
	PhotoURL      string `json:"photoUrl"`
	Disabled      bool   `json:"disabled"`
	CreatedAt     string `json:"createdAt"` // milliseconds
	PasswordHash  string `json:"passwordHash"`
	Salt          string `json:"salt"`
}

// record reads a user of Firebase's.
func (p *firebaseProject) record(raw []byte) (account.Record, error) {
	var u firebaseUser
	if err := json.Unmarshal(raw, &u); err != nil {
		return account.Record{}, inWords(err)
	}
	rec := account.Record{
		Email: u.Email, EmailVerified: u.EmailVerified, Phone: u.Phone, PhoneVerified: u.Phone != "", // Firebase sends a code before it keeps one
		Name: u.DisplayName, Disabled: u.Disabled,
	}
	claim(&rec, "picture", u.PhotoURL)
	if ms, err := strconv.ParseInt(u.CreatedAt, 10, 64); err == nil && ms > 0 {
		rec.Created = time.UnixMilli(ms).UTC()
	}
	if u.PasswordHash == "" {
		return rec, nil
	}
	if p.signer == "" {
		return rec, errors.New("the user has a password: name the project's hash parameters with --hash-config")
	}
	rec.Hash = fmt.Sprintf("$firebase-scrypt$ln=%s,r=%s$%s$%s$%s$%s", p.memory, p.rounds, u.Salt, p.separator, p.signer, u.PasswordHash)
	return rec, nil
}

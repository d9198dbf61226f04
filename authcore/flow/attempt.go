package flow

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

const (
	attemptLife = 10 * time.Minute
	// ticketLife is how long a logout ticket is good.
	ticketLife = 5 * time.Minute
	// maxAhead is how far in the future something may have been sealed, by the
	// clock of another machine.
	maxAhead = 30 * time.Second
	// maxSealed bounds what is opened, in bytes.
	maxSealed = 4 << 10
)

// FacePage is the face of the hosted pages.
const FacePage = "page"

// Binding is what a sealed attempt belongs to; it opens nowhere else.
type Binding struct {
	Face   string // FacePage
	Client pool.ClientID
	Cookie string // value of the pre-session cookie
}

// ErrExpired means that an attempt cannot go on; a new one can.
var ErrExpired = errExpired{}

type errExpired struct{}

func (errExpired) Error() string { return "flow: the attempt has expired" }

// attempt is a sign-in under way.
type attempt struct {
	ID     string `json:"i"`
	Start  int64  `json:"s"`           // Unix milliseconds
	Stored string `json:"h,omitempty"` // handle of what it has proven
}

// place is the associated data of what is sealed for a binding.
func (b Binding) place(id pool.ID) []byte {
	cookie := sha256.Sum256([]byte(b.Cookie))
	return join(string(id), b.Face, string(b.Client), string(cookie[:]))
}

// join joins strings so that they cannot run into one another.
func join(parts ...string) []byte {
	var out []byte
	for _, s := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(s)))
		out = append(out, s...)
	}
	return out
}

func (m *Machine) sealAttempt(ctx context.Context, p *pool.Pool, b Binding, a attempt) (string, error) {
	return m.seal(ctx, p.ID, "attempt", b.place(p.ID), a)
}

// openAttempt returns the attempt, or ErrExpired whatever is wrong with it.
func (m *Machine) openAttempt(ctx context.Context, p *pool.Pool, b Binding, sealed string) (attempt, error) {
	var a attempt
	ok, err := m.open(ctx, p.ID, "attempt", b.place(p.ID), sealed, &a)
	switch {
	case err != nil:
		return attempt{}, err
	case !ok || a.ID == "" || !m.alive(a.Start, attemptLife):
		return attempt{}, ErrExpired
	}
	return a, nil
}

// ticket is the proof that a person asked to end a session.
type ticket struct {
	Session string `json:"n"`
	Start   int64  `json:"s"` // Unix milliseconds
}

// SealLogoutTicket seals the proof, good for 5 minutes, that the person whose
// session is named asked at one of our own pages to end it.
func (m *Machine) SealLogoutTicket(ctx context.Context, p *pool.Pool, sessionName string) (string, error) {
	return m.seal(ctx, p.ID, "logout", join(string(p.ID)), ticket{Session: sessionName, Start: m.now().UnixMilli()})
}

// OpenLogoutTicket returns the name of the session that a ticket ends; empty
// if it is damaged, over its life, or of another pool.
func (m *Machine) OpenLogoutTicket(ctx context.Context, p *pool.Pool, sealed string) (sessionName string, err error) {
	var t ticket
	ok, err := m.open(ctx, p.ID, "logout", join(string(p.ID)), sealed, &t)
	if err != nil || !ok || !m.alive(t.Start, ticketLife) {
		return "", err
	}
	return t.Session, nil
}

// alive reports whether something that was sealed at start (Unix
// milliseconds) is not older than its life, nor from the future.
func (m *Machine) alive(start int64, life time.Duration) bool {
	age := m.now().Sub(time.UnixMilli(start))
	return age < life && age >= -maxAhead
}

// seal seals v under the pool's key for a purpose, in base64url.
func (m *Machine) seal(ctx context.Context, id pool.ID, purpose string, place []byte, v any) (string, error) {
	key, err := m.repo.Secret(ctx, id, purpose)
	if err != nil {
		return "", fmt.Errorf("flow: key to seal: %w", err)
	}
	raw, err := json.Marshal(v)
	if err != nil {
		return "", fmt.Errorf("flow: seal: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(secret.Seal(key, raw, place)), nil
}

// open reverses seal; ok is false if what is sealed is damaged or belongs
// elsewhere. An error means that the key cannot be had.
func (m *Machine) open(ctx context.Context, id pool.ID, purpose string, place []byte, sealed string, v any) (ok bool, err error) {
	if len(sealed) > maxSealed {
		return false, nil
	}
	raw, decodeErr := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if decodeErr != nil || base64.RawURLEncoding.EncodedLen(len(raw)) != len(sealed) {
		return false, nil // the decoder skips line ends: one seal has one spelling
	}
	key, err := m.repo.Secret(ctx, id, purpose)
	if err != nil {
		return false, fmt.Errorf("flow: key to open: %w", err)
	}
	plain, openErr := secret.Open(key, raw, place)
	return openErr == nil && json.Unmarshal(plain, v) == nil, nil
}

// Package flow is the sign-in machine: Start and Answer lead from prompt to
// prompt until success or refusal. Faces (hosted pages, JSON) render prompts;
// factors say what to ask and check answers.
//
// It owns attempts, which are sealed and written nowhere before a factor has
// succeeded, the counting of guesses, known devices, and the names (way.go) by
// which the pages and the authorization endpoint lead to one another. It makes
// no session: a face hands Done to the session package, whose commit lets an
// attempt succeed once.
package flow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

// Names of the fields of the password prompt, stable across releases.
const (
	FieldIdentifier = "identifier"
	FieldPassword   = "password"
)

// MethodPassword is the amr of a password (RFC 8176 2).
const MethodPassword = "pwd"

// Passwords checks a password; factor/password does. A nil entry never matches and takes as long as a real one.
type Passwords interface {
	Check(ctx context.Context, entry *pool.PasswordEntry, password string) (ok bool, better *pool.PasswordEntry, err error)
}

// Accounts changes a password that an operator wanted changed; account does.
type Accounts interface {
	ChangePassword(ctx context.Context, by pool.Caller, p *pool.Pool, sub pool.UserID, epoch uint32, password string) (*pool.User, error)
}

// Config says what a Machine stands on.
type Config struct {
	Repo      *repo.Repo
	Passwords Passwords
	Accounts  Accounts
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: discards
}

// Machine runs attempts. Pools are arguments. It is safe for concurrent use.
type Machine struct {
	repo      *repo.Repo
	passwords Passwords
	accounts  Accounts
	sprays    *sprays
	now       func() time.Time
	log       *slog.Logger
}

// New returns a Machine.
func New(c Config) *Machine {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Machine{repo: c.Repo, passwords: c.Passwords, accounts: c.Accounts, sprays: newSprays(), now: c.Now, log: c.Logger}
}

// Start begins an attempt (life 10 minutes). identifier prefills the form; it may be empty.
// Nothing is written.
func (m *Machine) Start(ctx context.Context, p *pool.Pool, b Binding, identifier string) (sealed string, ask prompt.Prompt, err error) {
	sealed, err = m.sealAttempt(ctx, p, b, attempt{ID: secret.Token(16), Start: m.now().UnixMilli()})
	return sealed, askPassword(identifier), err
}

// askPassword asks for identifier and password in one step.
func askPassword(identifier string) prompt.Prompt {
	if len(identifier) > pool.MaxIdentifier {
		identifier = ""
	}
	return prompt.Prompt{Kind: prompt.Password, Fields: []prompt.Field{
		{Name: FieldIdentifier, Type: prompt.Identifier, Value: identifier},
		{Name: FieldPassword, Type: prompt.CurrentPassword},
	}}
}

// Outcome is what an answer led to: exactly one of Done and Ask is set.
type Outcome struct {
	Done *Done          // success
	Ask  *prompt.Prompt // the next, or the same, prompt
	// Wrong is set when the answer was refused: Ask repeats the question.
	// Unknown user, wrong password, disabled and locked are not told apart.
	Wrong  bool
	Sealed string // the attempt to send with the next answer
	// Problem says what was wrong with the answer to a prompt.ChangePassword,
	// by the codes of page.Problem; Account is whose password it is about.
	Problem string
	Account string
}

// Visit is what is known of where an answer comes from.
type Visit struct {
	Address string // of the client, for limits
	Device  string // value of the cookie of a known device (mux.CookieDevice); may be empty
}

// Done is a finished sign-in, for session.Proof.
type Done struct {
	Attempt string
	Sub     pool.UserID
	Epoch   uint32 // the user's when the first credential was read
	At      time.Time
	ACR     string
	AMR     []string
	Device  string // new value of the cookie of a known device
}

// Answer takes the answer to an attempt. ErrExpired if the attempt is over
// its life, damaged or bound elsewhere: start again. fault.Busy if too many
// passwords are being checked.
//
// Whoever is named, and whatever is wrong, the steps are the same: look up,
// count, hash.
func (m *Machine) Answer(ctx context.Context, p *pool.Pool, b Binding, sealed string, a prompt.Answer, v Visit) (*Outcome, error) {
	at, err := m.openAttempt(ctx, p, b, sealed)
	if err != nil {
		return nil, err
	}
	if at.Stored != "" {
		return m.changePassword(ctx, p, b, at, sealed, a[FieldPassword], v)
	}
	who, err := m.resolve(ctx, p, a[FieldIdentifier])
	if err != nil {
		return nil, err
	}
	right, err := m.try(ctx, p, who, a[FieldPassword], v)
	if err != nil {
		return nil, err
	}
	if !right {
		return m.again(ctx, p, b, a[FieldIdentifier])
	}
	done := &Done{
		Attempt: at.ID, Sub: who.sub, Epoch: who.epoch, At: m.now().UTC(), ACR: pool.AAL1, AMR: []string{MethodPassword},
	}
	if who.user.Status == pool.MustChangePassword {
		return m.askChange(ctx, p, b, at, who.user, done)
	}
	if done.Device, err = m.RememberDevice(ctx, p, v.Device, who.sub); err != nil {
		return nil, err
	}
	return &Outcome{Done: done}, nil
}

// Confirm reports whether a password is that of a user who is signed in
// already; a wrong one counts as a guess, and a locked account has none that
// is right. fault.NotFound, fault.Busy.
func (m *Machine) Confirm(ctx context.Context, p *pool.Pool, sub pool.UserID, password string, v Visit) (bool, error) {
	u, err := m.repo.User(ctx, p.ID, sub)
	if err != nil {
		return false, fmt.Errorf("flow: read user: %w", err)
	}
	return m.try(ctx, p, subjectOf(u), password, v)
}

// try checks a password as one guess: counted before it is checked, and given
// back if it was right.
func (m *Machine) try(ctx context.Context, p *pool.Pool, who subject, password string, v Visit) (right bool, err error) {
	device, err := m.knownDevice(ctx, p, v.Device, who)
	if err != nil {
		return false, err
	}
	guess, err := m.countGuess(ctx, p, who.sub, v.Address, device)
	if err != nil {
		return false, err
	}
	entry, scope := who.entry, addressScope(v.Address)
	spraying := device == "" && m.sprays.over(scope, m.now())
	if guess.locked || spraying || !who.admitted {
		entry = nil // whether the password is right must not show, not even in how long it takes
	}
	right, better, err := m.passwords.Check(ctx, entry, password)
	if err != nil {
		guess.giveBack(ctx)
		return false, checkError(err)
	}
	if !right {
		m.sprays.failed(scope, m.now())
		return false, nil
	}
	guess.forgive(ctx)
	m.rehash(ctx, p, who, better)
	return true, nil
}

// checkError gives the refusal of a full hasher its code.
func checkError(err error) error {
	if fault.CodeOf(err) == fault.Internal && errors.Is(err, secret.ErrBusy) {
		return fault.Wrap(fault.Busy, err, "too many sign-ins at once: try again")
	}
	return fmt.Errorf("flow: check password: %w", err)
}

// again repeats the question with an attempt of its own.
func (m *Machine) again(ctx context.Context, p *pool.Pool, b Binding, identifier string) (*Outcome, error) {
	sealed, ask, err := m.Start(ctx, p, b, identifier)
	if err != nil {
		return nil, err
	}
	return &Outcome{Ask: &ask, Wrong: true, Sealed: sealed}, nil
}

// subject is whom an answer names: a user, or the stand-in of an identifier
// that nobody owns, who is never admitted.
type subject struct {
	sub      pool.UserID
	epoch    uint32
	entry    *pool.PasswordEntry
	admitted bool
	user     *pool.User // nil of a stand-in
}

func subjectOf(u *pool.User) subject {
	return subject{sub: u.Sub, epoch: u.Epoch, entry: u.Password, admitted: u.MayTry(), user: u}
}

// resolve finds out whom an identifier names. What is no identifier is one
// that nobody owns.
func (m *Machine) resolve(ctx context.Context, p *pool.Pool, typed string) (subject, error) {
	id, err := pool.ParseIdentifier(typed)
	if err != nil {
		id = pool.Identifier{Kind: "malformed", Value: strings.TrimSpace(typed)}
	}
	u, err := m.repo.UserByIdentifier(ctx, p.ID, id)
	switch {
	case err == nil:
		return subjectOf(u), nil
	case !errors.Is(err, fault.NotFound):
		return subject{}, fmt.Errorf("flow: look up user: %w", err)
	}
	sub, err := m.repo.Standin(ctx, p.ID, id)
	if err != nil {
		return subject{}, fmt.Errorf("flow: stand-in: %w", err)
	}
	return subject{sub: sub}, nil
}

// rehash stores a right password under the current cost, unless it was changed
// meanwhile. It ends nothing and may fail: the next sign-in tries again.
func (m *Machine) rehash(ctx context.Context, p *pool.Pool, who subject, better *pool.PasswordEntry) {
	if better == nil {
		return
	}
	_, err := m.repo.UpdateUser(ctx, p.ID, who.sub, func(u *pool.User) error {
		if u.Password != nil && u.Password.PHC == who.entry.PHC {
			u.Password = better
		}
		return nil
	})
	if err != nil {
		m.log.WarnContext(ctx, "password not hashed again", "pool", string(p.ID), "user", string(who.sub), "error", err)
	}
}

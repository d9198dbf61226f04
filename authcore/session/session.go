// Package session owns browser sessions: the SSO sessions at the login host,
// several in one browser, a person's list of them, and their children at
// protected sites. Cookies are mux's; a site's session is made by token, of a
// code.
package session

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/store"
)

const (
	// touchEvery is how coarse the last use of a session is.
	touchEvery = 5 * time.Minute
	// attemptMemory is how long a used attempt is remembered: longer than
	// any attempt lives.
	attemptMemory = 30 * time.Minute
	// maxAhead is how far in the future a session may have been made: more
	// means that the clock was set back, which must not lengthen its life.
	maxAhead = 5 * time.Minute
	// maxAgent bounds what is kept of a User-Agent, in bytes.
	maxAgent = 256
)

// Families ends what a session has given out; token.Service does.
type Families interface {
	// EndFamilies ends families for good before it returns.
	EndFamilies(ctx context.Context, p *pool.Pool, sub pool.UserID, originJTIs []string) error
	// SessionEnded makes the end of a session known in this process at once.
	SessionEnded(id pool.ID, name string)
}

// Config says what a Service stands on.
type Config struct {
	Repo     *repo.Repo
	Families Families
	Now      func() time.Time // nil: time.Now
	Logger   *slog.Logger     // nil: discards
}

// Service starts, finds, touches and ends sessions. It is safe for concurrent use.
type Service struct {
	repo     *repo.Repo
	families Families
	now      func() time.Time
	log      *slog.Logger
}

// New returns a Service.
func New(c Config) *Service {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return &Service{repo: c.Repo, families: c.Families, now: c.Now, log: c.Logger}
}

// Proof is a finished sign-in: who, how, and under which epoch.
type Proof struct {
	Attempt string // attempt id: succeeds once; empty for sign-in by a one-time link that its own commit has spent
	Sub     pool.UserID
	Epoch   uint32    // the user's when the first credential was read
	At      time.Time // zero: now
	ACR     string
	AMR     []string
	Address string // client address, for the person's list of sessions
	Agent   string // User-Agent, for the same
	// Replaces are the names of the same person's sessions in the same browser:
	// the new one takes their place, under an id of its own, and what was born
	// in them goes on. Those of somebody else, or of a lower epoch, are left alone.
	Replaces []string
}

// Start makes an SSO session and returns its id (a cookie value). The attempt
// is marked used in the same commit; fault.Conflict if it was, or if the user
// was disabled, deleted or signed out everywhere since the attempt began.
func (s *Service) Start(ctx context.Context, p *pool.Pool, proof Proof) (id string, err error) {
	user, err := s.repo.User(ctx, p.ID, proof.Sub)
	switch {
	case fault.CodeOf(err) == fault.NotFound || err == nil && !user.Stands(proof.Epoch):
		return "", fault.New(fault.Conflict, "the account has changed: sign in again")
	case err != nil:
		return "", fmt.Errorf("session: read user: %w", err)
	}
	part := repo.UserPartition(p.ID, proof.Sub)
	id = repo.NewHandle(part)
	_, name, _ := repo.ParseHandle(id)
	var surplus []string
	_, err = s.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		now := tx.Now()
		if err := useAttempt(tx, p.ID, part, proof.Attempt, now); err != nil {
			return err
		}
		sess := pool.Session{
			Sub: proof.Sub, Epoch: proof.Epoch, AuthTime: proof.At, ACR: proof.ACR, AMR: proof.AMR,
			Created: now, Used: now, Address: proof.Address, Agent: cut(proof.Agent, maxAgent),
		}
		if sess.AuthTime.IsZero() {
			sess.AuthTime = now
		}
		earlier, err := replace(tx, p, proof, name)
		if err != nil {
			return err
		}
		cut := max(0, len(earlier)-maxEarlier)
		surplus, sess.Earlier = earlier[:cut], earlier[cut:]
		return put(tx, p.ID, name, sess, p.Session.End(now, now))
	})
	if err != nil {
		return "", fmt.Errorf("session: start: %w", err)
	}
	for _, old := range surplus {
		if err := s.end(ctx, p, part, old); err != nil {
			s.log.WarnContext(ctx, "an earlier session goes on until its own end", "pool", string(p.ID), "user", string(proof.Sub), "error", err)
		}
	}
	return id, nil
}

// maxEarlier is how many sessions one remembers that it took the place of.
const maxEarlier = 8

// replace puts a new session in the place of earlier ones, and returns the
// names of all that it now stands for, oldest first.
func replace(tx *repo.Tx, p *pool.Pool, proof Proof, name string) ([]string, error) {
	part := repo.UserPartition(p.ID, proof.Sub)
	var all []string
	for _, old := range proof.Replaces {
		key := repo.SessionKey(p.ID, part, old)
		e, err := repo.Read(tx, key)
		if err != nil {
			return nil, err
		}
		if !e.Found || e.Value.Sub != proof.Sub || e.Value.Epoch != proof.Epoch || e.Value.Replaced != "" {
			continue
		}
		all = append(append(all, e.Value.Earlier...), old)
		e.Value.Earlier, e.Value.Replaced = nil, name
		// It is no session of its own any more: how long it counts is the new one's to say.
		if err := repo.Put(tx, key, e.Value, e.Value.Created.Add(p.Session.Absolute)); err != nil {
			return nil, err
		}
		repo.Delete(tx, repo.SessionRefKey(p.ID, proof.Sub, old))
	}
	return all, nil
}

// put stores an SSO session, and with it what lists it under its user.
func put(tx *repo.Tx, id pool.ID, name string, sess pool.Session, ends time.Time) error {
	key := repo.SessionKey(id, repo.UserPartition(id, sess.Sub), name)
	if err := repo.Put(tx, key, sess, ends); err != nil {
		return err
	}
	return repo.Put(tx, repo.SessionRefKey(id, sess.Sub, name), struct{}{}, ends)
}

// cut returns what is valid UTF-8 of s, at most n bytes of it.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "")
	if len(s) <= n {
		return s
	}
	for !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// useAttempt lets an attempt succeed once.
func useAttempt(tx *repo.Tx, id pool.ID, part store.Partition, attempt string, now time.Time) error {
	if attempt == "" {
		return nil
	}
	key := repo.UsedAttemptKey(id, part, attempt)
	used, err := repo.Read(tx, key)
	if err != nil {
		return err
	}
	if used.Found {
		return fault.New(fault.Conflict, "this sign-in has succeeded already")
	}
	return repo.Put(tx, key, struct{}{}, now.Add(attemptMemory))
}

package flow

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/fault"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/prompt"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
	"github.com/gatehouse-auth/gatehouse/store"
)

// An attempt that has proven something is stored, and its sealed form carries
// no more than the handle: a stored attempt can be ended, and one that lies
// around in a page of yesterday's opens nothing.

// askChange stores the attempt of somebody whose password was right but must
// be changed before anything is issued, and asks for another.
func (m *Machine) askChange(ctx context.Context, p *pool.Pool, b Binding, at attempt, u *pool.User, proven *Done) (*Outcome, error) {
	part := repo.UserPartition(p.ID, u.Sub)
	at.Stored = repo.NewHandle(part)
	_, name, _ := repo.ParseHandle(at.Stored)
	stored := pool.Attempt{
		ID: at.ID, Place: placeHash(b, p.ID), Sub: u.Sub, Epoch: proven.Epoch, At: proven.At, ACR: proven.ACR, AMR: proven.AMR,
		Step: string(prompt.ChangePassword),
	}
	_, err := m.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		return repo.Put(tx, repo.AttemptKey(p.ID, part, name), stored, tx.Now().Add(attemptLife))
	})
	if err != nil {
		return nil, fmt.Errorf("flow: store attempt: %w", err)
	}
	sealed, err := m.sealAttempt(ctx, p, b, at)
	if err != nil {
		return nil, err
	}
	return changeOutcome(u, sealed, ""), nil
}

// changeOutcome asks for a new password.
func changeOutcome(u *pool.User, sealed, problem string) *Outcome {
	return &Outcome{
		Ask: &prompt.Prompt{Kind: prompt.ChangePassword, Fields: []prompt.Field{
			{Name: FieldPassword, Type: prompt.NewPassword},
		}},
		Sealed: sealed, Wrong: problem != "", Problem: problem, Account: u.Label(),
	}
}

// changePassword takes the new password of a stored attempt and finishes it.
// ErrExpired if the attempt is over, was finished before, or belongs to a user
// who has changed meanwhile.
func (m *Machine) changePassword(ctx context.Context, p *pool.Pool, b Binding, at attempt, sealed, password string, v Visit) (*Outcome, error) {
	part, name, ok := repo.ParseHandle(at.Stored)
	if !ok {
		return nil, ErrExpired
	}
	key := repo.AttemptKey(p.ID, part, name)
	stored, err := repo.Get(ctx, m.repo, key)
	if err != nil {
		return nil, fmt.Errorf("flow: read attempt: %w", err)
	}
	if !stored.Found || stored.Value.Place != placeHash(b, p.ID) || stored.Value.Step != string(prompt.ChangePassword) {
		return nil, ErrExpired
	}
	u, err := m.repo.User(ctx, p.ID, stored.Value.Sub)
	switch {
	case errors.Is(err, fault.NotFound):
		return nil, ErrExpired
	case err != nil:
		return nil, fmt.Errorf("flow: read user: %w", err)
	case !u.MayTry() || u.Status != pool.MustChangePassword || u.Epoch != stored.Value.Epoch:
		return nil, ErrExpired
	}
	by := pool.Caller{Kind: pool.Self, Name: string(u.Sub), Address: v.Address}
	changed, err := m.accounts.ChangePassword(ctx, by, p, u.Sub, stored.Value.Epoch, password)
	problem := (*account.PasswordProblem)(nil)
	switch {
	case errors.As(err, &problem):
		return changeOutcome(u, sealed, problem.Problem), nil
	case errors.Is(err, fault.Conflict): // somebody was faster
		return nil, ErrExpired
	case err != nil:
		return nil, err
	}
	if err := m.finish(ctx, p, key, part, stored.Epoch); err != nil {
		return nil, err
	}
	done := &Done{
		Attempt: at.ID, Sub: u.Sub, Epoch: changed.Epoch, At: stored.Value.At, ACR: stored.Value.ACR, AMR: stored.Value.AMR,
	}
	if done.Device, err = m.RememberDevice(ctx, p, v.Device, u.Sub); err != nil {
		return nil, err
	}
	return &Outcome{Done: done}, nil
}

// finish spends a stored attempt; one of an earlier failover epoch, or that
// was spent before, is over.
func (m *Machine) finish(ctx context.Context, p *pool.Pool, key repo.Key[pool.Attempt], part store.Partition, epoch uint32) error {
	_, err := m.repo.Update(ctx, p.ID, part, func(tx *repo.Tx) error {
		e, err := repo.Read(tx, key)
		if err != nil {
			return err
		}
		if !e.Found {
			return ErrExpired
		}
		tx.FenceEpoch(epoch)
		repo.Delete(tx, key)
		return nil
	})
	switch {
	case errors.Is(err, ErrExpired), errors.Is(err, store.ErrEpoch):
		return ErrExpired
	case err != nil:
		return fmt.Errorf("flow: end attempt: %w", err)
	}
	return nil
}

// placeHash names what a stored attempt is bound to.
func placeHash(b Binding, id pool.ID) string {
	sum := sha256.Sum256(b.place(id))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

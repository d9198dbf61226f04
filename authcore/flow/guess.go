package flow

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/repo"
)

// Two counters stand in the way of guessing, both in the partition of the user
// or stand-in: one per client address, which slows that address down alone,
// and one per account, which caps what all addresses together may try in a day.
// A device on which the person has signed in before has a counter of its own
// instead of both: what strangers try does not lock the owner out.
const (
	guessKind = "password"

	freeGuesses   = 5                // failures of an address before it is slowed down
	longestLock   = 15 * time.Minute // the lock doubles from 1 s up to this
	quietTime     = 15 * time.Minute // without a guess until an address's count is forgotten
	accountWindow = 24 * time.Hour   // from the first failure
	accountMost   = 100              // failures of an account in a window
)

// guess is a counted guess; it can be given back.
type guess struct {
	m      *Machine
	id     pool.ID
	sub    pool.UserID
	scope  string // names the first counter
	known  bool   // a known device: the account's counter has no say
	locked bool   // nothing was counted, and the answer must not count either

	last time.Time // the address's guess before this one
	at   time.Time
}

// countGuess counts a guess before it is checked, in one commit, so that
// however many are made at once no more are checked than the locks allow. A
// locked guess writes what is there already: it costs the same and shows nothing.
func (m *Machine) countGuess(ctx context.Context, p *pool.Pool, sub pool.UserID, address, device string) (*guess, error) {
	g := &guess{m: m, id: p.ID, sub: sub, scope: addressScope(address)}
	if device != "" {
		g.scope, g.known = "device:"+device, true
	}
	err := g.update(ctx, func(tx *repo.Tx, byAddress, byAccount repo.Entry[pool.Guesses]) error {
		now := tx.Now()
		g.at, g.last = now, byAddress.Value.Last
		g.locked = lockedAt(byAddress, now) || !g.known && byAccount.Found && byAccount.Value.Count >= accountMost
		if g.locked {
			return g.write(tx, byAddress, byAccount, now)
		}
		byAddress.Value = counted(byAddress.Value, now)
		if !g.known {
			byAccount.Value = counted(byAccount.Value, now)
		}
		return g.write(tx, byAddress, byAccount, now)
	})
	if err != nil {
		return nil, fmt.Errorf("flow: count guess: %w", err)
	}
	return g, nil
}

// lockedAt reports whether the address has to wait: 2^(n-5) s after failure n, from the fifth on.
func lockedAt(e repo.Entry[pool.Guesses], now time.Time) bool {
	if !e.Found || e.Value.Count < freeGuesses {
		return false
	}
	lock := longestLock
	if over := e.Value.Count - freeGuesses; over < 10 {
		lock = min(time.Second<<over, longestLock)
	}
	return now.Sub(e.Value.Last) < lock
}

func counted(g pool.Guesses, now time.Time) pool.Guesses {
	if g.Count == 0 {
		g.First = now
	}
	g.Count++
	g.Last = now
	return g
}

// giveBack undoes the count of a guess that was not checked.
func (g *guess) giveBack(ctx context.Context) { g.undo(ctx, false) }

// forgive undoes the count of a guess that was right, and with it what the
// same address got wrong before: whoever knows the password is no guesser.
func (g *guess) forgive(ctx context.Context) { g.undo(ctx, true) }

// undo takes the guess out of the counts. If it fails, one failure too many is
// counted, for a while.
func (g *guess) undo(ctx context.Context, all bool) {
	if g.locked {
		return
	}
	err := g.update(ctx, func(tx *repo.Tx, byAddress, byAccount repo.Entry[pool.Guesses]) error {
		if byAddress.Value.Count > 0 {
			byAddress.Value.Count--
		}
		if all {
			byAddress.Value.Count = 0
		}
		if byAddress.Value.Last.Equal(g.at) {
			byAddress.Value.Last = g.last
		}
		if byAccount.Value.Count > 0 && !g.known {
			byAccount.Value.Count--
		}
		return g.write(tx, byAddress, byAccount, tx.Now())
	})
	if err != nil {
		g.m.log.WarnContext(ctx, "guess not given back", "pool", string(g.id), "user", string(g.sub), "error", err)
	}
}

// update reads both counters and has fn write them, in one commit.
func (g *guess) update(ctx context.Context, fn func(tx *repo.Tx, byAddress, byAccount repo.Entry[pool.Guesses]) error) error {
	_, err := g.m.repo.Update(ctx, g.id, repo.UserPartition(g.id, g.sub), func(tx *repo.Tx) error {
		byAddress, err := repo.Read(tx, g.key(g.scope))
		if err != nil {
			return err
		}
		byAccount, err := repo.Read(tx, g.key(""))
		if err != nil {
			return err
		}
		return fn(tx, byAddress, byAccount)
	})
	return err
}

// write stores both counters; one that counts nothing is deleted.
func (g *guess) write(tx *repo.Tx, byAddress, byAccount repo.Entry[pool.Guesses], now time.Time) error {
	ends := byAddress.Expires // a locked guess does not lengthen the lock
	if !g.locked {
		ends = now.Add(quietTime)
	}
	if err := g.put(tx, g.scope, byAddress.Value, ends); err != nil {
		return err
	}
	return g.put(tx, "", byAccount.Value, byAccount.Value.First.Add(accountWindow))
}

func (g *guess) put(tx *repo.Tx, scope string, v pool.Guesses, ends time.Time) error {
	if v.Count == 0 {
		repo.Delete(tx, g.key(scope))
		return nil
	}
	return repo.Put(tx, g.key(scope), v, ends)
}

func (g *guess) key(scope string) repo.Key[pool.Guesses] {
	return repo.GuessKey(g.id, g.sub, guessKind, scope)
}

// addressScope names the counter of a client address: of IPv6 the /64, which
// one subscriber has whole.
func addressScope(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "address:" + address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String()
		}
	}
	return ip.String()
}

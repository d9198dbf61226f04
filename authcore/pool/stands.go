package pool

import "time"

// Stands reports whether what was issued to the user under epoch still holds:
// the user may sign in and no later epoch has ended it.
func (u *User) Stands(epoch uint32) bool {
	return !u.Disabled && u.Status == Confirmed && epoch >= u.Epoch
}

// MayTry reports whether the user's credentials may be tried: one who must
// change the password first signs in with the old one.
func (u *User) MayTry() bool { return !u.Disabled && u.Status != MustSetPassword }

// End is when a session that was made at created and last used at used ends:
// after its idle time, and never later than its absolute life.
func (p SessionPolicy) End(created, used time.Time) time.Time {
	idle, absolute := used.Add(p.Idle), created.Add(p.Absolute)
	if idle.Before(absolute) {
		return idle
	}
	return absolute
}

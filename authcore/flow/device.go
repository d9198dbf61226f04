package flow

import (
	"context"
	"slices"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

const (
	// DeviceLife is how long a browser is known after its last sign-in; no
	// browser keeps a cookie for longer.
	DeviceLife = 400 * 24 * time.Hour
	// maxKnown is how many people a device is known to, the latest.
	maxKnown = 5
)

// device is the value of the cookie of a known device, sealed: a browser in
// which the passwords of these people were right. It is of use for nothing but
// a budget of guesses of its own.
type device struct {
	ID     string  `json:"d"` // names the budget
	People []known `json:"p"`
}

type known struct {
	Sub pool.UserID `json:"s"`
	At  int64       `json:"t"` // Unix milliseconds
}

// knownDevice returns the name of the budget that a device has for guesses at
// somebody's password; empty if it is not known, or not any more: a password
// that was set since makes every device unknown.
func (m *Machine) knownDevice(ctx context.Context, p *pool.Pool, cookie string, who subject) (string, error) {
	d, err := m.openDevice(ctx, p, cookie)
	if err != nil || who.entry == nil {
		return "", err
	}
	for _, k := range d.People {
		if k.Sub == who.sub && m.alive(k.At, DeviceLife) && !time.UnixMilli(k.At).Before(who.entry.Set.Truncate(time.Millisecond)) {
			return d.ID, nil
		}
	}
	return "", nil
}

// RememberDevice returns a cookie with one more person who is known there, for
// faces that have seen a right password elsewhere than in an attempt.
func (m *Machine) RememberDevice(ctx context.Context, p *pool.Pool, cookie string, sub pool.UserID) (string, error) {
	d, err := m.openDevice(ctx, p, cookie)
	if err != nil {
		return "", err
	}
	if d.ID == "" {
		d.ID = secret.Token(16)
	}
	d.People = slices.DeleteFunc(d.People, func(k known) bool { return k.Sub == sub })
	d.People = append([]known{{Sub: sub, At: m.now().UnixMilli()}}, d.People...)
	d.People = d.People[:min(len(d.People), maxKnown)]
	return m.seal(ctx, p.ID, "device", join(string(p.ID)), d)
}

// openDevice reads a cookie; one that is damaged is that of an unknown device.
func (m *Machine) openDevice(ctx context.Context, p *pool.Pool, cookie string) (device, error) {
	var d device
	if cookie == "" {
		return d, nil
	}
	ok, err := m.open(ctx, p.ID, "device", join(string(p.ID)), cookie, &d)
	if err != nil || !ok {
		return device{}, err
	}
	return d, nil
}

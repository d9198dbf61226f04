package secret

import "errors"

var (
	// ErrBusy means that all slots and the queue of a Hasher are taken.
	ErrBusy = errors.New("secret: too many password hashes at once")
	// ErrSealed means that a sealed value is damaged, or was sealed under
	// another key or for another place.
	ErrSealed = errors.New("secret: cannot open sealed value")
)

package secret

import (
	"errors"
	"fmt"
	"log/slog"
)

// mask is what a Hidden prints as.
const mask = "***"

// Hidden is a secret string: it prints as ***, and refuses to be encoded. Two
// of them are compared by what Reveal returns, never by ==.
type Hidden struct {
	value *string // behind a pointer: fmt looks through unexported fields, past every method, but not through pointers
}

// Hide makes a Hidden of s.
func Hide(s string) Hidden { return Hidden{value: &s} }

// Reveal returns the secret; that of the zero value is empty.
func (h Hidden) Reveal() string {
	if h.value == nil {
		return ""
	}
	return *h.value
}

// String returns ***.
func (Hidden) String() string { return mask }

// GoString returns ***.
func (Hidden) GoString() string { return mask }

// Format prints *** for every verb.
func (Hidden) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) } // a fmt.State keeps its own error

// LogValue logs ***.
func (Hidden) LogValue() slog.Value { return slog.StringValue(mask) }

// errEncoded is why a Hidden is never part of JSON or text.
var errEncoded = errors.New("secret: a hidden value is not to be encoded")

// MarshalJSON refuses.
func (Hidden) MarshalJSON() ([]byte, error) { return nil, errEncoded }

// MarshalText refuses.
func (Hidden) MarshalText() ([]byte, error) { return nil, errEncoded }

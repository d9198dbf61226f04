package jose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// errAudience is why an aud claim is refused.
var errAudience = errors.New("jose: aud is neither a string nor an array of strings")

// Audience is the aud claim: a string or an array of strings (RFC 7519 4.1.3);
// it is written as a string when there is one.
type Audience []string

// MarshalJSON writes a string if there is one audience, else an array.
func (a Audience) MarshalJSON() ([]byte, error) {
	switch len(a) {
	case 0:
		return []byte("[]"), nil
	case 1:
		return json.Marshal(a[0])
	}
	return json.Marshal([]string(a))
}

// UnmarshalJSON reads a string or an array of strings.
func (a *Audience) UnmarshalJSON(raw []byte) error {
	if bytes.HasPrefix(raw, []byte(`"`)) {
		var one string
		if err := json.Unmarshal(raw, &one); err != nil {
			return fmt.Errorf("jose: aud: %w", err)
		}
		*a = Audience{one}
		return nil
	}
	if !bytes.HasPrefix(raw, []byte("[")) {
		return errAudience
	}
	var many []*string // null would pass for an empty string
	if err := json.Unmarshal(raw, &many); err != nil {
		return fmt.Errorf("jose: aud: %w", err)
	}
	all := make(Audience, 0, len(many))
	for _, one := range many {
		if one == nil {
			return errAudience
		}
		all = append(all, *one)
	}
	*a = all
	return nil
}

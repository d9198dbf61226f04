package repo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"
)

// recordVersion is the form of the records that this build writes.
const recordVersion = 1

type members = map[string]json.RawMessage

// encode returns the JSON of a record. Members of stored, the record that is
// replaced (nil if there is none), that v's type does not know are kept.
func encode(v any, stored []byte) ([]byte, error) {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("repo: encode: %w", err)
	}
	fresh := members{}
	if err := json.Unmarshal(raw, &fresh); err != nil {
		return nil, fmt.Errorf("repo: a record must be an object: %w", err)
	}
	if stored != nil {
		old := members{}
		if err := json.Unmarshal(stored, &old); err != nil {
			return nil, fmt.Errorf("repo: stored record: %w", err)
		}
		keepUnknown(reflect.TypeOf(v), old, fresh)
	}
	fresh["v"] = json.RawMessage(fmt.Sprint(recordVersion))
	return json.Marshal(fresh)
}

// decode reads a record into v.
func decode(raw []byte, v any) error {
	var form struct {
		V int `json:"v"`
	}
	if err := json.Unmarshal(raw, &form); err != nil {
		return fmt.Errorf("repo: decode: %w", err)
	}
	if form.V < 1 || form.V > recordVersion {
		return fmt.Errorf("repo: form %d of the record is not known to this build", form.V)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("repo: decode: %w", err)
	}
	return nil
}

// keepUnknown copies into fresh the members of old that t does not know. A
// nested object keeps its own only if its known members did not change: what
// belonged to an old password must not be joined to a new one. In a list,
// objects with an id are matched by it.
func keepUnknown(t reflect.Type, old, fresh members) {
	known := knownMembers(t)
	for name, raw := range old {
		field, ok := known[name]
		switch {
		case !ok && name != "v":
			fresh[name] = raw
		case ok && fresh[name] != nil:
			fresh[name] = keepNested(field, raw, fresh[name])
		}
	}
}

func keepNested(t reflect.Type, old, fresh json.RawMessage) json.RawMessage {
	t = deref(t)
	switch {
	case isRecord(t):
		a, b := members{}, members{}
		if json.Unmarshal(old, &a) != nil || json.Unmarshal(fresh, &b) != nil || !sameKnown(t, a, b) {
			return fresh
		}
		keepUnknown(t, a, b)
		return remarshal(b, fresh)
	case t.Kind() == reflect.Slice && isRecord(deref(t.Elem())):
		return keepInList(deref(t.Elem()), old, fresh)
	}
	return fresh
}

func keepInList(t reflect.Type, old, fresh json.RawMessage) json.RawMessage {
	var before, after []members
	if json.Unmarshal(old, &before) != nil || json.Unmarshal(fresh, &after) != nil {
		return fresh
	}
	for _, b := range after {
		for _, a := range before {
			if id := a["id"]; id != nil && bytes.Equal(id, b["id"]) || sameKnown(t, a, b) {
				keepUnknown(t, a, b)
				break
			}
		}
	}
	return remarshal(after, fresh)
}

func remarshal(v any, otherwise json.RawMessage) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return otherwise
	}
	return raw
}

func sameKnown(t reflect.Type, a, b members) bool {
	for name := range knownMembers(t) {
		if !bytes.Equal(a[name], b[name]) {
			return false
		}
	}
	return true
}

func knownMembers(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	t = deref(t)
	if t.Kind() != reflect.Struct {
		return out
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" && name != "-" {
			out[name] = f.Type
		}
	}
	return out
}

func isRecord(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != reflect.TypeFor[time.Time]()
}

func deref(t reflect.Type) reflect.Type {
	if t.Kind() == reflect.Pointer {
		return t.Elem()
	}
	return t
}

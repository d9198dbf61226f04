package jose

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds the nesting of claims.
const maxDepth = 16

// Decode reads a JSON object of claims into v, a pointer to a struct,
// strictly: UTF-8, no duplicate member at any depth, no member that differs
// from one of v's only by case, no trailing bytes, at most 16 levels and
// MaxToken bytes. Unknown members are ignored.
func Decode(payload []byte, v any) error {
	if len(payload) > MaxToken || !utf8.Valid(payload) {
		return errors.New("jose: claims are too long, or not UTF-8")
	}
	if object := bytes.TrimLeft(payload, " \t\r\n"); len(object) == 0 || object[0] != '{' {
		return errors.New("jose: claims are not an object")
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if err := walk(d, members(v), 0); err != nil {
		return err
	}
	if d.More() || len(bytes.TrimSpace(payload[d.InputOffset():])) > 0 {
		return errors.New("jose: bytes after the claims")
	}
	if err := json.Unmarshal(payload, v); err != nil {
		return fmt.Errorf("jose: claims: %w", err)
	}
	return nil
}

// members returns the JSON names of a struct's fields by how they fold.
func members(v any) map[string]string {
	t := reflect.TypeOf(v)
	if t == nil || t.Kind() != reflect.Pointer || t.Elem().Kind() != reflect.Struct {
		return nil
	}
	names := map[string]string{}
	for _, f := range reflect.VisibleFields(t.Elem()) {
		tag := f.Tag.Get("json")
		name, _, _ := strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		if tag != "-" && f.IsExported() && !f.Anonymous {
			names[fold(name)] = name
		}
	}
	return names
}

// fold makes names equal that encoding/json takes for the same: ſ is an s to
// it, which lower case alone does not see.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for {
			next := unicode.SimpleFold(r)
			if next <= r {
				return next // around the orbit: its smallest
			}
			r = next
		}
	}, name)
}

// walk reads one value; known names members of the outermost object.
func walk(d *json.Decoder, known map[string]string, depth int) error {
	if depth > maxDepth {
		return errors.New("jose: claims are nested too deeply")
	}
	t, err := d.Token()
	if err != nil {
		return fmt.Errorf("jose: claims: %w", err)
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if open == '{' {
			t, err := d.Token()
			if err != nil {
				return fmt.Errorf("jose: claims: %w", err)
			}
			name, _ := t.(string)
			if seen[name] {
				return errors.New("jose: a member stands twice")
			}
			seen[name] = true
			if want, ok := known[fold(name)]; ok && want != name {
				return errors.New("jose: a member in another case than the one we know")
			}
		}
		if err := walk(d, nil, depth+1); err != nil {
			return err
		}
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("jose: claims: %w", err)
	}
	return nil
}

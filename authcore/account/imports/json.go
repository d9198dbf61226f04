package imports

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
)

// maxLine is the longest line of a file with a user a line, in bytes.
const maxLine = 1 << 20

// reader makes a record of a user in JSON.
type reader func(raw []byte) (account.Record, error)

// ownRecord reads our own format, which holds nothing that is not known.
func ownRecord(raw []byte) (account.Record, error) {
	var rec account.Record
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&rec); err != nil {
		return rec, inWords(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return rec, errors.New("there is something after the JSON object")
	}
	return rec, nil
}

// inWords says what is wrong with JSON without showing any of its values.
func inWords(err error) error {
	if wrong, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		return fmt.Errorf("the member %q is of another type than it must be", wrong.Field)
	}
	if _, name, ok := strings.Cut(err.Error(), "unknown field "); ok {
		return fmt.Errorf("there is no member %.60s", name)
	}
	return errors.New("this is not JSON")
}

// lines reads a user a line; empty lines are passed over.
func lines(r io.Reader, read reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		b := bufio.NewReaderSize(r, maxLine)
		for n := 1; ; n++ {
			raw, err := b.ReadSlice('\n')
			long := errors.Is(err, bufio.ErrBufferFull)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = b.ReadSlice('\n')
			}
			if err != nil && !errors.Is(err, io.EOF) {
				yield(Item{Line: n}, fmt.Errorf("line %d: %w", n, err))
				return
			}
			item := Item{Line: n}
			text := bytes.TrimSpace(raw)
			if n == 1 {
				text = bytes.TrimPrefix(text, []byte("\ufeff"))
			}
			switch {
			case long:
				item.Err = fmt.Errorf("the line is longer than %d bytes", maxLine)
			case len(text) > 0:
				item.Record, item.Err = read(text)
			}
			if (long || len(text) > 0) && !yield(item, nil) || err != nil {
				return
			}
		}
	}
}

// either reads an array of users, or a user a line.
func either(r io.Reader, read reader) iter.Seq2[Item, error] {
	b := bufio.NewReader(r)
	head, _ := b.Peek(b.Size()) // what fails is read again, and fails there
	head = bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\ufeff")))
	if len(head) > 0 && head[0] == '[' {
		return document(b, read)
	}
	return lines(b, read)
}

// document reads the users of one JSON value: an array, or an object with the
// array as its member users.
func document(r io.Reader, read reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		l := &lineReader{r: r}
		d := json.NewDecoder(l)
		if err := toUsers(d); err != nil {
			yield(Item{}, err)
			return
		}
		for d.More() {
			var raw json.RawMessage
			if err := d.Decode(&raw); err != nil {
				yield(cut(l.line(d.InputOffset()), err))
				return
			}
			item := Item{Line: l.line(d.InputOffset() - int64(len(raw)))}
			item.Record, item.Err = read(raw)
			if !yield(item, nil) {
				return
			}
		}
		if _, err := d.Token(); err != nil { // the closing bracket
			yield(cut(l.line(d.InputOffset()), err))
		}
	}
}

// cut is what stands in place of all that follows damage: an item, or the
// error of a file that cannot be read.
func cut(line int, err error) (Item, error) {
	if isJSONError(err) {
		return Item{Line: line, Err: errors.New("the JSON is damaged or ends too early: nothing from here on was read")}, nil
	}
	return Item{Line: line}, fmt.Errorf("line %d: %w", line, err)
}

// isJSONError tells damage from a file that cannot be read.
func isJSONError(err error) bool {
	_, syntax := errors.AsType[*json.SyntaxError](err)
	return syntax || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF)
}

// toUsers goes to the first user.
func toUsers(d *json.Decoder) error {
	none := errors.New("the file holds no list of users: it must be an array, or an object with the member users")
	first, err := d.Token()
	if err != nil {
		return fmt.Errorf("the file is not JSON: %w", none)
	}
	if first == json.Delim('[') {
		return nil
	}
	if first != json.Delim('{') {
		return none
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return none
		}
		if name == "users" {
			if open, err := d.Token(); err != nil || open != json.Delim('[') {
				return none
			}
			return nil
		}
		var other json.RawMessage
		if err := d.Decode(&other); err != nil {
			return none
		}
	}
	return none
}

// lineReader knows in which line a byte was.
type lineReader struct {
	r      io.Reader
	at     int64
	passed int
	breaks []int64 // offsets of line ends that are not passed yet
}

// Read passes bytes on.
func (l *lineReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	for i, c := range p[:n] {
		if c == '\n' {
			l.breaks = append(l.breaks, l.at+int64(i))
		}
	}
	l.at += int64(n)
	return n, err
}

// line is that of an offset; offsets must not fall.
func (l *lineReader) line(offset int64) int {
	for len(l.breaks) > 0 && l.breaks[0] < offset {
		l.breaks = l.breaks[1:]
		l.passed++
	}
	return l.passed + 1
}

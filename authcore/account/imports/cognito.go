package imports

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// table reads Cognito's CSV: the header that GetCSVHeader gives, password_hash
// included, and sub for those who have it.
func table(r io.Reader, drop []string) (iter.Seq2[Item, error], error) {
	c := csv.NewReader(withoutMark(r))
	c.FieldsPerRecord = -1
	c.ReuseRecord = true
	head, err := c.Read()
	if err != nil {
		return nil, errors.New("the file has no header line")
	}
	columns := slices.Clone(head)
	for i, name := range columns {
		columns[i] = strings.TrimSpace(name)
	}
	if err := checkColumns(columns, drop); err != nil {
		return nil, err
	}
	return func(yield func(Item, error) bool) {
		for {
			fields, err := c.Read()
			bad, damaged := errors.AsType[*csv.ParseError](err)
			switch {
			case errors.Is(err, io.EOF):
				return
			case damaged:
				if !yield(Item{Line: bad.StartLine, Err: errors.New("the line is not CSV: a quote is missing or too many")}, nil) {
					return
				}
				continue
			case err != nil:
				yield(Item{}, err)
				return
			}
			line, _ := c.FieldPos(0)
			item := Item{Line: line}
			item.Record, item.Err = cognitoRecord(columns, fields, drop)
			if !yield(item, nil) {
				return
			}
		}
	}, nil
}

// withoutMark skips a byte order mark.
func withoutMark(r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	if c, _, err := b.ReadRune(); err == nil && c != '\ufeff' {
		_ = b.UnreadRune() // just read
	}
	return b
}

// ignored are columns that say nothing that is kept here.
func ignored() []string { return []string{"cognito:mfa_enabled", "updated_at"} }

// checkColumns refuses a header with columns that nobody could keep.
func checkColumns(columns, drop []string) error {
	known := slices.Concat(pool.ProfileClaims(), ignored(), drop, []string{
		"cognito:username", "sub", "name", "email", "email_verified", "phone_number", "phone_number_verified", "password_hash", "preferred_username",
	})
	for i, name := range columns {
		custom := strings.HasPrefix(name, "custom:")
		switch {
		case slices.Contains(columns[:i], name):
			return fmt.Errorf("the column %q is there twice", name)
		case !custom && !slices.Contains(known, name):
			return fmt.Errorf("the column %q is not known: leave it out with --drop", name)
		}
	}
	if !slices.Contains(columns, "cognito:username") && !slices.Contains(columns, "email") && !slices.Contains(columns, "phone_number") {
		return errors.New("the header has neither cognito:username nor email nor phone_number: is it Cognito's?")
	}
	return nil
}

// cognitoRecord makes a record of a line.
func cognitoRecord(columns, fields, drop []string) (account.Record, error) {
	var rec account.Record
	if len(fields) != len(columns) {
		return rec, fmt.Errorf("the line has %d fields and the header %d", len(fields), len(columns))
	}
	name := ""
	for i, column := range columns {
		value := strings.TrimSpace(fields[i])
		if value == "" || slices.Contains(drop, column) || slices.Contains(ignored(), column) {
			continue
		}
		var err error
		switch column {
		case "cognito:username":
			name = value
		case "sub":
			rec.Sub = value
		case "name":
			rec.Name = value
		case "email":
			rec.Email = value
		case "phone_number":
			rec.Phone = value
		case "email_verified":
			rec.EmailVerified, err = truth(column, value)
		case "phone_number_verified":
			rec.PhoneVerified, err = truth(column, value)
		case "password_hash":
			rec.Hash = value
		default:
			if !slices.Contains(pool.ProfileClaims(), column) {
				return rec, fmt.Errorf("there is no place for %s: leave it out with --drop %s", column, column)
			}
			claim(&rec, column, value)
		}
		if err != nil {
			return rec, err
		}
	}
	named(&rec, name)
	return rec, nil
}

func truth(column, value string) (bool, error) {
	switch strings.ToLower(value) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, fmt.Errorf("%s is neither TRUE nor FALSE", column)
}

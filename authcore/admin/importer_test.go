package admin

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// manyUsers is a file of n users.
func manyUsers(n int) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, `{"username":"user%d"}`+"\n", i)
	}
	return text.String()
}

// taken answers that everybody was added.
func taken(_ context.Context, users []Record) ([]Outcome, error) {
	return slices.Repeat([]Outcome{{Result: Added}}, len(users)), nil
}

func TestAnImportSettlesInTheFilesOrder(t *testing.T) {
	const n = 2100
	text := "{\n" + manyUsers(n) + `{"username":"USER7"}`
	var lines []int
	var refused []Settled
	i := Importer{Format: "ndjson", Send: taken, Settle: func(part []Settled) error {
		for _, s := range part {
			lines = append(lines, s.Line)
			if s.Result == Refused {
				refused = append(refused, s)
			}
		}
		return nil
	}}
	if err := i.Run(t.Context(), strings.NewReader(text)); err != nil {
		t.Fatal(err)
	}
	if !slices.IsSorted(lines) || len(lines) != n+2 {
		t.Errorf("%d lines, %v…", len(lines), lines[:5])
	}
	want := []Settled{
		{1, Outcome{Result: Refused, Reason: "this is not JSON"}},
		{n + 2, Outcome{Result: Refused, Reason: "the same sub, user name, e-mail address or phone number stands in line 9"}},
	}
	if !reflect.DeepEqual(refused, want) {
		t.Errorf("%+v", refused)
	}
}

// After the first failure nothing is settled, so that the next run sends it again.
func TestAFailureSettlesNothingBehindIt(t *testing.T) {
	gone := errors.New("gone")
	for name, c := range map[string]struct {
		send func(context.Context, []Record) ([]Outcome, error)
		want error
	}{
		"the server goes": {func(ctx context.Context, users []Record) ([]Outcome, error) {
			if users[0].Username != "user0" {
				return nil, gone
			}
			return taken(ctx, users)
		}, gone},
		"an answer of another length": {func(ctx context.Context, users []Record) ([]Outcome, error) {
			if users[0].Username != "user0" {
				users = users[1:]
			}
			return taken(ctx, users)
		}, nil},
	} {
		settled := 0
		i := Importer{Format: "ndjson", Send: c.send, Settle: func(part []Settled) error { settled += len(part); return nil }}
		err := i.Run(t.Context(), strings.NewReader(manyUsers(3000)))
		if err == nil || c.want != nil && !errors.Is(err, c.want) || settled != importBatch {
			t.Errorf("%s: %v after %d", name, err, settled)
		}
		sent := 0
		i.Skip = settled
		i.Send = func(ctx context.Context, users []Record) ([]Outcome, error) { return taken(ctx, users) }
		i.Settle = func(part []Settled) error { sent += len(part); return nil }
		if err := i.Run(t.Context(), strings.NewReader(manyUsers(3000))); err != nil || sent != 3000-importBatch {
			t.Errorf("%s: %v, %d sent again", name, err, sent)
		}
	}
}

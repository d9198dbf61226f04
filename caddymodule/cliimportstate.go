package caddymodule

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
)

// importCounts says how many users met which end.
type importCounts struct {
	Added   int `json:"added"`
	Exists  int `json:"exists"`
	Refused int `json:"refused"`
}

// importState is what a run leaves beside the file, so that the next one goes
// on where it ended. It is written after the server has acknowledged.
type importState struct {
	Size       int64        `json:"size"`
	Modified   time.Time    `json:"modified"`
	Format     string       `json:"format"`
	Pool       string       `json:"pool"`
	Users      int          `json:"users"` // dealt with, from the beginning
	Counts     importCounts `json:"counts"`
	ErrorsSize int64        `json:"errors_size"`

	path string // empty: nothing is kept
}

// openState reads what an earlier run on the same file left, if it left
// something. A dry run has nothing to go on with.
func openState(file *os.File, path string, f importFlags, pool string) (*importState, error) {
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	fresh := importState{Size: info.Size(), Modified: info.ModTime().UTC(), Format: f.format, Pool: pool}
	if f.dry {
		return &fresh, nil
	}
	fresh.path = path + ".progress"
	raw, err := os.ReadFile(fresh.path)
	if errors.Is(err, fs.ErrNotExist) {
		return &fresh, nil
	}
	if err != nil {
		return nil, err
	}
	var left importState
	if json.Unmarshal(raw, &left) != nil || left.Size != fresh.Size || !left.Modified.Equal(fresh.Modified) || left.Format != fresh.Format || left.Pool != fresh.Pool {
		return &fresh, nil // of another file, or damaged: whoever is there is passed over anyway
	}
	left.path = fresh.path
	return &left, nil
}

// save replaces the file in one step.
func (s *importState) save() error {
	if s.path == "" {
		return nil
	}
	raw, err := json.Marshal(s)
	if err != nil {
		return err
	}
	if err := os.WriteFile(s.path+".new", raw, 0o600); err != nil {
		return err
	}
	return os.Rename(s.path+".new", s.path)
}

// remove forgets a run that has come to its end.
func (s *importState) remove() error {
	if s.path == "" {
		return nil
	}
	if err := os.Remove(s.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// importReport counts, and writes the file of what was refused.
type importReport struct {
	DryRun bool
	Format string

	path   string
	size   int64 // of what the batches so far have written
	file   *os.File
	out    *bufio.Writer
	counts importCounts
}

// refusal is a line of the file of errors.
type refusal struct {
	Line   int    `json:"line"`
	Reason string `json:"reason"`
}

// add notes what became of a batch.
func (r *importReport) add(part []admin.Settled) error {
	for _, u := range part {
		switch u.Result {
		case admin.Added:
			r.counts.Added++
		case admin.Exists:
			r.counts.Exists++
		default:
			r.counts.Refused++
			if err := r.refuse(u); err != nil {
				return err
			}
		}
	}
	return r.flush()
}

// refuse writes why a user was refused.
func (r *importReport) refuse(u admin.Settled) error {
	if err := r.open(); err != nil {
		return err
	}
	raw, err := json.Marshal(refusal{u.Line, u.Reason})
	if err != nil {
		return err
	}
	n, err := r.out.Write(append(raw, '\n'))
	r.size += int64(n)
	return err
}

// open opens the file with the first refusal, behind what an earlier run has
// noted down for good.
func (r *importReport) open() (err error) {
	if r.file != nil {
		return nil
	}
	if r.file, err = os.OpenFile(r.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	r.out = bufio.NewWriter(r.file)
	if err := r.file.Truncate(r.size); err != nil {
		return err
	}
	_, err = r.file.Seek(r.size, io.SeekStart)
	return err
}

func (r *importReport) flush() error {
	if r.file == nil {
		return nil
	}
	return r.out.Flush()
}

func (r *importReport) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.out.Flush(), r.file.Close())
}

// tell prints the result; refused lines are a failure.
func (r *importReport) tell(c *cli, cmd *cobra.Command) error {
	result := struct {
		importCounts
		DryRun bool   `json:"dry_run"`
		Format string `json:"format"`
		Errors string `json:"errors,omitempty"`
	}{r.counts, r.DryRun, r.Format, ""}
	if r.counts.Refused > 0 {
		result.Errors = r.path
	}
	err := c.print(cmd, result, func(w io.Writer) {
		verb := "Added"
		if r.DryRun {
			verb = "Nothing was changed. Would add"
		}
		fmt.Fprintf(w, "%s %d, there already %d, refused %d.\n", verb, r.counts.Added, r.counts.Exists, r.counts.Refused)
	})
	if err == nil && r.counts.Refused > 0 {
		err = fmt.Errorf("%d users were refused: %s says which and why", r.counts.Refused, r.path)
	}
	return err
}

package caddymodule

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/gatehouse-auth/gatehouse/authcore/admin"
)

func (c *cli) exportCommand() *cobra.Command {
	return c.command("export <file>", "Writes all users to a new file, with the hashes of their passwords", cobra.ExactArgs(1),
		func(cmd *cobra.Command, api *adminAPI, args []string) error {
			n, err := c.export(cmd, api, args[0])
			if err != nil {
				return err
			}
			return c.print(cmd, map[string]int{"users": n}, func(w io.Writer) {
				fmt.Fprintf(w, "Wrote %d users. The file holds the hashes of their passwords: keep it as you would keep them.\n", n)
			})
		})
}

// export writes all pages. The file gets its name when it is whole.
func (c *cli) export(cmd *cobra.Command, api *adminAPI, path string) (n int, err error) {
	if exists(path) {
		return 0, fmt.Errorf("%s is there already: name a new file", path)
	}
	partial := path + ".partial"
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	b := newBar(cmd.ErrOrStderr(), 0)
	n, err = c.writeUsers(cmd, api, file, b)
	b.end()
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return 0, errors.Join(err, os.Remove(partial))
	}
	return n, os.Rename(partial, path)
}

func (c *cli) writeUsers(cmd *cobra.Command, api *adminAPI, w io.Writer, b *bar) (int, error) {
	out := bufio.NewWriter(w)
	lines := json.NewEncoder(out)
	lines.SetEscapeHTML(false)
	n := 0
	for after := ""; ; {
		var page admin.Records
		if err := api.call(cmd.Context(), "GET", c.base()+"/export?after="+escape(after), nil, &page); err != nil {
			return n, err
		}
		for i := range page.Users {
			if err := lines.Encode(&page.Users[i]); err != nil {
				return n, err
			}
		}
		n += len(page.Users)
		b.show(0, n)
		if after = page.Next; after == "" {
			return n, out.Flush()
		}
	}
}

// barWidth is how many characters a full bar has.
const barWidth = 30

// bar shows progress on a terminal, and nothing elsewhere.
type bar struct {
	w     io.Writer // nil: no terminal
	total int64     // 0: not known
	begun time.Time
	shown time.Time
}

func newBar(w io.Writer, total int64) *bar {
	f, ok := w.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		w = nil
	}
	return &bar{w: w, total: total, begun: time.Now()}
}

// show draws how much of the total is done, and how many users that is.
func (b *bar) show(done int64, users int) {
	if b.w == nil || time.Since(b.shown) < 100*time.Millisecond {
		return
	}
	b.shown = time.Now()
	fmt.Fprint(b.w, "\r"+b.line(done, users, time.Since(b.begun))+"\x1b[K")
}

// line is what show draws.
func (b *bar) line(done int64, users int, took time.Duration) string {
	rate := fmt.Sprintf("%d users, %.0f a second", users, float64(users)/max(took.Seconds(), 0.001))
	if b.total == 0 {
		return rate
	}
	share := min(float64(done)/float64(b.total), 1)
	full := int(share * barWidth)
	cells := make([]byte, barWidth)
	for i := range cells {
		cells[i] = " #"[min(max(full-i, 0), 1)]
	}
	return fmt.Sprintf("[%s] %3.0f %%  %s", cells, share*100, rate)
}

// end leaves the line to what is printed next.
func (b *bar) end() {
	if b.w != nil {
		fmt.Fprintln(b.w)
	}
}

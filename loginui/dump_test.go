package loginui

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var dump = flag.String("dump", "", "write every page as HTML into this directory")

// TestDump writes the pages for people to look at:
// go test ./loginui -run TestDump -dump DIR.
func TestDump(t *testing.T) {
	if *dump == "" {
		t.Skip("no -dump directory given")
	}
	u := newUI(t)
	for _, s := range samples() {
		if err := os.WriteFile(filepath.Join(*dump, s.name+".html"), []byte(render(t, u, s.page)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

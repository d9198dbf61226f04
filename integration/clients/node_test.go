package clients

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestOpenIDClient takes the whole way with npm's openid-client.
func TestOpenIDClient(t *testing.T) { script(t, "openid-client.js") }

// TestOAuth4WebAPI takes the whole way with npm's oauth4webapi.
func TestOAuth4WebAPI(t *testing.T) { script(t, "oauth4webapi.js") }

// script runs a client written in JavaScript at both places.
func script(t *testing.T, name string) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is missing")
	}
	if _, err := os.Stat("node_modules/openid-client"); err != nil {
		t.Skip("node_modules is missing: run `make tools`")
	}
	everywhere(t, func(t *testing.T, w *world) {
		w.node(t, name)
		w.opened(t, "shop", "shop", "shop-post", "shop-post", "phone", "phone", "batch")
	})
}

// node runs the script. A line `visit ADDRESS` that it prints asks for a
// person to go there; it reads where the person ended.
func (w *world) node(t *testing.T, name string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", name)
	cmd.Env = append(os.Environ(), "ISSUER="+w.issuer, "API="+w.api, "SECRET="+secret, "REDIRECT="+redirect, "PERSON="+person)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		target, asks := strings.CutPrefix(lines.Text(), "visit ")
		if !asks {
			t.Log(lines.Text())
			continue
		}
		if _, err := fmt.Fprintln(in, visit(t, target)); err != nil {
			t.Error(err)
		}
	}
	_ = in.Close() // the script has ended or goes on without
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, errs.String())
	}
}

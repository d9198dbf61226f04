package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// root is the repository, seen from this package.
const root = "../.."

// secretOf is the value of a variable that a document names as a secret.
func secretOf(name string) string { return "0123456789abcdef" + strings.ToLower(name) }

// secrets are the variables that the documents name.
func secrets() []string {
	var env []string
	for _, name := range []string{"SHOP_SECRET", "BATCH_SECRET", "BATCH_SECRET_OLD", "ROBOT_SECRET"} {
		env = append(env, name+"="+secretOf(name))
	}
	return env
}

// caddy runs a command of the binary in the repository, with a home of its
// own and no server, and returns what it printed to standard output.
func caddy(t *testing.T, home string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, harness.Binary(t), args...)
	var out, problems bytes.Buffer
	cmd.Dir, cmd.Stdout, cmd.Stderr = root, &out, &problems
	cmd.Env = append(append(os.Environ(), secrets()...), "HOME="+home, "XDG_DATA_HOME="+home, "XDG_CONFIG_HOME="+home, "DEMO="+home)
	if err := cmd.Run(); err != nil {
		return out.String(), errors.Join(err, errors.New(problems.String()))
	}
	return out.String(), nil
}

var (
	exampleURI  = regexp.MustCompile(`https://(\w+)\.example\.com`)
	exampleSite = regexp.MustCompile(`(?m)^(?:http://)?(\w+)\.example\.com \{`)
	proxyTo     = regexp.MustCompile(`reverse_proxy \S+`)
	globals     = regexp.MustCompile(`(?m)^\{\n`)
)

// run starts a document's Caddyfile. Its sites *.example.com become
// http://localhost at a port each, named like the host, and upstream stands
// behind every proxy.
func run(t *testing.T, caddyfile string, upstream *harness.Upstream) *harness.Server {
	t.Helper()
	const site = "http://localhost:{{port $1}}"
	caddyfile = proxyTo.ReplaceAllString(caddyfile, "reverse_proxy "+upstream.Address)
	sites := exampleSite.FindAllStringSubmatch(caddyfile, -1)
	caddyfile = exampleURI.ReplaceAllString(caddyfile, site)
	caddyfile = exampleSite.ReplaceAllString(caddyfile, site+" {")
	if globals.MatchString(caddyfile) {
		caddyfile = globals.ReplaceAllString(caddyfile, "{\n\tadmin {{admin}}\n")
	} else {
		caddyfile = "{\n\tadmin {{admin}}\n}\n" + caddyfile
	}
	s := harness.Start(t, caddyfile, harness.Options{Env: secrets()})
	for _, m := range sites { // one answers: the others are about to
		listens(t, s.Port(m[1]))
	}
	return s
}

// listens waits until something listens at a port.
func listens(t *testing.T, port int) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if c, err := net.Dial("tcp", fmt.Sprintf("localhost:%d", port)); err == nil {
			_ = c.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("nothing listens at port %d", port)
		}
	}
}

// read returns a file of the repository.
func read(t *testing.T, path ...string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(append([]string{root}, path...)...))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

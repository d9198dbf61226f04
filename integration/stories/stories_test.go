package stories

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// TestStories runs every story on every store.
func TestStories(t *testing.T) {
	harness.Binary(t) // built before the stories share the machine
	for _, store := range []string{"memory", "sqlite"} {
		t.Run(store, func(t *testing.T) {
			testscript.Run(t, testscript.Params{
				Dir: "testdata", Cmds: commands(), RequireUniqueNames: true,
				Setup: func(e *testscript.Env) error { return begin(e, store) },
				Condition: func(c string) (bool, error) {
					if c == "memory" || c == "sqlite" {
						return c == store, nil
					}
					return false, fmt.Errorf("no condition %q", c)
				},
			})
		})
	}
}

// story is the state of one story.
type story struct {
	t        testing.TB
	options  harness.Options
	server   *harness.Server
	ups      map[string]*harness.Upstream
	browsers map[string]*harness.Browser
	browser  *harness.Browser
	answer   answer // what status and header look at
}

type key struct{}

// begin prepares a story: an upstream, a browser, and the variables of both.
func begin(e *testscript.Env, store string) error {
	t, ok := e.T().(testing.TB)
	if !ok {
		return errors.New("testscript no longer hands out a testing.TB")
	}
	dir := filepath.Join(e.WorkDir, ".server")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	s := &story{
		t: t, options: harness.Options{Dir: dir, Store: store, Vars: map[string]string{"work": e.WorkDir}},
		ups: map[string]*harness.Upstream{}, browsers: map[string]*harness.Browser{},
	}
	s.upstream("up")
	s.browse("first")
	e.Values[key{}] = s
	e.Setenv("store", store)
	e.Setenv("home", dir)
	e.Setenv("data", filepath.Join(dir, "data", "caddy", "gatehouse"))
	e.Defer(func() {
		if s.server != nil {
			s.server.Stop() // before the work directory goes
		}
	})
	return nil
}

// upstream returns the upstream of a name, made the first time; Caddyfiles know it as {{NAME}}.
func (s *story) upstream(name string) *harness.Upstream {
	if s.ups[name] == nil {
		s.ups[name] = harness.NewUpstream(s.t)
		s.options.Vars[name] = s.ups[name].Address
	}
	return s.ups[name]
}

// browse makes the browser of a name the current one.
func (s *story) browse(name string) {
	if s.browsers[name] == nil {
		s.browsers[name] = harness.NewBrowser(s.t)
	}
	s.browser = s.browsers[name]
}

// TestEveryCommandIsDocumented holds README.md against the commands, both ways.
func TestEveryCommandIsDocumented(t *testing.T) {
	raw, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for line := range strings.Lines(string(raw)) {
		if rest, ok := strings.CutPrefix(line, "| `"); ok {
			name, _, _ := strings.Cut(rest, "`")
			name, _, _ = strings.Cut(name, " ")
			told[name] = true
			if commands()[name] == nil {
				t.Errorf("README.md tells of %s, which is no command", name)
			}
		}
	}
	for name := range commands() {
		if !told[name] {
			t.Errorf("README.md does not tell of %s", name)
		}
	}
}

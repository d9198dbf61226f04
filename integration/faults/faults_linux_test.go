package faults

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

const (
	password = "a long enough password"
	sites    = `{
	admin {{admin}}
	gatehouse {
		store {{store}}
		resource http://localhost:{{port api}} orders.read
		client shop {
			redirect http://127.0.0.1:1/callback
			scopes openid orders.read
		}
		client batch {
			secret batch-secret-0123456789abcdef
			grant client_credentials orders.read
		}
	}
}
http://localhost:{{port app}} {
	gatehouse
	reverse_proxy {{up}}
}
http://localhost:{{port api}} {
	gatehouse_require scope:orders.read
	reverse_proxy {{up}}
}
`
	recovery = 20 * time.Second // until everything works again
)

func shop() harness.Client {
	return harness.Client{ID: "shop", Redirect: "http://127.0.0.1:1/callback"}
}
func batch() harness.Client {
	return harness.Client{ID: "batch", Secret: "batch-secret-0123456789abcdef"}
}

// victim is a server whose disk is taken away, and who is known to it.
type victim struct {
	*harness.Server
	t        *testing.T
	provider harness.Provider
	known    []*harness.Browser // signed in; the second has not been seen since
	machine  string             // access tokens
	person   *harness.Answer
	pid      int
	serial   int
	users    []string // acknowledged
	refused  []string // not acknowledged
}

func start(t *testing.T, dir string) *victim {
	t.Helper()
	up := harness.NewUpstream(t)
	v := &victim{t: t}
	v.Server = harness.Start(t, sites, harness.Options{Dir: dir, Vars: map[string]string{"up": up.Address}, Ready: "app"})
	v.provider = harness.Provider{Base: v.URL("app") + "/_auth"}
	v.AddUser("bob", password)
	for range 2 {
		b := harness.NewBrowser(t)
		b.Get(v.URL("app") + "/")
		if b.SignIn("bob", password); b.Status != http.StatusOK {
			t.Fatalf("%d at %s", b.Status, b.URL)
		}
		v.known = append(v.known, b)
	}
	v.machine = v.provider.Machine(t, batch(), "orders.read")
	a, err := v.provider.Redeem(shop(), v.provider.GetCode(t, v.known[0], shop(), "openid orders.read", "bob", password))
	if err != nil || a.Status != http.StatusOK {
		t.Fatalf("%+v, %v", a, err)
	}
	v.person = a
	v.pid = v.PID()
	v.everythingWorks(time.Second)
	return v
}

// gateHolds: who is known goes through, who is not stays out.
func (v *victim) gateHolds() {
	v.t.Helper()
	for i, b := range v.known {
		if b.Get(v.URL("app") + "/"); b.Status != http.StatusOK || !strings.HasPrefix(b.Body, "user=") || len(b.Hops) != 1 {
			v.t.Errorf("the known session %d is kept out: %d, %v", i, b.Status, b.Hops)
		}
	}
	for _, token := range []string{v.machine, v.person.Access} {
		if res, _ := harness.Call(v.t, "GET", v.URL("api")+"/", token); res.StatusCode != http.StatusOK {
			v.t.Errorf("a known token is kept out: %d", res.StatusCode)
		}
	}
	for _, token := range []string{"", "nonsense"} {
		if res, _ := harness.Call(v.t, "GET", v.URL("api")+"/", token); res.StatusCode != http.StatusUnauthorized {
			v.t.Errorf("a stranger at the gate: %d", res.StatusCode)
		}
	}
}

// errRefused is a clean refusal; any other error is not.
var errRefused = errors.New("refused")

// clean judges an answer of a face that could not write.
func clean(status int, h http.Header, ok bool, dirty string) error {
	switch {
	case ok:
		return nil
	case status == http.StatusServiceUnavailable && h.Get("Retry-After") != "":
		return errRefused
	}
	return fmt.Errorf("not a clean refusal: %d, Retry-After %q: %s", status, h.Get("Retry-After"), dirty)
}

// signIn signs a new browser in.
func (v *victim) signIn() error {
	b := harness.NewBrowser(v.t)
	if err := b.Navigate("GET", v.URL("app")+"/", nil); err != nil {
		return err
	}
	if err := clean(b.Status, b.Header, b.Status == http.StatusOK, b.Body); err != nil {
		return err
	}
	if err := b.TrySubmit(map[string]string{"identifier": "bob", "password": password}); err != nil {
		return err
	}
	if b.Status != http.StatusOK && !strings.Contains(b.Body, "<html") {
		return fmt.Errorf("not a page: %q", b.Body)
	}
	return clean(b.Status, b.Header, b.Status == http.StatusOK && strings.HasPrefix(b.Body, "user="), b.Body)
}

// code gets a code in a browser that is signed in, and redeems it.
func (v *victim) code() error {
	b := v.known[0]
	target, verifier := v.provider.Authorize(shop(), "openid orders.read", nil)
	if err := b.Navigate("GET", target, nil); err != nil {
		return err
	}
	code := b.URL.Query().Get("code")
	if b.URL.Port() == "1" && b.URL.Query().Get("error") == "temporarily_unavailable" {
		return errRefused // RFC 6749 4.1.2.1: a redirect cannot carry 503
	}
	if err := clean(b.Status, b.Header, code != "", b.URL.String()+"\n"+b.Body); err != nil {
		return err
	}
	a, err := v.provider.Redeem(shop(), harness.Code{Value: code, Verifier: verifier})
	return v.tokens(a, err)
}

func (v *victim) tokens(a *harness.Answer, err error) error {
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK && (a.Error == "" || a.Access != "" || a.Refresh != "") {
		return fmt.Errorf("not an OAuth error: %+v", a)
	}
	return clean(a.Status, a.Header, a.Status == http.StatusOK, fmt.Sprintf("%+v", a))
}

// refresh refreshes; a client that is refused keeps its token.
func (v *victim) refresh() error {
	a, err := v.provider.Refresh(shop(), v.person.Refresh)
	if err := v.tokens(a, err); err != nil {
		return err
	}
	v.person = a
	return nil
}

// addUser adds a user by the command line.
func (v *victim) addUser() error {
	v.serial++
	name := "u" + strconv.Itoa(v.serial)
	_, err := v.Caddy(nil, "gatehouse", "user", "add", name)
	if err == nil {
		v.users = append(v.users, name)
		return nil
	}
	v.refused = append(v.refused, name)
	if text := err.Error(); strings.Contains(text, "panic") || strings.Contains(text, "SQLITE") {
		return err
	}
	return errRefused
}

type action struct {
	name string
	do   func() error
}

func (v *victim) actions() []action {
	return []action{{"user add", v.addUser}, {"sign-in", v.signIn}, {"code", v.code}, {"refresh", v.refresh}}
}

// everythingWorks tries everything until all of it works.
func (v *victim) everythingWorks(patience time.Duration) {
	v.t.Helper()
	began := time.Now()
	for _, a := range v.actions() {
		for {
			err := a.do()
			if err == nil {
				break
			}
			if !errors.Is(err, errRefused) || time.Since(began) > patience {
				v.t.Fatalf("%s, %v after the disk is back: %v", a.name, time.Since(began).Round(time.Millisecond), err)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	v.t.Logf("all of it works after %v", time.Since(began).Round(time.Millisecond))
}

// suffer does everything while the disk is away. Each of must has to be
// refused at some time, and nothing may fail in another way than cleanly.
func (v *victim) suffer(must ...string) {
	v.t.Helper()
	refused, slowest := map[string]int{}, map[string]time.Duration{}
	for range 4 {
		for _, a := range v.actions() {
			began := time.Now()
			err := a.do()
			slowest[a.name] = max(slowest[a.name], time.Since(began).Round(time.Millisecond))
			switch {
			case errors.Is(err, errRefused):
				refused[a.name]++
			case err != nil:
				v.t.Errorf("%s: %v", a.name, err)
			}
		}
		v.gateHolds()
	}
	v.t.Logf("refused: %v; slowest: %v", refused, slowest)
	for _, name := range must {
		if refused[name] == 0 {
			v.t.Errorf("%s was never refused: the fault does not reach it", name)
		}
	}
}

// aftermath: nothing that was acknowledged is lost, nothing refused half done.
func (v *victim) aftermath() {
	v.t.Helper()
	if v.PID() != v.pid || syscall.Kill(v.pid, 0) != nil {
		v.t.Error("the process was restarted")
	}
	check := func() {
		v.t.Helper()
		for _, name := range v.users {
			if _, err := v.Caddy(nil, "gatehouse", "user", "show", name); err != nil {
				v.t.Errorf("the acknowledged user %s is lost: %v", name, err)
			}
		}
		v.gateHolds()
	}
	check()
	logs := v.Logs()
	if strings.Contains(logs, "panic") || strings.Contains(logs, "goroutine ") {
		v.t.Error("something panicked")
	}
	v.Restart()
	check()
	time.Sleep(11 * time.Second) // a name stays reserved so long for a creation that was cut off
	for _, name := range v.refused {
		if _, err := v.Caddy(nil, "gatehouse", "user", "show", name); err == nil {
			continue // the answer was lost, not the user
		}
		if _, err := v.Caddy(nil, "gatehouse", "user", "add", name); err != nil {
			v.t.Errorf("the refused user %s cannot be added: %v", name, err)
		}
	}
}

func TestFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root: the full disk is not tested here")
	}
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "size=16m"); err != nil {
		t.Skipf("no tmpfs can be mounted here (%v): the full disk is not tested", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(data, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	v := start(t, dir)
	filler := filepath.Join(data, "filler")
	for round := range 2 {
		fill(t, filler)
		v.suffer("user add", "sign-in", "code", "refresh")
		if err := v.Reload(); err != nil {
			t.Logf("a reload meanwhile is refused: %.300s", err)
		}
		v.gateHolds() // by the new configuration, or by the old one
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		v.everythingWorks(recovery)
		if err := v.Reload(); err != nil {
			t.Error(err)
		}
		v.gateHolds()
		t.Logf("round %d", round)
	}
	v.aftermath()
}

// fill writes until nothing more fits.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	block := bytes.Repeat([]byte{'x'}, 4096)
	for err == nil {
		_, err = f.Write(block)
	}
	for err = nil; err == nil; {
		_, err = f.Write(block[:1])
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestDiskErrors(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: failing system calls are not tested here")
	}
	for _, c := range []struct {
		name, inject string
		must         []string
	}{
		{"fsync", "fsync,fdatasync:error=EIO", []string{"user add"}},
		{"write", "pwrite64,pwritev:error=EIO", []string{"user add", "sign-in", "code", "refresh"}},
		{"no space", "pwrite64,pwritev:error=ENOSPC", []string{"user add", "sign-in", "code", "refresh"}},
		{"quota", "pwrite64,ftruncate,fallocate:error=EDQUOT", []string{"user add", "sign-in", "code", "refresh"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := start(t, "")
			stop := inject(t, v.pid, c.inject)
			v.suffer(c.must...)
			stop()
			v.everythingWorks(recovery)
			v.aftermath()
		})
	}
}

// inject lets system calls of a process fail until the returned function is called.
func inject(t *testing.T, pid int, what string) (stop func()) {
	t.Helper()
	calls, _, _ := strings.Cut(what, ":")
	var said bytes.Buffer
	cmd := exec.CommandContext(t.Context(), "strace", "-f", "-o", filepath.Join(t.TempDir(), "trace"),
		"-e", "trace="+calls, "-e", "inject="+what, "-p", strconv.Itoa(pid))
	cmd.Stderr = &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for began := time.Now(); !traced(pid); time.Sleep(10 * time.Millisecond) {
		select {
		case err := <-ended:
			t.Skipf("strace cannot trace here (%v): failing system calls are not tested\n%s", err, said.String())
		default:
		}
		if time.Since(began) > 10*time.Second {
			t.Fatal("strace does not attach")
		}
	}
	return func() {
		_ = cmd.Process.Signal(os.Interrupt)
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			t.Fatal("strace does not end")
		}
	}
}

// traced reports whether every thread of a process has a tracer.
func traced(pid int) bool {
	files, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(files) == 0 {
		return false
	}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err == nil && strings.Contains(string(raw), "TracerPid:\t0\n") {
			return false
		}
	}
	return true
}

// Logout on a full disk must not claim to have ended what it could not end.
func TestSignOutIsNeverPretended(t *testing.T) {
	if testing.Short() {
		t.Skip("needs the built binary: not in -short")
	}
	if _, err := exec.LookPath("strace"); err != nil {
		t.Skip("strace is not installed: failing system calls are not tested here")
	}
	v := start(t, "")
	b := v.known[1]
	b.Get(v.provider.Base + "/logout")
	stop := inject(t, v.pid, "pwrite64,pwritev,fsync,fdatasync:error=EIO")
	action, form, err := b.Form()
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Navigate("POST", action, form); err != nil {
		t.Fatal(err)
	}
	if err := clean(b.Status, b.Header, false, b.Body); !errors.Is(err, errRefused) {
		t.Error(err)
	}
	stop()
	deadline := time.Now().Add(recovery)
	for {
		if err := b.Navigate("POST", action, form); err != nil {
			t.Fatal(err)
		}
		if b.Status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d at %s", b.Status, b.URL)
		}
		time.Sleep(50 * time.Millisecond)
	}
	if b.Get(v.URL("app") + "/"); !strings.HasSuffix(b.URL.Path, "/login") {
		t.Errorf("signed in still: %d at %s", b.Status, b.URL)
	}
}

package caddymodule

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/caddyserver/caddy/v2"
	"github.com/caddyserver/caddy/v2/caddyconfig/caddyfile"
)

// examples are all Caddyfiles that people are told to begin with.
func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("../examples/*.Caddyfile")
	if err != nil || len(files) < 4 {
		t.Fatal(files, err)
	}
	return append(files, "../Caddyfile.example")
}

// secrets are what the examples ask for.
func secrets(t *testing.T) {
	t.Helper()
	for _, name := range []string{"SHOP_SECRET", "BATCH_SECRET", "BATCH_SECRET_OLD"} {
		t.Setenv(name, name+" of the test, long enough")
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "demo-client-secret"), []byte("a secret of the test\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DEMO", dir)
}

func TestExamplesAreInOrder(t *testing.T) {
	secrets(t)
	for _, file := range examples(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(caddyfile.Format(text), text) {
			t.Errorf("%s: run caddy fmt", file)
		}
		app, err := placed(t, string(text))
		if err != nil {
			t.Errorf("%s: %v", file, err)
		} else if len(app.gates) == 0 {
			t.Errorf("%s shows no gate", file)
		}
	}
}

// ports returns two free ports of the loopback.
func ports(t *testing.T) (list [2]int) {
	t.Helper()
	for i := range list {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		list[i] = l.Addr().(*net.TCPAddr).Port
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

// TestExamplesRun starts each example with certificates of Caddy's own and
// asks its sites over TLS.
func TestExamplesRun(t *testing.T) {
	for _, file := range examples(t) {
		if strings.HasSuffix(file, "Caddyfile.example") {
			continue // `make run` is tested as a whole
		}
		t.Run(filepath.Base(file), func(t *testing.T) {
			secrets(t)
			dir := t.TempDir()
			t.Setenv("XDG_DATA_HOME", dir)
			t.Setenv("XDG_CONFIG_HOME", dir)
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			free := ports(t)
			global := fmt.Sprintf("{\n\tadmin off\n\tpersist_config off\n\tdefault_bind 127.0.0.1\n\thttp_port %d\n\thttps_port %d\n\tlocal_certs\n\tskip_install_trust\n", free[0], free[1])
			if !strings.Contains(string(text), "\tservers {") {
				global += "\tservers {\n\t\tprotocols h1\n\t}\n"
			}
			before, options, found := strings.Cut(string(text), "\n{\n")
			if !found {
				before, options = "", "}\n"+string(text)
			}
			raw, _, err := adapt(t, before+"\n"+global+options)
			if err != nil {
				t.Fatal(err)
			}
			if err := caddy.Load(raw, true); err != nil {
				t.Fatal(err)
			}
			app := held()[0]
			for _, host := range []string{"login", "app", "wiki", "orders", "stock"} {
				name := host + ".example.com"
				if strings.Contains(string(text), "\nhttp://"+name+" {") {
					front := &running{t, free[0]}
					if res, body := front.at(name, "/", "Accept", script); res.StatusCode != 401 {
						t.Errorf("%s: %d %s", name, res.StatusCode, body)
					}
				}
				if !strings.Contains(string(text), "\n"+name+" {") {
					continue
				}
				path, want := "/", 401
				if host == "login" {
					path, want = "/.well-known/openid-configuration", 200
				}
				if got, body := overTLS(t, free[1], name, path); got != want {
					t.Errorf("%s: %d %s", name, got, body)
				}
			}
			if err := caddy.Stop(); err != nil {
				t.Fatal(err)
			}
			if !app.closing.Load() {
				t.Error("the state is still open")
			}
		})
	}
}

// overTLS asks a site of this machine by its public name.
func overTLS(t *testing.T, port int, name, path string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d%s", port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Host = name
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{ServerName: name, InsecureSkipVerify: true}} // the certificate authority was made a moment ago
	res, err := transport.RoundTrip(r)
	for end := time.Now().Add(20 * time.Second); err != nil && time.Now().Before(end); res, err = transport.RoundTrip(r) {
		time.Sleep(20 * time.Millisecond) // certificates are made in the background
	}
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

package bench

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

var client = harness.Client{ID: "bench", Secret: "a-secret-for-the-bench-alone"}

const (
	scope = "orders.read"
	// assertionSize is about that of a real one, in bytes.
	assertionSize = 480
)

// config is one process with several sites to one upstream, which differ in
// the gate alone.
const config = `{
	admin {{admin}}
	log {
		level WARN
	}
	gatehouse {
		store memory
		resource http://localhost:{{port gate}} {{scope}} {
			signing_alg RS256
		}
		client {{client}} {
			secret {{secret}}
			grant client_credentials {{scope}}
		}
	}
}
http://localhost:{{port login}} {
	gatehouse_login
}
http://localhost:{{port bare}} {
	reverse_proxy {{upstream}}
}
http://localhost:{{port gate}} {
	gatehouse_require scope:{{scope}}
	reverse_proxy {{upstream}}
}
# The gate without identity headers.
http://localhost:{{port nameless}} {
	gatehouse_require scope:{{scope}} {
		resource http://localhost:{{port gate}}
		headers none
	}
	reverse_proxy {{upstream}}
}
# No gate, but headers as large as the gate's.
http://localhost:{{port headers}} {
	request_header X-Auth-Client {{client}}
	request_header X-Auth-Scopes {{scope}}
	request_header X-Auth-Assertion {{long}}
	reverse_proxy {{upstream}}
}
`

// server is the process under load.
type server struct {
	*harness.Server
	token string
}

func start(b *testing.B) *server {
	b.Helper()
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain")
		_, _ = io.WriteString(w, strings.Repeat("x", 64))
	}))
	b.Cleanup(upstream.Close)
	s := &server{Server: harness.Start(b, config, harness.Options{Vars: map[string]string{
		"upstream": upstream.Listener.Addr().String(), "client": client.ID, "secret": client.Secret, "scope": scope,
		"long": strings.Repeat("a", assertionSize),
	}})}
	s.token = harness.Provider{Base: s.URL("login")}.Machine(b, client, scope)
	if answer, _ := harness.Call(b, http.MethodGet, s.URL("gate")+"/orders", ""); answer.StatusCode != http.StatusUnauthorized {
		b.Fatalf("without a token: %s", answer.Status)
	}
	return s
}

// cpu is the processor time that the process has used; zero where there is no /proc.
func (s *server) cpu(b *testing.B) time.Duration {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.PID()))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(raw), ") ")
	fields := strings.Fields(rest)
	ticks := 0
	for _, f := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.Atoi(f)
		if err != nil {
			b.Fatal(err)
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// mallocs is the server's count of allocations.
func (s *server) mallocs(b *testing.B) float64 {
	_, text := harness.Call(b, http.MethodGet, "http://"+s.Admin()+"/metrics", "")
	_, rest, _ := strings.Cut(text, "\ngo_memstats_mallocs_total ")
	line, _, _ := strings.Cut(rest, "\n")
	n, err := strconv.ParseFloat(line, 64)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// profile writes a CPU profile of the server while the gate is under load.
func (s *server) profile(b *testing.B, gate *load) {
	const seconds = 8
	done := make(chan error, 1)
	go func() {
		r, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", s.Admin(), seconds))
		if err != nil {
			done <- err
			return
		}
		defer r.Body.Close()
		var out bytes.Buffer
		if _, err := out.ReadFrom(r.Body); err != nil {
			done <- err
			return
		}
		done <- os.WriteFile(*profile, out.Bytes(), 0o600)
	}()
	gate.run(b, (seconds+1)*time.Second)
	if err := <-done; err != nil {
		b.Error(err)
	}
}

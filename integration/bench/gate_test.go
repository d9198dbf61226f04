package bench

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

var (
	rounds  = flag.Int("rounds", 60, "measured rounds; each runs both sites once")
	length  = flag.Duration("length", 250*time.Millisecond, "how long one site runs in a round")
	profile = flag.String("profile", "", "file that a CPU profile of the server under gated load is written to")
)

const (
	connections = 32
	// target is the least ratio that we promise.
	target = 0.92
)

// BenchmarkGate measures the gate with a cached bearer token against
// reverse_proxy without it: one process, the same requests with the same token
// on keep-alive connections, in interleaved rounds whose order alternates. The
// paired ratio of a round is what both sites did within two seconds of one
// another; the figure is the median over all rounds.
func BenchmarkGate(b *testing.B) {
	s := start(b)
	bare, gated := newLoad(b, s, "bare"), newLoad(b, s, "gate")
	bare.run(b, *length)
	gated.run(b, *length)

	fmt.Printf("gate beside bare reverse_proxy: %d connections, bearer token of %d bytes, GOGC=%s, %s, %d CPUs\n",
		connections, len(s.token), gogc(), runtime.Version(), runtime.NumCPU())
	b.ResetTimer()
	var ratios, cpus []float64
	for round := range *rounds {
		var without, with figure
		if round%2 == 0 {
			without, with = bare.run(b, *length), gated.run(b, *length)
		} else {
			with, without = gated.run(b, *length), bare.run(b, *length)
		}
		ratio := with.rate / without.rate
		ratios = append(ratios, ratio)
		cpus = append(cpus, with.cpu/without.cpu)
		fmt.Printf("round %2d: bare %6.0f req/s, %5.1f µs CPU; gate %6.0f req/s, %5.1f µs CPU; ratio %.3f\n",
			round+1, without.rate, without.cpu, with.rate, with.cpu, ratio)
	}
	b.StopTimer()
	fmt.Printf("median paired ratio %.3f (at least %.2f is promised), server CPU per request %.2f times\n", median(ratios), target, median(cpus))
	b.ReportMetric(median(ratios), "ratio")
	b.ReportMetric(median(cpus), "cpu-ratio")
	b.ReportMetric(0, "ns/op")
	if *profile != "" {
		s.profile(b, gated)
	}
}

// BenchmarkParts tells where the gate's time goes: the same measure for the
// gate without identity headers, and for bare proxying with headers as large
// as the gate's, which the proxy and the upstream have to carry.
func BenchmarkParts(b *testing.B) {
	s := start(b)
	names := []string{"bare", "gate", "gate, headers none", "bare, with such headers"}
	var loads []*load
	for _, site := range []string{"bare", "gate", "nameless", "headers"} {
		l := newLoad(b, s, site)
		l.run(b, *length)
		loads = append(loads, l)
	}
	b.ResetTimer()
	rates, cpus := make([][]float64, len(loads)), make([][]float64, len(loads))
	for round := range *rounds {
		figures := make([]figure, len(loads))
		for i := range loads {
			turn := (i + round) % len(loads)
			figures[turn] = loads[turn].run(b, *length)
		}
		for i, f := range figures {
			rates[i] = append(rates[i], f.rate/figures[0].rate)
			cpus[i] = append(cpus[i], f.cpu/figures[0].cpu)
		}
	}
	b.StopTimer()
	for i, l := range loads {
		fmt.Printf("%-24s req/s %.3f, CPU per request %.2f of bare's; %.0f allocations\n", names[i], median(rates[i]), median(cpus[i]), l.allocations(b))
	}
	b.ReportMetric(0, "ns/op")
}

// allocations is how many the server makes for one request.
func (l *load) allocations(b *testing.B) float64 {
	before := l.server.mallocs(b)
	n := 0
	for begin := time.Now(); time.Since(begin) < *length; n++ {
		if err := l.conns[0].ask(l.request); err != nil {
			b.Fatal(err)
		}
	}
	return (l.server.mallocs(b) - before) / float64(n)
}

// figure is what one site did in one round.
type figure struct {
	rate float64 // requests per second
	cpu  float64 // server's processor time per request, in microseconds
}

// load is a closed loop over keep-alive connections that stay open.
type load struct {
	server  *server
	request []byte
	conns   []*conn
}

type conn struct {
	net.Conn
	read *bufio.Reader
}

func newLoad(b *testing.B, s *server, site string) *load {
	address := strings.TrimPrefix(s.URL(site), "http://")
	l := &load{server: s, request: fmt.Appendf(nil,
		"GET /orders?page=1 HTTP/1.1\r\nHost: %s\r\nUser-Agent: bench\r\nAccept: application/json\r\nAuthorization: Bearer %s\r\n\r\n", address, s.token)}
	for range connections {
		c, err := net.Dial("tcp", address)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = c.Close() })
		l.conns = append(l.conns, &conn{c, bufio.NewReader(c)})
	}
	return l
}

// run keeps every connection busy for a while.
func (l *load) run(b *testing.B, length time.Duration) figure {
	var total atomic.Int64
	var wg sync.WaitGroup
	before, begin := l.server.cpu(b), time.Now()
	for _, c := range l.conns {
		wg.Go(func() {
			n := int64(0)
			for time.Since(begin) < length {
				if err := c.ask(l.request); err != nil {
					b.Error(err)
					return
				}
				n++
			}
			total.Add(n)
		})
	}
	wg.Wait()
	took, used := time.Since(begin), l.server.cpu(b)-before
	if b.Failed() || total.Load() == 0 {
		b.FailNow()
	}
	n := float64(total.Load())
	return figure{rate: n / took.Seconds(), cpu: float64(used.Microseconds()) / n}
}

// ask sends one request and reads its answer, which must be 200 with a length.
func (c *conn) ask(request []byte) error {
	if _, err := c.Write(request); err != nil {
		return err
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.read.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimRight(line, "\r\n")
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200")) {
			return fmt.Errorf("answer %q", line)
		}
		if len(line) == 0 {
			break
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return err
			}
		}
	}
	if length < 0 {
		return errors.New("an answer without Content-Length")
	}
	_, err := c.read.Discard(length)
	return err
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

func gogc() string {
	if v := os.Getenv("GOGC"); v != "" {
		return v
	}
	return "100"
}

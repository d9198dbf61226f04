package admin

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/gatehouse-auth/gatehouse/authcore/account"
	"github.com/gatehouse-auth/gatehouse/authcore/account/imports"
	"github.com/gatehouse-auth/gatehouse/authcore/pool"
)

// An import goes in batches, several of which are on their way at once: one
// is read while another is written.
const (
	importBatch    = 250
	importInFlight = 4
)

// Importer is the client's side of an import: it reads a file and sends it in
// batches.
type Importer struct {
	Format     string   // one of Formats
	HashConfig string   // Firebase: the project's hash parameters
	Drop       []string // CSV: columns to leave out
	Skip       int      // users at the beginning that are done already

	// Send has the server create users. It is called several times at once.
	Send func(ctx context.Context, users []Record) ([]Outcome, error)
	// Settle learns what became of a batch, in the order of the file.
	Settle func([]Settled) error
}

// Settled is a user of a file and what became of it.
type Settled struct {
	Line int
	Outcome
}

// Record is a user outside of the store, and Outcome what became of one.
type (
	Record  = account.Record
	Outcome = account.Outcome
)

// What became of a user of an import.
const (
	Added   = account.Added
	Exists  = account.Exists
	Refused = account.Refused
)

// Formats lists the formats of imports.
func Formats() []string { return imports.Formats() }

// DetectFormat guesses the format from how a file begins; empty if it cannot.
func DetectFormat(head []byte) string { return imports.Detect(head) }

// Run imports a file. After an error everything that was not settled may be
// sent again, by another Run that skips what was.
func (i Importer) Run(ctx context.Context, r io.Reader) error {
	items, err := imports.Read(r, imports.Options{Format: i.Format, HashConfig: i.HashConfig, Drop: i.Drop})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	queue := make(chan *part, importInFlight)
	produced := make(chan error, 1)
	go func() {
		defer close(queue)
		produced <- i.produce(ctx, items, queue)
	}()
	var failed error
	for p := range queue {
		err := <-p.done
		if failed != nil {
			continue // the rest comes again in the next run
		}
		if err == nil {
			err = i.Settle(p.settled)
		}
		if err != nil {
			failed = err
			cancel()
		}
	}
	if err := <-produced; failed == nil {
		failed = err
	}
	return failed
}

// part is a batch on its way.
type part struct {
	settled []Settled // those without a result are in records, in the same order
	records []Record
	done    chan error // answered once
}

func newPart() *part { return &part{done: make(chan error, 1)} }

// produce cuts the items into batches and sends each.
func (i Importer) produce(ctx context.Context, items iter.Seq2[imports.Item, error], queue chan<- *part) error {
	seen := unique{}
	n := 0
	next := newPart()
	send := func() error {
		p := next
		next = newPart()
		go func() { p.done <- i.send(ctx, p) }()
		select {
		case queue <- p:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for item, err := range items {
		if err != nil {
			return err
		}
		settled := seen.judge(item)
		if n++; n <= i.Skip {
			continue
		}
		next.settled = append(next.settled, settled)
		if settled.Result == "" {
			next.records = append(next.records, item.Record)
		}
		if len(next.settled) == importBatch {
			if err := send(); err != nil {
				return err
			}
		}
	}
	if len(next.settled) > 0 {
		return send()
	}
	return nil
}

// send fills in what the server says of a batch.
func (i Importer) send(ctx context.Context, p *part) error {
	if len(p.records) == 0 {
		return nil
	}
	outcomes, err := i.Send(ctx, p.records)
	if err != nil {
		return err
	}
	if len(outcomes) != len(p.records) {
		return errors.New("the server's answer is not that of this batch")
	}
	for at := range p.settled {
		if p.settled[at].Result == "" {
			p.settled[at].Outcome, outcomes = outcomes[0], outcomes[1:]
		}
	}
	return nil
}

// unique knows in which line stood what only one user may have, by its digest.
type unique map[[12]byte]int

// judge refuses an item before anybody is asked: it cannot be read, or is
// there twice. Else it has no result yet.
func (u unique) judge(item imports.Item) Settled {
	refuse := func(reason string) Settled {
		return Settled{item.Line, Outcome{Result: Refused, Reason: reason}}
	}
	if item.Err != nil {
		return refuse(item.Err.Error())
	}
	keys := digestsOf(&item.Record)
	for _, k := range keys {
		if line := u[k]; line > 0 {
			return refuse(fmt.Sprintf("the same sub, user name, e-mail address or phone number stands in line %d", line))
		}
	}
	for _, k := range keys {
		u[k] = item.Line
	}
	return Settled{Line: item.Line}
}

// digestsOf digests what only one user may have.
func digestsOf(rec *Record) [][12]byte {
	var keys [][12]byte
	add := func(kind, value string) {
		sum := sha256.Sum256([]byte(kind + "\x00" + value))
		keys = append(keys, [12]byte(sum[:12]))
	}
	if rec.Sub != "" {
		add("sub", strings.ToLower(rec.Sub))
	}
	for _, text := range []string{rec.Username, rec.Email, rec.Phone} {
		if id, err := pool.ParseIdentifier(text); err == nil {
			add(string(id.Kind), id.Value)
		}
	}
	return keys
}

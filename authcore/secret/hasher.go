package secret

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/argon2"

	"github.com/gatehouse-auth/gatehouse/authcore/secret/hashes"
)

// The cost of new hashes (OWASP's first choice for Argon2id) and the caps on
// the cost of hashes that are checked.
const (
	defaultMemory = 19456 // KiB
	defaultTime   = 2
	maxMemory     = 256 << 10 // KiB
	maxTime       = 10
	maxThreads    = 8
	saltSize      = 16
	hashSize      = 32
	queuePerSlot  = 16
)

// HasherConfig bounds password hashing.
type HasherConfig struct {
	Memory uint32 // KiB; 0: 19456
	Time   uint32 // passes; 0: 2
	Slots  int    // hashes at once; 0: the number of CPUs
	Queue  int    // how many may wait for a slot; 0: 16 per slot. More are ErrBusy at once.
}

// Hasher makes and checks Argon2id hashes in PHC form, never more at once
// than its slots.
type Hasher struct {
	memory, time uint32
	slots        chan struct{}
	inside       atomic.Int64 // running and waiting
	most         int64
}

// NewHasher returns a Hasher.
func NewHasher(c HasherConfig) *Hasher {
	if c.Memory == 0 {
		c.Memory = defaultMemory
	}
	if c.Time == 0 {
		c.Time = defaultTime
	}
	if c.Slots <= 0 {
		c.Slots = runtime.GOMAXPROCS(0)
	}
	if c.Queue <= 0 {
		c.Queue = queuePerSlot * c.Slots
	}
	return &Hasher{memory: c.Memory, time: c.Time, slots: make(chan struct{}, c.Slots), most: int64(c.Slots + c.Queue)}
}

// enter waits for a slot; leave gives it back.
func (h *Hasher) enter(ctx context.Context) (leave func(), err error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("secret: hashing a password: %w", ctx.Err())
	}
	if h.inside.Add(1) > h.most {
		h.inside.Add(-1)
		return nil, ErrBusy
	}
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots; h.inside.Add(-1) }, nil
	case <-ctx.Done():
		h.inside.Add(-1)
		return nil, fmt.Errorf("secret: waiting to hash a password: %w", ctx.Err())
	}
}

// Hash returns the PHC string of a password, or ErrBusy.
func (h *Hasher) Hash(ctx context.Context, password string) (string, error) {
	leave, err := h.enter(ctx)
	if err != nil {
		return "", err
	}
	defer leave()
	p := phc{memory: h.memory, time: h.time, threads: 1, salt: Bytes(saltSize)}
	p.hash = p.compute(password, hashSize)
	return p.String(), nil
}

// Verify compares a password with a PHC string, or with the hash of another
// system (package hashes), or returns ErrBusy. rehash is true if it matched but
// was not made as ours are now. An empty or damaged hash takes as long as a
// real one and never matches; one of another system takes longer than ours.
func (h *Hasher) Verify(ctx context.Context, encoded, password string) (ok, rehash bool, err error) {
	p, parseErr := parsePHC(encoded)
	var foreign *hashes.Hash
	if parseErr != nil {
		foreign, _ = hashes.Parse(encoded) // nil if it is none of theirs either
		p = phc{memory: h.memory, time: h.time, threads: 1, salt: make([]byte, saltSize), hash: make([]byte, hashSize)}
	}
	leave, err := h.enter(ctx)
	if err != nil {
		return false, false, err
	}
	defer leave()
	match := Equal(p.compute(password, uint32(len(p.hash))), p.hash)
	if foreign != nil {
		ok = foreign.Matches(password)
		return ok, ok, nil
	}
	ok = match && parseErr == nil
	return ok, ok && (p.memory != h.memory || p.time != h.time || p.threads != 1), nil
}

// phc is an Argon2id hash with its parameters.
type phc struct {
	memory, time uint32
	threads      uint8
	salt, hash   []byte
}

func (p phc) compute(password string, size uint32) []byte {
	return argon2.IDKey([]byte(password), p.salt, p.time, p.memory, p.threads, size)
}

// String is the PHC string format: $argon2id$v=19$m=…,t=…,p=…$salt$hash.
func (p phc) String() string {
	b64 := base64.RawStdEncoding
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, p.memory, p.time, p.threads,
		b64.EncodeToString(p.salt), b64.EncodeToString(p.hash))
}

var errPHC = errors.New("secret: not an Argon2id hash in PHC form within the caps")

// parsePHC reads String's form and refuses parameters that would burn more
// than the caps.
func parsePHC(s string) (phc, error) {
	parts := strings.Split(s, "$")
	if len(s) > 512 || len(parts) != 6 || parts[0] != "" || parts[1] != "argon2id" || parts[2] != "v=19" {
		return phc{}, errPHC
	}
	var p phc
	costs := strings.Split(parts[3], ",")
	if len(costs) != 3 {
		return phc{}, errPHC
	}
	for i, c := range []struct {
		name string
		most uint64
		set  func(uint64)
	}{
		{"m=", maxMemory, func(n uint64) { p.memory = uint32(n) }},
		{"t=", maxTime, func(n uint64) { p.time = uint32(n) }},
		{"p=", maxThreads, func(n uint64) { p.threads = uint8(n) }},
	} {
		digits, ok := strings.CutPrefix(costs[i], c.name)
		n, err := strconv.ParseUint(digits, 10, 32)
		if !ok || err != nil || n == 0 || n > c.most {
			return phc{}, errPHC
		}
		c.set(n)
	}
	b64 := base64.RawStdEncoding.Strict()
	var err, err2 error
	p.salt, err = b64.DecodeString(parts[4])
	p.hash, err2 = b64.DecodeString(parts[5])
	if err != nil || err2 != nil || len(p.salt) < 8 || len(p.salt) > 64 || len(p.hash) < 16 || len(p.hash) > 64 {
		return phc{}, errPHC
	}
	return p, nil
}

package flow

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
)

// One address that tries a password at many accounts meets neither of their
// counters. So failures count for the address as well, over all accounts of
// all pools: in memory, for what a restart forgives is little.
const (
	sprayWindow = 15 * time.Minute
	sprayMost   = 300   // failures of an address in a window
	sprayPlaces = 16384 // addresses that are kept in mind, the latest
)

// sprays counts the failures of addresses. It is safe for concurrent use.
type sprays struct {
	mu        sync.Mutex
	addresses *lru.Cache[string, spray]
}

type spray struct {
	failures int
	since    time.Time
}

func newSprays() *sprays {
	cache, _ := lru.New[string, spray](sprayPlaces) // the only error is a size below one
	return &sprays{addresses: cache}
}

// over reports whether an address has used up its failures.
func (s *sprays) over(scope string, now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current(scope, now).failures >= sprayMost
}

// failed counts a failure.
func (s *sprays) failed(scope string, now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.current(scope, now)
	c.failures++
	s.addresses.Add(scope, c)
}

// current is the count of the window that now is in.
func (s *sprays) current(scope string, now time.Time) spray {
	c, ok := s.addresses.Get(scope)
	if age := now.Sub(c.since); !ok || age >= sprayWindow || age < 0 {
		return spray{since: now}
	}
	return c
}

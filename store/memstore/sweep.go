package memstore

import (
	"container/heap"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// sweepBudget is how many expired entries one commit removes at most: more
// than one commit usually adds, so memory is bounded by what lives.
const sweepBudget = 64

// sweep forgets what has expired. Readers never see expired entries; this only
// gives their memory back.
func (s *Store) sweep(now time.Time) {
	for range sweepBudget {
		if len(s.expiry) == 0 || now.Before(s.expiry[0].at) {
			break
		}
		x := heap.Pop(&s.expiry).(expiring)
		if s.current(x) {
			s.parts[x.partition].remove(x.table, x.name)
		}
	}
	if d := now.Sub(s.swept); d >= 0 && d < time.Second {
		return
	}
	s.swept = now
	for id, r := range s.done {
		if now.UnixMilli() > r.until {
			delete(s.done, id)
		}
	}
	if len(s.expiry) > 2*s.compacted+1024 {
		s.compact()
		s.compacted = len(s.expiry)
	}
}

// current tells that the entry is still the one that was written with x.
func (s *Store) current(x expiring) bool {
	return s.parts[x.partition].get(x.table, x.name).version == x.version
}

// compact drops the marks of entries that were overwritten since.
func (s *Store) compact() {
	live := s.expiry[:0]
	for _, x := range s.expiry {
		if s.current(x) {
			live = append(live, x)
		}
	}
	clear(s.expiry[len(live):])
	s.expiry = live
	heap.Init(&s.expiry)
}

// expiring marks when one version of an entry expires.
type expiring struct {
	at        time.Time
	partition store.Partition
	table     uint8
	name      string
	version   uint64
}

// expiries is a heap, soonest first.
type expiries []expiring

func (h *expiries) add(x expiring)    { heap.Push(h, x) }
func (h expiries) Len() int           { return len(h) }
func (h expiries) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h expiries) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *expiries) Push(x any) { *h = append(*h, x.(expiring)) }

// Pop implements heap.Interface.
func (h *expiries) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = expiring{}
	*h = (*h)[:last]
	return x
}

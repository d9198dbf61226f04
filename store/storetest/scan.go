package storetest

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

// binaryNames are awkward ones, in order.
func binaryNames() []string {
	names := []string{
		"\x00", "\x00\x00", "\x00\xff", "\x01", "%", "'", "*", "a", "a\x00", "a\x00b", "a\xfe", "a\xff", "a\xff\xff", "b",
		"{tag}", "\x7f", "\x80", "é", "\xfe\xff", "\xff", "\xff\x00", "\xff\xff",
		strings.Repeat("\x00", store.MaxName), strings.Repeat("\xff", store.MaxName),
	}
	slices.Sort(names)
	return names
}

// testNames stores names of any bytes.
func testNames(t *testing.T, s *suite) {
	all := binaryNames()
	tx := txn()
	for _, name := range all {
		tx.Writes = append(tx.Writes, put(key(Users, name), "value of "+name))
	}
	s.must(tx)
	for _, name := range all {
		s.holds(key(Users, name), "value of "+name)
	}
	if got := names(s.scan(store.Range{Partition: part, Table: Users})); !slices.Equal(got, all) {
		t.Errorf("scanned %q\nwant    %q", got, all)
	}
	for _, name := range all {
		s.commit(del(key(Users, name)))
		s.absent(key(Users, name))
	}
}

// testScanBounds tries every After with every Prefix over the awkward names.
func testScanBounds(t *testing.T, s *suite) {
	all := binaryNames()
	tx := txn()
	for _, name := range all {
		tx.Writes = append(tx.Writes, put(key(Invites, name), ""))
	}
	s.must(tx)
	s.commit(put(key(Users, "in the table before"), ""))
	s.must(store.Txn{Partition: part + 1, Writes: []store.Write{put(store.Key{Partition: part + 1, Table: Invites, Name: "next door"}, "")}})
	bounds := append([]string{"", "aa", "c", "\x00\x01", "\xff\xfe"}, all...)
	for _, after := range bounds {
		for _, prefix := range bounds {
			for _, limit := range []int{0, 1, 3} {
				want := []string{}
				for _, name := range all {
					if name > after && strings.HasPrefix(name, prefix) && (limit == 0 || len(want) < limit) {
						want = append(want, name)
					}
				}
				got := names(s.scan(store.Range{Partition: part, Table: Invites, After: after, Prefix: prefix, Limit: limit}))
				if !slices.Equal(got, want) {
					t.Errorf("after %q, prefix %q, limit %d: %q, want %q", after, prefix, limit, got, want)
				}
			}
		}
	}
}

// testPagingUnderWrites walks a table while others come and go: an entry that
// is there all the time is seen exactly once.
func testPagingUnderWrites(t *testing.T, s *suite) {
	const stable = 300
	for i := range stable {
		s.commit(put(key(Users, fmt.Sprintf("%04d stable", i)), "x"))
	}
	stop := make(chan struct{})
	var group sync.WaitGroup
	for w := range 2 {
		group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				k := key(Users, fmt.Sprintf("%04d passing %d", (i*37)%stable, w))
				ops := txn(put(k, "y"), put(key(Users, fmt.Sprintf("%04d stable", i%stable)), "z"))
				if i%2 == 1 {
					ops = txn(del(key(Users, fmt.Sprintf("%04d passing %d", ((i-1)*37)%stable, w))))
				}
				if _, err := s.store.Commit(t.Context(), ops); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for _, page := range []int{1, 7, 60, 1000} {
		seen := map[string]int{}
		for after, more := "", true; more; {
			entries := s.scan(store.Range{Partition: part, Table: Users, After: after, Limit: page})
			for _, e := range entries {
				if e.Key.Name <= after {
					t.Fatalf("page of %d: %q after %q", page, e.Key.Name, after)
				}
				after = e.Key.Name
				seen[e.Key.Name]++
			}
			more = len(entries) > 0
		}
		for i := range stable {
			if n := seen[fmt.Sprintf("%04d stable", i)]; n != 1 {
				t.Errorf("page of %d: entry %d seen %d times", page, i, n)
			}
		}
	}
	close(stop)
	group.Wait()
}

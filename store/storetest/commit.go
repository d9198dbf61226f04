package storetest

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/store"
)

// testMatrix tries every check with every write on a key in every state.
func testMatrix(t *testing.T, s *suite) {
	states := map[string]func(k store.Key) uint64{
		"absent":  func(store.Key) uint64 { return 0 },
		"present": func(k store.Key) uint64 { return s.commit(put(k, "old")).Version },
		"deleted": func(k store.Key) uint64 { s.commit(put(k, "old")); s.commit(del(k)); return 0 },
		"expired": func(k store.Key) uint64 {
			w := put(k, "old")
			w.Expires = s.clock.Now().Add(time.Second)
			s.commit(w)
			s.clock.Advance(time.Second)
			return 0
		},
	}
	checks := []string{"none", "absent", "right", "stale", "future"}
	writes := []string{"none", "put", "put with expiry", "delete"}
	for state, prepare := range states {
		for _, check := range checks {
			for _, write := range writes {
				k := key(Invites, state+check+write)
				version := prepare(k)
				tx, holds := txn(), true
				switch check {
				case "absent":
					tx.Checks, holds = []store.Check{at(k, 0)}, version == 0
				case "right":
					tx.Checks = []store.Check{at(k, version)}
				case "stale":
					tx.Checks, holds = []store.Check{at(k, max(version, 2)-1)}, false
				case "future":
					tx.Checks, holds = []store.Check{at(k, 1<<40)}, false
				}
				want, expires := "old", time.Time{}
				switch write {
				case "put":
					tx.Writes, want = []store.Write{put(k, "new")}, "new"
				case "put with expiry":
					expires, want = s.clock.Now().Add(time.Hour), "new"
					tx.Writes = []store.Write{{Key: k, Value: []byte("new"), Expires: expires}}
				case "delete":
					tx.Writes, want = []store.Write{del(k)}, ""
				}
				s.cell(fmt.Sprintf("%s, check %s, write %s", state, check, write), tx, k, version, holds, want, expires)
			}
		}
	}
}

func (s *suite) cell(name string, tx store.Txn, k store.Key, version uint64, holds bool, want string, expires time.Time) {
	s.Helper()
	r, err := s.store.Commit(s.Context(), tx)
	e := s.get(k)
	if len(tx.Checks)+len(tx.Writes) == 0 {
		if !errors.Is(err, store.ErrInvalid) {
			s.Errorf("%s: an empty transaction: %v", name, err)
		}
		return
	}
	if !holds {
		if !errors.Is(err, store.ErrConflict) || e.Version != version {
			s.Errorf("%s: %v; version %d became %d", name, err, version, e.Version)
		}
		return
	}
	switch {
	case err != nil:
		s.Errorf("%s: %v", name, err)
	case len(tx.Writes) == 0:
		if e.Version != version || r.Version < version {
			s.Errorf("%s: version %d became %d, receipt %v", name, version, e.Version, r)
		}
	case tx.Writes[0].Delete:
		if e.Version != 0 {
			s.Errorf("%s: still there: %v", name, e)
		}
	case e.Version != r.Version || r.Version <= version || string(e.Value) != want || !e.Expires.Equal(expires) || e.Epoch != r.Epoch:
		s.Errorf("%s: %v, receipt %v", name, e, r)
	}
	if err == nil && !r.At.Equal(s.clock.Now()) {
		s.Errorf("%s: receipt of %v at %v", name, r.At, s.clock.Now())
	}
}

// testAllOrNothing fails the last of many checks, and each write form.
func testAllOrNothing(t *testing.T, s *suite) {
	tx := txn()
	for i := range store.MaxOps / 2 {
		k := key(Users, fmt.Sprint(i))
		if i%2 == 0 {
			s.commit(put(k, "old"))
			tx.Writes = append(tx.Writes, del(k))
		} else {
			tx.Writes = append(tx.Writes, put(k, "new"))
		}
		tx.Checks = append(tx.Checks, at(k, s.get(k).Version))
	}
	before := s.scan(store.Range{Partition: part, Table: Users})
	last := len(tx.Checks) - 1
	tx.Checks[last].Version++
	s.refused(store.ErrConflict, tx)
	if d := differ(before, s.scan(store.Range{Partition: part, Table: Users})); d != "" {
		t.Errorf("a refused transaction left a trace: %s", d)
	}
	tx.Checks[last].Version--
	r := s.must(tx)
	after := s.scan(store.Range{Partition: part, Table: Users})
	if len(after) != store.MaxOps/4 {
		t.Errorf("%d entries, want %d", len(after), store.MaxOps/4)
	}
	for _, e := range after {
		if e.Version != r.Version || string(e.Value) != "new" {
			t.Errorf("%q: %q at %d", e.Key.Name, e.Value, e.Version)
		}
	}
}

// testRefusals holds what is malformed against every store alike.
func testRefusals(t *testing.T, s *suite) {
	u, i, sess, code := key(Users, "u"), key(Invites, "i"), key(Sessions, "s"), key(Codes, "c")
	later := s.clock.Now().Add(time.Hour)
	id := store.NewTxnID()
	with := func(k store.Key, f func(*store.Key)) store.Key { f(&k); return k }
	many := func(n int) store.Txn {
		tx := txn()
		for j := range n {
			tx.Writes = append(tx.Writes, put(key(Users, fmt.Sprint(j)), ""))
		}
		return tx
	}
	for name, c := range map[string]struct {
		want error
		txn  store.Txn
	}{
		"empty":                  {store.ErrInvalid, txn()},
		"too many operations":    {store.ErrTooLarge, many(store.MaxOps + 1)},
		"a value too large":      {store.ErrTooLarge, txn(put(u, strings.Repeat("x", Users.MaxValue+1)))},
		"values too large":       {store.ErrTooLarge, txn(put(i, strings.Repeat("x", store.MaxBytes)), put(u, "x"))},
		"no name":                {store.ErrInvalid, txn(put(key(Users, ""), "x"))},
		"no name in a check":     {store.ErrInvalid, txn(at(key(Users, ""), 0), put(u, "x"))},
		"a name too long":        {store.ErrInvalid, txn(put(key(Users, strings.Repeat("n", store.MaxName+1)), "x"))},
		"another partition":      {store.ErrInvalid, txn(put(with(u, func(k *store.Key) { k.Partition++ }), "x"))},
		"a check elsewhere":      {store.ErrInvalid, txn(at(with(u, func(k *store.Key) { k.Partition++ }), 0), put(u, "x"))},
		"two kinds written":      {store.ErrInvalid, txn(put(u, "x"), put(sess, "x"))},
		"two kinds, one checked": {store.ErrInvalid, txn(at(sess, 0), put(u, "x"))},
		"two kinds checked":      {store.ErrInvalid, txn(at(sess, 0), at(u, 0))},
		"one key twice":          {store.ErrInvalid, txn(put(u, "x"), put(u, "y"))},
		"put and deleted":        {store.ErrInvalid, txn(put(u, "x"), del(u))},
		"an expiry forbidden":    {store.ErrInvalid, txn(store.Write{Key: u, Expires: later})},
		"an expiry missing":      {store.ErrInvalid, txn(store.Write{Key: sess})},
		"an expiry before 1970":  {store.ErrInvalid, txn(store.Write{Key: code, Expires: time.Unix(-1, 0)})},
		"an expiry at 1970":      {store.ErrInvalid, txn(store.Write{Key: code, Expires: time.Unix(0, 0)})},
		"an expiry far off":      {store.ErrInvalid, txn(store.Write{Key: code, Expires: time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)})},
		"a delete with a value":  {store.ErrInvalid, txn(store.Write{Key: u, Delete: true, Value: []byte("x")})},
		"a delete with expiry":   {store.ErrInvalid, txn(store.Write{Key: code, Delete: true, Expires: later})},
		"no table id":            {store.ErrInvalid, txn(put(with(u, func(k *store.Key) { k.Table.ID = 0 }), "x"))},
		"no kind":                {store.ErrInvalid, txn(put(with(u, func(k *store.Key) { k.Table.Kind = 0 }), "x"))},
		"no expiry rule":         {store.ErrInvalid, txn(put(with(u, func(k *store.Key) { k.Table.Expiry = 0 }), "x"))},
		"an id without deadline": {store.ErrInvalid, store.Txn{ID: id, Partition: part, Writes: []store.Write{put(u, "x")}}},
		"a deadline far off":     {store.ErrInvalid, store.Txn{ID: id, Partition: part, NotAfter: s.clock.Now().Add(store.MaxAhead + time.Millisecond), Writes: []store.Write{put(u, "x")}}},
	} {
		t.Run(name, func(t *testing.T) {
			(&suite{T: t, store: s.store}).refused(c.want, c.txn)
		})
	}
	s.absent(u)
	s.must(many(store.MaxOps))
	s.commit(put(u, strings.Repeat("x", Users.MaxValue)))
	s.commit(put(i, strings.Repeat("x", store.MaxBytes)))
	s.refusedReads()
}

func (s *suite) refusedReads() {
	get := func(want error, keys ...store.Key) {
		s.Helper()
		if e, err := s.store.Get(s.Context(), keys...); !errors.Is(err, want) || len(e) != 0 {
			s.Errorf("Get: %d entries, %v, want %v", len(e), err, want)
		}
	}
	get(nil)
	get(store.ErrInvalid, key(Users, "u"), key(Users, ""))
	get(store.ErrInvalid, key(store.Table{}, "u"))
	get(store.ErrTooLarge, make([]store.Key, store.MaxKeys+1)...)
	for name, r := range map[string]store.Range{
		"a table not listed":  {Partition: part, Table: Codes},
		"a negative limit":    {Partition: part, Table: Users, Limit: -1},
		"a limit too large":   {Partition: part, Table: Users, Limit: store.MaxScan + 1},
		"no table":            {Partition: part},
		"an endless After":    {Partition: part, Table: Users, After: strings.Repeat("a", store.MaxName+1)},
		"an endless Prefix":   {Partition: part, Table: Users, Prefix: strings.Repeat("a", store.MaxName+1)},
		"a table of no kind":  {Partition: part, Table: store.Table{ID: 1, Listed: true, Expiry: store.MayExpire}},
		"a table of no rule":  {Partition: part, Table: store.Table{ID: 1, Listed: true, Kind: store.Session}},
		"a kind out of range": {Partition: part, Table: store.Table{ID: 1, Listed: true, Kind: 4, Expiry: store.MayExpire}},
	} {
		if e, err := s.store.Scan(s.Context(), r); !errors.Is(err, store.ErrInvalid) || e != nil {
			s.Errorf("Scan with %s: %v, %v", name, e, err)
		}
	}
}

// testCounterRaces counts with compare-and-swap from many goroutines.
func testCounterRaces(t *testing.T, s *suite) {
	const writers, each = 16, 25
	for _, table := range []store.Table{Users, Codes, Limits} {
		k := key(table, "counter")
		var group sync.WaitGroup
		for range writers {
			group.Go(func() {
				for range each {
					if err := s.increment(k); err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		group.Wait()
		s.holds(k, strconv.Itoa(writers*each))
	}
}

func (s *suite) increment(k store.Key) error {
	_, err := store.Update(s.Context(), s.store, k.Partition, func(tx *store.Tx) error {
		e, err := tx.Get(k)
		if err != nil {
			return err
		}
		n, _ := strconv.Atoi(string(e[0].Value))
		tx.Put(k, strconv.AppendInt(nil, int64(n)+1, 10), time.Time{})
		return nil
	})
	return err
}

// testRedeemOnce lets 16 racers redeem each of many codes.
func testRedeemOnce(t *testing.T, s *suite) {
	const racers, codes = 16, 20
	for n := range codes {
		code := key(Codes, fmt.Sprint("code", n))
		version := s.commit(put(code, "unused")).Version
		var won atomic.Int32
		var group sync.WaitGroup
		start := make(chan struct{})
		for racer := range racers {
			group.Go(func() {
				<-start
				prize := key(Sessions, fmt.Sprint("session", n, ".", racer))
				_, err := s.store.Commit(t.Context(), txn(at(code, version), del(code), put(prize, "mine")))
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, store.ErrConflict):
					t.Error(err)
				}
			})
		}
		close(start)
		group.Wait()
		prizes := s.scan(store.Range{Partition: part, Table: Sessions, Prefix: fmt.Sprint("session", n, ".")})
		if won.Load() != 1 || len(prizes) != 1 {
			t.Fatalf("%d racers won, %d prizes", won.Load(), len(prizes))
		}
		s.absent(code)
	}
}

// testSameTxn sends transactions twice: at once, later, and too late.
func testSameTxn(t *testing.T, s *suite) {
	a, b := key(Users, "a"), key(Users, "b")
	tx := txn(at(a, 0), put(a, "1"))
	tx.ID, tx.NotAfter = store.NewTxnID(), s.clock.Now().Add(store.MaxAhead)
	first := s.must(tx)
	s.commit(put(a, "2"))
	s.clock.Advance(time.Second)
	if again := s.must(tx); again != first {
		t.Errorf("sent again: %v, first %v", again, first)
	}
	s.holds(a, "2")

	elsewhere := tx
	elsewhere.Partition++
	elsewhere.Checks, elsewhere.Writes = nil, []store.Write{{Key: store.Key{Partition: part + 1, Table: Users, Name: "a"}}}
	if r := s.must(elsewhere); r.Version != 1 {
		t.Errorf("an id is its partition's: %v", r)
	}

	refused := txn(at(b, 7), put(b, "x"))
	refused.ID, refused.NotAfter = store.NewTxnID(), s.clock.Now().Add(time.Minute)
	s.refused(store.ErrConflict, refused)
	s.commit(put(b, "1"))
	refused.Checks = nil
	s.must(refused) // what was refused is not remembered
	s.holds(b, "x")

	s.clock.Advance(store.MaxAhead - time.Second)
	if again := s.must(tx); again != first {
		t.Errorf("at the deadline: %v, first %v", again, first)
	}
	s.clock.Advance(time.Millisecond)
	s.refused(store.ErrDeadline, tx)
	s.sameTxnAtOnce()
}

// sameTxnAtOnce sends one transaction from many goroutines.
func (s *suite) sameTxnAtOnce() {
	tx := txn(put(key(Codes, "racing"), "x"))
	tx.ID, tx.NotAfter = store.NewTxnID(), s.clock.Now().Add(time.Minute)
	receipts := make(chan store.Receipt, 16)
	var group sync.WaitGroup
	for range cap(receipts) {
		group.Go(func() {
			r, err := s.store.Commit(s.Context(), tx)
			if err != nil {
				s.Error(err)
			}
			receipts <- r
		})
	}
	group.Wait()
	first := <-receipts
	for range cap(receipts) - 1 {
		if r := <-receipts; r != first {
			s.Errorf("two receipts for one transaction: %v, %v", r, first)
		}
	}
}

// testDeadline judges NotAfter by the store's clock.
func testDeadline(t *testing.T, s *suite) {
	k := key(Users, "a")
	tx := txn(put(k, "x"))
	tx.NotAfter = s.clock.Now()
	s.must(tx)
	s.clock.Advance(time.Millisecond)
	tx.Writes = []store.Write{put(k, "y")}
	s.refused(store.ErrDeadline, tx)
	tx.Checks = []store.Check{at(k, 77)}
	s.refused(store.ErrDeadline, tx)
	s.holds(k, "x")
}

// testVersions follows the commit numbers of two partitions.
func testVersions(t *testing.T, s *suite) {
	a, b := key(Users, "a"), key(Users, "b")
	other := store.Key{Partition: part + 1, Table: Users, Name: "a"}
	last := uint64(0)
	for range 3 {
		for _, tx := range []store.Txn{txn(put(a, "1"), put(b, "1")), txn(del(a)), txn(del(a)), txn(put(a, "1"))} {
			r := s.must(tx)
			if r.Version != last+1 {
				t.Errorf("version %d after %d", r.Version, last)
			}
			last = r.Version
		}
	}
	if s.get(a).Version != last || s.get(b).Version != last-3 {
		t.Errorf("versions %d and %d, last is %d", s.get(a).Version, s.get(b).Version, last)
	}
	s.refused(store.ErrConflict, txn(at(a, 1), put(a, "2")))
	if r := s.commit(at(a, last)); r.Version != last {
		t.Errorf("a check alone: %v, last is %d", r, last)
	}
	r := s.must(store.Txn{Partition: part + 1, Writes: []store.Write{put(other, "1")}})
	if r.Version != 1 {
		t.Errorf("another partition starts at %d", r.Version)
	}
}

// testAliasing changes every buffer that crosses the border.
func testAliasing(t *testing.T, s *suite) {
	a, b := key(Users, "a"), key(Users, "b")
	given := []byte("value")
	checks, writes := []store.Check{at(a, 0)}, []store.Write{{Key: a, Value: given}, {Key: b}}
	s.must(store.Txn{Partition: part, Checks: checks, Writes: writes})
	copy(given, "XXXXX")
	writes[0].Value, writes[0].Key.Name = []byte("other"), "other"
	s.holds(a, "value")
	s.holds(b, "")
	copy(s.get(a).Value, "XXXXX")
	s.holds(a, "value")
	twice, err := s.store.Get(t.Context(), a, a)
	if err != nil {
		t.Fatal(err)
	}
	copy(twice[0].Value, "XXXXX")
	if !bytes.Equal(twice[1].Value, []byte("value")) {
		t.Error("two entries of one Get share a buffer")
	}
	for _, e := range s.scan(store.Range{Partition: part, Table: Users}) {
		copy(e.Value, "XXXXX")
		_ = append(e.Value, "YYYYY"...)
	}
	s.holds(a, "value")
	s.holds(b, "")
}

// testPartitions writes one name in every partition and table.
func testPartitions(t *testing.T, s *suite) {
	tables := []store.Table{Users, Invites, Limits}
	var keys []store.Key
	for p := range store.Partitions {
		for _, table := range tables {
			k := store.Key{Partition: store.Partition(p), Table: table, Name: "same"}
			s.must(store.Txn{Partition: k.Partition, Writes: []store.Write{put(k, fmt.Sprint(p, table.ID))}})
			keys = append(keys, k)
		}
	}
	entries, err := s.store.Get(t.Context(), keys...)
	if err != nil {
		t.Fatal(err)
	}
	for i, e := range entries {
		if want := fmt.Sprint(keys[i].Partition, keys[i].Table.ID); e.Key != keys[i] || string(e.Value) != want {
			t.Errorf("%v holds %q", e.Key, e.Value)
		}
	}
	for p := range store.Partitions {
		found := s.scan(store.Range{Partition: store.Partition(p), Table: Users})
		if len(found) != 1 || string(found[0].Value) != fmt.Sprint(p, Users.ID) {
			t.Errorf("partition %d: %v", p, found)
		}
	}
}

package guard

import (
	"crypto/sha256"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/gatehouse-auth/gatehouse/authcore/pool"
	"github.com/gatehouse-auth/gatehouse/authcore/session"
	"github.com/gatehouse-auth/gatehouse/authcore/token"
)

const (
	// cacheSize bounds the cached sessions and tokens of all gates.
	cacheSize = 65536
	// shards spreads the cache over locks: one LRU has one mutex.
	shards = 16
)

// digest names a credential in the cache, so that the cache holds none.
type digest [sha256.Size]byte

// entry is a credential that was verified. It is immutable but for what its
// atomics hold. One of access and live is set.
type entry struct {
	principal *pool.Principal
	seen      uint64    // how far the feed of revocations had come when it was read
	loaded    time.Time // sessions are read again after sessionFresh

	access *token.Access     // of a bearer token
	live   *session.LiveSite // of a cookie

	touched  atomic.Int64 // when recording its use was last tried, in Unix nanoseconds
	rendered atomic.Pointer[rendering]
}

// rendering is an entry's headers for one preset and resource, with the
// assertion among them, reused while the assertion is young.
type rendering struct {
	preset, resource string
	at               time.Time
	headers          []prepared
}

// cache holds verified credentials, bounded.
type cache struct {
	shard [shards]*lru.Cache[digest, *entry]
}

func newCache() *cache {
	c := &cache{}
	for i := range c.shard {
		c.shard[i], _ = lru.New[digest, *entry](cacheSize / shards) // the only error is a size below one
	}
	return c
}

// digestOf names a credential of one kind, pool and site.
func digestOf(kind byte, id pool.ID, site, credential string) digest {
	buf := make([]byte, 0, 1024)
	buf = append(buf, kind)
	buf = append(buf, id...)
	buf = append(buf, 0)
	buf = append(buf, site...)
	buf = append(buf, 0)
	buf = append(buf, credential...)
	return sha256.Sum256(buf)
}

func (c *cache) of(d digest) *lru.Cache[digest, *entry] { return c.shard[d[0]%shards] }

func (c *cache) get(d digest) (*entry, bool) { return c.of(d).Get(d) }
func (c *cache) put(d digest, e *entry)      { c.of(d).Add(d, e) }
func (c *cache) drop(d digest)               { c.of(d).Remove(d) }

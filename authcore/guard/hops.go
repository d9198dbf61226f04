package guard

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

const (
	// maxHops is how many sign-ins in a row may end where they began.
	maxHops = 3
	// hopWindow is the time within which sign-ins are in a row: no person is
	// that fast so often.
	hopWindow = 10 * time.Second
	// cookieHops counts them. It is plain: at worst a browser deceives itself.
	cookieHops = mux.CookieTx + "hops"
)

// hops reads how many sign-ins have ended lately, and since when.
func hops(s *site, c credentials, now time.Time) (n int, since time.Time) {
	count, stamp, _ := strings.Cut(s.cookies.Get(c.request(), cookieHops), "_")
	n, err := strconv.Atoi(count)
	ms, err2 := strconv.ParseInt(stamp, 36, 64)
	since = time.UnixMilli(ms)
	if age := now.Sub(since); err != nil || err2 != nil || n < 0 || n > maxHops || age < 0 || age > hopWindow {
		return 0, now
	}
	return n, since
}

// looping reports whether a browser that is to sign in has just done so, as
// often as it helps.
func looping(s *site, c credentials, now time.Time) bool {
	n, _ := hops(s, c, now)
	return n >= maxHops
}

// countHop remembers for a moment that a sign-in has ended.
func countHop(w http.ResponseWriter, s *site, c credentials, now time.Time) {
	n, since := hops(s, c, now)
	value := strconv.Itoa(min(n+1, maxHops)) + "_" + strconv.FormatInt(since.UnixMilli(), 36)
	s.cookies.Set(w, cookieHops, value, hopWindow)
}

package oauth

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/flow"
	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

const (
	// hopTime is the time in which a browser that gets nowhere is noticed.
	hopTime = 10 * time.Second
	// maxHops is how often one request may lead to the login in that time.
	maxHops = 2
)

// countHop counts how often the browser is led to the login with the same
// request: flow.ErrLoop when that gets it nowhere. Another tab's request is
// another one. The cookie proves nothing; it only keeps a browser from
// circling.
func (e *endpoints) countHop(w http.ResponseWriter, r *http.Request) error {
	now := e.config.Now()
	sum := sha256.Sum256([]byte(without(r.URL.RawQuery, flow.ParamFresh, flow.ParamAccount)))
	tag := base64.RawURLEncoding.EncodeToString(sum[:9])
	count, since := 1, now
	if before := strings.Split(e.cookies.Get(r, mux.CookieHop), "."); len(before) == 3 && before[0] == tag {
		n, _ := strconv.Atoi(before[1]) // what is damaged counts as nothing
		millis, _ := strconv.ParseInt(before[2], 10, 64)
		if age := now.Sub(time.UnixMilli(millis)); age >= 0 && age < hopTime {
			count, since = n+1, time.UnixMilli(millis)
		}
	}
	if count > maxHops {
		e.cookies.Clear(w, mux.CookieHop)
		return flow.ErrLoop
	}
	e.cookies.Set(w, mux.CookieHop, tag+"."+strconv.Itoa(count)+"."+strconv.FormatInt(since.UnixMilli(), 10), hopTime)
	return nil
}

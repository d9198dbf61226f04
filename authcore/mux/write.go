package mux

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// secure sets the headers that every response of ours has. Strict transport
// security is the operator's to promise.
func secure(h http.Header) {
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Permissions-Policy", "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
}

// public opens a response to scripts of every origin, without credentials.
func public(h http.Header, maxAge time.Duration) {
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("Cross-Origin-Resource-Policy", "cross-origin")
	h.Set("Cache-Control", "public, max-age="+strconv.Itoa(int(maxAge/time.Second)))
}

// source matches what may stand in a source list of a content security
// policy: a scheme, or an origin.
var source = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:(?://[A-Za-z0-9.\-\[\]:]+)?$`)

// hash matches the hash of an inline element.
var hash = regexp.MustCompile(`^sha(?:256|384|512)-[A-Za-z0-9+/_-]+={0,2}$`)

// policy is the content security policy of a page. What does not look like a
// hash or an origin is left out, so that nothing can add a directive.
func policy(d Document) string {
	var b strings.Builder
	b.WriteString("default-src 'none'")
	hashes := func(directive string, values []string) {
		var list strings.Builder
		for _, v := range values {
			if hash.MatchString(v) {
				list.WriteString(" '" + v + "'")
			}
		}
		if list.Len() > 0 {
			b.WriteString("; " + directive + list.String())
		}
	}
	hashes("style-src", d.Styles)
	hashes("script-src", d.Scripts)
	b.WriteString("; img-src 'self' data:; form-action 'self'")
	for _, target := range d.FormTargets {
		if source.MatchString(target) {
			b.WriteString(" " + target)
		}
	}
	b.WriteString("; base-uri 'none'; frame-ancestors 'none'")
	return b.String()
}

// WriteDocument sends a page: security headers, strict content security
// policy, compressed if the client takes it.
func WriteDocument(w http.ResponseWriter, r *http.Request, status int, d Document) {
	h := w.Header()
	secure(h)
	h.Set("Content-Security-Policy", policy(d))
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Add("Vary", "Accept-Encoding")
	body := d.HTML
	if acceptsGzip(r.Header) {
		h.Set("Content-Encoding", "gzip")
		body = compress(body)
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // the client is gone: nobody to tell
	}
}

func compress(p []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(p) // a bytes.Buffer does not fail
	_ = z.Close()
	return b.Bytes()
}

// acceptsGzip reads Accept-Encoding (RFC 9110 12.5.3); gzip must be named.
func acceptsGzip(h http.Header) bool {
	for part := range strings.SplitSeq(strings.Join(h["Accept-Encoding"], ","), ",") {
		coding, weight, weighted := strings.Cut(part, ";")
		if !strings.EqualFold(strings.TrimSpace(coding), "gzip") {
			continue
		}
		if !weighted {
			return true
		}
		q, ok := strings.CutPrefix(strings.ToLower(strings.TrimSpace(weight)), "q=")
		value, err := strconv.ParseFloat(q, 64)
		return ok && err == nil && value > 0
	}
	return false
}

// WriteJSON sends a JSON body; no-store unless the header says otherwise already.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"error":"server_error"}`)
	}
	WriteRawJSON(w, status, body)
}

// WriteRawJSON is WriteJSON for a body that is encoded already.
func WriteRawJSON(w http.ResponseWriter, status int, body []byte) {
	h := w.Header()
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// Redirect sends a 303, or a 302 to a GET, with no-store and no referrer. The
// target is sent as it is: it must be checked, and encoded, by the caller.
func Redirect(w http.ResponseWriter, r *http.Request, to string) {
	secure(w.Header())
	w.Header().Set("Location", to)
	status := http.StatusSeeOther
	if !unsafe(r.Method) {
		status = http.StatusFound
	}
	w.WriteHeader(status)
}

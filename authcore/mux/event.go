package mux

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/secret"
)

const outcomeOK = "ok"

// Event is the one structured record of a request, logged once. It has no
// field that a secret could land in.
type Event struct {
	Reference string // id shown on error pages
	Endpoint  string
	Pool      string // pool id
	Client    string // client id
	User      string // sub
	Grant     string
	Outcome   string // "ok" or a code
	Err       error  // for the log only
}

type eventKey struct{}

func newEvent() *Event { return &Event{Reference: secret.Alphanumeric(12)} }

func withEvent(ctx context.Context, e *Event) context.Context {
	return context.WithValue(ctx, eventKey{}, e)
}

// EventOf returns the request's event, to be filled on the way; never nil.
func EventOf(ctx context.Context) *Event {
	if e, ok := ctx.Value(eventKey{}).(*Event); ok {
		return e
	}
	return newEvent()
}

// log writes the event. There is no query string, header or body in it.
func (m *Mux) log(r *http.Request, e *Event, status int, took time.Duration) {
	if status == 0 {
		status = http.StatusOK
	}
	if e.Outcome == "" {
		e.Outcome = outcomeOK
	}
	level := slog.LevelInfo
	if status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	attrs := []slog.Attr{
		slog.String("reference", e.Reference),
		slog.String("endpoint", e.Endpoint),
		slog.String("method", r.Method),
		slog.Int("status", status),
		slog.Duration("took", took),
		slog.String("address", ClientOf(r).Address),
		slog.String("outcome", e.Outcome),
	}
	for _, a := range []struct{ name, value string }{
		{"pool", e.Pool}, {"client", e.Client}, {"user", e.User}, {"grant", e.Grant},
	} {
		if a.value != "" {
			attrs = append(attrs, slog.String(a.name, a.value))
		}
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	m.options.Logger.LogAttrs(r.Context(), level, "request", attrs...)
}

// recorder remembers the status that was sent; 0 means nothing was.
type recorder struct {
	http.ResponseWriter
	status int
}

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap serves http.ResponseController.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

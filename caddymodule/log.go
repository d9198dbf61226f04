package caddymodule

import (
	"context"
	"log/slog"
	"slices"
	"sync"
)

// logs passes what outlives a configuration logs to the logger of the newest
// one: an older one's writers may be closed.
type logs struct {
	mu      sync.Mutex
	loggers []*slog.Logger // never empty in use
}

// use adds a configuration's logger, once; it is the newest.
func (l *logs) use(log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !slices.Contains(l.loggers, log) {
		l.loggers = append(l.loggers, log)
	}
}

// drop takes a configuration's logger away; the last one stays.
func (l *logs) drop(log *slog.Logger) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.loggers) > 1 {
		l.loggers = slices.DeleteFunc(l.loggers, func(other *slog.Logger) bool { return other == log })
	}
}

func (l *logs) newest() slog.Handler {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.loggers[len(l.loggers)-1].Handler()
}

// relay is a handler on logs: attributes and groups are put on the newest
// logger when something is logged.
type relay struct {
	to   *logs
	with []func(slog.Handler) slog.Handler
}

func (r relay) handler() slog.Handler {
	h := r.to.newest()
	for _, with := range r.with {
		h = with(h)
	}
	return h
}

// Enabled asks the newest logger.
func (r relay) Enabled(ctx context.Context, level slog.Level) bool {
	return r.to.newest().Enabled(ctx, level)
}

// Handle logs to the newest logger.
func (r relay) Handle(ctx context.Context, record slog.Record) error {
	return r.handler().Handle(ctx, record)
}

// WithAttrs remembers attributes.
func (r relay) WithAttrs(attrs []slog.Attr) slog.Handler {
	return r.and(func(h slog.Handler) slog.Handler { return h.WithAttrs(attrs) })
}

// WithGroup remembers a group.
func (r relay) WithGroup(name string) slog.Handler {
	return r.and(func(h slog.Handler) slog.Handler { return h.WithGroup(name) })
}

func (r relay) and(with func(slog.Handler) slog.Handler) slog.Handler {
	return relay{r.to, append(slices.Clone(r.with), with)}
}

package caddymodule

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
)

// What a gate denied must not reach an upstream by error routes of another
// site's, or of a pattern's.
func TestErrorRoutesOfPatternsAreNoWayAround(t *testing.T) {
	const login = "login.example.com {\n\tgatehouse_login\n}\n"
	const gated = "app.example.com {\n\tgatehouse_require\n\treverse_proxy localhost:1\n}\n"
	const errors = "handle_errors {\n\t\treverse_proxy localhost:2\n\t}\n}"
	for name, c := range map[string]struct {
		text string
		open bool
	}{
		"a host in a wildcard site": {login + "*.example.com {\n\t@app host app.example.com\n\thandle @app {\n\t\tgatehouse_require\n\t\treverse_proxy localhost:1\n\t}\n\t" + errors, true},
		"a wildcard beside":         {login + gated + "*.example.com {\n\trespond hi\n\t" + errors, true},
		"any host beside":           {login + gated + ":443 {\n\trespond hi\n\t" + errors, true},
		"a wildcard elsewhere":      {login + gated + "*.example.org {\n\trespond hi\n\t" + errors, false},
		"another host":              {login + gated + "free.example.com {\n\trespond hi\n\t" + errors, false},
		"another server":            {login + gated + "http://*.example.com:8080 {\n\trespond hi\n\t" + errors, false},
	} {
		_, err := placed(t, c.text)
		if open := err != nil && strings.Contains(err.Error(), "can be reached without one"); open != c.open || err != nil && !open {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The last configuration's logger stays in use while what is shared closes.
func TestTheLastLoggerStays(t *testing.T) {
	l := &logs{}
	first, second := slog.New(slog.DiscardHandler), slog.New(slog.DiscardHandler)
	relayed := slog.New(relay{to: l})
	l.use(first)
	l.use(first) // who opens what is shared, and then joins it
	l.use(second)
	l.drop(second)
	relayed.Info("a refused reload")
	if l.newest() != first.Handler() || len(l.loggers) != 1 {
		t.Errorf("%d loggers", len(l.loggers))
	}
	l.drop(first)
	relayed.Info("closing")
}

// Behind a login without a gate an upstream would see the cookies of all who
// sign in.
func TestNothingStandsBehindALoginUngated(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		open bool
	}{
		"behind it":       {"login.example.com {\n\tgatehouse_login\n\treverse_proxy localhost:1\n}", true},
		"beside it":       {"login.example.com {\n\thandle /portal/* {\n\t\treverse_proxy localhost:1\n\t}\n\thandle {\n\t\tgatehouse_login\n\t}\n}", true},
		"gated":           {"login.example.com {\n\tgatehouse_login\n\tgatehouse_require\n\treverse_proxy localhost:1\n}", false},
		"open on purpose": {"login.example.com {\n\tgatehouse_login\n\tgatehouse_public\n\treverse_proxy localhost:1\n}", false},
		"no upstream":     {"login.example.com {\n\tgatehouse_login\n\trespond hi\n}", false},
		"another site":    {"login.example.com {\n\tgatehouse_login\n}\nwww.example.com {\n\treverse_proxy localhost:1\n}", false},
	} {
		_, err := placed(t, c.text)
		if open := err != nil && strings.Contains(err.Error(), "which has the login, can be reached without a gate"); open != c.open || err != nil && !open {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Gates of one origin keep their resources apart.
func TestResourcesOfOneOriginStayApart(t *testing.T) {
	app, err := placed(t, "login.example.com {\n\tgatehouse_login\n}\napp.example.com {\n\thandle /api/* {\n\t\tgatehouse_require {\n\t\t\tresource https://app.example.com/api\n\t\t}\n\t\treverse_proxy localhost:1\n\t}\n\thandle {\n\t\tgatehouse_require\n\t\treverse_proxy localhost:2\n\t}\n}")
	if err != nil {
		t.Fatal(err)
	}
	var resources []string
	for _, s := range app.poolConfig(defaultPool).Sites {
		resources = append(resources, s.Origin+" "+s.Resource)
	}
	slices.Sort(resources)
	if want := []string{"https://app.example.com ", "https://app.example.com https://app.example.com/api"}; !slices.Equal(resources, want) {
		t.Errorf("%q", resources)
	}
}

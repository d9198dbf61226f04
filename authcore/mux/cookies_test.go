package mux_test

import (
	"net/http"
	"net/http/httptest"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gatehouse-auth/gatehouse/authcore/mux"
)

var (
	secure   = mux.Cookies{Origin: origin, Pool: "eu-edge-1_AbC123xyz"}
	loopback = mux.Cookies{Origin: "http://localhost:8080", Pool: "eu-edge-1_AbC123xyz"}
)

func TestCookieNames(t *testing.T) {
	if got := secure.Name(mux.CookieSSO); !regexp.MustCompile(`^__Host-gh-sso-[0-9a-f]{16}$`).MatchString(got) {
		t.Error(got)
	}
	for _, o := range []string{"http://localhost:8080", "http://app.localhost", "http://127.0.0.1:1", "http://127.9.9.9", "http://[::1]:80"} {
		if got := (mux.Cookies{Origin: o}).Name("sso"); !strings.HasPrefix(got, "gh-sso-") {
			t.Error(o, got)
		}
	}
	for _, o := range []string{"https://localhost", "http://example.com", "http://localhost.example.com", "http://10.0.0.1", "", "http://127.0.0.1.example.com"} {
		if got := (mux.Cookies{Origin: o}).Name("sso"); !strings.HasPrefix(got, "__Host-gh-sso-") {
			t.Error(o, got)
		}
	}
	names := map[string]bool{}
	for _, c := range []mux.Cookies{secure, loopback, {Origin: origin, Pool: "b"}, {Origin: "https://b.example.com", Pool: secure.Pool}} {
		names[c.Name(mux.CookieSite)] = true
	}
	if len(names) != 4 {
		t.Error("names collide", names)
	}
}

func TestSetCookie(t *testing.T) {
	w := httptest.NewRecorder()
	http.SetCookie(w, &http.Cookie{Name: "other", Value: "1"})
	secure.Clear(w, mux.CookieSSO)
	secure.Set(w, mux.CookieSSO, "v_1-x", 1500*time.Millisecond)
	secure.Set(w, mux.CookiePre, "p", 0)
	loopback.Set(w, mux.CookiePre, "l", 0)
	loopback.Clear(w, mux.CookieSite)
	want := []string{
		"other=1",
		secure.Name("sso") + "=v_1-x; Path=/; Max-Age=2; HttpOnly; Secure; SameSite=Lax",
		secure.Name("pre") + "=p; Path=/; HttpOnly; Secure; SameSite=Lax",
		loopback.Name("pre") + "=l; Path=/; HttpOnly; SameSite=Lax",
		loopback.Name("site") + "=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax",
	}
	if got := w.Header()["Set-Cookie"]; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestGetCookie(t *testing.T) {
	name := secure.Name(mux.CookieSSO)
	for _, c := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{"a=1; " + name + "=v; b=2"}, "v"},
		{[]string{"a=1", name + "=v=w"}, "v=w"},
		{[]string{"a=1;" + name + "=v"}, "v"},
		{[]string{name + "=v; " + name + "=w"}, ""},
		{[]string{name + "=v", name + "=v"}, ""},
		{[]string{name + "=v; " + name}, ""},
		{[]string{strings.ToLower(name) + "=v"}, ""},
		{[]string{"x" + name + "=v"}, ""},
		{[]string{loopback.Name("sso") + "=v"}, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Cookie"] = c.lines
		if got := secure.Get(r, mux.CookieSSO); got != c.want {
			t.Errorf("%q: %q, want %q", c.lines, got, c.want)
		}
	}
}

func TestCookieKinds(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Cookie"] = []string{
		secure.Name("tx-b") + "=1; " + secure.Name("sso") + "=1; " + loopback.Name("tx-c") + "=1",
		secure.Name("tx-a-1_") + "=2; tx-d=1; " + secure.Name("tx-b") + "=3",
	}
	if got := secure.Kinds(r, mux.CookieTx); !slices.Equal(got, []string{"tx-b", "tx-a-1_"}) {
		t.Errorf("%q", got)
	}
}

func TestStripCookies(t *testing.T) {
	s, l, tx := secure.Name("sso")+"=v", loopback.Name("site")+"=v", secure.Name("tx-1_a")+"=v"
	for _, c := range []struct{ in, want []string }{
		{nil, nil},
		{[]string{"a=1; b=2"}, []string{"a=1; b=2"}},
		{[]string{" a=1 ;b= \"2\" ;; c "}, []string{" a=1 ;b= \"2\" ;; c "}},
		{[]string{"a=1; " + s + "; b=2"}, []string{"a=1; b=2"}},
		{[]string{s + "; a=1"}, []string{"a=1"}},
		{[]string{"a=1; " + s}, []string{"a=1"}},
		{[]string{s + "; " + l + ";" + tx}, nil},
		{[]string{s + ";"}, nil},
		{[]string{s, "a=1", " " + l + " "}, []string{"a=1"}},
		{[]string{"a=1;" + s + ";  b=2  ;c"}, []string{"a=1;  b=2  ;c"}},
		{[]string{"a=" + s}, []string{"a=" + s}},
		{[]string{"gh-token=1; gh-sso-xyz=1; x" + s}, []string{"gh-token=1; gh-sso-xyz=1; x" + s}},
		{[]string{"a=\xff\x01; " + s}, []string{"a=\xff\x01"}},
		{[]string{strings.TrimSuffix(s, "=v")}, nil},
		{[]string{strings.Replace(s, "=", " = ", 1) + "; a=1"}, []string{"a=1"}},
		{[]string{""}, []string{""}},
	} {
		h := http.Header{"X": {"1"}}
		if c.in != nil {
			h["Cookie"] = slices.Clone(c.in)
		}
		mux.StripCookies(h)
		if !reflect.DeepEqual(h["Cookie"], c.want) {
			t.Errorf("%q: %q, want %q", c.in, h["Cookie"], c.want)
		}
	}
}

func FuzzStripCookies(f *testing.F) {
	s := secure.Name("sso") + "=v"
	f.Add("a=1; "+s+"; b=2", "c=3")
	f.Add(s+";;", " ; ")
	f.Add("gh-tx--0123456789abcdef=1", "\x00=\xff")
	f.Fuzz(func(t *testing.T, one, two string) {
		h := http.Header{"Cookie": {one, two}}
		mux.StripCookies(h)
		var before, after []string
		for _, line := range []string{one, two} {
			for _, segment := range strings.Split(line, ";") {
				name, _, _ := strings.Cut(segment, "=")
				if !ownName.MatchString(strings.TrimSpace(name)) {
					before = append(before, strings.Trim(segment, " \t"))
				}
			}
		}
		for _, line := range h["Cookie"] {
			for _, segment := range strings.Split(line, ";") {
				name, _, _ := strings.Cut(segment, "=")
				if ownName.MatchString(strings.TrimSpace(name)) {
					t.Fatalf("%q is left of %q", segment, []string{one, two})
				}
				after = append(after, strings.Trim(segment, " \t"))
			}
		}
		empty := func(s string) bool { return s == "" }
		if before, after := slices.DeleteFunc(before, empty), slices.DeleteFunc(after, empty); !slices.Equal(before, after) {
			t.Fatalf("%q became %q", before, after)
		}
	})
}

var ownName = regexp.MustCompile(`^(__Host-)?gh-(sso|site|pre|dev|hop|tx-[0-9A-Za-z_-]+)-[0-9a-f]{16}$`)

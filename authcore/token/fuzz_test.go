package token

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gatehouse-auth/gatehouse/store"
)

func FuzzParseRefresh(f *testing.F) {
	key := bytes.Repeat([]byte{7}, 32)
	good, err := formatRefresh(key, 9, "00112233-4455-4677-8899-aabbccddeeff", 5)
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{good, "", "A", good[:71], good + "A", strings.ToUpper(good), strings.Repeat("A", 72), strings.Repeat("_", 72)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, ok := parseRefresh(s)
		if !ok {
			if s == good {
				t.Fatal("a good token is refused")
			}
			return
		}
		if p.genuine(key) != (s == good) {
			t.Fatalf("%q: genuine %v", s, p.genuine(key))
		}
		if p.genuine(key) && (p.part != store.Partition(9) || p.gen != 5 || p.family != "00112233-4455-4677-8899-aabbccddeeff") {
			t.Fatalf("%q became %+v", s, p)
		}
		again, err := formatRefresh(key, p.part, p.family, p.gen)
		if err != nil || again[:29] != s[:29] { // up to the MAC's first full character
			t.Fatalf("%q became %q, %v", s, again, err)
		}
	})
}

func TestRefreshTokensDependOnEveryPart(t *testing.T) {
	key := bytes.Repeat([]byte{7}, 32)
	const family = "00112233-4455-4677-8899-aabbccddeeff"
	seen := map[string]bool{}
	for _, c := range []struct {
		key    []byte
		part   store.Partition
		family string
		gen    uint32
	}{
		{key, 9, family, 5}, {key, 9, family, 6}, {key, 8, family, 5}, {bytes.Repeat([]byte{8}, 32), 9, family, 5},
		{key, 9, "00112233-4455-4677-8899-aabbccddeefe", 5},
	} {
		one, err := formatRefresh(c.key, c.part, c.family, c.gen)
		two, _ := formatRefresh(c.key, c.part, c.family, c.gen)
		if err != nil || one != two || seen[one] || len(one) != 72 {
			t.Errorf("%+v: %q, %q, %v", c, one, two, err)
		}
		seen[one] = true
	}
	if _, err := formatRefresh(key, 9, "no uuid", 5); err == nil {
		t.Error("a family that is no UUID")
	}
}

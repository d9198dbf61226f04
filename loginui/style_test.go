package loginui

import (
	"math"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// palettes reads the custom colours of the style sheet: light, then dark over light.
func palettes(t *testing.T) map[string]map[string]string {
	t.Helper()
	raw, err := assets.ReadFile("style.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, ok := strings.Cut(string(raw), "@media (prefers-color-scheme: dark)")
	if !ok {
		t.Fatal("no dark scheme")
	}
	colour := regexp.MustCompile(`--([a-z0-9-]+): (#[0-9a-f]{6});`)
	out := map[string]map[string]string{"light": {}, "dark": {}}
	for _, m := range colour.FindAllStringSubmatch(light, -1) {
		out["light"][m[1]], out["dark"][m[1]] = m[2], m[2]
	}
	changed := 0
	for _, m := range colour.FindAllStringSubmatch(dark, -1) {
		out["dark"][m[1]] = m[2]
		changed++
	}
	if changed != len(out["light"]) {
		t.Errorf("%d colours in the light scheme, %d in the dark", len(out["light"]), changed)
	}
	return out
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil {
		t.Fatalf("colour %q: %v", hex, err)
	}
	linear := func(c uint64) float64 {
		x := float64(c&0xff) / 255
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	return 0.2126*linear(n>>16) + 0.7152*linear(n>>8) + 0.0722*linear(n)
}

func TestContrast(t *testing.T) {
	const text, shape = 4.5, 3 // WCAG 2.2 AA: 1.4.3 and 1.4.11
	for scheme, p := range palettes(t) {
		for _, c := range []struct {
			fore, back string
			least      float64
		}{
			{"ink", "card", text}, {"ink", "tint", text}, {"soft", "card", text},
			{"soft", "paper", text}, {"soft", "glow", text}, {"soft", "arch", text}, {"soft", "arch2", text},
			{"on", "accent", text}, {"on", "strong", text}, {"accent", "tint", text}, {"card", "accent", text},
			{"bad", "bad-bg", text}, {"card", "bad", text},
			{"line", "card", shape}, {"accent", "card", shape}, {"bad", "card", shape},
		} {
			a, b := luminance(t, p[c.fore]), luminance(t, p[c.back])
			if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); ratio < c.least {
				t.Errorf("%s: %s on %s has contrast %.2f, want %.1f", scheme, c.fore, c.back, ratio, c.least)
			}
		}
	}
}

func TestStyleKeepsItsPromises(t *testing.T) {
	css := string(newUI(t).style)
	for _, want := range []string{"color-scheme: light dark", "prefers-reduced-motion", ":focus-visible", "min-block-size: 3rem", "inset-inline"} {
		if !strings.Contains(css, want) {
			t.Errorf("no %s", want)
		}
	}
	physical := regexp.MustCompile(`[;{ ](margin|padding|border)-(left|right)|[;{](left|right|float):`)
	if m := physical.FindString(css); m != "" {
		t.Errorf("%q does not turn with the direction of writing", m)
	}
	if strings.Contains(css, "/*") || strings.Contains(css, "\n") {
		t.Error("comments or lines are sent")
	}
}

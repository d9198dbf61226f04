package browser

import (
	"bytes"
	"cmp"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// kept is where the pictures are kept.
const kept = "../../docs/screenshots"

// TestScreenshots takes pictures of every hosted page into docs/screenshots,
// instead of those that are there, when UPDATE_SCREENSHOTS is set, as `npm run
// screenshots` does. TestEveryPage holds that there is one of each.
func TestScreenshots(t *testing.T) {
	if os.Getenv("UPDATE_SCREENSHOTS") == "" {
		t.Skip("writes docs/screenshots: run `make screenshots`")
	}
	tools(t)
	taken := t.TempDir()
	_, vars := startEveryPage(t, harness.NewUpstream(t))
	vars["OUT"] = taken
	node(t, vars, "screenshots.js")
	for _, old := range pictures(t, kept) {
		if err := os.Remove(filepath.Join(kept, old)); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range pictures(t, taken) {
		shot, err := shrink(filepath.Join(taken, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(kept, name), shot, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// pictured asserts that docs/screenshots has a picture of each page, theme,
// width and language, and no other.
func pictured(t *testing.T, pages []string) {
	t.Helper()
	var want []string
	for _, page := range pages {
		for _, look := range []string{"light-320", "light-1280", "dark-320", "dark-1280"} {
			want = append(want, page+"-"+look+".png", page+"-"+look+"-de.png")
		}
	}
	slices.Sort(want)
	if got := pictures(t, kept); !slices.Equal(got, want) {
		t.Errorf("docs/screenshots is not of these pages: run `make screenshots`\nthere: %v\nwant: %v", got, want)
	}
}

// pictures returns the names of the pictures in a directory, sorted.
func pictures(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.png"))
	if err != nil {
		t.Fatal(err)
	}
	for i, path := range paths {
		paths[i] = filepath.Base(path)
	}
	slices.Sort(paths)
	return paths
}

// shrink encodes a picture anew in 256 colours, and as small as that gets.
func shrink(path string) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, paletted(picture)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return b.Bytes(), nil
}

// paletted returns the picture in its commonest colours, at most 256. Of those
// that no eye tells apart it takes one.
func paletted(picture image.Image) *image.Paletted {
	r := picture.Bounds()
	count := map[color.NRGBA]int{}
	at := func(x, y int) color.NRGBA { return color.NRGBAModel.Convert(picture.At(x, y)).(color.NRGBA) }
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			count[at(x, y)]++
		}
	}
	palette, index := commonest(count), map[color.NRGBA]uint8{}
	for c := range count {
		index[c] = uint8(palette.Index(c))
	}
	small := image.NewPaletted(r, palette)
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			small.SetColorIndex(x, y, index[at(x, y)])
		}
	}
	return small
}

func commonest(count map[color.NRGBA]int) color.Palette {
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.NRGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	near := map[[3]uint8]bool{}
	var palette color.Palette
	for _, c := range all {
		if k := [3]uint8{c.R / 3, c.G / 3, c.B / 3}; len(palette) < 256 && !near[k] {
			near[k] = true
			palette = append(palette, c)
		}
	}
	return palette
}

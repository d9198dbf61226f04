package browser

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"github.com/gatehouse-auth/gatehouse/integration/harness"
)

// TestScreenshots takes pictures of the hosted pages: into docs/screenshots
// when UPDATE_SCREENSHOTS is set, as `npm run screenshots` does, and otherwise
// into a directory that is thrown away.
func TestScreenshots(t *testing.T) {
	tools(t)
	dir := t.TempDir()
	s := places[0].start(t, harness.NewUpstream(t), "http://127.0.0.1:1")
	node(t, map[string]string{
		"LOGIN": s.Expand(places[0].login), "SHOP": "http://127.0.0.1:1", "INVITE_LINK": invite(t, s, "ada@example.com"), "OUT": dir,
	}, "screenshots.js")
	out := dir
	if os.Getenv("UPDATE_SCREENSHOTS") != "" {
		out = filepath.Join("..", "..", "docs", "screenshots")
		if err := os.MkdirAll(out, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"sign-in", "set-password", "error", "signed-out"} {
		for _, look := range []string{"light", "dark"} {
			for _, width := range []int{320, 1280} {
				file := fmt.Sprintf("%s-%s-%d.png", name, look, width)
				shot, err := shrink(filepath.Join(dir, file), width)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(out, file), shot, 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
}

// shrink encodes a picture anew, as small as it gets without loss.
func shrink(path string, width int) ([]byte, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	picture, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		return nil, err
	}
	if got := picture.Bounds().Dx(); got != width {
		return nil, fmt.Errorf("%s is %d pixels wide", path, got)
	}
	if colours := palette(picture); len(colours) <= 256 {
		small := image.NewPaletted(picture.Bounds(), colours)
		draw.Draw(small, small.Bounds(), picture, image.Point{}, draw.Src)
		picture = small
	}
	var b bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	if err := encoder.Encode(&b, picture); err != nil {
		return nil, err
	}
	if b.Len() > len(raw) {
		return raw, nil
	}
	return b.Bytes(), nil
}

// palette returns the colours of a picture, not more than 257.
func palette(picture image.Image) color.Palette {
	seen := map[color.Color]bool{}
	var colours color.Palette
	r := picture.Bounds()
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X && len(colours) <= 256; x++ {
			if c := picture.At(x, y); !seen[c] {
				seen[c] = true
				colours = append(colours, c)
			}
		}
	}
	return colours
}

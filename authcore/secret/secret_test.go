package secret

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestHiddenNeverPrints(t *testing.T) {
	const canary = "correct-horse"
	h := Hide(canary)
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "secret", h, "inside", struct{ S Hidden }{h})
	for _, s := range []string{
		fmt.Sprint(h), fmt.Sprintf("%s %v %+v %#v %q %x %d", h, h, h, h, h, h, h), fmt.Sprintf("%+v", struct{ S Hidden }{h}),
		fmt.Sprintf("%#v", []Hidden{h}), log.String(),
		// fmt calls no method of what lies in unexported fields.
		fmt.Sprint(struct{ s Hidden }{h}), fmt.Sprintf("%+v", &struct{ s []Hidden }{[]Hidden{h}}),
		fmt.Sprintf("%#v", struct{ s map[string]Hidden }{map[string]Hidden{"a": h}}),
	} {
		if strings.Contains(s, canary) || strings.Contains(s, fmt.Sprintf("%x", canary)) {
			t.Errorf("printed: %s", s)
		}
	}
	if out, err := json.Marshal(map[string]any{"s": h}); err == nil {
		t.Errorf("encoded: %s", out)
	}
	if h.Reveal() != canary || (Hidden{}).Reveal() != "" {
		t.Error("lost")
	}
	if text, err := h.MarshalText(); err == nil {
		t.Errorf("encoded: %s", text)
	}
}

func TestKeysNeverPrint(t *testing.T) {
	k := NewKeys()
	raw := fmt.Sprint(k.keys[0].key)
	for _, s := range []string{
		fmt.Sprintf("%v %+v %#v %s %x %d", k, k, k, k, k, k), fmt.Sprintf("%+v", struct{ k *Keys }{k}), fmt.Sprintf("%+v", struct{ K *Keys }{k}),
	} {
		if strings.Contains(s, strings.Trim(raw, "[]")) || strings.Contains(s, fmt.Sprintf("%x", k.keys[0].key)) {
			t.Errorf("printed: %s", s)
		}
	}
	if got := fmt.Sprint(k); got != "key "+k.ID() {
		t.Error(got)
	}
}

func TestRandomValues(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	seen := map[string]bool{}
	for range 1000 {
		for _, s := range []string{UUID(), Token(32), Alphanumeric(20)} {
			if seen[s] {
				t.Fatalf("%s twice", s)
			}
			seen[s] = true
		}
	}
	if u := UUID(); !uuid.MatchString(u) {
		t.Errorf("UUID %s", u)
	}
	if len(Token(32)) != 43 || len(Alphanumeric(9)) != 9 || len(Bytes(7)) != 7 {
		t.Error("lengths")
	}
}

// TestBytesAreUniform is a smoke test: 255 degrees of freedom, so that the
// statistic is far below 400 unless something is broken (p < 1e-8).
func TestBytesAreUniform(t *testing.T) {
	const n = 1 << 18
	var count [256]float64
	for _, b := range Bytes(n) {
		count[b]++
	}
	chi := 0.0
	for _, c := range count {
		d := c - n/256
		chi += d * d / (n / 256)
	}
	if chi > 400 {
		t.Errorf("chi-square %.0f", chi)
	}
}

func TestKeysAreForOnePurpose(t *testing.T) {
	root := Bytes(32)
	a, b := Derive(root, "ab", "c"), Derive(root, "a", "bc")
	if bytes.Equal(a, b) || !bytes.Equal(a, Derive(root, "ab", "c")) || len(a) != 32 {
		t.Error("parts run into one another, or it is not deterministic")
	}
	if bytes.Equal(MAC(a, []byte("x"), []byte("y")), MAC(a, []byte("xy"), nil)) {
		t.Error("MAC parts run into one another")
	}
	if !Equal([]byte("a"), []byte("a")) || Equal([]byte("a"), []byte("b")) || Equal(nil, []byte("a")) {
		t.Error("Equal")
	}
}

func TestSealedOpensOnlyInItsPlace(t *testing.T) {
	key := Bytes(32)
	sealed := Seal(key, []byte("text"), []byte("place"))
	if got, err := Open(key, sealed, []byte("place")); err != nil || string(got) != "text" {
		t.Fatal(got, err)
	}
	if bytes.Equal(sealed, Seal(key, []byte("text"), []byte("place"))) {
		t.Error("the same nonce twice")
	}
	for i := range sealed {
		damaged := bytes.Clone(sealed)
		damaged[i] ^= 1
		if _, err := Open(key, damaged, []byte("place")); !errors.Is(err, ErrSealed) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	for _, bad := range []func() ([]byte, error){
		func() ([]byte, error) { return Open(key, sealed, []byte("elsewhere")) },
		func() ([]byte, error) { return Open(Bytes(32), sealed, []byte("place")) },
		func() ([]byte, error) { return Open(key, sealed[:20], nil) },
		func() ([]byte, error) { return Open(key, nil, nil) },
		func() ([]byte, error) { return Open(key[:16], sealed, []byte("place")) },
	} {
		if _, err := bad(); !errors.Is(err, ErrSealed) {
			t.Errorf("%v", err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	path := filepath.Join(dir, "key")
	ctx := context.Background()
	if _, err := LoadKeys(path, false); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "restore it") {
		t.Errorf("absent: %v", err)
	}
	var wg sync.WaitGroup
	ids := make([]string, 16)
	for i := range ids {
		wg.Go(func() {
			k, err := LoadKeys(path, true)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = k.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatal("two keys were made")
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".key-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	old, err := LoadKeys(path, false)
	if err != nil {
		t.Fatal(err)
	}
	wrapped, err := old.Wrap(ctx, []byte("data key"), []byte("pool"))
	if err != nil {
		t.Fatal(err)
	}
	// A new key goes first; the old one still unwraps, and says that it is stale.
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	both, err := ParseKeys("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n" + string(text))
	if err != nil {
		t.Fatal(err)
	}
	data, stale, err := both.Unwrap(ctx, wrapped, []byte("pool"))
	if err != nil || !stale || string(data) != "data key" {
		t.Error(data, stale, err)
	}
	if _, stale, err := old.Unwrap(ctx, wrapped, []byte("pool")); err != nil || stale {
		t.Error(stale, err)
	}
	if _, _, err := old.Unwrap(ctx, wrapped, []byte("another pool")); !errors.Is(err, ErrSealed) {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadKeys(path, true); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Errorf("readable by others: %v", err)
	}
}

func TestFilesThatAreNoKeyFiles(t *testing.T) {
	dir := t.TempDir()
	large := filepath.Join(dir, "large")
	if err := os.WriteFile(large, bytes.Repeat([]byte("#\n"), maxKeyFile), 0o600); err != nil {
		t.Fatal(err)
	}
	damaged := filepath.Join(dir, "damaged")
	if err := os.WriteFile(damaged, []byte("# mine\nhunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "not a regular file", large: "too large", damaged: "line 2", filepath.Join(damaged, "key"): "not a directory",
	} {
		_, err := LoadKeys(path, true)
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if text, err := os.ReadFile(damaged); err != nil || string(text) != "# mine\nhunter2\n" {
		t.Errorf("a damaged file was touched: %q, %v", text, err)
	}
	if err := hint(&fs.PathError{Op: "open", Path: "x", Err: fs.ErrPermission}); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "chown") {
		t.Error(err)
	}
}

// TestKeysInEveryAlphabet: what people paste is one key, however it is written.
func TestKeysInEveryAlphabet(t *testing.T) {
	raw := bytes.Repeat([]byte{0xfb, 0xff}, 16)
	want := ""
	for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.RawStdEncoding, base64.URLEncoding, base64.RawURLEncoding} {
		k, err := ParseKeys("\n# comment\r\n  " + enc.EncodeToString(raw) + " \r\n")
		if err != nil {
			t.Fatal(err)
		}
		if want == "" {
			want = k.ID()
		}
		if k.ID() != want {
			t.Errorf("%s, not %s", k.ID(), want)
		}
	}
}

func TestBadKeyFiles(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "comment only": "# nothing\n", "short": "AAAA", "words": "my secret password",
		"repeated": strings.Repeat("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", 2),
	} {
		if _, err := ParseKeys(text); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n#x\n")
	f.Fuzz(func(t *testing.T, text string) {
		k, err := ParseKeys(text)
		if err == nil && len(k.keys) == 0 {
			t.Error("no key and no error")
		}
	})
}

// cheap is a Hasher for tests that count, not measure.
func cheap(slots, queue int) *Hasher {
	return NewHasher(HasherConfig{Memory: 64, Time: 1, Slots: slots, Queue: queue})
}

func TestPasswordHashes(t *testing.T) {
	ctx := context.Background()
	h := cheap(2, 100)
	enc, err := h.Hash(ctx, "pässword")
	if err != nil || !strings.HasPrefix(enc, "$argon2id$v=19$m=64,t=1,p=1$") {
		t.Fatal(enc, err)
	}
	check := func(h *Hasher, enc, pw string, ok, rehash bool) {
		t.Helper()
		gotOK, gotRehash, err := h.Verify(ctx, enc, pw)
		if err != nil || gotOK != ok || gotRehash != rehash {
			t.Errorf("Verify(%.30s, %s) = %v, %v, %v", enc, pw, gotOK, gotRehash, err)
		}
	}
	check(h, enc, "pässword", true, false)
	check(h, enc, "password", false, false)
	check(h, enc, "", false, false)
	check(h, "", "pässword", false, false)
	check(h, "$argon2id$damaged", "pässword", false, false)
	check(NewHasher(HasherConfig{Memory: 128, Time: 1}), enc, "pässword", true, true)
	if again, _ := h.Hash(ctx, "pässword"); again == enc {
		t.Error("the same salt twice")
	}
	if def := NewHasher(HasherConfig{}); def.memory != 19456 || def.time != 2 {
		t.Error("defaults")
	}
}

// TestReferenceHash checks a hash that the reference implementation made
// (its test.c, Argon2id version 0x13).
func TestReferenceHash(t *testing.T) {
	const enc = "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
	h := cheap(1, 1)
	if ok, rehash, err := h.Verify(t.Context(), enc, "password"); !ok || !rehash || err != nil {
		t.Error(ok, rehash, err)
	}
	if ok, _, _ := h.Verify(t.Context(), enc, "Password"); ok {
		t.Error("a wrong password matches")
	}
}

// A hash of another system is checked in the same slots, and is to be replaced.
func TestForeignHashes(t *testing.T) {
	const enc = "{SSHA}AZKja92fbuuB9SpRlHqaoXxbTc43Mzc2MDM1Ng==" // hashcat's examples, 111
	h := cheap(1, 1)
	if ok, rehash, err := h.Verify(t.Context(), enc, "hashcat"); !ok || !rehash || err != nil {
		t.Error(ok, rehash, err)
	}
	if ok, rehash, err := h.Verify(t.Context(), enc, "Hashcat"); ok || rehash || err != nil {
		t.Error(ok, rehash, err)
	}
	h.inside.Store(h.most)
	if _, _, err := h.Verify(t.Context(), enc, "hashcat"); !errors.Is(err, ErrBusy) {
		t.Error("not behind the slots:", err)
	}
}

// TestNobodyTakesAsLongAsSomebody: without a hash the same work is done. It
// compares the fastest of some runs and demands only what no early return
// can reach.
func TestNobodyTakesAsLongAsSomebody(t *testing.T) {
	h := NewHasher(HasherConfig{Memory: 8 << 10, Time: 2, Slots: 1})
	enc, err := h.Hash(t.Context(), "pässword")
	if err != nil {
		t.Fatal(err)
	}
	fastest := func(enc string) time.Duration {
		best := time.Hour
		for range 7 {
			start := time.Now()
			if ok, _, err := h.Verify(t.Context(), enc, "wrong"); ok || err != nil {
				t.Fatal(ok, err)
			}
			best = min(best, time.Since(start))
		}
		return best
	}
	real := fastest(enc)
	for _, none := range []string{"", "$argon2id$damaged", strings.Replace(enc, "t=2", "t=99", 1)} {
		if took := fastest(none); took < real/3 {
			t.Errorf("%.20q: %v, a real one %v", none, took, real)
		}
	}
}

func TestHostileParametersAreNotComputed(t *testing.T) {
	for _, enc := range []string{
		"$argon2id$v=19$m=4294967295,t=2,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"$argon2id$v=19$m=64,t=4000000000,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"$argon2id$v=19$m=64,t=1,p=255$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"$argon2id$v=19$m=0,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"$argon2i$v=19$m=64,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"$argon2id$v=16$m=64,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng", "$argon2id$v=19$t=1,m=64,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"$argon2id$v=19$m=+64,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng", "$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ=$MTIzNDU2Nzg5MDEyMzQ1Ng",
		"$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$", "$argon2id$v=19$m=64,t=1,p=1$$", strings.Repeat("$", 600),
	} {
		if _, err := parsePHC(enc); err == nil {
			t.Errorf("taken: %s", enc)
		}
	}
}

func FuzzParsePHC(f *testing.F) {
	f.Add("$argon2id$v=19$m=64,t=1,p=1$c29tZXNhbHQ$MTIzNDU2Nzg5MDEyMzQ1Ng")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePHC(s)
		if err != nil {
			return
		}
		if p.memory > maxMemory || p.time > maxTime || p.threads > maxThreads || p.memory == 0 || p.time == 0 || p.threads == 0 {
			t.Errorf("%+v", p)
		}
		if again, err := parsePHC(p.String()); err != nil || again.String() != p.String() {
			t.Errorf("%s reads back as %s, %v", p, again, err)
		}
	})
}

func TestTooManyHashesAtOnceAreRefused(t *testing.T) {
	h := cheap(1, 2)
	leave, err := h.enter(context.Background()) // takes the one slot
	if err != nil {
		t.Fatal(err)
	}
	waiting, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	entered := make(chan struct{}, 2)
	for range 2 {
		wg.Go(func() {
			entered <- struct{}{}
			if _, err := h.Hash(waiting, "x"); !errors.Is(err, context.Canceled) {
				t.Errorf("waiting: %v", err)
			}
		})
	}
	<-entered
	<-entered
	for h.inside.Load() < 3 { // both are in the queue
	}
	if _, err := h.Hash(context.Background(), "x"); !errors.Is(err, ErrBusy) {
		t.Errorf("over the queue: %v", err)
	}
	cancel()
	wg.Wait()
	leave()
	if h.inside.Load() != 0 {
		t.Errorf("%d still inside", h.inside.Load())
	}
	if _, err := h.Hash(context.Background(), "x"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if _, _, err := h.Verify(waiting, "", "x"); !errors.Is(err, context.Canceled) {
		t.Errorf("whoever has left is still served: %v", err)
	}
}

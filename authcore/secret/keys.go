package secret

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

const (
	keySize   = 32
	keyIDSize = 4
	// maxKeyFile bounds what is read as a key file, in bytes.
	maxKeyFile = 64 << 10
)

// Keys wraps data keys: the first key wraps, all of them unwrap, so that a
// key-encryption key can be changed: put the new one first, start once, and
// take the old one away.
type Keys struct{ keys []kek }

// kek is one key-encryption key.
type kek struct {
	id  [keyIDSize]byte // names it in what it wrapped
	key []byte
}

// ID names the first key publicly.
func (k *Keys) ID() string { return fmt.Sprintf("%x", k.keys[0].id) }

// Format prints the id for every verb, never a key.
func (k *Keys) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "key %x", k.keys[0].id) } // a fmt.State keeps its own error

// Wrap seals a data key under the first key.
func (k *Keys) Wrap(_ context.Context, data, associated []byte) ([]byte, error) {
	first := k.keys[0]
	return append(first.id[:], Seal(first.key, data, associated)...), nil
}

// Unwrap opens a wrapped data key. stale is true if it is not wrapped under
// the first key and should be wrapped again. ErrSealed if no key opens it.
func (k *Keys) Unwrap(_ context.Context, wrapped, associated []byte) (data []byte, stale bool, err error) {
	if len(wrapped) < keyIDSize {
		return nil, false, ErrSealed
	}
	for i, key := range k.keys {
		if !bytes.Equal(wrapped[:keyIDSize], key.id[:]) {
			continue
		}
		if data, err = Open(key.key, wrapped[keyIDSize:], associated); err == nil {
			return data, i > 0, nil
		}
	}
	return nil, false, ErrSealed
}

// ParseKeys reads keys: one per line, 32 bytes in base64 (standard or URL
// alphabet, padded or not), the first one current; blank lines and lines that begin with # are
// skipped.
func ParseKeys(text string) (*Keys, error) {
	keys := &Keys{}
	for n, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		raw, err := decodeKey(line)
		if err != nil {
			return nil, fmt.Errorf("line %d is not a key: 32 bytes in base64, such as `head -c 32 /dev/urandom | base64` prints", n+1)
		}
		k := kek{key: Derive(raw, "gatehouse key-encryption key")}
		sum := sha256.Sum256(append([]byte("gatehouse key id\x00"), raw...))
		copy(k.id[:], sum[:])
		for _, other := range keys.keys {
			if other.id == k.id {
				return nil, fmt.Errorf("line %d repeats an earlier key", n+1)
			}
		}
		keys.keys = append(keys.keys, k)
	}
	if len(keys.keys) == 0 {
		return nil, errors.New("no key: write 32 bytes in base64 on a line, such as `head -c 32 /dev/urandom | base64` prints")
	}
	return keys, nil
}

// decodeKey reads 32 bytes of base64 in either alphabet.
func decodeKey(s string) ([]byte, error) {
	s = strings.NewReplacer("-", "+", "_", "/").Replace(strings.TrimRight(s, "="))
	raw, err := base64.RawStdEncoding.Strict().DecodeString(s)
	if err == nil && len(raw) != keySize {
		err = fmt.Errorf("%d bytes", len(raw))
	}
	return raw, err
}

// LoadKeys reads a key file in the format of ParseKeys. A file that others
// may read is refused. If the file is absent and create is set, it is made
// with one new key, mode 0600; of two processes that make it at once, one wins.
func LoadKeys(path string, create bool) (*Keys, error) {
	text, err := readKeyFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		if err := createKeyFile(path); err != nil {
			return nil, fmt.Errorf("key file %s cannot be made: %w", path, hint(err))
		}
		text, err = readKeyFile(path)
	}
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	keys, err := ParseKeys(text)
	if err != nil {
		return nil, fmt.Errorf("key file %s: %w", path, err)
	}
	return keys, nil
}

// readKeyFile reads a small regular file that only its owner may read.
func readKeyFile(path string) (text string, err error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		return "", errors.New("it is not a regular file") // opening a pipe would wait
	}
	f, err := os.Open(path)
	if err != nil {
		return "", hint(err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat() // of what is read, not of what may stand there by now
	if err != nil {
		return "", err
	}
	if info.Mode().Perm()&0o077 != 0 {
		return "", fmt.Errorf("mode %04o lets others read it: chmod 600 it", info.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return "", err
	}
	if len(raw) > maxKeyFile {
		return "", errors.New("it is too large for a key file")
	}
	return string(raw), nil
}

// hint says what usually helps.
func hint(err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("it does not exist: restore it from your copy, or correct the path: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("the user that the server runs as may not use it: chown it, or its folder: %w", err)
	}
	return err
}

// createKeyFile writes a new key durably: to a file of its own, which is then
// linked into place, so that nobody ever reads half of it and nobody's is
// overwritten.
func createKeyFile(path string) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".key-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	text := "# Gatehouse key-encryption key. Without it the store cannot be read: keep a copy elsewhere.\n" +
		base64.StdEncoding.EncodeToString(Bytes(keySize)) + "\n"
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// NewKeys returns one random key that nobody keeps: for a store that forgets
// everything as well.
func NewKeys() *Keys {
	k := kek{key: Bytes(keySize)}
	copy(k.id[:], Bytes(keyIDSize))
	return &Keys{keys: []kek{k}}
}

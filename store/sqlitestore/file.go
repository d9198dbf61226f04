package sqlitestore

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

func makeDir(dir string) error { return os.MkdirAll(dir, 0o700) }

// makeFile creates the file with mode 0600, which SQLite then gives to the log
// as well. It is closed before SQLite opens it: POSIX locks end with any close.
func makeFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// syncDir makes a new name survive a crash. Windows cannot, and need not.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && filepath.Separator == '/' {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// dsn names the file and the settings every connection has.
func dsn(path string, pragmas ...string) string {
	slashed := filepath.ToSlash(path)
	if !strings.HasPrefix(slashed, "/") {
		slashed = "/" + slashed // C:/…
	}
	q := url.Values{"_pragma": append([]string{
		"busy_timeout(5000)",
		"mmap_size(0)", // a read error must be an error, not a SIGBUS
		"cell_size_check(1)",
		"trusted_schema(0)",
	}, pragmas...)}
	u := url.URL{Scheme: "file", OmitHost: true, Path: slashed, RawQuery: q.Encode()}
	return u.String()
}

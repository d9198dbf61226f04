package sqlitestore

import (
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/gatehouse-auth/gatehouse/store"
)

const errorSharingViolation = syscall.Errno(32)

// acquire opens the file at path and shares it with nobody; the system closes
// it with the process, so no lock is ever stale.
func acquire(path string) (io.Closer, error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	h, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil,
		syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if err == errorSharingViolation {
		return nil, store.ErrInUse
	}
	if err != nil {
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return os.NewFile(uintptr(h), path), nil
}

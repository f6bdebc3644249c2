//go:build unix && !solaris && !aix

package keyindex

import (
	"os"
	"syscall"
)

// lockFile keeps two processes from sharing a directory: each would take the
// other's unfinished files for leftovers. The lock ends with the process, however
// that ends.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

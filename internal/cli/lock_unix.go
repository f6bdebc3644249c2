//go:build unix && !solaris && !aix

package cli

import (
	"os"
	"syscall"
)

// lockFile keeps two runs from sharing one state. The lock ends with the process,
// however that ends.
func lockFile(f *os.File) error {
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
}

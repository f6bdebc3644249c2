//go:build unix

package listen

import "syscall"

// Descriptors returns how many files and connections this process may have open,
// which Go has raised as far as it may be raised, or 0 if that is not known.
func Descriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(uint64(limit.Cur), 1<<30))
}

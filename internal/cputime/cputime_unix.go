//go:build unix

package cputime

import (
	"syscall"
	"time"
)

// Used is the processor time of this process so far.
func Used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // no kernel refuses it
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

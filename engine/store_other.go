//go:build !linux && !darwin && !freebsd

package engine

import (
	"errors"
	"os"
)

// Without a lock two processes could use one folder and overwrite each other's
// messages, so there is no engine where there is none.
func lockDir(string) (*os.File, error) {
	return nil, errors.New("engine: this system has no lock for the data folder; use Linux, macOS or FreeBSD")
}

func freeBytes(string) (int64, error) {
	return 0, errors.New("engine: free space is not known on this system")
}

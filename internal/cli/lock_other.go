//go:build !unix || solaris || aix

package cli

import "os"

// lockFile does nothing where there is no flock; two runs must not share a state.
func lockFile(*os.File) error { return nil }

//go:build !unix

package cputime

import "time"

var begun = time.Now()

// Used is the time of this process so far, where the processor time is not known.
func Used() time.Duration { return time.Since(begun) }

//go:build !linux && !darwin

package cli

import "time"

// processCPU is 0 where it is not asked for.
func processCPU() time.Duration { return 0 }

// processPeak likewise.
func processPeak() int64 { return 0 }

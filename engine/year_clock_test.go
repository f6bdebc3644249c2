package engine

import (
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	_ "unsafe" // for the clock of the log
)

// The log has a clock of its own, by which it drops messages that are too old while
// it runs. A goroutine of the process sets it ten times a second, outside of any
// bubble, and in virtual time nothing would ever be too old before the next start.
// As long as there is a user already, nobody starts that goroutine.
var (
	//go:linkname logClock github.com/nats-io/nats-server/v2/server/ats.utime
	logClock atomic.Int64
	//go:linkname logClockUsers github.com/nats-io/nats-server/v2/server/ats.refs
	logClockUsers atomic.Int64
)

// throughYears is virtually, with the log's clock in virtual time too, and begins
// at six in the morning whatever the time is: people are about to get up.
func throughYears(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if !logClockUsers.CompareAndSwap(0, 1) {
		t.Fatal("the clock of the log is in use")
	}
	defer logClockUsers.Store(0)
	beforeShutdown = synctest.Wait
	defer func() { beforeShutdown = func() {} }()
	// See virtually.
	defer func() { runtime.GC(); runtime.GC() }()
	morning := time.Now().Truncate(24 * time.Hour).Add(30 * time.Hour)
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(morning)) // a bubble begins in the year 2000
		tick := time.NewTicker(time.Second)
		end, ended := make(chan struct{}), make(chan struct{})
		logClock.Store(time.Now().UnixNano())
		go func() {
			defer close(ended)
			for {
				select {
				case now := <-tick.C:
					logClock.Store(now.UnixNano())
				case <-end:
					return
				}
			}
		}()
		defer func() { tick.Stop(); close(end); <-ended }()
		test(t)
	})
}

// Package await waits in tests for what has to happen, and never for a time: how long
// it takes is the machine's business. What does not happen at all ends with the test
// binary's own time (go test -timeout).
package await

import (
	"testing"
	"time"
)

const (
	// firstPause and lastPause bound how long something that has happened stays
	// unseen; the pause doubles, since asking takes processor time from what is
	// waited for.
	firstPause = time.Millisecond
	lastPause  = 20 * time.Millisecond
	// farewell is what a test needs to say what it has waited for in vain.
	farewell = 5 * time.Second
)

// Until waits until happened says so; otherwise the test fails with what, which says
// what has not happened.
func Until(t testing.TB, what string, happened func() bool) {
	t.Helper()
	end := Deadline(t)
	for pause := firstPause; !happened(); pause = min(2*pause, lastPause) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain: %s", what)
		}
		time.Sleep(pause)
	}
}

// Deadline is when a test that still waits for something, on a connection for
// example, has to give up.
func Deadline(t testing.TB) time.Time {
	if t, ok := t.(interface{ Deadline() (time.Time, bool) }); ok {
		if end, limited := t.Deadline(); limited {
			return end.Add(-farewell)
		}
	}
	return time.Now().Add(time.Hour) // a benchmark, or a test without a limit
}

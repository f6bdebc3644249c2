package await_test

import (
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/internal/await"
)

func TestUntil(t *testing.T) {
	asked := 0
	await.Until(t, "the third question", func() bool { asked++; return asked == 3 })
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
}

// stranger is a testing.TB that notes how it failed.
type stranger struct {
	testing.TB
	end    time.Time
	failed string
}

func (s *stranger) Deadline() (time.Time, bool) { return s.end, true }
func (s *stranger) Helper()                     {}
func (s *stranger) Fatalf(_ string, args ...any) {
	s.failed = args[0].(string)
	panic(s)
}

func TestUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		s := &stranger{end: begun.Add(time.Minute)}
		defer func() {
			if recover() != s || s.failed != "the end of days" || time.Since(begun) < 55*time.Second || time.Since(begun) >= time.Minute {
				t.Errorf("%q after %v", s.failed, time.Since(begun))
			}
		}()
		await.Until(s, "the end of days", func() bool { return false })
	})
}

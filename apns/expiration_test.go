package apns_test

import (
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
)

// A distance is never shorter than it was given, and what is none is refused as past.
func TestExpireAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(400 * time.Millisecond)
		for d, want := range map[time.Duration]int64{time.Millisecond: 1, time.Second: 2, 700 * time.Millisecond: 2, time.Minute: 61, 0: 0, -time.Second: -1} {
			at, ok := apns.ExpireAfter(d).Time()
			if got := at.Unix() - time.Now().Unix(); !ok || got != want {
				t.Errorf("%v: %d s after this second, want %d", d, got, want)
			}
		}
	})
}

package h2

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// A stream that was answered 200 and is then "refused", or lies above GOAWAY.
func TestRefusedAfterAnAnswer(t *testing.T) {
	for name, play := range map[string]func(*rig){
		"RST":    func(r *rig) { r.check(r.fr.WriteRSTStream(1, http2.ErrCodeRefusedStream)) },
		"GOAWAY": func(r *rig) { r.check(r.fr.WriteGoAway(0, http2.ErrCodeNo, nil)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := ready(t, Config{})
				r.submit(newCall(1, "x"))
				r.request()
				r.answer(1, false, ":status", "200")
				play(r)
				if c := r.result(); c.Err != nil || c.Status != 200 {
					t.Errorf("%d, %v", c.Status, c.Err)
				}
			})
		})
	}
}

// 200 has come, END_STREAM has not, and the connection ends.
func TestStatusIsWhatCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		r.submit(newCall(1, "x"))
		r.request()
		r.answer(1, false, ":status", "200")
		synctest.Wait()
		r.net.Close()
		if c := r.result(); c.Err != nil || c.Status != 200 {
			t.Errorf("%d, %v", c.Status, c.Err)
		}
	})
}

// A call whose deadline has passed is not written.
func TestPastDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		c := newCall(1, "x")
		time.Sleep(time.Second)
		c.Deadline = time.Now().Add(-time.Millisecond)
		r.submit(c)
		if f := r.failure(r.result()); !f.NotProcessed || !errors.Is(f, ErrTooLate) {
			t.Error(f)
		}
	})
}

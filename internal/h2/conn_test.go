package h2

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/http2"
)

func TestRequestAndAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		for i := range 3 { // the second and third use what the first put into the table
			r.submit(newCall(i, `{"aps":{}}`))
			id, fields, body := r.request()
			want := map[string]string{
				":method": "POST", ":scheme": "https", ":authority": "api.push.example",
				":path": fmt.Sprintf("/3/device/%064d", i), "authorization": "bearer abc",
				"apns-topic": "com.example.app", "apns-id": fmt.Sprintf("%036d", i),
			}
			if diff := cmp.Diff(want, fields); diff != "" || body != `{"aps":{}}` || id != uint32(2*i+1) {
				t.Fatalf("stream %d, body %q, fields (-want +got):\n%s", id, body, diff)
			}
			r.answer(id, true, ":status", "200", "apns-id", "ABC")
			if c := r.result(); c.Err != nil || c.Status != 200 || c.Kept[0] != "ABC" {
				t.Fatalf("%+v", c)
			}
		}
	})
}

func TestErrorBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		call := newCall(1, "x")
		call.MaxBody = 10
		r.submit(call)
		id, _, _ := r.request()
		r.answer(id, false, ":status", "410", "apns-id", "A")
		r.check(r.fr.WriteDataPadded(id, false, []byte("01234"), make([]byte, 7)))
		r.check(r.fr.WriteData(id, true, []byte("567890123")))
		if c := r.result(); c.Status != 410 || string(c.Data) != "0123456789" {
			t.Fatalf("%d %q %v", c.Status, c.Data, c.Err)
		}
	})
}

func TestNothingIsSentBeforeSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, Config{})
		read[*http2.SettingsFrame](r)
		r.submit(newCall(1, "x"))
		r.net.SetReadDeadline(time.Now().Add(time.Second))
		if f, err := r.fr.ReadFrame(); err == nil {
			t.Fatalf("got %v before SETTINGS", f)
		}
	})
}

func TestStreamLimitFollowsSettings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{}, http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 1})
		for i := range 10 {
			r.submit(newCall(i, "x"))
		}
		first, _, _ := r.request()
		synctest.Wait()
		if s := r.conn.Status(); s.Open != 1 || s.Limit != 1 {
			t.Fatalf("%+v", s)
		}
		r.check(r.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 4}))
		read[*http2.SettingsFrame](r)
		for range 3 {
			r.request()
		}
		// Shrinking below what is open only stops new streams.
		r.check(r.fr.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 3}))
		read[*http2.SettingsFrame](r)
		r.answer(first, true, ":status", "200")
		synctest.Wait()
		if s := r.conn.Status(); s.Open != 3 {
			t.Fatalf("%+v", s)
		}
		r.answer(3, true, ":status", "200")
		if id, _, _ := r.request(); id != 9 {
			t.Fatalf("stream %d", id)
		}
	})
}

func TestFlowControl(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		r.submit(newCall(1, "abcdef"))
		read[*http2.HeadersFrame](r)
		got := ""
		take := func(want string) {
			t.Helper()
			d := read[*http2.DataFrame](r)
			if got += string(d.Data()); string(d.Data()) != want || d.StreamEnded() != (got == "abcdef") {
				t.Fatalf("DATA %q, end %v", d.Data(), d.StreamEnded())
			}
		}
		take("a")
		r.check(r.fr.WriteWindowUpdate(1, 2))
		take("bc")
		r.check(r.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 2}))
		read[*http2.SettingsFrame](r)
		take("d")
		// Shrinking makes the window negative: -2 here, so 3 are needed for one byte.
		r.check(r.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
		read[*http2.SettingsFrame](r)
		r.check(r.fr.WriteWindowUpdate(1, 3))
		take("e")
		r.check(r.fr.WriteWindowUpdate(1, 100))
		take("f")
		r.answer(1, true, ":status", "200")
		if c := r.result(); c.Err != nil {
			t.Fatal(c.Err)
		}
	})
}

func TestConnectionWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		body := strings.Repeat("x", 4096)
		r.submit(newCall(99, body))
		r.request()
		r.answer(1, true, ":status", "200")
		r.result()
		r.check(r.fr.WriteWindowUpdate(0, 4096))
		for i := range 20 {
			r.submit(newCall(i, body))
		}
		total := 0
		for range 15 { // 15 whole bodies fit in 65535 bytes
			_, _, b := r.request()
			total += len(b)
		}
		read[*http2.HeadersFrame](r)
		total += len(read[*http2.DataFrame](r).Data())
		if total != 65535 {
			t.Fatalf("%d bytes were sent on a window of 65535", total)
		}
		synctest.Wait()
		if s := r.conn.Status(); s.Open != 16 {
			t.Fatalf("%d streams are open: a stream that cannot send its body should not be opened", s.Open)
		}
		r.check(r.fr.WriteWindowUpdate(0, 1<<20))
		if d := read[*http2.DataFrame](r); len(d.Data()) != 1 || !d.StreamEnded() {
			t.Fatalf("%v", d)
		}
		for range 4 {
			r.request()
		}
	})
}

func TestReceiveWindowsAreReplenished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		r.submit(newCall(1, "x"))
		r.request()
		r.answer(1, false, ":status", "200")
		var conn, stream int
		for range 3 {
			r.check(r.fr.WriteData(1, false, make([]byte, 16384)))
		}
		for range 2 {
			f := read[*http2.WindowUpdateFrame](r)
			if f.StreamID == 0 {
				conn += int(f.Increment)
			} else {
				stream += int(f.Increment)
			}
		}
		if conn != 3*16384 || stream != 3*16384 {
			t.Errorf("replenished %d and %d", conn, stream)
		}
		r.check(r.fr.WriteData(1, true, nil))
		if c := r.result(); c.Err != nil || len(c.Data) != DefaultMaxBody {
			t.Errorf("%d bytes kept, %v", len(c.Data), c.Err)
		}
	})
}

func TestRefusedAndReset(t *testing.T) {
	for code, safe := range map[http2.ErrCode]bool{
		http2.ErrCodeRefusedStream: true, http2.ErrCodeInternal: false, http2.ErrCodeCancel: false,
		http2.ErrCodeNo: false, http2.ErrCode(0xdead): false,
	} {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t, Config{})
			r.submit(newCall(1, "x"))
			id, _, _ := r.request()
			r.check(r.fr.WriteRSTStream(id, code))
			f := r.failure(r.result())
			reset, ok := errors.AsType[*ResetError](f)
			if f.NotProcessed != safe || !ok || reset.Code != code {
				t.Errorf("%v: %v", code, f)
			}
		})
	}
}

func TestIncompleteRequestIsNotProcessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		r.submit(newCall(1, "xx"))
		read[*http2.HeadersFrame](r)
		read[*http2.DataFrame](r)
		r.net.Reset()
		if f := r.failure(r.result()); !f.NotProcessed || !errors.Is(f, syscall.ECONNRESET) {
			t.Errorf("half a request is never processed: %v", f)
		}
	})
}

func TestEarlyAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
		r.submit(newCall(1, "xx"))
		read[*http2.HeadersFrame](r)
		read[*http2.DataFrame](r)
		r.answer(1, true, ":status", "403")
		if c := r.result(); c.Status != 403 || c.Err != nil {
			t.Fatalf("%+v", c)
		}
		if f := read[*http2.RSTStreamFrame](r); f.StreamID != 1 {
			t.Fatal(f)
		}
	})
}

// One GOAWAY, three kinds of streams: below the last id and answered later,
// below and never answered, above.
func TestGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		for i := range 3 {
			r.submit(newCall(i, "x"))
			r.request()
		}
		r.check(r.fr.WriteGoAway(3, http2.ErrCodeNo, []byte(`{"reason":"Shutdown"}`)))
		above := r.result()
		if f := r.failure(above); !f.NotProcessed {
			t.Errorf("above the last stream id: %v", f)
		}
		g, ok := errors.AsType[*GoAwayError](above.Err)
		if !ok || string(g.Debug) != `{"reason":"Shutdown"}` || g.LastStreamID != 3 {
			t.Errorf("%v", above.Err)
		}
		r.submit(newCall(9, "x")) // must stay in the queue
		r.answer(1, true, ":status", "200")
		if c := r.result(); c.Status != 200 {
			t.Errorf("%+v", c)
		}
		// The second GOAWAY says nothing; the first one's words survive.
		r.check(r.fr.WriteGoAway(3, http2.ErrCodeInternal, nil))
		r.net.Close()
		last := r.result()
		if f := r.failure(last); f.NotProcessed {
			t.Errorf("below the last stream id: %v", f)
		}
		if g, ok := errors.AsType[*GoAwayError](last.Err); !ok || string(g.Debug) != `{"reason":"Shutdown"}` {
			t.Errorf("%v", last.Err)
		}
		<-r.conn.Done()
		if len(r.queue) != 1 {
			t.Error("a call was taken after GOAWAY")
		}
	})
}

func TestGoAwayReasonInTheSecondFrame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		r.submit(newCall(1, "x"))
		r.request()
		r.check(r.fr.WriteGoAway(1, http2.ErrCodeNo, nil))
		r.check(r.fr.WriteGoAway(0, http2.ErrCodeNo, []byte("Maximum active streams violated for this endpoint.")))
		c := r.result()
		g, ok := errors.AsType[*GoAwayError](c.Err)
		if !ok || len(g.Debug) == 0 || g.LastStreamID != 0 || !r.failure(c).NotProcessed {
			t.Errorf("%v", c.Err)
		}
	})
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		r.submit(newCall(1, "x"))
		r.request()
		r.conn.Drain()
		r.submit(newCall(2, "x"))
		synctest.Wait()
		r.answer(1, true, ":status", "200")
		if f := read[*http2.GoAwayFrame](r); f.ErrCode != http2.ErrCodeNo {
			t.Fatal(f)
		}
		if _, err := r.fr.ReadFrame(); !errors.Is(err, io.EOF) {
			t.Fatalf("after GOAWAY: %v", err)
		}
		if c := r.result(); c.Status != 200 {
			t.Error(c.Err)
		}
		<-r.conn.Done()
		if s := r.conn.Status(); !errors.Is(s.Err, ErrClosed) {
			t.Error(s.Err)
		}
	})
}

func TestStreamNumbersRunOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{FirstStreamID: maxStreamID - 2})
		for i := range 4 {
			r.submit(newCall(i, "x"))
		}
		a, _, _ := r.request()
		b, _, _ := r.request()
		if a != maxStreamID-2 || b != maxStreamID {
			t.Fatal(a, b)
		}
		synctest.Wait()
		if !r.conn.Status().Draining {
			t.Fatal("the connection is not draining")
		}
		r.answer(a, true, ":status", "200")
		r.answer(b, true, ":status", "200")
		read[*http2.GoAwayFrame](r)
		<-r.conn.Done()
		if len(r.queue) != 2 {
			t.Errorf("%d calls left", len(r.queue))
		}
	})
}

func TestInformationalAndTrailers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		r.submit(newCall(1, "x"))
		r.request()
		r.answer(1, false, ":status", "103", "apns-id", "early")
		r.answer(1, false, ":status", "200", "apns-id", "real")
		r.check(r.fr.WriteData(1, false, []byte("hi")))
		r.answer(1, true, "x-trailer", "1")
		if c := r.result(); c.Err != nil || c.Status != 200 || c.Kept[0] != "real" || string(c.Data) != "hi" {
			t.Fatalf("%+v", c)
		}
	})
}

func TestContinuationBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		call := newCall(1, "x")
		call.Path = []byte("/3/device/" + strings.Repeat("a", 40000))
		r.submit(call)
		if _, fields, _ := r.request(); fields[":path"] != string(call.Path) {
			t.Fatal("the path did not survive")
		}
		block := r.block(":status", "200", "apns-id", "split")
		r.check(r.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block[:1], EndStream: true, PadLength: 3}))
		for i := 1; i < len(block); i++ {
			r.check(r.fr.WriteContinuation(1, i == len(block)-1, block[i:i+1]))
		}
		if c := r.result(); c.Status != 200 || c.Kept[0] != "split" {
			t.Fatalf("%+v", c)
		}
	})
}

func TestHeaderListLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{}, http2.Setting{ID: http2.SettingMaxHeaderListSize, Val: 8000})
		long, short := newCall(1, "x"), newCall(2, "x")
		long.Path = make([]byte, 8000)
		r.submit(long, short)
		if f := r.failure(r.result()); !f.NotProcessed || !errors.Is(f, ErrHeaderTooLarge) {
			t.Error(f)
		}
		if id, _, _ := r.request(); id != 1 {
			t.Errorf("stream %d", id)
		}
	})
}

func TestTableSizeZero(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{}, http2.Setting{ID: http2.SettingHeaderTableSize, Val: 0})
		r.dec.SetMaxDynamicTableSize(0)
		for i := range 3 {
			r.submit(newCall(i, "x"))
			if _, fields, _ := r.request(); fields["apns-topic"] != "com.example.app" {
				t.Fatal(fields)
			}
		}
		r.check(r.fr.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: 200}))
		r.dec.SetAllowedMaxDynamicTableSize(200)
		read[*http2.SettingsFrame](r)
		for i := range 3 {
			r.submit(newCall(i, "x"))
			if _, fields, _ := r.request(); fields["authorization"] != "bearer abc" {
				t.Fatal(fields)
			}
		}
	})
}

func TestRefreshReplacesCommonFields(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var next []Field
		r := ready(t, Config{Refresh: func() []Field { f := next; next = nil; return f }})
		r.submit(newCall(1, "x"))
		r.request()
		next = []Field{{":authority", []byte("a")}, {"authorization", []byte("bearer new")}}
		for i := range 2 {
			r.submit(newCall(i, "x"))
			if _, fields, _ := r.request(); fields["authorization"] != "bearer new" {
				t.Fatal(fields)
			}
		}
	})
}

func TestCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		call := newCall(1, "x")
		r.submit(call)
		r.request()
		cause := errors.New("changed my mind")
		if !r.conn.Cancel(call, cause) {
			t.Fatal("the call was not found")
		}
		if f := r.failure(r.result()); f.NotProcessed || !errors.Is(f, cause) {
			t.Error(f)
		}
		if f := read[*http2.RSTStreamFrame](r); f.ErrCode != http2.ErrCodeCancel {
			t.Error(f)
		}
		if r.conn.Cancel(call, cause) {
			t.Error("cancelled twice")
		}
		// What the peer had already sent changes nothing.
		r.answer(1, false, ":status", "200")
		r.check(r.fr.WriteData(1, true, []byte("late")))
		r.submit(newCall(2, "x"))
		if id, _, _ := r.request(); id != 3 {
			t.Error(id)
		}
	})
}

func TestTimes(t *testing.T) {
	t.Run("request", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t, Config{PingAfter: time.Hour})
			begin := time.Now()
			r.submit(newCall(1, "x"))
			early := newCall(2, "x")
			early.Deadline = begin.Add(7 * time.Second)
			r.submit(early)
			go io.Copy(io.Discard, r.net)
			if c := r.result(); c != early || time.Since(begin) != 7*time.Second || !errors.Is(c.Err, ErrTimeout) {
				t.Errorf("after %v: %v", time.Since(begin), c.Err)
			}
			if c := r.result(); time.Since(begin) != DefaultRequestTimeout || r.failure(c).NotProcessed {
				t.Errorf("after %v: %v", time.Since(begin), c.Err)
			}
		})
	})
	t.Run("silence with a stream open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t, Config{})
			time.Sleep(20 * time.Second)
			begin := time.Now()
			r.net.Freeze()
			r.submit(newCall(1, "x"))
			c := r.result()
			if took := time.Since(begin); took != DefaultPingAfter+DefaultPingTimeout || !errors.Is(c.Err, ErrSilent) || r.failure(c).NotProcessed {
				t.Errorf("after %v: %v", took, c.Err)
			}
		})
	})
	t.Run("silence while idle", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t, Config{})
			begin := time.Now()
			for range 3 {
				p := read[*http2.PingFrame](r)
				r.check(r.fr.WritePing(true, p.Data))
			}
			if took := time.Since(begin); took != 3*DefaultIdlePing {
				t.Errorf("three pings in %v", took)
			}
			synctest.Wait()
			r.net.Freeze()
			<-r.conn.Done()
			if took := time.Since(begin); took != 4*DefaultIdlePing+DefaultPingTimeout || !errors.Is(r.conn.Status().Err, ErrSilent) {
				t.Errorf("after %v: %v", took, r.conn.Status().Err)
			}
		})
	})
	t.Run("no settings", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			r := start(t, Config{})
			<-r.conn.Done()
			if took := time.Since(begin); took != DefaultSettingsTimeout || !errors.Is(r.conn.Status().Err, ErrNoSettings) {
				t.Errorf("after %v: %v", took, r.conn.Status().Err)
			}
		})
	})
	t.Run("stalled write", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			r := ready(t, Config{PingAfter: time.Hour, RequestTimeout: time.Hour},
				http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 30})
			r.check(r.fr.WriteWindowUpdate(0, 1<<30))
			synctest.Wait()
			begin := time.Now()
			r.submit(newCall(1, strings.Repeat("x", 1<<20)), newCall(2, "x")) // more than the network buffers
			a, b := r.result(), r.result()
			if took := time.Since(begin); took != writeStall || !errors.Is(a.Err, ErrStalled) {
				t.Errorf("after %v: %v", took, a.Err)
			}
			if !r.failure(a).NotProcessed || !r.failure(b).NotProcessed {
				t.Errorf("neither request went out whole: %v, %v", a.Err, b.Err)
			}
		})
	})
}

func TestSuspect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{})
		go func() { // answers PING, and nothing else
			for {
				f, err := r.fr.ReadFrame()
				if err != nil {
					return
				}
				if p, ok := f.(*http2.PingFrame); ok && !p.IsAck() {
					r.fr.WritePing(true, p.Data)
				}
			}
		}()
		for i := range suspectAfter {
			if r.conn.Status().Suspect {
				t.Fatalf("suspect after %d", i)
			}
			r.submit(newCall(i, "x"))
			r.result()
		}
		synctest.Wait()
		if !r.conn.Status().Suspect {
			t.Error("not suspect")
		}
	})
}

// A stream that is never answered stays open while the ring of slots comes
// round many times.
func TestOneStreamNeverAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := ready(t, Config{RequestTimeout: time.Hour, PingAfter: 2 * time.Hour})
		stuck := newCall(0, "x")
		r.submit(stuck)
		r.request()
		for i := range 500 {
			r.submit(newCall(i, "x"))
			id, _, _ := r.request()
			r.answer(id, true, ":status", "200")
			if c := r.result(); c.Err != nil {
				t.Fatal(c.Err)
			}
		}
		r.answer(1, true, ":status", "200")
		if c := r.result(); c != stuck || c.Status != 200 {
			t.Error("the old stream was lost")
		}
		if s := r.conn.Status(); s.Open != 0 {
			t.Errorf("%+v", s)
		}
	})
}

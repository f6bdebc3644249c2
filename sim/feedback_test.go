package sim_test

import (
	"bytes"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// since is 1 January 2026, in hexadecimal 6955b900.
var since = time.Unix(1767225600, 0)

// tuple is what the feedback service says of device n, dead since then.
func tuple(n int) []byte { return concat(unhex("6955b900"), unhex("0020"), oldDevice(n)) }

func addFeedback(t testing.TB, apple *apnstest.Server, n int) {
	t.Helper()
	if err := apple.AddFeedback(sim.Feedback{Topic: apple.Topic, DeviceToken: deviceToken(n), Time: since}); err != nil {
		t.Fatal(err)
	}
}

// wantTuples reads the feedback service to its end.
func wantTuples(t testing.TB, apple *apnstest.Server, b *apnstest.Binary, want []byte) {
	t.Helper()
	o := dialOld(t, apple, b, b.Feedback)
	if got := o.packet(); !bytes.Equal(got, want) {
		t.Errorf("got %x, want %x", got, want)
	}
	o.Close()
}

// TestFeedbackBytes: a push to a device that has gone is taken in silence, and
// the feedback service tells it once, to that app alone.
func TestFeedbackBytes(t *testing.T) {
	apple, b := startOld(t)
	if err := apple.PutDevice(sim.Device{DeviceToken: workedToken, State: sim.Unregistered, Since: since}); err != nil {
		t.Fatal(err)
	}
	o := dialOld(t, apple, b, b.Gateway)
	o.send(unhex(worked2), unhex(worked1), good(7))
	o.wantSilence()
	pushes := apple.Pushes(sim.Filter{Outcome: sim.Accepted})
	if len(pushes) != 3 || pushes[0].Reason != "Unregistered" || pushes[0].Timestamp != since.UnixMilli() || pushes[0].Fate != sim.FateDiscarded || pushes[2].Reason != "" {
		t.Errorf("%+v", pushes)
	}
	if list := apple.Feedback(""); len(list) != 1 || list[0] != (sim.Feedback{Topic: apple.Topic, DeviceToken: workedToken, Time: since.UTC()}) {
		t.Errorf("%+v", list)
	}
	if st := apple.Stats().Binary; st.Unregistered != 2 || st.FeedbackWaiting != 1 {
		t.Errorf("%+v", st)
	}
	mine := b.Certificate
	b.Certificate, _ = apnstest.ClientCertificate(t, "com.example.other")
	wantTuples(t, apple, b, nil)
	b.Certificate = mine
	wantTuples(t, apple, b, unhex("6955b900"+"0020"+workedToken))
	wantTuples(t, apple, b, nil)
	if st := apple.Stats().Binary; st.FeedbackTold != 1 || st.FeedbackWaiting != 0 || st.FeedbackConnections != 3 {
		t.Errorf("%+v", st)
	}
}

// TestFeedbackFromHTTP2: a push over HTTP/2 is told at once, and puts nothing on
// the list unless that is wanted.
func TestFeedbackFromHTTP2(t *testing.T) {
	for _, wanted := range []bool{false, true} {
		apple, b := startOld(t, func(c *sim.Config) { c.Guesses.Binary.FeedbackFromHTTP2 = wanted })
		if err := apple.PutDevice(sim.Device{DeviceToken: deviceToken(1), State: sim.Unregistered, Since: since}); err != nil {
			t.Fatal(err)
		}
		r, _ := dialRaw(t, apple)
		if a := r.answer(r.push(":path", "/3/device/"+deviceToken(1))); a.status != "410" {
			t.Fatalf("%+v", a)
		}
		var want []byte
		if wanted {
			want = tuple(1)
		}
		wantTuples(t, apple, b, want)
	}
}

// TestFeedbackRemoval: what a client that is cut off has not read, or has not
// confirmed, is told again as the guess says.
func TestFeedbackRemoval(t *testing.T) {
	const count = 1000
	var all []byte
	for n := range count {
		all = append(all, tuple(n)...)
	}
	for removal, again := range map[sim.FeedbackRemoval]bool{sim.RemoveWritten: false, sim.RemoveConfirmed: true, sim.RemoveNever: true} {
		t.Run("after a cut: "+string(removal), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				apple := apnstest.StartMem(t, func(c *sim.Config) { c.Guesses.Binary.FeedbackRemoval = removal })
				b := apple.StartBinary(t)
				for n := range count {
					addFeedback(t, apple, n)
				}
				o := dialOld(t, apple, b, b.Feedback)
				if _, err := io.ReadFull(o, make([]byte, 38)); err != nil {
					t.Fatal(err)
				}
				synctest.Wait() // all is written
				o.raw.(interface{ Reset() }).Reset()
				synctest.Wait()
				if !again {
					wantTuples(t, apple, b, nil)
					return
				}
				wantTuples(t, apple, b, all)
				synctest.Wait()
				if left := len(apple.Feedback("")); left != map[bool]int{true: count}[removal == sim.RemoveNever] {
					t.Errorf("%d left", left)
				}
			})
		})
	}
}

// TestFeedbackKeepsWhatItCouldNotWrite: a list longer than all buffers, and a
// client that goes after the first tuple.
func TestFeedbackKeepsWhatItCouldNotWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 20_000
		apple := apnstest.StartMem(t)
		b := apple.StartBinary(t)
		for n := range count {
			addFeedback(t, apple, n)
		}
		o := dialOld(t, apple, b, b.Feedback)
		if _, err := io.ReadFull(o, make([]byte, 38)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait() // the buffers are full
		o.raw.(interface{ Reset() }).Reset()
		synctest.Wait()
		list := apple.Feedback(apple.Topic)
		if len(list) < count/2 || len(list) == count {
			t.Fatalf("%d of %d left", len(list), count)
		}
		// The rest is there, in its order, and told whole.
		first := count - len(list)
		var want []byte
		for n := first; n < count; n++ {
			want = append(want, tuple(n)...)
		}
		wantTuples(t, apple, b, want)
	})
}

func TestAddFeedback(t *testing.T) {
	apple := apnstest.Start(t, func(c *sim.Config) { c.Binary.FeedbackLimit = 2 })
	err := apple.AddFeedback(sim.Feedback{DeviceToken: "xyz", Time: time.Unix(-1, 0)})
	for _, want := range []string{"topic is missing", "hexadecimal", "1970"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v lacks %q", err, want)
		}
	}
	if err := apple.AddFeedback(sim.Feedback{Topic: "a", DeviceToken: strings.Repeat("ab", 101)}); err == nil {
		t.Error("101 bytes are taken")
	}
	for _, n := range []int{1, 2, 1, 3} {
		addFeedback(t, apple, n)
	}
	// One device token is there once; above the limit the oldest goes.
	if list := apple.Feedback(""); len(list) != 2 || list[0].DeviceToken != deviceToken(2) || list[1].DeviceToken != deviceToken(3) {
		t.Errorf("%+v", list)
	}
	if err := apple.AddFeedback(sim.Feedback{Topic: apple.Topic, DeviceToken: deviceToken(2), Time: since.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	if list := apple.Feedback("nobody's"); len(list) != 0 {
		t.Errorf("%+v", list)
	}
	if list := apple.Feedback(""); !list[0].Time.Equal(since.Add(time.Hour)) {
		t.Errorf("%+v", list)
	}
	apple.ClearFeedback()
	if list := apple.Feedback(""); len(list) != 0 || apple.Stats().Binary.FeedbackWaiting != 0 {
		t.Errorf("%+v", list)
	}
}

package engine

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go"

	"aviso.example/apnstest"
)

// A chunk that is on its way for longer than its lease is somebody else's when it
// comes, and is not sent: the lease runs since it was asked for, not since it came.
func TestChunkCameLate(t *testing.T) { virtually(t, testChunkCameLate) }

func testChunkCameLate(t *testing.T) {
	mine, others := apnstest.StartMem(t), apnstest.StartMem(t)
	log := startBubbleLog(t, 2*time.Second) // an answer is waited for for longer
	late := log.join(t, mine)
	late.wait(late.submit(hello(), devices(0, 1)...).Message) // whose queue it reads from now on
	writer := log.join(t, others)
	writer.readsNothing()
	time.Sleep(2500 * time.Millisecond)
	late.way.silence(true)
	receipt := writer.submit(hello(), devices(1, 4)...)
	written := time.Now()
	other := log.join(t, others)
	time.Sleep(time.Until(written.Add(log.lease + 20*time.Millisecond)))
	if n := others.Stats().Requests; n != 3 {
		t.Errorf("%d were sent by who has the chunk now", n)
	}
	late.way.silence(false)
	time.Sleep(time.Second)
	if n := mine.Stats().Requests; n != 1 {
		t.Errorf("%d were sent by an engine that heard of them too late", n-1)
	}
	if s := other.wait(receipt.Message); s.States[Accepted] != 3 {
		t.Errorf("%+v", s)
	}
}

// Who has lost a chunk while it waited for its turn neither sends it nor says that it is
// about to, which others would have to believe.
func TestLostWhileWaiting(t *testing.T) {
	for name, dropUnknown := range map[string]bool{"may be doubled": false, "must not be doubled": true} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) { testLostWhileWaiting(t, dropUnknown) })
		})
	}
}

func testLostWhileWaiting(t *testing.T, dropUnknown bool) {
	mine, others := apnstest.StartMem(t), apnstest.StartMem(t)
	log := startBubbleLog(t, 2*time.Second)
	loser := log.join(t, mine)
	loser.must(loser.PauseApp(t.Context(), "shop", ""))
	m := hello()
	m.DropUnknown = dropUnknown
	receipt := loser.submit(m, devices(0, 3)...)
	time.Sleep(time.Second)
	if n := loser.leases.count(); n != 1 {
		t.Fatalf("it holds %d chunks", n)
	}
	loser.way.silence(true)
	other := log.join(t, others)
	time.Sleep(2 * log.lease)
	if n := other.leases.count(); n != 1 {
		t.Fatalf("the other holds %d chunks", n)
	}
	loser.way.silence(false)
	time.Sleep(100 * time.Millisecond)
	other.must(other.ResumeApp(t.Context(), "shop"))
	other.wait(receipt.Message)
	time.Sleep(2 * log.lease)
	want := map[State]int{Accepted: 3}
	if dropUnknown {
		want[Sending] = 3
	}
	if got := other.written(receipt.Message); !maps.Equal(got, want) {
		t.Errorf("written was %v, not %v", got, want)
	}
	if mine.Stats().Requests != 0 || others.Stats().Requests != 3 {
		t.Errorf("%d were sent by who had lost them, %d by who had them", mine.Stats().Requests, others.Stats().Requests)
	}
}

// asker is a puller in virtual time whose requests a test answers.
type asker struct {
	*puller
	server *nats.Conn
	asked  chan *nats.Msg
	acks   chan string // what it says about what it got
}

func newAsker(t *testing.T, lease time.Duration) *asker {
	t.Helper()
	log := startBubbleLog(t, lease)
	connect := func() *nats.Conn {
		conn, err := nats.Connect("", nats.InProcessServer(log.server))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(conn.Close)
		return conn
	}
	e := &Engine{cfg: Config{Lease: lease}, store: &store{conn: connect()}}
	p, err := e.puller("STREAM", consumerName)
	if err != nil {
		t.Fatal(err)
	}
	p.subject = "asked"
	a := &asker{p, connect(), make(chan *nats.Msg, 100), make(chan string, 100)}
	if _, err := a.server.ChanSubscribe("asked", a.asked); err != nil {
		t.Fatal(err)
	}
	if _, err := a.server.Subscribe("acks", func(msg *nats.Msg) { a.acks <- string(msg.Data) }); err != nil {
		t.Fatal(err)
	}
	if err := a.server.Flush(); err != nil {
		t.Fatal(err)
	}
	return a
}

// serve answers beside the test, which ends after it.
func (a *asker) serve(t *testing.T, answers func()) {
	var all sync.WaitGroup
	all.Go(answers)
	t.Cleanup(all.Wait)
}

// answer answers a request with a status or, without one, with a message.
func (a *asker) answer(t *testing.T, ask *nats.Msg, status string) {
	t.Helper()
	msg := &nats.Msg{Subject: ask.Reply}
	if status == "" {
		msg.Data, msg.Reply = []byte("a chunk"), "acks"
	} else {
		msg.Header = nats.Header{"Status": {status}}
	}
	if err := errors.Join(a.server.PublishMsg(msg), a.server.Flush()); err != nil {
		t.Error(err)
	}
}

// A lease can have begun as soon as it was asked for, whatever was heard since; and not
// before, when it was asked for again.
func TestLeaseRunsSinceAsked(t *testing.T) { virtually(t, testLeaseRunsSinceAsked) }

func testLeaseRunsSinceAsked(t *testing.T) {
	a := newAsker(t, 10*time.Second)
	defer a.close()
	var first, second time.Time
	a.serve(t, func() {
		ask := <-a.asked
		first = time.Now()
		for range 4 {
			time.Sleep(time.Second)
			a.answer(t, ask, "100")
		}
		time.Sleep(time.Second)
		a.answer(t, ask, "")
		ask = <-a.asked
		time.Sleep(time.Second)
		a.answer(t, ask, "408")
		ask = <-a.asked
		second = time.Now()
		time.Sleep(time.Second)
		a.answer(t, ask, "")
	})
	for _, asked := range []*time.Time{&first, &second} {
		msg, since, err := a.next(t.Context())
		if err != nil || len(msg.Data) == 0 || !since.Equal(*asked) || time.Since(since) < time.Second {
			t.Errorf("%v came %v after it was asked for, and the lease runs since %v: %v", msg, time.Since(*asked), time.Since(since), err)
		}
	}
}

// What comes in answer to a request that was taken for lost is nobody's here.
func TestAnswerToALostRequest(t *testing.T) { virtually(t, testAnswerToALostRequest) }

func testAnswerToALostRequest(t *testing.T) {
	a := newAsker(t, 10*time.Second)
	defer a.close()
	a.serve(t, func() {
		lost := <-a.asked
		ask := <-a.asked
		a.answer(t, lost, "")
		time.Sleep(time.Second)
		a.answer(t, ask, "")
	})
	began := time.Now()
	_, since, err := a.next(t.Context())
	if want := a.silence; err != nil || since.Sub(began) != want || time.Since(since) != time.Second {
		t.Errorf("a lease of a request %v after the first came after %v: %v", since.Sub(began), time.Since(began), err)
	}
}

// Who wants nothing any more gives back what comes, as long as it can be nobody else's.
func TestGivenBackAtTheEnd(t *testing.T) {
	for _, test := range []struct {
		lease, after time.Duration
		want         int
	}{
		{30 * time.Second, 0, 1}, {30 * time.Second, 10 * time.Second, 1}, {30 * time.Second, 31 * time.Second, 0},
		{2 * time.Second, 1900 * time.Millisecond, 1}, {2 * time.Second, 2100 * time.Millisecond, 0},
	} {
		t.Run(test.after.String()+" of "+test.lease.String(), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				a := newAsker(t, test.lease)
				ctx, cancel := context.WithCancel(t.Context())
				a.serve(t, func() {
					ask := <-a.asked
					cancel()
					time.Sleep(test.after)
					a.answer(t, ask, "")
				})
				if _, _, err := a.next(ctx); !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				time.Sleep(test.after)
				synctest.Wait()
				a.close()
				time.Sleep(time.Second) // the client looks after what it drains for a moment
				if n := len(a.acks); n != test.want {
					t.Fatalf("it said %d times what becomes of it", n)
				}
				if test.want > 0 {
					if said := <-a.acks; !strings.HasPrefix(said, "-NAK") {
						t.Errorf("it said %q", said)
					}
				}
			})
		})
	}
}

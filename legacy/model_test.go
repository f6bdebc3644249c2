package legacy_test

import (
	"context"
	"errors"
	"math"
	"net"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"aviso.example/apns"
	"aviso.example/legacy"
)

// act is what the peer does on one connection: read so many notifications, wait,
// and end it.
type act struct {
	Kind     string
	Read     int
	Position int // of the notification that a packet names, among those read
	Taken    int // how many were processed if no packet says so
	Status   byte
	Half     int // bytes of a packet that is cut off
	Delay    time.Duration
}

// settleTime is a moment more than any sum of the times drawn, so that two things
// never happen at the same time.
const settleTime = 3*time.Second + time.Microsecond

var acts = rapid.Custom(func(t *rapid.T) act {
	a := act{
		Kind: rapid.SampledFrom([]string{"refuse", "refuse", "refuse", "shutdown", "close", "reset", "half a packet", "foreign packet", "nothing taken", "no network"}).Draw(t, "kind"),
		Read: rapid.IntRange(1, 12).Draw(t, "read"),
		// Often at once, sometimes when part of it has settled.
		Delay: time.Duration(rapid.SampledFrom([]int{0, 0, 1, 700, 2900, 3500}).Draw(t, "ms")) * time.Millisecond,
	}
	a.Position = rapid.IntRange(0, a.Read-1).Draw(t, "position")
	a.Taken = rapid.IntRange(0, a.Read).Draw(t, "taken")
	a.Half = rapid.IntRange(1, 5).Draw(t, "half")
	a.Status = byte(rapid.SampledFrom([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 128, 255}).Draw(t, "status"))
	return a
})

// model is the peer's side of a random story: what it processed, and what it
// refused. The client's side is held against it.
type model struct {
	t    *rapid.T
	acts []act // of the connections, in turn; afterwards everything is taken

	mu        sync.Mutex
	dials     int
	processed map[int]int
	refused   map[int]map[byte]int
}

// next is what happens to the attempt to connect that is being made.
func (m *model) next() act {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dials++; m.dials > len(m.acts) {
		return act{Kind: "take all"}
	}
	return m.acts[m.dials-1]
}

func (m *model) process(notes []note) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, n := range notes {
		m.processed[number(n.payload)]++
	}
}

func (m *model) refuse(n note, status byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	i := number(n.payload)
	if m.refused[i] == nil {
		m.refused[i] = map[byte]int{}
	}
	m.refused[i][status]++
}

// play is one connection.
func (m *model) play(c *peerConn, a act) {
	defer m.checkOrder(c)
	for a.Kind == "take all" {
		if !c.read(1) {
			return
		}
		m.process(c.seen[len(c.seen)-1:])
	}
	var came []time.Time
	for range a.Read {
		_, err := c.next()
		came = append(came, time.Now())
		if err != nil {
			// The client has gone, or has nothing more to say: it ended the
			// connection, so all of this was judged by silence.
			m.process(c.seen)
			return
		}
		if len(c.seen) == 1 {
			// The rest comes at once or not for a while.
			c.SetReadDeadline(time.Now().Add(10 * time.Second))
		}
	}
	packet := a.Kind == "refuse" || a.Kind == "shutdown"
	if !packet && a.Delay > settleTime {
		// A server that reads nothing for so long and then goes without a word
		// cannot be told from one that took everything.
		a.Delay = 0
	}
	time.Sleep(a.Delay)
	named := c.seen[a.Position]
	if !packet {
		// It deals with notifications as they come: what has settled was taken.
		for a.Taken < a.Read && time.Since(came[a.Taken]) >= settleTime {
			a.Taken++
		}
		if a.Kind == "nothing taken" && time.Since(came[0]) < settleTime {
			a.Taken = 0
		}
	}
	switch a.Kind {
	case "refuse":
		m.process(c.seen[:a.Position])
		m.refuse(named, a.Status)
		c.refuse(a.Status, named.id)
	case "shutdown":
		m.process(c.seen[:a.Position+1])
		c.refuse(10, named.id)
	case "nothing taken":
		m.process(c.seen[:a.Taken])
		c.refuse(10, 0)
	case "foreign packet":
		m.process(c.seen[:a.Taken])
		c.refuse(a.Status, named.id-1<<30)
	case "half a packet":
		m.process(c.seen[:a.Taken])
		c.Write([]byte{8, a.Status, 0, 0, 0, 0}[:a.Half])
	case "close":
		m.process(c.seen[:a.Taken])
		c.Close()
	case "reset":
		m.process(c.seen[:a.Taken])
		c.reset()
	}
}

// checkOrder looks at what came over one connection: identifiers that follow
// each other and are not 0, and notifications in their order, but for those that
// the server asked to have later.
func (m *model) checkOrder(c *peerConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	last := -1
	for i, n := range c.seen {
		if n.id == 0 {
			m.t.Errorf("connection %d: identifier 0", c.number)
		}
		if i > 0 && n.id != c.seen[i-1].id+1 && (n.id != 1 || c.seen[i-1].id != math.MaxUint32) {
			m.t.Errorf("connection %d: identifier %d after %d", c.number, n.id, c.seen[i-1].id)
		}
		nr := number(n.payload)
		if m.refused[nr] != nil {
			continue
		}
		if nr < last {
			m.t.Errorf("connection %d: %d after %d", c.number, nr, last)
		}
		last = nr
	}
}

// TestModel holds the client to its promises, whatever the peer does at
// whichever notification: one outcome each; what is called accepted was
// processed, unless a packet came too late, and then it is counted; what is
// called not sent was not processed; what was refused is called so; nothing is
// processed twice unless that was allowed; order is kept.
func TestModel(t *testing.T) {
	ids()
	rapid.Check(t, func(rt *rapid.T) {
		// Everything is drawn before: rapid may end a run where it draws, which has
		// to be on its own goroutine.
		m := &model{
			t: rt, acts: rapid.SliceOfN(acts, 0, 8).Draw(rt, "acts"),
			processed: map[int]int{}, refused: map[int]map[byte]int{},
		}
		resend := rapid.Bool().Draw(rt, "resend unknown")
		total := rapid.IntRange(1, 40).Draw(rt, "notifications")
		window := rapid.SampledFrom([]int{1, 3, 10, 1000}).Draw(rt, "window")
		pause := time.Duration(rapid.SampledFrom([]int{0, 0, 1, 400, 1300}).Draw(rt, "ms between")) * time.Millisecond
		giveUp := time.Duration(rapid.SampledFrom([]int{0, 0, 5000}).Draw(rt, "give up after ms")) * time.Millisecond
		closeAfter := time.Duration(rapid.SampledFrom([]int{0, 0, 0, 4000}).Draw(rt, "close after ms")) * time.Millisecond
		first := rapid.SampledFrom([]uint32{1, math.MaxUint32 - 5, math.MaxUint32, 1 << 31}).Draw(rt, "first identifier")
		synctest.Test(t, func(t *testing.T) {
			waiting := make(chan act, 1)
			p := newPeer(t, func(c *peerConn) { m.play(c, <-waiting) })
			client := newClient(t, p, func(c *legacy.Config) {
				c.SettleTime = settleTime
				c.ResendUnknown, c.MaxInFlight, c.BatchWindow = resend, window, max(window, 5)
				c.Timeout, c.ConnectWait = 20*time.Minute, 10*time.Minute
				c.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
					a := m.next()
					if a.Kind == "no network" {
						return nil, &net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}
					}
					waiting <- a
					return p.dial(ctx, "", "")
				}
			})
			client.SetIdentifier(first)

			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if giveUp > 0 {
				time.AfterFunc(giveUp, cancel)
			}
			closed := make(chan error, 1)
			if closeAfter > 0 {
				time.AfterFunc(closeAfter, func() {
					soon, cancel := context.WithTimeout(context.Background(), time.Second)
					defer cancel()
					closed <- client.Close(soon)
				})
			}
			results := map[int]apns.Result{}
			handed := 0
			for r := range client.PushAll(ctx, func(yield func(*apns.Notification) bool) {
				for i := range total {
					handed++
					if !yield(numbered(i)) {
						return
					}
					time.Sleep(pause)
				}
			}) {
				i := r.Notification.Tag.(int)
				if _, twice := results[i]; twice {
					rt.Errorf("%d has two outcomes", i)
				}
				results[i] = r
			}
			if closeAfter > 0 {
				<-closed
			} else {
				time.Sleep(5 * time.Second) // whoever has gone hears no late packet
				if err := client.Close(context.Background()); err != nil {
					rt.Errorf("Close: %v", err)
				}
			}
			late := client.Stats().Late
			p.stop()
			m.mu.Lock()
			defer m.mu.Unlock()
			if len(results) != handed || handed != total && giveUp == 0 {
				rt.Errorf("%d of %d handed in, %d outcomes", handed, total, len(results))
			}
			wrong := uint64(0)
			for i, r := range results {
				n := m.processed[i]
				if n > 1 && !resend {
					rt.Errorf("%d was processed %d times: %v %v", i, n, r.Outcome, r.Err)
				}
				switch r.Outcome {
				case apns.Accepted:
					if n == 0 {
						wrong++
					}
				case apns.Rejected:
					rejected, _ := errors.AsType[*apns.RejectedError](r.Err)
					status, _ := errors.AsType[legacy.Status](r.Err)
					if rejected == nil || m.refused[i][byte(status)] == 0 || n > 0 && !resend {
						rt.Errorf("%d is called rejected, was processed %d times and refused with %v: %v", i, n, m.refused[i], r.Err)
					}
				case apns.NotSent:
					if n > 0 {
						rt.Errorf("%d is called not sent and was processed %d times: %v", i, n, r.Err)
					}
				case apns.Unknown:
					if giveUp == 0 && closeAfter == 0 && resend && r.Receipt.Attempts < legacy.DefaultMaxAttempts && len(m.acts) > 0 && status(r.Err) {
						rt.Errorf("%d ended with %v after %d attempts", i, r.Err, r.Receipt.Attempts)
					}
				}
			}
			// Whoever closes early hears no late packet; and those given up may be
			// among the late ones too, and then nobody was told a lie.
			if wrong > late && closeAfter == 0 || wrong < late && giveUp == 0 && closeAfter == 0 && !resend {
				rt.Errorf("%d are called accepted and were not processed; late is %d", wrong, late)
			}
			if most := legacy.DialBurst + 1200*4 + total; m.dials > most {
				rt.Errorf("%d dials", m.dials)
			}
		})
	})
}

// status reports whether an Unknown came from a connection that ended, and not
// from a temporary status after one.
func status(err error) bool {
	_, ok := errors.AsType[legacy.Status](err)
	return !ok
}

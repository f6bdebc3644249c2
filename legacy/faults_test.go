package legacy_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/memnet"
	"aviso.example/legacy"
)

// The lost tail: when a connection ends and no packet says why, nothing in
// flight is called sent, and nothing is forgotten. go-libapns reported an empty
// list of what was unsent, java-apns nothing at all.
func TestNoPacket(t *testing.T) {
	for name, end := range map[string]func(*peerConn){
		"close":               func(c *peerConn) { c.Close() },
		"close without TLS's": func(c *peerConn) { c.raw.Close() },
		"reset":               (*peerConn).reset,
		"1 byte":              func(c *peerConn) { c.Write([]byte{8}) },
		"5 bytes":             func(c *peerConn) { c.Write([]byte{8, 8, 0, 0, 0}) },
		"another protocol":    func(c *peerConn) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) },
	} {
		for _, resend := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, resend %v", name, resend), func(t *testing.T) {
				virtually(t, func(t *testing.T) {
					took := make(chan []int, 1)
					client := newClient(t, newPeer(t, func(c *peerConn) {
						if c.number == 1 && c.read(many) {
							end(c)
							return
						}
						c.readAll()
						took <- numbers(c.seen)
					}), func(c *legacy.Config) { c.ResendUnknown = resend })
					for i, r := range pushAll(t.Context(), client, 0, many) {
						switch {
						case !resend && (r.Outcome != apns.Unknown || r.Receipt.Attempts != 1):
							t.Errorf("%d: %v: %v", i, r.Outcome, r.Err)
						case resend && (r.Outcome != apns.Accepted || r.Receipt.Attempts != 2):
							t.Errorf("%d: %v: %v", i, r.Outcome, r.Err)
						case name == "another protocol" && !resend && !strings.Contains(r.Err.Error(), "web server"):
							t.Error(r.Err)
						case name == "close" && !resend && !errors.Is(r.Err, legacy.ErrNoPacket):
							t.Error(r.Err)
						}
					}
					client.Close(t.Context())
					if resend {
						if got := <-took; !slices.Equal(got, count(0, many)) {
							t.Errorf("%v were sent again", got)
						}
					}
				})
			})
		}
	}
}

// One notification may allow a duplicate where the client does not.
func TestResendUnknownOfOne(t *testing.T) {
	virtually(t, func(t *testing.T) {
		client := newClient(t, newPeer(t, func(c *peerConn) {
			if c.number == 1 {
				c.read(2)
				return
			}
			c.readAll()
		}), nil)
		for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			one, two := numbered(1), numbered(2)
			two.ResendUnknown = true
			_ = yield(one) && yield(two)
		}) {
			want := map[any]apns.Outcome{1: apns.Unknown, 2: apns.Accepted}[r.Notification.Tag]
			if r.Outcome != want {
				t.Errorf("%v: %v", r.Notification.Tag, r.Err)
			}
		}
	})
}

// What the network never took is certainly not processed: it is sent again,
// whatever is allowed.
func TestNeverWritten(t *testing.T) {
	virtually(t, func(t *testing.T) {
		broken := make(chan struct{})
		p := newPeer(t, func(c *peerConn) {
			if c.number == 1 {
				c.read(1)
				<-broken
				time.Sleep(time.Second)
				return
			}
			c.readAll()
		})
		client := newClient(t, p, breaking(p, broken))
		first := make(chan error)
		go func() {
			_, err := client.Push(t.Context(), numbered(1))
			first <- err
		}()
		synctest.Wait()
		close(broken)
		if receipt, err := client.Push(t.Context(), numbered(2)); err != nil || receipt.Attempts != 1 {
			t.Errorf("%v, %+v", err, receipt)
		}
		if err := <-first; apns.OutcomeOf(err) != apns.Unknown || !strings.Contains(err.Error(), "broken pipe") {
			t.Error(err)
		}
	})
}

// A reset at every byte of what is written. Nothing is lost, nothing is called
// sent that was not, and without leave nothing is sent twice.
func TestResetAtEveryByte(t *testing.T) {
	const size = 5 * (5 + 3 + 32 + 3 + 7 + 7 + 4)
	for at := range size + 1 {
		for _, resend := range []bool{at%2 == 0} {
			virtually(t, func(t *testing.T) {
				got := map[int]int{} // whole notifications the peer has seen
				p := newPeer(t, func(c *peerConn) {
					if c.number == 1 {
						io.CopyN(io.Discard, c, int64(at))
						c.reset()
						return
					}
					for {
						n, err := c.next()
						if err != nil {
							return
						}
						got[number(n.payload)]++
					}
				})
				client := newClient(t, p, func(c *legacy.Config) { c.ResendUnknown = resend })
				results := pushAll(t.Context(), client, 0, 5)
				client.Close(t.Context())
				p.stop()
				for i, r := range results {
					switch r.Outcome {
					case apns.Accepted:
						if got[i] != 1 {
							t.Errorf("at %d: %d was accepted and seen %d times", at, i, got[i])
						}
					case apns.Unknown:
						if resend || got[i] != 0 {
							t.Errorf("at %d: %d: %v, seen %d times", at, i, r.Err, got[i])
						}
					default:
						t.Errorf("at %d: %d: %v", at, i, r.Err)
					}
				}
			})
		}
	}
}

// A reset or a close before TLS is done costs an attempt and nothing else.
func TestResetInTheHandshake(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, (*peerConn).readAll)
		attempts := 0
		client := newClient(t, p, func(c *legacy.Config) {
			c.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
				attempts++
				if attempts > 3 {
					return p.dial(ctx, "", "")
				}
				a, b := memnet.Pipe("client", "server")
				go func() {
					io.CopyN(io.Discard, b, int64(attempts*20))
					if attempts == 1 {
						b.Close()
					} else {
						b.Reset()
					}
				}()
				return a, nil
			}
		})
		if receipt, err := client.Push(t.Context(), numbered(1)); err != nil || receipt.Attempts != 1 {
			t.Errorf("%v, %+v", err, receipt)
		}
	})
}

// A packet is heard even if the end is noticed by writing first.
func TestLastWords(t *testing.T) {
	virtually(t, func(t *testing.T) {
		hold := make(chan struct{})
		p := newPeer(t, func(c *peerConn) {
			if c.number > 1 {
				c.readAll()
				return
			}
			c.read(2)
			<-hold
			time.Sleep(legacy.LastWords - time.Millisecond)
			c.refuse(8, c.seen[0].id)
		})
		client := newClient(t, p, breaking(p, hold))
		done := make(chan map[int]apns.Result)
		go func() { done <- pushAll(t.Context(), client, 0, 2) }()
		synctest.Wait()
		close(hold) // the client's next write fails; the packet comes a moment later
		third, err := client.Push(t.Context(), numbered(3))
		if err != nil || third.Attempts != 1 {
			t.Error(err)
		}
		results := <-done
		wantStatus(t, results[0].Err, legacy.StatusInvalidDeviceToken)
		if results[1].Outcome != apns.Accepted {
			t.Error(results[1].Err)
		}
	})
}

// breaking makes the first connection of a client unable to write, once broken is
// closed.
func breaking(p *peer, broken chan struct{}) func(*legacy.Config) {
	first := true
	return func(c *legacy.Config) {
		c.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := p.dial(ctx, "", "")
			if err == nil && first {
				first = false
				return &halfBroken{Conn: conn, broken: broken}, nil
			}
			return conn, err
		}
	}
}

// halfBroken fails to write once broken is closed.
type halfBroken struct {
	net.Conn
	broken chan struct{}
}

func (h *halfBroken) Write(b []byte) (int, error) {
	select {
	case <-h.broken:
		return 0, errors.New("broken pipe")
	default:
		return h.Conn.Write(b)
	}
}

// A confession: to this protocol, a line that went dead without a sign is as
// silent as success. (On Linux sockets the kernel notices in time; see
// failUnacknowledged.)
func TestDeadLineLooksLikeSuccess(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, func(c *peerConn) { c.read(1); c.raw.(*memnet.Conn).Freeze(); c.readAll() })
		client := newClient(t, p, nil)
		if _, err := client.Push(t.Context(), numbered(1)); err != nil {
			t.Fatal(err)
		}
		if _, err := client.Push(t.Context(), numbered(2)); err != nil {
			t.Error("if this fails, the package has become better: rewrite the comment, and doc.go")
		}
	})
}

// A packet is heard at once while the client is stuck in a Write, though the
// server neither reads nor closes.
func TestPacketWhileWriting(t *testing.T) {
	virtually(t, func(t *testing.T) {
		p := newPeer(t, func(c *peerConn) {
			if c.number == 1 && c.read(3) {
				time.Sleep(time.Second) // the network is full by then
				id := c.seen[0].id
				c.Write([]byte{8, 8, byte(id >> 24), byte(id >> 16), byte(id >> 8), byte(id)})
				time.Sleep(time.Hour)
				return
			}
			c.readAll()
		})
		client := newClient(t, p, nil)
		begun := time.Now()
		outcomes := map[apns.Outcome]int{}
		for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			n := numbered(1)
			n.Payload = fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("x", 1900))
			for range 400 {
				if !yield(n) {
					return
				}
			}
		}) {
			outcomes[r.Outcome]++
		}
		if took := time.Since(begun); outcomes[apns.Rejected] != 1 || outcomes[apns.Accepted] != 399 || took != time.Second+legacy.DefaultSettleTime {
			t.Errorf("%v after %v", outcomes, took)
		}
	})
}

// On real sockets, a server that writes its packet and closes with unread bytes
// before it resets the connection. The packet is heard all the same, every time
// (where the kernel keeps what was received before a reset, as Linux does), and
// refusals do not multiply what is written.
func TestPacketBeforeReset(t *testing.T) {
	p := newSocketPeer(t, func(c *peerConn) {
		for n, err := c.next(); err == nil; n, err = c.next() {
			if c.seen = c.seen[:0]; number(n.payload)%100 == 99 {
				c.Write([]byte{8, 8, byte(n.id >> 24), byte(n.id >> 16), byte(n.id >> 8), byte(n.id)})
				c.raw.Close()
				return
			}
		}
	})
	client := newClient(t, p, func(c *legacy.Config) { c.SettleTime = time.Hour })
	const count = 5000 // the last one is refused, so nothing has to settle
	for i, r := range pushAll(t.Context(), client, 0, count) {
		if (i%100 == 99) != (r.Outcome == apns.Rejected) || r.Outcome != apns.Accepted && r.Outcome != apns.Rejected {
			t.Errorf("%d: %v", i, r.Err)
		}
	}
	if s := client.Stats(); s.Resends > count/100*legacy.FirstBurst || s.Late != 0 {
		t.Errorf("%+v", s)
	}
}

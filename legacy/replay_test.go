package legacy_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/legacy"
)

const many = 12

// refuseAt is a peer that reads everything, answers the one at a position of the
// first connection with a status, and takes everything after that.
func refuseAt(position int, status byte, took chan<- []int) func(*peerConn) {
	return func(c *peerConn) {
		if c.number == 1 && c.read(many) {
			c.refuse(status, c.seen[position].id)
			return
		}
		c.readAll()
		took <- numbers(c.seen)
	}
}

// After an error packet, exactly what followed the notification it names is sent
// again, once and in order; before it nothing is.
func TestReplayAtEveryPosition(t *testing.T) {
	for position := range many {
		for _, status := range []byte{2, 3, 4, 5, 6, 7, 8, 128} {
			virtually(t, func(t *testing.T) {
				took := make(chan []int, 1)
				client := newClient(t, newPeer(t, refuseAt(position, status, took)), nil)
				results := pushAll(t.Context(), client, 0, many)
				client.Close(t.Context())
				for i, r := range results {
					if r.Receipt.Attempts != 1 {
						t.Errorf("%d: %+v", i, r.Receipt)
					}
					if i == position {
						wantStatus(t, r.Err, legacy.Status(status))
					} else if r.Outcome != apns.Accepted {
						t.Errorf("%d: %v", i, r.Err)
					}
				}
				if position < many-1 { // otherwise there is nothing to connect for
					if got := <-took; !slices.Equal(got, count(position+1, many)) {
						t.Errorf("after an error at %d, %v were sent again", position, got)
					}
				}
			})
		}
	}
}

// The identifier of a shutdown names the last one that was sent: no error, and
// not to be sent again. go-libapns reported it as the one that failed.
func TestShutdownAtEveryPosition(t *testing.T) {
	for position := range many {
		for _, status := range []byte{10, 0} {
			virtually(t, func(t *testing.T) {
				took := make(chan []int, 1)
				client := newClient(t, newPeer(t, refuseAt(position, status, took)), nil)
				for i, r := range pushAll(t.Context(), client, 0, many) {
					if r.Outcome != apns.Accepted || r.Receipt.Attempts != 1 {
						t.Errorf("%d: %v", i, r.Err)
					}
				}
				client.Close(t.Context())
				if position < many-1 {
					if got := <-took; !slices.Equal(got, count(position+1, many)) {
						t.Errorf("after a shutdown at %d, %v were sent again", position, got)
					}
				}
			})
		}
	}
}

func count(from, to int) (list []int) {
	for i := from; i < to; i++ {
		list = append(list, i)
	}
	return list
}

// What is sent again and cannot all be written before the next connection ends
// stays in its order, before what is new.
func TestReplayOfAReplay(t *testing.T) {
	virtually(t, func(t *testing.T) {
		var got []int
		p := newPeer(t, func(c *peerConn) {
			switch {
			case c.number == 1 && c.read(300), c.number == 2 && c.read(5):
				c.refuse(8, c.seen[0].id)
			default:
				c.readAll()
				got = numbers(c.seen)
			}
		})
		client := newClient(t, p, nil)
		accepted := 0
		for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			for i := range 400 { // more than the network holds
				n := numbered(i)
				n.Payload = fmt.Appendf(nil, `{"n":%d, "x":"%s"}`, i, strings.Repeat("x", 1900))
				if !yield(n) {
					return
				}
			}
		}) {
			if r.Outcome == apns.Accepted {
				accepted++
			}
		}
		client.Close(t.Context())
		p.stop()
		if accepted != 398 || !slices.Equal(got, count(2, 400)) {
			t.Errorf("%d accepted, and at last came %v", accepted, got)
		}
	})
}

// timehop/apns stored notifications before it gave them their identifiers, so
// that no packet ever matched. Here packets that match nothing are the
// server's: nobody can know what they mean, and nothing is called sent.
func TestUnmatchedIdentifiers(t *testing.T) {
	for name, tc := range map[string]struct {
		status byte
		id     func(*peerConn) uint32
	}{
		"none":                      {8, func(*peerConn) uint32 { return 0 }},
		"none, could not be parsed": {128, func(*peerConn) uint32 { return 0 }},
		"never written":             {8, func(c *peerConn) uint32 { return c.seen[many-1].id + 1 }},
		"far ahead":                 {8, func(c *peerConn) uint32 { return c.seen[0].id + 1<<31 }},
		"before the first":          {8, func(c *peerConn) uint32 { return c.seen[0].id - 1 }},
		"shutdown, before":          {10, func(c *peerConn) uint32 { return c.seen[0].id - 1 }},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				client := newClient(t, newPeer(t, func(c *peerConn) {
					if c.read(many) {
						c.refuse(tc.status, tc.id(c))
					}
				}), nil)
				client.SetIdentifier(1000)
				for i, r := range pushAll(t.Context(), client, 0, many) {
					if r.Outcome != apns.Unknown || !errors.Is(r.Err, legacy.Status(tc.status)) {
						t.Errorf("%d: %v", i, r.Err)
					}
				}
				if s := client.Stats(); s.Late != 0 || s.Resends != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A shutdown that names nobody, from a connection on which nothing was taken:
// nothing was sent, so everything is sent again.
func TestShutdownBeforeAnything(t *testing.T) {
	virtually(t, func(t *testing.T) {
		client := newClient(t, newPeer(t, func(c *peerConn) {
			if c.number == 1 && c.read(many) {
				c.refuse(10, 0)
				return
			}
			c.readAll()
		}), nil)
		for i, r := range pushAll(t.Context(), client, 0, many) {
			if r.Outcome != apns.Accepted || r.Receipt.Attempts != 1 {
				t.Errorf("%d: %v", i, r.Err)
			}
		}
	})
}

// An identifier of the connection before, or two packets at once: only what
// stands on this connection, and only the first packet, counts.
func TestDuplicateIdentifiers(t *testing.T) {
	virtually(t, func(t *testing.T) {
		var stale uint32
		client := newClient(t, newPeer(t, func(c *peerConn) {
			switch {
			case c.number == 1 && c.read(3):
				stale = c.seen[0].id
				c.Write([]byte{
					8, 8, byte(stale >> 24), byte(stale >> 16), byte(stale >> 8), byte(stale),
					8, 7, byte(stale >> 24), byte(stale >> 16), byte(stale >> 8), byte(stale + 1),
				})
			case c.number == 2 && c.read(2):
				c.refuse(8, stale)
			default:
				c.readAll()
			}
		}), nil)
		results := pushAll(t.Context(), client, 0, 3)
		wantStatus(t, results[0].Err, legacy.StatusInvalidDeviceToken)
		for _, i := range []int{1, 2} {
			if results[i].Outcome != apns.Unknown {
				t.Errorf("%d: %v", i, results[i].Err)
			}
		}
	})
}

// A packet that comes after its notification settled: those in flight all came
// after it and are sent again; the mistake is counted and told.
func TestLatePacket(t *testing.T) {
	for _, status := range []byte{8, 10} {
		virtually(t, func(t *testing.T) {
			var closed error
			client := newClient(t, newPeer(t, func(c *peerConn) {
				if c.number == 1 && c.read(3+2) {
					c.refuse(status, c.seen[1].id) // of three that have settled
					return
				}
				c.readAll()
			}), func(c *legacy.Config) {
				c.Hooks.OnConnection = func(e apns.ConnectionEvent) {
					if e.Kind == apns.ConnectionClosed && closed == nil {
						closed = e.Err
					}
				}
			})
			client.SetIdentifier(math.MaxUint32 - 2) // and across the end
			first := pushAll(t.Context(), client, 0, 3)
			second := pushAll(t.Context(), client, 3, 2)
			for i := range 5 {
				r, ok := first[i]
				if !ok {
					r = second[i]
				}
				if r.Outcome != apns.Accepted || r.Receipt.Attempts != 1 {
					t.Errorf("%d: %v", i, r.Err)
				}
			}
			want := uint64(2) // the second and the third
			if status == 10 {
				want = 1 // the third
			}
			late, ok := errors.AsType[*legacy.LateError](closed)
			if !ok || late.Wrong != want || client.Stats().Late != want || !strings.Contains(closed.Error(), "SettleTime") {
				t.Errorf("status %d: %v, %+v", status, closed, client.Stats())
			}
		})
	}
}

// Identifiers go round at 2^32, leave 0 out, and are told apart on both sides.
func TestWrapAround(t *testing.T) {
	for position := range many {
		for _, status := range []byte{8, 10} {
			virtually(t, func(t *testing.T) {
				var ids []uint32
				took := make(chan []int, 1)
				client := newClient(t, newPeer(t, func(c *peerConn) {
					if c.number == 1 && c.read(many) {
						for _, n := range c.seen {
							ids = append(ids, n.id)
						}
						c.refuse(status, ids[position])
						return
					}
					c.readAll()
					took <- numbers(c.seen)
				}), nil)
				client.SetIdentifier(math.MaxUint32 - 4)
				results := pushAll(t.Context(), client, 0, many)
				client.Close(t.Context())
				if !slices.Equal(ids, []uint32{
					math.MaxUint32 - 4, math.MaxUint32 - 3, math.MaxUint32 - 2, math.MaxUint32 - 1, math.MaxUint32,
					1, 2, 3, 4, 5, 6, 7,
				}) {
					t.Errorf("%v", ids)
				}
				for i, r := range results {
					if i == position && status == 8 {
						wantStatus(t, r.Err, legacy.StatusInvalidDeviceToken)
					} else if r.Outcome != apns.Accepted {
						t.Errorf("%d: %v", i, r.Err)
					}
				}
				if position < many-1 {
					if got := <-took; !slices.Equal(got, count(position+1, many)) {
						t.Errorf("%v were sent again", got)
					}
				}
			})
		}
	}
}

// The rule by itself, where a connection cannot easily be brought to.
func TestDrawLine(t *testing.T) {
	packet := func(status legacy.Status, id uint32) *legacy.ErrorPacket {
		return &legacy.ErrorPacket{Status: status, Identifier: id}
	}
	for _, tc := range []struct {
		name        string
		packet      *legacy.ErrorPacket
		at          int
		oldest      uint32
		settled     uint64
		sent        int
		refused     bool
		unprocessed bool
		late        uint64
	}{
		{"no packet", nil, -1, 5, 4, 0, false, false, 0},
		{"first", packet(8, 5), 0, 5, 4, 0, true, true, 0},
		{"third", packet(8, 7), 2, 5, 4, 2, true, true, 0},
		{"shutdown at third", packet(10, 7), 2, 5, 4, 3, false, true, 0},
		{"shutdown at the last that settled", packet(10, 4), -1, 5, 4, 0, false, true, 0},
		{"error at the last that settled", packet(8, 4), -1, 5, 4, 0, false, true, 1},
		{"error at the first that settled", packet(8, 1), -1, 5, 4, 0, false, true, 4},
		{"before the connection", packet(8, 1), -1, 5, 3, 0, false, false, 0},
		{"shutdown of nothing", packet(10, 0), -1, 5, 0, 0, false, true, 0},
		{"shutdown of nothing, though some settled", packet(10, 0), -1, 5, 1, 0, false, false, 0},
		{"across the end", packet(8, math.MaxUint32), -1, 2, 2, 0, false, true, 2},
		{"across the end, before the connection", packet(8, math.MaxUint32-1), -1, 2, 2, 0, false, false, 0},
		{"a connection older than 2^32 notifications", packet(8, 6), -1, 5, 1 << 40, 0, false, true, math.MaxUint32 - 1},
	} {
		sent, refused, unprocessed, late := legacy.DrawLine(tc.packet, tc.at, tc.oldest, tc.settled)
		if sent != tc.sent || refused != tc.refused || unprocessed != tc.unprocessed || late != tc.late {
			t.Errorf("%s: %d sent, refused %v, unprocessed %v, %d late", tc.name, sent, refused, unprocessed, late)
		}
	}
}

// Trouble of the server's own is tried again, with growing pauses, and not for
// ever.
func TestTemporaryStatuses(t *testing.T) {
	for _, status := range []byte{1, 9, 255} {
		for _, times := range []int{1, 4, 5} {
			virtually(t, func(t *testing.T) {
				p := newPeer(t, func(c *peerConn) {
					if n, err := c.next(); err == nil && c.number <= times {
						c.refuse(status, n.id)
						return
					}
					c.readAll()
				})
				retries := 0
				client := newClient(t, p, func(c *legacy.Config) {
					c.Hooks.OnRetry = func(_ *apns.Notification, e apns.RetryEvent) {
						if retries++; e.Attempt != retries || e.Delay < legacy.RetryPause/2<<(retries-1) || e.Delay > legacy.RetryPause<<(retries-1) {
							t.Errorf("%+v", e)
						}
					}
				})
				receipt, err := client.Push(t.Context(), numbered(1))
				if times < legacy.DefaultMaxAttempts {
					if err != nil || receipt.Attempts != times+1 || retries != times {
						t.Errorf("%v, %+v, %d retries", err, receipt, retries)
					}
					return
				}
				r := wantStatus(t, err, legacy.Status(status))
				if r.Action() != apns.RetryLater || receipt.Attempts != legacy.DefaultMaxAttempts {
					t.Errorf("%v, %+v", err, receipt)
				}
			})
		}
	}
}

// What has expired when it would be sent again is not.
func TestExpiredAtReplay(t *testing.T) {
	virtually(t, func(t *testing.T) {
		client := newClient(t, newPeer(t, func(c *peerConn) {
			if c.number == 1 && c.read(2) {
				time.Sleep(2 * time.Second)
				c.refuse(8, c.seen[0].id)
				return
			}
			c.readAll()
		}), nil)
		for r := range client.PushAll(t.Context(), func(yield func(*apns.Notification) bool) {
			one, two := numbered(1), numbered(2)
			two.Expiration = apns.ExpireAt(time.Now().Add(time.Second))
			_ = yield(one) && yield(two)
		}) {
			if r.Notification.Tag == 2 && (r.Outcome != apns.NotSent || !errors.Is(r.Err, apns.ErrNoTime)) {
				t.Errorf("%v: %v", r.Outcome, r.Err)
			}
		}
	})
}

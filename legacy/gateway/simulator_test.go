package gateway_test

import (
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"aviso.example/internal/await"
	"aviso.example/sim"
)

// told is what a program learned, and what became of what it sent.
type told struct {
	failed   map[int]byte   // by number: status
	accepted map[string]int // by payload
	dead     []string       // the feedback list, sorted
}

// kinds are the notifications that are drawn: from number n and identifier id to
// the bytes.
var kinds = map[string]func(n int, id uint32) string{
	"good, command 1": func(n int, id uint32) string { return frame1(id, 0, device(0, n), payload(n)) },
	"good, command 2": func(n int, id uint32) string {
		return frame2(item(1, device(0, n)), item(2, payload(n)), item(3, long32(id)), item(5, "\x0a"))
	},
	"gone":             func(n int, id uint32) string { return frame1(id, 0, device(1, n), payload(n)) },
	"foreign":          func(n int, id uint32) string { return frame1(id, 0, device(2, n), payload(n)) },
	"another app's":    func(n int, id uint32) string { return frame1(id, 0, device(3, n), payload(n)) },
	"too short":        func(n int, id uint32) string { return frame1(id, 0, device(0, n)[:31], payload(n)) },
	"no device token":  func(n int, id uint32) string { return frame2(item(2, payload(n)), item(3, long32(id))) },
	"empty payload":    func(n int, id uint32) string { return frame1(id, 0, device(0, n), "") },
	"large payload":    func(n int, id uint32) string { return frame1(id, 0, device(0, n), padded(4097)) },
	"an item too many": func(n int, id uint32) string { return frame2(item(3, long32(id)), item(9, "")) },
}

// device is a device token of one of four sorts, with a number in it.
func device(sort byte, n int) string {
	return string(append(slices.Repeat([]byte{sort}, 28), binary.BigEndian.AppendUint32(nil, uint32(n))...))
}

func payload(n int) string { return fmt.Sprintf(`{"aps":{"alert":"number %d"}}`, n) }

// tell is a program that sends notifications of the given kinds to one address
// and, after each error packet, everything behind the one that it names again.
func tell(t *rapid.T, dial func(addr string) *tls.Conn, gateway string, list []string, base, perWrite int) map[int]byte {
	failed := map[int]byte{}
	for first := 0; first < len(list); {
		conn := dial(gateway)
		var stream strings.Builder
		for i := first; i < len(list); i++ {
			stream.WriteString(kinds[list[i]](base+i, uint32(i+1)))
			if (i-first+1)%perWrite == 0 || i == len(list)-1 {
				io.WriteString(conn, stream.String()) // what goes wrong shows on the other side
				stream.Reset()
			}
		}
		conn.CloseWrite()
		packet, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || len(packet) != 0 && len(packet) != 6 {
			t.Fatalf("the last word is %x, %v", packet, err)
		}
		if len(packet) == 0 {
			break
		}
		at := int(binary.BigEndian.Uint32(packet[2:])) - 1
		if packet[0] != 8 || at < first || at >= len(list) {
			t.Fatalf("a packet %x while %d to %d are under way", packet, first+1, len(list))
		}
		failed[at] = packet[1]
		first = at + 1
	}
	return failed
}

// TestSameStory: a program that is told by this gateway, with today's interface
// behind it, hears what the simulator's own port of the binary protocol tells,
// which was written from the same description by itself: the same status for
// each notification, and the same dead device tokens; and each of the others is
// accepted once.
func TestSameStory(t *testing.T) {
	t.Parallel()
	h := open(t, nil, func(c *sim.Config) {
		// What is guessed differently, and what today's interface allows more of.
		c.Binary.MaxPayload = 4096
		c.Guesses.Binary.AnyPriority, c.Guesses.Binary.RefuseUnknownItems = true, true
	})
	direct := h.apns.StartBinary(t)
	since := time.Unix(1_700_000_000, 0)
	names := slices.Sorted(maps.Keys(kinds))
	base, lists := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		list := rapid.SliceOfN(rapid.OneOf(rapid.Just("good, command 1"), rapid.SampledFrom(names)), 1, 60).Draw(rt, "notifications")
		perWrite := rapid.SampledFrom([]int{1, 7, 1000}).Draw(rt, "in one write")
		// Another number each time, since the gateway knows again what it has
		// accepted already.
		base += 1000
		gone := 0
		for _, kind := range list {
			if kind == "gone" {
				gone++
			}
		}
		tellStory := func(dial func(string) *tls.Conn, gateway string, feedback func() []byte, p sim.Protocol) told {
			h.apns.Clear()
			h.apns.Devices().Clear()
			for i := range list {
				for sort, d := range map[byte]sim.Device{
					1: {State: sim.Unregistered, Since: since}, 2: {Environment: sim.Production}, 3: {Topics: []string{"com.example.other"}},
				} {
					d.DeviceToken = hex.EncodeToString([]byte(device(sort, base+i)))
					if err := h.apns.PutDevice(d); err != nil {
						rt.Fatal(err)
					}
				}
			}
			story := told{failed: tell(rt, dial, gateway, list, base, perWrite), accepted: map[string]int{}}
			for _, push := range h.apns.Pushes(sim.Filter{Outcome: sim.Accepted, Protocol: p}) {
				story.accepted[push.DeviceToken+" "+string(push.Payload)]++
			}
			// The gateway lists them a moment after the connection has ended.
			await.Until(t, fmt.Sprintf("%d dead device tokens", gone), func() bool {
				if len(story.dead) < gone {
					for tuples := feedback(); len(tuples) >= 38; tuples = tuples[38:] {
						story.dead = append(story.dead, hex.EncodeToString(tuples[:38]))
					}
				}
				return len(story.dead) >= gone
			})
			slices.Sort(story.dead)
			return story
		}
		roots := programIdentity().clientTLS()
		own := &tls.Config{RootCAs: h.apns.RootCAs, ServerName: "localhost", Certificates: []tls.Certificate{direct.Certificate}}
		with := func(config *tls.Config) func(string) *tls.Conn {
			return func(addr string) *tls.Conn {
				conn, err := tls.Dial("tcp", addr, config)
				if err != nil {
					rt.Fatal(err)
				}
				conn.SetDeadline(await.Deadline(t))
				return conn
			}
		}
		read := func(conn *tls.Conn) []byte {
			defer conn.Close()
			tuples, err := io.ReadAll(conn)
			if err != nil {
				rt.Fatal(err)
			}
			return tuples
		}
		a := tellStory(with(own), direct.Gateway, func() []byte { return read(with(own)(direct.Feedback)) }, sim.ProtocolBinary)
		b := tellStory(with(roots), h.address, func() []byte {
			tuples := read(with(roots)(h.feedback))
			// What it tells leaves the list when the reader has hung up. Whoever
			// asks before that, in this story or the next, is told again.
			lists++
			h.emptied(lists)
			return tuples
		}, sim.ProtocolHTTP2)
		if !maps.Equal(a.failed, b.failed) {
			rt.Errorf("failed: %v directly, %v through the gateway", a.failed, b.failed)
		}
		if !slices.Equal(a.dead, b.dead) {
			rt.Errorf("dead: %v directly, %v through the gateway", a.dead, b.dead)
		}
		for _, kind := range []string{"good, command 1", "good, command 2"} {
			for i, k := range list {
				if k != kind {
					continue
				}
				key := hex.EncodeToString([]byte(device(0, base+i))) + " " + payload(base+i)
				if a.accepted[key] != 1 || b.accepted[key] != 1 {
					rt.Errorf("number %d: accepted %d times directly, %d through the gateway", i, a.accepted[key], b.accepted[key])
				}
			}
		}
	})
}

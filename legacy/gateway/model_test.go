package gateway_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"aviso.example/internal/memnet"
	"aviso.example/legacy/gateway"
	"aviso.example/sim"
)

// modelContent is something that a program says, as often as it likes.
type modelContent struct {
	Kind  string
	Delay int // of APNs's answer, in ms
}

func (c modelContent) status() byte {
	switch c.Kind {
	case "bad":
		return 8
	case "no JSON":
		return 128
	}
	return 0
}

// modelProgram is one program of a random story. Contents are its own, so that it
// can be told what became of them.
type modelProgram struct {
	Provider int
	Replays  bool
	Early    bool // command 1 instead of 2
	First    uint32
	Contents []modelContent
	Line     []int // contents, in order
	Pause    int   // between two, in ms
	Resets   []int // after so many more writes
	Linger   int   // before a reset, in ms
}

var modelPrograms = rapid.Custom(func(t *rapid.T) modelProgram {
	p := modelProgram{
		Provider: rapid.IntRange(0, 1).Draw(t, "provider"),
		Replays:  rapid.IntRange(0, 3).Draw(t, "replays") > 0,
		Early:    rapid.Bool().Draw(t, "early"),
		First:    rapid.SampledFrom([]uint32{0, 1, 0xfffffff8}).Draw(t, "first"),
		Contents: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) modelContent {
			return modelContent{
				Kind:  rapid.SampledFrom([]string{"good", "good", "good", "good", "bad", "gone", "no JSON", "throttled"}).Draw(t, "kind"),
				Delay: rapid.SampledFrom([]int{0, 0, 1, 20, 150, 3000}).Draw(t, "delay"),
			}
		}), 1, 8).Draw(t, "contents"),
		Pause:  rapid.SampledFrom([]int{0, 0, 1, 30, 400}).Draw(t, "pause"),
		Resets: rapid.SliceOfN(rapid.IntRange(1, 12), 0, 2).Draw(t, "resets"),
		Linger: rapid.SampledFrom([]int{0, 1, 10, 120, 5000}).Draw(t, "linger"),
	}
	if rapid.Bool().Draw(t, "no resets") {
		p.Resets = nil
	}
	p.Line = rapid.SliceOfN(rapid.IntRange(0, len(p.Contents)-1), 1, 20).Draw(t, "line")
	return p
})

// modelRun is a program at work.
type modelRun struct {
	modelProgram
	t         *rapid.T
	h         *virtual
	number    int
	identity  *identity
	kept      []int // by content: sent, as far as the program was told
	written   []int
	forgetful bool // somewhere it does not know what was sent
}

func (r *modelRun) deviceToken(content int) []byte {
	b := make([]byte, 32)
	b[0], b[1] = byte(r.number)+1, byte(content)+1
	return b
}

func (r *modelRun) frame(content int, identifier uint32) string {
	payload := fmt.Sprintf(`{"aps":{"alert":"content %d of program %d"}}`, content, r.number)
	if r.Contents[content].Kind == "no JSON" {
		payload = payload[1:]
	}
	if r.Early {
		return frame1(identifier, 0, string(r.deviceToken(content)), payload)
	}
	return frame2(item(1, string(r.deviceToken(content))), item(2, payload), item(3, long32(identifier)))
}

// prepare tells the simulator what to do about the program's contents.
func (r *modelRun) prepare() {
	for i, c := range r.Contents {
		device := sim.Device{DeviceToken: hex.EncodeToString(r.deviceToken(i))}
		switch c.Kind {
		case "bad":
			device.Environment = sim.Production
		case "gone":
			device.State, device.Since = sim.Unregistered, goneAt
		case "throttled":
			r.h.fault(sim.Fault{Kind: sim.FaultAnswer, DeviceToken: device.DeviceToken, Status: 503, Reason: "ServiceUnavailable", Count: 7})
		}
		if err := r.h.apns.PutDevice(device); err != nil {
			r.t.Error(err)
		}
		if c.Delay > 0 {
			r.h.fault(sim.Fault{Kind: sim.FaultDelay, DeviceToken: device.DeviceToken, Delay: time.Duration(c.Delay) * time.Millisecond})
		}
	}
}

// run sends everything and sees to what is thrown away.
func (r *modelRun) run() {
	r.kept, r.written = make([]int, len(r.Contents)), make([]int, len(r.Contents))
	for connections := 0; len(r.Line) > 0; connections++ {
		if connections > 500 {
			r.t.Errorf("program %d is not done after %d connections", r.number, connections)
			return
		}
		conn, err := r.h.dialAs(context.Background(), r.identity)
		if err != nil {
			time.Sleep(time.Second)
			continue
		}
		r.connection(conn)
	}
}

func (r *modelRun) connection(conn *tls.Conn) {
	defer conn.Close()
	ended := make(chan []byte, 1)
	go func() {
		b := make([]byte, 6)
		n, _ := io.ReadFull(conn, b)
		ended <- b[:n]
	}()
	var sent []int
	for len(r.Line) > 0 {
		select {
		case packet := <-ended:
			r.react(sent, packet)
			return
		default:
		}
		c := r.Line[0]
		r.Line = r.Line[1:]
		io.WriteString(conn, r.frame(c, r.First+uint32(len(sent)))) // what goes wrong shows on the other side
		sent = append(sent, c)
		r.written[c]++
		time.Sleep(time.Duration(r.Pause) * time.Millisecond)
		if len(r.Resets) > 0 {
			if r.Resets[0]--; r.Resets[0] == 0 {
				r.Resets = r.Resets[1:]
				time.Sleep(time.Duration(r.Linger) * time.Millisecond)
				conn.NetConn().(*memnet.Conn).Reset()
				<-ended
				r.forgetful = true
				r.again(sent)
				return
			}
		}
	}
	select {
	case packet := <-ended:
		r.react(sent, packet)
	case <-time.After(10 * time.Minute):
		// Silence: all is well.
		for i, c := range sent {
			if r.Contents[c].status() != 0 {
				r.t.Errorf("program %d: nothing was said about number %d of a connection", r.number, i)
			}
			r.kept[c]++
		}
	}
}

// again sends again what was thrown away, or not.
func (r *modelRun) again(sent []int) {
	if r.Replays {
		r.Line = append(append([]int(nil), sent...), r.Line...)
	}
}

// react checks that a packet names the earliest failure, with its status.
func (r *modelRun) react(sent []int, packet []byte) {
	if len(packet) == 0 {
		r.again(sent)                      // nothing of it was sent, then
		time.Sleep(100 * time.Millisecond) // removed at the moment, perhaps
		return
	}
	if len(packet) < 6 || packet[0] != 8 {
		r.t.Errorf("program %d was told %x", r.number, packet)
		return
	}
	at := int(binary.BigEndian.Uint32(packet[2:]) - r.First)
	if at < 0 || at >= len(sent) {
		r.t.Errorf("program %d was told %x, which it has not sent", r.number, packet)
		return
	}
	for i, c := range sent[:at] {
		if r.Contents[c].status() != 0 {
			r.t.Errorf("program %d was told %x, and number %d failed before", r.number, packet, i)
		}
		r.kept[c]++
	}
	switch want := r.Contents[sent[at]].status(); {
	case packet[1] == 10 && want == 0:
		r.kept[sent[at]]++
	case packet[1] != want || want == 0:
		r.t.Errorf("program %d was told %x; the notification is %s", r.number, packet, r.Contents[sent[at]].Kind)
	}
	r.again(sent[at+1:])
}

// check compares what APNs accepted with what the program was told.
func (r *modelRun) check(accepted map[string]int, removed bool) {
	for i, c := range r.Contents {
		n := accepted[hex.EncodeToString(r.deviceToken(i))]
		switch {
		case c.Kind != "good" && c.Kind != "throttled":
			if n > 0 {
				r.t.Errorf("program %d: content %d is %s and was accepted %d times", r.number, i, c.Kind, n)
			}
		case n < r.kept[i] || n > r.written[i]:
			r.t.Errorf("program %d: content %d was accepted %d times; it was written %d times, of which %d count", r.number, i, n, r.written[i], r.kept[i])
		case n != r.kept[i] && r.Replays && !r.forgetful && !removed:
			r.t.Errorf("program %d: content %d was accepted %d times, and has to be %d times", r.number, i, n, r.kept[i])
		}
	}
}

var modelOther = sync.OnceValue(func() *identity { return newIdentity("com.example.app.other") })

// TestModel holds the gateway to its promises, whatever programs do and in
// whichever order APNs answers: the earliest failure is named; everything before it
// was sent; what a program sends again as the protocol says is accepted once each;
// nothing is accepted more often than it was written; and no credit is lost.
func TestModel(t *testing.T) {
	t.Parallel()
	modelOther()
	rapid.Check(t, func(rt *rapid.T) {
		// Everything is drawn before: rapid may end a run where it draws.
		programs := rapid.SliceOfN(modelPrograms, 1, 4).Draw(rt, "programs")
		window := rapid.IntRange(1, 8).Draw(rt, "window")
		changes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 10, 50, 200, 1000, 30_000}), 0, 3).Draw(rt, "changes after ms")
		removal := rapid.IntRange(0, 4).Draw(rt, "removal") == 0
		virtually(t, func(c *gateway.Config) {
			c.Window = window
			second := c.Providers[0]
			second.Name, second.Certificates, second.Topic = "other", []*x509.Certificate{modelOther().tls.Leaf}, "com.example.app"
			c.Providers = append(c.Providers, second)
		}, func(_ *testing.T, h *virtual) {
			var work sync.WaitGroup
			var runs []*modelRun
			for i, p := range programs {
				p.Line, p.Resets = append([]int(nil), p.Line...), append([]int(nil), p.Resets...)
				r := &modelRun{modelProgram: p, t: rt, h: h, number: i, identity: []*identity{programIdentity(), modelOther()}[p.Provider]}
				r.prepare()
				runs = append(runs, r)
			}
			for _, r := range runs {
				work.Go(r.run)
			}
			set := func(list []gateway.Provider) {
				if err := h.gateway.SetProviders(list); err != nil {
					rt.Error(err)
				}
			}
			for _, after := range changes {
				time.Sleep(time.Duration(after) * time.Millisecond)
				if removal {
					set(h.config.Providers[:1])
					time.Sleep(time.Second)
				}
				set(h.config.Providers)
			}
			work.Wait()
			time.Sleep(20 * time.Minute) // what was left behind is judged, too
			h.t = t
			for name, n := range h.gateway.CreditsOut() {
				if n != 0 {
					rt.Errorf("%d credits of provider %s are out", n, name)
				}
			}
			accepted := map[string]int{}
			for _, p := range h.apns.Pushes(sim.Filter{Outcome: sim.Accepted}) {
				accepted[p.DeviceToken]++
			}
			for _, r := range runs {
				r.check(accepted, removal && len(changes) > 0)
			}
			if err := h.shutdown(time.Second); err != nil {
				rt.Error(err)
			}
		})
	})
}

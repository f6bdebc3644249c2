package legacy_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/legacy"
)

// payload170 is of the size that the other benchmarks of this repository use.
var payload170 = fmt.Appendf(nil, `{"aps":{"alert":"%s"}}`, bytes.Repeat([]byte{'x'}, 148))

func BenchmarkEncode(b *testing.B) {
	f := transcripts[2].frame
	f.Payload = payload170
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if buf, err = f.Append(buf[:0]); err != nil {
			b.Fatal(err)
		}
	}
	b.SetBytes(int64(len(buf)))
}

// endless repeats what it holds.
type endless struct {
	data []byte
	at   int
}

func (e *endless) Read(p []byte) (n int, err error) {
	for n < len(p) {
		copied := copy(p[n:], e.data[e.at:])
		n += copied
		e.at = (e.at + copied) % len(e.data)
	}
	return n, nil
}

func BenchmarkDecode(b *testing.B) {
	for _, command := range []legacy.Command{legacy.CommandSimple, legacy.CommandEnhanced, legacy.CommandItems} {
		b.Run(fmt.Sprintf("command=%d", command), func(b *testing.B) {
			f := transcripts[command].frame
			f.Payload = payload170
			wire, err := f.Append(nil)
			if err != nil {
				b.Fatal(err)
			}
			d := legacy.NewDecoder(&endless{data: wire}, legacy.Limits{})
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				if err := d.Next(&f); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// discard is a gateway that takes everything, as fast as TLS lets it.
func discard(c *peerConn) {
	buf := make([]byte, 1<<16)
	for {
		if _, err := c.Read(buf); err != nil {
			return
		}
	}
}

// warm brings a connection to where it takes as much as there is: it begins with
// little, and doubles it.
func warm(b *testing.B, client *legacy.Client) {
	for r := range client.PushAll(b.Context(), sequence(0, 200_000)) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

// BenchmarkPushAll is notifications through TLS on loopback, both ends in this
// process, until each has its outcome. The settling time is short, or it would
// be all that is measured.
func BenchmarkPushAll(b *testing.B) {
	p := newSocketPeer(b, discard)
	client := newClient(b, p, func(c *legacy.Config) { c.SettleTime = 10 * time.Millisecond })
	notes := make([]apns.Notification, 1024)
	for i := range notes {
		notes[i] = apns.Notification{DeviceToken: fmt.Sprintf("%064x", i), Payload: payload170}
	}
	warm(b, client)
	b.ReportAllocs()
	b.ResetTimer()
	for r := range client.PushAll(b.Context(), func(yield func(*apns.Notification) bool) {
		for i := range b.N {
			if !yield(&notes[i%len(notes)]) {
				return
			}
		}
	}) {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
	}
}

// BenchmarkPush is the same from many goroutines, each of which waits for its
// outcome.
func BenchmarkPush(b *testing.B) {
	p := newSocketPeer(b, discard)
	client := newClient(b, p, func(c *legacy.Config) { c.SettleTime = 10 * time.Millisecond })
	n := &apns.Notification{DeviceToken: wireDevice, Payload: payload170}
	warm(b, client)
	b.SetParallelism(4096)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if _, err := client.Push(b.Context(), n); err != nil {
				b.Fatal(err)
			}
		}
	})
}

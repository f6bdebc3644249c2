package webpush

import (
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"net"
	"sync"
	"testing"
	"testing/synctest"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// chaos is a push service that processes a message, refuses it, or dies, as dice
// fall, and remembers what it processed.
type chaos struct {
	mu        sync.Mutex
	dice      *rand.Rand
	processed map[string]int // by path
}

func (p *chaos) roll(n int) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dice.IntN(n)
}

func (p *chaos) process(path string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.processed[path]++
}

// serve is one connection. It ends when something goes wrong.
func (p *chaos) serve(secure net.Conn) {
	c := &rawConn{Conn: secure, Framer: http2.NewFramer(secure, secure)}
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(secure, preface); err != nil {
		return
	}
	c.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: uint32(1 + p.roll(20))})
	paths := map[uint32]string{}
	last := uint32(0)
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				c.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			paths[f.StreamID] = f.PseudoValue("path")
			if p.roll(300) == 0 { // before the message is there
				return
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				c.WritePing(true, f.Data)
			}
		case *http2.DataFrame:
			c.WriteWindowUpdate(0, max(1, f.Length))
			if !f.StreamEnded() {
				continue
			}
			id := f.StreamID
			switch p.roll(150) {
			case 0:
				c.WriteRSTStream(id, http2.ErrCodeRefusedStream)
			case 1:
				c.WriteGoAway(last, http2.ErrCodeNo, nil)
				return
			case 2: // it is processed, and nobody hears of it
				p.process(paths[id])
				return
			case 3:
				p.process(paths[id])
				c.WriteRSTStream(id, http2.ErrCodeProtocol)
				last = max(last, id)
			case 4:
				c.answer(id, "503")
				last = max(last, id)
			case 5:
				c.answer(id, "410")
				last = max(last, id)
			case 6:
				c.WriteGoAway(last, http2.ErrCodeInternal, []byte("going"))
				return
			default:
				p.process(paths[id])
				c.answer(id, "201")
				last = max(last, id)
			}
		}
	}
}

// Whatever a push service does, outcomes are true: what was accepted was processed
// once, what was rejected or not sent never was, and what may have been is
// Unknown.
func TestChaos(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := &chaos{dice: rand.New(rand.NewPCG(seed, 0)), processed: map[string]int{}}
				network := startRawWith(t, p.serve, nil)
				c := newClient(t, network.listener.DialContext)
				receiver, _ := newReceiver(t, "https://"+pushHost+"/x")
				const n = 300
				outcomes := map[Outcome]int{}
				for i, r := range c.SendAll(t.Context(), chaosInput(t, receiver, n)) {
					outcomes[r.Outcome]++
					p.mu.Lock()
					times := p.processed[fmt.Sprint("/", i)]
					p.mu.Unlock()
					var right bool
					switch r.Outcome {
					case Accepted:
						right = times == 1
					case Rejected, NotSent:
						right = times == 0
					case Unknown:
						right = times <= 1
					}
					if !right {
						t.Errorf("%d is %v and was processed %d times: %v", i, r.Outcome, times, r.Err)
					}
				}
				if total := outcomes[Accepted] + outcomes[Rejected] + outcomes[NotSent] + outcomes[Unknown]; total != n || outcomes[Accepted] == 0 || outcomes[NotSent] > 0 {
					t.Errorf("%v", outcomes)
				}
				if c.Close(context.Background()) != nil {
					t.Error("it does not close")
				}
			})
		})
	}
}

func chaosInput(t *testing.T, receiver *Receiver, n int) iter.Seq[Push] {
	return func(yield func(Push) bool) {
		for i := range n {
			s, err := receiver.Subscription(fmt.Sprintf("https://%s/%d", pushHost, i))
			if err != nil {
				t.Error(err)
			}
			if !yield(Push{s, &Message{Payload: []byte("x"), Padding: i}, nil}) {
				return
			}
		}
	}
}

package gateway_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"aviso.example/legacy/gateway"
)

// program is an old provider, written from the protocol description and not from
// package legacy: it numbers what it writes on each connection from 0, keeps what
// it wrote, reports what an error packet names, and sends everything after it
// again, behind what is still in line, as npm's apn does.
type program struct {
	house  *house
	memory int // how many notifications it remembers

	line     []message
	failed   map[int]byte // by message number: status
	lost     int          // packets that named something it had forgotten
	unknown  int          // connections that ended without a packet
	shutdown int          // packets with status 10
	written  int
	dials    int
	ahead    int // how far it was ahead of what a packet named, at most
}

type message struct {
	number      int
	deviceToken [32]byte
	payload     string
}

// bytes is command 2 with all but the expiration, item by item.
func (m message) bytes(identifier uint32) []byte {
	size := 3 + 32 + 3 + len(m.payload) + 3 + 4 + 3 + 1
	b := append([]byte{2}, binary.BigEndian.AppendUint32(nil, uint32(size))...)
	b = append(append(b, 1, 0, 32), m.deviceToken[:]...)
	b = append(append(b, 2, byte(len(m.payload)>>8), byte(len(m.payload))), m.payload...)
	b = binary.BigEndian.AppendUint32(append(b, 3, 0, 4), identifier)
	return append(b, 5, 0, 1, 10)
}

func newMessage(number int) message {
	m := message{number: number, payload: fmt.Sprintf(`{"aps":{"alert":"number %d"}}`, number)}
	binary.BigEndian.PutUint64(m.deviceToken[24:], uint64(number)+1)
	return m
}

func (m message) device() string { return fmt.Sprintf("%x", m.deviceToken) }

// run sends everything, and ends when the gateway has been silent for a while
// after the last.
func (p *program) run(silence time.Duration) {
	p.failed = map[int]byte{}
	for p.connection(silence) {
	}
}

// connection is one connection; it says whether there has to be another.
func (p *program) connection(silence time.Duration) (more bool) {
	conn, err := tls.Dial("tcp", p.house.address, programIdentity().clientTLS())
	if err != nil {
		p.house.t.Error(err)
		return false
	}
	defer conn.Close()
	// As programs in other languages have it: Nagle's algorithm is on.
	conn.NetConn().(*net.TCPConn).SetNoDelay(false)
	p.dials++
	var kept []message // those from first on
	first, ended := uint32(0), make(chan []byte, 1)
	go func() {
		b := make([]byte, 6)
		n, _ := io.ReadFull(conn, b)
		ended <- b[:n]
	}()
	for id := uint32(0); ; id++ {
		var packet []byte
		select {
		case packet = <-ended:
		default:
			if len(p.line) > 0 {
				m := p.line[0]
				p.line = p.line[1:]
				kept = append(kept, m)
				if len(kept) > p.memory {
					kept, first = kept[1:], first+1
				}
				p.written++
				conn.Write(m.bytes(id)) // what goes wrong shows on the other side
				continue
			}
			if packet = p.wait(ended, silence); packet == nil {
				return false
			}
		}
		return p.react(packet, kept, first)
	}
}

// wait waits for the last word, or until nothing has moved for a while: on a busy
// machine the gateway may be at it for longer than old programs have patience.
func (p *program) wait(ended chan []byte, silence time.Duration) []byte {
	for before := (gateway.Stats{}); ; {
		select {
		case packet := <-ended:
			return packet
		case <-time.After(silence):
		}
		now := p.house.gateway.Stats()
		if now == before {
			return nil
		}
		before = now
	}
}

func (p *program) react(packet []byte, kept []message, first uint32) bool {
	if len(packet) < 6 {
		p.unknown++
		return len(p.line) > 0
	}
	at := int(int32(binary.BigEndian.Uint32(packet[2:]) - first))
	p.ahead = max(p.ahead, len(kept)-at)
	if at < 0 || at >= len(kept) {
		p.lost++
		p.line = append(p.line, kept...)
		return len(p.line) > 0
	}
	if packet[1] == 10 {
		p.shutdown++
	} else {
		p.failed[kept[at].number] = packet[1]
	}
	p.line = append(p.line, kept[at+1:]...)
	return len(p.line) > 0
}

func (h *house) program(memory, messages int) *program {
	p := &program{house: h, memory: memory}
	for i := range messages {
		p.line = append(p.line, newMessage(i))
	}
	return p
}

// checkOnce checks that every good message was accepted exactly once, and every
// bad one reported.
func (p *program) checkOnce(t testing.TB, messages int, bad func(int) bool, status byte) {
	t.Helper()
	t.Logf("%d messages, %d written on %d connections, %d ahead at most; %d packets named something forgotten, %d connections ended without one; gateway: %+v",
		messages, p.written, p.dials, p.ahead, p.lost, p.unknown, p.house.gateway.Stats())
	good := 0
	for i := range messages {
		if !bad(i) {
			good++
		}
	}
	accepted := p.house.accepted(good)
	lost, doubled := 0, 0
	for i := range messages {
		times := len(accepted[newMessage(i).device()])
		reported, failed := p.failed[i]
		switch {
		case bad(i) && (times > 0 || !failed || reported != status):
			t.Errorf("bad message %d was accepted %d times and reported as %d (%v)", i, times, reported, failed)
		case bad(i):
		case failed:
			t.Errorf("good message %d was reported as %d", i, reported)
		case times == 0:
			lost++
		case times > 1:
			doubled++
		}
	}
	if lost > 0 || doubled > 0 {
		t.Errorf("of %d good messages %d were lost and %d doubled", good, lost, doubled)
	}
}

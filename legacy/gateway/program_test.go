package gateway_test

import (
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"testing"
)

// program is an old provider, written from the protocol description and not from
// package legacy: it numbers what it writes on each connection from 0, keeps what
// it wrote, reports what an error packet names, and sends everything after it
// again, behind what is still in line, as npm's apn does.
type program struct {
	house  *house
	memory int            // how many notifications it remembers
	bad    func(int) bool // those that APNs does not take, by number

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

// run sends everything, and ends when all of it is judged.
func (p *program) run() {
	p.failed = map[int]byte{}
	for p.connection() {
	}
}

// connection is one connection; it says whether there has to be another.
func (p *program) connection() (more bool) {
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
	first, ended, owed := uint32(0), make(chan []byte, 1), false
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
				owed = owed || p.bad(m.number)
				conn.Write(m.bytes(id)) // what goes wrong shows on the other side
				continue
			}
			// The last word is a packet, if one is owed. Otherwise old programs
			// wait for as long as they have patience; what tells this one that
			// nothing will come is the end of the connection.
			if !owed {
				conn.CloseWrite()
			}
			packet = <-ended
		}
		return p.react(packet, kept, first)
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

func (h *house) program(memory, messages int, bad func(int) bool) *program {
	p := &program{house: h, memory: memory, bad: bad}
	for i := range messages {
		p.line = append(p.line, newMessage(i))
	}
	return p
}

// checkOnce checks that every good message was accepted exactly once, and every
// bad one reported.
func (p *program) checkOnce(t testing.TB, messages int, status byte) {
	t.Helper()
	t.Logf("%d messages, %d written on %d connections, %d ahead at most; %d packets named something forgotten, %d connections ended without one; gateway: %+v",
		messages, p.written, p.dials, p.ahead, p.lost, p.unknown, p.house.gateway.Stats())
	good := 0
	for i := range messages {
		if !p.bad(i) {
			good++
		}
	}
	accepted := p.house.accepted(good)
	lost, doubled := 0, 0
	for i := range messages {
		times := len(accepted[newMessage(i).device()])
		reported, failed := p.failed[i]
		switch {
		case p.bad(i) && (times > 0 || !failed || reported != status):
			t.Errorf("bad message %d was accepted %d times and reported as %d (%v)", i, times, reported, failed)
		case p.bad(i):
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

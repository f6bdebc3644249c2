package webpush

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"aviso.example/internal/memnet"
)

// rawPeer is a push service made of frames, to break rules one by one.
type rawPeer struct {
	t        testing.TB
	listener *memnet.Listener
	running  sync.WaitGroup
	script   func(c *rawConn, stream uint32) // called for each complete request

	mu    sync.Mutex
	whole int // requests that came whole
	conns int
	open  []net.Conn
}

// rawConn is one connection of it.
type rawConn struct {
	net.Conn
	*http2.Framer
	number int // of the connection, from 1
}

func startRaw(t testing.TB, script func(c *rawConn, stream uint32)) *rawPeer {
	return startRawWith(t, nil, script)
}

// startRawWith has serve for each connection, or a script for each request.
func startRawWith(t testing.TB, serve func(net.Conn), script func(c *rawConn, stream uint32)) *rawPeer {
	p := &rawPeer{t: t, listener: memnet.Listen("raw"), script: script}
	certificate, _ := testCA()
	p.running.Go(func() {
		for {
			c, err := p.listener.Accept()
			if err != nil {
				return
			}
			p.mu.Lock()
			p.conns++
			number := p.conns
			p.open = append(p.open, c)
			p.mu.Unlock()
			p.running.Go(func() {
				defer c.Close()
				secure := tls.Server(c, &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2"}})
				if serve != nil {
					serve(secure)
					return
				}
				p.serve(&rawConn{secure, http2.NewFramer(secure, secure), number})
			})
		}
	})
	t.Cleanup(func() {
		p.listener.Close()
		p.mu.Lock()
		for _, c := range p.open {
			c.Close()
		}
		p.mu.Unlock()
		p.running.Wait()
	})
	return p
}

func (p *rawPeer) serve(c *rawConn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(c.Conn, preface); err != nil || string(preface) != http2.ClientPreface {
		return
	}
	c.WriteSettings()
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return
		}
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			c.WriteSettingsAck()
		}
		if ping, ok := f.(*http2.PingFrame); ok && !ping.IsAck() {
			c.WritePing(true, ping.Data)
		}
		ended := false
		switch f := f.(type) {
		case *http2.HeadersFrame:
			ended = f.StreamEnded()
		case *http2.DataFrame:
			ended = f.StreamEnded()
		}
		if ended {
			p.mu.Lock()
			p.whole++
			p.mu.Unlock()
			p.script(c, f.Header().StreamID)
		}
	}
}

// counts returns the requests that came whole, and the connections.
func (p *rawPeer) counts() (whole, conns int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.whole, p.conns
}

// answer writes a response without body.
func (c *rawConn) answer(stream uint32, status string, fields ...string) {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.WriteField(hpack.HeaderField{Name: ":status", Value: status})
	for i := 0; i < len(fields); i += 2 {
		e.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]})
	}
	c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: b.Bytes(), EndHeaders: true, EndStream: true})
}

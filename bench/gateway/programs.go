package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/legacy"
)

const (
	// batch is how many frames a program writes at once: what fits into a TLS
	// record.
	batch = 64
	// dialling bounds the handshakes at one time.
	dialling = 32
	// finishWithin bounds the end of a connection.
	finishWithin = 20 * time.Second
)

// programs are old programs, each with one connection, written from the
// description of the protocol and not from package legacy: they count their
// notifications from 0, and when an error packet names one, go on behind it on
// another connection.
type programs struct {
	endpoint string
	tls      *tls.Config
	frames   []byte // of the ring, then the bad ones; identifiers 0
	size     int    // of a frame
	all      []*program
	idle     []net.Conn

	running  sync.WaitGroup
	finish   chan struct{}
	rejected atomic.Int64
	dials    atomic.Int64
	failed   atomic.Pointer[error]
}

// program is one of them.
type program struct {
	*programs
	conn *tls.Conn
}

func openPrograms(s settings) (role, []string, error) {
	identity, err := auth.LoadCertificate(filepath.Join(s.Dir, programFile), "")
	if err != nil {
		return nil, nil, err
	}
	roots, err := gatewayRoots(s)
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(roots)
	r := &programs{endpoint: s.Endpoint, tls: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{identity.TLS}, ServerName: "localhost"}}
	for i := range ring + badDevices {
		d := badDevice(i)
		if i < ring {
			d = device(i)
		}
		r.frames = appendFrame(r.frames, d)
	}
	r.size = len(r.frames) / (ring + badDevices)
	return r, nil, nil
}

// gatewayRoots is the certificate of the gateways, without its key.
func gatewayRoots(s settings) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(s.Dir, gatewayFile))
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(text)
	return pem.EncodeToMemory(block), nil
}

// identifierAt is where the identifier begins in a frame.
const identifierAt = 5 + 3

// appendFrame is command 2 with all but the expiration, the identifier first.
func appendFrame(b []byte, d [32]byte) []byte {
	size := 3 + 4 + 3 + len(d) + 3 + len(payload) + 3 + 1
	b = binary.BigEndian.AppendUint32(append(b, 2), uint32(size))
	b = append(b, 3, 0, 4, 0, 0, 0, 0)
	b = append(append(b, 1, 0, byte(len(d))), d[:]...)
	b = append(append(b, 2, byte(len(payload)>>8), byte(len(payload))), payload...)
	return append(b, 5, 0, 1, 10)
}

func (r *programs) answer(q question) (answer, error) {
	switch q.Op {
	case "open":
		r.all, r.finish = nil, make(chan struct{})
		r.rejected.Store(0)
		r.dials.Store(0)
		r.failed.Store(nil)
		conns, err := r.connect(q.Connections)
		for _, conn := range conns {
			r.all = append(r.all, &program{programs: r, conn: conn})
		}
		return answer{}, err
	case "send":
		for i, p := range r.all {
			from, to := i*q.N/len(r.all), (i+1)*q.N/len(r.all)
			r.running.Go(func() {
				if err := p.run(q, from, to); err != nil {
					r.failed.CompareAndSwap(nil, &err)
				}
			})
		}
		return answer{}, nil
	case "finish":
		close(r.finish)
		r.running.Wait()
		a := answer{Rejected: r.rejected.Load(), Dials: int(r.dials.Load())}
		if err := r.failed.Load(); err != nil {
			return a, *err
		}
		return a, nil
	case "idle":
		conns, err := r.connect(q.Connections)
		for i, conn := range conns {
			r.idle = append(r.idle, conn)
			if _, err := conn.Write(r.frames[i%ring*r.size : (i%ring+1)*r.size]); err != nil {
				return answer{}, err
			}
		}
		return answer{Dials: len(conns)}, err
	}
	return answer{}, fmt.Errorf("programs know no %q", q.Op)
}

// connect makes so many connections.
func (r *programs) connect(n int) ([]*tls.Conn, error) {
	conns := make([]*tls.Conn, n)
	var failed atomic.Pointer[error]
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(n, dialling) {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && failed.Load() == nil; i = int(next.Add(1)) - 1 {
				var err error
				if conns[i], err = r.dial(); err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return nil, *err
	}
	return conns, nil
}

func (r *programs) dial() (*tls.Conn, error) {
	r.dials.Add(1)
	return tls.DialWithDialer(&net.Dialer{Timeout: 10 * time.Second}, "tcp", r.endpoint, r.tls)
}

func (r *programs) close() {
	for _, conn := range r.idle {
		conn.Close()
	}
}

// run sends everything, on as many connections as it takes.
func (p *program) run(q question, from, to int) error {
	for {
		packet, err := p.connection(q, from, to)
		if err != nil || packet == nil {
			return err
		}
		at := int(binary.BigEndian.Uint32(packet[2:]))
		if packet[0] != 8 || packet[1] != 8 || at < from || at >= to || !q.bad(at) {
			return fmt.Errorf("an error packet %x of notifications %d to %d, which names no bad one", packet, from, to)
		}
		p.rejected.Add(1)
		from = at + 1
		if p.conn, err = p.dial(); err != nil {
			return err
		}
	}
}

// connection sends until an error packet comes or everybody is done.
func (p *program) connection(q question, from, to int) (packet []byte, err error) {
	conn := p.conn
	defer conn.Close()
	type ended struct {
		packet []byte
		err    error
	}
	end := make(chan ended, 1)
	go func() {
		b := make([]byte, 6)
		n, err := io.ReadFull(conn, b)
		if n == len(b) || errors.Is(err, io.EOF) {
			err = nil
		}
		end <- ended{b[:n], err}
		conn.NetConn().Close() // or a Write that waits would not learn of it
	}()
	out := make([]byte, 0, batch*p.size)
	for from < to && err == nil {
		out = out[:0]
		for range min(batch, to-from) {
			out = p.appendOne(out, q, from)
			from++
		}
		_, err = conn.Write(out)
	}
	if err == nil {
		select {
		case <-p.finish:
			conn.CloseWrite()
			conn.SetReadDeadline(time.Now().Add(finishWithin))
		case e := <-end:
			end <- e
		}
	}
	e := <-end
	switch {
	case len(e.packet) == 6:
		return e.packet, nil
	case err != nil || e.err != nil:
		return nil, errors.Join(err, e.err)
	case from < to:
		return nil, errors.New("the gateway ended a connection without a word")
	}
	return nil, nil
}

func (p *program) appendOne(out []byte, q question, i int) []byte {
	at := i % ring
	if q.bad(i) {
		at = ring + i%badDevices
	}
	begin := len(out)
	out = append(out, p.frames[at*p.size:(at+1)*p.size]...)
	binary.BigEndian.PutUint32(out[begin+identifierAt:], uint32(i))
	return out
}

// library sends with the client of package legacy.
type library struct {
	client *legacy.Client
	all    []apns.Notification
	sent   chan error
}

func openLegacy(s settings) (role, []string, error) {
	program, err := auth.LoadCertificate(filepath.Join(s.Dir, programFile), "")
	if err != nil {
		return nil, nil, err
	}
	roots, err := gatewayRoots(s)
	if err != nil {
		return nil, nil, err
	}
	r := &library{sent: make(chan error, 1)}
	r.client, err = legacy.New(legacy.Config{Certificate: program, Endpoint: s.Endpoint, ExtraRoots: roots})
	for i := range ring {
		r.all = append(r.all, apns.Notification{DeviceToken: hexDevice(device(i)), Payload: payload, Priority: apns.PriorityImmediate})
	}
	return r, nil, err
}

func (r *library) notifications(n int) iter.Seq[*apns.Notification] {
	return func(yield func(*apns.Notification) bool) {
		for i := range n {
			if !yield(&r.all[i%ring]) {
				return
			}
		}
	}
}

func (r *library) answer(q question) (answer, error) {
	switch q.Op {
	case "send":
		go func() {
			var failed error
			for result := range r.client.PushAll(context.Background(), r.notifications(q.N)) {
				if result.Outcome != apns.Accepted {
					failed = result.Err
				}
			}
			r.sent <- failed
		}()
		return answer{}, nil
	case "finish":
		return answer{Dials: 1}, <-r.sent
	}
	return answer{}, nil
}

func (r *library) close() { r.client.Close(context.Background()) }

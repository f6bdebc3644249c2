package main

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"sync"
)

// connectProxy is an HTTP proxy that can be killed and brought back at the same
// address.
type connectProxy struct {
	address string

	mu       sync.Mutex
	listener net.Listener
	conns    map[net.Conn]bool
	wg       sync.WaitGroup
}

// start listens; the first time on a port of the system's choice.
func (p *connectProxy) start() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	address := "127.0.0.1:0"
	if p.address != "" {
		address = p.address
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	p.address, p.listener, p.conns = l.Addr().String(), l, map[net.Conn]bool{}
	p.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			if p.keep(c) {
				p.wg.Go(func() { p.tunnel(c) })
			}
		}
	})
	return nil
}

// kill ends the proxy as kill -9 would: its port closes, its connections are
// reset in the middle.
func (p *connectProxy) kill() {
	p.mu.Lock()
	if p.listener != nil {
		p.listener.Close()
	}
	for c := range p.conns {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	p.listener, p.conns = nil, nil
	p.mu.Unlock()
	p.wg.Wait()
}

// keep notes a connection, or closes it if the proxy is dead.
func (p *connectProxy) keep(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *connectProxy) forget(c net.Conn) {
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
	c.Close()
}

func (p *connectProxy) tunnel(client net.Conn) {
	defer p.forget(client)
	req, err := http.ReadRequest(bufio.NewReader(client))
	if err != nil || req.Method != http.MethodConnect {
		return
	}
	server, err := net.Dial("tcp", req.Host)
	if err != nil {
		io.WriteString(client, "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
		return
	}
	if !p.keep(server) {
		return
	}
	defer p.forget(server)
	if _, err := io.WriteString(client, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		io.Copy(server, client)
		server.(*net.TCPConn).CloseWrite()
	})
	io.Copy(client, server)
	client.(*net.TCPConn).CloseWrite()
	wg.Wait()
}

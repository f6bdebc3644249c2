// Package listen bounds how many connections an HTTP server holds, so that callers
// cannot take the descriptors that the rest of the process needs.
package listen

import (
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounded is a listener that holds at most so many connections at a time. For one
// more it closes the connection on which nothing has been asked for the longest time;
// a client opens another when it needs one. Only while every connection is in the
// middle of a request does a new one wait.
type Bounded struct {
	net.Listener
	most int

	mu     sync.Mutex
	held   map[net.Conn]*standing
	change chan struct{} // closed and replaced when there may be room
	ended  chan struct{}
	once   sync.Once
}

// standing is what is known of a connection.
type standing struct {
	since time.Time
	busy  bool // in the middle of a request
}

// New bounds the connections of a listener. ConnState has to be the server's.
func New(l net.Listener, most int) *Bounded {
	return &Bounded{Listener: l, most: most, held: map[net.Conn]*standing{}, change: make(chan struct{}), ended: make(chan struct{})}
}

// Accept returns the next connection when there is room for it.
func (b *Bounded) Accept() (net.Conn, error) {
	conn, err := b.Listener.Accept()
	if err != nil {
		return nil, err
	}
	for {
		b.mu.Lock()
		if len(b.held) >= b.most {
			b.closeIdle()
		}
		if len(b.held) < b.most {
			b.held[conn] = &standing{since: time.Now()}
			b.mu.Unlock()
			return conn, nil
		}
		change := b.change
		b.mu.Unlock()
		select {
		case <-change:
		case <-b.ended:
			conn.Close()
			return nil, net.ErrClosed
		}
	}
}

// closeIdle closes the connection that nothing has been asked on for the longest
// time; b.mu is held.
func (b *Bounded) closeIdle() {
	var longest net.Conn
	for conn, s := range b.held {
		if !s.busy && (longest == nil || s.since.Before(b.held[longest].since)) {
			longest = conn
		}
	}
	if longest != nil {
		longest.Close()
		delete(b.held, longest)
	}
}

// ConnState is for [http.Server.ConnState].
func (b *Bounded) ConnState(conn net.Conn, state http.ConnState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.held[conn]
	if s == nil {
		return // it was closed to make room
	}
	switch state {
	case http.StateActive:
		s.busy = true
		return
	case http.StateIdle:
		s.busy, s.since = false, time.Now()
	case http.StateClosed, http.StateHijacked:
		delete(b.held, conn)
	}
	close(b.change)
	b.change = make(chan struct{})
}

// Close closes the listener.
func (b *Bounded) Close() error {
	b.once.Do(func() { close(b.ended) })
	return b.Listener.Close()
}

// Package listen bounds how many connections an HTTP server holds, so that callers
// cannot take the descriptors that the rest of the process needs.
package listen

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

// Bounded is a listener that holds at most so many connections at a time. For one
// more it closes the connection that has been of no use for the longest time: on which
// nothing is asked, or what is asked by somebody who has not shown that he may. A client
// opens another when it needs one. While each is in the middle of a request that [Work]
// was called for, or so new that its first may be on the way, a new one waits.
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
	since time.Time // when it came, or was last at work: what strangers ask does not count
	work  bool      // in the middle of a request of somebody who may ask
	idle  bool      // at least one has been answered, and none is under way
}

// New bounds the connections of a listener. ConnState and ConnContext have to be the
// server's.
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
		var wait <-chan time.Time
		if len(b.held) >= b.most {
			wait = b.closeIdle(time.Now())
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
		case <-wait:
		case <-b.ended:
			conn.Close()
			return nil, net.ErrClosed
		}
	}
}

// onItsWay is how long the first request of a connection may take to arrive, and how long
// one may take to say who asks, or the last of an answer to leave.
const onItsWay = 250 * time.Millisecond

// closeIdle closes the connection that nothing has been asked on for the longest
// time. If there is none it returns when there may be one, or nil if each is at work.
// b.mu is held.
func (b *Bounded) closeIdle(now time.Time) (wait <-chan time.Time) {
	var longest net.Conn
	for conn, s := range b.held {
		if !s.work && (longest == nil || s.since.Before(b.held[longest].since)) {
			longest = conn
		}
	}
	if longest == nil {
		return nil
	}
	if s := b.held[longest]; !s.idle && now.Sub(s.since) < onItsWay {
		return time.After(onItsWay - now.Sub(s.since))
	}
	longest.Close()
	delete(b.held, longest)
	return nil
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
		s.idle = false
		return
	case http.StateIdle:
		s.idle = true
	case http.StateClosed, http.StateHijacked:
		delete(b.held, conn)
	}
	close(b.change)
	b.change = make(chan struct{})
}

type workKey struct{}

// ConnContext is for [http.Server.ConnContext].
func (b *Bounded) ConnContext(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, workKey{}, func(begins bool) {
		b.mu.Lock()
		defer b.mu.Unlock()
		if s := b.held[conn]; s != nil {
			s.work, s.since = begins, time.Now()
		}
		if !begins {
			close(b.change)
			b.change = make(chan struct{})
		}
	})
}

// Work says that a request, whose context it gets, is of somebody who may ask, and that
// its connection is not to be closed for others until done is called. Without it a
// connection is held for nobody: strangers would have it for as long as they like, with
// a body that never comes or an answer that they do not take.
func Work(ctx context.Context) (done func()) {
	set, ok := ctx.Value(workKey{}).(func(bool))
	if !ok {
		return func() {} // the listener is not bounded
	}
	set(true)
	return func() { set(false) }
}

// Close closes the listener.
func (b *Bounded) Close() error {
	b.once.Do(func() { close(b.ended) })
	return b.Listener.Close()
}

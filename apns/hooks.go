package apns

import (
	"errors"
	"time"

	"aviso.example/internal/h2"
	"aviso.example/internal/pool"
)

// Hooks observe a client, for metrics and logs. Every field is optional. Hooks
// run on the goroutines that read from the connections: they must not block and
// must not call the client. Different hooks, and OnOutcome for notifications of
// different connections, may run at the same time.
type Hooks struct {
	// OnOutcome hears of every notification, once, with its outcome.
	OnOutcome func(*Notification, OutcomeEvent)
	// OnRetry hears of every attempt that will be followed by another.
	OnRetry func(*Notification, RetryEvent)
	// OnConnection hears of connections that come, fail and go.
	OnConnection func(ConnectionEvent)
}

// OutcomeEvent is the end of one notification.
type OutcomeEvent struct {
	Outcome Outcome
	Receipt Receipt
	// Err is what Push returns.
	Err error
	// Took is the time from handing in to the outcome, waiting and resends
	// included.
	Took time.Duration
}

// RetryEvent is an attempt that did not settle the matter.
type RetryEvent struct {
	// Attempt counts from 1.
	Attempt int
	// Status and Reason are set if APNs answered.
	Status int
	Reason Reason
	// Err says what happened if it did not.
	Err error
	// Delay is the wait before the next attempt.
	Delay time.Duration
}

// ConnectionEventKind names what happened to a connection.
type ConnectionEventKind string

// The kinds of ConnectionEvent.
const (
	Connected        ConnectionEventKind = "connected"      // TLS and ALPN are done
	ConnectFailed    ConnectionEventKind = "connect_failed" // Err says why
	ConnectionDrains ConnectionEventKind = "draining"       // takes nothing new; Err says why
	ConnectionClosed ConnectionEventKind = "closed"         // Err says why, if it was not drained
)

// ConnectionEvent is something that happened to a connection.
type ConnectionEvent struct {
	Kind ConnectionEventKind
	// Connection numbers the client's attempts to connect from 1.
	Connection int
	// Remote is the address of the APNs server, if known.
	Remote string
	// Err is a *ConnectError, a *GoAwayError, or what the network said.
	Err error
	// Took is the time the attempt took, or how long the connection lived.
	Took time.Duration
	// Answered counts the requests that this connection has had answered.
	Answered uint64
}

func (c *Client) connectionEvent(e pool.Event) {
	kind := map[pool.EventKind]ConnectionEventKind{
		pool.Dialled: Connected, pool.DialFailed: ConnectFailed,
		pool.Draining: ConnectionDrains, pool.Closed: ConnectionClosed,
	}[e.Kind]
	err := translate(e.Err)
	if errors.Is(e.Err, h2.ErrClosed) && !c.closing.Load() {
		err = nil // it was retired, and the Draining event said why
	}
	event := ConnectionEvent{
		Kind: kind, Connection: e.Conn, Remote: e.Remote, Err: err,
		Took: e.Took, Answered: e.Status.Answered,
	}
	args := []any{"connection", event.Connection, "endpoint", c.where.address()}
	if event.Remote != "" {
		args = append(args, "remote", event.Remote)
	}
	if event.Err != nil {
		args = append(args, "err", event.Err)
	}
	switch kind {
	case Connected:
		c.cfg.Logger.Info("connected to APNs", append(args, "took", event.Took)...)
	case ConnectFailed:
		c.cfg.Logger.Warn("no connection to APNs", append(args, "took", event.Took)...)
	case ConnectionDrains:
		c.cfg.Logger.Info("connection to APNs takes no more requests", append(args, "answered", event.Answered)...)
	case ConnectionClosed:
		c.cfg.Logger.Info("connection to APNs closed", append(args, "answered", event.Answered, "age", event.Took)...)
	}
	if c.cfg.Hooks.OnConnection != nil {
		c.cfg.Hooks.OnConnection(event)
	}
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
)

// puller takes the messages of a consumer, one at a time.
//
// Its inbox is there as long as it is, so what the log hands out always arrives.
// A client that asks, waits for a while and asks again has no inbox in between: a
// message that is sent to it then is nobody's until its lease runs out, which was
// half a minute in which a notification waited for nothing.
type puller struct {
	store   *store
	subject string // to ask at
	request []byte
	lease   time.Duration
	silence time.Duration // after which nothing will come any more

	inbox   string // and a number, by which the answers to old requests are told
	asks    int
	sub     *nats.Subscription
	turn    context.Context // in which it was asked
	pending bool            // something is asked for
	since   time.Time       // when it was; a lease that it leads to began no earlier
	heard   time.Time       // when something was last heard of it
}

const (
	// pullExpiry is how long the log keeps a request that it has nothing for. On a
	// cluster it is half a lease at most: a lease can have begun when it was asked for.
	pullExpiry = 20 * time.Second
	// pullHeartbeat is how often the servers of a cluster say that they have not
	// forgotten a request; a new leader has.
	pullHeartbeat = time.Second
	// pullSlack is how much later than announced an answer may come.
	pullSlack = 2 * time.Second
)

// errConsumerGone: the queue was deleted.
var errConsumerGone = errors.New("the queue is gone")

// puller returns one for a consumer of a stream. Close it.
func (e *Engine) puller(stream, consumer string) (*puller, error) {
	s, expires := e.store, pullExpiry
	if !s.embedded() {
		expires = min(expires, e.cfg.Lease/2)
	}
	p := &puller{store: s, subject: fmt.Sprintf("$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, consumer), lease: e.cfg.Lease, silence: expires + pullSlack}
	ask := struct {
		Batch     int           `json:"batch"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
	}{Batch: 1, Expires: expires}
	if !s.embedded() && expires >= 2*pullHeartbeat {
		ask.Heartbeat, p.silence = pullHeartbeat, pullHeartbeat+pullSlack
	}
	var err error
	if p.request, err = json.Marshal(ask); err != nil {
		return nil, err
	}
	return p, p.listen()
}

// listen takes an inbox.
func (p *puller) listen() (err error) {
	p.inbox = p.store.conn.NewInbox() + "."
	p.sub, err = p.store.conn.SubscribeSync(p.inbox + "*")
	return err
}

// giveUp takes a request for lost. On a cluster it may not be: what it leads to is
// leased from then on, comes when that is long over, and is somebody else's by now.
// So nobody listens to it any more.
func (p *puller) giveUp() error {
	p.pending = false
	if p.store.embedded() {
		return nil
	}
	p.sub.Unsubscribe()
	return p.listen()
}

// close gives back what comes when nobody wants it any more, or other engines would
// have to wait until its lease is over.
func (p *puller) close() {
	if p.pending && !p.store.embedded() && p.sub.Drain() == nil {
		p.store.conn.FlushTimeout(pullSlack)
		if msg, err := p.sub.NextMsg(time.Millisecond); err == nil && msg.Reply != "" && time.Since(p.since) < p.lease {
			msg.Nak()
		}
	}
	p.sub.Unsubscribe()
}

// next waits for a message, and returns since when its lease may run. Other errors
// than ctx's and errConsumerGone pass.
func (p *puller) next(ctx context.Context) (*nats.Msg, time.Time, error) {
	for {
		if turn := p.store.turn(); turn != p.turn {
			p.turn, p.pending = turn, false // what was asked before is forgotten
		}
		if !p.pending {
			p.asks++
			p.since = time.Now()
			p.heard, p.pending = p.since, true
			if err := p.store.conn.PublishRequest(p.subject, p.reply(), p.request); err != nil {
				p.pending = false
				return nil, time.Time{}, err
			}
		}
		msg, err := p.wait(ctx)
		switch {
		case err == nil:
		case ctx.Err() != nil:
			return nil, time.Time{}, context.Cause(ctx)
		default:
			if err := p.giveUp(); err != nil {
				return nil, time.Time{}, err
			}
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				continue // nothing was heard of it, or the log was opened again
			}
			return nil, time.Time{}, err
		}
		if status := msg.Header.Get("Status"); status == "" || len(msg.Data) > 0 {
			p.pending = false
			return msg, p.since, nil
		} else if msg.Subject != p.reply() {
			continue // about an old one
		} else if status == "100" {
			p.heard = time.Now() // a heartbeat
			continue
		} else if err := p.refused(ctx, status, msg.Header.Get("Description")); err != nil {
			return nil, time.Time{}, err
		}
	}
}

func (p *puller) reply() string { return p.inbox + strconv.Itoa(p.asks) }

// wait returns what comes next.
func (p *puller) wait(ctx context.Context) (*nats.Msg, error) {
	ctx, leave := untilEither(ctx, p.turn)
	defer leave()
	ctx, cancel := context.WithDeadline(ctx, p.heard.Add(p.silence))
	defer cancel()
	return p.sub.NextMsgWithContext(ctx)
}

// refused takes note that a request is over without a message.
func (p *puller) refused(ctx context.Context, status, description string) error {
	p.pending = false
	switch {
	case status == "404", status == "408": // nothing came within its time
		return nil
	case description == "Consumer Deleted":
		return errConsumerGone
	case status == "503": // nobody is there to be asked
		return nats.ErrNoResponders
	}
	pause(ctx, staleRead) // a leader that steps down, for one
	return ctx.Err()
}

package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
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
	silence time.Duration // after which nothing will come any more

	inbox string // and a number, by which the answers to old requests are told
	asks  int
	sub   *nats.Subscription
	turn  context.Context // in which it was asked
	asked time.Time       // zero: nothing is asked for
}

const (
	// pullExpiry is how long the log keeps a request that it has nothing for.
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
func (s *store) puller(stream, consumer string) (*puller, error) {
	p := &puller{store: s, subject: fmt.Sprintf("$JS.API.CONSUMER.MSG.NEXT.%s.%s", stream, consumer), silence: pullExpiry + pullSlack}
	ask := struct {
		Batch     int           `json:"batch"`
		Expires   time.Duration `json:"expires"`
		Heartbeat time.Duration `json:"idle_heartbeat,omitempty"`
	}{Batch: 1, Expires: pullExpiry}
	if !s.embedded() {
		ask.Heartbeat, p.silence = pullHeartbeat, pullHeartbeat+pullSlack
	}
	var err error
	if p.request, err = json.Marshal(ask); err != nil {
		return nil, err
	}
	p.inbox = s.conn.NewInbox() + "."
	p.sub, err = s.conn.SubscribeSync(p.inbox + "*")
	return p, err
}

// close gives back what came when nobody wanted any more, or other engines would have
// to wait until its lease is over.
func (p *puller) close() {
	for msg := range p.unasked() {
		if msg.Reply != "" {
			msg.Nak()
		}
	}
	p.sub.Unsubscribe()
}

// unasked takes what has come while nobody asked; on an embedded log that cannot be.
func (p *puller) unasked() iter.Seq[*nats.Msg] {
	return func(yield func(*nats.Msg) bool) {
		for !p.store.embedded() {
			msg, err := p.sub.NextMsg(0)
			if err != nil || !yield(msg) {
				return
			}
		}
	}
}

// next waits for a message. Other errors than ctx's and errConsumerGone pass.
func (p *puller) next(ctx context.Context) (*nats.Msg, error) {
	for {
		if turn := p.store.turn(); turn != p.turn {
			p.turn, p.asked = turn, time.Time{} // what was asked before is forgotten
		}
		if p.asked.IsZero() {
			p.forgetOld()
			p.asks++
			if err := p.store.conn.PublishRequest(p.subject, p.reply(), p.request); err != nil {
				return nil, err
			}
			p.asked = time.Now()
		}
		msg, err := p.wait(ctx)
		switch {
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case err != nil:
			p.asked = time.Time{}
			if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
				continue // nothing was heard of it, or the log was opened again
			}
			return nil, err
		}
		if status := msg.Header.Get("Status"); status == "" || len(msg.Data) > 0 {
			p.asked = time.Time{}
			return msg, nil
		} else if msg.Subject != p.reply() {
			continue // about an old one
		} else if status == "100" {
			p.asked = time.Now() // a heartbeat
			continue
		} else if err := p.refused(ctx, status, msg.Header.Get("Description")); err != nil {
			return nil, err
		}
	}
}

func (p *puller) reply() string { return p.inbox + strconv.Itoa(p.asks) }

// forgetOld throws away what came while nobody asked: on a cluster, in answer to a
// request that was taken for lost. It was leased then, and may be somebody else's by
// now; it comes again when its lease is over.
func (p *puller) forgetOld() {
	for range p.unasked() {
	}
}

// wait returns what comes next.
func (p *puller) wait(ctx context.Context) (*nats.Msg, error) {
	ctx, leave := untilEither(ctx, p.turn)
	defer leave()
	ctx, cancel := context.WithDeadline(ctx, p.asked.Add(p.silence))
	defer cancel()
	return p.sub.NextMsgWithContext(ctx)
}

// refused takes note that a request is over without a message.
func (p *puller) refused(ctx context.Context, status, description string) error {
	p.asked = time.Time{}
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

package liveactivity

import (
	"context"
	"errors"
	"sync"

	"aviso.example/apns"
	"aviso.example/broadcast"
)

// Broadcast is one event that many Live Activities follow through a channel, each
// on its device. S is the app's content state. It is safe for concurrent use; no
// call waits for another.
type Broadcast[S any] struct {
	cfg     Config
	channel broadcast.Channel

	mu    sync.Mutex
	clock clock
	phase Phase
}

// OnChannel makes the keeper of an event on a channel. last is the timestamp of
// the last message that was sent there, in UNIX seconds, or 0; see Timestamp.
func OnChannel[S any](cfg Config, channel broadcast.Channel, last int64) (*Broadcast[S], error) {
	if cfg.Sender == nil {
		return nil, errors.New("liveactivity: Config.Sender is missing: it is the *apns.Client that sends")
	}
	if p := apns.CheckChannelID(channel.ID); p != nil {
		return nil, &apns.InvalidError{Problems: []apns.Problem{*p}}
	}
	if channel.BundleID == "" {
		channel.BundleID = cfg.BundleID
	}
	return &Broadcast[S]{cfg: cfg, channel: channel, clock: newClock(cfg.Now, last), phase: Running}, nil
}

// Timestamp returns that of the last message, for OnChannel after a restart.
func (b *Broadcast[S]) Timestamp() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.clock.last
}

// Update sends a new state to every device that listens, complete and not a
// difference. After End it returns ErrEnded.
func (b *Broadcast[S]) Update(ctx context.Context, state S, o UpdateOptions) (apns.Receipt, error) {
	return b.send(ctx, &message[S]{state: state, update: o})
}

// End ends the activity on every device that listens. It is sent once, by whoever
// comes first; others get ErrEnded. After NotSent, Rejected or Unknown it may be
// called again. The channel stays, for another event or for
// broadcast.Manager.Delete.
func (b *Broadcast[S]) End(ctx context.Context, state S, o EndOptions) (apns.Receipt, error) {
	return b.send(ctx, &message[S]{state: state, end: &o})
}

func (b *Broadcast[S]) send(ctx context.Context, m *message[S]) (apns.Receipt, error) {
	b.mu.Lock()
	if b.phase != Running {
		b.mu.Unlock()
		return apns.Receipt{}, ErrEnded
	}
	if m.end != nil {
		b.phase = Ending
	}
	m.timestamp = b.clock.next()
	b.mu.Unlock()

	receipt, err := b.push(ctx, m)
	if m.end == nil {
		return receipt, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.phase = Ended; err != nil {
		b.phase = Running
	}
	return receipt, err
}

func (b *Broadcast[S]) push(ctx context.Context, m *message[S]) (apns.Receipt, error) {
	n, err := b.channel.Notification(m.payload(), m.priority(), m.expiration())
	if err != nil {
		return apns.Receipt{}, notSent(err)
	}
	return b.cfg.Sender.Push(ctx, n)
}

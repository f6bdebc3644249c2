package gateway

import (
	"errors"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"aviso.example/apns"
	"aviso.example/internal/proto"
	"aviso.example/legacy"
)

const (
	// mostInFlight bounds the notifications of a provider that were read and have
	// no verdict, on all its connections.
	mostInFlight = 1 << 14
	// holdMin and holdMax bound the pauses while nothing can be sent.
	holdMin, holdMax = time.Second, 30 * time.Second
)

// route takes the notifications of one provider to APNs.
//
// One goroutine feeds apns.Client.PushAll, another takes its outcomes. When
// trouble comes that is nobody's notification's fault, the route holds: it pauses,
// longer and longer, and then sends a single one to see whether it is over. What
// was read stays; since the connections' windows fill up meanwhile, nothing more
// is read.
type route struct {
	g        *Gateway
	name     string
	log      *slog.Logger
	settings atomic.Pointer[Provider]
	credit   *semaphore.Weighted // mostInFlight slots
	ledger   ledger
	sessions int          // guarded by the gateway's mutex
	readers  atomic.Int32 // connections to the feedback port

	incoming slotStack // for the first time
	returned slotStack // held, to be sent again
	ready    chan struct{}
	line     slotLine // the feeding goroutine's

	troubled atomic.Bool // hold has something to say
	hold     holding

	mu      sync.Mutex     // guards what a change of the configuration changes
	stop    chan struct{}  // ends the feeding of the present client
	fed     chan struct{}  // closed when it has ended
	running sync.WaitGroup // PushAlls
}

// holding says when a route that is in trouble may try again.
type holding struct {
	mu      sync.Mutex
	pause   time.Duration // the last; 0 if there is no trouble
	until   time.Time
	probing bool // one is under way
}

func newRoute(g *Gateway, p *Provider) *route {
	return &route{
		g: g, name: p.Name, log: g.cfg.Logger.With("provider", p.Name),
		credit: semaphore.NewWeighted(mostInFlight), ready: make(chan struct{}, 1),
	}
}

func (r *route) maxPayload() int {
	if r.settings.Load().PushType == apns.PushTypeVoIP {
		return proto.MaxPayloadVoIP
	}
	return proto.MaxPayload
}

// use sends through another client from now on. What the one before has under way
// ends there. It does not wait: a client that cannot take more right now may hold
// its feeding up for a minute.
func (r *route) use(p *Provider, client *apns.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end()
	r.settings.Store(p)
	before := r.fed
	r.stop, r.fed = make(chan struct{}), make(chan struct{})
	r.trusted() // new settings may have ended the trouble
	r.running.Add(1)
	go r.run(client, r.feed(before, r.stop, r.fed))
}

// end stops the feeding of the present client.
func (r *route) end() {
	if r.stop != nil {
		close(r.stop)
		r.stop = nil
	}
}

// run is the life of one client.
func (r *route) run(client *apns.Client, input iter.Seq[*apns.Notification]) {
	defer r.running.Done()
	for result := range client.PushAll(r.g.ctx, input) {
		r.settle(&result)
	}
	client.Close(r.g.ctx)
}

// submit sends a slot for the first time. Nobody else knows it yet.
func (r *route) submit(s *slot) {
	s.state.Store(slotQueued)
	r.incoming.push(s)
	r.nudge()
}

// again sends a slot that is slotSent once more.
func (r *route) again(s *slot) {
	if !s.state.CompareAndSwap(slotSent, slotQueued) {
		r.ledger.unsent(s)
		return
	}
	r.returned.push(s)
	r.nudge()
}

func (r *route) nudge() {
	select {
	case r.ready <- struct{}{}:
	default:
	}
}

// feed is the input of PushAll: it begins when the one before has ended, and ends
// when stop is closed, however much there is to send.
func (r *route) feed(before, stop <-chan struct{}, fed chan<- struct{}) iter.Seq[*apns.Notification] {
	return func(yield func(*apns.Notification) bool) {
		defer close(fed)
		if before != nil {
			<-before
		}
		timer := time.NewTimer(time.Hour)
		defer timer.Stop()
		for {
			select {
			case <-stop:
				return
			default:
			}
			s := r.take()
			if s != nil {
				if !yield(&s.n) {
					return
				}
				continue
			}
			timer.Reset(r.pause())
			select {
			case <-stop:
				return
			case <-r.g.ctx.Done():
				return
			case <-r.ready:
			case <-timer.C:
			}
		}
	}
}

// take returns the next slot to send, now slotSent, or nil if there is none, or
// none may be sent.
func (r *route) take() *slot {
	r.line.append(r.incoming.takeAll())
	r.line.prepend(r.returned.takeAll())
	now := r.g.now()
	for r.line.first != nil {
		s := r.line.first
		over := r.giveUp(s, now)
		if !over && s.state.Load() == slotQueued && !r.mayTry(now) {
			return nil
		}
		r.line.pop()
		if !s.state.CompareAndSwap(slotQueued, slotSent) { // slotDropped
			r.spare()
			s.free()
			r.credit.Release(1)
			continue
		}
		if !over {
			return s
		}
		v := verdict{}
		if !s.overdue(now) {
			v = verdict{legacy.StatusProcessingError, errHeld}
		}
		s.decide(v)
	}
	return nil
}

var errHeld = errors.New("it could not be sent for too long")

// giveUp says whether a slot is not worth sending any more: its expiration has
// passed while it was held, or it was held for too long.
func (r *route) giveUp(s *slot, now time.Time) bool {
	return s.overdue(now) || now.Sub(s.read) > r.g.cfg.HoldTime
}

func (s *slot) overdue(now time.Time) bool {
	at, ok := s.n.Expiration.Time()
	return ok && !at.After(now)
}

// settle takes an outcome.
func (r *route) settle(result *apns.Result) {
	if r.g.ctx.Err() != nil {
		return // the sessions have ended
	}
	s := result.Notification.Tag.(*slot)
	v, what := judge(result)
	switch what {
	case held:
		if s.overdue(r.g.now()) && errors.Is(result.Err, apns.ErrNoTime) {
			// It says nothing about the others. APNs would have dropped it too.
			r.spare()
			s.decide(verdict{})
			return
		}
		r.distrust(v.why)
		r.again(s)
		return
	case gone:
		r.trusted()
		rejected, _ := errors.AsType[*apns.RejectedError](result.Err)
		if !rejected.Since.IsZero() {
			r.g.counts.unregistered.Add(1)
			r.g.feedback.add(r.name, s.n.DeviceToken, rejected.Since)
		}
	default:
		switch result.Outcome {
		case apns.Accepted:
			r.trusted()
			r.g.counts.accepted.Add(1)
		case apns.Rejected:
			r.trusted()
		default:
			r.spare() // APNs has said nothing
		}
	}
	if v.status == legacy.StatusInvalidDeviceToken && len(s.n.DeviceToken) != 2*proto.BinaryDeviceTokenBytes {
		v.status = legacy.StatusInvalidDeviceTokenSize
	}
	s.decide(v)
}

// mayTry says whether something may be sent now. In trouble that is one, after
// each pause.
func (r *route) mayTry(now time.Time) bool {
	if !r.troubled.Load() {
		return true
	}
	h := &r.hold
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pause == 0 {
		return true
	}
	if h.probing || now.Before(h.until) {
		return false
	}
	h.probing = true
	return true
}

// spare takes back what mayTry allowed.
func (r *route) spare() {
	if r.troubled.Load() {
		r.hold.mu.Lock()
		r.hold.probing = false
		r.hold.mu.Unlock()
	}
}

// pause is how long to wait before looking again unasked.
func (r *route) pause() time.Duration {
	if !r.troubled.Load() {
		return time.Hour
	}
	r.hold.mu.Lock()
	defer r.hold.mu.Unlock()
	if r.hold.probing {
		return time.Hour // its outcome will say
	}
	return max(r.hold.until.Sub(r.g.now()), time.Millisecond)
}

// distrust notes trouble. Only the first of a pause counts: many were under way.
func (r *route) distrust(why error) {
	h, now := &r.hold, r.g.now()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.pause > 0 && now.Before(h.until) {
		return
	}
	h.pause = min(max(2*h.pause, holdMin), holdMax)
	h.until, h.probing = now.Add(h.pause), false
	r.troubled.Store(true)
	r.log.Warn("nothing can be sent; what was read is kept and nothing more is read", "again_in", h.pause, "because", why)
}

// trusted notes that APNs has judged a notification.
func (r *route) trusted() {
	if !r.troubled.Load() {
		return
	}
	r.hold.mu.Lock()
	r.hold.pause, r.hold.probing = 0, false
	r.troubled.Store(false)
	r.hold.mu.Unlock()
	r.log.Info("notifications are sent again")
	r.nudge()
}

// close ends the route when everything that was read is judged, which takes no
// longer than it may be held, or when the time to shut down has run out.
func (r *route) close() {
	// For good: nothing more is read.
	if r.credit.Acquire(r.g.late, mostInFlight) != nil && !r.credit.TryAcquire(mostInFlight) {
		r.g.counts.restless.Store(true)
	}
	r.mu.Lock()
	r.end()
	r.mu.Unlock()
	r.running.Wait()
}

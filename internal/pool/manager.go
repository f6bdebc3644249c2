package pool

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"slices"
	"time"

	"aviso.example/internal/h2"
)

// member is a connection and what the manager knows of it.
type member struct {
	conn     *h2.Conn
	number   int
	remote   string
	born     time.Time
	maxAge   time.Duration
	proven   bool // has answered a request
	judged   bool // its end has been counted
	draining bool
	cutAt    time.Time // when a draining connection is cut off
	aged     bool      // to be replaced, but still serving
	oneSince time.Time // at one stream, with calls waiting, since
}

// attempt is the result of a dial.
type attempt struct {
	number int
	nc     net.Conn
	err    error
	took   time.Duration
}

// manager is the state of the goroutine that looks after the connections.
type manager struct {
	p *Pool

	number    int // of the last attempt
	dialling  bool
	failures  int // attempts in a row that led to no answer
	lastErr   error
	permanent bool
	downSince time.Time
	nextDial  time.Time
	budget    float64
	budgetAt  time.Time

	busySince time.Time // the queue has had calls, and no connection room, since
	emptied   uint64    // as it was then
}

// run looks after the connections until the pool is closed and all have ended.
func (m *manager) run() {
	defer close(m.p.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	closing := m.p.ctx.Done()
	for {
		wait := m.look(time.Now())
		if closing == nil && len(m.p.members) == 0 && !m.dialling {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-m.p.signal:
		case a := <-m.p.dialled:
			m.arrived(a)
		case <-closing:
			closing = nil
			for _, mb := range m.p.members {
				mb.conn.Drain()
			}
		}
	}
}

// look does everything that is due and returns how long nothing else will be.
func (m *manager) look(now time.Time) time.Duration {
	p := m.p
	wait := time.Minute
	soon := func(t time.Time) {
		if !t.IsZero() {
			// Never less than a moment: what is overdue but waits for something
			// else must not make the manager spin.
			wait = max(time.Millisecond, min(wait, t.Sub(now)))
		}
	}

	// Whoever submits from here on without finding a hungry connection pokes
	// again, unless watching is set once more below.
	p.watching.Store(false)
	expired, next := p.queue.sweep(now)
	p.fail(expired, m.why(ErrExpired))
	load := p.queue.load()

	serving, warming := 0, 0
	for _, mb := range slices.Clone(p.members) {
		st := mb.conn.Status()
		select {
		case <-mb.conn.Done():
			m.ended(mb, st, now)
			continue
		default:
		}
		m.watch(mb, st, load, now, soon)
		m.prove(mb, st)
		if mb.draining || mb.aged {
			continue
		}
		serving++
		if !st.Ready || st.Answered == 0 {
			warming++
		}
	}
	if p.closed.Load() {
		return wait
	}

	if serving == 0 && !m.dialling && m.failures > 0 && load.queued > 0 &&
		(m.permanent || now.Sub(m.downSince) >= p.cfg.ConnectWait) && now.Before(m.nextDial) {
		p.fail(p.queue.clear(false), &WaitError{m.lastErr, m.permanent})
		load.queued = 0
	}

	m.replaceAged(serving)
	switch {
	case m.dialling || load.queued == 0:
		m.busySince = time.Time{}
	case serving == 0:
		m.dial(now, soon)
		if m.failures > 0 {
			soon(m.downSince.Add(p.cfg.ConnectWait))
		}
	case warming > 0 || load.hungry > 0 || serving >= p.cfg.MaxConns:
		m.busySince = time.Time{}
	case m.busySince.IsZero() || load.emptied != m.emptied:
		m.busySince, m.emptied = now, load.emptied
		soon(now.Add(growAfter))
	case now.Sub(m.busySince) >= growAfter:
		m.busySince = time.Time{}
		m.dial(now, soon)
	default:
		soon(m.busySince.Add(growAfter))
	}

	if load.queued > 0 {
		p.watching.Store(true)
		soon(now.Add(growAfter))
		p.queue.offer() // a hungry connection may have been woken just as it began to drain
	}
	soon(next)
	return wait
}

// watch retires a connection that should not go on.
func (m *manager) watch(mb *member, st h2.Status, load load, now time.Time, soon func(time.Time)) {
	p := m.p
	age := now.Sub(mb.born)
	if st.Limit > 1 || load.queued == 0 || !st.Ready {
		mb.oneSince = time.Time{}
	} else if mb.oneSince.IsZero() {
		mb.oneSince = now
	}
	var why error
	switch {
	case mb.draining:
		if !now.Before(mb.cutAt) {
			mb.conn.Abort(errDrainTimeout)
			return
		}
		soon(mb.cutAt)
		return
	case st.Draining:
		why = errEnding
		if st.GoAway != nil {
			why = st.GoAway
			m.judge(mb, st, now) // before anyone dials into the same refusal
		}
	case st.Suspect:
		why = errSuspect
	case !mb.oneSince.IsZero() && now.Sub(mb.oneSince) >= stuckAfter:
		why = errStuck
	case st.Open == 0 && st.SinceAnswer >= p.cfg.IdleTimeout && m.spare():
		why = errIdle
	case age >= mb.maxAge && !mb.aged:
		mb.aged = true
	}
	if why == nil {
		if !mb.oneSince.IsZero() {
			soon(mb.oneSince.Add(stuckAfter))
		}
		return
	}
	m.retire(mb, why, now)
	soon(mb.cutAt)
}

// Why the manager retired a connection.
var (
	errEnding       = errors.New("it takes no more requests")
	errSuspect      = errors.New("several requests in a row were not answered")
	errStuck        = errors.New("its stream limit stayed at one")
	errIdle         = errors.New("it was not needed")
	errAged         = errors.New("it was old")
	errDrainTimeout = errors.New("its last requests were not answered")
)

func (m *manager) retire(mb *member, why error, now time.Time) {
	mb.draining = true
	mb.cutAt = now.Add(m.p.cfg.DrainTimeout)
	mb.conn.Drain()
	m.p.queue.mu.Lock()
	m.p.queue.starve(mb.conn)
	m.p.queue.mu.Unlock()
	m.event(Event{Kind: Draining, Conn: mb.number, Remote: mb.remote, Err: why, Took: now.Sub(mb.born), Status: mb.conn.Status()})
}

// spare says that a connection beyond the first is serving.
func (m *manager) spare() bool {
	n := 0
	for _, mb := range m.p.members {
		if !mb.draining && !mb.aged {
			n++
		}
	}
	return n > 1
}

// replaceAged retires old connections once others serve. Without any, the last
// one serves on until the next call makes a new one necessary.
func (m *manager) replaceAged(serving int) {
	for _, mb := range m.p.members {
		if mb.aged && !mb.draining {
			st := mb.conn.Status()
			if serving > 0 || st.Open == 0 {
				m.retire(mb, errAged, time.Now())
			}
		}
	}
}

// ended removes a connection and draws the consequences.
func (m *manager) ended(mb *member, st h2.Status, now time.Time) {
	p := m.p
	p.mu.Lock()
	p.members = slices.DeleteFunc(p.members, func(o *member) bool { return o == mb })
	p.stats.Closed++
	p.mu.Unlock()
	p.queue.mu.Lock()
	p.queue.starve(mb.conn)
	p.queue.mu.Unlock()
	m.event(Event{Kind: Closed, Conn: mb.number, Remote: mb.remote, Err: st.Err, Took: now.Sub(mb.born), Status: st})
	if p.closed.Load() || errors.Is(st.Err, h2.ErrClosed) && st.GoAway == nil {
		return
	}
	m.prove(mb, st)
	m.judge(mb, st, now)
}

// judge decides, once per connection, whether its end speaks against another
// attempt.
func (m *manager) judge(mb *member, st h2.Status, now time.Time) {
	err := st.Err
	if st.GoAway != nil {
		err = st.GoAway
	}
	if !mb.judged && (st.Answered == 0 || m.p.cfg.Permanent(err)) {
		m.failed(err, now)
	}
	mb.judged = true
}

// failed notes an attempt that led to no answer.
func (m *manager) failed(err error, now time.Time) {
	m.failures++
	m.lastErr, m.permanent = err, m.p.cfg.Permanent(err)
	if m.downSince.IsZero() {
		m.downSince = now
	}
	pause := backoffMax
	if m.failures < 7 {
		pause = min(backoffMax, backoffMin<<(m.failures-1))
	}
	m.nextDial = now.Add(pause/2 + rand.N(pause/2))
}

// prove notes, once per connection, that the endpoint answers. Once, because an
// old connection that still drains says nothing about new ones.
func (m *manager) prove(mb *member, st h2.Status) {
	if mb.proven || st.Answered == 0 {
		return
	}
	mb.proven = true
	m.failures, m.permanent, m.downSince, m.nextDial = 0, false, time.Time{}, time.Time{}
}

// why adds the last failure to the reason a call was given up, if there is no
// connection because of it.
func (m *manager) why(err error) error {
	if m.failures > 0 && m.lastErr != nil {
		return errors.Join(err, &WaitError{m.lastErr, m.permanent})
	}
	return err
}

// dial starts an attempt unless it is too early for one.
func (m *manager) dial(now time.Time, soon func(time.Time)) {
	m.budget = min(dialBurst, m.budget+float64(now.Sub(m.budgetAt))/float64(dialEvery))
	m.budgetAt = now
	if now.Before(m.nextDial) {
		soon(m.nextDial)
		return
	}
	if m.budget < 1 {
		soon(now.Add(time.Duration((1-m.budget)*float64(dialEvery)) + 1))
		return
	}
	m.budget--
	m.number++
	m.dialling = true
	p, number := m.p, m.number
	p.mu.Lock()
	p.stats.Dials++
	p.mu.Unlock()
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, p.cfg.DialTimeout)
		defer cancel()
		nc, err := p.cfg.Dial(ctx)
		p.dialled <- attempt{number, nc, err, time.Since(now)}
	}()
}

// arrived takes the result of an attempt.
func (m *manager) arrived(a attempt) {
	p, now := m.p, time.Now()
	m.dialling = false
	var cfg h2.Config
	if a.err == nil {
		if cfg, a.err = p.cfg.Setup(); a.err != nil {
			a.nc.Close()
		}
	}
	if a.err == nil && p.closed.Load() {
		a.nc.Close()
		return
	}
	if a.err != nil {
		if !p.closed.Load() {
			p.mu.Lock()
			p.stats.DialFailures++
			p.mu.Unlock()
			m.failed(a.err, now)
			m.event(Event{Kind: DialFailed, Conn: a.number, Err: a.err, Took: a.took})
		}
		return
	}
	cfg.Source, cfg.Handler = &p.queue, handler{p}
	mb := &member{
		number: a.number, remote: a.nc.RemoteAddr().String(), born: now,
		maxAge: p.cfg.MaxAge - p.cfg.MaxAge/10 + rand.N(p.cfg.MaxAge/5+1),
	}
	mb.conn = h2.New(a.nc, cfg)
	p.mu.Lock()
	p.members = append(p.members, mb)
	p.mu.Unlock()
	m.event(Event{Kind: Dialled, Conn: mb.number, Remote: mb.remote, Took: a.took})
}

func (m *manager) event(e Event) {
	if m.p.cfg.Event != nil {
		m.p.cfg.Event(e)
	}
}

// Retire stops using a connection, for a reason that only the owner of the
// calls can see in their answers. What is open there may end.
func (p *Pool) Retire(c *h2.Conn) { c.Drain() }

package pool

import (
	"context"
	"errors"
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
	proven   bool // it works: see manager.prove
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

// dialing is an attempt that is under way.
type dialing struct {
	number int
	began  time.Time
	cancel context.CancelFunc
}

// manager is the state of the goroutine that looks after the connections.
//
// One invariant keeps calls from being forgotten: a call in the queue either
// has a connection that was woken for it, or the pool's watching flag is set,
// and then the manager looks again within lookAgain.
type manager struct {
	p *Pool

	number  int       // of the last attempt
	dials   []dialing // under way, oldest first
	pending int       // these, and those that nobody waits for any more
	outage  outage
	budget  budget

	waitingSince time.Time // calls wait and nobody can take them, since
	down         bool      // that has lasted for ConnectWait

	busySince time.Time // all connections have been full at each look since
	seen      uint64    // the queue's counter at the last look
}

// census is what a look at the members found.
type census struct {
	able    int // ready and taking calls, old ones included
	serving int // able, or about to be, and not to be replaced
	warming int // of those, not yet proven
	full    int // of those, without room
}

// run looks after the connections until the pool is closed and all have ended.
func (m *manager) run() {
	p := m.p
	defer close(p.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	closing, abandon := p.ctx.Done(), p.abandon
	for {
		wait := m.look(time.Now())
		if closing == nil && len(p.members) == 0 && (m.pending == 0 || abandon == nil) {
			return
		}
		timer.Reset(wait)
		select {
		case <-timer.C:
		case <-p.signal:
		case a := <-p.dialled:
			m.arrived(a)
		case <-closing:
			closing = nil
			for _, mb := range p.members {
				mb.conn.Drain()
			}
		case <-abandon:
			abandon = nil // a dial that ignores its context is not waited for
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

	expired, next := p.queue.sweep(now)
	p.fail(expired, m.outage.explain(h2.ErrTooLate))
	soon(next)

	load := p.queue.load()
	c := m.count(load, now, soon)
	if p.closed.Load() {
		return wait
	}
	if c.able > 0 {
		p.answer(nil)
	}
	if n := p.wants(); n > 0 {
		load.queued += n // who wants a connection weighs as much as a call that does
		soon(now.Add(lookAgain))
	}
	if c.able > 0 || load.queued == 0 {
		m.waitingSince = time.Time{}
	} else if m.waitingSince.IsZero() {
		m.waitingSince = now
	}
	if c.able > 0 {
		m.down = false
	}

	m.giveUp(&load, c, now, soon)
	m.replaceAged(c, now)
	m.serve(load, c, now, soon)
	m.attend(now, soon)
	return wait
}

// count looks at every member, retires those that should not go on, and removes
// those that have ended.
func (m *manager) count(load load, now time.Time, soon func(time.Time)) (c census) {
	for _, mb := range slices.Clone(m.p.members) {
		select {
		case <-mb.conn.Done(): // asked before Status, which is then final
			m.ended(mb, mb.conn.Status(), now)
			continue
		default:
		}
		st := mb.conn.Status()
		m.prove(mb, st, now)
		m.watch(mb, st, load, now, soon)
		if mb.draining {
			continue
		}
		if st.Ready {
			c.able++
		}
		if mb.aged {
			continue
		}
		c.serving++
		if !mb.proven {
			c.warming++
		}
		if st.Full {
			c.full++
		}
	}
	return c
}

// giveUp fails the calls that wait when no connection can be had: at once if
// trying again cannot help or the pool is known to be down, otherwise after
// ConnectWait. A dial that is due or under way is given its chance first, but
// no longer than that either.
func (m *manager) giveUp(load *load, c census, now time.Time, soon func(time.Time)) {
	if c.able > 0 || load.queued == 0 {
		return
	}
	deadline := m.waitingSince.Add(m.p.cfg.ConnectWait)
	if !now.Before(deadline) {
		m.down = true
	} else {
		soon(deadline)
		trying := len(m.dials) > 0 || c.serving > 0 || !now.Before(m.outage.nextDial)
		if trying || !m.down && !m.outage.permanent {
			return
		}
	}
	why := m.outage.explain(nil)
	m.p.fail(m.p.queue.clear(false), why)
	m.p.answer(why)
	load.queued = 0
	m.waitingSince = time.Time{}
}

// serve opens a connection if the load asks for one.
func (m *manager) serve(load load, c census, now time.Time, soon func(time.Time)) {
	switch {
	case len(m.dials) > 0 && (c.serving > 0 || load.queued == 0):
		m.busySince = time.Time{}
	case c.serving == 0 && load.queued == 0:
		m.busySince = time.Time{}
	case len(m.dials) > 0:
		m.dialBeside(now, soon)
	case c.serving == 0:
		m.dial(now, soon)
	case c.warming > 0 || c.full < c.serving || c.serving >= m.p.cfg.MaxConns:
		m.busySince = time.Time{}
	case m.busySince.IsZero():
		m.busySince = now
		soon(now.Add(lookAgain))
	case now.Sub(m.busySince) >= growAfter:
		m.busySince = time.Time{}
		m.dial(now, soon)
	default:
		soon(now.Add(lookAgain))
	}
}

// attend keeps the invariant: as long as the queue moves or holds calls, the
// manager looks again soon and offers them to whoever is hungry, since a
// connection that was woken may have found that it cannot take them.
func (m *manager) attend(now time.Time, soon func(time.Time)) {
	p := m.p
	load := p.queue.load()
	if load.queued == 0 && load.emptied == m.seen {
		p.watching.Store(false) // whoever submits from here on pokes
		load = p.queue.load()
	}
	if load.queued > 0 || load.emptied != m.seen {
		m.seen = load.emptied
		p.watching.Store(true)
		soon(now.Add(lookAgain))
		p.queue.offer()
	}
}

// Why the manager retires a connection.
var (
	errEnding       = errors.New("it takes no more requests")
	errSuspect      = errors.New("several requests in a row were not answered")
	errStuck        = errors.New("its stream limit stayed at one")
	errIdle         = errors.New("it was not needed")
	errAged         = errors.New("it was old")
	errCrowded      = errors.New("too many connections were ending at once")
	errDrainTimeout = errors.New("its last requests were not answered")
)

// watch retires a connection that should not go on.
func (m *manager) watch(mb *member, st h2.Status, load load, now time.Time, soon func(time.Time)) {
	p := m.p
	if mb.draining {
		if !now.Before(mb.cutAt) {
			mb.conn.Abort(errDrainTimeout)
			return
		}
		soon(mb.cutAt)
		return
	}
	if st.Limit > 1 || load.queued == 0 || st.Succeeded == 0 {
		// A connection that was never allowed more has a credential that is
		// refused; another connection would not change that.
		mb.oneSince = time.Time{}
	} else if mb.oneSince.IsZero() {
		mb.oneSince = now
	}
	switch {
	case st.Draining:
		why := errEnding
		if st.GoAway != nil {
			why = st.GoAway
			m.judge(mb, why, now) // before anyone dials into the same refusal
		} else if blamed := p.blamed(mb.conn); blamed != nil {
			why = blamed
			mb.judged = true
			m.failed(why, now)
		}
		m.retire(mb, why, now)
	case st.Suspect:
		m.retire(mb, errSuspect, now)
	case !mb.oneSince.IsZero() && now.Sub(mb.oneSince) >= stuckAfter:
		m.retire(mb, errStuck, now)
	case st.Open == 0 && st.SinceAnswer >= p.cfg.IdleTimeout && m.spare():
		m.retire(mb, errIdle, now)
	default:
		mb.aged = mb.aged || now.Sub(mb.born) >= mb.maxAge
		if !mb.oneSince.IsZero() {
			soon(mb.oneSince.Add(stuckAfter))
		}
		return
	}
	soon(mb.cutAt)
}

func (m *manager) retire(mb *member, why error, now time.Time) {
	mb.draining = true
	mb.cutAt = now.Add(m.p.cfg.DrainTimeout)
	mb.conn.Drain()
	m.p.queue.forget(mb.conn)
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

// replaceAged retires old connections once others serve, or when they are not
// needed at the moment.
func (m *manager) replaceAged(c census, now time.Time) {
	for _, mb := range m.p.members {
		if mb.aged && !mb.draining && (c.serving > c.warming || mb.conn.Status().Open == 0) {
			m.retire(mb, errAged, now)
		}
	}
}

// ended removes a connection and draws the consequences.
func (m *manager) ended(mb *member, st h2.Status, now time.Time) {
	p := m.p
	p.mu.Lock()
	p.members = slices.DeleteFunc(p.members, func(o *member) bool { return o == mb })
	blame := p.blame[mb.conn]
	delete(p.blame, mb.conn)
	p.stats.Closed++
	p.mu.Unlock()
	p.queue.forget(mb.conn)
	m.event(Event{Kind: Closed, Conn: mb.number, Remote: mb.remote, Err: st.Err, Took: now.Sub(mb.born), Status: st})
	m.prove(mb, st, now)
	if st.Succeeded >= earnedBack {
		m.budget.refund()
	}
	err := st.Err
	switch {
	case p.closed.Load():
	case blame != nil && !mb.judged:
		m.failed(blame, now)
	case st.GoAway != nil:
		m.judge(mb, st.GoAway, now)
	case !errors.Is(err, h2.ErrClosed): // otherwise we ended it ourselves
		m.judge(mb, err, now)
	}
}

// judge decides, once per connection, whether its end speaks against another
// attempt.
func (m *manager) judge(mb *member, err error, now time.Time) {
	if !mb.judged && (!mb.proven || m.p.cfg.Permanent(err)) {
		m.failed(err, now)
	}
	mb.judged = true
}

func (m *manager) failed(err error, now time.Time) {
	m.outage.failed(err, m.p.cfg.Permanent(err), now, m.p.cfg.MaxDialPause)
}

// provenAge is how long a connection that only refuses has to last to count as
// working: until then its end is a failure that calls for a pause.
const provenAge = time.Minute

// prove notes, once per connection, that the endpoint works: something was
// answered with success, or the connection lasts. Once, because an old one that
// still drains says nothing about new ones.
func (m *manager) prove(mb *member, st h2.Status, now time.Time) {
	if mb.proven || st.Succeeded == 0 && (st.Answered == 0 || now.Sub(mb.born) < provenAge) {
		return
	}
	mb.proven = true
	if !mb.draining || mb.number == m.number {
		m.outage = outage{}
	}
}

// dial starts an attempt unless it is too early for one, and reports whether it did.
func (m *manager) dial(now time.Time, soon func(time.Time)) bool {
	if now.Before(m.outage.nextDial) {
		soon(m.outage.nextDial)
		return false
	}
	if wait := m.budget.take(now); wait > 0 {
		soon(now.Add(wait))
		return false
	}
	m.makeRoom()
	m.number++
	p, number := m.p, m.number
	ctx, cancel := context.WithTimeout(p.ctx, p.cfg.DialTimeout)
	m.dials = append(m.dials, dialing{number, now, cancel})
	m.pending++
	p.mu.Lock()
	p.stats.Dials++
	p.mu.Unlock()
	go func() {
		defer cancel()
		nc, err := p.cfg.Dial(ctx)
		select {
		case p.dialled <- attempt{number, nc, err, time.Since(now)}:
		case <-p.done:
			if err == nil {
				h2.CloseHard(nc)
			}
		}
	}()
	return true
}

// mostDials is how many attempts are under way at once.
const mostDials = 4

// dialBeside makes another attempt beside one that hangs: an endpoint that swallows
// what it is sent, and is then well again, is found out as soon as one that refuses.
// The oldest has all of DialTimeout, since the way may only be slow; of the others, the
// one that has tried for longest makes room.
func (m *manager) dialBeside(now time.Time, soon func(time.Time)) {
	if due := m.dials[len(m.dials)-1].began.Add(m.p.cfg.MaxDialPause); now.Before(due) {
		soon(due)
		return
	}
	if m.pending >= 2*mostDials {
		soon(now.Add(m.p.cfg.MaxDialPause)) // those that were given up do not end
		return
	}
	if m.dial(now, soon) && len(m.dials) > mostDials {
		m.dials[1].cancel()
		m.dials = slices.Delete(m.dials, 1, 2)
	}
}

// landed forgets an attempt, and reports whether anybody still waits for it. When it
// has led to a connection, the others are not needed.
func (m *manager) landed(a attempt) bool {
	i := slices.IndexFunc(m.dials, func(d dialing) bool { return d.number == a.number })
	if i < 0 {
		return false
	}
	m.dials = slices.Delete(m.dials, i, i+1)
	if a.err == nil {
		for _, d := range m.dials {
			d.cancel()
		}
		m.dials = nil
	}
	return true
}

// makeRoom bounds the connections that are ending: beyond as many as may serve,
// the one that has been at it for longest is cut off, since a peer that ends
// connections as fast as they are made must not gather them.
func (m *manager) makeRoom() {
	var ending []*member
	for _, mb := range m.p.members {
		if mb.draining {
			ending = append(ending, mb)
		}
	}
	if len(ending) > m.p.cfg.MaxConns {
		oldest := slices.MinFunc(ending, func(a, b *member) int { return a.cutAt.Compare(b.cutAt) })
		oldest.conn.Abort(errCrowded)
	}
}

// arrived takes the result of an attempt.
func (m *manager) arrived(a attempt) {
	p, now := m.p, time.Now()
	m.pending--
	if !m.landed(a) || p.closed.Load() {
		if a.err == nil {
			h2.CloseHard(a.nc)
		}
		return
	}
	var cfg h2.Config
	if a.err == nil {
		if cfg, a.err = p.cfg.Setup(); a.err != nil {
			h2.CloseHard(a.nc)
		}
	}
	if a.err != nil {
		p.mu.Lock()
		p.stats.DialFailures++
		p.mu.Unlock()
		m.failed(a.err, now)
		m.event(Event{Kind: DialFailed, Conn: a.number, Err: a.err, Took: a.took})
		return
	}
	cfg.Source, cfg.Handler = &p.queue, handler{p}
	mb := &member{number: a.number, remote: a.nc.RemoteAddr().String(), born: now, maxAge: spread(p.cfg.MaxAge)}
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

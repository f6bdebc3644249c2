package sim

import (
	"math/rand/v2"
	"strings"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/internal/proto"
)

// connFaults are the faults that hit a connection when it was accepted.
type connFaults struct {
	refuse            bool
	stall             bool
	rejectCertificate bool
	slowSettings      time.Duration
	errorLimit        int
	noUpdates         bool
	slowReading       *slowReading   // binary protocol
	feedback          feedbackFaults // feedback service
	settings          SettingsChange // into the first SETTINGS
}

// forConn draws the faults of a new connection, whose rng nobody else may use
// meanwhile.
func (set *faultSet) forConn(id uint64, p Protocol, rng *rand.Rand) (cf connFaults) {
	set.mu.Lock()
	defer set.mu.Unlock()
	for _, f := range set.list {
		if f.hits != hitsConnections || !f.plays(p) || f.Connection != 0 && f.Connection != id || !f.fires(id, rng) {
			continue
		}
		switch f.Kind {
		case FaultRefuseConnection:
			cf.refuse = true
		case FaultStallHandshake:
			cf.stall = true
		case FaultRejectCertificate:
			cf.rejectCertificate = true
		case FaultSlowSettings:
			cf.slowSettings = f.Delay + jitter(rng, f.Jitter)
		case FaultNoWindowUpdates:
			cf.noUpdates = true
		case FaultInitialSettings:
			cf.settings = f.Settings
		case FaultErrorLimit:
			cf.errorLimit = f.Errors
		case FaultSlowReading:
			cf.slowReading = &slowReading{f.Bytes, f.Delay + jitter(rng, f.Jitter)}
		case FaultSlowFeedback:
			cf.feedback.delay = f.Delay + jitter(rng, f.Jitter)
		case FaultCutFeedback:
			cf.feedback.cut, cf.feedback.bytes = true, f.Bytes
		}
	}
	return cf
}

func jitter(rng *rand.Rand, d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(rng.Int64N(int64(d) + 1))
}

// matching draws the request faults that hit a stream. The copies are safe to
// use without the set's lock.
func (set *faultSet) matching(c *conn, st *stream, onHeaders bool) []*Fault {
	set.mu.Lock()
	defer set.mu.Unlock()
	var hit []*Fault
	for _, f := range set.list {
		if f.hits != hitsRequests || !f.plays(ProtocolHTTP2) || f.OnHeaders != onHeaders ||
			f.Connection != 0 && f.Connection != c.id ||
			f.Topic != "" && f.Topic != st.topic() ||
			f.ChannelID != "" && f.ChannelID != st.req.get(fieldChannelID) ||
			f.DeviceToken != "" && !strings.EqualFold(f.DeviceToken, strings.TrimPrefix(st.req.get(fieldPath), proto.PathDevice)) ||
			!f.fires(c.id, c.rng) {
			continue
		}
		hit = append(hit, &f.Fault)
	}
	return hit
}

// playOnHeaders plays the faults that do not wait for the body, and reports
// whether the stream is done with.
func (c *conn) playOnHeaders(st *stream) bool {
	for _, f := range c.srv.faults.matching(c, st, true) {
		if c.disrupt(st, f) {
			return true
		}
	}
	return false
}

// play plays the faults that hit a complete request and reports whether they
// took the place of handling it. Delays add up; of several that end the stream
// the first wins.
func (c *conn) play(st *stream) bool {
	hit := c.srv.faults.matching(c, st, false)
	if len(hit) == 0 {
		return false
	}
	var p plan
	var end *Fault
	for _, f := range hit {
		switch f.Kind {
		case FaultDelay:
			p.delay += f.Delay + jitter(c.rng, f.Jitter)
		case FaultClockSkew:
			p.skew += f.Skew
		case FaultInformational:
			p.shape.informational = append(p.shape.informational, f.Status)
		case FaultTrailers:
			p.shape.trailers = f.Trailers
		case FaultPadding:
			p.shape.padding = f.Padding
		case FaultContinuation:
			p.shape.split = true
		case FaultRetryAfter:
			p.shape.retryAfter = f.RetryAfter
		case FaultSettings:
			c.changeSettings(f)
		default:
			if end == nil {
				end = f
			}
			continue
		}
		if p.fault == "" {
			p.fault = f.ID
		}
	}
	if end == nil {
		c.process(st, p)
		return true
	}
	p.fault = end.ID
	switch end.Kind {
	case FaultAnswer:
		p.forced = &verdict{status: end.Status, reason: end.Reason, timestamp: end.Timestamp}
		if end.RetryAfter != "" {
			p.shape.retryAfter = end.RetryAfter
		}
		c.process(st, p)
		return true
	case FaultGoAway:
		if last := end.lastStream(st.id); st.id <= last {
			// The goodbye goes first, so that the answer comes on a connection
			// that is ending.
			c.goAway(end.goAwayParams(last))
			c.process(st, p)
			c.closeWhenDrained()
			return true
		}
	}
	if end.Processed {
		p.unanswered = true
		c.process(st, p)
	}
	c.disrupt(st, end)
	return true
}

func (f *Fault) lastStream(current uint32) uint32 {
	if f.LastStream != nil {
		return *f.LastStream
	}
	return current
}

func (f *Fault) goAwayParams(last uint32) goAwayParams {
	p := goAwayParams{last: last, double: f.Double, debug: []byte(f.Debug)}
	if f.Code != nil {
		p.code = *f.Code
	}
	if f.Reason != "" {
		p.debug = reasonJSON(f.Reason, f.Timestamp)
	}
	return p
}

// disrupt ends a stream or its connection without an answer and reports whether
// the stream is done with.
func (c *conn) disrupt(st *stream, f *Fault) bool {
	note := func() {
		if !st.judged && st.ended {
			c.record(st, NotProcessed, verdict{}, f.ID)
		}
		st.judged = true
	}
	switch f.Kind {
	case FaultSilence:
		note()
		c.log.Debug("fault: silence", "stream", st.id, "device_token", shortDeviceToken(st.req.get(fieldPath)))
		if !st.ended {
			st.silent = true
		}
		return true
	case FaultResetStream:
		code := http2.ErrCodeInternal
		if f.Code != nil {
			code = *f.Code
		}
		note()
		if code == http2.ErrCodeRefusedStream {
			c.count.Refused++
		}
		c.resetStream(st.id, code)
		return true
	case FaultGoAway:
		last := f.lastStream(st.id)
		if st.id > last {
			note()
		}
		c.goAway(f.goAwayParams(last))
		return st.id > last
	default:
		note()
		c.breakConnection(f)
		return true
	}
}

// breakConnection plays the faults that hit the whole connection.
func (c *conn) breakConnection(f *Fault) {
	c.log.Debug("fault", "kind", string(f.Kind))
	switch f.Kind {
	case FaultClose, FaultResetConnection:
		c.dead = true
		c.wake.Broadcast()
		if f.Kind == FaultResetConnection {
			resetConn(c.raw)
		} else {
			c.raw.Close()
		}
	case FaultHalfOpen:
		c.swallow = true
		c.timers.stop()
		c.out, c.ready, c.held = c.out[:0], c.ready[:0], nil
	case FaultGoAway:
		c.goAway(f.goAwayParams(f.lastStream(c.maxID)))
	case FaultSettings:
		c.changeSettings(f)
	}
}

// playNow plays a fault on an open connection without a request.
func (c *conn) playNow(f *Fault) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead || c.closing || c.swallow || !c.gotSettings {
		return
	}
	c.breakConnection(f)
	if !c.swallow {
		c.flush()
	}
}

// changeSettings announces the fault's settings, and takes them back later if
// asked.
func (c *conn) changeSettings(f *Fault) {
	s := f.Settings
	if f.RestoreAfter > 0 {
		cfg := &c.srv.cfg
		back := SettingsChange{}
		if s.MaxStreams != nil {
			back.MaxStreams = new(c.limit)
		}
		if s.InitialWindow != nil {
			back.InitialWindow = new(cfg.InitialWindow)
		}
		if s.MaxFrameSize != nil {
			back.MaxFrameSize = new(cfg.MaxFrameSize)
		}
		if s.HeaderTableSize != nil {
			back.HeaderTableSize = new(uint32(proto.HeaderTableSize))
		}
		if s.MaxHeaderList != nil {
			back.MaxHeaderList = new(cfg.MaxHeaderList)
		}
		c.after(f.RestoreAfter, func() { c.applySettings(back) })
	}
	c.applySettings(s)
}

func (c *conn) applySettings(s SettingsChange) {
	var list []http2.Setting
	add := func(id http2.SettingID, v *uint32) {
		if v != nil {
			list = append(list, http2.Setting{ID: id, Val: *v})
		}
	}
	add(http2.SettingInitialWindowSize, s.InitialWindow)
	add(http2.SettingMaxFrameSize, s.MaxFrameSize)
	add(http2.SettingHeaderTableSize, s.HeaderTableSize)
	add(http2.SettingMaxHeaderListSize, s.MaxHeaderList)
	if len(list) > 0 {
		c.sendSettings(list...)
	}
	if s.MaxStreams != nil {
		c.setLimit(*s.MaxStreams)
	}
}

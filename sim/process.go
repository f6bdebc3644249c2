package sim

import (
	"strconv"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// plan is what the faults want of one request, besides the ordinary.
type plan struct {
	fault  string // id of the fault that decided, for the recorder
	delay  time.Duration
	skew   time.Duration // of the clock that judges it
	forced *verdict      // instead of the checks
	// unanswered processes the push and keeps the answer back.
	unanswered bool
	shape      answer // unusual ways to send the answer
}

// process judges a complete request, records it and answers it.
func (c *conn) process(st *stream, p plan) {
	var v verdict
	if p.forced != nil {
		v = *p.forced
	} else {
		v, _ = c.judge(st, p.skew)
	}
	st.judged = true
	if v.reason == proto.ReasonUnregistered && c.srv.guesses().Binary.FeedbackFromHTTP2 && p.forced == nil {
		c.srv.binary.feedback.add(c.scratch.topic, feedbackEntry{c.scratch.deviceToken, time.UnixMilli(v.timestamp)})
	}
	switch {
	case v.goAway:
		c.record(st, NotProcessed, v, p.fault)
		c.goAway(goAwayParams{debug: reasonJSON(v.reason, 0), double: true})
		return
	case p.unanswered && v.accepted():
		c.count.Unanswered++
		c.record(st, AcceptedUnanswered, v, p.fault)
		return
	case p.unanswered:
		c.count.Unanswered++
		c.record(st, NotProcessed, v, p.fault)
		return
	case v.accepted():
		c.record(st, Accepted, v, p.fault)
	default:
		c.record(st, Rejected, v, p.fault)
	}
	c.adapt(&v)
	a := p.shape
	a.verdict = v
	if p.delay <= 0 {
		c.answer(st, a, true)
	} else {
		// The closure has an answer of its own, or every answer would be
		// allocated for the sake of those that are late.
		id, late := st.id, a
		c.after(p.delay, func() {
			if c.streams[id] == st && !c.swallow {
				c.answer(st, late, true)
			}
		})
	}
	if c.overErrorLimit(&v) {
		c.goAway(goAwayParams{last: c.maxID})
	}
}

// adapt shrinks the stream limit after a rejection and restores it after the
// next acceptance (observed 2016 to 2020: openradar 27870881, pushy#476).
func (c *conn) adapt(v *verdict) {
	if !c.srv.guesses().ShrinkAfterRejection {
		return
	}
	switch {
	case v.accepted() && c.shrunk:
		c.shrunk = false
		c.setLimit(c.fullLimit)
	case v.status >= 400 && v.status < 500 && !c.shrunk:
		c.shrunk = true
		c.setLimit(1)
	}
}

// overErrorLimit counts rejections towards the disconnection Apple threatens
// with: BadDeviceToken weighs more, 410 nothing.
func (c *conn) overErrorLimit(v *verdict) bool {
	limit := c.srv.guesses().ErrorLimit
	if c.faults.errorLimit > 0 {
		limit = c.faults.errorLimit
	}
	if limit == 0 || v.accepted() || v.status == 410 || c.goingAway {
		return false
	}
	if v.reason == proto.ReasonBadDeviceToken {
		c.errorScore += c.srv.guesses().BadDeviceTokenWeight
	} else {
		c.errorScore++
	}
	return c.errorScore >= limit
}

// record keeps a push, unless the server is lean.
func (c *conn) record(st *stream, outcome Outcome, v verdict, fault string) {
	if st.kind == requestManage {
		return // it is no push; the channels themselves show what it did
	}
	switch outcome {
	case NotProcessed:
		c.count.NotProcessed++
	case Accepted, AcceptedUnanswered:
		c.count.Processed++
	}
	if c.srv.rec == nil {
		return
	}
	r := &st.req
	now := c.ruleNow()
	p := Push{
		Time: now, Connection: c.id, Protocol: ProtocolHTTP2, Stream: st.id,
		Topic:      r.get(fieldTopic),
		ChannelID:  r.get(fieldChannelID),
		Reached:    st.reached,
		PushType:   r.get(fieldPushType),
		CollapseID: r.get(fieldCollapseID),
		ID:         c.idFor(st),
		Header:     append([][2]string(nil), r.fields...),
		Payload:    append(Payload(nil), st.body...),
		Credential: c.credentialOf(r, now),
		Outcome:    outcome, Status: v.status, Reason: v.reason, Timestamp: v.timestamp,
		Fate: v.fate, Fault: fault,
	}
	p.Remarks = c.remarksOn(st)
	if st.kind == requestBroadcast {
		p.Topic = strings.TrimPrefix(r.get(fieldPath), proto.PathBroadcast)
	} else {
		p.DeviceToken = strings.ToLower(strings.TrimPrefix(r.get(fieldPath), proto.PathDevice))
	}
	if p.Topic == "" && c.cert != nil && len(c.cert.topics) == 1 {
		p.Topic = c.cert.topics[0]
	}
	p.Priority, _ = strconv.Atoi(r.get(fieldPriority))
	if n, err := strconv.ParseInt(r.get(fieldExpiration), 10, 64); err == nil {
		p.Expiration = &n
	}
	if outcome == Accepted && c.givesUniqueID(st) {
		p.UniqueID = c.uniqueFor(st)
	}
	c.srv.rec.add(p)
}

// remarksOn says what about a request is taken and should be otherwise.
func (c *conn) remarksOn(st *stream) (list []string) {
	if value, ok := cutBearer(st.req.get(fieldAuthorization)); ok {
		list = append(list, c.providerTokenOf(value).remarks...)
	}
	for _, name := range []field{fieldID, fieldRequestID} {
		if id := st.req.get(name); id != "" && !canonicalID(id, false) && canonicalID(id, true) {
			list = append(list, "the apns-id is in upper case; Apple's pages want lower case")
		}
	}
	if st.crossed {
		list = append(list, "it was sent before the first SETTINGS had come, beyond the one request that they allow")
	}
	return list
}

// providerTokenOf is the provider token of a request.
func (c *conn) providerTokenOf(value string) *providerToken {
	if c.pt != nil && value == c.ptValue {
		return c.pt
	}
	return c.srv.lookupProviderToken(value)
}

func (c *conn) credentialOf(r *request, now time.Time) Credential {
	if c.cert != nil {
		return Credential{Kind: "certificate", UID: c.cert.uid, TeamID: c.cert.team}
	}
	value, ok := cutBearer(r.get(fieldAuthorization))
	if !ok {
		return Credential{Kind: "none"}
	}
	cred := Credential{Kind: "provider_token"}
	pt := c.providerTokenOf(value)
	if pt.kid != "" {
		cred.KeyID, cred.TeamID = pt.kid, pt.team
		cred.Age = now.Sub(pt.issuedAt).Seconds()
	}
	return cred
}

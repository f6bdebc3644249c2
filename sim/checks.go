package sim

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// judged is a request on its way through the checks.
type judged struct {
	c    *conn
	req  *request
	size int    // of the body
	body []byte // nil when lean
	now  time.Time

	// deviceToken is lower case once its form was judged.
	deviceToken string
	topic       string
	rule        *proto.TypeRule // nil when no push type was stated
	arrival     arrival
	priority    int
	kind        requestKind
	bundleID    string // of broadcasts and channel management
}

// check returns the empty verdict when it has no objection.
type check func(*judged) verdict

// The order is ours, since Apple documents none; authentication comes before
// everything that depends on who asks (evidence in docs/simulator-fidelity.md).
var (
	defaultOrder = []check{
		(*judged).path, (*judged).method, (*judged).duplicates,
		(*judged).credential,
		(*judged).messageID, (*judged).expiration, (*judged).prio, (*judged).pushType, (*judged).collapseID,
		(*judged).topicField, (*judged).payload,
		(*judged).deviceTokenForm,
	}
	headersFirstOrder = []check{
		(*judged).messageID, (*judged).path, (*judged).method, (*judged).duplicates,
		(*judged).topicSyntaxOnly, (*judged).collapseID, (*judged).prio, (*judged).pushType, (*judged).expiration,
		(*judged).deviceTokenForm,
		(*judged).credential,
		(*judged).topicField, (*judged).payload,
	}
)

// judge applies all checks in order and ends with the device, which takes the
// push when all is well.
func (c *conn) judge(st *stream, skew time.Duration) (verdict, *judged) {
	j := &c.scratch
	*j = judged{c: c, req: &st.req, size: st.size, body: st.body, now: c.ruleNow().Add(skew), kind: st.kind}
	switch st.kind {
	case requestBroadcast:
		return c.judgeBroadcast(st, j), j
	case requestManage:
		return c.judgeManage(j), j
	}
	order := defaultOrder
	if c.srv.guesses().Order == OrderHeadersFirst {
		order = headersFirstOrder
	}
	for _, check := range order {
		if v := check(j); v.status != 0 {
			return v, j
		}
	}
	a := &j.arrival
	a.deviceToken, a.topic, a.now, a.perTopic = j.deviceToken, j.topic, j.now, c.srv.guesses().StoredPerTopic
	if !c.srv.cfg.Lean {
		a.note = Notification{
			ID: c.idFor(st), Protocol: ProtocolHTTP2, Topic: j.topic, PushType: j.req.get(fieldPushType),
			CollapseID: j.req.get(fieldCollapseID), Time: j.now, Payload: append(Payload(nil), j.body...),
		}
	}
	return c.srv.devices.receive(a, &c.srv.cfg), j
}

var pass verdict

func (j *judged) path() verdict {
	path := j.req.get(fieldPath)
	deviceToken, ok := strings.CutPrefix(path, proto.PathDevice)
	switch {
	case ok && deviceToken == "", path == proto.PathDevice[:len(proto.PathDevice)-1]:
		if j.req.get(fieldMethod) == "POST" {
			return refuse(proto.ReasonMissingDeviceToken)
		}
		return pass
	case ok && strings.IndexByte(deviceToken, '/') < 0:
		j.deviceToken = deviceToken
		return pass
	case path == "/" || path == "*" || path == "":
		return pass // judged by its method: HEAD / is known to be 405
	}
	return refuse(proto.ReasonBadPath)
}

func (j *judged) method() verdict {
	if j.req.get(fieldMethod) != "POST" {
		return refuse(proto.ReasonMethodNotAllowed)
	}
	if j.deviceToken == "" {
		return refuse(proto.ReasonBadPath)
	}
	return pass
}

func (j *judged) duplicates() verdict {
	if j.req.duplicate {
		return refuse(proto.ReasonDuplicateHeaders)
	}
	return pass
}

// credential identifies the sender: by its certificate when it showed one (the
// authorization field is then ignored), else by its provider token.
func (j *judged) credential() verdict {
	c := j.c
	if c.cert != nil {
		switch reason := c.cert.problem(c.srv.cfg.Environment, j.now); reason {
		case "":
			return pass
		case proto.ReasonBadCertificateEnvironment:
			v := refuse(reason)
			v.goAway = !c.srv.guesses().BadCertificateEnvironmentAnswer
			return v
		default:
			return refuse(reason)
		}
	}
	value, ok := cutBearer(j.req.get(fieldAuthorization))
	if !ok {
		return refuse(proto.ReasonMissingProviderToken)
	}
	pt := c.providerTokenOf(value)
	if pt.reason != "" {
		return refuse(pt.reason)
	}
	if pt != c.pt || j.now.Sub(pt.issuedAt) > proto.ProviderTokenMaxAge || j.now.Before(pt.issuedAt) || c.wedged != "" {
		if reason := c.changeProviderToken(pt, j.now); reason != "" {
			return refuse(reason)
		}
		c.pt, c.ptValue = pt, value
	}
	if c.stale {
		return refuse(proto.ReasonInternalServerError)
	}
	c.authenticated()
	return pass
}

// changeProviderToken judges a provider token that is not the one this connection used
// last, or whose age has to be looked at again.
func (c *conn) changeProviderToken(pt *providerToken, now time.Time) (reason proto.Reason) {
	defer func() {
		if c.srv.guesses().WedgeAfterProviderTokenError &&
			(reason == proto.ReasonExpiredProviderToken || reason == proto.ReasonTooManyProviderTokenUpdates) {
			c.wedged, c.wedgedUntil = reason, now.Add(proto.ProviderTokenMinInterval)
		}
	}()
	if c.wedged != "" {
		if now.Before(c.wedgedUntil) {
			return c.wedged
		}
		c.wedged = ""
	}
	if reason := c.srv.judgeAge(pt, now); reason != "" {
		return reason
	}
	if reason := c.srv.judgeKey(c.firstProviderToken, pt); reason != "" {
		return reason
	}
	if c.srv.guesses().TeamWideProviderTokenUpdates {
		reason = c.srv.teams.use(pt, now)
	} else {
		reason = c.providerTokenUses.use(pt, now)
	}
	if reason == "" && c.firstProviderToken == nil {
		c.firstProviderToken = pt
	}
	return reason
}

func cutBearer(s string) (string, bool) {
	const n = len(proto.BearerPrefix)
	if len(s) > n && (s[:n] == proto.BearerPrefix || strings.EqualFold(s[:n], proto.BearerPrefix)) {
		return s[n:], true
	}
	return "", false
}

func (j *judged) messageID() verdict {
	id := j.req.get(fieldID)
	if j.req.has(fieldID) && !canonicalID(id, !j.c.srv.guesses().RefuseUppercaseIDs) {
		return refuse(proto.ReasonBadMessageID)
	}
	return pass
}

func (j *judged) expiration() verdict {
	if !j.req.has(fieldExpiration) {
		return pass
	}
	n, err := strconv.ParseInt(j.req.get(fieldExpiration), 10, 64)
	if err != nil || n < 0 || n > 1<<40 {
		return refuse(proto.ReasonBadExpirationDate)
	}
	j.arrival.hasExpires, j.arrival.once = true, n == 0
	j.arrival.expires = time.Unix(n, 0)
	return pass
}

func (j *judged) prio() verdict {
	if !j.req.has(fieldPriority) {
		return pass
	}
	switch j.req.get(fieldPriority) {
	case "10":
		j.priority = 10
	case "5":
		j.priority = 5
	case "1":
		j.priority = 1
	default:
		return refuse(proto.ReasonBadPriority)
	}
	return pass
}

func (j *judged) pushType() verdict {
	name := j.req.get(fieldPushType)
	if name == "" {
		if j.c.srv.guesses().RequirePushType || j.req.has(fieldPushType) {
			return refuse(proto.ReasonInvalidPushType)
		}
		return pass
	}
	if j.rule = ruleFor(name); j.rule == nil {
		return refuse(proto.ReasonInvalidPushType)
	}
	if j.rule.Type == proto.PushTypeBackground && j.priority == 10 && !j.c.srv.guesses().AcceptBackgroundPriority10 {
		return refuse(proto.ReasonBadPriority)
	}
	return pass
}

// ruleFor finds a row without copying it, which counts at 300,000 a second.
func ruleFor(name string) *proto.TypeRule {
	for i := range proto.TypeRules {
		if string(proto.TypeRules[i].Type) == name {
			return &proto.TypeRules[i]
		}
	}
	return nil
}

func (j *judged) collapseID() verdict {
	if len(j.req.get(fieldCollapseID)) > proto.MaxCollapseID {
		return refuse(proto.ReasonBadCollapseID)
	}
	return pass
}

// maxTopic bounds what is taken for a topic at all; bundle identifiers are at
// most 155 characters in Apple's account pages.
const maxTopic = 255

func (j *judged) topicSyntaxOnly() verdict {
	topic := j.req.get(fieldTopic)
	if topic == "" && j.c.cert == nil {
		return refuse(proto.ReasonMissingTopic)
	}
	if len(topic) > maxTopic || strings.ContainsFunc(topic, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return refuse(proto.ReasonBadTopic)
	}
	return pass
}

func (j *judged) topicField() verdict {
	if v := j.topicSyntaxOnly(); v.status != 0 {
		return v
	}
	c := j.c
	j.topic = j.req.get(fieldTopic)
	if c.cert != nil {
		topic, reason := c.cert.topicFor(j.topic)
		if reason != "" {
			return refuse(reason)
		}
		j.topic = topic
	} else if !c.mayPushTo(j.topic) {
		return refuse(proto.ReasonTopicDisallowed)
	}
	return j.typeAndTopic()
}

// mayPushTo judges a topic on a provider-token connection and remembers the last
// one it allowed.
func (c *conn) mayPushTo(topic string) bool {
	if topic == c.okTopic && c.okTopicKey == c.pt {
		return true
	}
	allowed := c.srv.cfg.Topics
	if c.pt.key != nil && len(c.pt.key.Topics) > 0 {
		allowed = c.pt.key.Topics
	}
	switch {
	case len(allowed) > 0 && !covers(allowed, topic),
		// Angle brackets left in and similar: observed as TopicDisallowed.
		strings.ContainsFunc(topic, func(r rune) bool {
			return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '-' && r != '_'
		}):
		return false
	}
	c.okTopic, c.okTopicKey = topic, c.pt
	return true
}

// typeAndTopic refuses a push type whose topic needs another suffix, as became
// known when VoIP topics were sent with type alert (apns2#148).
func (j *judged) typeAndTopic() verdict {
	if j.rule == nil {
		return pass
	}
	switch suffix := j.rule.TopicSuffix; {
	case suffix != "":
		if !strings.HasSuffix(j.topic, suffix) || len(j.topic) == len(suffix) {
			return refuse(proto.ReasonInvalidPushType)
		}
	case j.rule.Type == proto.PushTypeMDM:
		if !strings.HasPrefix(j.topic, proto.TopicPrefixMDM) {
			return refuse(proto.ReasonInvalidPushType)
		}
	case len(bundleOf(j.topic)) != len(j.topic):
		return refuse(proto.ReasonInvalidPushType)
	}
	return pass
}

func (j *judged) payload() verdict {
	limit := proto.MaxPayload
	if j.rule != nil {
		limit = j.rule.MaxPayload
	} else if strings.HasSuffix(j.topic, ".voip") {
		limit = proto.MaxPayloadVoIP
	}
	switch {
	case j.size == 0:
		return refuse(proto.ReasonPayloadEmpty)
	case j.size > limit:
		return refuse(proto.ReasonPayloadTooLarge)
	case j.c.srv.guesses().RefuseMalformedJSON && j.body != nil && !json.Valid(j.body):
		return refuse(proto.ReasonBadRequestPayload)
	}
	return pass
}

func (j *judged) deviceTokenForm() verdict {
	deviceToken, ok := lowerDeviceToken(j.deviceToken)
	if !ok {
		return refuse(proto.ReasonBadDeviceToken)
	}
	j.deviceToken = deviceToken
	d := j.c.srv.devices
	if len(deviceToken) < 2*j.c.srv.guesses().MinDeviceTokenBytes && !(d.Len() > 0 && d.has(deviceToken)) {
		return refuse(proto.ReasonBadDeviceToken)
	}
	return pass
}

func (d *Devices) has(lower string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byDeviceToken[lower] != nil
}

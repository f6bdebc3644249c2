package sim

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"

	"aviso.example/internal/proto"
)

// requestKind says which of Apple's APIs a request is for. Apple serves channel
// management on hosts of its own; here one listener serves all, told apart by
// path, so that one address is all that a client has to be given.
type requestKind uint8

const (
	// requestDevice is a push to a device, and everything that is nothing else.
	requestDevice requestKind = iota
	requestBroadcast
	requestManage
)

func kindOf(path string) requestKind {
	switch {
	case strings.HasPrefix(path, proto.PathDevice):
	case strings.HasPrefix(path, proto.PathBroadcast):
		return requestBroadcast
	case strings.HasPrefix(path, proto.PathApps):
		return requestManage
	}
	return requestDevice
}

// managed is the answer to a granted request of channel management.
type managed struct {
	channelID string
	body      []byte
}

// maxChannelID bounds what is taken for a channel id at all; Apple says "too
// long" and gives no number.
const maxChannelID = 256

// judgeManage judges a request to the channel-management API and does it
// ("Sending channel management requests to APNs").
func (c *conn) judgeManage(j *judged) verdict {
	bundleID, what, _ := strings.Cut(strings.TrimPrefix(j.req.get(fieldPath), proto.PathApps), "/")
	method := j.req.get(fieldMethod)
	what = "/" + what
	switch {
	case bundleID == "" || what != proto.PathChannels && what != proto.PathAllChannels:
		return refuse(proto.ReasonBadPath)
	case what == proto.PathAllChannels && method != "GET",
		!slices.Contains([]string{"POST", "GET", "DELETE"}, method):
		return refuse(proto.ReasonMethodNotAllowed)
	}
	j.bundleID = bundleID
	for _, check := range []check{
		(*judged).duplicates, (*judged).credential, (*judged).requestID, (*judged).bundle, (*judged).capability,
	} {
		if v := check(j); v.status != 0 {
			return v
		}
	}
	switch {
	case what == proto.PathAllChannels:
		return j.listChannels()
	case method == "POST":
		return j.createChannel()
	case method == "GET":
		return j.readChannel()
	}
	return j.deleteChannel()
}

// requestID judges apns-request-id, and apns-id, which Apple's own sample sends
// in its place.
func (j *judged) requestID() verdict {
	g := j.c.srv.guesses()
	if j.req.has(fieldRequestID) && !g.IgnoreBadRequestID && !canonicalID(j.req.get(fieldRequestID), !g.RefuseUppercaseIDs) {
		return refuse(proto.ReasonBadMessageID)
	}
	return j.messageID()
}

// bundle judges the bundle identifier in the path against the credential.
func (j *judged) bundle() verdict {
	c := j.c
	allowed := c.srv.cfg.Topics
	switch {
	case c.cert != nil:
		allowed = c.cert.topics
	case c.pt.key != nil && len(c.pt.key.Topics) > 0:
		allowed = c.pt.key.Topics
	}
	rule, _ := proto.RuleFor(proto.PushTypeLiveActivity)
	switch {
	case strings.HasSuffix(j.bundleID, rule.TopicSuffix):
		return refuse(proto.ReasonTopicDisallowed)
	case len(allowed) > 0 && !slices.Contains(allowed, j.bundleID):
		return refuse(proto.ReasonTopicMismatch)
	}
	return pass
}

func (j *judged) capability() verdict {
	if slices.Contains(j.c.srv.cfg.NoBroadcast, j.bundleID) {
		return refuse(proto.ReasonFeatureNotEnabled)
	}
	return pass
}

func (j *judged) channelID() verdict {
	id := j.req.get(fieldChannelID)
	if id == "" {
		return refuse(proto.ReasonMissingChannelID)
	}
	_, padded := base64.StdEncoding.DecodeString(id)
	_, unpadded := base64.RawStdEncoding.DecodeString(id)
	if len(id) > maxChannelID || padded != nil && unpadded != nil {
		return refuse(proto.ReasonBadChannelID)
	}
	return pass
}

// createChannel reads the body strictly: an unknown attribute has a reason of its
// own.
func (j *judged) createChannel() verdict {
	var in struct {
		Policy   *json.RawMessage `json:"message-storage-policy"`
		PushType *json.RawMessage `json:"push-type"`
	}
	body := j.body
	switch {
	case j.size == 0:
		return refuse(proto.ReasonPayloadEmpty)
	case j.size > proto.MaxPayloadBroadcast:
		return refuse(proto.ReasonPayloadTooLarge)
	case !json.Valid(body) || bytes.TrimSpace(body)[0] != '{':
		return refuse(proto.ReasonBadRequestPayload)
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil && !errors.Is(err, io.EOF) {
		return refuse(proto.ReasonBadRequestParams)
	}
	c := j.c
	lenient := !c.srv.guesses().StrictChannelBody
	if lenient && in.Policy != nil {
		*in.Policy = bytes.Trim(*in.Policy, `"`)
	}
	var pushType string
	var policy int
	switch {
	case in.PushType == nil:
		return refuse(proto.ReasonMissingPushType)
	case json.Unmarshal(*in.PushType, &pushType) != nil,
		pushType != proto.ChannelPushType && !(lenient && strings.EqualFold(pushType, proto.ChannelPushType)):
		return refuse(proto.ReasonInvalidPushType)
	case in.Policy == nil || json.Unmarshal(*in.Policy, &policy) != nil || policy < 0 || policy > 1:
		return refuse(proto.ReasonMissingChannelQueueSize) // observed: hapns
	}
	ch, err := c.srv.makeChannel(strings.Clone(j.bundleID), policy, newChannelID(c.rng.Uint64(), c.rng.Uint64()))
	if err != nil {
		return refuse(proto.ReasonCannotCreateChannelConfig)
	}
	v := verdict{status: 201, managed: &managed{channelID: ch.ID}}
	if c.srv.guesses().CreateChannelOK {
		v.status = 200
	}
	return v
}

func (j *judged) readChannel() verdict {
	if v := j.channelID(); v.status != 0 {
		return v
	}
	s := j.c.srv
	ch, err := s.devices.channel(s.cfg.Environment, j.bundleID, j.req.get(fieldChannelID), j.now)
	if err != nil {
		return refuse(proto.ReasonChannelNotRegistered)
	}
	body, _ := json.Marshal(map[string]any{proto.MemberStoragePolicy: ch.Policy, proto.MemberPushType: proto.ChannelPushType})
	return verdict{status: 200, managed: &managed{body: body}}
}

func (j *judged) deleteChannel() verdict {
	if v := j.channelID(); v.status != 0 {
		return v
	}
	s := j.c.srv
	if s.devices.deleteChannel(s.cfg.Environment, j.bundleID, j.req.get(fieldChannelID)) != nil {
		return refuse(proto.ReasonChannelNotRegistered)
	}
	return verdict{status: 204, managed: &managed{}}
}

func (j *judged) listChannels() verdict {
	s := j.c.srv
	ids := []string{}
	for _, ch := range s.devices.channelList(s.cfg.Environment, j.bundleID, j.now) {
		ids = append(ids, ch.ID)
	}
	body, _ := json.Marshal(map[string]any{proto.MemberChannels: ids})
	return verdict{status: 200, managed: &managed{body: body}}
}

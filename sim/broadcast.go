package sim

import (
	"strings"
	"time"

	"aviso.example/internal/proto"
)

// broadcastOrder is the order of checks of a broadcast, near to that of
// APNSwift's test server; Apple documents none.
var broadcastOrder = []check{
	(*judged).broadcastPath, (*judged).duplicates, (*judged).credential, (*judged).requestID,
	(*judged).bundle, (*judged).capability, (*judged).channelID,
	(*judged).broadcastType, (*judged).broadcastExpiration, (*judged).broadcastPriority,
	(*judged).broadcastPayload,
}

// judgeBroadcast judges a push to a channel and hands it to the devices that
// listen ("Sending broadcast push notification requests to APNs").
func (c *conn) judgeBroadcast(st *stream, j *judged) verdict {
	for _, check := range broadcastOrder {
		if v := check(j); v.status != 0 {
			return v
		}
	}
	a := &j.arrival
	a.now = j.now
	if !c.srv.cfg.Lean {
		a.note = Notification{
			ID: c.idFor(st), Protocol: ProtocolHTTP2, Topic: strings.Clone(j.bundleID), PushType: string(proto.PushTypeLiveActivity),
			ChannelID: j.req.get(fieldChannelID), Time: j.now, Payload: append(Payload(nil), j.body...),
		}
	}
	v, reached := c.srv.devices.broadcast(a, j.bundleID, j.req.get(fieldChannelID), &c.srv.cfg)
	st.reached = reached
	return v
}

func (j *judged) broadcastPath() verdict {
	j.bundleID = strings.TrimPrefix(j.req.get(fieldPath), proto.PathBroadcast)
	switch {
	case j.bundleID == "" || strings.IndexByte(j.bundleID, '/') >= 0:
		return refuse(proto.ReasonBadPath)
	case j.req.get(fieldMethod) != "POST":
		return refuse(proto.ReasonMethodNotAllowed)
	}
	return pass
}

// broadcastType takes the word in any case: Apple's table prints it with a
// capital, its samples use both.
func (j *judged) broadcastType() verdict {
	switch name := j.req.get(fieldPushType); {
	case name == "":
		return refuse(proto.ReasonMissingPushType)
	case !strings.EqualFold(name, string(proto.PushTypeLiveActivity)):
		return refuse(proto.ReasonInvalidPushType)
	}
	return pass
}

func (j *judged) broadcastExpiration() verdict {
	if !j.req.has(fieldExpiration) {
		return refuse(proto.ReasonBadExpirationDate)
	}
	if v := j.expiration(); v.status != 0 {
		return v
	}
	if j.c.srv.guesses().RefuseLongBroadcastExpiration && j.arrival.expires.Sub(j.now) > proto.ChannelStorageMax+time.Second {
		return refuse(proto.ReasonBadExpirationDate)
	}
	return pass
}

func (j *judged) broadcastPriority() verdict {
	if v := j.prio(); v.status != 0 {
		return v
	}
	if j.priority == 0 || j.priority == 1 && j.c.srv.guesses().RefuseBroadcastPriority1 {
		return refuse(proto.ReasonBadPriority)
	}
	return pass
}

func (j *judged) broadcastPayload() verdict {
	g := j.c.srv.guesses()
	switch {
	case j.size == 0:
		return refuse(proto.ReasonPayloadEmpty)
	case j.size > proto.MaxPayloadBroadcast:
		return refuse(proto.ReasonPayloadTooLarge)
	case g.RefuseMalformedJSON && readActivityPush(j.body).problem == notJSON,
		g.RefuseBroadcastStart && readActivityPush(j.body).event == "start":
		return refuse(proto.ReasonBadRequestPayload)
	}
	return pass
}

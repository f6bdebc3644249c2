package sim

import (
	"strings"

	"golang.org/x/net/http2"

	"aviso.example/internal/proto"
)

// stream is a request that has not been answered completely.
type stream struct {
	id         uint32
	kind       requestKind
	ended      bool // the request is complete
	size       int
	body       []byte
	req        request
	recvWindow int64
	unsent     int64
	sendWindow int64
	answered   bool // the answer's headers were written
	pending    []byte
	padding    uint8
	tail       [][2]string // trailers
	inBlocked  bool
	judged     bool // recorded
	silent     bool // fault: never to be answered
	crossed    bool // with the first SETTINGS, beyond what they allow
	reached    int  // devices, by a broadcast
	madeID     string
	uniqueID   string
}

// topic is apns-topic, or the bundle identifier in the path of what has none.
func (st *stream) topic() string {
	path := st.req.get(fieldPath)
	switch st.kind {
	case requestBroadcast:
		return strings.TrimPrefix(path, proto.PathBroadcast)
	case requestManage:
		bundleID, _, _ := strings.Cut(strings.TrimPrefix(path, proto.PathApps), "/")
		return bundleID
	}
	return st.req.get(fieldTopic)
}

type closedStream struct {
	id uint32
	// byUs: we reset it, so that late frames are no error.
	byUs bool
}

func (c *conn) newStream(id uint32) *stream {
	var st *stream
	if n := len(c.free); n > 0 {
		st = c.free[n-1]
		c.free = c.free[:n-1]
	} else {
		st = &stream{}
	}
	req, body := st.req, st.body[:0]
	*st = stream{id: id, body: body, recvWindow: c.localWindow, sendWindow: c.peerWindow}
	// The block's request and the stream's change places: both keep their slices.
	st.req, c.block.req = c.block.req, req
	st.kind = kindOf(st.req.get(fieldPath))
	c.streams[id] = st
	c.active++
	return st
}

// remember notes that a stream has ended.
func (c *conn) remember(id uint32, byUs bool) {
	c.closedIDs[c.closedNext] = closedStream{id, byUs}
	c.closedNext = (c.closedNext + 1) % closedMemory
}

func (c *conn) wasClosed(id uint32) (known, byUs bool) {
	for _, s := range c.closedIDs {
		if s.id == id {
			return true, s.byUs
		}
	}
	return false, false
}

// drop forgets a stream. What was written for it still goes out.
func (c *conn) drop(st *stream, byUs bool) {
	if c.streams[st.id] != st {
		return
	}
	delete(c.streams, st.id)
	c.active--
	c.remember(st.id, byUs)
	if len(c.free) < 1024 && !st.inBlocked {
		c.free = append(c.free, st)
	}
	c.closeWhenDrained()
}

// resetStream sends RST_STREAM and forgets the stream.
func (c *conn) resetStream(id uint32, code http2.ErrCode) {
	c.count.ResetsSent++
	c.fr.WriteRSTStream(id, code)
	if st := c.streams[id]; st != nil {
		c.drop(st, true)
	} else {
		c.remember(id, true)
	}
}

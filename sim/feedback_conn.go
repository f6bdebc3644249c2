package sim

import (
	"encoding/hex"
	"fmt"
	"math"
)

// feedbackBatch is how many tuples of the usual 38 bytes go into one TLS record.
const feedbackBatch = 400

// tellFeedback writes the list of the app and closes. Nothing is expected from
// the client.
func (c *binaryConn) tellFeedback() error {
	cfg := &c.srv.cfg
	lists := &c.srv.binary.feedback
	removal := c.srv.guesses().Binary.FeedbackRemoval
	cut := c.faults.feedback.cut
	left := math.MaxInt // bytes until a fault cuts the connection
	if cut {
		left = c.faults.feedback.bytes
	}
	var told []feedbackEntry // what may have to be told again
	c.pause(c.faults.feedback.delay + cfg.RoundTrip)
	for {
		batch := lists.take(c.topic, feedbackBatch)
		if len(batch) == 0 && !cut {
			break
		}
		b, whole := encodeTuples(batch, left)
		if err := c.write(b); err != nil {
			// Nobody knows how much of it went.
			lists.giveBack(c.topic, append(told, batch...))
			return fmt.Errorf("telling feedback: %w", err)
		}
		lists.giveBack(c.topic, batch[whole:])
		if removal != RemoveWritten {
			told = append(told, batch[:whole]...)
		}
		c.mu.Lock()
		c.count.FeedbackTold += uint64(whole)
		c.mu.Unlock()
		if left -= len(b); cut && (left == 0 || len(batch) == 0) {
			lists.giveBack(c.topic, told)
			return errByFault
		}
	}
	confirmed := c.leaveInOrder()
	if removal == RemoveNever || removal == RemoveConfirmed && !confirmed {
		lists.giveBack(c.topic, told)
	}
	return nil
}

// encodeTuples encodes entries until there is no room any more, and returns how
// many of them are there whole.
func encodeTuples(entries []feedbackEntry, room int) (b []byte, whole int) {
	for _, e := range entries {
		raw, _ := hex.DecodeString(e.deviceToken) // checked when it was added
		b = appendTuple(b, uint32(min(max(e.since.Unix(), 0), math.MaxUint32)), raw)
		if len(b) >= room {
			if len(b) == room {
				whole++
			}
			return b[:room], whole
		}
		whole++
	}
	return b, whole
}

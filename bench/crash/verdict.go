package main

import "time"

const (
	// soon is how long anything may take that only waited for its turn: the goal.
	soon = time.Second
	// patience is how much longer than soon is forgiven, since the machine that
	// this runs on has other things to do.
	patience = 2 * time.Second
	// early is what two clocks of one machine may differ by, in milliseconds.
	early = 50 * time.Millisecond
)

// buryReason is what APNs answers to what is to become a dead letter.
const buryReason = "TopicDisallowed"

// wrong says what is wrong with the end of a notification, by what was asked for
// and by what the simulator saw.
func (j *judge) wrong(r *request, i int) string {
	at := r.base + i
	n, f := &j.notes[at], &j.fates[at]
	switch f.final {
	case "accepted":
		switch {
		case r.isDead(i):
			return "is called accepted and its device token is dead"
		case n.processed == 0:
			return "is called accepted and was never processed"
		}
	case "rejected":
		if n.processed > 0 {
			return "is called rejected and was processed"
		}
	case "unknown":
		if !r.drop {
			return "is called unknown, and could have been sent again"
		}
	case "expired":
		return j.wronglyExpired(r, f)
	case "cancelled":
		switch {
		case r.called.asked.IsZero():
			return "is called cancelled, and nobody called it back"
		case f.last.at.Before(r.called.asked.Add(-early)):
			return "is called cancelled from before it was called back"
		case n.processed > 0 && f.last.detail == "":
			return "is called cancelled and was processed, and the answer does not say that it may have been"
		}
	case "":
		if n.processed > 0 && r.answer != accepted {
			return "was sent and has no verdict"
		}
	}
	if r.answer == refused && (n.processed > 0 || f.finals > 0) {
		return "was refused and sent all the same"
	}
	return ""
}

func (j *judge) wronglyExpired(r *request, f *fate) string {
	switch {
	case r.expires.IsZero():
		return "is called expired, and nothing gave it a reason to be"
	case f.last.at.Before(r.expires.Add(-soon)):
		return "is called expired before its time"
	}
	return ""
}

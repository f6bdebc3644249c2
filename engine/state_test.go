package engine

import (
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"aviso.example/apns"
)

func TestDecide(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	day := now.Add(24 * time.Hour)
	since := now.Add(-time.Hour)
	rejected := func(status int, reason apns.Reason) error {
		return &apns.RejectedError{Status: status, Reason: reason}
	}
	for name, test := range map[string]struct {
		err         error
		until       time.Time
		earlier     uint32
		drop        bool
		want        State
		blame       blame
		least, most time.Duration // of the pause, before its end is rounded up
		buried      bool
	}{
		"accepted":                   {want: Accepted},
		"the request is wrong":       {err: rejected(400, apns.ReasonBadCollapseID), want: Rejected},
		"payload too large":          {err: rejected(413, apns.ReasonPayloadTooLarge), want: Rejected},
		"dead":                       {err: &apns.RejectedError{Status: 410, Reason: apns.ReasonUnregistered, Since: since}, want: Rejected},
		"wrong environment":          {err: rejected(400, apns.ReasonBadDeviceToken), want: Rejected, blame: blameTopic, buried: true},
		"topic not allowed":          {err: rejected(400, apns.ReasonTopicDisallowed), want: Rejected, blame: blameTopic, buried: true},
		"key refused":                {err: rejected(403, apns.ReasonInvalidProviderToken), want: Retrying, blame: blameCredential, least: time.Minute, most: 90 * time.Second},
		"unknown 403":                {err: rejected(403, "Whatever"), want: Retrying, blame: blameCredential, least: time.Minute, most: 90 * time.Second},
		"too many for the device":    {err: rejected(429, apns.ReasonTooManyRequests), want: Retrying, least: time.Second, most: 3 * time.Second / 2},
		"the same, the fourth time":  {err: rejected(429, apns.ReasonTooManyRequests), earlier: 3, want: Retrying, least: 8 * time.Second, most: 12 * time.Second},
		"provider tokens":            {err: rejected(429, apns.ReasonTooManyProviderTokenUpdates), want: Retrying, blame: blamePeer, least: 5 * time.Minute, most: 450 * time.Second},
		"unavailable":                {err: rejected(503, apns.ReasonServiceUnavailable), want: Retrying, blame: blamePeer, least: time.Second, most: 3 * time.Second / 2},
		"for hours":                  {err: rejected(500, apns.ReasonInternalServerError), earlier: 1000, want: Retrying, blame: blamePeer, least: 15 * time.Minute, most: 23 * time.Minute},
		"unknown 5xx":                {err: rejected(599, ""), want: Retrying, blame: blamePeer, least: time.Second, most: 3 * time.Second / 2},
		"as long as it asks":         {err: &apns.RejectedError{Status: 503, Reason: apns.ReasonServiceUnavailable, RetryAfter: time.Hour}, want: Retrying, blame: blamePeer, least: time.Hour, most: 90 * time.Minute},
		"beyond its time":            {err: rejected(503, apns.ReasonServiceUnavailable), until: now.Add(time.Millisecond), want: Expired, blame: blamePeer, buried: true},
		"no answer":                  {err: &apns.UnknownError{Cause: errors.New("reset")}, want: Retrying, least: time.Second, most: 3 * time.Second / 2},
		"no answer to a call":        {err: &apns.UnknownError{Cause: errors.New("reset")}, drop: true, want: Unknown},
		"not sent":                   {err: &apns.NotSentError{Cause: errors.New("no route")}, want: Retrying, blame: blamePeer, least: time.Second, most: 3 * time.Second / 2},
		"not sent, a call":           {err: &apns.NotSentError{Cause: errors.New("no route")}, drop: true, want: Retrying, blame: blamePeer, least: time.Second, most: 3 * time.Second / 2},
		"certificate refused":        {err: &apns.NotSentError{Reason: apns.ReasonBadCertificateEnvironment}, want: Retrying, blame: blameCredential, least: time.Minute, most: 90 * time.Second},
		"key cannot sign":            {err: &apns.NotSentError{Cause: &apns.ConnectError{Stage: "credential", Err: errors.New("x")}}, want: Retrying, blame: blameCredential, least: time.Minute, most: 90 * time.Second},
		"a rule that has changed":    {err: &apns.NotSentError{Cause: &apns.InvalidError{Problems: []apns.Problem{{Field: "Topic", Message: "is wrong"}}}}, want: Rejected},
		"expired while being handed": {err: &apns.NotSentError{Cause: &apns.InvalidError{Problems: []apns.Problem{{Field: "Expiration", Message: "has passed"}}}}, until: now, want: Expired},
		"something else entirely":    {err: errors.New("surprise"), want: Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			until := day
			if !test.until.IsZero() {
				until = test.until
			}
			spread := rand.Float64()
			d := decide(attempt{err: test.err, earlier: test.earlier, now: now, until: until, dropUnknown: test.drop, spread: spread})
			if d.state != test.want || d.blame != test.blame || d.buried != test.buried {
				t.Errorf("%+v", d)
			}
			// Rounding up adds an eighth at most, or a second.
			if pause := d.retryAt.Sub(now); test.want == Retrying && (pause < test.least || pause > test.most+max(time.Second, test.most/8)) {
				t.Errorf("a pause of %v", pause)
			}
			_, notSent := test.err.(*apns.NotSentError)
			if d.counts == notSent {
				t.Errorf("counts %v", d.counts)
			}
		})
	}
	if d := decide(attempt{err: &apns.RejectedError{Status: 410, Since: since}, now: now, until: day}); !d.deadSince.Equal(since) {
		t.Errorf("%+v", d)
	}
}

// Every reason that Apple documents has one of the ends that its action asks for.
func TestDecideEveryReason(t *testing.T) {
	now := time.Now()
	for info := range apns.Reasons() {
		d := decide(attempt{err: &apns.RejectedError{Status: info.Status, Reason: info.Reason}, now: now, until: now.Add(24 * time.Hour)})
		var want State
		switch {
		case info.Status == 403, info.Action == apns.SlowDown, info.Action == apns.RetryLater, info.Action == apns.RenewProviderToken:
			want = Retrying
		default:
			want = Rejected
		}
		if d.state != want {
			t.Errorf("%d %s (%s) is %s, want %s", info.Status, info.Reason, info.Action, d.state, want)
		}
	}
}

// A mass of 410s is not believed.
func TestGuard(t *testing.T) {
	var g guard
	g.add(900, 10)
	if g.tripped() {
		t.Error("ten of 900")
	}
	g.add(300, 290)
	if g.dead+g.oldDead != 300 || g.sent+g.oldSent != 1200 || g.tripped() {
		t.Errorf("a quarter: %+v", g)
	}
	g.add(300, 290)
	if !g.tripped() {
		t.Errorf("40 %%: %+v", g)
	}
	for range 4 {
		g.add(1000, 5)
	}
	if g.tripped() {
		t.Errorf("it is long over: %+v", g)
	}
}

func TestStateText(t *testing.T) {
	for s := Queued; s <= Unknown; s++ {
		text, _ := s.MarshalText()
		var back State
		if err := back.UnmarshalText(text); err != nil || back != s {
			t.Errorf("%s: %v %v", text, back, err)
		}
	}
	var s State
	if s.UnmarshalText([]byte("delivered")) == nil {
		t.Error("nobody can know that something was delivered")
	}
	for l := Urgent; l < lanes; l++ {
		text, _ := l.MarshalText()
		var back Lane
		if err := back.UnmarshalText(text); err != nil || back != l {
			t.Errorf("%s: %v %v", text, back, err)
		}
	}
}

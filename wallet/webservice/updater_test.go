package webservice_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/wallet/webservice"
	"aviso.example/wallet/webservice/storetest"
)

// sender answers as it is told, one notification at a time.
type sender struct {
	answer func(*apns.Notification) error
	sent   []*apns.Notification
}

func (s *sender) PushAll(ctx context.Context, notifications iter.Seq[*apns.Notification]) iter.Seq[apns.Result] {
	return func(yield func(apns.Result) bool) {
		for n := range notifications {
			err := ctx.Err()
			if err != nil {
				err = &apns.NotSentError{Cause: err}
			} else {
				s.sent = append(s.sent, n)
				if s.answer != nil {
					err = s.answer(n)
				}
			}
			if !yield(apns.Result{Notification: n, Outcome: apns.OutcomeOf(err), Err: err}) {
				return
			}
		}
	}
}

// outbox is an updater over a store in memory, with its clock set by hand.
type outbox struct {
	*testing.T
	clock
	store   storetest.Memory
	sender  sender
	updater *webservice.Updater
	heard   []webservice.PushOutcome
	logs    bytes.Buffer
}

func newOutbox(t *testing.T, change func(*webservice.UpdaterConfig)) *outbox {
	t.Helper()
	o := &outbox{T: t}
	o.at = time.Date(2026, 11, 24, 9, 41, 0, 0, time.UTC)
	cfg := webservice.UpdaterConfig{
		Store: &o.store, Senders: map[string]webservice.Sender{passType: &o.sender}, Now: o.now,
		OnOutcome: func(p webservice.PushOutcome) { o.heard = append(o.heard, p) },
		Logger:    slog.New(slog.NewTextHandler(&o.logs, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if o.updater, err = webservice.NewUpdater(cfg); err != nil {
		t.Fatal(err)
	}
	return o
}

// register gives each device a pass with the same serial number.
func (o *outbox) register(devices ...string) {
	o.Helper()
	for i, device := range devices {
		_, err := o.store.Register(o.Context(), webservice.Registration{
			ID: webservice.ID{Type: passType, Serial: "SN-1"}, Device: device, DeviceToken: fmt.Sprintf("%04x", i), Time: o.now(),
		})
		if err != nil {
			o.Fatal(err)
		}
	}
}

func (o *outbox) changed(want webservice.Change) {
	o.Helper()
	if got, err := o.updater.Changed(o.Context(), passType, "SN-1"); err != nil || got != want {
		o.Fatalf("%+v, %v; want %+v", got, err, want)
	}
}

func (o *outbox) push(want webservice.Report) {
	o.Helper()
	got, err := o.updater.Push(o.Context(), passType)
	if err != nil || got != want {
		o.Fatalf("%+v, %v; want %+v", got, err, want)
	}
}

func rejected(status int, reason apns.Reason, since time.Time) error {
	return &apns.RejectedError{Status: status, Reason: reason, Since: since}
}

// TestWhatFollows has a row for each kind of outcome.
func TestWhatFollows(t *testing.T) {
	begin := newOutbox(t, nil).now()
	unreachable := &apns.NotSentError{Cause: &apns.ConnectError{Stage: "tcp", Err: errors.New("refused")}}
	for name, tt := range map[string]struct {
		answer  error
		want    webservice.Report
		verdict webservice.Verdict
		stays   bool // registered
	}{
		"accepted":              {nil, webservice.Report{Accepted: 1}, webservice.Told, true},
		"410, later":            {rejected(410, apns.ReasonUnregistered, begin.Add(time.Second)), webservice.Report{Rejected: 1, Removed: 1}, webservice.Gone, false},
		"410 ExpiredToken":      {rejected(410, apns.ReasonExpiredToken, begin.Add(time.Second)), webservice.Report{Rejected: 1, Removed: 1}, webservice.Gone, false},
		"410, same time":        {rejected(410, apns.ReasonUnregistered, begin), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"410, before":           {rejected(410, apns.ReasonUnregistered, begin.Add(-time.Hour)), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"410, no time":          {rejected(410, apns.ReasonUnregistered, time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"BadDeviceToken":        {rejected(400, apns.ReasonBadDeviceToken, time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"not for the topic":     {rejected(400, apns.ReasonDeviceTokenNotForTopic, time.Time{}), webservice.Report{Rejected: 1}, webservice.Told, true},
		"the push type":         {rejected(400, apns.ReasonInvalidPushType, time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"a new word":            {rejected(400, "Surprise", time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"TopicDisallowed":       {rejected(400, apns.ReasonTopicDisallowed, time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"certificate":           {rejected(403, apns.ReasonBadCertificate, time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"too many":              {rejected(429, apns.ReasonTooManyRequests, time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"APNs is unavailable":   {rejected(503, apns.ReasonServiceUnavailable, time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"a word nobody knows":   {rejected(500, "Surprise", time.Time{}), webservice.Report{Rejected: 1, Again: 1}, webservice.Later, true},
		"not sent":              {unreachable, webservice.Report{NotSent: 1, Again: 1}, webservice.Later, true},
		"not sent, and invalid": {&apns.NotSentError{Cause: &apns.InvalidError{}}, webservice.Report{NotSent: 1}, webservice.Told, true},
		"unknown":               {&apns.UnknownError{Cause: apns.ErrTimeout}, webservice.Report{Unknown: 1, Again: 1}, webservice.Later, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOutbox(t, nil)
			o.register(phone)
			o.sender.answer = func(*apns.Notification) error { return tt.answer }
			o.changed(webservice.Change{Known: 1, Queued: 1})
			o.push(tt.want)
			if len(o.heard) != 1 || o.heard[0].Verdict != tt.verdict || o.heard[0].Device != phone || o.heard[0].Outcome != apns.OutcomeOf(tt.answer) ||
				o.heard[0].Again.IsZero() != (tt.verdict != webservice.Later) {
				t.Errorf("heard %+v", o.heard)
			}
			u, err := o.store.Updated(t.Context(), phone, passType, 0)
			if err != nil || (len(u.Serials) == 1) != tt.stays {
				t.Errorf("registered: %v, %v", u, err)
			}
			// At once there is nothing more to do, and later only what failed for now.
			o.push(webservice.Report{})
			o.sender.answer = nil
			o.advance(time.Minute)
			want := webservice.Report{}
			if tt.verdict == webservice.Later {
				want.Accepted = 1
			}
			o.push(want)
			o.push(webservice.Report{})
			if strings.Contains(o.logs.String(), phone) || strings.Contains(o.logs.String(), "SN-1") {
				t.Errorf("the log names people:\n%s", o.logs.String())
			}
		})
	}
}

func TestNotification(t *testing.T) {
	o := newOutbox(t, nil)
	o.register(phone)
	o.changed(webservice.Change{Known: 1, Queued: 1})
	o.push(webservice.Report{Accepted: 1})
	n := o.sender.sent[0]
	if n.DeviceToken != "0000" || n.Topic != passType || n.PushType != "" || n.Priority != 0 || string(n.Payload) != "{}" || n.CollapseID != "" {
		t.Errorf("%+v", n)
	}
	if err := n.Validate("", o.now()); err != nil {
		t.Error(err)
	}

	o = newOutbox(t, func(cfg *webservice.UpdaterConfig) { cfg.PushType = apns.PushTypeBackground })
	o.register(phone)
	o.changed(webservice.Change{Known: 1, Queued: 1})
	o.push(webservice.Report{Accepted: 1})
	if n := o.sender.sent[0]; n.PushType != apns.PushTypeBackground || n.Validate("", o.now()) != nil {
		t.Errorf("%+v", n)
	}
}

// What APNs keeps refusing is given up in the end; the device keeps its registration,
// and the next change is pushed again.
func TestGivingUp(t *testing.T) {
	o := newOutbox(t, nil)
	o.register(phone)
	o.sender.answer = func(*apns.Notification) error { return rejected(429, apns.ReasonTooManyRequests, time.Time{}) }
	o.changed(webservice.Change{Known: 1, Queued: 1})
	began := o.now()
	for len(o.heard) == 0 || o.heard[len(o.heard)-1].Verdict == webservice.Later {
		if _, err := o.updater.Push(t.Context(), passType); err != nil {
			t.Fatal(err)
		}
		if last := o.heard[len(o.heard)-1]; last.Verdict == webservice.Later {
			o.advance(last.Again.Sub(o.now()))
		}
		if len(o.heard) > 100 {
			t.Fatal("it never ends")
		}
	}
	if n, took := len(o.heard), o.now().Sub(began); n != 14 || took < 24*time.Hour || took > 36*time.Hour {
		t.Errorf("%d attempts in %v", n, took)
	}
	for i, h := range o.heard[:13] {
		wait := h.Again.Sub(began)
		if i > 0 {
			wait = h.Again.Sub(o.heard[i-1].Again)
		}
		if most := min(time.Minute<<i, 6*time.Hour); wait > most || wait < most*4/5 {
			t.Errorf("after attempt %d it waited %v of %v", i+1, wait, most)
		}
	}
	o.sender.answer = nil
	o.push(webservice.Report{})
	o.changed(webservice.Change{Known: 1, Queued: 1})
	o.push(webservice.Report{Accepted: 1})
}

// What has nothing to do with the device is not held against it, however long it
// lasts: a certificate that expired before a long weekend loses no update.
func TestTroubleOfWeeks(t *testing.T) {
	for _, down := range []error{
		rejected(403, apns.ReasonBadCertificate, time.Time{}),
		rejected(503, apns.ReasonServiceUnavailable, time.Time{}),
		&apns.NotSentError{Cause: &apns.ConnectError{Stage: "tcp", Err: errors.New("refused")}},
		&apns.UnknownError{Cause: apns.ErrTimeout},
	} {
		o := newOutbox(t, nil)
		o.register(phone)
		o.sender.answer = func(*apns.Notification) error { return down }
		o.changed(webservice.Change{Known: 1, Queued: 1})
		for range 14 * 24 {
			if _, err := o.updater.Push(t.Context(), passType); err != nil {
				t.Fatal(err)
			}
			o.advance(time.Hour)
		}
		o.advance(6 * time.Hour)
		o.sender.answer = nil
		if report, err := o.updater.Push(t.Context(), passType); err != nil || report.Accepted != 1 {
			t.Errorf("after %v: %+v, %v", down, report, err)
		}
		if len(o.heard) > 80 {
			t.Errorf("%d attempts in two weeks", len(o.heard))
		}
	}
}

// An outage must not have every one of a million pushes tried in vain.
func TestTroubleEndsTheRound(t *testing.T) {
	for _, down := range []*apns.RejectedError{
		{Status: 403, Reason: apns.ReasonBadCertificate},
		{Status: 400, Reason: apns.ReasonBadDeviceToken},  // of all: it is the wrong environment
		{Status: 400, Reason: apns.ReasonInvalidPushType}, // all are sent with the same one
	} {
		t.Run(string(down.Reason), func(t *testing.T) { troubleEndsTheRound(t, down) })
	}
}

func troubleEndsTheRound(t *testing.T, down *apns.RejectedError) {
	o := newOutbox(t, nil)
	var devices []string
	for i := range 2500 {
		devices = append(devices, fmt.Sprint("d", i))
	}
	o.register(devices...)
	o.sender.answer = func(*apns.Notification) error { return down }
	o.changed(webservice.Change{Known: 1, Queued: 2500})
	report, err := o.updater.Push(t.Context(), passType)
	if err != nil || report.Rejected != 20 || report.Again != 20 || report.Trouble != error(down) || len(o.sender.sent) != 20 {
		t.Fatalf("%+v, %v", report, err)
	}
	if !strings.Contains(o.logs.String(), "level=WARN") || !strings.Contains(o.logs.String(), string(down.Reason)) {
		t.Error(o.logs.String())
	}
	// The rest has lost nothing: it is due at once, and is no attempt further.
	o.sender.answer, o.heard = nil, nil
	o.push(webservice.Report{Accepted: 2480})
	if slices.ContainsFunc(o.heard, func(p webservice.PushOutcome) bool { return p.Attempts != 0 }) {
		t.Error("what was not tried counts as tried")
	}
	o.advance(time.Minute)
	o.push(webservice.Report{Accepted: 20})
}

// What was under way when the context ended is pushed at once by the next round.
func TestContextEnds(t *testing.T) {
	o := newOutbox(t, nil)
	o.register("d1", "d2", "d3", "d4")
	o.changed(webservice.Change{Known: 1, Queued: 4})
	ctx, cancel := context.WithCancel(t.Context())
	o.sender.answer = func(n *apns.Notification) error {
		switch len(o.sender.sent) {
		case 2:
			cancel()
			return &apns.UnknownError{Cause: context.Canceled}
		default:
			return nil
		}
	}
	report, err := o.updater.Push(ctx, passType)
	if err != nil || report.Accepted != 1 || report.Unknown != 1 || report.NotSent > 1 {
		t.Fatalf("%+v, %v", report, err)
	}
	o.sender.answer = nil
	o.push(webservice.Report{Accepted: 3})
	if ctx.Err() == nil {
		t.Error("the context did not end")
	}
}

// A crash leaves claims behind; they come again when the lease is over.
func TestCrashWhilePushing(t *testing.T) {
	o := newOutbox(t, nil)
	o.register("d1", "d2", "d3")
	o.changed(webservice.Change{Known: 1, Queued: 3})
	func() {
		defer func() { recover() }()
		o.sender.answer = func(*apns.Notification) error { panic("power loss") }
		o.updater.Push(t.Context(), passType)
	}()
	o.sender.answer = nil
	o.push(webservice.Report{})
	o.advance(webservice.DefaultLease)
	o.push(webservice.Report{Accepted: 3})
}

func TestUpdaterErrors(t *testing.T) {
	_, err := webservice.NewUpdater(webservice.UpdaterConfig{Interval: 15, Lease: 48 * time.Hour})
	for _, want := range []string{"Store is missing", "Senders is empty", "Interval is 15ns", "Lease is 48h"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}
	_, err = webservice.NewUpdater(webservice.UpdaterConfig{
		Store: &storetest.Memory{}, PushType: "silent",
		Senders: map[string]webservice.Sender{"nodots": &sender{}, "pass.com.example": nil},
	})
	for _, want := range []string{`Senders["nodots"]: the notification's Topic has no dot`, `Senders["pass.com.example"] is nil`, "PushType is not one of"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s is not in %v", want, err)
		}
	}

	o := newOutbox(t, nil)
	if _, err := o.updater.Changed(t.Context(), "pass.com.example.cart", "1"); err == nil || !strings.Contains(err.Error(), `did you mean "`+passType) {
		t.Error(err)
	}
	if _, err := o.updater.Push(t.Context(), "other"); err == nil {
		t.Error("it pushed for a type that it does not have")
	}
	_, err = o.updater.Changed(t.Context(), passType, "ok", "", strings.Repeat("secret", 200))
	if err == nil || !strings.Contains(err.Error(), "serials[1] is empty") || !strings.Contains(err.Error(), "serials[2] has 1200 bytes; the limit is 1024") || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}

	full := errors.New("disk full")
	o = newOutbox(t, func(cfg *webservice.UpdaterConfig) { cfg.Store = failingStore{full} })
	if _, err := o.updater.Changed(t.Context(), passType, "1"); !errors.Is(err, full) {
		t.Error(err)
	}
	if _, err := o.updater.Push(t.Context(), passType); !errors.Is(err, full) {
		t.Error(err)
	}
}

// settleFails is a store that forgets outcomes, for a while.
type settleFails struct {
	webservice.Store
	mu  sync.Mutex
	err error
}

func (s *settleFails) Settle(ctx context.Context, list []webservice.Settlement) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	return s.Store.Settle(ctx, list)
}

// Outcomes that cannot be written down are repeated, and end the round.
func TestOutcomesCannotBeStored(t *testing.T) {
	var failing *settleFails
	o := newOutbox(t, func(cfg *webservice.UpdaterConfig) {
		failing = &settleFails{Store: cfg.Store, err: errors.New("disk full")}
		cfg.Store = failing
	})
	var devices []string
	for i := range 2500 {
		devices = append(devices, fmt.Sprint("d", i))
	}
	o.register(devices...)
	o.changed(webservice.Change{Known: 1, Queued: 2500})
	report, err := o.updater.Push(t.Context(), passType)
	if !errors.Is(err, failing.err) || report.Accepted != 1000 {
		t.Fatalf("%+v, %v", report, err)
	}
	failing.err = nil
	o.advance(webservice.DefaultLease)
	o.push(webservice.Report{Accepted: 2500})
}

// TestRun follows Run through some hours of virtual time: a change, an outage, its
// end, and a change that another process made.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var heard []webservice.PushOutcome
		var at []time.Time
		var down atomic.Bool
		down.Store(true)
		o := newOutbox(t, func(cfg *webservice.UpdaterConfig) {
			cfg.Now = time.Now
			cfg.OnOutcome = func(p webservice.PushOutcome) {
				mu.Lock()
				defer mu.Unlock()
				heard, at = append(heard, p), append(at, time.Now())
			}
		})
		o.at = time.Now()
		o.register(phone)
		o.sender.answer = func(*apns.Notification) error {
			if down.Load() {
				return &apns.NotSentError{Cause: errors.New("unreachable")}
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- o.updater.Run(ctx) }()
		// sleep returns what was heard meanwhile.
		sleep := func(d time.Duration) ([]webservice.PushOutcome, []time.Time) {
			time.Sleep(d)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			defer func() { heard, at = nil, nil }()
			return heard, at
		}
		if heard, _ := sleep(time.Hour); len(heard) > 0 {
			t.Errorf("before any change: %+v", heard)
		}

		changed := time.Now()
		o.changed(webservice.Change{Known: 1, Queued: 1})
		heard1, at1 := sleep(30 * time.Minute)
		if len(heard1) < 5 || at1[0] != changed { // at once, and after 1, 2, 4 and 8 minutes at most
			t.Fatalf("%d attempts, the first at %v", len(heard1), at1)
		}
		for _, p := range heard1 {
			if p.Outcome != apns.NotSent || p.Verdict != webservice.Later {
				t.Errorf("%+v", p)
			}
		}
		due := heard1[len(heard1)-1].Again

		down.Store(false)
		heard2, at2 := sleep(time.Hour)
		if len(heard2) != 1 || heard2[0].Outcome != apns.Accepted || at2[0].Before(due) || at2[0].Sub(due) > webservice.DefaultInterval {
			t.Errorf("after the outage: %+v at %v, due at %v", heard2, at2, due)
		}

		changed = time.Now()
		if _, err := o.store.Change(t.Context(), passType, []string{"SN-1"}, changed); err != nil {
			t.Error(err)
		}
		heard3, at3 := sleep(webservice.DefaultInterval)
		if len(heard3) != 1 || at3[0].Sub(changed) > webservice.DefaultInterval {
			t.Errorf("another process's change: %+v at %v", heard3, at3)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// While the credential is refused, more changes are no reason to try more often.
func TestRunPausesInTrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOutbox(t, func(cfg *webservice.UpdaterConfig) { cfg.Now, cfg.OnOutcome = time.Now, nil })
		o.at = time.Now()
		for i := range 30 {
			o.register(fmt.Sprint("d", i))
		}
		var refused atomic.Int64
		var fixed atomic.Bool
		o.sender.answer = func(*apns.Notification) error {
			if fixed.Load() {
				return nil
			}
			refused.Add(1)
			return rejected(403, apns.ReasonBadCertificate, time.Time{})
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- o.updater.Run(ctx) }()
		for range 600 {
			o.changed(webservice.Change{Known: 1, Queued: 30})
			time.Sleep(time.Second)
		}
		if n := refused.Load(); n < 40 || n > 120 { // after 0, 30, 90, 210 and 450 seconds, 20 each
			t.Errorf("%d pushes were refused in ten minutes", n)
		}
		fixed.Store(true)
		time.Sleep(5*time.Minute + time.Second)
		cancel()
		<-ended
		o.push(webservice.Report{})
	})
}

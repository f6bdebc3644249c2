package engine

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/internal/proto"
	"aviso.example/sim"
)

func (r *rig) only(receipt *Receipt) Delivery {
	r.t.Helper()
	r.wait(receipt.Message)
	d, err := r.Delivery(r.t.Context(), receipt.Message.ID(0))
	if err != nil {
		r.t.Fatal(err)
	}
	return d
}

func states(d Delivery) string {
	var list []string
	for _, v := range d.History {
		list = append(list, v.State.String())
	}
	return strings.Join(append(list, d.State.String()), " ")
}

// What APNs asks to send later goes to the disk and comes again.
func TestRetryLater(t *testing.T) { virtually(t, testRetryLater) }

func testRetryLater(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	for _, reason := range []apns.Reason{apns.ReasonServiceUnavailable, apns.ReasonTooManyRequests, apns.ReasonInternalServerError} {
		apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: proto.Reason(reason), Count: 1})
		d := r.only(r.submit(hello(), Target{DeviceToken: apple.DeviceToken}))
		if got := states(d); got != "retrying accepted" || d.Attempts != 2 || d.History[0].Reason != reason || d.History[0].RetryAt.IsZero() {
			t.Errorf("%s: %s %+v", reason, got, d)
		}
	}
}

// A retry survives the engine.
func TestRetrySurvives(t *testing.T) { virtually(t, testRetrySurvives) }

func testRetrySurvives(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", Count: 1})
	receipt := r.submit(hello(), Target{DeviceToken: apple.DeviceToken})
	for {
		d, err := r.Delivery(t.Context(), receipt.Message.ID(0))
		if err != nil {
			t.Fatal(err)
		}
		if d.State == Retrying {
			break
		}
		time.Sleep(time.Millisecond)
	}
	r.close()
	r.open()
	if d := r.only(receipt); states(d) != "retrying accepted" {
		t.Error(states(d))
	}
	if n := apple.Stats().Accepted; n != 1 {
		t.Errorf("APNs accepted %d", n)
	}
}

// again puts a further copy of a notification on the log, as a process leaves it
// that ends between writing a retry and its verdict.
func (r *rig) again(receipt *Receipt, token string) {
	r.t.Helper()
	_, environment, tm, err := r.template(hello(), time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, _ := parseTarget(&Target{DeviceToken: token})
	unit, number := split(receipt.Message.First)
	tm.first, tm.count, tm.accepted = number, 1, 1
	parsed.number, parsed.round, parsed.attempts = number, 1, 1
	c := chunk{path: path{"shop", environment, Normal}, unit: unit, at: time.Now().UnixMilli(), templates: []template{tm}, targets: []target{parsed}}
	if err := r.putLater(r.t.Context(), &c, due{at: time.Now().Unix()}); err != nil {
		r.t.Fatal(err)
	}
}

// waitDone waits until so many chunks have left the queue.
func (r *rig) waitDone(chunks uint64) {
	r.t.Helper()
	q := r.knownQueue(path{"shop", apns.Sandbox, Normal}, BatchID{})
	for end := time.Now().Add(20 * time.Second); q.finished.Load() < chunks; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			r.dump()
			r.t.Fatalf("%d chunks are done, not %d", q.finished.Load(), chunks)
		}
	}
}

// What has ended is not sent again by a retry that is left over.
func TestRetryLeftOver(t *testing.T) { virtually(t, testRetryLeftOver) }

func testRetryLeftOver(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	receipt := r.submit(hello(), Target{DeviceToken: apple.DeviceToken})
	r.only(receipt)
	r.again(receipt, apple.DeviceToken)
	r.waitDone(2)
	if d := r.only(receipt); states(d) != "accepted" {
		t.Error(states(d))
	}
	if n := apple.Stats().Processed; n != 1 {
		t.Errorf("APNs has it %d times", n)
	}
}

// Nor is one sent beside what is under way.
func TestRetryBeside(t *testing.T) { virtually(t, testRetryBeside) }

func testRetryBeside(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	r.only(r.submit(hello(), Target{DeviceToken: device(1)})) // opens more than one stream
	apple.AddFault(t, sim.Fault{Kind: sim.FaultSilence, Count: 1})
	receipt := r.submit(hello(), Target{DeviceToken: apple.DeviceToken})
	apple.WaitForPush(t, sim.Filter{Outcome: sim.NotProcessed})
	r.again(receipt, apple.DeviceToken)
	time.Sleep(2500 * time.Millisecond) // it is due within one second
	if n := apple.Stats().Requests; n != 2 {
		t.Errorf("APNs was asked %d times", n)
	}
	apple.AddFault(t, sim.Fault{Kind: sim.FaultResetConnection, Now: true})
	r.waitDone(4)
	if d := r.only(receipt); states(d) != "retrying accepted" {
		t.Error(states(d))
	}
	if n := apple.Stats().Processed; n != 2 {
		t.Errorf("APNs has it %d times", n)
	}
}

// An answer that never came is another attempt, unless that must not be.
func TestUnknown(t *testing.T) { virtually(t, testUnknown) }

func testUnknown(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultResetStream, Processed: true, Count: 1})
	if d := r.only(r.submit(hello(), Target{DeviceToken: apple.DeviceToken})); states(d) != "retrying accepted" || d.History[0].Detail == "" {
		t.Errorf("%s %+v", states(d), d)
	}
	apple.AddFault(t, sim.Fault{Kind: sim.FaultResetStream, Processed: true, Count: 1})
	m := hello()
	m.DropUnknown = true
	if d := r.only(r.submit(m, Target{DeviceToken: apple.DeviceToken})); states(d) != "sending unknown" {
		t.Errorf("%s %+v", states(d), d)
	}
}

// What is wrong with one notification ends it and nothing else.
func TestRejected(t *testing.T) { virtually(t, testRejected) }

func testRejected(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "BadDeviceToken", Nth: 2})
	receipt := r.submit(hello(), devices(0, 3)...)
	if s := r.wait(receipt.Message); s.States[Accepted] != 2 || s.States[Rejected] != 1 || s.Reasons[apns.ReasonBadDeviceToken] != 1 {
		t.Errorf("%+v", s)
	}
	if n := r.dead.size(); n != 0 {
		t.Errorf("BadDeviceToken put %d on the suppression list", n)
	}
	letters, err := r.DeadLetters(t.Context(), "", "", 0, 10)
	if err != nil || len(letters) != 1 || len(letters[0].IDs) != 1 {
		t.Fatalf("%+v, %v", letters, err)
	}
	// Somebody put it right and has it sent again.
	if err := r.RetryDeadLetters(t.Context(), letters[0].Number); err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		s, err := r.Message(t.Context(), receipt.Message)
		if err != nil {
			t.Fatal(err)
		}
		if s.Done && s.States[Accepted] == 3 {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%+v", s)
		}
	}
	if letters, err := r.DeadLetters(t.Context(), "shop", "", 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("%+v, %v", letters, err)
	}
}

// A dead device token is not sent to again, until the app registers it anew.
func TestSuppression(t *testing.T) { virtually(t, testSuppression) }

func testSuppression(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	since := time.Now().Add(-time.Hour).Truncate(time.Second)
	if err := apple.Devices().Put(sim.Device{DeviceToken: device(1), Environment: sim.Sandbox, Topics: []string{apple.Topic}, State: sim.Unregistered, Since: since}, time.Now()); err != nil {
		t.Fatal(err)
	}
	d := r.only(r.submit(hello(), Target{DeviceToken: device(1)}))
	if d.State != Rejected || d.Status != 410 || d.Suppressed || !d.DeadSince.Equal(since) {
		t.Fatalf("%+v", d)
	}
	before := apple.Stats()
	for range 2 {
		if d := r.only(r.submit(hello(), Target{DeviceToken: device(1)})); d.State != Rejected || !d.Suppressed || d.Reason != apns.ReasonUnregistered || !d.DeadSince.Equal(since) {
			t.Errorf("%+v", d)
		}
		r.close() // the list outlives the engine
		r.open()
	}
	if after := apple.Stats(); after.Rejected != before.Rejected {
		t.Error("APNs was asked again")
	}
	if err := apple.Devices().SetState(device(1), sim.Active, time.Time{}, time.Now()); err != nil {
		t.Fatal(err)
	}
	if d := r.only(r.submit(hello(), Target{DeviceToken: device(1), RegisteredAt: since.Add(time.Minute)})); d.State != Accepted {
		t.Errorf("%+v", d)
	}
	if d := r.only(r.submit(hello(), Target{DeviceToken: device(1)})); d.State != Accepted {
		t.Errorf("%+v", d)
	}
	feed, _, err := r.DeadTokens(t.Context(), "shop", 0, 10)
	if err != nil || len(feed) != 2 || feed[0].DeviceToken != device(1) || feed[0].Revived || !feed[1].Revived {
		t.Errorf("%+v, %v", feed, err)
	}
}

// Expiry is honoured in the queue.
func TestExpiry(t *testing.T) { virtually(t, testExpiry) }

func testExpiry(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	m := hello()
	m.Notification.Expiration = apns.ExpireAt(time.Now().Add(2 * time.Second))
	receipt := r.submit(m, Target{DeviceToken: apple.DeviceToken})
	time.Sleep(2100 * time.Millisecond)
	if err := r.ResumeApp(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	if d := r.only(receipt); d.State != Expired || d.Attempts != 0 || d.Buried {
		t.Errorf("%+v", d)
	}
	if n := apple.Stats().Accepted; n != 0 {
		t.Errorf("%d sent after its time", n)
	}
}

// What is scheduled waits for its time, and can be called back.
func TestScheduled(t *testing.T) { virtually(t, testScheduled) }

func testScheduled(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	m := hello()
	m.SendAt = time.Now().Add(1500 * time.Millisecond)
	receipt := r.submit(m, Target{DeviceToken: apple.DeviceToken})
	back := r.submit(m, Target{DeviceToken: device(2)})
	d, err := r.Delivery(t.Context(), receipt.Message.ID(0))
	if err != nil || d.State != Scheduled || d.RetryAt.Sub(m.SendAt) >= time.Millisecond || d.RetryAt.Before(m.SendAt) {
		t.Errorf("%+v, %v", d, err)
	}
	if err := r.CancelMessage(t.Context(), back.Message); err != nil {
		t.Fatal(err)
	}
	if d, err := r.Delivery(t.Context(), back.Message.ID(0)); err != nil || d.State != Cancelled {
		t.Errorf("%+v, %v", d, err)
	}
	r.close()
	r.open()
	if d := r.only(receipt); d.State != Accepted || d.At.Before(m.SendAt) || d.At.After(m.SendAt.Add(onTime)) {
		t.Errorf("%+v, due at %v", d, m.SendAt)
	}
	if d := r.only(back); d.State != Cancelled {
		t.Errorf("%+v", d)
	}
	if n := apple.Stats().Accepted; n != 1 {
		t.Errorf("APNs accepted %d", n)
	}
}

// A credential that is refused pauses its app, loses nothing, and touches no
// other app.
func TestCredentialRefused(t *testing.T) { virtually(t, testCredentialRefused) }

func testCredentialRefused(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple, func(cfg *Config) {
		other := testApp(t, apple, "other")
		cfg.Apps = append(cfg.Apps, other)
	})
	bad := r.cfg.Apps[0]
	credential := *bad.Sandbox
	credential.TeamID = "WRONGTEAM1"
	bad.Sandbox = &credential
	if err := r.SetApps([]App{bad, r.cfg.Apps[1]}); err != nil {
		t.Fatal(err)
	}
	receipt := r.submit(hello(), devices(0, 50)...)
	other := hello()
	other.App = "other"
	if s := r.wait(r.submit(other, devices(100, 150)...).Message); s.States[Accepted] != 50 {
		t.Errorf("the other app: %+v", s)
	}
	for end := time.Now().Add(10 * time.Second); len(r.gates.holds("shop")) == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it was not paused")
		}
	}
	if h := r.gates.holds("shop"); !strings.Contains(h[0].Reason, "InvalidProviderToken") {
		t.Errorf("%+v", h)
	}
	s, err := r.Message(t.Context(), receipt.Message)
	if err != nil || s.States[Rejected] != 0 || s.Done {
		t.Errorf("%+v, %v", s, err)
	}
	if h := r.gates.holds("other"); len(h) != 0 {
		t.Errorf("%+v", h)
	}
}

// Calls do not wait behind a campaign.
func TestUrgentOvertakes(t *testing.T) { virtually(t, testUrgentOvertakes) }

func testUrgentOvertakes(t *testing.T) {
	apple := apnstest.StartMem(t, func(cfg *sim.Config) { cfg.RoundTrip = 20 * time.Millisecond; cfg.MaxStreams = 10 })
	r := newRig(t, apple)
	campaign := r.submit(hello(), devices(0, 4000)...)
	if campaign.Lane != Bulk {
		t.Fatal(campaign.Lane)
	}
	call := &Message{App: "shop", DropUnknown: true, Notification: apns.Notification{PushType: apns.PushTypeVoIP, Payload: []byte(`{}`)}}
	began := time.Now()
	receipt := r.submit(call, Target{DeviceToken: apple.DeviceToken})
	if s := r.wait(receipt.Message); s.Lane != Urgent || s.States[Accepted] != 1 {
		t.Errorf("%+v", s)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("the call took %v", took)
	}
	if s, err := r.Message(t.Context(), campaign.Message); err != nil || s.Done {
		t.Errorf("the campaign was too short to prove anything: %+v, %v", s, err)
	}
	if err := r.CancelMessage(t.Context(), campaign.Message); err != nil {
		t.Fatal(err)
	}
	if s := r.wait(campaign.Message); s.States[Cancelled]+s.States[Accepted] != 4000 || s.States[Cancelled] == 0 {
		t.Errorf("%+v", s)
	}
}

// A dead letter whose retry was begun and failed ends again when it is discarded.
func TestDiscardAfterHalfARetry(t *testing.T) { virtually(t, testDiscardAfterHalfARetry) }

func testDiscardAfterHalfARetry(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "TopicDisallowed"})
	b := r.batch(BatchConfig{})
	fill(t, b, 0, 2)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	r.waitBatch(b.ID(), isDone)
	letters, err := r.DeadLetters(t.Context(), "shop", "", 0, 10)
	if err != nil || len(letters) != 1 {
		t.Fatalf("%+v, %v", letters, err)
	}
	// Up to where the queue would have to take it.
	_, c, _, err := r.letter(t.Context(), letters[0].Number)
	r.must(err)
	var w sectionWriter
	w.begin(c, false)
	for i := range c.targets {
		t := &c.targets[i]
		t.attempts = uint32(Rejected)
		w.add(c, t, time.Now(), &decision{state: Queued}, "", false)
	}
	r.must(r.recorder.write(t.Context(), &w))
	r.must(r.DiscardDeadLetters(t.Context(), letters[0].Number))
	if s := r.waitBatch(b.ID(), isDone); s.Counts.Rejected != 2 {
		t.Errorf("%+v", s.Counts)
	}
	if d, err := r.Delivery(t.Context(), letters[0].IDs[0]); err != nil || d.State != Rejected || d.Reason != "TopicDisallowed" {
		t.Errorf("%+v, %v", d, err)
	}
}

// deadLetter has a notification refused for what a person can put right.
func (r *rig) deadLetter() (receipt *Receipt, number uint64) {
	r.t.Helper()
	r.apple.AddFault(r.t, sim.Fault{Kind: sim.FaultAnswer, Reason: "TopicDisallowed", Count: 1})
	receipt = r.submit(hello(), Target{DeviceToken: r.apple.DeviceToken})
	r.wait(receipt.Message)
	letters, err := r.DeadLetters(r.t.Context(), "shop", "", 0, 10)
	if err != nil || len(letters) != 1 {
		r.t.Fatalf("%+v, %v", letters, err)
	}
	return receipt, letters[0].Number
}

// A retry that reached its queue, and was said to have failed, is what becomes of a dead
// letter: who discards it then is told so, and it has one end.
func TestDiscardAfterALateRetry(t *testing.T) { virtually(t, testDiscardAfterALateRetry) }

func testDiscardAfterALateRetry(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	receipt, number := r.deadLetter()
	r.must(r.PauseApp(t.Context(), "shop", ""))
	_, c, why, err := r.letter(t.Context(), number)
	r.must(err)
	r.must(r.revive(t.Context(), number, c, why))
	if err := r.DiscardDeadLetters(t.Context(), number); !errors.Is(err, ErrConflict) {
		t.Errorf("discarding what is being sent again: %v", err)
	}
	if err := r.DiscardDeadLetters(t.Context(), number); !errors.Is(err, ErrNotFound) {
		t.Errorf("a dead letter that is being sent again: %v", err)
	}
	r.must(r.ResumeApp(t.Context(), "shop"))
	if d := r.only(receipt); states(d) != "rejected queued accepted" {
		t.Error(states(d))
	}
}

// Who is killed while discarding what had been retried half leaves nothing that a retry
// could be lost in, and whoever discards it again ends it.
func TestDiscardKilledHalfWay(t *testing.T) { virtually(t, testDiscardKilledHalfWay) }

func testDiscardKilledHalfWay(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	receipt, number := r.deadLetter()
	r.must(r.PauseApp(t.Context(), "shop", ""))
	_, c, _, err := r.letter(t.Context(), number)
	r.must(err)
	var w sectionWriter
	w.begin(c, false)
	w.add(c, &c.targets[0], time.Now(), &decision{state: Queued}, "", false)
	r.must(r.recorder.write(t.Context(), &w))
	r.must(r.requeueAs(t.Context(), c, letterName(c, number), placeholder(c)))
	if err := r.RetryDeadLetters(t.Context(), number); !errors.Is(err, ErrConflict) {
		t.Errorf("a retry where the place is taken: %v", err)
	}
	r.must(r.DiscardDeadLetters(t.Context(), number))
	r.must(r.ResumeApp(t.Context(), "shop"))
	r.waitDone(2)
	if d := r.only(receipt); states(d) != "rejected queued rejected" {
		t.Error(states(d))
	}
	if n := apple.Stats().Requests; n != 1 {
		t.Errorf("APNs has it %d times", n)
	}
}

// What an engine had begun with a dead letter and was killed in the middle of is finished
// by another one of its cluster, or by its next life, however late that is.
func TestClaimOfWhoWasKilled(t *testing.T) {
	for _, what := range []string{claimRetry, claimDiscard} {
		for _, cluster := range []bool{true, false} {
			t.Run(fmt.Sprint(what, ", cluster ", cluster), func(t *testing.T) {
				virtually(t, func(t *testing.T) { testClaimOfWhoWasKilled(t, what, cluster) })
			})
		}
	}
}

func testClaimOfWhoWasKilled(t *testing.T, what string, cluster bool) {
	apple := apnstest.StartMem(t)
	r := &rig{}
	if cluster {
		log := startBubbleLog(t, 30*time.Second)
		r = log.join(t, apple).rig
		log.join(t, apple) // who wants to finish it, too
	} else {
		r = newRig(t, apple)
	}
	receipt, number := r.deadLetter()
	_, c, _, err := r.letter(t.Context(), number)
	r.must(err)
	// As far as one that is killed had come.
	_, err = r.control.claims.Create(t.Context(), fmt.Sprint(claimPrefix, number), []byte(what+" "+apns.NewID().String()))
	r.must(err)
	if what == claimRetry {
		var w sectionWriter
		w.begin(c, cluster)
		c.targets[0].attempts = uint32(Rejected)
		w.add(c, &c.targets[0], time.Now(), &decision{state: Queued}, "", false)
		r.must(r.recorder.write(t.Context(), &w))
	}
	if err := r.RetryDeadLetters(t.Context(), number); !errors.Is(err, ErrConflict) {
		t.Errorf("while it may be alive: %v", err)
	}
	if cluster {
		time.Sleep(4 * absentAfter)
	} else {
		r.close()
		time.Sleep(time.Hour)
		r.open()
		time.Sleep(time.Second)
	}
	want := "rejected queued accepted"
	if what == claimDiscard {
		want = "rejected"
	}
	if d := r.only(receipt); states(d) != want {
		t.Errorf("%s, want %s", states(d), want)
	}
	if letters, err := r.DeadLetters(t.Context(), "shop", "", 0, 10); err != nil || len(letters) != 0 {
		t.Errorf("%+v, %v", letters, err)
	}
}

// What expired behind a pause and is sent again while it still stands there has its new
// life: the copy that it expired in says nothing any more.
func TestRetryBehindAPause(t *testing.T) { virtually(t, testRetryBehindAPause) }

func testRetryBehindAPause(t *testing.T) {
	apple := apnstest.StartMem(t, recording)
	r := newRig(t, apple, func(cfg *Config) { cfg.Lifetime = time.Hour })
	r.must(r.PauseApp(t.Context(), "shop", ""))
	first := r.submit(hello(), devices(0, 1)...)
	drop := hello()
	drop.DropUnknown = true
	list := []*Receipt{first, r.submit(hello(), devices(1, 4)...), r.submit(drop, devices(4, 5)...)}
	time.Sleep(time.Hour + time.Minute)
	letters, err := r.DeadLetters(t.Context(), "shop", "", 0, 10)
	if err != nil || len(letters) == 0 {
		t.Fatalf("%+v, %v", letters, err)
	}
	for i, l := range letters {
		_, c, _, err := r.letter(t.Context(), l.Number)
		r.must(err)
		r.must(r.RetryDeadLetters(t.Context(), l.Number))
		r.must(r.requeueAs(t.Context(), c, fmt.Sprint("late-", i), c.append(nil))) // as after a crash
	}
	time.Sleep(30 * time.Minute)
	for _, receipt := range list {
		if s, err := r.Message(t.Context(), receipt.Message); err != nil || s.States[Queued] != s.Accepted {
			t.Errorf("%+v, %v", s, err)
		}
	}
	r.goesOn(5, "what was sent again", func() { r.must(r.ResumeApp(t.Context(), "shop")) })
	for _, receipt := range list {
		if s := r.wait(receipt.Message); s.States[Accepted] != s.Accepted {
			t.Errorf("%+v", s)
		}
	}
	if got := states(r.only(first)); got != "expired queued accepted" {
		t.Error(got)
	}
}

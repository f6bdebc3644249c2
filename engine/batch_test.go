package engine

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/sim"
)

// fill adds notifications to a batch.
func fill(t *testing.T, b *Batch, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		if _, err := b.Add(hello(), &Target{DeviceToken: device(i)}); err != nil {
			t.Fatal(err)
		}
	}
}

func (r *rig) batch(cfg BatchConfig) *Batch {
	r.t.Helper()
	cfg.App = "shop"
	b, err := r.NewBatch(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// waitBatch waits until a condition holds.
func (r *rig) waitBatch(id BatchID, until func(BatchStatus) bool) BatchStatus {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(2 * time.Millisecond) {
		s, err := r.Batch(r.t.Context(), id)
		if err != nil {
			r.t.Fatal(err)
		}
		if until(s) {
			return s
		}
		if time.Now().After(end) {
			r.dump()
			r.t.Fatalf("%s: %+v", id, s)
		}
	}
}

func isDone(s BatchStatus) bool { return s.Done }

// A batch has a verdict for every line, is counted exactly once across restarts,
// and its own queue goes when it is done.
func TestBatch(t *testing.T) { virtually(t, testBatch) }

func testBatch(t *testing.T) {
	const n = 40_000
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "DeviceTokenNotForTopic", Every: 1000})
	b := r.batch(BatchConfig{Label: "autumn"})
	fill(t, b, 0, n)
	if _, err := b.Add(hello(), &Target{DeviceToken: "not hexadecimal"}); !isInput(err) {
		t.Errorf("%v", err)
	}
	record, err := b.Close(t.Context(), "")
	if err != nil || record.Accepted != n || record.Refused != 1 {
		t.Fatalf("%+v, %v", record, err)
	}
	r.close()
	r.open()
	s := r.waitBatch(b.ID(), isDone)
	if s.Counts.Accepted+s.Counts.Rejected != n || s.Counts.Rejected != s.Counts.Reasons[apns.ReasonDeviceTokenNotForTopic] || s.Label != "autumn" {
		t.Errorf("%+v", s)
	}
	r.close()
	r.open()
	if again := r.waitBatch(b.ID(), isDone); again.Counts.Accepted != s.Counts.Accepted || again.Counts.Rejected != s.Counts.Rejected {
		t.Errorf("after a restart %+v, before %+v", again.Counts, s.Counts)
	}
	for end := time.Now().Add(10 * time.Second); r.knownQueue(path{"shop", apns.Sandbox, Bulk}, b.ID()) != nil; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("its queue is still there")
		}
	}
	page, err := r.Verdicts(t.Context(), Filter{Batch: b.ID(), States: []State{Rejected}}, Cursor{}, 1000)
	if err != nil || int64(len(page.Verdicts)) != s.Counts.Rejected {
		t.Errorf("%d rejections listed, %v", len(page.Verdicts), err)
	}
	list, err := r.Batches(t.Context(), "shop", BatchID{}, 10)
	if err != nil || len(list) != 1 || list[0].ID != b.ID() {
		t.Errorf("%+v, %v", list, err)
	}
}

// A paused batch does not stand in the way of another one, and goes on when it is
// told to.
func TestBatchPaused(t *testing.T) { virtually(t, testBatchPaused) }

func testBatchPaused(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	if err := r.PauseApp(t.Context(), "shop", ""); err != nil {
		t.Fatal(err)
	}
	one, two := r.batch(BatchConfig{}), r.batch(BatchConfig{})
	fill(t, one, 0, 3000)
	fill(t, two, 3000, 6000)
	for _, b := range []*Batch{one, two} {
		if _, err := b.Close(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.PauseBatch(t.Context(), one.ID()); err != nil {
		t.Fatal(err)
	}
	if err := r.ResumeApp(t.Context(), "shop"); err != nil {
		t.Fatal(err)
	}
	r.waitBatch(two.ID(), isDone)
	if s, err := r.Batch(t.Context(), one.ID()); err != nil || s.Counts.Final() != 0 || s.Waiting != 3000 {
		t.Errorf("%+v, %v", s, err)
	}
	r.close()
	r.open()
	if err := r.ResumeBatch(t.Context(), one.ID()); err != nil {
		t.Fatal(err)
	}
	if s := r.waitBatch(one.ID(), isDone); s.Counts.Accepted != 3000 {
		t.Errorf("%+v", s)
	}
}

// A paused batch that is called back opens its gate, so that it can end, and nothing of it
// goes out by that; here as an engine of a cluster hears of it.
func TestPausedBatchCalledBack(t *testing.T) { virtually(t, testPausedBatchCalledBack) }

func testPausedBatchCalledBack(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	b := r.batch(BatchConfig{Paused: true})
	fill(t, b, 0, 3000)
	_, err := b.Close(t.Context(), "")
	r.must(err)
	for r.leases.count() == 0 {
		time.Sleep(time.Millisecond)
	}
	key := strings.TrimPrefix(b.ID().String(), batchPrefix)
	entry, err := r.control.batches.Get(t.Context(), key)
	r.must(err)
	var record BatchRecord
	r.must(json.Unmarshal(entry.Value(), &record))
	record.Cancelled = true
	data, err := json.Marshal(record)
	r.must(err)
	revision, err := r.control.batches.Update(t.Context(), key, data, entry.Revision())
	r.must(err)
	r.control.takeBatch(key, data, revision)
	r.gates.controlled()
	if s := r.waitBatch(b.ID(), isDone); s.Counts.Cancelled != 3000 {
		t.Errorf("%+v", s.Counts)
	}
	if n := apple.Stats().Requests; n != 0 {
		t.Errorf("%d were sent", n)
	}
}

// A batch is sent at its rate, and what is left of it can be called back.
func TestBatchPacedAndCancelled(t *testing.T) { virtually(t, testBatchPacedAndCancelled) }

func testBatchPacedAndCancelled(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	b := r.batch(BatchConfig{Rate: 2000})
	began := time.Now()
	fill(t, b, 0, 30_000)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	s := r.waitBatch(b.ID(), func(s BatchStatus) bool { return s.Counts.Accepted > 3000 })
	if rate := float64(s.Counts.Accepted) / time.Since(began).Seconds(); rate > 3500 {
		t.Errorf("%.0f a second", rate)
	}
	if err := r.CancelBatch(t.Context(), b.ID()); err != nil {
		t.Fatal(err)
	}
	if s = r.waitBatch(b.ID(), isDone); s.Counts.Cancelled == 0 || s.Counts.Cancelled+s.Counts.Accepted != 30_000 {
		t.Errorf("%+v", s)
	}
}

// An app's small push does not wait for another app's campaign.
func TestFairness(t *testing.T) { virtually(t, testFairness) }

func testFairness(t *testing.T) {
	apple := apnstest.StartMem(t, func(cfg *sim.Config) { cfg.RoundTrip = 10 * time.Millisecond; cfg.MaxStreams = 50 })
	r := newRig(t, apple, func(cfg *Config) { cfg.Apps = append(cfg.Apps, testApp(t, apple, "small")) })
	b := r.batch(BatchConfig{})
	fill(t, b, 0, 50_000)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	m := hello()
	m.App = "small"
	began := time.Now()
	if s := r.wait(r.submit(m, devices(60_000, 60_010)...).Message); s.States[Accepted] != 10 {
		t.Errorf("%+v", s)
	}
	if took := time.Since(began); took > time.Second {
		t.Errorf("it took %v", took)
	}
	if err := r.CancelBatch(t.Context(), b.ID()); err != nil {
		t.Fatal(err)
	}
	if s := r.waitBatch(b.ID(), isDone); s.Counts.Cancelled == 0 {
		t.Errorf("the campaign was too short to prove anything: %+v", s)
	}
}

// What was added before a pause is sent during it.
func TestBatchFlush(t *testing.T) { virtually(t, testBatchFlush) }

func testBatchFlush(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	b := r.batch(BatchConfig{})
	b.Flush()
	if at := b.Unflushed(); !at.IsZero() {
		t.Error(at)
	}
	for i := range 3 {
		fill(t, b, 10*i, 10*i+10)
		if at := b.Unflushed(); time.Since(at) > time.Millisecond {
			t.Error(at)
		}
		b.Flush()
		if at := b.Unflushed(); !at.IsZero() {
			t.Error(at)
		}
		r.waitBatch(b.ID(), func(s BatchStatus) bool { return s.Counts.Accepted == int64(10*i+10) })
	}
	fill(t, b, 30, 35)
	if record, err := b.Close(t.Context(), ""); err != nil || record.Accepted != 35 {
		t.Errorf("%+v, %v", record, err)
	}
	if s := r.waitBatch(b.ID(), isDone); s.Counts.Accepted != 35 {
		t.Errorf("%+v", s)
	}
}

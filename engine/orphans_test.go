package engine

import (
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/internal/await"
)

// orphan leaves a batch as an engine does that is killed while it is handed in.
func (r *rig) orphan() BatchID {
	r.t.Helper()
	b := r.batch(BatchConfig{})
	fill(r.t, b, 0, 2*maxChunk+300)
	later := hello()
	later.SendAt = time.Now().Add(time.Minute)
	if _, err := b.Add(later, &Target{DeviceToken: device(9)}); err != nil {
		r.t.Fatal(err)
	}
	b.Flush()
	r.must(b.writer.close())
	fill(r.t, b, 9000, 9100) // in memory only
	b.engine.batches.Done()
	return b.ID()
}

// A batch whose engine was killed while it was handed in is closed by the next one, with
// what is on the log of it.
func TestOrphan(t *testing.T) { virtually(t, testOrphan) }

func testOrphan(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	r.must(r.PauseApp(t.Context(), "shop", ""))
	early := r.orphan()
	r.must(r.ResumeApp(t.Context(), "shop"))
	time.Sleep(5 * time.Second) // some of it has verdicts
	r.must(r.PauseApp(t.Context(), "shop", ""))
	late := r.orphan()
	time.Sleep(time.Second)
	r.close()
	r.open()
	const all = 2*maxChunk + 301
	for _, id := range []BatchID{early, late} {
		s, err := r.Batch(t.Context(), id)
		if err != nil || s.ClosedAt.IsZero() || s.Broken != orphaned || s.Accepted != all {
			t.Errorf("%+v, %v", s, err)
		}
	}
	r.must(r.ResumeApp(t.Context(), "shop"))
	time.Sleep(time.Minute)
	for _, id := range []BatchID{early, late} {
		if s := r.waitBatch(id, isDone); s.Counts.Accepted != all {
			t.Errorf("%+v", s.Counts)
		}
	}
}

// On a cluster a fellow closes it, when it has not heard of its engine for long; one that
// is still at work is left alone.
func TestOrphanOfAnother(t *testing.T) {
	apple := apnstest.Start(t)
	urls := startLog(t)
	a, other := newRig(t, apple, onLog(urls, 5*time.Second)), newRig(t, apple, onLog(urls, 5*time.Second))
	orphan, live := a.orphan(), a.batch(BatchConfig{})
	fill(t, live, 0, 10)
	await.Until(t, "both being known", func() bool { return len(other.control.unclosed()) == 2 && other.peers.living(a.life) })
	time.Sleep(time.Until(other.began.Add(absentAfter + time.Second))) // before that nobody is missed
	if n := len(other.control.unclosed()); n != 2 {
		t.Errorf("%d batches are open while their engine lives, not 2", n)
	}
	if _, err := live.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	a.close()
	await.Until(t, "the batch being closed", func() bool {
		s, err := other.Batch(t.Context(), orphan)
		return err == nil && s.Broken == orphaned && s.Accepted == 2*maxChunk+301
	})
	if s, err := other.Batch(t.Context(), live.ID()); err != nil || s.Broken != "" || s.Accepted != 10 {
		t.Errorf("%+v, %v", s, err)
	}
}

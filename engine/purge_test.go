package engine

import (
	"slices"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// Nothing is purged while something is to come again, and while something is being
// purged nothing is told to: that is done when it is over, and nobody waits for it.
func TestGivenBackBesideAPurge(t *testing.T) {
	var q queue
	var told []uint64
	back := func(seq uint64) { q.giveBack(seq, func() { told = append(told, seq) }) }
	step := func(when string, got, want bool, list ...uint64) {
		t.Helper()
		if got != want || !slices.Equal(told, list) {
			t.Errorf("%s: purging is %v, and %v were told to come again", when, got, told)
		}
	}
	step("nothing was given back", q.beginPurge(0), true)
	q.endPurge()
	back(5)
	back(7)
	step("two were", q.beginPurge(4), false, 5, 7)
	q.endPurge()
	q.cameBack(5)
	step("one has come", q.beginPurge(4), false, 5, 7)
	q.endPurge()
	q.cameBack(7)
	step("both have", q.beginPurge(4), true, 5, 7)
	back(8)
	back(9)
	step("two are given back meanwhile", true, true, 5, 7)
	q.endPurge()
	step("and told after it", q.beginPurge(4), false, 5, 7, 8, 9)
	q.endPurge()
	// They came to another engine, and are done.
	step("one of them is done", q.beginPurge(8), false, 5, 7, 8, 9)
	q.endPurge()
	step("both are", q.beginPurge(9), true, 5, 7, 8, 9)
	q.endPurge()
	back(10)
	step("another is given back", false, false, 5, 7, 8, 9, 10)
}

// left is how many chunks are on the queue of the app.
func (m *member) left() (chunks uint64) {
	m.t.Helper()
	info, err := m.knownQueue(path{"shop", apns.Sandbox, Normal}, BatchID{}).stream.Info(m.t.Context())
	m.must(err)
	return info.State.Msgs
}

// An engine that gave chunks back that another has sent since goes on purging.
func TestPurgedAfterAnother(t *testing.T) { virtually(t, testPurgedAfterAnother) }

func testPurgedAfterAnother(t *testing.T) {
	apple := apnstest.StartMem(t)
	log := startBubbleLog(t, 5*time.Second)
	stranger := log.join(t, apple)
	apps := stranger.cfg.Apps
	first := stranger.submit(hello(), devices(0, 1)...)
	stranger.wait(first.Message)
	stranger.must(stranger.SetApps(nil))
	other := log.join(t, apple)
	q := stranger.knownQueue(path{"shop", apns.Sandbox, Normal}, BatchID{})
	gaveBack := func() bool {
		q.backMu.Lock()
		defer q.backMu.Unlock()
		return len(q.givenBack) > 0
	}
	for i := range 50 {
		other.wait(other.submit(hello(), devices(i, i+1)...).Message)
		if gaveBack() {
			break
		}
	}
	if !gaveBack() {
		t.Fatal("the stranger gave nothing back")
	}
	other.close()
	stranger.must(stranger.SetApps(apps))
	stranger.wait(stranger.submit(hello(), devices(100, 101)...).Message)
	time.Sleep(2 * janitorEvery)
	if n := stranger.left(); n != 0 {
		t.Errorf("%d chunks are left, which are done", n)
	}
}

// What is done is purged although something behind it has come for the second time and
// is under way.
func TestPurgedBeforeWhatCameAgain(t *testing.T) { virtually(t, testPurgedBeforeWhatCameAgain) }

func testPurgedBeforeWhatCameAgain(t *testing.T) {
	m := startBubbleLog(t, 30*time.Second).join(t, apnstest.StartMem(t))
	m.readsNothing() // but the test does
	for i := range 3 {
		m.submit(hello(), devices(i, i+1)...)
	}
	q := m.knownQueue(path{"shop", apns.Sandbox, Normal}, BatchID{})
	p, err := m.puller(q.name, consumerName)
	m.must(err)
	defer p.close()
	for place := 1; place <= 4; place++ {
		msg, _, err := p.next(t.Context())
		m.must(err)
		switch place {
		case 1, 2:
			m.must(msg.AckSync())
		case 3:
			m.must(msg.Nak())
		}
	}
	q.finished.Add(2)
	m.must(q.purge(t.Context()))
	if n := m.left(); n != 1 {
		t.Errorf("%d chunks are left, of which one is not done", n)
	}
}

// An engine on a cluster asks for no more chunks than it has room for: nobody renews what
// it has been given and does not hold.
func TestNoMoreThanThereIsRoomFor(t *testing.T) { virtually(t, testNoMoreThanThereIsRoomFor) }

func testNoMoreThanThereIsRoomFor(t *testing.T) {
	const chunks = 2*takesAtOnce + 3
	apple := apnstest.StartMem(t)
	log := startBubbleLog(t, 5*time.Second)
	a := log.join(t, apple)
	a.must(a.PauseApp(t.Context(), "shop", ""))
	var list []*Receipt
	for i := range chunks {
		list = append(list, a.submit(hello(), devices(i, i+1)...))
	}
	check := func(engines ...*member) {
		t.Helper()
		time.Sleep(2 * takesAtOnce * takePatience)
		for _, m := range engines {
			if n := m.leases.count(); n != takesAtOnce {
				t.Errorf("an engine holds %d", n)
			}
		}
		info, err := a.knownQueue(path{"shop", apns.Sandbox, Normal}, BatchID{}).consumer.Info(t.Context())
		a.must(err)
		if n := len(engines) * takesAtOnce; info.NumAckPending != n || int(info.NumPending) != chunks-n {
			t.Errorf("%d are with engines and %d on the queue", info.NumAckPending, info.NumPending)
		}
	}
	check(a)
	time.Sleep(3 * log.lease)
	check(a)
	b := log.join(t, apple)
	check(a, b)
	b.must(b.ResumeApp(t.Context(), "shop"))
	for _, receipt := range list {
		if s := a.wait(receipt.Message); s.States[Accepted] != 1 {
			t.Errorf("%+v", s)
		}
	}
	if n := apple.Stats().Requests; n != chunks {
		t.Errorf("%d were sent", n)
	}
}

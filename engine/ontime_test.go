package engine

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/sim"
)

// onTime is how soon something goes on after what it waited for.
const onTime = time.Second

// accepted returns when APNs accepted pushes, oldest first, since a time.
func (r *rig) accepted(since time.Time) (list []time.Time) {
	for _, p := range r.apple.Pushes(sim.Filter{}) {
		if p.Outcome == sim.Accepted && !p.Time.Before(since) {
			list = append(list, p.Time)
		}
	}
	return list
}

// goesOn checks that so many pushes come on time after something was put right.
func (r *rig) goesOn(n int, what string, put func()) {
	r.t.Helper()
	began := time.Now()
	put()
	time.Sleep(onTime)
	if got := len(r.accepted(began)); got != n {
		time.Sleep(time.Hour)
		list := r.accepted(began)
		last := "never"
		if len(list) > 0 {
			last = list[len(list)-1].Sub(began).String()
		}
		r.t.Errorf("%s: %d of %d were accepted within %v; the last of %d after %s", what, got, n, onTime, len(list), last)
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// recording keeps the record of every push.
func recording(cfg *sim.Config) { cfg.Lean = false; cfg.RecorderLimit = 1 << 20 }

// What waited for a pause goes on when it ends, wherever it was when it began.
func TestResumeOnTime(t *testing.T) { virtually(t, testResumeOnTime) }

func testResumeOnTime(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t, recording))
	for i := range 30 {
		r.must(r.PauseApp(t.Context(), "shop", ""))
		time.Sleep(time.Duration(i%3) * 7 * time.Second)
		r.submit(hello(), devices(10*i, 10*i+1+i%3)...)
		time.Sleep(time.Duration(i) * 1234 * time.Millisecond)
		r.submit(hello(), devices(10*i+5, 10*i+6)...)
		time.Sleep(time.Duration(i%5) * time.Millisecond)
		r.goesOn(2+i%3, fmt.Sprint("round ", i), func() { r.must(r.ResumeApp(t.Context(), "shop")) })
	}
}

// mostInASecond is the largest number of times that lie within one second.
func mostInASecond(list []time.Time) (most int) {
	for i, from := range list {
		end, _ := slices.BinarySearchFunc(list, from.Add(time.Second), time.Time.Compare)
		most = max(most, end-i)
	}
	return most
}

// A pace is kept in every second, and it is reached.
func TestPace(t *testing.T) {
	for _, test := range []struct {
		rate    float64
		batch   bool
		refused time.Duration // connections are refused for so long at first
	}{
		{rate: 1}, {rate: 1, batch: true}, {rate: 7.5}, {rate: 200}, {rate: 200, batch: true}, {rate: 10_000},
		{rate: 1, refused: 5 * time.Second}, {rate: 200, refused: 5 * time.Second}, {rate: 10_000, batch: true, refused: 5 * time.Second},
	} {
		t.Run(fmt.Sprintf("%v batch %v refused %v", test.rate, test.batch, test.refused), func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				apple := apnstest.StartMem(t, recording)
				r := newRig(t, apple, func(cfg *Config) {
					if !test.batch {
						cfg.Apps[0].Rate = test.rate
					}
				})
				if test.refused > 0 {
					apple.AddFault(t, sim.Fault{Kind: sim.FaultRefuseConnection, For: test.refused})
				}
				began := time.Now()
				cfg := BatchConfig{}
				if test.batch {
					cfg.Rate = test.rate
				}
				b := r.batch(cfg)
				n := min(30_000, int(10*test.rate))
				fill(t, b, 0, n)
				if _, err := b.Close(t.Context(), ""); err != nil {
					t.Fatal(err)
				}
				r.waitBatch(b.ID(), isDone)
				list := r.accepted(began)
				if len(list) != n {
					t.Fatalf("%d of %d were accepted", len(list), n)
				}
				if got, most := mostInASecond(list), max(1, int(test.rate*1.1)); got > most {
					t.Errorf("%d in one second, and the rate is %v", got, test.rate)
				}
				if took, most := time.Since(began), time.Duration(1.1*float64(n)/test.rate*float64(time.Second))+test.refused+2*time.Second; took > most {
					t.Errorf("it took %v, more than %v", took, most)
				}
			})
		})
	}
}

// What is called back has ended, and is listed, when that has been answered.
func TestCancelledAtOnce(t *testing.T) { virtually(t, testCancelledAtOnce) }

func testCancelledAtOnce(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t, recording))
	later := hello()
	later.SendAt = time.Now().Add(24 * 24 * time.Hour)
	check := func(what string, m *Message, prepare func()) {
		t.Helper()
		prepare()
		receipt := r.submit(m, devices(0, 3)...)
		time.Sleep(2 * time.Second)
		r.must(r.CancelMessage(t.Context(), receipt.Message))
		s, err := r.Message(t.Context(), receipt.Message)
		if err != nil || !s.Done || s.States[Cancelled] != 3 {
			t.Errorf("%s: %+v, %v", what, s, err)
		}
		page, err := r.Verdicts(t.Context(), Filter{Message: receipt.Message, States: []State{Cancelled}}, Cursor{}, 10)
		if err != nil || len(page.Verdicts) != 3 || !page.Verdicts[0].RetryAt.IsZero() {
			t.Errorf("%s: %+v, %v", what, page, err)
		}
	}
	check("scheduled", later, func() {})
	if n, err := r.later.subjects(t.Context(), subjectLater+">"); err != nil || len(n) != 0 {
		t.Errorf("%v are left, %v", n, err)
	}
	check("paused", hello(), func() { r.must(r.PauseApp(t.Context(), "shop", "")) })
	// Far behind others.
	r.submit(hello(), devices(100, 5000)...)
	check("behind others", hello(), func() {})
	began := time.Now()
	r.must(r.ResumeApp(t.Context(), "shop"))
	time.Sleep(time.Minute)
	if n := len(r.accepted(began)); n != 4900 {
		t.Errorf("%d were accepted", n)
	}
}

// A batch that is called back ends within a second, also what of it is scheduled.
func TestCancelledBatchOnTime(t *testing.T) { virtually(t, testCancelledBatchOnTime) }

func testCancelledBatchOnTime(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	for _, paused := range []bool{false, true} {
		r.must(r.PauseApp(t.Context(), "shop", ""))
		b := r.batch(BatchConfig{Paused: paused})
		fill(t, b, 0, 20_000)
		m := hello()
		m.SendAt = time.Now().Add(240 * time.Hour)
		for i := range 3000 {
			if _, err := b.Add(m, &Target{DeviceToken: device(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := b.Close(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Second)
		r.must(r.CancelBatch(t.Context(), b.ID()))
		time.Sleep(onTime)
		if s, err := r.Batch(t.Context(), b.ID()); err != nil || !s.Done || s.Counts.Cancelled != 23_000 {
			t.Errorf("paused %v: %+v, %v", paused, s, err)
		}
	}
}

// What is over has ended, whether its app is paused, held, without a credential, or
// not configured any more; and what waits for such an app is told.
func TestExpiredOnTime(t *testing.T) {
	for name, stop := range map[string]func(*rig){
		"paused":  func(r *rig) { r.must(r.PauseApp(r.t.Context(), "shop", "")) },
		"removed": func(r *rig) { r.must(r.SetApps([]App{testApp(r.t, r.apple, "other")})) },
		"without a credential": func(r *rig) {
			a := testApp(r.t, r.apple, "shop")
			a.Production, a.Sandbox, a.Default = a.Sandbox, nil, apns.Production
			r.must(r.SetApps([]App{a}))
		},
		"held": func(r *rig) {
			r.apple.AddFault(r.t, sim.Fault{Kind: sim.FaultAnswer, Reason: "InvalidProviderToken"})
			r.submit(hello(), devices(50_000, 50_020)...)
			time.Sleep(2 * time.Second)
		},
	} {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				apple := apnstest.StartMem(t, recording)
				var log bytes.Buffer
				r := newRig(t, apple, func(cfg *Config) {
					cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
				})
				// The app is gone right after it was handed in, or before; behind a few
				// thousand others, and alone.
				r.must(r.PauseApp(t.Context(), "shop", ""))
				at := time.Now().Add(10 * time.Second).Truncate(time.Second)
				m := hello()
				m.Notification.Expiration = apns.ExpireAt(at)
				var list []*Receipt
				for i := range 3 {
					r.submit(hello(), devices(2000*i, 2000*i+1500)...)
					list = append(list, r.submit(m, devices(20_000+i, 20_001+i)...))
				}
				scheduled := hello()
				scheduled.SendAt = at.Add(-3 * time.Second)
				scheduled.Notification.Expiration = apns.ExpireAt(at)
				list = append(list, r.submit(scheduled, devices(30_000, 30_003)...))
				stop(r)
				if name != "paused" {
					r.must(r.control.unpause(r))
				}
				time.Sleep(time.Until(at.Add(onTime)))
				for i, receipt := range list {
					page, err := r.Verdicts(t.Context(), Filter{Message: receipt.Message, States: []State{Expired}}, Cursor{}, 10)
					if err != nil || len(page.Verdicts) != receipt.Message.Count {
						t.Errorf("message %d: %+v, %v", i, page, err)
					}
				}
				if name == "removed" || name == "without a credential" {
					time.Sleep(2 * strangersEvery)
					s, err := r.Stats(t.Context())
					if err != nil || len(s.Strangers) != 1 || s.Strangers[0] != (Stranger{"shop", apns.Sandbox, 4500}) {
						t.Errorf("%+v, %v", s.Strangers, err)
					}
					if n := strings.Count(log.String(), "not configured"); n != 1 {
						t.Errorf("it was told %d times:\n%s", n, log.String())
					}
					r.goesOn(4500, "the app is back", func() { r.must(r.SetApps(r.cfg.Apps)) })
				}
			})
		})
	}
}

// unpause undoes a pause without opening the gates that the app has shut by itself.
func (c *control) unpause(r *rig) error {
	for _, id := range []string{"shop"} {
		if r.app(id) == nil {
			c.mu.Lock()
			c.pausedApp[id] = AppControl{}
			c.mu.Unlock()
			continue
		}
		if err := r.setApp(r.t.Context(), id, AppControl{}); err != nil {
			return err
		}
	}
	return nil
}

// When the right key is there, what the wrong one was refused for goes on with all
// the rest.
func TestCorrectedCredentialOnTime(t *testing.T) { virtually(t, testCorrectedCredentialOnTime) }

func testCorrectedCredentialOnTime(t *testing.T) {
	for _, n := range []int{3, 500} {
		apple := apnstest.StartMem(t, recording)
		r := newRig(t, apple)
		apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "InvalidProviderToken"})
		r.submit(hello(), devices(0, n)...)
		time.Sleep(3 * time.Minute)
		apple.ClearFaults()
		r.goesOn(n, fmt.Sprint(n, " refused"), func() {
			a := testApp(t, apple, "shop")
			a.Sandbox.TeamID = apple.TeamID
			a.Rate = 1e6 // it is another one
			r.must(r.SetApps([]App{a}))
		})
		r.close()
	}
}

// When APNs answers again, everything that waited for it goes on.
func TestOutageOverOnTime(t *testing.T) {
	for name, fault := range map[string]sim.Fault{
		"unavailable": {Kind: sim.FaultAnswer, Reason: "ServiceUnavailable"},
		"refused":     {Kind: sim.FaultRefuseConnection},
	} {
		for _, n := range []int{1, 10, 3000} {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				virtually(t, func(t *testing.T) {
					apple := apnstest.StartMem(t, recording)
					r := newRig(t, apple)
					apple.AddFault(t, fault)
					r.submit(hello(), devices(0, n)...)
					time.Sleep(100*time.Second + 300*time.Millisecond)
					before := apple.Stats().Requests + apple.Stats().Connections
					time.Sleep(time.Minute)
					if tried := apple.Stats().Requests + apple.Stats().Connections - before; tried > 240 {
						t.Errorf("it tried %d times in a minute", tried)
					}
					r.goesOn(n, name, func() { apple.ClearFaults() })
				})
			})
		}
	}
}

// A crash is over when the next engine has started: what the one before had leased
// goes on at once, on queues and among what is due.
func TestStartOnTime(t *testing.T) { virtually(t, testStartOnTime) }

func testStartOnTime(t *testing.T) {
	apple := apnstest.StartMem(t, recording)
	r := newRig(t, apple)
	r.submit(hello(), devices(0, 1)...)
	time.Sleep(time.Second)
	// It is under way, and nothing comes back.
	apple.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
	r.submit(hello(), devices(1, 3000)...)
	due := hello()
	due.SendAt = time.Now().Add(2 * time.Second)
	r.submit(due, devices(5000, 5100)...)
	time.Sleep(2*time.Second + 400*time.Millisecond)
	next := filepath.Join(t.TempDir(), "copy")
	synctest.Wait()
	if err := os.CopyFS(next, os.DirFS(r.cfg.Store.Dir)); err != nil {
		t.Fatal(err)
	}
	r.Engine.Close(t.Context()) // in vain: APNs says nothing
	apple.ClearFaults()
	time.Sleep(time.Minute)
	r.cfg.Store.Dir = next
	r.goesOn(3099, "after a crash", r.open)
}

// A purge of what is done does not make the log forget what is to come again: a batch
// goes on when its app is back, and not half a minute later.
func TestComesBackAfterPurge(t *testing.T) { virtually(t, testComesBackAfterPurge) }

func testComesBackAfterPurge(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable"})
	b := r.batch(BatchConfig{Rate: 50})
	fill(t, b, 0, 100)
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * time.Second) // some are put back for later, in chunks of their own
	for _, apps := range [][]App{nil, r.cfg.Apps} {
		if err := r.SetApps(apps); err != nil {
			t.Fatal(err)
		}
		if apps == nil {
			time.Sleep(time.Second)
			apple.ClearFaults()
			time.Sleep(time.Second)
		}
	}
	began := time.Now()
	r.waitBatch(b.ID(), isDone)
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the batch went on after %v", took)
	}
}

// What was refused in the life before goes on at a start with the right key.
func TestCorrectedWhileDown(t *testing.T) { virtually(t, testCorrectedWhileDown) }

func testCorrectedWhileDown(t *testing.T) {
	apple := apnstest.StartMem(t, recording)
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "InvalidProviderToken"})
	const n = 100
	r.submit(hello(), devices(0, n)...)
	time.Sleep(3 * time.Minute)
	r.close()
	apple.ClearFaults()
	r.goesOn(n, "a start with the right key", r.open)
}

// A life begins with what its rate allows after the last notification of the one
// before, also if there is hardly a pause between them.
func TestPaceOverAStart(t *testing.T) { virtually(t, testPaceOverAStart) }

func testPaceOverAStart(t *testing.T) {
	apple := apnstest.StartMem(t, recording)
	r := newRig(t, apple, func(cfg *Config) { cfg.Apps[0].Rate = 2 })
	began := time.Now()
	r.submit(hello(), devices(0, 40)...)
	for range 10 {
		time.Sleep(1130 * time.Millisecond)
		r.close()
		r.open()
	}
	time.Sleep(30 * time.Second)
	list := r.accepted(began)
	if n := mostInASecond(list); len(list) < 40 || n > 2 {
		t.Errorf("%d came, %d of them in one second", len(list), n)
	}
}

// An app that only has something scheduled is told too, when it is taken out, and not
// any more when it is back.
func TestScheduledStrangers(t *testing.T) { virtually(t, testScheduledStrangers) }

func testScheduledStrangers(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	m := hello()
	m.SendAt = time.Now().Add(time.Hour)
	r.submit(m, devices(0, 3)...)
	time.Sleep(3 * time.Second)
	for _, test := range []struct {
		apps []App
		want int
	}{{nil, 1}, {r.cfg.Apps, 0}, {nil, 1}} {
		r.must(r.SetApps(test.apps))
		time.Sleep(time.Second)
		if s, err := r.Stats(t.Context()); err != nil || len(s.Strangers) != test.want || test.want > 0 && s.Strangers[0].Notifications != 3 {
			t.Errorf("with %d apps: %+v, %v", len(test.apps), s.Strangers, err)
		}
	}
}

// What is called back while it is being sent, and refused, is not put back for later.
func TestCancelledWhileSent(t *testing.T) { virtually(t, testCancelledWhileSent) }

func testCancelledWhileSent(t *testing.T) {
	apple := apnstest.StartMem(t, func(cfg *sim.Config) { cfg.RoundTrip = 2 * time.Second })
	r := newRig(t, apple)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultAnswer, Reason: "InvalidProviderToken"})
	receipt := r.submit(hello(), devices(0, 3)...)
	for {
		s, err := r.Message(t.Context(), receipt.Message)
		r.must(err)
		if s.States[Sending] == 3 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	r.must(r.CancelMessage(t.Context(), receipt.Message))
	time.Sleep(10 * time.Second) // it connects, and is answered
	if s, err := r.Message(t.Context(), receipt.Message); err != nil || s.States[Cancelled] != 3 || !s.Done {
		t.Errorf("%+v, %v", s, err)
	}
}

package engine

import (
	"container/heap"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
	"aviso.example/auth"
	"aviso.example/sim"
)

// year is the world: two simulators, an engine between its lives, what is going
// to happen, and the book.
type year struct {
	t     *testing.T
	seed  uint64
	skip  map[string]bool
	began time.Time
	days  time.Duration
	ends  time.Time // when everything is put right
	cut   *atomic.Bool

	apples [2]*apnstest.Server // by environment
	keys   map[string]*auth.SigningKey
	apps   []*yearApp

	cfg       Config
	engine    *Engine
	lives     int
	down      spans
	kills     []time.Time // of engines that had no time to write anything down
	starts    []time.Time
	free      atomic.Int64
	full      spans
	troubles  [2]spans // of a whole environment
	mild      spans    // trouble of which only those feel something that it hits
	agenda    agenda
	postponed []*yearEvent // until an engine runs

	notes     map[apns.ID]*yearNote
	forgotten map[apns.ID]yearEnd
	buried    map[apns.ID]*yearNote // ended, and a person can have them sent again
	messages  []*yearMessage
	batches   []*yearBatch
	readUpTo  time.Time
	seen      [2]uint64
	order     int

	accepted, pushes int
	done             map[string]int // events that took place
	failures         map[string]int
}

// yearEnd is what is remembered of a notification for good.
type yearEnd struct {
	state State
	at    time.Time
}

// deadAt is a device token in an environment.
type deadAt struct {
	env    apns.Environment
	device string
}

// yearApp is an app of this world.
type yearApp struct {
	id, topic string
	envs      []apns.Environment
	team      string
	keys      []*auth.SigningKey // Apple knows them; the app uses one at a time
	wrongKey  *auth.SigningKey   // Apple does not
	certs     []*auth.Certificate
	using     int
	rate      float64

	paused, removed, wrong spans
	troubles               [2]*spans // that only it has
	times                  []time.Time
	checked                int
	devices                []string
	dead                   map[deadAt]bool      // APNs said so
	registered             map[string]time.Time // again
}

func (a *yearApp) is(s *spans) bool { return s.open() != nil }

// yearRoundTrip is how far away APNs is.
const yearRoundTrip = 20 * time.Millisecond

// yearVerdictAge and yearVerdictBytes are for how long verdicts are kept. Hours in which
// APNs answers everything with 503 fill some twenty megabytes.
const (
	yearVerdictAge   = 26 * time.Hour
	yearVerdictBytes = 64 << 20
)

func newYear(t *testing.T, seed uint64, days float64, skip map[string]bool) *year {
	y := &year{
		t: t, seed: seed, skip: skip, began: time.Now(), days: time.Duration(days * 24 * float64(time.Hour)),
		notes: map[apns.ID]*yearNote{}, buried: map[apns.ID]*yearNote{}, forgotten: map[apns.ID]yearEnd{}, keys: map[string]*auth.SigningKey{},
		done: map[string]int{}, failures: map[string]int{},
	}
	y.ends = y.began.Add(y.days)
	y.free.Store(1 << 40)
	freeSpace = func(string) (int64, error) { return y.free.Load(), nil }
	t.Cleanup(func() { freeSpace = freeBytes })
	y.startApples()
	y.makeApps()
	y.cfg = Config{
		Store: StoreConfig{Dir: filepath.Join(t.TempDir(), "0"), MaxBytes: 1 << 30}, Apps: y.config(),
		Window: 2 * maxChunk, Lifetime: 12 * time.Hour, VerdictAge: yearVerdictAge, VerdictBytes: yearVerdictBytes,
	}
	return y
}

func (y *year) now() time.Time { return time.Now() }

// key makes a signing key; its id is that of its place in the world.
func (y *year) key(id string) *auth.SigningKey {
	k, err := auth.GenerateSigningKey(id)
	if err != nil {
		y.t.Fatal(err)
	}
	y.keys[id] = k
	return k
}

const secondTeam = "AVISOTEAM2"

func (y *year) startApples() {
	var known []sim.Key
	for i := range 2 {
		for team, id := range map[string]string{apnstest.TeamID: "YEARTEAM1", secondTeam: "YEARTEAM2"} {
			k := y.key(fmt.Sprintf("%s%d", id, i))
			known = append(known, sim.Key{KeyID: k.KeyID(), TeamID: team, Public: k.Public()})
		}
	}
	y.key("YEARWRONG0")
	for env, name := range []sim.Environment{apns.Production: sim.Production, apns.Sandbox: sim.Sandbox} {
		y.apples[env] = apnstest.StartMem(y.t, func(cfg *sim.Config) {
			cfg.Environment, cfg.Seed, cfg.Keys = name, y.seed, known
			cfg.RoundTrip, cfg.RecorderLimit = yearRoundTrip, 20_000
		})
	}
}

func (y *year) makeApps() {
	both := []apns.Environment{apns.Production, apns.Sandbox}
	y.apps = []*yearApp{
		{id: "shop", team: apnstest.TeamID, envs: both},
		{id: "news", team: secondTeam, envs: both[:1], rate: 20},
		{id: "bank", envs: both[:1]},
		{id: "chat", team: apnstest.TeamID, envs: both[:1]},
		{id: "test", team: secondTeam, envs: both[1:]},
	}
	for i, a := range y.apps {
		if y.skip["rate"] {
			a.rate = 0
		}
		a.topic = "com.example." + a.id
		a.dead, a.registered = map[deadAt]bool{}, map[string]time.Time{}
		for n := range 120 {
			a.devices = append(a.devices, device(1000*i+n))
		}
		a.troubles = [2]*spans{{}, {}}
		switch a.team {
		case apnstest.TeamID:
			a.keys = []*auth.SigningKey{y.keys["YEARTEAM10"], y.keys["YEARTEAM11"]}
		case secondTeam:
			a.keys = []*auth.SigningKey{y.keys["YEARTEAM20"], y.keys["YEARTEAM21"]}
		default:
			for range 2 {
				_, pem := apnstest.ClientCertificate(y.t, a.topic)
				c, err := auth.ParseCertificate(pem, "")
				if err != nil {
					y.t.Fatal(err)
				}
				a.certs = append(a.certs, c)
			}
		}
		a.wrongKey = y.keys["YEARWRONG0"]
	}
}

// config is what SetApps is given: what the world is like now.
func (y *year) config() (list []App) {
	for _, a := range y.apps {
		if a.is(&a.removed) {
			continue
		}
		app := App{ID: a.id, BundleID: a.topic, Rate: a.rate, Default: a.envs[0]}
		for _, env := range a.envs {
			apple := y.apples[env]
			c := &Credential{Endpoint: apple.Endpoint, ExtraRoots: apple.CAPEM, DialContext: apple.DialContext}
			switch {
			case a.certs != nil:
				c.Certificate = a.certs[a.using]
			case a.is(&a.wrong):
				c.Key, c.TeamID = a.wrongKey, a.team
			default:
				c.Key, c.TeamID = a.keys[a.using], a.team
			}
			if env == apns.Production {
				app.Production = c
			} else {
				app.Sandbox = c
			}
		}
		list = append(list, app)
	}
	return list
}

// setApps tells the engine, or the next one.
func (y *year) setApps() {
	y.cfg.Apps = y.config()
	if y.engine == nil {
		return
	}
	if err := y.engine.SetApps(y.cfg.Apps); err != nil {
		y.t.Fatal(err)
	}
}

func (y *year) open() {
	e, err := Open(context.Background(), y.cfg)
	if err != nil {
		y.t.Fatal(err)
	}
	y.engine = e
	y.starts = append(y.starts, y.now())
	if sp := y.down.open(); sp != nil {
		y.down.end(sp, y.now(), 0)
	}
	for _, ev := range y.postponed {
		ev.at = y.now()
		y.plan(ev)
	}
	y.postponed = nil
}

// stop closes the engine and gives it some patience.
func (y *year) stop(patience time.Duration) {
	y.read()
	y.down.begin(y.now(), "no engine runs (stopped)")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := y.engine.Close(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		y.kills = append(y.kills, y.now())
	case err != nil:
		y.t.Fatal(err)
	}
	y.engine = nil
}

// kill goes on with a copy of the folder as it is at this moment, which is what
// kill -9 leaves behind. Nothing goes on while it is being made: all the others
// wait for something, so it never tears a write in two. `make crash` does that.
func (y *year) kill() {
	synctest.Wait()
	y.lives++
	old := y.cfg.Store.Dir
	next := filepath.Join(filepath.Dir(old), fmt.Sprint(y.lives))
	if err := os.CopyFS(next, os.DirFS(old)); err != nil {
		y.t.Fatal(err)
	}
	y.kills = append(y.kills, y.now())
	y.down.begin(y.now(), "no engine runs (killed)")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	y.engine.Close(ctx)
	y.engine = nil
	y.cfg.Store.Dir = next
	if err := os.RemoveAll(old); err != nil {
		y.t.Fatal(err)
	}
}

// yearEvent is something that is going to happen.
type yearEvent struct {
	at   time.Time
	name string
	// rng is of its own, so that what others draw does not change it.
	rng *rand.Rand
	do  func(*rand.Rand)
	// patient events wait for an engine; others do not take place without.
	patient, free bool
	order         int
}

// agenda is a heap of events by their time.
type agenda []*yearEvent

func (a agenda) Len() int { return len(a) }
func (a agenda) Less(i, j int) bool {
	return a[i].at.Before(a[j].at) || a[i].at.Equal(a[j].at) && a[i].order < a[j].order
}
func (a agenda) Swap(i, j int) { a[i], a[j] = a[j], a[i] }
func (a *agenda) Push(x any)   { *a = append(*a, x.(*yearEvent)) }
func (a *agenda) Pop() any {
	old := *a
	ev := old[len(old)-1]
	*a = old[:len(old)-1]
	return ev
}

// later plans what follows from an event: it waits for an engine if there is none
// then.
func (y *year) later(after time.Duration, name string, do func()) {
	y.plan(&yearEvent{at: y.now().Add(after), name: name, do: func(*rand.Rand) { do() }, patient: true})
}

func (y *year) plan(ev *yearEvent) {
	y.order++
	ev.order = y.order
	heap.Push(&y.agenda, ev)
}

// run lets the world go on until a time.
func (y *year) run(until time.Time) {
	for len(y.agenda) > 0 && !y.agenda[0].at.After(until) {
		ev := heap.Pop(&y.agenda).(*yearEvent)
		if !y.sleep(ev.at) {
			return
		}
		switch {
		case y.engine != nil || ev.free:
			y.done[ev.name]++
			ev.do(ev.rng)
		case ev.patient:
			y.postponed = append(y.postponed, ev)
		}
		if y.stopped() {
			return
		}
	}
	y.sleep(until)
}

// sleep waits, and reports whether there is any point in going on.
func (y *year) sleep(until time.Time) bool {
	for y.now().Before(until) && !y.cut.Load() {
		time.Sleep(min(time.Until(until), 10*time.Second))
	}
	return !y.cut.Load()
}

package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// tally counts verdicts. It is kept for each lease and added up now and then, so
// that counting costs no lock for each notification.
type tally struct {
	states  [len(stateNames)]int64
	reasons map[Outcome]int64 // those with a reason
}

// Outcome is a state and the reason for it, if APNs gave one.
type Outcome struct {
	State  State
	Reason apns.Reason
}

func (t *tally) add(d *decision) {
	t.states[d.state]++
	if d.reason != "" {
		if t.reasons == nil {
			t.reasons = map[Outcome]int64{}
		}
		t.reasons[Outcome{d.state, d.reason}]++
	}
}

// stats are the sums since the engine began.
type stats struct {
	mu    sync.Mutex
	paths map[path]*tally
}

// add moves a tally into the sums.
func (s *stats) add(p path, t *tally) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sum := s.paths[p]
	if sum == nil {
		sum = &tally{reasons: map[Outcome]int64{}}
		s.paths[p] = sum
	}
	for i := range t.states {
		sum.states[i] += t.states[i]
	}
	for outcome, n := range t.reasons {
		sum.reasons[outcome] += n
	}
	*t = tally{}
}

// Stats is a snapshot of an engine, for metrics and for people.
type Stats struct {
	// Since is when it began to count.
	Since time.Time
	Apps  []AppStats
	// Suppressed is how many device tokens are not sent to any more.
	Suppressed int
	// LogBytes is the size of the log on disk, LogLimit how large it may get;
	// 0 on a cluster.
	LogBytes, LogLimit int64
	// Aside is how many chunks were set aside, since they cannot be read.
	Aside int64
	// Lost is what is missing of the log, since its files are damaged.
	Lost []Lost
	// Strangers are apps that something waits for and that are not configured.
	Strangers []Stranger
	// Full says that nothing is accepted for want of space.
	Full bool
	// Stuck says that nothing is accepted and no verdict written, since a write
	// to the embedded log has failed. It is opened again when the disk has space.
	Stuck bool
}

// AppStats is about one app.
type AppStats struct {
	App     string
	Control AppControl
	Holds   []Hold
	Paths   []PathStats
}

// PathStats is about one lane of an app in one environment.
type PathStats struct {
	Environment apns.Environment
	Lane        Lane
	// Verdicts counts by State, Reasons by Apple's word, and Outcomes by both,
	// since the engine began.
	Verdicts map[State]int64
	Reasons  map[apns.Reason]int64
	Outcomes map[Outcome]int64
	// QueuedChunks are on disk and not done, QueuedBytes is their size.
	QueuedChunks, QueuedBytes int64
	// OldestQueued is when the oldest of them was accepted.
	OldestQueued time.Time
	// UnderWay is how many notifications were handed to the client and have no
	// verdict on disk.
	UnderWay int
	Client   apns.Stats
}

// Stats returns a snapshot. On a cluster that has taken nothing for ten seconds it is
// ErrStore, whatever single servers still answer. It asks the log about each queue, so
// once in some seconds is often enough.
func (e *Engine) Stats(ctx context.Context) (Stats, error) {
	s := Stats{Since: e.began, Suppressed: e.dead.size(), Strangers: e.sweeper.list(), Lost: e.damage.list(), Full: e.full.Load(), Stuck: e.stuck.Load()}
	var err error
	if silent := e.peers.silent(); silent > 2*presentEvery {
		return s, fmt.Errorf("%w: the cluster has taken nothing for %v", ErrStore, silent.Round(time.Second))
	}
	if s.Aside, err = e.countAside(ctx); err != nil {
		return s, err
	}
	if e.store.embedded() {
		s.LogLimit = e.store.limit()
		if s.LogBytes, err = e.store.used(ctx); err != nil {
			return s, err
		}
	}
	paths := map[path]*PathStats{}
	get := func(p path) *PathStats {
		if paths[p] == nil {
			paths[p] = &PathStats{Environment: p.environment, Lane: p.lane, Verdicts: map[State]int64{}, Reasons: map[apns.Reason]int64{}, Outcomes: map[Outcome]int64{}}
		}
		return paths[p]
	}
	e.stats.mu.Lock()
	for p, t := range e.stats.paths {
		out := get(p)
		for state, n := range t.states {
			if n > 0 {
				out.Verdicts[State(state)] = n
				out.Outcomes[Outcome{State: State(state)}] = n
			}
		}
		for outcome, n := range t.reasons {
			out.Reasons[outcome.Reason] += n
			out.Outcomes[outcome] = n
			if out.Outcomes[Outcome{State: outcome.State}] -= n; out.Outcomes[Outcome{State: outcome.State}] == 0 {
				delete(out.Outcomes, Outcome{State: outcome.State})
			}
		}
	}
	e.stats.mu.Unlock()
	e.routesMu.Lock()
	for p, r := range e.routes {
		out := get(p)
		out.UnderWay, out.Client = r.window.inUse(), r.client.Stats()
	}
	e.routesMu.Unlock()
	for _, q := range e.allQueues() {
		if err := q.stat(ctx, get(q.path)); err != nil {
			return s, err
		}
	}
	e.appsMu.RLock()
	apps := e.apps // replaced as a whole, never changed
	e.appsMu.RUnlock()
	for id := range apps {
		a := AppStats{App: id, Holds: e.gates.holds(id)}
		e.control.mu.RLock()
		a.Control = e.control.pausedApp[id]
		e.control.mu.RUnlock()
		for p, stats := range paths {
			if p.app == id {
				a.Paths = append(a.Paths, *stats)
			}
		}
		slices.SortFunc(a.Paths, func(x, y PathStats) int {
			return int(x.Environment)*lanes + int(x.Lane) - int(y.Environment)*lanes - int(y.Lane)
		})
		s.Apps = append(s.Apps, a)
	}
	slices.SortFunc(s.Apps, func(x, y AppStats) int { return strings.Compare(x.App, y.App) })
	return s, nil
}

func (q *queue) stat(ctx context.Context, out *PathStats) error {
	info, err := q.consumer.Info(ctx)
	if isGone(err) {
		return nil // its batch is done
	} else if err != nil {
		return storeError(err)
	}
	stream, err := q.stream.Info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // it has just been done
	} else if err != nil {
		return storeError(err)
	}
	chunks := int64(info.NumPending) + int64(info.NumAckPending)
	out.QueuedChunks += chunks
	out.QueuedBytes += int64(stream.State.Bytes)
	if chunks > 0 && (out.OldestQueued.IsZero() || stream.State.FirstTime.Before(out.OldestQueued)) {
		out.OldestQueued = stream.State.FirstTime
	}
	return nil
}

package engine

import (
	"sync"
	"time"

	"aviso.example/apns"
)

// tally counts verdicts. It is kept for each lease and added up now and then, so
// that counting costs no lock for each notification.
type tally struct {
	states  [len(stateNames)]int64
	reasons map[apns.Reason]int64
}

func (t *tally) add(d *decision) {
	t.states[d.state]++
	if d.reason != "" {
		if t.reasons == nil {
			t.reasons = map[apns.Reason]int64{}
		}
		t.reasons[d.reason]++
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
		sum = &tally{reasons: map[apns.Reason]int64{}}
		s.paths[p] = sum
	}
	for i := range t.states {
		sum.states[i] += t.states[i]
	}
	for reason, n := range t.reasons {
		sum.reasons[reason] += n
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
	// Full says that nothing is accepted for want of space.
	Full bool
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
	// Verdicts counts by State, Reasons by Apple's word, since the engine began.
	Verdicts map[State]int64
	Reasons  map[apns.Reason]int64
	// QueuedChunks are on disk and not done, QueuedBytes is their size.
	QueuedChunks, QueuedBytes int64
	// OldestQueued is when the oldest of them was accepted.
	OldestQueued time.Time
	// UnderWay is how many notifications were handed to the client and have no
	// verdict on disk.
	UnderWay int
	Client   apns.Stats
}

package sim

import (
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"aviso.example/internal/proto"
)

// feedbackEntry is a device token that was found dead.
type feedbackEntry struct {
	deviceToken string // lower case
	since       time.Time
}

// feedbackLists are the dead device tokens of each app, oldest first, until the
// feedback service has told them. A device token is there once, with the latest
// time.
type feedbackLists struct {
	limit int

	mu     sync.Mutex
	topics map[string]*feedbackList
	size   int
}

type feedbackList struct {
	order []*feedbackEntry
	by    map[string]*feedbackEntry
}

// add puts a device token at the end of its app's list.
func (l *feedbackLists) add(topic string, e feedbackEntry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.list(topic)
	if known := t.by[e.deviceToken]; known != nil {
		if e.since.After(known.since) {
			known.since = e.since
		}
		return
	}
	if l.size >= l.limit && len(t.order) > 0 {
		delete(t.by, t.order[0].deviceToken)
		t.order = t.order[1:]
		l.size--
	}
	if l.size < l.limit {
		t.by[e.deviceToken] = &e
		t.order = append(t.order, &e)
		l.size++
	}
}

func (l *feedbackLists) list(topic string) *feedbackList {
	t := l.topics[topic]
	if t == nil {
		if l.topics == nil {
			l.topics = map[string]*feedbackList{}
		}
		t = &feedbackList{by: map[string]*feedbackEntry{}}
		l.topics[topic] = t
	}
	return t
}

// take removes up to n entries from the beginning of a list.
func (l *feedbackLists) take(topic string, n int) []feedbackEntry {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topics[topic]
	if t == nil {
		return nil
	}
	taken := make([]feedbackEntry, min(n, len(t.order)))
	for i := range taken {
		taken[i] = *t.order[i]
		delete(t.by, taken[i].deviceToken)
	}
	l.size -= len(taken)
	if t.order = t.order[len(taken):]; len(t.order) == 0 {
		delete(l.topics, topic)
	}
	return taken
}

// giveBack puts entries that nobody has heard at the beginning again.
func (l *feedbackLists) giveBack(topic string, entries []feedbackEntry) {
	if len(entries) == 0 {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.list(topic)
	order := make([]*feedbackEntry, 0, len(entries)+len(t.order))
	for _, e := range entries {
		if t.by[e.deviceToken] == nil && l.size < l.limit {
			t.by[e.deviceToken] = &e
			order = append(order, &e)
			l.size++
		}
	}
	t.order = append(order, t.order...)
}

func (l *feedbackLists) waiting() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.size
}

// Feedback is a device token that the feedback service has to tell.
type Feedback struct {
	// Topic is the app's, which is the UID of its certificate.
	Topic       string `json:"topic"`
	DeviceToken string `json:"device_token"`
	// Time is since when the device token is dead, in whole seconds.
	Time time.Time `json:"time"`
}

// Feedback returns the device tokens that wait to be read from the feedback
// service, without removing them; an empty topic means those of all apps.
func (s *Server) Feedback(topic string) []Feedback {
	l := &s.binary.feedback
	l.mu.Lock()
	defer l.mu.Unlock()
	var list []Feedback
	for _, name := range slices.Sorted(maps.Keys(l.topics)) {
		if topic != "" && topic != name {
			continue
		}
		for _, e := range l.topics[name].order {
			list = append(list, Feedback{name, e.deviceToken, e.since.UTC().Truncate(time.Second)})
		}
	}
	return list
}

// AddFeedback has the feedback service tell a device token without a push to it.
// An empty Time means now.
func (s *Server) AddFeedback(f Feedback) error {
	f.DeviceToken = strings.ToLower(f.DeviceToken)
	if f.Time.IsZero() {
		f.Time = s.now()
	}
	var errs []error
	if f.Topic == "" {
		errs = append(errs, errors.New("sim: topic is missing; it is the UID of the app's certificate, its bundle identifier"))
	}
	switch raw, err := hex.DecodeString(f.DeviceToken); {
	case err != nil || len(raw) == 0:
		errs = append(errs, errors.New("sim: device_token must be an even number of hexadecimal digits, at least two"))
	case len(raw) > proto.MaxDeviceTokenBytes:
		errs = append(errs, fmt.Errorf("sim: device_token has %d bytes; the feedback service tells at most %d", len(raw), proto.MaxDeviceTokenBytes))
	}
	if at := f.Time.Unix(); at < 0 || at > math.MaxUint32 {
		errs = append(errs, errors.New("sim: time must lie between 1970 and 2106, where its 32 bits of seconds end"))
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	s.binary.feedback.add(f.Topic, feedbackEntry{f.DeviceToken, f.Time})
	return nil
}

// ClearFeedback forgets what waits to be read from the feedback service.
func (s *Server) ClearFeedback() {
	l := &s.binary.feedback
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.topics)
	l.size = 0
}

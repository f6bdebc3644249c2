package sim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"aviso.example/internal/proto"
)

// Fate is what became of an accepted push at the simulated device.
type Fate string

// Fates of an accepted push.
const (
	FateUnknown   Fate = ""          // not tracked (lean, or too many devices)
	FateShown     Fate = "shown"     // in the device's inbox
	FateStored    Fate = "stored"    // the device is offline
	FateDiscarded Fate = "discarded" // expired, offline with expiration 0, or gone (binary protocol)
)

// Outcome is what the server did with a push.
type Outcome string

// Outcomes. "Processed" ones are those after which a resend would be a duplicate.
const (
	// Accepted: processed, and answered 200 (if the answer arrived); over the
	// binary protocol, processed.
	Accepted Outcome = "accepted"
	// Rejected: answered with a reason.
	Rejected Outcome = "rejected"
	// AcceptedUnanswered: processed, but a fault kept the answer back.
	AcceptedUnanswered Outcome = "accepted_unanswered"
	// NotProcessed: a fault ended the stream or the connection first.
	NotProcessed Outcome = "not_processed"
)

// Payload is the body of a push. In JSON it appears as it is when it is JSON, and
// as a base64 string in an object with the one key "base64" when it is not.
type Payload []byte

// MarshalJSON implements json.Marshaler.
func (p Payload) MarshalJSON() ([]byte, error) {
	if len(p) > 0 && json.Valid(p) {
		return p, nil
	}
	return json.Marshal(map[string]string{"base64": base64.StdEncoding.EncodeToString(p)})
}

// String returns it as text, so that a push in the output of a test can be read. What is
// no text is quoted, with its bytes as escapes.
func (p Payload) String() string {
	if !utf8.Valid(p) {
		return strconv.Quote(string(p))
	}
	return string(p)
}

// Credential says with what a push was sent, without the secret itself.
type Credential struct {
	// Kind is "provider_token", "certificate" or "none".
	Kind   string `json:"kind"`
	KeyID  string `json:"key_id,omitempty"`
	TeamID string `json:"team_id,omitempty"`
	// Age of the provider token in seconds when it was used.
	Age float64 `json:"age_seconds,omitempty"`
	// UID of the certificate's subject.
	UID string `json:"uid,omitempty"`
}

// Push is one request as the recorder keeps it.
type Push struct {
	// Sequence counts all recorded pushes of this server from 1.
	Sequence uint64    `json:"sequence"`
	Time     time.Time `json:"time"`
	// Connection counts accepted connections from 1.
	Connection uint64 `json:"connection"`
	// Protocol it came over. Stream, PushType, CollapseID, UniqueID, Header and
	// Status are HTTP/2's, Binary is the binary protocol's; there Reason is the
	// word that HTTP/2 has for the same trouble.
	Protocol Protocol `json:"protocol"`
	Stream   uint32   `json:"stream"`

	// DeviceToken is empty for broadcasts, which have a ChannelID instead and the
	// bundle identifier as Topic.
	DeviceToken string `json:"device_token"`
	ChannelID   string `json:"channel_id,omitempty"`
	Topic       string `json:"topic"`
	PushType    string `json:"push_type,omitempty"`
	// Priority is 0 when none was stated.
	Priority int `json:"priority,omitempty"`
	// Expiration is in seconds since 1970 and nil when none was stated.
	Expiration *int64 `json:"expiration,omitempty"`
	CollapseID string `json:"collapse_id,omitempty"`
	// ID is the request's apns-id (apns-request-id for a broadcast), or the one
	// made for it.
	ID       string `json:"apns_id"`
	UniqueID string `json:"apns_unique_id,omitempty"`
	// Header has every field in the order received, without authorization.
	Header  [][2]string `json:"header"`
	Payload Payload     `json:"payload"`
	Binary  *BinaryPush `json:"binary,omitempty"`

	Credential Credential   `json:"credential"`
	Outcome    Outcome      `json:"outcome"`
	Status     int          `json:"status,omitempty"`
	Reason     proto.Reason `json:"reason,omitempty"`
	// Timestamp is what a 410 carried, in milliseconds since 1970.
	Timestamp int64 `json:"timestamp,omitempty"`
	Fate      Fate  `json:"fate,omitempty"`
	// Reached is how many devices a broadcast came to at once.
	Reached int `json:"reached,omitempty"`
	// Remarks say what was taken and should be otherwise: nobody knows for sure that
	// APNs takes it.
	Remarks []string `json:"remarks,omitempty"`
	// Attempt is 1 for the first push with this apns-id, 2 for the next, and so
	// on; it counts what was seen, processed or not.
	Attempt int `json:"attempt"`
	// Duplicate says that a push with this apns-id had been accepted before.
	Duplicate bool `json:"duplicate,omitempty"`
	// Fault is the id of the fault that shaped the outcome.
	Fault string `json:"fault,omitempty"`
}

// Filter selects pushes; empty fields match everything.
type Filter struct {
	DeviceToken string
	ChannelID   string
	Topic       string
	CollapseID  string
	PushType    string
	ID          string
	Protocol    Protocol
	Outcome     Outcome
	// After matches pushes whose Sequence is larger.
	After uint64
}

func (f *Filter) match(p *Push) bool {
	return p.Sequence > f.After &&
		(f.DeviceToken == "" || strings.EqualFold(f.DeviceToken, p.DeviceToken)) &&
		(f.ChannelID == "" || f.ChannelID == p.ChannelID) &&
		(f.Topic == "" || f.Topic == p.Topic) &&
		(f.CollapseID == "" || f.CollapseID == p.CollapseID) &&
		(f.PushType == "" || f.PushType == p.PushType) &&
		(f.ID == "" || strings.EqualFold(f.ID, p.ID)) &&
		(f.Protocol == "" || f.Protocol == p.Protocol) &&
		(f.Outcome == "" || f.Outcome == p.Outcome)
}

// ErrLean is returned by WaitForPush on a lean server, which records nothing.
var ErrLean = errors.New("sim: a lean server records no pushes")

// seenID counts what came with one apns-id.
type seenID struct{ attempts, accepted int }

// recorder keeps the newest pushes in a ring.
type recorder struct {
	limit int

	mu      sync.Mutex
	ring    []Push
	next    int // where the next push goes once the ring is full
	last    uint64
	ids     map[string]seenID // of the pushes in the ring
	changed chan struct{}     // closed on the next push; nil while nobody waits

	duplicates uint64
}

func newRecorder(limit int) *recorder {
	return &recorder{limit: limit, ids: map[string]seenID{}}
}

// add records a push and returns whether it is a duplicate.
func (r *recorder) add(p Push) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last++
	p.Sequence = r.last
	id := strings.ToLower(p.ID)
	seen := r.ids[id]
	seen.attempts++
	p.Attempt = seen.attempts
	if p.Outcome == Accepted || p.Outcome == AcceptedUnanswered {
		p.Duplicate = seen.accepted > 0
		seen.accepted++
		if p.Duplicate {
			r.duplicates++
		}
	}
	r.ids[id] = seen
	if len(r.ring) < r.limit {
		r.ring = append(r.ring, p)
	} else {
		old := &r.ring[r.next]
		r.forget(old)
		*old = p
		if r.next++; r.next == r.limit {
			r.next = 0
		}
	}
	if r.changed != nil {
		close(r.changed)
		r.changed = nil
	}
}

func (r *recorder) forget(p *Push) {
	id := strings.ToLower(p.ID)
	seen := r.ids[id]
	if seen.attempts--; seen.attempts <= 0 {
		delete(r.ids, id)
		return
	}
	if p.Outcome == Accepted || p.Outcome == AcceptedUnanswered {
		seen.accepted--
	}
	r.ids[id] = seen
}

// find returns up to limit matching pushes, oldest first (0: all). When there is
// none it moves f.After past what was looked at, so that waiting does not look
// twice, and returns a channel that is closed with the next push.
func (r *recorder) find(f *Filter, limit int, newestFirst bool) ([]Push, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []Push
	start := 0
	if n := len(r.ring); n > 0 {
		// Sequences in the ring have no gaps.
		if oldest := r.last - uint64(n) + 1; f.After >= oldest {
			start = int(min(f.After-oldest+1, uint64(n)))
		}
	}
	for n := range len(r.ring) - start {
		i := start + n
		if newestFirst {
			i = len(r.ring) - 1 - n
		}
		p := &r.ring[(r.next+i)%len(r.ring)]
		if f.match(p) {
			if found = append(found, *p); len(found) == limit {
				break
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	f.After = max(f.After, r.last)
	if r.changed == nil {
		r.changed = make(chan struct{})
	}
	return nil, r.changed
}

func (r *recorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.ring)
	r.ring, r.next = r.ring[:0], 0
	clear(r.ids)
}

// Pushes returns the recorded pushes that match, oldest first. A lean server has
// none.
func (s *Server) Pushes(f Filter) []Push {
	if s.rec == nil {
		return nil
	}
	found, _ := s.rec.find(&f, 0, false)
	return found
}

// WaitForPush returns the oldest recorded push that matches, waiting for one
// until ctx ends. To see each push once, pass the last Sequence as Filter.After.
func (s *Server) WaitForPush(ctx context.Context, f Filter) (Push, error) {
	found, err := s.wait(ctx, f, 1, false)
	if err != nil {
		return Push{}, err
	}
	return found[0], nil
}

func (s *Server) wait(ctx context.Context, f Filter, limit int, newestFirst bool) ([]Push, error) {
	if s.rec == nil {
		return nil, ErrLean
	}
	for {
		found, changed := s.rec.find(&f, limit, newestFirst)
		if len(found) > 0 {
			return found, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// Clear forgets the recorded pushes; Sequence goes on counting.
func (s *Server) Clear() {
	if s.rec != nil {
		s.rec.clear()
	}
}

package sim

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/internal/proto"
)

// FaultKind says what goes wrong.
type FaultKind string

// Faults that hit a connection when it is accepted. Nth, Every, After, Burst,
// Count and Probability then count connections.
const (
	// FaultRefuseConnection resets the connection before TLS.
	FaultRefuseConnection FaultKind = "refuse_connection"
	// FaultStallHandshake accepts and never says a word.
	FaultStallHandshake FaultKind = "stall_handshake"
	// FaultRejectCertificate fails the TLS handshake with bad_certificate, as a
	// revoked certificate does.
	FaultRejectCertificate FaultKind = "reject_certificate"
	// FaultSlowSettings sends the first SETTINGS only after Delay.
	FaultSlowSettings FaultKind = "slow_settings"
	// FaultNoWindowUpdates never sends WINDOW_UPDATE.
	FaultNoWindowUpdates FaultKind = "no_window_updates"
	// FaultInitialSettings puts Settings into the first SETTINGS frame, such as a
	// window of one byte. A MaxStreams there is also the limit after
	// authentication.
	FaultInitialSettings FaultKind = "initial_settings"
	// FaultErrorLimit disconnects after Errors rejections, like
	// Guesses.ErrorLimit.
	FaultErrorLimit FaultKind = "error_limit"
)

// Faults that hit a request; with Now they hit open connections at once where
// that makes sense (goaway, close, reset_connection, half_open, settings).
const (
	// FaultDelay answers after Delay, plus up to Jitter.
	FaultDelay FaultKind = "delay"
	// FaultSilence never answers the stream.
	FaultSilence FaultKind = "silence"
	// FaultResetStream sends RST_STREAM with Code.
	FaultResetStream FaultKind = "reset_stream"
	// FaultAnswer answers with Status and Reason instead of checking.
	FaultAnswer FaultKind = "answer"
	// FaultGoAway sends GOAWAY; see LastStream, Code, Reason, Debug, Double.
	FaultGoAway FaultKind = "goaway"
	// FaultClose closes the connection in the middle.
	FaultClose FaultKind = "close"
	// FaultResetConnection closes it with a TCP reset.
	FaultResetConnection FaultKind = "reset_connection"
	// FaultHalfOpen swallows everything from now on and answers nothing, not even
	// PING.
	FaultHalfOpen FaultKind = "half_open"
	// FaultSettings sends SETTINGS in mid-flight; see Settings and RestoreAfter.
	// The request itself is handled as usual. Without Now and without a request to
	// select, use Nth 1 with PerConnection.
	FaultSettings FaultKind = "settings"
	// FaultClockSkew judges the request as if the server's clock were Skew ahead.
	FaultClockSkew FaultKind = "clock_skew"
	// FaultInformational sends a 1xx Status (default 103) before the answer.
	FaultInformational FaultKind = "informational"
	// FaultTrailers ends the answer with trailers.
	FaultTrailers FaultKind = "trailers"
	// FaultPadding pads the frames of the answer with Padding bytes (default 100).
	FaultPadding FaultKind = "padding"
	// FaultContinuation splits the answer's header block over three frames.
	FaultContinuation FaultKind = "continuation"
	// FaultRetryAfter adds a retry-after field to the answer.
	FaultRetryAfter FaultKind = "retry_after"
)

// SettingsChange is what a settings fault announces; nil fields are left out.
// MaxStreams is also enforced from then on; the others change nothing else.
type SettingsChange struct {
	MaxStreams      *uint32 `json:"max_streams,omitempty"`
	InitialWindow   *uint32 `json:"initial_window,omitempty"`
	MaxFrameSize    *uint32 `json:"max_frame_size,omitempty"`
	HeaderTableSize *uint32 `json:"header_table_size,omitempty"`
	MaxHeaderList   *uint32 `json:"max_header_list,omitempty"`
}

// Fault is one scripted misbehaviour. First a request (or connection) must match
// the selection; then the counting decides whether the fault fires.
type Fault struct {
	// ID is given by AddFault.
	ID   string
	Kind FaultKind

	// Selection. Empty fields select everything.
	DeviceToken string
	ChannelID   string
	Topic       string // bundle identifier, of broadcasts and channel management
	Connection  uint64 // number of the connection, from 1
	// Protocol is the one that the fault is for; empty means all that have its
	// kind.
	Protocol Protocol

	// Counting, over the requests (or connections) that were selected.
	//
	// PerConnection counts on each connection apart.
	PerConnection bool
	// After skips the first so many.
	After int
	// Nth fires on exactly this one, from 1 (after After).
	Nth int
	// Every fires on each n-th.
	Every int
	// Burst extends each firing by Nth or Every to so many in a row. Default 1.
	Burst int
	// Count ends the fault after so many firings. Default: no end.
	Count int
	// Probability fires by chance, from 0 to 1; 0 means always. The draws of a
	// connection depend only on Config.Seed, its number and its requests.
	Probability float64
	// For ends the fault so long after it was added. Default: no end.
	For time.Duration
	// OnHeaders fires when the header block is complete, before the body: for
	// silence, reset_stream, goaway, close, reset_connection and half_open.
	OnHeaders bool
	// Now fires at once, once, on every open connection that is selected, and the
	// fault is not kept.
	Now bool

	// What it does; each kind says which it uses.
	//
	// Delay and Jitter are for delay, slow_settings, and the binary protocol's
	// delay_packet, slow_reading and slow_feedback.
	Delay, Jitter time.Duration
	// Code of RST_STREAM (default INTERNAL_ERROR) or GOAWAY (default NO_ERROR).
	Code *http2.ErrCode
	// Status of answer; by default the one Reason travels with.
	Status int
	// Reason of answer, or of GOAWAY's JSON.
	Reason proto.Reason
	// Timestamp of answer and GOAWAY in milliseconds; 0 leaves it out.
	Timestamp int64
	// RetryAfter is the field's value, for retry_after and answer.
	RetryAfter string
	// LastStream of GOAWAY. By default the stream that fired it, which is then
	// answered as usual; with a smaller one it is not processed.
	LastStream *uint32
	// Debug is GOAWAY's debug data as plain text, instead of Reason.
	Debug string
	// Double sends a second GOAWAY without debug data.
	Double bool
	// Processed handles the push first and then keeps the answer back: for
	// silence, reset_stream, close, reset_connection, half_open and error_packet.
	// By default the push is not processed.
	Processed bool
	Settings  SettingsChange
	// RestoreAfter takes the change of settings back.
	RestoreAfter time.Duration
	Skew         time.Duration
	Errors       int
	Padding      uint8
	Trailers     [][2]string
	// BinaryStatus of error_packet.
	BinaryStatus *uint8
	// Identifier of error_packet and packet_identifier.
	Identifier *uint32
	// Bytes are for cut_packet, cut_feedback and slow_reading.
	Bytes int

	// Fired is how often it has fired; filled in by Faults.
	Fired int
}

var connectionKinds = []FaultKind{
	FaultRefuseConnection, FaultStallHandshake, FaultRejectCertificate,
	FaultSlowSettings, FaultNoWindowUpdates, FaultInitialSettings, FaultErrorLimit,
	FaultSlowReading, FaultSlowFeedback, FaultCutFeedback,
}

var requestKinds = []FaultKind{
	FaultDelay, FaultSilence, FaultResetStream, FaultAnswer, FaultGoAway, FaultClose,
	FaultResetConnection, FaultHalfOpen, FaultSettings, FaultClockSkew,
	FaultInformational, FaultTrailers, FaultPadding, FaultContinuation, FaultRetryAfter,
	FaultErrorPacket,
}

var (
	nowKinds       = []FaultKind{FaultGoAway, FaultClose, FaultResetConnection, FaultHalfOpen, FaultSettings, FaultErrorPacket}
	processedKinds = []FaultKind{FaultSilence, FaultResetStream, FaultClose, FaultResetConnection, FaultHalfOpen, FaultErrorPacket}
	headersKinds   = []FaultKind{FaultSilence, FaultResetStream, FaultGoAway, FaultClose, FaultResetConnection, FaultHalfOpen}
)

// maxFaults bounds the faults a server keeps.
const maxFaults = 1000

// validate fills defaults in and says what makes no sense.
func (f *Fault) validate() error {
	isConn := slices.Contains(connectionKinds, f.Kind)
	if !slices.Contains(FaultKinds(), f.Kind) {
		return fmt.Errorf("kind is %q; it must be one of %v", f.Kind, FaultKinds())
	}
	f.DeviceToken = strings.ToLower(f.DeviceToken)
	var errs []error
	bad := func(when bool, text string) {
		if when {
			errs = append(errs, errors.New(text))
		}
	}
	bad(f.After < 0 || f.Nth < 0 || f.Every < 0 || f.Burst < 0 || f.Count < 0 || f.Errors < 0 || f.Bytes < 0, "after, nth, every, burst, count, errors and bytes cannot be negative")
	bad(f.Nth > 0 && f.Every > 0, "nth and every exclude each other")
	bad(f.Burst > 0 && f.Nth == 0 && f.Every == 0, "burst needs nth or every")
	bad(f.Probability < 0 || f.Probability > 1, "probability must lie between 0 and 1")
	bad(f.Delay < 0 || f.Jitter < 0 || f.For < 0 || f.RestoreAfter < 0, "durations cannot be negative")
	bad(isConn && (f.DeviceToken != "" || f.ChannelID != "" || f.Topic != "" || f.PerConnection), string(f.Kind)+" hits connections; device_token, channel_id, topic and per_connection select requests")
	bad(f.Now && !slices.Contains(nowKinds, f.Kind), fmt.Sprintf("now is possible for %v", nowKinds))
	bad(f.OnHeaders && !slices.Contains(headersKinds, f.Kind), fmt.Sprintf("on_headers is possible for %v", headersKinds))
	bad(f.Processed && !slices.Contains(processedKinds, f.Kind), fmt.Sprintf("processed is possible for %v", processedKinds))
	bad(f.OnHeaders && f.Processed, "on_headers fires before the body, so the push cannot be processed")
	f.validateBinary(bad)
	switch f.Kind {
	case FaultDelay:
		bad(f.Delay == 0 && f.Jitter == 0, "delay needs delay or jitter")
	case FaultSlowSettings:
		bad(f.Delay == 0, "slow_settings needs delay")
	case FaultErrorLimit:
		bad(f.Errors == 0, "error_limit needs errors")
	case FaultAnswer:
		f.Status = cmp.Or(f.Status, statusFor(f.Reason))
		bad(f.Status < 200 || f.Status > 599, "answer needs a status from 200 to 599, or a reason from Apple's table")
	case FaultInformational:
		f.Status = cmp.Or(f.Status, 103)
		bad(f.Status < 100 || f.Status > 199 || f.Status == 101, "informational needs a status from 100 to 199 other than 101")
	case FaultTrailers:
		if f.Trailers == nil {
			f.Trailers = [][2]string{{"x-simulator", "trailer"}}
		}
		for _, t := range f.Trailers {
			bad(!validName(t[0]) || strings.HasPrefix(t[0], ":"), "trailers need lower-case field names")
		}
	case FaultPadding:
		f.Padding = cmp.Or(f.Padding, 100)
	case FaultRetryAfter:
		f.RetryAfter = cmp.Or(f.RetryAfter, "1")
	case FaultSettings, FaultInitialSettings:
		s := &f.Settings
		bad(*s == SettingsChange{}, "settings needs at least one of its fields")
		bad(s.MaxFrameSize != nil && (*s.MaxFrameSize < 16384 || *s.MaxFrameSize > 1<<24-1), "max_frame_size must lie between 16384 and 16777215")
		bad(s.InitialWindow != nil && *s.InitialWindow > maxWindow, "initial_window must be at most 2147483647")
	case FaultGoAway:
		bad(f.Debug != "" && f.Reason != "", "goaway has debug (plain text) or reason (JSON), not both")
	}
	return errors.Join(errs...)
}

// activeFault is a fault and its counting.
type activeFault struct {
	Fault
	hits   faultTarget
	on     []Protocol // that it plays on
	added  time.Time
	seen   int
	left   int // of a burst
	perCon map[uint64]*faultCount
	fired  int
}

type faultCount struct{ seen, left int }

// faultSet holds the faults of a server.
type faultSet struct {
	busy atomic.Bool // there are request faults

	mu   sync.Mutex
	list []*activeFault
	next int
}

// AddFault adds a fault and returns its id. It begins with the next request or
// connection, or at once if Now is set.
func (s *Server) AddFault(f Fault) (string, error) {
	if err := f.validate(); err != nil {
		return "", fmt.Errorf("sim: fault %s: %w", f.Kind, err)
	}
	set := s.faults
	set.mu.Lock()
	if len(set.list) >= maxFaults {
		set.mu.Unlock()
		return "", fmt.Errorf("sim: there are %d faults already; remove some", maxFaults)
	}
	set.next++
	f.ID, f.Fired = "f"+strconv.Itoa(set.next), 0
	if !f.Now {
		set.list = append(set.list, &activeFault{
			Fault: f, hits: f.target(), on: f.protocols(),
			added: time.Now(), perCon: map[uint64]*faultCount{},
		})
		set.refresh()
	}
	set.mu.Unlock()
	if f.Now {
		for _, c := range s.open() {
			if (f.Connection == 0 || f.Connection == c.id) && slices.Contains(f.protocols(), ProtocolHTTP2) {
				c.playNow(&f)
			}
		}
		for _, c := range s.openBinary() {
			if (f.Connection == 0 || f.Connection == c.id) && slices.Contains(f.protocols(), ProtocolBinary) {
				c.playNow(&f)
			}
		}
	}
	return f.ID, nil
}

// SetFaults replaces all faults. If one makes no sense, none is changed.
func (s *Server) SetFaults(faults ...Fault) error {
	for i := range faults {
		if err := faults[i].validate(); err != nil {
			return fmt.Errorf("sim: fault %d (%s): %w", i+1, faults[i].Kind, err)
		}
	}
	s.ClearFaults()
	for _, f := range faults {
		if _, err := s.AddFault(f); err != nil {
			return err
		}
	}
	return nil
}

// Faults returns the faults that are kept, in the order they were added.
func (s *Server) Faults() []Fault {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	list := make([]Fault, 0, len(s.faults.list))
	for _, f := range s.faults.list {
		c := f.Fault
		c.Fired = f.fired
		list = append(list, c)
	}
	return list
}

// RemoveFault removes a fault and reports whether it was there.
func (s *Server) RemoveFault(id string) bool {
	set := s.faults
	set.mu.Lock()
	defer set.mu.Unlock()
	before := len(set.list)
	set.list = slices.DeleteFunc(set.list, func(f *activeFault) bool { return f.ID == id })
	set.refresh()
	return len(set.list) < before
}

// ClearFaults removes all faults. What they did to connections stays done.
func (s *Server) ClearFaults() {
	s.faults.mu.Lock()
	defer s.faults.mu.Unlock()
	s.faults.list = nil
	s.faults.refresh()
}

func (set *faultSet) refresh() {
	set.busy.Store(slices.ContainsFunc(set.list, func(f *activeFault) bool { return f.hits != hitsConnections }))
}

// fires counts one selected request or connection and says whether the fault
// hits it.
func (f *activeFault) fires(connection uint64, rng *rand.Rand) bool {
	if f.For > 0 && time.Since(f.added) >= f.For || f.Count > 0 && f.fired >= f.Count {
		return false
	}
	n := faultCount{f.seen, f.left}
	own := f.perCon[connection]
	if f.PerConnection {
		if own == nil {
			if len(f.perCon) > 4096 { // connections long gone
				clear(f.perCon)
			}
			own = &faultCount{}
			f.perCon[connection] = own
		}
		n = *own
	}
	hit := false
	n.seen++
	if k := n.seen - f.After; k > 0 {
		switch {
		case n.left > 0:
			n.left--
			hit = true
		case f.Nth > 0 && k == f.Nth, f.Every > 0 && k%f.Every == 0:
			n.left = max(0, f.Burst-1)
			hit = true
		case f.Nth == 0 && f.Every == 0:
			hit = true
		}
	}
	if f.PerConnection {
		*own = n
	} else {
		f.seen, f.left = n.seen, n.left
	}
	if hit && f.Probability > 0 {
		hit = rng.Float64() < f.Probability
	}
	if hit {
		f.fired++
	}
	return hit
}

// FaultKinds returns all kinds of faults: those of connections, those of requests
// and notifications, those of error packets.
func FaultKinds() []FaultKind { return slices.Concat(connectionKinds, requestKinds, packetKinds) }

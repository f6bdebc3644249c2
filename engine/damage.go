package engine

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/minio/highwayhash"
	"github.com/nats-io/nats.go/jetstream"
)

// Disks lose bytes. The log's server takes what it can still read and says little of
// the rest: a stream whose description is damaged is not there, and what stands
// behind a damaged record in the same file is gone. So it is looked for: before the
// server starts, what it would stumble over is put right; after that the streams
// that should be there are opened from what is left of them; and now and then their
// gaps are counted. Ours have none of their own, since they are cut off at the
// beginning only.

// Lost is what is missing of a stream of the log.
type Lost struct {
	Stream string
	// Messages are missing; on a queue each is a chunk of up to 1,024 notifications.
	Messages int64
	Detail   string
}

// damage is what was found.
type damage struct {
	mu   sync.Mutex
	lost map[string]Lost
	ends map[string]uint64 // the last sequence that was ever seen
	at   time.Time         // of the last look
}

// damageEvery is how often gaps are counted.
const damageEvery = 5 * time.Second

func newDamage() damage { return damage{lost: map[string]Lost{}, ends: map[string]uint64{}} }

func (d *damage) list() []Lost {
	d.mu.Lock()
	defer d.mu.Unlock()
	list := make([]Lost, 0, len(d.lost))
	for _, l := range d.lost {
		list = append(list, l)
	}
	slices.SortFunc(list, func(a, b Lost) int { return strings.Compare(a.Stream, b.Stream) })
	return list
}

// streamsFolder is where the embedded server keeps what is ours.
func streamsFolder(dir string) string { return filepath.Join(dir, "log", "jetstream", "$G", "streams") }

// ours says that a stream belongs to the engine.
func ours(stream string) bool {
	return strings.HasPrefix(stream, streamPrefix) || strings.HasPrefix(stream, "KV_"+streamPrefix)
}

// inspect looks at the descriptions of streams and of their consumers, before the
// server does. It returns the streams whose description is damaged, and takes damaged
// consumers away: the server would close their stream. They are made again, and what
// they had handed out is told by verdicts.
func inspect(dir string) (streams, consumers []string, err error) {
	folder := streamsFolder(dir)
	entries, err := os.ReadDir(folder)
	if os.IsNotExist(err) {
		return nil, nil, nil
	}
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() || !ours(name) {
			continue
		}
		// The server's extract of what is scheduled has no sum. Without it, it reads
		// the messages.
		if err := os.Remove(filepath.Join(folder, name, "msgs", "sched.db")); err != nil && !os.IsNotExist(err) {
			return nil, nil, err
		}
		if path := filepath.Join(folder, name); !described(path, name) && !unfinished(path) {
			streams = append(streams, name)
			// The server does not know its consumers either. What they had handed out
			// has to come again, at once, so they begin anew.
			if err := os.RemoveAll(filepath.Join(path, "obs")); err != nil {
				return nil, nil, err
			}
		}
		observers, _ := os.ReadDir(filepath.Join(folder, name, "obs")) // there can be none
		for _, o := range observers {
			path := filepath.Join(folder, name, "obs", o.Name())
			if described(path, name+"/"+o.Name()) {
				continue
			}
			begun := unfinished(path)
			if err := os.RemoveAll(path); err != nil {
				return nil, nil, err
			}
			if !begun {
				consumers = append(consumers, name)
			}
		}
	}
	return streams, consumers, err
}

// unfinished reports whether a folder is what a process left that ended while it made
// a stream or a consumer, and nothing was in it yet, or while it took away the queue of
// a batch that was done.
func unfinished(folder string) bool {
	if _, err := os.Stat(filepath.Join(folder, "meta.sum")); err == nil {
		return false
	}
	if _, err := os.Stat(filepath.Join(folder, "meta.inf")); err != nil && strings.HasPrefix(filepath.Base(folder), batchStream) {
		return true
	}
	files, err := filepath.Glob(filepath.Join(folder, "msgs", "*.blk"))
	return err == nil && !slices.ContainsFunc(files, func(f string) bool {
		info, err := os.Stat(f)
		return err == nil && info.Size() > 0
	})
}

// described reports whether the description in a folder is what was written: it has
// a sum beside it, with the name as the key.
func described(folder, name string) bool {
	text, err := os.ReadFile(filepath.Join(folder, "meta.inf"))
	if err != nil {
		return false
	}
	sum, err := os.ReadFile(filepath.Join(folder, "meta.sum"))
	if err != nil {
		return false
	}
	key := sha256.Sum256([]byte(name))
	h, err := highwayhash.NewDigest64(key[:])
	if err != nil {
		return false
	}
	h.Write(text)
	return hex.EncodeToString(h.Sum(nil)) == string(sum)
}

// tellOfInspection says what inspect and repair found.
func (e *Engine) tellOfInspection() {
	for name, n := range e.store.lostRecords {
		l := Lost{name, int64(n), lostDetail(int64(n))}
		e.damage.lost[name] = l
		e.tellLost(l)
	}
	for _, name := range e.store.damagedStreams {
		e.log.Error("the description of a part of the log is damaged; it is opened again from its data", "stream", name)
	}
	for _, name := range e.store.damagedConsumers {
		e.tellPlaceLost(name)
	}
}

// openDamaged opens the queues that are on the disk and not on the log, since their
// description was damaged.
func (e *Engine) openDamaged(ctx context.Context) error {
	for _, name := range e.store.damagedStreams {
		p, batch, ok := parseQueueName(name)
		if !ok {
			continue // it was opened with the others of its kind
		}
		if _, err := e.queueFor(ctx, p, batch); err != nil {
			return err
		}
	}
	return nil
}

// parseQueueName reads what a queue is for from its name.
func parseQueueName(name string) (p path, batch BatchID, ok bool) {
	rest, ok := strings.CutPrefix(name, queuePrefix)
	kind := "queue"
	if !ok {
		if rest, ok = strings.CutPrefix(name, batchStream); !ok {
			return p, batch, false
		}
		kind = "batch"
	}
	parts := strings.SplitN(rest, "-", 3)
	if len(parts) < 3 {
		return p, batch, false
	}
	if kind == "batch" {
		i := strings.LastIndexByte(parts[2], '-')
		if i < 0 {
			return p, batch, false
		}
		parts = append(parts[:2], parts[2][:i], parts[2][i+1:])
	}
	return parseQueueSubject("aviso." + kind + "." + strings.Join(parts, "."))
}

// streamState is what the server tells of a stream, its losses included.
type streamState struct {
	created   time.Time
	maxAge    time.Duration
	Messages  uint64    `json:"messages"`
	FirstSeq  uint64    `json:"first_seq"`
	FirstTime time.Time `json:"first_ts"`
	LastSeq   uint64    `json:"last_seq"`
	Deleted   []uint64  `json:"deleted"`
	Lost      *struct {
		Msgs  []uint64 `json:"msgs"`
		Bytes uint64   `json:"bytes"`
	} `json:"lost"`
}

func (e *Engine) streamState(ctx context.Context, name string) (s streamState, err error) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	answer, err := e.store.conn.RequestWithContext(ctx, "$JS.API.STREAM.INFO."+name, []byte(`{"deleted_details":true}`))
	if err != nil {
		return s, storeError(err)
	}
	var info struct {
		Created time.Time   `json:"created"`
		State   streamState `json:"state"`
		Config  struct {
			MaxAge time.Duration `json:"max_age"`
		} `json:"config"`
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(answer.Data, &info); err != nil {
		return s, err
	}
	if info.Error != nil {
		return s, fmt.Errorf("stream %s: %s", name, info.Error.Description)
	}
	info.State.created, info.State.maxAge = info.Created, info.Config.MaxAge
	return info.State, nil
}

// endsFile has how much there was of each stream a moment before the log was closed, or
// its process killed.
const endsFile = "ends.json"

type streamEnds struct {
	// Orderly says that nothing was written after it.
	Orderly bool
	Streams map[string]streamEnd
}

// streamEnd is where a stream ended.
type streamEnd struct {
	Created        time.Time // which tells it from another of the same name
	Oldest         time.Time // of its messages
	Last, Messages uint64
	Done           uint64 // up to here, if its messages are leased
}

func (s *streamState) end() streamEnd {
	return streamEnd{Created: s.created, Oldest: s.FirstTime, Last: s.LastSeq, Messages: s.Messages}
}

// guarded are the streams that damage is looked for in, and whether they have gaps of
// their own: of some any message can be taken off.
func (e *Engine) guarded() map[string]bool {
	gaps := map[string]bool{streamVerdicts: false, streamDead: false, streamLater: true, streamBuried: true, streamAside: true}
	for _, bucket := range controlBuckets {
		gaps["KV_"+bucket] = true
	}
	for _, q := range e.allQueues() {
		gaps[q.name] = false
	}
	return gaps
}

// writeEnds notes how much there is, before the log is closed.
func (e *Engine) writeEnds(ctx context.Context) error {
	ends := streamEnds{Orderly: true, Streams: map[string]streamEnd{}}
	for name := range e.guarded() {
		s, err := e.streamState(ctx, name)
		if err == nil {
			end := s.end()
			end.Done = e.floor(ctx, name)
			ends.Streams[name] = end
		} else if !e.streamGone(ctx, name) {
			return err
		}
	}
	return e.noteEnds(ends)
}

// streamGone reports whether there is certainly no such stream.
func (e *Engine) streamGone(ctx context.Context, name string) bool {
	_, err := e.store.Stream(ctx, name)
	return errors.Is(err, jetstream.ErrStreamNotFound)
}

func (e *Engine) noteEnds(ends streamEnds) error {
	data, err := json.Marshal(ends)
	if err == nil {
		err = replaceFile(filepath.Join(e.store.dir, endsFile), data)
	}
	return err
}

// readEnds reads what noteEnds wrote, or nothing.
func readEnds(dir string) (ends streamEnds) {
	data, err := os.ReadFile(filepath.Join(dir, endsFile))
	if err != nil || json.Unmarshal(data, &ends) != nil {
		return streamEnds{}
	}
	return ends
}

// compareEnds counts what is missing since the ends were last noted. It comes before
// anything is written.
func (e *Engine) compareEnds(ctx context.Context) error {
	ends := readEnds(e.store.dir)
	for name, end := range ends.Streams {
		if slices.Contains(e.store.damagedStreams, name) {
			continue // it is not open yet
		}
		missing, err := e.missing(ctx, name, end, ends.Orderly && !e.crashed)
		if err == nil && missing > 0 {
			// What is due at this moment is moved by the log itself.
			pause(ctx, staleRead)
			missing, err = e.missing(ctx, name, end, ends.Orderly && !e.crashed)
		}
		if err != nil {
			return err
		}
		if missing > e.damage.lost[name].Messages {
			l := Lost{name, missing, lostDetail(missing)}
			e.damage.lost[name] = l
			e.tellLost(l)
		}
	}
	if !ends.Orderly {
		return nil
	}
	if !e.crashed {
		done := map[string]uint64{}
		for name, end := range ends.Streams {
			done[name] = end.Done
		}
		e.doneBefore.Store(&done)
	}
	ends.Orderly = false // from now on something is taken off
	return e.noteEnds(ends)
}

// missing is how many messages a stream lacks of those that it had; all says that
// nothing was taken off it since.
func (e *Engine) missing(ctx context.Context, name string, end streamEnd, all bool) (int64, error) {
	s, err := e.streamState(ctx, name)
	switch {
	case err == nil && !s.created.Equal(end.Created):
		return 0, nil // it was made anew since
	case err == nil:
	case !e.streamGone(ctx, name):
		return 0, err
	case strings.HasPrefix(name, batchStream) && !all:
		return 0, nil // its batch was done
	default:
		s = streamState{}
	}
	// The end of a stream never comes nearer, whatever is taken off it.
	missing := min(int64(end.Last)-int64(s.LastSeq), int64(end.Messages))
	if old := s.maxAge > 0 && time.Since(end.Oldest) > s.maxAge; all && !old {
		missing = max(missing, int64(end.Messages)-int64(s.Messages))
	}
	return missing, nil
}

// lookForDamage counts what is missing of the log, and says so when it has become
// more.
func (e *Engine) lookForDamage(ctx context.Context) error {
	d := &e.damage
	if time.Since(d.at) < damageEvery {
		return nil
	}
	d.at = time.Now()
	ends := streamEnds{Streams: map[string]streamEnd{}}
	for name, gaps := range e.guarded() {
		s, err := e.streamState(ctx, name)
		if err != nil {
			if !e.streamGone(ctx, name) {
				return err
			}
			continue // a batch's queue, which is done
		}
		ends.Streams[name] = s.end()
		s.forget(e.floor(ctx, name))
		if l := d.count(name, s, !gaps); l != nil {
			e.tellLost(*l)
		}
	}
	return e.noteEnds(ends)
}

// floor is up to where a stream is done whose messages are leased; 0 for others.
func (e *Engine) floor(ctx context.Context, name string) uint64 {
	var consumer jetstream.Consumer
	if name == streamLater {
		consumer = e.later.leased
	}
	for _, q := range e.allQueues() {
		if q.name == name {
			consumer = q.consumer
		}
	}
	if consumer == nil {
		return 0
	}
	info, err := consumer.Info(ctx)
	if err != nil {
		return 0
	}
	return info.AckFloor.Stream
}

// forget leaves out what is missing of what was done: a crash can leave that half
// removed.
func (s *streamState) forget(floor uint64) {
	s.Deleted = slices.DeleteFunc(s.Deleted, func(seq uint64) bool { return seq <= floor })
	if s.Lost != nil {
		s.Lost.Msgs = slices.DeleteFunc(s.Lost.Msgs, func(seq uint64) bool { return seq <= floor })
	}
}

func (e *Engine) tellLost(l Lost) {
	e.log.Error("a part of the log is damaged, and what stood there is lost", "stream", l.Stream, "messages", l.Messages, "found", l.Detail)
}

func lostDetail(messages int64) string {
	return fmt.Sprintf("%d messages cannot be read any more", messages)
}

// count counts what is missing of a stream, and returns it if it has become more.
func (d *damage) count(name string, s streamState, hasNoGaps bool) *Lost {
	d.mu.Lock()
	defer d.mu.Unlock()
	missing, bytes := int64(0), uint64(0)
	if s.Lost != nil {
		missing, bytes = int64(len(s.Lost.Msgs)), s.Lost.Bytes
	}
	if hasNoGaps {
		missing = max(missing, int64(len(s.Deleted)))
	}
	if end := d.ends[name]; s.LastSeq < end {
		missing = max(missing, int64(end-s.LastSeq))
	}
	d.ends[name] = max(d.ends[name], s.LastSeq)
	old := d.lost[name]
	// What was lost stays lost, also when the gap has been cut off.
	l := Lost{Stream: name, Messages: max(missing, old.Messages)}
	switch {
	case l.Messages > 0:
		l.Detail = lostDetail(l.Messages)
	case bytes > 0:
		l.Detail = fmt.Sprintf("%d bytes cannot be read any more", bytes)
	default:
		return nil
	}
	d.lost[name] = l
	if l == old {
		return nil
	}
	return &l
}

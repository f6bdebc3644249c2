package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"aviso.example/apns"
)

// deadTokens are the device tokens that APNs called dead, with its timestamps:
// the suppression list. It is a log of its own, since it has to outlive verdicts,
// and a table in memory with 16 bytes for each.
//
// A device token is dropped only on 410 with a timestamp newer than its
// registration, never on BadDeviceToken, which usually means the wrong
// environment; and not when suddenly many of an app are called dead, which is
// more often a mistake of somebody's than many people leaving at once.
type deadTokens struct {
	engine *Engine
	stream jetstream.Stream

	// A device token is dead if it died at or after the last registration that
	// is known to have come after a death. Both only grow, so it does not matter
	// in which order, or how often, what is on the log is taken in.
	mu      sync.RWMutex
	table   map[uint64]uint32 // when the dead ones died, in UNIX seconds, by deadKey
	revived map[uint64]uint32 // when those that came back were registered
	guard   map[gateKey]*guard
	// unwritten came back and are not on the log yet.
	unwritten map[gateKey][]deadToken
}

// deadToken is an entry of the log: a device token and since when it is dead or,
// in a record of the revived, when it was registered again.
type deadToken struct {
	token []byte
	since time.Time
}

// DeadToken is one entry of the feed of dead device tokens.
type DeadToken struct {
	// Cursor is where the feed goes on after it.
	Cursor      uint64
	App         string
	Environment apns.Environment
	DeviceToken string
	// Since is APNs's timestamp or, with Revived, when it was registered again.
	Since time.Time
	// Revived: the app registered it again, so it is sent to again.
	Revived bool
	// Doubtful: it came while so many were called dead that nobody should
	// delete anything before looking; it is sent to as before.
	Doubtful bool
}

const (
	// guardWindow is over how many verdicts of an app the guard looks.
	guardWindow = 2000
	// guardShare is the share of dead device tokens in it that is not believed.
	// A campaign to devices not heard of for months can have a tenth.
	guardShare = 0.3
	// guardLeast is how many dead device tokens are believed in any case.
	guardLeast = 200

	// maxRevived bounds a record of the revived; so many of the longest device
	// tokens there are fit into a message of the log.
	maxRevived = maxChunk / 2

	deadFormat   = 1
	deadRevived  = 1
	deadDoubtful = 2
)

// guard counts an app's recent answers in two halves, the older of which is
// forgotten when the newer is full.
type guard struct {
	sent, dead       int
	oldSent, oldDead int
	told             bool
}

func (g *guard) add(sent, dead int) {
	g.sent += sent
	g.dead += dead
	if g.sent >= guardWindow/2 {
		g.oldSent, g.oldDead, g.sent, g.dead = g.sent, g.dead, 0, 0
	}
}

func (g *guard) tripped() bool {
	dead, sent := g.dead+g.oldDead, g.sent+g.oldSent
	return dead > guardLeast && float64(dead) > guardShare*float64(sent)
}

func deadKey(app string, environment apns.Environment, token []byte) uint64 {
	return mix(tokenKey(token), hash(uint64(environment)+0x8ebc6af09c88c6e3, []byte(app)))
}

func (e *Engine) openDead(ctx context.Context) (*deadTokens, error) {
	d := &deadTokens{engine: e, table: map[uint64]uint32{}, revived: map[uint64]uint32{}, guard: map[gateKey]*guard{}, unwritten: map[gateKey][]deadToken{}}
	var err error
	d.stream, err = e.store.stream(ctx, jetstream.StreamConfig{
		Name: streamDead, Subjects: []string{subjectDead + "*"}, Retention: jetstream.LimitsPolicy,
		Discard: jetstream.DiscardOld, MaxAge: e.cfg.SuppressionAge, AllowDirect: true,
	})
	return d, err
}

// follow reads the list into memory, and what comes to it.
func (d *deadTokens) follow(ctx context.Context, ready func()) {
	told := false
	for from := uint64(1); ctx.Err() == nil; {
		f, err := newFollower(ctx, d.engine.store, d.stream, from)
		for err == nil && ctx.Err() == nil {
			most := followBatch
			if !told {
				var info *jetstream.ConsumerInfo
				if info, err = f.consumer.Info(ctx); err != nil {
					break
				}
				if info.NumPending == 0 && info.Delivered.Consumer == f.taken {
					told = true
					ready()
				}
				// What is there comes at once; more would be waited for.
				most = min(most, max(1, int(info.NumPending)))
			}
			_, err = f.read(ctx, most, func(seq uint64, data []byte) error {
				from = seq + 1
				d.takeIn(data)
				return nil
			})
		}
		if err != nil && ctx.Err() == nil && !errors.Is(err, errMissed) {
			d.engine.complain(ctx, "the list of dead device tokens cannot be followed", err)
			pause(ctx, troublePause)
		}
	}
}

// append writes entries in the form they have on the log.
func appendDead(app string, environment apns.Environment, flags byte, list []deadToken) []byte {
	b := append([]byte{deadFormat, flags, byte(environment)}, appendBytes(nil, app)...)
	for _, t := range list {
		b = binary.AppendVarint(b, t.since.UnixMilli())
		b = appendBytes(b, t.token)
	}
	return appendSum(b)
}

func readDead(data []byte, each func(app string, environment apns.Environment, flags byte, t deadToken)) error {
	r := newWireReader(data)
	if format := r.octet(); r.err == nil && format != deadFormat {
		r.fail(errFormat)
	}
	flags, environment, app := r.octet(), apns.Environment(r.octet()), r.text()
	for r.err == nil && len(r.data) > 0 {
		since := time.UnixMilli(r.varint())
		token := r.bytes()
		if r.err == nil {
			each(app, environment, flags, deadToken{token, since})
		}
	}
	return r.done()
}

func (d *deadTokens) takeIn(data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := readDead(data, func(app string, environment apns.Environment, flags byte, t deadToken) {
		key, at := deadKey(app, environment, t.token), uint32(t.since.Unix())
		switch {
		case flags&deadRevived != 0:
			d.revive(key, at)
		case flags&deadDoubtful == 0 && at >= d.revived[key]:
			d.table[key] = max(at, d.table[key])
		}
	})
	if err != nil {
		d.engine.log.Error("an entry of the list of dead device tokens cannot be read", "error", err)
	}
}

// revive takes in that a device token was registered; d.mu is held.
func (d *deadTokens) revive(key uint64, registered uint32) {
	d.revived[key] = max(registered, d.revived[key])
	if since, dead := d.table[key]; dead && since < registered {
		delete(d.table, key)
	}
}

// add writes down what APNs called dead.
func (d *deadTokens) add(ctx context.Context, app string, environment apns.Environment, list []deadToken) error {
	flags := byte(0)
	d.mu.Lock()
	if g := d.guard[gateKey{app, environment}]; g != nil && g.tripped() {
		flags = deadDoubtful
		if !g.told {
			g.told = true
			d.engine.log.Error("APNs calls unusually many device tokens dead; they are listed as doubtful and sent to as before",
				"app", app, "environment", environment.String(), "dead", g.dead+g.oldDead, "of", g.sent+g.oldSent)
		}
	}
	d.mu.Unlock()
	return d.write(ctx, app, environment, flags, list)
}

func (d *deadTokens) write(ctx context.Context, app string, environment apns.Environment, flags byte, list []deadToken) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	data := appendDead(app, environment, flags, list)
	if _, err := d.engine.store.put(ctx, subjectDead+app, data); err != nil {
		return err
	}
	d.takeIn(data)
	return nil
}

// observe feeds the guard with how many were sent and how many of those are
// dead.
func (d *deadTokens) observe(p path, sent, dead int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := gateKey{p.app, p.environment}
	g := d.guard[key]
	if g == nil {
		g = &guard{}
		d.guard[key] = g
	}
	g.add(sent, dead)
	if g.told && !g.tripped() {
		g.told = false
	}
}

// since is when a device token died, or the zero time.
func (d *deadTokens) since(app string, environment apns.Environment, token []byte) time.Time {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if len(d.table) == 0 {
		return time.Time{}
	}
	if s, ok := d.table[deadKey(app, environment, token)]; ok {
		return time.Unix(int64(s), 0).UTC()
	}
	return time.Time{}
}

// size is how many device tokens are suppressed.
func (d *deadTokens) size() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return len(d.table)
}

// suppressed reports whether a device token is known to be dead. One that was
// registered again since is revived, which the recorder writes down before the
// verdict on its notification; if that is lost, the next one does it again.
func (e *Engine) suppressed(c *chunk, t *target) bool {
	d := e.dead
	since := d.since(c.app, c.environment, t.token)
	if since.IsZero() {
		return false
	}
	if t.registered <= since.Unix() {
		return true
	}
	// Nobody can have registered it after this moment, and a date in the far
	// future must not keep it from ever being dead again.
	registered := max(min(t.registered, time.Now().Unix()), since.Unix()+1)
	key := gateKey{c.app, c.environment}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.revive(deadKey(c.app, c.environment, t.token), uint32(registered))
	d.unwritten[key] = append(d.unwritten[key], deadToken{bytes.Clone(t.token), time.Unix(registered, 0)})
	return false
}

// before returns the writes about those that came back, and forgets them.
func (d *deadTokens) before() (writes []func(context.Context) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for key, all := range d.unwritten {
		for list := range slices.Chunk(all, maxRevived) {
			writes = append(writes, func(ctx context.Context) error {
				return d.write(ctx, key.app, key.environment, deadRevived, list)
			})
		}
	}
	clear(d.unwritten)
	return writes
}

// dropsDeviceToken applies Apple's rule: 410, with a timestamp newer than the
// registration.
func (e *Engine) dropsDeviceToken(t *target, d *decision) bool {
	rejected := apns.RejectedError{Status: d.status, Since: d.deadSince}
	registered := time.Time{}
	if t.registered != 0 {
		registered = time.Unix(t.registered, 0)
	}
	return rejected.DropDeviceToken(registered)
}

// DeadTokens lists the feed of dead device tokens after a cursor, oldest first,
// at most limit of them and a few more, since one cursor can stand for several.
// An empty app means all. next is the cursor to go on with, now or later.
func (e *Engine) DeadTokens(ctx context.Context, app string, after uint64, limit int) (list []DeadToken, next uint64, err error) {
	// The log finds an app's entries by their subject: those of others between
	// them cost nothing.
	subject := appSubject(subjectDead, app)
	if subject == "" {
		return nil, after, nil
	}
	next = after
	// Every message counts, also one that cannot be read, so that a page ends.
	for looked := 0; looked < limit && len(list) < limit; looked++ {
		msg, err := e.dead.stream.GetMsg(ctx, next+1, jetstream.WithGetMsgSubject(subject))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			break
		} else if err != nil {
			return nil, after, storeError(err)
		}
		next = msg.Sequence
		var entries []DeadToken
		err = readDead(msg.Data, func(a string, environment apns.Environment, flags byte, t deadToken) {
			entries = append(entries, DeadToken{
				Cursor: next, App: a, Environment: environment, DeviceToken: hexText(t.token), Since: t.since.UTC(),
				Revived: flags&deadRevived != 0, Doubtful: flags&deadDoubtful != 0,
			})
		})
		if err != nil {
			// It must not hide what comes after it.
			e.log.Error("an entry of the list of dead device tokens cannot be read", "sequence", next, "error", err)
			continue
		}
		list = append(list, entries...)
	}
	return list, next, nil
}

// appSubject is the subject of an app's messages, or of all apps' for none; empty
// if there can be no such app: a wildcard must not be taken for its name.
func appSubject(prefix, app string) string {
	switch {
	case app == "":
		return prefix + "*"
	case !appID.MatchString(app):
		return ""
	}
	return prefix + app
}

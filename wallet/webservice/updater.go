package webservice

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"aviso.example/apns"
	"aviso.example/internal/service"
	"aviso.example/internal/suggest"
)

// Numbers of the updater. They are ours.
const (
	// DefaultInterval is how often Run looks for pushes that are due, such as those
	// that other processes put down.
	DefaultInterval = 15 * time.Second
	// DefaultLease is how long a push that was claimed is left alone. It exceeds
	// apns.DefaultTimeout, within which a push usually has its outcome.
	DefaultLease = 2 * time.Minute
	// page is how many pushes are claimed, and settled, at once. A claim locks the
	// store for some ten milliseconds.
	page = 1000
	// changePage is how many passes one transaction marks as changed.
	changePage = 500
	// firstRetry doubles with each attempt up to lastRetry, which stays below MaxDue.
	firstRetry = time.Minute
	lastRetry  = 6 * time.Hour
	// maxAttempts ends pushes that APNs keeps refusing for what may be the device's,
	// after more than a day.
	maxAttempts = 14
	// maxTrouble is how many pushes in a row may come back in a way that the next one
	// will too, before a round is ended.
	maxTrouble = 20
	// longestPause is the longest wait after a round that was ended by trouble.
	longestPause = 5 * time.Minute
	// settleTime bounds writing outcomes down after the context has ended.
	settleTime = 10 * time.Second
)

// Sender sends pushes; *apns.Client is one.
type Sender interface {
	PushAll(ctx context.Context, notifications iter.Seq[*apns.Notification]) iter.Seq[apns.Result]
}

// UpdaterConfig is what an Updater is made of. Store and Senders are required.
type UpdaterConfig struct {
	Store Store
	// Senders has the client for each pass type identifier or order type identifier.
	// APNs asks for the certificate that signs the packages, so each type has a client
	// of its own, and trouble with one does not touch the others. Updates exist in
	// production only.
	Senders map[string]Sender
	// PushType is what is sent as apns-push-type. The default is none: Apple documents
	// none for Wallet. Some servers send background, which makes the priority 5.
	PushType apns.PushType
	// OnOutcome, if set, hears of every push that has an outcome, before it is written
	// down. The calls for one type come one after another, and delay the next pushes.
	OnOutcome func(PushOutcome)

	// Interval: see DefaultInterval.
	Interval time.Duration
	// Lease: see DefaultLease. After a crash, what was under way is pushed again when
	// it is over. It should exceed the Timeout of the clients.
	Lease time.Duration

	// Logger receives a line for each round that pushed something, at Info, or at Warn
	// if something went wrong. Nothing names a device or a pass. Nil means silence.
	Logger *slog.Logger
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// PushOutcome is what became of one push to one device.
type PushOutcome struct {
	Push
	// Outcome is one of the four of package apns, and Err what explains it.
	Outcome apns.Outcome
	Err     error
	// Verdict is what follows, and Again when, with Later.
	Verdict Verdict
	Again   time.Time
}

// Report counts what became of the pushes of one round.
type Report struct {
	// The four outcomes of package apns.
	Accepted, Rejected, NotSent, Unknown int
	// Again is how many of them will be pushed again.
	Again int
	// Removed is how many devices were dropped, because their device token is no longer
	// active.
	Removed int
	// Trouble is why the round ended before everything was pushed, or nil: an outcome
	// that the next push would have had too.
	Trouble error
}

// Updater tells devices that passes and orders changed. It is safe for concurrent
// use, and several processes may have one on the same store.
type Updater struct {
	cfg   UpdaterConfig
	types []string
	wake  map[string]chan struct{}
}

// NewUpdater checks the config and reports all that is wrong with it. It starts
// nothing: see Run and Push.
func NewUpdater(cfg UpdaterConfig) (*Updater, error) {
	var problems []error
	bad := func(format string, args ...any) {
		problems = append(problems, fmt.Errorf("webservice: UpdaterConfig."+format, args...))
	}
	if cfg.Store == nil {
		bad("Store is missing; sqlite.Open makes one")
	}
	if len(cfg.Senders) == 0 {
		bad("Senders is empty: it has an apns.Client for each type identifier")
	}
	u := &Updater{types: slices.Sorted(maps.Keys(cfg.Senders)), wake: map[string]chan struct{}{}}
	for _, typ := range u.types {
		u.wake[typ] = make(chan struct{}, 1)
		if cfg.Senders[typ] == nil {
			bad("Senders[%q] is nil", typ)
		}
		probe := apns.Notification{DeviceToken: "00", Payload: payloadOfUpdate, Topic: typ, PushType: cfg.PushType}
		if invalid, ok := errors.AsType[*apns.InvalidError](probe.Validate("", time.Unix(0, 0))); ok {
			for _, p := range invalid.Problems {
				bad("Senders[%q]: the notification's %s %s", typ, p.Field, p.Message)
			}
		}
	}
	for _, d := range []struct {
		field    string
		value    *time.Duration
		fallback time.Duration
	}{{"Interval", &cfg.Interval, DefaultInterval}, {"Lease", &cfg.Lease, DefaultLease}} {
		if *d.value == 0 {
			*d.value = d.fallback
		}
		if *d.value < time.Millisecond || *d.value > MaxDue {
			bad("%s is %v; it has to be between a millisecond and %v, and a plain number counts nanoseconds", d.field, *d.value, MaxDue)
		}
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	u.cfg = cfg
	return u, nil
}

// Changed puts down that passes or orders changed and wakes Run, which tells the
// devices. Call it when the new packages can be fetched: a device may ask at once.
// Withdrawing a pass is a change too.
//
// If it returns nil, the store has it all, and the devices will be told whatever
// happens to this process. If it returns an error, some of it may be there; calling it
// again is harmless. Serial numbers that no device ever registered for are left alone.
func (u *Updater) Changed(ctx context.Context, typ string, serials ...string) (Change, error) {
	if _, ok := u.cfg.Senders[typ]; !ok {
		return Change{}, fmt.Errorf("webservice: UpdaterConfig.Senders has no type %q%s", typ, suggest.Hint(typ, u.types))
	}
	var problems []error
	for i, serial := range serials {
		if p := service.CheckSegment(fmt.Sprintf("serials[%d]", i), serial, maxSerial); p != nil {
			problems = append(problems, fmt.Errorf("webservice: %s %s", p.Field, p.Problem))
		}
	}
	if len(problems) > 0 {
		return Change{}, errors.Join(problems...)
	}
	var all Change
	for chunk := range slices.Chunk(serials, changePage) {
		change, err := u.cfg.Store.Change(ctx, typ, chunk, u.cfg.Now())
		all.Known += change.Known
		all.Queued += change.Queued
		if err != nil {
			return all, fmt.Errorf("webservice: some of the changes could not be stored: %w", err)
		}
	}
	select {
	case u.wake[typ] <- struct{}{}:
	default: // it is awake already
	}
	return all, nil
}

// Run pushes what Changed puts down, and again what did not get through, until ctx
// ends; it then writes down what became of the pushes under way. What is still to be
// pushed stays in the store. It returns the cause of ctx, always: errors of the store
// are logged, and passed by trying again.
func (u *Updater) Run(ctx context.Context) error {
	var types sync.WaitGroup
	for _, typ := range u.types {
		types.Go(func() { u.run(ctx, typ) })
	}
	types.Wait()
	return context.Cause(ctx)
}

func (u *Updater) run(ctx context.Context, typ string) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	pause := u.cfg.Interval
	wake := u.wake[typ]
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-wake:
		}
		report, err := u.Push(ctx, typ)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && report.Trouble == nil:
			pause, wake = u.cfg.Interval, u.wake[typ]
		default:
			// More changes are no reason to try sooner.
			pause, wake = min(2*pause, max(longestPause, u.cfg.Interval)), nil
		}
		timer.Reset(pause)
	}
}

// Push pushes once what is due for a type and returns what became of it. Run does
// the same by itself; Push is for programs that rather do it now and then, such as
// from a cron job. An error is the store's.
func (u *Updater) Push(ctx context.Context, typ string) (Report, error) {
	sender, ok := u.cfg.Senders[typ]
	if !ok {
		return Report{}, fmt.Errorf("webservice: UpdaterConfig.Senders has no type %q%s", typ, suggest.Hint(typ, u.types))
	}
	r := &round{updater: u, typ: typ, sender: sender}
	err := r.run(ctx)
	if r.report.Accepted+r.report.Rejected+r.report.NotSent+r.report.Unknown > 0 || err != nil {
		u.log(ctx, typ, &r.report, err)
	}
	return r.report, err
}

func (u *Updater) log(ctx context.Context, typ string, r *Report, err error) {
	level, attributes := slog.LevelInfo, []slog.Attr{
		slog.String("type", typ), slog.Int("accepted", r.Accepted), slog.Int("rejected", r.Rejected),
		slog.Int("not_sent", r.NotSent), slog.Int("unknown", r.Unknown), slog.Int("again", r.Again), slog.Int("removed", r.Removed),
	}
	if trouble := errors.Join(err, r.Trouble); trouble != nil && ctx.Err() == nil {
		level = slog.LevelWarn
		attributes = append(attributes, slog.String("err", strings.ReplaceAll(trouble.Error(), "\n", "; ")))
	}
	u.cfg.Logger.LogAttrs(ctx, level, "webservice: updates were pushed", attributes...)
}

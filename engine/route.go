package engine

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
)

// route is the way of one path to APNs: a client with connections of its own. The
// lanes of an app have one each, so that what is urgent never stands behind what
// is not, neither here nor in a stream limit.
type route struct {
	path
	generation uint64 // of the apps it was made from
	client     *apns.Client
	window     *window     // the path's, whatever becomes of the route
	behind     atomic.Bool // something waited for a connection at the last look
	feed       chan []delivery
	closing    chan struct{} // takes nothing new
	closed     sync.Once
	done       chan struct{} // everything has its outcome
}

// route returns the route of a path, made anew when the app has changed.
func (e *Engine) route(p path) (*route, error) {
	e.routesMu.Lock()
	defer e.routesMu.Unlock()
	if e.sending.Err() != nil {
		return nil, ErrClosed // nobody would end it
	}
	app := e.app(p.app)
	if app == nil {
		return nil, fmt.Errorf("there is no app %q", p.app)
	}
	if app.credential(p.environment) == nil {
		return nil, fmt.Errorf("app %q has no credential for %s", p.app, p.environment)
	}
	old := e.routes[p]
	if old != nil && old.generation == app.generation {
		return old, nil
	}
	connectWait := time.Duration(0)
	if !e.store.embedded() {
		connectWait = fellowConnectWait
	}
	client, err := apns.New(app.client(p.environment, app.tokens(p.environment), connectWait, e.log.With("app", p.app, "environment", p.environment.String(), "lane", p.lane.String())))
	if err != nil {
		return nil, err
	}
	if e.windows[p] == nil {
		e.windows[p] = newWindow(e.cfg.Window)
	}
	r := &route{
		path: p, generation: app.generation, client: client, window: e.windows[p],
		feed: make(chan []delivery), closing: make(chan struct{}), done: make(chan struct{}),
	}
	if old != nil {
		old.retire()
	}
	e.routes[p] = r
	e.senders.Go(func() { r.run(e.pushing) })
	return r, nil
}

// keepsUp reports whether less waits for a connection than is about to be handed
// over.
func (r *route) keepsUp(n int) bool { return r.client.Stats().Waiting < n }

// retire ends a route when what it was handed has its outcome.
func (r *route) retire() { r.closed.Do(func() { close(r.closing) }) }

// hand gives notifications to the client; false means that it took none.
func (r *route) hand(ctx context.Context, list []delivery) bool {
	select {
	case r.feed <- list:
		return true
	case <-r.closing:
	case <-ctx.Done():
	}
	return false
}

// farewell bounds the goodbye of a client's connections.
const farewell = 2 * time.Second

func (r *route) run(pushing context.Context) {
	defer close(r.done)
	for result := range r.client.PushAll(pushing, r.input(pushing)) {
		d := result.Notification.Tag.(*delivery)
		d.lease.settle(d, &result)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(pushing), farewell)
	defer cancel()
	r.client.Close(ctx)
}

// input is what PushAll reads. It goes on until the route is retired.
func (r *route) input(pushing context.Context) iter.Seq[*apns.Notification] {
	return func(yield func(*apns.Notification) bool) {
		for {
			select {
			case list := <-r.feed:
				if !r.pass(list, yield) {
					return
				}
			case <-r.closing:
				return
			case <-pushing.Done():
				return
			}
		}
	}
}

// pass yields the notifications of one lease. Those whose lease has run out
// belong to somebody else; those that PushAll does not want any more come back
// without a verdict.
func (r *route) pass(list []delivery, yield func(*apns.Notification) bool) bool {
	for i := range list {
		l := list[i].lease
		if i%64 == 0 && !l.valid(time.Now()) {
			giveBack(list[i:])
			return true
		}
		if !yield(&list[i].n) {
			// This one was taken and gets its outcome; the rest was not.
			giveBack(list[i+1:])
			return false
		}
	}
	return true
}

// giveBack gives back what was certainly not sent.
func giveBack(list []delivery) {
	if len(list) == 0 {
		return
	}
	places := make([]int, len(list))
	for i := range list {
		places[i] = list[i].index
	}
	list[0].lease.giveUp(true, places...)
}

// appState is an app with what is made from it.
type appState struct {
	App
	generation uint64
	providers  [2]*auth.ProviderTokens // by environment; nil with a certificate
}

func (a *appState) tokens(e apns.Environment) *auth.ProviderTokens { return a.providers[e] }

// SetApps replaces the apps. All are checked before anything changes; what is
// under way ends with the credentials it began with, and what waits goes on with
// the new ones. An app that is not named any more keeps its queue until it comes
// back.
func (e *Engine) SetApps(apps []App) error {
	var problems []error
	next := map[string]*appState{}
	providers := map[string]*auth.ProviderTokens{}
	e.settingApps.Lock() // one at a time
	defer e.settingApps.Unlock()
	e.appsMu.RLock()
	current, generation := e.apps, e.generation+1
	e.appsMu.RUnlock()
	for i := range apps {
		a := &apps[i]
		if err := a.check(); err != nil {
			problems = append(problems, err)
			continue
		}
		if next[a.ID] != nil {
			problems = append(problems, fmt.Errorf("engine: app %q is there twice", a.ID))
			continue
		}
		state := &appState{App: *a, generation: generation}
		for _, environment := range []apns.Environment{apns.Production, apns.Sandbox} {
			if err := state.provide(environment, providers); err != nil {
				problems = append(problems, fmt.Errorf("engine: app %q, %s: %w", a.ID, environment, err))
			}
		}
		if old := current[a.ID]; old != nil && same(&old.App, a) {
			state = old // its connections stay
		}
		next[a.ID] = state
	}
	if err := errors.Join(problems...); err != nil {
		return err
	}
	e.appsMu.Lock()
	e.apps, e.generation = next, generation
	e.appsMu.Unlock()
	// Gates look at apps with their own lock held, so theirs comes first.
	e.gates.reset(next, generation)
	e.sweeper.changed()
	e.routesMu.Lock()
	defer e.routesMu.Unlock()
	for p, r := range e.routes {
		if next[p.app] == nil || next[p.app].credential(p.environment) == nil {
			r.retire()
			delete(e.routes, p)
		}
	}
	return nil
}

// provide makes the provider tokens of an app. Apps of one key share them, since
// APNs counts how often those of a team change.
func (a *appState) provide(e apns.Environment, shared map[string]*auth.ProviderTokens) error {
	c := a.credential(e)
	if c == nil {
		return nil
	}
	if c.Key != nil {
		// The id of a key may be mistyped, and then it is another app's.
		public, err := c.Key.Public().Bytes()
		if err != nil {
			return err
		}
		id := c.Key.KeyID() + "/" + c.TeamID + "/" + string(public)
		if shared[id] == nil {
			tokens, err := auth.NewProviderTokens(auth.ProviderTokensConfig{Key: c.Key, TeamID: c.TeamID})
			if err != nil {
				return err
			}
			shared[id] = tokens
		}
		a.providers[e] = shared[id]
	}
	// A client says best what is wrong with its configuration, and connects to
	// nobody before it has something to send.
	client, err := apns.New(a.client(e, a.providers[e], 0, nil))
	if err != nil {
		return err
	}
	return client.Close(context.Background())
}

// same says that nothing changed that connections depend on.
func same(a, b *App) bool {
	if a.ID != b.ID || a.BundleID != b.BundleID || a.Default != b.Default || a.Rate != b.Rate {
		return false
	}
	for _, e := range []apns.Environment{apns.Production, apns.Sandbox} {
		x, y := a.credential(e), b.credential(e)
		if (x == nil) != (y == nil) {
			return false
		}
		if x != nil && !x.same(y) {
			return false
		}
	}
	return true
}

func (c *Credential) same(d *Credential) bool {
	if c.TeamID != d.TeamID || c.Endpoint != d.Endpoint || string(c.ExtraRoots) != string(d.ExtraRoots) ||
		c.AlternativePort != d.AlternativePort || c.Proxy != d.Proxy || c.DialContext != nil || d.DialContext != nil || c.MaxConnections != d.MaxConnections ||
		(c.Key == nil) != (d.Key == nil) || (c.Certificate == nil) != (d.Certificate == nil) {
		return false
	}
	if c.Key != nil && (c.Key.KeyID() != d.Key.KeyID() || !c.Key.Public().Equal(d.Key.Public())) {
		return false
	}
	return c.Certificate == nil || c.Certificate.Info.Fingerprint == d.Certificate.Info.Fingerprint
}

func (e *Engine) app(id string) *appState {
	e.appsMu.RLock()
	defer e.appsMu.RUnlock()
	return e.apps[id]
}

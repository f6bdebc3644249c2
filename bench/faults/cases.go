package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"

	"aviso.example/apns"
	"aviso.example/sim"
)

// faultCase is one row of the matrix.
type faultCase struct {
	name string
	what string // what the peer, the network or the caller does
	note string // what the numbers mean
	// n and short replace the notifications of a run and of a short one, and
	// fewer says why.
	n, short int
	fewer    string

	faults  func(r *run) []sim.Fault
	server  func(*sim.Config)
	client  func(*run, *apns.Config)
	middle  func(context.Context, *run) // beside the sending
	send    func(context.Context, *run) // instead of one PushAll
	expect  func(out *row, n int) string
	payload string
	hot     int // devices that get every hundredth notification, and take one a second
	procs   int // GOMAXPROCS

	// What may come of it, besides Accepted. Everything else breaks the row.
	silent  bool     // the peer may act and not tell: Unknown
	unsent  bool     // there is no way or no time: NotSent
	rejects []string // reasons
	resend  bool     // the caller allows duplicates

	lean bool // no hooks for each notification

	rival string // why the case does not apply to apns2; empty if it does
}

var (
	refusedStream = http2.ErrCodeRefusedStream
	one           = uint32(1)
	none          = uint32(0)
)

// every is 5,000 of 100,000. Short runs have fewer faults, so that a connection
// still serves the hundred requests that earn its dial back.
func (r *run) every() int {
	if r.short {
		return r.n / 10
	}
	return r.n / 20
}

// twentieths bounds a fault that costs seconds each time.
func (r *run) twentieths(count int) int {
	if r.short {
		return 3
	}
	return count
}

// span is a time that a short run shortens.
func (r *run) span(full, short time.Duration) time.Duration {
	if r.short {
		return short
	}
	return full
}

func faults(list ...sim.Fault) func(*run) []sim.Fault {
	return func(*run) []sim.Fault { return list }
}

// everyTwentieth plays a fault every 5,000 requests.
func everyTwentieth(f sim.Fault) func(*run) []sim.Fault {
	return func(r *run) []sim.Fault {
		f.Every = r.every()
		return []sim.Fault{f}
	}
}

func resendUnknown(_ *run, c *apns.Config) { c.ResendUnknown = true }

func allAccepted(out *row, n int) string {
	if out.Accepted != n {
		return fmt.Sprintf("%d of %d were accepted", out.Accepted, n)
	}
	return ""
}

// fewUnknown bounds the Unknown of a row by what can be in flight: the streams
// of the connections that a fault can hit, times how often.
func fewUnknown(times int) func(*row, int) string {
	return func(out *row, _ int) string {
		if limit := times * 1000; out.Unknown > limit {
			return fmt.Sprintf("%d are unknown; %d were in flight at most", out.Unknown, limit)
		}
		return ""
	}
}

const notOurs = "it is about an interface that apns2 does not have"

var cases = []*faultCase{
	{
		name: "calm", what: "nothing goes wrong",
		note:   "the measure for the others",
		expect: allAccepted,
	},
	{
		name: "reset", what: "TCP reset every 5,000 requests",
		note:   "what was on the wire when the reset came has no answer and stays *unknown*; nothing else is touched",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultResetConnection}), silent: true, expect: fewUnknown(21),
	},
	{
		name: "reset, processed", what: "the same, and the request that triggers it was processed",
		note:   "some of the *unknown* were processed: that is why they are not called lost, nor sent again unasked",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultResetConnection, Processed: true}), silent: true, expect: fewUnknown(21),
	},
	{
		name: "reset, resend", what: "the same, and the caller set ResendUnknown",
		note:   "everything is accepted, at the price of duplicates: those whose answer the reset swallowed",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultResetConnection, Processed: true}), client: resendUnknown,
		silent: true, resend: true, rival: "it has no such choice",
	},
	{
		name: "close", what: "connection closed (FIN) every 5,000 requests, without GOAWAY",
		note:   "as with a reset, but answers that were on their way arrive first",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultClose}), silent: true, expect: fewUnknown(21),
	},
	{
		name: "goaway, JSON", what: "graceful GOAWAY with {\"reason\":\"Shutdown\"} every 5,000 requests",
		note:   "what lies above the last stream id goes out again on the next connection; nothing is lost, nothing is doubled",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultGoAway, Reason: "Shutdown"}), expect: allAccepted,
	},
	{
		name: "goaway, text", what: "the same with plain text as debug data",
		note:   "as above: debug data does not matter where the last stream id says everything",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultGoAway, Debug: "max_age"}), expect: allAccepted,
	},
	{
		name: "goaway, twice", what: "two GOAWAY frames with NO_ERROR every 5,000 requests",
		note:   "as above; the second frame changes nothing",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultGoAway, Double: true}), expect: allAccepted,
	},
	{
		name: "goaway, last id 0", what: "GOAWAY with last stream id 0 every 5,000 requests",
		note:   "everything in flight was not processed, as the peer says, and is sent again; were it not so, duplicates would show",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultGoAway, LastStream: &none}), expect: allAccepted,
	},
	{
		name: "refused streams", what: "RST_STREAM REFUSED_STREAM for 250 requests in a row, every 5,000",
		note: "refused is not processed: sent again, at once at first and with pauses if it goes on",
		faults: func(r *run) []sim.Fault {
			// Not to the end: a burst that only the last notification is left to
			// meet would meet it again and again, past its deadline.
			burst := r.every() / 20
			return []sim.Fault{{Kind: sim.FaultResetStream, Code: &refusedStream, Every: r.every(), Burst: burst, Count: burst * (r.n/r.every() - 2)}}
		},
		expect: allAccepted,
	},
	{
		name: "stream limit", what: "SETTINGS: 1000 streams → 1 → 1000 after 100 ms, every 5,000 requests",
		note: "the time goes into the tenths of a second at one stream; requests that cross the SETTINGS are refused and go again",
		faults: everyTwentieth(sim.Fault{
			Kind: sim.FaultSettings, Settings: sim.SettingsChange{MaxStreams: &one}, RestoreAfter: 100 * time.Millisecond,
		}),
		expect: allAccepted,
	},
	{
		name: "half-open", what: "twice a connection swallows everything and answers nothing, not even PING",
		note: "another connection takes over within moments; what was on the dead one is *unknown* once PING has gone unanswered",
		faults: func(r *run) []sim.Fault {
			return []sim.Fault{{Kind: sim.FaultHalfOpen, Every: r.n / 3, Count: 2}}
		},
		client: hasty, silent: true,
		expect: func(out *row, n int) string {
			// In a short run the whole window is on the dead connection.
			if n >= 50_000 && out.Recovery > 3*time.Second {
				return fmt.Sprintf("nothing was accepted for %v: a dead connection holds up the others", out.Recovery)
			}
			return fewUnknown(2)(out, n)
		},
	},
	{
		name: "half-open, resend", what: "the same after processing the request, and the caller set ResendUnknown",
		note: "all are accepted, twice those that had been processed when the silence swallowed their answers; one that meets both dead connections stays *unknown*",
		faults: func(r *run) []sim.Fault {
			return []sim.Fault{{Kind: sim.FaultHalfOpen, Every: r.n / 3, Count: 2, Processed: true}}
		},
		client: func(r *run, c *apns.Config) { hasty(r, c); c.ResendUnknown = true },
		silent: true, resend: true, expect: fewUnknown(1), rival: "it has no such choice",
	},
	{
		name: "silent streams", what: "one request in 5,000 is never answered",
		note:   "exactly those become *unknown* after RequestTimeout; the others are not held up",
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultSilence}),
		client: func(r *run, c *apns.Config) { c.RequestTimeout = r.span(10*time.Second, 2*time.Second) },
		silent: true,
		expect: func(out *row, n int) string {
			if out.Unknown != 20 && out.Unknown != 10 { // of a short run
				return fmt.Sprintf("%d are unknown; 20 were not answered", out.Unknown)
			}
			return ""
		},
	},
	{
		name: "slow SETTINGS", what: "the first SETTINGS comes 1 s late on every connection, GOAWAY every 25,000 requests",
		note: "each change of connection costs at least the second that the peer takes; nothing is sent before it has said what it allows",
		faults: func(r *run) []sim.Fault {
			return []sim.Fault{
				{Kind: sim.FaultSlowSettings, Delay: time.Second},
				{Kind: sim.FaultGoAway, Every: r.n / 4, Count: 3},
			}
		},
		expect: allAccepted,
	},
	{
		name: "1-byte windows", what: "a stream's window is one byte, opened byte by byte",
		note:    "a frame and a window update for each byte of payload (a short one of 22 bytes here); slow, and right",
		payload: `{"aps":{"alert":"Hi"}}`,
		faults:  faults(sim.Fault{Kind: sim.FaultInitialSettings, Settings: sim.SettingsChange{InitialWindow: &one}}),
		expect:  allAccepted,
	},
	{
		name: "no window updates", what: "three connections never open their window again",
		note: "requests that the window holds back are half written, hence not processed: they go again on the next connection",
		faults: func(*run) []sim.Fault {
			return []sim.Fault{{Kind: sim.FaultNoWindowUpdates, Count: 3}}
		},
		client: func(r *run, c *apns.Config) { c.RequestTimeout = r.span(5*time.Second, 2*time.Second) },
		expect: allAccepted,
	},
	{
		name: "503 for 30 s", what: "503 ServiceUnavailable to every request for 30 s",
		note: "each waits and goes again with growing pauses, on the same connection; the longest gap is the 30 s",
		faults: func(r *run) []sim.Fault {
			return []sim.Fault{{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", For: r.span(30*time.Second, 2*time.Second)}}
		},
		client: patient, expect: allAccepted,
	},
	{
		name: "500 for 30 s", what: "500 InternalServerError to every request for 30 s",
		note: "as above; connections that worked a moment ago share the trouble with all others and stay",
		faults: func(r *run) []sim.Fault {
			return []sim.Fault{{Kind: sim.FaultAnswer, Reason: "InternalServerError", For: r.span(30*time.Second, 2*time.Second)}}
		},
		client: patient, expect: allAccepted,
	},
	{
		name: "429 by device", what: "ten devices take one push a second and get one in a hundred",
		note: "the ten get what fits into three attempts, the rest of theirs is rejected with TooManyRequests; nobody else waits",
		hot:  10, rejects: []string{"TooManyRequests"},
		client: func(_ *run, c *apns.Config) { c.MaxAttempts = 3 },
		expect: func(out *row, n int) string {
			if out.Rejected > n/100 || out.Accepted < n-n/100 {
				return "others than the ten devices were rejected"
			}
			return ""
		},
	},
	{
		name: "expired provider token", what: "in the middle the provider token is an hour old for the server and 25 minutes old for us",
		note: "one new provider token, new connections, and all that were refused go again",
		middle: func(ctx context.Context, r *run) {
			if r.until(ctx, 0.4) {
				r.clock.Store(int64(25 * time.Minute))
				r.servers[0].SetClockOffset(36 * time.Minute)
			}
		},
		expect: allAccepted, rival: "its clock cannot be set",
	},
	{
		name: "too many provider tokens", what: "429 TooManyProviderTokenUpdates to 20 requests in a row, every 5,000",
		note: "the connection is left, as it stays unusable, and the notifications go again after a pause",
		faults: func(r *run) []sim.Fault {
			return []sim.Fault{{Kind: sim.FaultAnswer, Reason: "TooManyProviderTokenUpdates", Every: r.every(), Burst: max(1, r.every()/250), Count: r.twentieths(20 * max(1, r.every()/250))}}
		},
		expect: allAccepted,
	},
	{
		name: "server clock +2 h", what: "the server's clock is two hours ahead while the middle third is sent",
		note:    "another provider token would not help, so none is made: rejected with the reason, and a hint at the clock in the error",
		middle:  skew(2 * time.Hour),
		rejects: []string{"ExpiredProviderToken"}, expect: someEach,
	},
	{
		name: "server clock −2 h", what: "the same, two hours behind",
		note:    "the provider token seems to come from the future: rejected with InvalidProviderToken",
		middle:  skew(-2 * time.Hour),
		rejects: []string{"InvalidProviderToken"}, expect: someEach,
	},
	{
		name: "certificate refused", what: "every TLS handshake ends with the alert bad_certificate",
		note:   "trying again cannot help: all are *not sent* at once, with that reason, and the next dial waits its turn",
		faults: faults(sim.Fault{Kind: sim.FaultRejectCertificate}), unsent: true,
		expect: func(out *row, n int) string {
			if out.NotSent != n {
				return fmt.Sprintf("%d of %d were not sent", out.NotSent, n)
			}
			return ""
		},
	},
	{
		name: "refused connections", what: "TCP reset every 5,000 requests, and the next dial is refused too",
		note: "each refusal costs a pause of about a second before the next attempt",
		faults: func(r *run) []sim.Fault {
			return []sim.Fault{
				{Kind: sim.FaultResetConnection, Every: r.every(), Count: r.twentieths(8)},
				{Kind: sim.FaultRefuseConnection, Every: 2},
			}
		},
		silent: true, expect: fewUnknown(8),
	},
	{
		name: "short-lived connections", what: "GOAWAY every 50 requests", n: 2_000, short: 700,
		fewer:  "each connection serves too few to earn its dial back, so after ten the rest comes at five in four seconds",
		note:   "the documented rate holds, everything waits for its turn, and all are accepted",
		faults: faults(sim.Fault{Kind: sim.FaultGoAway, Every: 50}),
		client: func(_ *run, c *apns.Config) { c.BatchWindow = 50 },
		expect: func(out *row, n int) string {
			if out.Dials < n/50 {
				return fmt.Sprintf("%d dials; the faults should take %d", out.Dials, n/50)
			}
			return allAccepted(out, n)
		},
	},
	{
		name: "proxy dies", what: "the CONNECT proxy is killed twice in the middle and comes back after 2 s",
		note:   "what was in the tunnel is *unknown*, the rest waits for the proxy; the gap is the 2 s and the pause before the next dial",
		client: nil, silent: true, send: throughProxy, rival: "its transport knows no proxy", expect: fewUnknown(2 * 4),
	},
	{
		name: "DNS changes", what: "in the middle the name leads to another server, and the first one shuts down gracefully",
		note:   "the first finishes what it took, the rest goes to the second",
		client: nil, send: newAddress, rival: notOurs, expect: allAccepted,
	},
	{
		name: "Close, gracefully", what: "the client is closed in the middle, with time",
		note: "what was handed in before is finished, what comes after is *not sent*",
		middle: func(ctx context.Context, r *run) {
			if r.until(ctx, 0.5) {
				closing, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				defer cancel()
				r.client.Close(closing)
			}
		},
		unsent: true, rival: notOurs,
	},
	{
		name: "Close, at once", what: "the client is closed in the middle, without time",
		note: "what was on the wire is *unknown*, the rest *not sent*",
		middle: func(ctx context.Context, r *run) {
			if r.until(ctx, 0.5) {
				closing, cancel := context.WithCancel(context.Background())
				cancel()
				r.client.Close(closing)
			}
		},
		unsent: true, silent: true, rival: notOurs, expect: fewUnknown(4),
	},
	{
		name: "random cancellations", what: "500 goroutines push, each with a context that ends at random; 4 ms round trip",
		note:   "cancelled before it was written: *not sent*; afterwards: *unknown*; what is called *not sent* was never processed",
		server: func(c *sim.Config) { c.RoundTrip = 4 * time.Millisecond },
		send:   cancelAtRandom, unsent: true, silent: true, rival: notOurs,
	},
	{
		name: "one starved CPU", what: "GOMAXPROCS=1, shared with three goroutines that spin; reset every 5,000 requests",
		note:   "slower, and the same invariants",
		procs:  1,
		faults: everyTwentieth(sim.Fault{Kind: sim.FaultResetConnection}), silent: true,
		middle: func(ctx context.Context, _ *run) {
			var wg sync.WaitGroup
			for range 3 {
				wg.Go(func() {
					for ctx.Err() == nil {
					}
				})
			}
			wg.Wait()
		},
		expect: fewUnknown(21),
	},
	{
		name: "much at once, told", what: "GOAWAY of both kinds, refusals, 503, 429, 1 ↔ 1000 streams, refused dials, by chance",
		note: "the peer always says what it did not process, so all are accepted, each once",
		faults: func(r *run) []sim.Fault {
			return append(r.told(), sim.Fault{Kind: sim.FaultRefuseConnection, Probability: 0.1})
		},
		client: patient, expect: allAccepted, rival: "single rows say more",
	},
	{
		name: "all at once", what: "the same, with resets, silence and RST_STREAM after processing, which tell nothing",
		note: "*unknown* is what was in flight when the peer fell silent; the rest is accepted, each once",
		faults: func(r *run) []sim.Fault {
			p := r.chance()
			return append(r.told(),
				sim.Fault{Kind: sim.FaultResetConnection, Probability: p / 5},
				sim.Fault{Kind: sim.FaultResetConnection, Probability: p / 5, Processed: true},
				sim.Fault{Kind: sim.FaultResetStream, Probability: p, Processed: true},
				sim.Fault{Kind: sim.FaultSilence, Probability: p / 5},
				sim.Fault{Kind: sim.FaultRefuseConnection, Probability: 0.1},
			)
		},
		client: func(r *run, c *apns.Config) { patient(r, c); hasty(r, c) },
		silent: true, rival: "single rows say more",
	},
}

// chance hits a request about fifty times in a long run, less often in a short
// one, where as many would leave nothing else.
func (r *run) chance() float64 {
	if r.short {
		return 10 / float64(r.n)
	}
	return 50 / float64(r.n)
}

// told are faults after which the peer leaves no doubt.
func (r *run) told() []sim.Fault {
	p := r.chance()
	return []sim.Fault{
		{Kind: sim.FaultGoAway, Probability: p / 2},
		{Kind: sim.FaultGoAway, Probability: p / 2, LastStream: &none, Double: true},
		{Kind: sim.FaultResetStream, Probability: 10 * p, Code: &refusedStream},
		{Kind: sim.FaultAnswer, Probability: 10 * p, Reason: "ServiceUnavailable"},
		{Kind: sim.FaultAnswer, Probability: p, Reason: "TooManyRequests", RetryAfter: "1"},
		{Kind: sim.FaultSettings, Probability: p, Settings: sim.SettingsChange{MaxStreams: &one}, RestoreAfter: 50 * time.Millisecond},
	}
}

// hasty makes the short run's waiting short.
func hasty(r *run, c *apns.Config) {
	if r.short {
		c.RequestTimeout = 2 * time.Second
	}
}

// patient allows as many attempts as the outage takes, and lets more than the
// usual window meet it.
func patient(r *run, c *apns.Config) {
	c.MaxAttempts = 12
	if !r.short {
		c.BatchWindow = 20_000
	}
}

// skew moves the server's clock for the middle third.
func skew(d time.Duration) func(context.Context, *run) {
	return func(ctx context.Context, r *run) {
		if r.until(ctx, 0.33) {
			r.servers[0].SetClockOffset(d)
			r.until(ctx, 0.66)
			r.servers[0].SetClockOffset(0)
		}
	}
}

func someEach(out *row, n int) string {
	if out.Rejected == 0 || out.Accepted < n/4 {
		return fmt.Sprintf("%d accepted, %d rejected: the fault should meet a part", out.Accepted, out.Rejected)
	}
	return ""
}

// again makes the client of a case that has to start something first.
func (r *run) again(change func(*apns.Config)) error {
	r.client.Close(context.Background()) // it has sent nothing yet
	r.c.client = func(_ *run, c *apns.Config) { change(c) }
	return r.newClient()
}

func throughProxy(ctx context.Context, r *run) {
	p := &connectProxy{}
	if err := p.start(); err != nil {
		panic(err)
	}
	defer p.kill()
	via := &url.URL{Scheme: "http", Host: p.address}
	if err := r.again(func(c *apns.Config) { c.Proxy = apns.ProxyURL(via) }); err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, share := range []float64{0.3, 0.6} {
			if !r.until(ctx, share) {
				return
			}
			p.kill()
			time.Sleep(r.span(2*time.Second, time.Second))
			if err := p.start(); err != nil {
				panic(err)
			}
		}
	})
	pushAll(ctx, r)
	wg.Wait()
	closing, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	r.client.Close(closing) // before the proxy goes
}

func newAddress(ctx context.Context, r *run) {
	second, err := r.startServer()
	if err != nil {
		panic(err)
	}
	var address atomic.Pointer[string]
	address.Store(new(r.servers[0].Endpoint()))
	_, port, _ := net.SplitHostPort(r.servers[0].Endpoint())
	if err := r.again(func(c *apns.Config) {
		c.Endpoint = "localhost:" + port
		c.ExtraRoots = append(c.ExtraRoots, second.CAPEM()...)
		c.DialContext = dialTo(func() string { return *address.Load() })
	}); err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if r.until(ctx, 0.5) {
			address.Store(new(second.Endpoint()))
			closing, cancel := context.WithTimeout(ctx, 10*time.Second)
			defer cancel()
			r.servers[0].Shutdown(closing)
		}
	})
	pushAll(ctx, r)
	wg.Wait()
}

func cancelAtRandom(ctx context.Context, r *run) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for g := range 500 {
		rnd := rand.New(rand.NewPCG(r.seed, uint64(g)))
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= r.n || ctx.Err() != nil {
					return
				}
				r.handed.Add(1)
				after := time.Duration(rnd.IntN(int(40 * time.Millisecond)))
				mine, cancel := context.WithCancel(ctx)
				if rnd.IntN(2) == 0 {
					cancel()
					mine, cancel = context.WithTimeout(ctx, after)
				}
				timer := time.AfterFunc(after, cancel)
				_, err := r.client.Push(mine, r.notification(i))
				timer.Stop()
				cancel()
				r.note(i, err)
			}
		})
	}
	wg.Wait()
}

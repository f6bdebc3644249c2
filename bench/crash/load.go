package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"aviso.example/engine"
)

const (
	// callers hand in at the same time.
	callers = 24
	// requestTime bounds one request. An engine that is stopped answers nothing.
	requestTime = 20 * time.Second
	// body is what every notification says.
	title, text = "Boarding", "Gate 12 closes in ten minutes"
)

// load hands in until it is told to stop.
type load struct {
	*caller
	book *book
	// urls are the servers that can be asked now, as []string.
	urls atomic.Value
	// most bounds what waits: more would be accepted long before a kill and say
	// nothing new.
	most int
	// batch is the most lines of a batch, bulky a text that makes each
	// notification large.
	batch int
	bulky string
	// pace is what a caller waits between two requests.
	pace time.Duration
	// plan, if there is one, says more about an order before it is made.
	plan func(*order, *rand.Rand)

	broken   func(format string, args ...any)
	refusals [600]atomic.Int64 // by status
	unsure   atomic.Int64
	requests atomic.Int64
}

func newHTTP() *http.Client {
	return &http.Client{Timeout: requestTime, Transport: &http.Transport{MaxIdleConnsPerHost: callers, DisableCompression: true}}
}

func (l *load) at(urls ...string) {
	l.urls.Store(urls)
	l.http.CloseIdleConnections()
}

// run calls from several goroutines until ctx is done.
func (l *load) run(ctx context.Context, seed uint64) {
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for ctx.Err() == nil {
				urls, _ := l.urls.Load().([]string)
				if _, waiting := l.book.progress(); len(urls) == 0 || waiting > l.most {
					time.Sleep(2 * time.Millisecond)
					continue
				}
				l.some(ctx, urls[random.IntN(len(urls))], random)
				time.Sleep(l.pace)
			}
		})
	}
	all.Wait()
}

// some makes one request: mostly single messages, while most notifications come
// in batches and messages to many.
func (l *load) some(ctx context.Context, url string, random *rand.Rand) {
	o := order{drop: random.IntN(8) == 0, count: 1}
	if random.IntN(10) == 0 {
		o.lane = "urgent"
	}
	switch x := random.IntN(1000); {
	case x < 4, l.requests.Load() == 0: // at least one, however short the row

		o.batch, o.lane, o.count = true, "", 1+random.IntN(l.batch)
	case x < 10:
		o.lane, o.count = "bulk", 1000
	case x < 50:
		o.count = 100
	}
	if l.plan != nil {
		l.plan(&o, random)
	}
	l.send(ctx, url, o)
}

// send makes the request that an order asks for.
func (l *load) send(ctx context.Context, url string, o order) *request {
	if o.batch {
		return l.sendBatch(ctx, url, o)
	}
	return l.sendMessage(ctx, url, o)
}

// notification is what every notification of an order has in common.
func (l *load) notification(o *order) map[string]any {
	m := map[string]any{"title": title, "body": text}
	if o.drop {
		m["on_unknown"] = "drop"
	}
	if o.app != "" {
		m["app"] = o.app
	}
	if o.lane != "" {
		m["lane"] = o.lane
	}
	if !o.sendAt.IsZero() {
		m["send_at"] = o.sendAt.UTC().Format(time.RFC3339Nano)
	}
	if !o.expires.IsZero() {
		m["expiration"] = o.expires.Unix()
	}
	// What the lines of a batch share is on disk once, so it does not fill any.
	if l.bulky != "" && !o.batch {
		m["data"] = map[string]string{"bulky": l.bulky}
	}
	return m
}

func (l *load) sendMessage(ctx context.Context, url string, o order) *request {
	r := l.book.begin(o)
	to := make([]string, o.count)
	for i := range to {
		to[i] = r.token(l.book.seed, i)
	}
	m := l.notification(&o)
	m["to"] = to
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	p, err := l.post(ctx, url, "post-message", "", "application/json", bytes.NewReader(data))
	var receipt struct {
		ID         string
		Count      int
		Accepted   int
		Deliveries []string
	}
	switch {
	case err != nil:
		l.fail(r, err)
	case p.status == http.StatusAccepted:
		err := json.Unmarshal(p.body, &receipt)
		if err == nil {
			r.message, err = engine.ParseMessageID(receipt.ID)
		}
		last := o.count - 1
		if err != nil || receipt.Accepted != o.count || r.message.Count != o.count || len(receipt.Deliveries) != o.count ||
			receipt.Deliveries[0] != r.id(0).String() || receipt.Deliveries[last] != r.id(last).String() {
			l.broken("a message of %d was answered with 202 and %.200q (%v)", o.count, p.body, err)
			l.book.end(r, unknown)
			return r
		}
		l.book.end(r, accepted)
	default:
		l.refuse(r, p)
	}
	return r
}

func (l *load) sendBatch(ctx context.Context, url string, o order) *request {
	r := l.book.begin(o)
	defaults, err := json.Marshal(map[string]any{"defaults": l.notification(&o)})
	if err != nil {
		panic(err)
	}
	var b strings.Builder
	b.Write(defaults)
	b.WriteByte('\n')
	for i := range o.count {
		fmt.Fprintf(&b, "{\"to\":%q", r.token(l.book.seed, i))
		if l.bulky != "" {
			fmt.Fprintf(&b, `,"data":{"bulky":%q}`, l.bulky)
		}
		b.WriteString("}\n")
	}
	query := "?"
	if o.rate > 0 {
		query += fmt.Sprintf("rate=%g&", o.rate)
	}
	if o.paused {
		query += "paused=true"
	}
	p, err := l.post(ctx, url, "post-batch", query, "application/x-ndjson", strings.NewReader(b.String()))
	status, answered, count := p.status, p.body, o.count
	type receipt struct {
		ID       string
		Accepted int64
		Refused  int64
	}
	switch {
	case err != nil:
		l.fail(r, err)
	case status == http.StatusAccepted:
		var got receipt
		err := json.Unmarshal(answered, &got)
		if err == nil {
			r.batchID, err = engine.ParseBatchID(got.ID)
		}
		if err != nil || got.Accepted != int64(count) || got.Refused != 0 {
			l.broken("a batch of %d was answered with 202 and %.200q (%v)", count, answered, err)
			l.book.end(r, unknown)
			return r
		}
		l.book.end(r, accepted)
	default:
		var problem struct{ Batch *receipt }
		if json.Unmarshal(answered, &problem) == nil && problem.Batch != nil {
			if r.batchID, err = engine.ParseBatchID(problem.Batch.ID); err != nil {
				l.broken("a batch was cut short and has the id %q", problem.Batch.ID)
			}
			r.sure = problem.Batch.Accepted
			l.refusals[status].Add(1)
			l.book.end(r, cut)
			return r
		}
		l.refuse(r, p)
	}
	return r
}

func (l *load) post(ctx context.Context, url, operation, query, kind string, body io.Reader) (reply, error) {
	l.requests.Add(1)
	// The request outlives ctx: one that this program itself cuts off is one
	// more of which nobody knows.
	return l.request(context.WithoutCancel(ctx), url, operation, "", query, kind, body)
}

// fail notes a request that got no answer. Only one that found nobody to connect
// to was certainly not accepted.
func (l *load) fail(r *request, err error) {
	if e, ok := errors.AsType[*net.OpError](err); ok && e.Op == "dial" {
		l.book.end(r, refused)
		time.Sleep(5 * time.Millisecond)
		return
	}
	l.unsure.Add(1)
	l.book.end(r, unknown)
}

// refuse notes a request that was answered, but not with 202.
func (l *load) refuse(r *request, p reply) {
	l.refusals[p.status].Add(1)
	switch p.kind {
	case "busy", "queue-full", "shutting-down":
		l.book.end(r, refused)
	case "not-confirmed":
		l.unsure.Add(1)
		l.book.end(r, unknown)
	default:
		// Whatever it is, it says nothing about what was accepted.
		l.unsure.Add(1)
		l.book.end(r, unknown)
		if p.status != http.StatusServiceUnavailable {
			l.broken("a request was answered with %s", p)
		}
	}
	time.Sleep(20 * time.Millisecond)
}

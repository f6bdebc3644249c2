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
	"strconv"
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
	book *book
	http *http.Client
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
				l.call(ctx, urls[random.IntN(len(urls))], random)
				time.Sleep(l.pace)
			}
		})
	}
	all.Wait()
}

// call makes one request: mostly single messages, while most notifications come
// in batches and messages to many.
func (l *load) call(ctx context.Context, url string, random *rand.Rand) {
	drop := random.IntN(8) == 0
	lane := ""
	if random.IntN(10) == 0 {
		lane = "urgent"
	}
	switch x := random.IntN(1000); {
	case x < 4:
		l.sendBatch(ctx, url, drop, 1+random.IntN(l.batch))
	case x < 10:
		l.sendMessage(ctx, url, drop, "bulk", 1000)
	case x < 50:
		l.sendMessage(ctx, url, drop, lane, 100)
	default:
		l.sendMessage(ctx, url, drop, lane, 1)
	}
}

func (l *load) sendMessage(ctx context.Context, url string, drop bool, lane string, count int) {
	r := l.book.begin(false, drop, count)
	to := make([]string, count)
	for i := range to {
		to[i] = r.token(l.book.seed, i)
	}
	m := map[string]any{"to": to, "title": title, "body": text}
	if drop {
		m["on_unknown"] = "drop"
	}
	if lane != "" {
		m["lane"] = lane
	}
	if l.bulky != "" {
		m["data"] = map[string]string{"bulky": l.bulky}
	}
	data, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	status, answered, err := l.post(ctx, url+"/v1/messages", "application/json", bytes.NewReader(data))
	var receipt struct {
		ID         string
		Count      int
		Accepted   int
		Deliveries []string
	}
	switch {
	case err != nil:
		l.fail(r, err)
	case status == http.StatusAccepted:
		err := json.Unmarshal(answered, &receipt)
		if err == nil {
			r.message, err = engine.ParseMessageID(receipt.ID)
		}
		last := count - 1
		if err != nil || receipt.Accepted != count || r.message.Count != count || len(receipt.Deliveries) != count ||
			receipt.Deliveries[0] != r.id(0).String() || receipt.Deliveries[last] != r.id(last).String() {
			l.broken("a message of %d was answered with 202 and %.200q (%v)", count, answered, err)
			l.book.end(r, unknown)
			return
		}
		l.book.end(r, accepted)
	default:
		l.refuse(r, status, answered)
	}
}

func (l *load) sendBatch(ctx context.Context, url string, drop bool, count int) {
	r := l.book.begin(true, drop, count)
	var b strings.Builder
	fmt.Fprintf(&b, `{"defaults":{"title":%q,"body":%q`, title, text)
	if drop {
		b.WriteString(`,"on_unknown":"drop"`)
	}
	b.WriteString("}}\n")
	for i := range count {
		b.WriteString(`{"to":"`)
		b.WriteString(r.token(l.book.seed, i))
		if l.bulky != "" {
			fmt.Fprintf(&b, `","data":{"bulky":%q`, l.bulky)
			b.WriteString("}}\n")
			continue
		}
		b.WriteString("\"}\n")
	}
	status, answered, err := l.post(ctx, url+"/v1/batches", "application/x-ndjson", strings.NewReader(b.String()))
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
			return
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
			return
		}
		l.refuse(r, status, answered)
	}
}

func (l *load) post(ctx context.Context, url, kind string, body io.Reader) (int, []byte, error) {
	l.requests.Add(1)
	// The request outlives ctx: one that this program itself cuts off is one
	// more of which nobody knows.
	req, err := http.NewRequestWithContext(context.WithoutCancel(ctx), http.MethodPost, url, body)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+apiKey)
	req.Header.Set("Content-Type", kind)
	response, err := l.http.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return response.StatusCode, data, err
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
func (l *load) refuse(r *request, status int, answered []byte) {
	var problem struct{ Type string }
	json.Unmarshal(answered, &problem)
	l.refusals[status].Add(1)
	switch _, kind, _ := strings.Cut(problem.Type, "/v1/problems/"); kind {
	case "busy", "queue-full", "shutting-down":
		l.book.end(r, refused)
	case "not-confirmed":
		l.unsure.Add(1)
		l.book.end(r, unknown)
	default:
		// Whatever it is, it says nothing about what was accepted.
		l.unsure.Add(1)
		l.book.end(r, unknown)
		if status != http.StatusServiceUnavailable {
			l.broken("a request was answered with %s", strconv.Itoa(status)+" "+string(answered[:min(len(answered), 300)]))
		}
	}
	time.Sleep(20 * time.Millisecond)
}

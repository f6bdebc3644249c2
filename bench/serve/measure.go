package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"aviso.example/apns"
)

// cost is one way of handing in, measured several times.
type cost struct {
	subject string
	what    string
	size    int
	callers int
	runs    []costRun
}

type costRun struct {
	n             int
	cpu, others   time.Duration
	took          time.Duration
	acceptedAfter time.Duration // until the last request was answered
}

type latency struct {
	share         float64
	rate          float64 // asked for
	n             int
	accept        [2]time.Duration // p50, p99 of the request
	verdict       [2]time.Duration // from there to the verdict
	perSecond     float64
	cpuPerMessage time.Duration
}

type waiting struct {
	n           int
	ingest      time.Duration
	now, most   int64 // resident
	clean, kill time.Duration
}

type report struct {
	options
	began   time.Time
	ways    []*cost
	latency []latency
	wait    []waiting
	best    float64 // single messages a second
}

func (r *report) scale(n int) int {
	if r.quick {
		return n / 10
	}
	return n
}

func (r *report) log(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "%4.0f s  %s\n", time.Since(r.began).Seconds(), fmt.Sprintf(format, args...))
}

var client = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256, MaxConnsPerHost: 256}}

// do sends a request and expects 2xx.
func do(ctx context.Context, req *http.Request) error {
	resp, err := client.Do(req.WithContext(ctx))
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		return fmt.Errorf("%s: %s", resp.Status, text)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// ways of handing in; size 0 is one long batch.
var ways = []struct {
	size, callers, n int
}{{1, 64, 200_000}, {100, 16, 1_000_000}, {1000, 4, 2_000_000}, {0, 1, 2_000_000}}

// can says whether a server can be given notifications in such portions.
func can(s subject, size int) bool {
	switch s.(type) {
	case *bare:
		return size == 1
	case *gorush:
		return size > 0
	}
	return true
}

// costs measures all servers in all ways of handing in, by turns.
func (r *report) costs(ctx context.Context, subjects []subject) error {
	const rounds = 3
	list := make(map[[2]int]*cost)
	for i, way := range ways {
		for j, s := range subjects {
			c := &cost{subject: s.name(), what: fmt.Sprintf("%d a request", way.size), size: way.size, callers: way.callers}
			if way.size == 0 {
				c.what = "NDJSON"
			}
			if can(s, way.size) && (r.only == "" || r.only == c.what) {
				list[[2]int{i, j}] = c
				r.ways = append(r.ways, c)
			}
		}
	}
	for round := range rounds {
		for i, way := range ways {
			for j, s := range subjects {
				c := list[[2]int{i, j}]
				if c == nil {
					continue
				}
				n := r.scale(way.n)
				switch s.(type) {
				case *gorush:
					n /= 10
				case *clustered:
					n /= 4
				}
				one := func(ctx context.Context) error { return hammer(ctx, s, way.size, way.callers, n) }
				if way.size == 0 {
					one = func(ctx context.Context) error {
						req, err := s.(batcher).batch(n)
						if err != nil {
							return err
						}
						return do(ctx, req)
					}
				}
				run, err := measure(ctx, s, n, one)
				if err != nil {
					return fmt.Errorf("%s, %s: %w", s.name(), c.what, err)
				}
				c.runs = append(c.runs, run)
				r.log("%-26s %-16s round %d: %6.2f µs CPU, %8.0f a second", s.name(), c.what, round+1, run.perNotification(), run.perSecond())
				if _, ours := s.(*aviso); ours && way.size == 1 {
					r.best = max(r.best, float64(n)/run.acceptedAfter.Seconds())
				}
			}
		}
	}
	return nil
}

// batcher takes batches too.
type batcher interface {
	batch(n int) (*http.Request, error)
}

func (c costRun) perNotification() float64 { return c.cpu.Seconds() * 1e6 / float64(c.n) }
func (c costRun) othersPer() float64       { return c.others.Seconds() * 1e6 / float64(c.n) }
func (c costRun) perSecond() float64       { return float64(c.n) / c.took.Seconds() }

// measure runs one way once, from the first request to the last verdict.
func measure(ctx context.Context, s subject, n int, hand func(context.Context) error) (run costRun, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	before, err := s.settled(ctx)
	if err != nil {
		return run, err
	}
	cpu, err := s.proc().cpu()
	if err != nil {
		return run, err
	}
	others, err := cpuOf(s.others())
	if err != nil {
		return run, err
	}
	began := time.Now()
	if err := hand(ctx); err != nil {
		return run, err
	}
	run.n, run.acceptedAfter = n, time.Since(began)
	for {
		now, err := s.settled(ctx)
		if err != nil {
			return run, err
		}
		if now-before >= int64(n) {
			break
		}
		// Asking costs the server something too, so not too often.
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return run, fmt.Errorf("%d of %d ended: %w", now-before, n, context.Cause(ctx))
		}
	}
	run.took = time.Since(began)
	after, err := s.proc().cpu()
	run.cpu = after - cpu
	othersAfter, err2 := cpuOf(s.others())
	run.others = othersAfter - others
	return run, errors.Join(err, err2)
}

// hammer hands in n notifications, each caller one request after the other.
func hammer(ctx context.Context, s subject, size, callers, n int) error {
	var next atomic.Int64
	var all sync.WaitGroup
	var failed atomic.Pointer[error]
	for range callers {
		all.Go(func() {
			for failed.Load() == nil {
				from := int(next.Add(int64(size))) - size
				if from >= n {
					return
				}
				req, err := s.request(from, min(size, n-from))
				if err == nil {
					err = do(ctx, req)
				}
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}

// latencies measures how long single messages take at a share of what was
// possible, arriving by the clock whether the server keeps up or not.
func (r *report) latencies(ctx context.Context, binary, dir string, apple *simulator) error {
	s, err := startAviso(ctx, binary, dir, apple)
	if err != nil {
		return err
	}
	defer s.stop()
	for _, share := range []float64{0.1, 0.5, 0.9} {
		rate := r.best * share
		n := int(rate * r.seconds())
		before, err := s.settled(ctx)
		if err != nil {
			return err
		}
		cpu, _ := s.process.cpu()
		accepts := make([]time.Duration, n)
		began := time.Now()
		var all sync.WaitGroup
		var failed atomic.Pointer[error]
		for i := range n {
			due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
			if wait := time.Until(due); wait > 0 {
				time.Sleep(wait)
			}
			all.Go(func() {
				req, err := s.request(i, 1)
				if err == nil {
					err = do(ctx, req)
				}
				if err != nil {
					failed.CompareAndSwap(nil, &err)
				}
				accepts[i] = time.Since(due)
			})
		}
		all.Wait()
		took := time.Since(began)
		if err := failed.Load(); err != nil {
			return *err
		}
		for {
			now, err := s.settled(ctx)
			if err != nil {
				return err
			}
			if now-before >= int64(n) {
				break
			}
			time.Sleep(20 * time.Millisecond)
		}
		after, _ := s.process.cpu()
		verdicts, err := s.verdictTimes(ctx, min(n, 20_000))
		if err != nil {
			return err
		}
		l := latency{
			share: share, rate: rate, n: n, perSecond: float64(n) / took.Seconds(), cpuPerMessage: (after - cpu) / time.Duration(n),
			accept: quantiles(accepts), verdict: quantiles(verdicts),
		}
		r.latency = append(r.latency, l)
		r.log("%3.0f %%: %6.0f a second, accepted after %v, verdict after %v", 100*share, l.perSecond, l.accept, l.verdict)
	}
	return nil
}

func (r *report) seconds() float64 {
	if r.quick {
		return 3
	}
	return 15
}

// verdictTimes are the times from accepting to the verdict of the last n: an id
// says when it was made, the verdict when it was.
func (s *aviso) verdictTimes(ctx context.Context, n int) (list []time.Duration, err error) {
	cursor := ""
	for len(list) < n {
		var page struct {
			Deliveries []struct {
				ID string    `json:"id"`
				At time.Time `json:"at"`
			} `json:"deliveries"`
			Next string `json:"next"`
		}
		path := "/v1/deliveries?limit=1000"
		if cursor != "" {
			path += "&cursor=" + cursor
		}
		if err := s.get(ctx, path, &page); err != nil {
			return nil, err
		}
		for _, d := range page.Deliveries {
			id, err := apns.ParseID(d.ID)
			if err != nil {
				return nil, err
			}
			made := time.UnixMilli(int64(id[0])<<40 | int64(id[1])<<32 | int64(id[2])<<24 | int64(id[3])<<16 | int64(id[4])<<8 | int64(id[5]))
			list = append(list, d.At.Sub(made))
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	return list, nil
}

func quantiles(list []time.Duration) [2]time.Duration {
	slices.Sort(list)
	at := func(q float64) time.Duration { return list[max(0, int(math.Ceil(q*float64(len(list))))-1)] }
	if len(list) == 0 {
		return [2]time.Duration{}
	}
	return [2]time.Duration{at(0.5), at(0.99)}
}

// waiting measures what notifications that wait need, and how long it takes to
// start with them.
func (r *report) waiting(ctx context.Context, binary, dir string, apple *simulator) error {
	counts := []int{100_000, 1_000_000, 10_000_000}
	if r.quick {
		counts = counts[:1]
	}
	for _, n := range counts {
		w, err := r.waitingOnce(ctx, binary, dir, apple, n)
		if err != nil {
			return fmt.Errorf("%d waiting: %w", n, err)
		}
		r.wait = append(r.wait, w)
		r.log("%d waiting: taken in %v, %d MiB resident, %d at most; started again in %v, after kill -9 in %v",
			n, w.ingest.Round(time.Millisecond), w.now>>20, w.most>>20, w.clean.Round(time.Millisecond), w.kill.Round(time.Millisecond))
	}
	return nil
}

func (r *report) waitingOnce(ctx context.Context, binary, dir string, apple *simulator, n int) (w waiting, err error) {
	s, err := startAviso(ctx, binary, dir, apple)
	if err != nil {
		return w, err
	}
	defer func() { s.stop() }()
	if err := s.post("/v1/apps/bench:pause"); err != nil {
		return w, err
	}
	req, err := s.batch(n)
	if err != nil {
		return w, err
	}
	began := time.Now()
	if err := do(ctx, req); err != nil {
		return w, err
	}
	w.n, w.ingest = n, time.Since(began)
	time.Sleep(2 * time.Second) // what it holds while nothing happens
	w.now, w.most = s.process.memory()
	for _, how := range []struct {
		signal syscall.Signal
		took   *time.Duration
	}{{syscall.SIGTERM, &w.clean}, {syscall.SIGKILL, &w.kill}} {
		s.process.end(how.signal)
		next, err := startAvisoIn(ctx, binary, s.dir, apple)
		if err != nil {
			return w, err
		}
		s, *how.took = next, next.took
	}
	now, most := s.process.memory()
	w.now, w.most = max(w.now, now), max(w.most, most)
	var answer struct {
		Batches []struct {
			Waiting int64 `json:"waiting"`
		} `json:"batches"`
	}
	if err := s.get(ctx, "/v1/batches", &answer); err != nil {
		return w, err
	}
	if len(answer.Batches) != 1 || answer.Batches[0].Waiting != int64(n) {
		return w, errors.New("after the restarts they do not all wait")
	}
	return w, nil
}

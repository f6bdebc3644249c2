package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"aviso.example/apns"
)

// settings is what a client process is told; strangers in other languages read
// the same JSON.
type settings struct {
	Client                         string
	Host                           string
	Port                           int
	CAFile, KeyFile, KeyID, TeamID string
	Topic, PayloadFile             string
	// Connections to open, and how many requests the caller has under way on
	// each.
	Connections, InFlight int
	// Warmup notifications are sent before anything is measured.
	Warmup, Notifications int
	// Latency asks for the time of each notification, which costs a little and
	// is therefore asked apart.
	Latency bool
}

func (s *settings) endpoint() string { return fmt.Sprintf("%s:%d", s.Host, s.Port) }

// report is what it answers. It speaks of the measured part only.
type report struct {
	Accepted int
	Seconds  float64
	CPU      float64 // seconds, user and system
	// Mallocs and Bytes are what the Go runtime allocated.
	Mallocs, Bytes uint64 `json:",omitempty"`
	// P50, P99 and P999 are latencies in seconds.
	P50, P99, P999 float64 `json:",omitempty"`
	// Connections open at the end, where the client knows.
	Connections int `json:",omitempty"`
}

// sender is a client under measurement.
type sender interface {
	// send sends n notifications and returns how many were accepted. With times
	// it writes down how long each took.
	send(ctx context.Context, n int, times *stopwatch) (accepted int, err error)
	connections() int
	close()
}

var goClients = map[string]func(*settings, []*message) (sender, error){
	"aviso-batch": newBatch, "aviso-push": newPush, "apns2": newAPNS2, "net-http": newNetHTTP,
}

// message is one notification, made before anything is measured, in the form of
// every client.
type message struct {
	id, device string
	payload    []byte
	aviso      apns.Notification
}

// ring is how many different notifications there are. They go round: to header
// compression, whose table holds some fifty fields, one that comes again after
// so many is a new one.
const ring = 16384

func newMessages(topic string, payload []byte) []*message {
	list := make([]*message, ring)
	for i := range list {
		sum := sha256.Sum256(fmt.Append(nil, i))
		m := &message{device: hex.EncodeToString(sum[:]), id: apns.NewID().String(), payload: payload}
		m.aviso = apns.Notification{DeviceToken: m.device, Payload: payload, PushType: apns.PushTypeAlert, BundleID: topic, Priority: apns.PriorityImmediate}
		list[i] = m
	}
	return list
}

// stopwatch collects latencies, from several goroutines.
type stopwatch struct {
	next  atomic.Int64
	times []time.Duration
}

func (w *stopwatch) add(d time.Duration) { w.times[w.next.Add(1)-1] = d }

func (w *stopwatch) quantiles() (p50, p99, p999 float64) {
	times := w.times[:w.next.Load()]
	slices.Sort(times)
	at := func(q float64) float64 {
		if len(times) == 0 {
			return 0
		}
		return times[int(math.Ceil(q*float64(len(times))))-1].Seconds()
	}
	return at(0.5), at(0.99), at(0.999)
}

// measure runs one Go client in this process.
func measure(ctx context.Context, s settings) (report, error) {
	payload, err := os.ReadFile(s.PayloadFile)
	if err != nil {
		return report{}, err
	}
	newClient, ok := goClients[s.Client]
	if !ok {
		return report{}, errors.New("no such client")
	}
	client, err := newClient(&s, newMessages(s.Topic, payload))
	if err != nil {
		return report{}, err
	}
	defer client.close()
	if err := warmUp(ctx, &s, client); err != nil {
		return report{}, fmt.Errorf("warming up: %w", err)
	}

	var times *stopwatch
	if s.Latency {
		times = &stopwatch{times: make([]time.Duration, s.Notifications)}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	cpu, began := cpuSeconds(syscall.RUSAGE_SELF), time.Now()
	accepted, err := client.send(ctx, s.Notifications, times)
	r := report{Accepted: accepted, Seconds: time.Since(began).Seconds(), CPU: cpuSeconds(syscall.RUSAGE_SELF) - cpu}
	runtime.ReadMemStats(&after)
	if err != nil {
		return r, err
	}
	r.Mallocs, r.Bytes = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	if times != nil {
		r.P50, r.P99, r.P999 = times.quantiles()
	}
	r.Connections = client.connections()
	return r, nil
}

// warmUp sends until all connections stand, since some clients open them one by
// one while there is more to do than those at hand can take.
func warmUp(ctx context.Context, s *settings, client sender) error {
	// One first on each: some open a connection for every request that finds none,
	// and would begin with a hundred.
	if _, err := client.send(ctx, s.Connections, nil); err != nil {
		return err
	}
	for end := time.Now().Add(30 * time.Second); ; {
		if _, err := client.send(ctx, s.Warmup, nil); err != nil {
			return err
		}
		if n := client.connections(); n < 0 || n >= s.Connections || time.Now().After(end) {
			return nil
		}
	}
}

// spread sends n notifications from as many goroutines as the caller has
// requests under way, which is how most clients are used.
func spread(ctx context.Context, s *settings, n int, times *stopwatch, send func(worker, i int) error) (int, error) {
	var next, accepted atomic.Int64
	var failed atomic.Pointer[error]
	var wait sync.WaitGroup
	for w := range min(s.InFlight*s.Connections, n) {
		wait.Go(func() {
			for ctx.Err() == nil {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				var began time.Time
				if times != nil {
					began = time.Now()
				}
				if err := send(w, int(i)); err != nil {
					failed.CompareAndSwap(nil, &err)
					continue
				}
				if times != nil {
					times.add(time.Since(began))
				}
				accepted.Add(1)
			}
		})
	}
	wait.Wait()
	// A few that failed are shown as a number; all of them are a mistake here.
	if err := failed.Load(); err != nil && accepted.Load() == 0 {
		return 0, *err
	}
	return int(accepted.Load()), ctx.Err()
}

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sideshow/apns2"
	"github.com/sideshow/apns2/token"
)

const (
	// rivalWorkers is how many goroutines push: one per notification under way,
	// as that client is made to be used.
	rivalWorkers = 1000
	// rivalPatience bounds one push; it is the default of our own client.
	rivalPatience = 30 * time.Second
	// rivalLimit is when nothing more is handed in.
	rivalLimit = 45 * time.Second
	// rivalHung is how long after its context a push may take to return before
	// it counts as hung.
	rivalHung = 5 * time.Second
)

// runRival runs one case with apns2. Unknown of the row are the errors that it
// returned, since they do not tell whether the notification was processed.
func runRival(c *faultCase, n int, short bool, seed uint64) row {
	out := row{Case: c.name, Reasons: map[string]int{}}
	if c.procs > 0 {
		runtime.GOMAXPROCS(c.procs)
	}
	r, err := prepare(c, n, short, seed)
	if err != nil {
		return row{Case: c.name, Error: err.Error()}
	}
	var dials, hung atomic.Int64
	// Its own transport as it comes, but for whom it trusts.
	dial, roots := apns2.DialTLS, r.servers[0].CertPool()
	apns2.DialTLS = func(network, address string, cfg *tls.Config) (net.Conn, error) {
		dials.Add(1)
		cfg = cfg.Clone()
		cfg.RootCAs = roots
		return dial(network, address, cfg)
	}
	client := apns2.NewTokenClient(&token.Token{AuthKey: r.key, KeyID: keyID, TeamID: teamID})
	client.Host = "https://" + r.servers[0].Endpoint()
	client.HTTPClient.Timeout = rivalPatience
	ctx, cancel := context.WithTimeout(context.Background(), rowLimit)
	defer cancel()
	if c.middle != nil {
		go c.middle(ctx, r)
	}
	r.began = time.Now()
	status := make([]atomic.Int32, n) // 200 and so on; -1 an error
	payload := json.RawMessage(body)
	if c.payload != "" {
		payload = json.RawMessage(c.payload)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range rivalWorkers {
		wg.Go(func() {
			for time.Since(r.began) < rivalLimit {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				r.handed.Add(1)
				mine, cancel := context.WithTimeout(ctx, rivalPatience)
				res, err := client.PushWithContext(mine, &apns2.Notification{
					DeviceToken: r.deviceToken(i), Topic: topic, ApnsID: r.id(i).String(), Payload: payload,
				})
				cancel()
				switch {
				case err != nil:
					status[i].Store(-1)
				case res.StatusCode == 200:
					status[i].Store(200)
					r.acceptedNow()
				default:
					status[i].Store(int32(res.StatusCode))
				}
				r.settled.Add(1)
			}
		})
	}
	finished := make(chan struct{})
	go func() { wg.Wait(); close(finished) }()
	select {
	case <-finished:
	case <-time.After(rivalLimit + rivalPatience + rivalHung):
		hung.Store(r.handed.Load() - r.settled.Load())
	}
	out.Wall, out.Recovery = time.Since(r.began), time.Duration(r.longest.Load())
	out.Handed, out.Dials, out.Hung = int(r.handed.Load()), int(dials.Load()), int(hung.Load())
	fates := r.fates()
	for i, f := range fates {
		if f.processed > 0 {
			out.Processed++
			out.Duplicates += f.processed - 1
		}
		switch told := status[i].Load(); {
		case told == 200:
			out.Accepted++
		case told > 0:
			out.Rejected++
			out.Reasons[f.rejected]++
		case told < 0:
			out.Unknown++
			if f.processed > 0 {
				out.UnknownProcessed++
			} else {
				out.Lost++
			}
		}
	}
	// It may hold goroutines that nothing ends; the process does.
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(0)
	return out
}

package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"aviso.example/bench/pages"
	"aviso.example/sim"
)

const (
	// smallDisk is the size of a file system to fill, in MiB: the engine refuses
	// from 64 MiB free on.
	smallDisk = 176
	// fullFor is how long a full disk stays full.
	fullFor = 4 * time.Second
)

// control calls an operation that has to be granted.
func (r *rig) control(s *server, operation, arg string) error {
	p, err := r.call(r.ctx, s.url, operation, arg, nil)
	if err != nil {
		return err
	}
	if !p.ok() {
		return errorf("%s %s: %s", operation, arg, p)
	}
	return nil
}

// disk puts the data folder on a small file system. It reports false where this
// machine does not let it.
func (r *rig) disk() (bool, func(), error) {
	data := r.data()
	if err := os.MkdirAll(data, 0o700); err != nil {
		return false, nil, err
	}
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, fmt.Sprintf("size=%dm,mode=0700", smallDisk)); err != nil {
		r.res.note("not run: a small file system cannot be mounted here (%v)", err)
		return false, nil, nil
	}
	return true, func() {
		if syscall.Unmount(data, 0) != nil {
			syscall.Unmount(data, syscall.MNT_DETACH)
		}
	}, nil
}

func fullDisk(r *rig) error {
	ok, unmount, err := r.disk()
	if !ok {
		return err
	}
	defer unmount()
	return full(r)
}

// full hands in while nothing is sent until there is no room, kills the engine in
// that state, and lets it go on.
func full(r *rig) error {
	r.unhurried = true // the app is paused over a start, and much waits
	s, err := r.serve(0)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	if err := r.control(s, "pause-app", shop); err != nil {
		return err
	}
	l := r.load
	l.most, l.batch, l.bulky = 1<<30, 2000, strings.Repeat("x", 3000)
	// What shares a payload takes little space, and the log keeps verdicts in a
	// quarter of its size only.
	l.plan = func(o *order, _ *rand.Rand) { o.count = min(o.count, 20) }
	l.at(s.url)
	loading, stop := context.WithCancel(r.ctx)
	var all sync.WaitGroup
	all.Go(func() { l.run(loading, r.o.seed) })
	defer all.Wait()
	defer stop()
	refusals := func() int64 {
		return l.refusals[http.StatusServiceUnavailable].Load() + l.refusals[http.StatusTooManyRequests].Load()
	}
	wait := func(what string, limit time.Duration, f func() bool) error {
		if r.until(limit, f) {
			return nil
		}
		accepted, waiting := r.book.progress()
		return errorf("%s: not within %v; %d accepted, %d wait, %d refused; the log ends:\n%s", what, limit, accepted, waiting, refusals(), tail(r.log))
	}
	if err := wait("the disk is full", time.Minute, func() bool { return l.refusals[http.StatusServiceUnavailable].Load() >= 100 }); err != nil {
		return err
	}
	held, _ := r.book.progress()
	// A crash in that state changes nothing.
	s.kill()
	l.at()
	r.ended()
	if s, err = r.serve(0); err != nil {
		return err
	}
	l.at(s.url)
	before := refusals()
	if err := wait("it is full after a crash", 20*time.Second, func() bool { return refusals() >= before+20 }); err != nil {
		return err
	}
	more, _ := r.book.progress()
	began := time.Now()
	if err := r.control(s, "resume-app", shop); err != nil {
		return err
	}
	again, _ := r.book.progress()
	if _, err := r.sim.AddFault(sim.Fault{Kind: sim.FaultAnswer, Reason: "ServiceUnavailable", For: 3 * time.Second}); err != nil {
		return err
	}
	if err := wait("it accepts again", time.Minute, func() bool { accepted, _ := r.book.progress(); return accepted >= again+1000 }); err != nil {
		return err
	}
	r.res.note("Refused at %s notifications, %s after a crash and a start; accepting again %.1f s after sending was resumed", pages.Thousands(held), pages.Thousands(more), time.Since(began).Seconds())
	stop()
	all.Wait()
	r.res.Bound = r.res.Ends * lanes * window
	r.settle(s)
	return s.stop()
}

// goesOn is how long accepting and sending may take to go on when a disk has
// space again.
const goesOn = 10 * time.Second

// filled has somebody else fill the disk to the last byte, under load.
func filled(r *rig) error {
	r.unhurried = true
	ok, unmount, err := r.disk()
	if !ok {
		return err
	}
	defer unmount()
	s, err := r.serve(0)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	r.load.at(s.url)
	loading, stop := context.WithCancel(r.ctx)
	var all sync.WaitGroup
	all.Go(func() { r.load.run(loading, r.o.seed) })
	defer all.Wait()
	defer stop()
	accepted := func() int { n, _ := r.book.progress(); return n }
	if !r.until(time.Minute, func() bool { return accepted() >= r.n/2 }) {
		return errorf("%d of %d were accepted within a minute", accepted(), r.n/2)
	}
	empty, err := r.fillFor(fullFor)
	if err != nil {
		return err
	}
	if status, err := r.ready(s); err != nil || status != http.StatusServiceUnavailable {
		r.broken("without space for %v, /readyz answers %d (%v)", fullFor, status, err)
	}
	_, waiting := r.book.progress()
	at, began := accepted(), time.Now()
	if err := empty(); err != nil {
		return err
	}
	if r.until(goesOn, func() bool { n, w := r.book.progress(); return n >= at+r.n/10 && w < waiting+n-at }) {
		r.res.note("It went on by itself within %.1f s of there being space", time.Since(began).Seconds())
	} else {
		r.broken("it did not go on by itself within %v of there being space: %d more were accepted; the log ends:\n%s", goesOn, accepted()-at, tail(r.log))
	}
	if !r.until(time.Minute, func() bool { return accepted() >= r.n }) {
		return errorf("%d of %d were accepted within a further minute; the log ends:\n%s", accepted(), r.n, tail(r.log))
	}
	// SIGTERM ends it too while there is no space.
	if empty, err = r.fillFor(fullFor); err != nil {
		return err
	}
	began = time.Now()
	if err := s.stop(); err != nil {
		r.broken("stopped without space, it ended with %v; the log ends:\n%s", err, tail(r.log))
	}
	r.res.note("Stopped without space it ended within %.1f s", time.Since(began).Seconds())
	r.load.at()
	r.ended()
	if err := empty(); err != nil {
		return err
	}
	if s, err = r.serve(0); err != nil {
		return err
	}
	r.load.at(s.url)
	at = accepted()
	if !r.until(time.Minute, func() bool { return accepted() >= at+r.n/10 }) {
		return errorf("after a start with space again, %d were accepted within a minute; the log ends:\n%s", accepted()-at, tail(r.log))
	}
	stop()
	all.Wait()
	r.res.Bound = r.res.Ends * lanes * window
	r.settle(s)
	return s.stop()
}

// ready is the status of /readyz.
func (r *rig) ready(s *server) (int, error) {
	req, err := http.NewRequestWithContext(r.ctx, http.MethodGet, s.url+"/readyz", nil)
	if err != nil {
		return 0, err
	}
	response, err := r.http.Do(req)
	if err != nil {
		return 0, err
	}
	return response.StatusCode, response.Body.Close()
}

// fillFor takes all of the disk, and whatever is freed on it, for a while. The
// disk stays full until empty.
func (r *rig) fillFor(d time.Duration) (empty func() error, err error) {
	ballast := filepath.Join(r.data(), "somebody-elses")
	f, err := os.Create(ballast)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	block := bytes.Repeat([]byte("x"), 1<<20)
	for end := time.Now().Add(d); time.Now().Before(end) && r.ctx.Err() == nil; {
		if _, err := f.Write(block[:4096]); err != nil {
			time.Sleep(time.Millisecond) // and take what is freed
		} else if _, err := f.Write(block); err != nil {
			continue
		}
	}
	return func() error { return os.Remove(ballast) }, nil
}

package main

import (
	"context"
	"errors"
	"sync"
	"time"
)

// What the rows call that change something, by the ids of the API's document.
var (
	handsIn       = []string{"post-message", "post-batch"}
	appCalls      = append([]string{"pause-app", "resume-app"}, handsIn...)
	letterCalls   = append([]string{retryLetter, discardLetter}, handsIn...)
	operatorCalls = append([]string{"pause-batch", "resume-batch", "cancel-batch", "change-batch", "cancel-message"}, appCalls...)
)

var rows = []*row{
	{
		name: "kill", what: "SIGKILL at a random moment, one time in ten while it starts; APNs says GOAWAY, resets, falls silent, answers 503, 429 and 410 meanwhile",
		noted: "what was under way is sent again, the rest goes on",
		n:     1_000_000, ends: 100, shortN: 30_000, shortEnds: 10,
		faults: doubtful, calls: handsIn, play1: kill,
	},
	{
		name: "scheduled", what: "campaigns for the same second, half of them `drop`, and SIGKILL around that second, every other time when a tenth has been sent",
		noted: "each has one end, nothing comes before its time",
		n:     120_000, ends: 24, shortN: 16_000, shortEnds: 6,
		calls: handsIn, play1: onOne(scheduled),
	},
	{
		name: "dead letters", what: "APNs refuses about half for their topic; then for each group of dead letters three or four callers want it at once, to send it again or to discard it, and SIGKILL comes meanwhile",
		noted: "one of them gets it, the others 404 or 409; what is sent again ends, what was discarded is not sent",
		n:     6_000, ends: 12, shortN: 500, shortEnds: 3,
		calls: letterCalls, play1: onOne(letters),
	},
	{
		name: "retries on a slow disk", what: "each fsync takes 25 ms longer, APNs answers 503 and 429 to every fourth, and SIGKILL at a random moment",
		noted: "each has one end, and none that is tried again is under way twice",
		n:     40_000, ends: 10, shortN: 8_000, shortEnds: 5,
		faults: busy, calls: handsIn, play1: slowRetries,
	},
	{
		name: "operators", what: "under load four people at once pause and resume the app and batches, call messages and batches back, also those that are scheduled, paused or at a rate, and change rates; SIGKILL comes meanwhile",
		noted: "what was called back ends so, unless APNs had it; everything ends",
		n:     2_500, ends: 10, shortN: 250, shortEnds: 2,
		calls: operatorCalls,
		play1: onOne(operate),
	},
	{
		name: "app that goes and comes", what: "one of two apps is taken out of the configuration while it has notifications waiting, scheduled and about to expire, by reload, over a restart and under another name, and comes back; the other goes on under load",
		noted: "nothing is lost, and what expires meanwhile ends so on time",
		n:     200, shortN: 60,
		calls: appCalls, play1: apps,
	},
	{
		name: "clean restart", what: "SIGTERM at a random moment under load; APNs says GOAWAY and answers 503, 429 and 410",
		noted: "exit code 0, nothing doubled, nothing lost",
		n:     200_000, ends: 20, shortN: 8_000, shortEnds: 2,
		faults: told, calls: handsIn, play1: clean,
	},
	{
		name: "torn log", what: "SIGKILL, and before the next start the newest file of each queue and of the verdicts gets garbage or half a record at its end, or loses a part of the last record if nobody was told of it",
		noted: "nothing that was acknowledged is lost",
		n:     200_000, ends: 30, shortN: 10_000, shortEnds: 3,
		faults: told, calls: handsIn, play1: torn,
	},
	{
		name: "damage in the middle", what: "a server is stopped with something of everything in its folder, then a byte in the middle of one file is changed or cut out, or its last quarter is cut off, or all of it is zero, and it is started; each kind of file, each in a copy of its own",
		noted: "it starts, sends what can be read, tells what is lost, and takes what is new; nothing is lost that was elsewhere",
		n:     400, shortN: 240,
		calls: append([]string{"pause-app", "resume-app", "resume-batch"}, handsIn...), play1: damaged,
	},
	{
		name: "log full", what: "engine.max_bytes is reached while nothing is sent, then the engine is killed, started, and sends again",
		noted:  "refused with 503 queue-full; nothing accepted is lost, space comes back, accepting goes on",
		config: "  max_bytes: 16MiB\n",
		calls:  appCalls,
		play1:  full,
	},
	{
		name: "disk full", what: "the same on a file system of 176 MiB, of which the engine leaves 64 MiB free",
		noted: "as above", fullOnly: true,
		calls: appCalls,
		play1: fullDisk,
	},
	{
		name: "disk filled by others", what: "another program takes the last byte of the file system for some seconds under load, and once more before SIGTERM",
		noted: "not ready meanwhile; nothing accepted is lost; it goes on by itself when there is space; exit code 0", fullOnly: true,
		n: 60_000, calls: handsIn, play1: filled,
	},
}

// kill ends engines at random moments.
func kill(r *rig) error {
	return r.lives(func(s *server) error {
		s.kill()
		return nil
	}, 10)
}

// clean ends them as an operator does.
func clean(r *rig) error {
	err := r.lives(func(s *server) error { return s.stop() }, 0)
	if r.res.DoubledByEnd+r.res.DoubledByFault > 0 {
		r.broken("%d were doubled, although nothing was cut off", r.res.DoubledByEnd+r.res.DoubledByFault)
	}
	return err
}

// slowSync is what a sync takes longer on a slow disk.
const slowSync = 25 * time.Millisecond

// slowRetries kills while much is tried again on a slow disk.
func slowRetries(r *rig) error {
	slow := *r.o
	slow.slow = slowSync
	r.o = &slow
	r.load.most, r.load.batch = 3_000, 1_000
	return kill(r)
}

// lives runs engine after engine under load, ends each, and leaves the last
// alone. Of early in a hundred, that many are killed while they start.
func (r *rig) lives(end func(*server) error, early int) error {
	loading, stop := context.WithCancel(r.ctx)
	var all sync.WaitGroup
	all.Go(func() { r.load.run(loading, r.o.seed) })
	defer all.Wait()
	defer stop()
	usual := 300 * time.Millisecond
	for life := range r.ends {
		killAfter := time.Duration(0)
		if r.random.IntN(100) < early && life > 0 {
			killAfter = time.Duration(r.random.Int64N(int64(usual)))
		}
		s, err := r.serve(killAfter)
		if errors.Is(err, errKilled) {
			r.ended()
			continue
		} else if err != nil {
			return err
		}
		usual = s.took
		r.load.at(s.url)
		// The end comes when so much was accepted, and then at any moment.
		goal := (life + 1) * r.n / (r.ends + 1)
		if !r.until(time.Minute, func() bool { accepted, _ := r.book.progress(); return accepted >= goal }) {
			accepted, waiting := r.book.progress()
			s.kill()
			return errors.Join(context.Cause(r.ctx), errorf("life %d: %d of %d were accepted within a minute, %d wait; its log ends:\n%s", life, accepted, goal, waiting, tail(r.log)))
		}
		time.Sleep(time.Duration(r.random.Int64N(int64(300 * time.Millisecond))))
		if err := end(s); err != nil {
			r.broken("life %d: %v:\n%s", life, err, tail(r.log))
		}
		r.load.at()
		r.ended()
		accepted, waiting := r.book.progress()
		r.say("life %d ended: started in %v, %d accepted so far, %d wait", life, s.took.Round(time.Millisecond), accepted, waiting)
	}
	// The last takes what is left, and then nothing goes wrong any more.
	r.sim.ClearFaults()
	s, err := r.serve(0)
	if err != nil {
		return err
	}
	defer s.kill()
	r.load.at(s.url)
	r.until(time.Minute, func() bool { accepted, _ := r.book.progress(); return accepted >= r.n })
	stop()
	all.Wait()
	r.res.Bound = r.res.Ends * lanes * window
	r.settle(s)
	if err := s.stop(); err != nil {
		r.broken("the last engine: %v", err)
	}
	return nil
}

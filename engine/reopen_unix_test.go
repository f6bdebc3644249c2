//go:build linux || darwin || freebsd

package engine

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// diskVariable marks the process of a test that fills its disk.
const diskVariable = "AVISO_ENGINE_TEST_DISK"

// byItself runs a test in virtual time and in a process of its own, since the
// limit by which it fills the disk holds for the files of package testing too.
func byItself(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	if os.Getenv(diskVariable) != "" {
		virtually(t, test)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	cmd.Env = append(os.Environ(), diskVariable+"=1")
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	if err := cmd.Run(); err != nil {
		t.Error(err)
	}
}

// disk can be filled.
type disk struct {
	t      *testing.T
	filled atomic.Bool
	before unix.Rlimit
}

// newDisk has to be there before the engine.
func newDisk(t *testing.T) *disk {
	t.Helper()
	d := &disk{t: t}
	signal.Ignore(syscall.SIGXFSZ)
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &d.before); err != nil {
		t.Fatal(err)
	}
	freeSpace = func(dir string) (int64, error) {
		if d.filled.Load() {
			return 0, nil
		}
		return freeBytes(dir)
	}
	t.Cleanup(func() { freeSpace = freeBytes })
	t.Cleanup(d.clear)
	return d
}

// fill makes every write fail that takes a file beyond so many bytes, in the
// middle of what is written, as on a disk without space.
func (d *disk) fill(most uint64) {
	d.t.Helper()
	d.filled.Store(true)
	limited := d.before
	limited.Cur = most
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &limited); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) clear() {
	d.filled.Store(false)
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &d.before); err != nil {
		d.t.Error(err)
	}
}

// A disk that takes nothing for a while costs nothing that was accepted: nothing
// is accepted meanwhile, and afterwards everything goes on by itself.
func TestDiskFull(t *testing.T) { byItself(t, testDiskFull) }

func testDiskFull(t *testing.T) {
	apple, disk := apnstest.StartMem(t), newDisk(t)
	r := newRig(t, apple)
	m := hello()
	m.Notification.Payload = []byte(`{"aps":{"alert":"` + strings.Repeat("x", 4000) + `"}}`)
	var receipts []*Receipt
	handIn := func(n int) error {
		receipt, err := r.Submit(t.Context(), m, devices(n, n+1))
		if err == nil {
			receipts = append(receipts, receipt)
		}
		return err
	}
	n := 0
	for ; n < 20; n++ {
		if err := handIn(n); err != nil {
			t.Fatal(err)
		}
	}
	disk.fill(200_000)
	var err error
	for ; err == nil; n++ {
		if n > 200 {
			t.Fatal("the disk took everything")
		}
		err = handIn(n)
	}
	if !errors.Is(err, ErrStore) && !errors.Is(err, ErrFull) {
		t.Errorf("what did not fit: %v", err)
	}
	time.Sleep(lookAroundEvery + janitorEvery)
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); n++ {
		if err := handIn(n); !errors.Is(err, ErrFull) {
			t.Fatalf("without space: %v", err)
		}
		if s, err := r.Stats(t.Context()); err != nil || !s.Full && !s.Stuck {
			t.Fatalf("without space: %+v, %v", s, err)
		}
		time.Sleep(time.Second)
	}
	disk.clear()
	began := time.Now()
	for handIn(n) != nil {
		n++
		time.Sleep(100 * time.Millisecond)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("accepting took %v", took)
	}
	for _, receipt := range receipts {
		if s := r.wait(receipt.Message); s.States[Accepted] != 1 {
			t.Fatalf("%+v", s)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("sending took %v", took)
	}
	if s := apple.Stats(); s.Duplicates != 0 {
		t.Errorf("%d were sent twice", s.Duplicates)
	}
	// And so does a start.
	r.close()
	r.open()
	for _, receipt := range receipts {
		if s := r.wait(receipt.Message); s.States[Accepted] != 1 {
			t.Fatalf("after a start: %+v", s)
		}
	}
	if s, err := r.Stats(t.Context()); err != nil || s.Stuck {
		t.Errorf("%+v, %v", s, err)
	}
}

// What APNs answers while the disk takes nothing is written when it does again,
// and nothing is sent twice.
func TestDiskFullForVerdicts(t *testing.T) { byItself(t, testDiskFullForVerdicts) }

func testDiskFullForVerdicts(t *testing.T) {
	apple := apnstest.StartMem(t, func(cfg *sim.Config) { cfg.RoundTrip = 100 * time.Millisecond })
	disk := newDisk(t)
	r := newRig(t, apple)
	first := r.batch(BatchConfig{})
	fill(t, first, 0, 8000)
	if _, err := first.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	r.waitBatch(first.ID(), isDone)
	second := r.batch(BatchConfig{})
	fill(t, second, 8000, 12_000)
	if _, err := second.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	file, err := os.Stat(filepath.Join(r.cfg.Store.Dir, "log", "jetstream", "$G", "streams", streamVerdicts, "msgs", "1.blk"))
	if err != nil {
		t.Fatal(err)
	}
	disk.fill(uint64(file.Size()) + 100)
	time.Sleep(10 * time.Second)
	if n := apple.Stats().Accepted; n < 10_000 {
		t.Fatalf("APNs accepted %d", n)
	}
	if s, err := r.Stats(t.Context()); err != nil || !s.Stuck {
		t.Errorf("%+v, %v", s, err)
	}
	disk.clear()
	began := time.Now()
	for {
		s, err := r.Batch(t.Context(), second.ID())
		if err != nil && !errors.Is(err, ErrStore) {
			t.Fatal(err)
		}
		if err == nil && s.Done {
			if s.Counts.Accepted != 4000 {
				t.Errorf("%+v", s)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %v", took)
	}
	if s := apple.Stats(); s.Duplicates != 0 {
		t.Errorf("%d were sent twice", s.Duplicates)
	}
	if s := r.waitBatch(first.ID(), isDone); s.Counts.Accepted != 8000 {
		t.Errorf("%+v", s)
	}
}

// Attempts to open a log again become rare if they are of no use.
func TestReopenings(t *testing.T) {
	var r reopenings
	begin := time.Now()
	var at []time.Duration
	for d := time.Duration(0); d < 5*time.Minute; d += lookAroundEvery {
		if r.due(begin.Add(d)) {
			at = append(at, d)
		}
	}
	if len(at) < 6 || len(at) > 12 || at[0] != 0 || at[1] > lookAroundEvery {
		t.Errorf("%v", at)
	}
	// What was full for an hour is tried at once, and a disk that is full now and then
	// does not wait for longer each time.
	for at := begin.Add(time.Hour); at.Before(begin.Add(2 * time.Hour)); at = at.Add(30 * time.Second) {
		if r.stuck(at); !r.due(at) || r.pause != lookAroundEvery {
			t.Fatalf("after %v: %v", at.Sub(begin), r.pause)
		}
	}
	// One that fails again at once does.
	now := begin.Add(3 * time.Hour)
	for range 10 {
		r.stuck(now)
		for !r.due(now) {
			now = now.Add(time.Second)
		}
		now = now.Add(time.Second)
	}
	if r.pause != maxReopenPause {
		t.Errorf("%v", r.pause)
	}
}

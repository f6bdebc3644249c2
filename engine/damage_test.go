package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// Damage is seen and said, and costs no more than what stood there: what can be opened
// is opened and sent, and more is accepted.
func TestDamage(t *testing.T) {
	const queue = "AVISO_Q_normal-sandbox-shop"
	flip := func(t *testing.T, file string, at func(size int64) int64) {
		f, err := os.OpenFile(file, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		info, err := f.Stat()
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 1)
		place := at(info.Size())
		if _, err := f.ReadAt(b, place); err != nil {
			t.Fatal(err)
		}
		b[0] ^= 0x40
		if _, err := f.WriteAt(b, place); err != nil {
			t.Fatal(err)
		}
	}
	cut := func(t *testing.T, file string) {
		info, err := os.Stat(file)
		if err == nil {
			err = os.Truncate(file, info.Size()*3/4)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	middle := func(size int64) int64 { return size / 2 }
	const n = 40
	type damage struct {
		harm func(t *testing.T, streams string)
		lost bool // some of it is
		want string
	}
	tests := map[string]damage{
		"description of a queue":           {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/meta.inf", middle) }, false, queue},
		"its sum":                          {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/meta.sum", middle) }, false, queue},
		"its sum is gone":                  {func(t *testing.T, s string) { os.Remove(s + "/" + queue + "/meta.sum") }, false, queue},
		"its description is empty":         {func(t *testing.T, s string) { os.Truncate(s+"/"+queue+"/meta.inf", 0) }, false, queue},
		"the place in it":                  {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/obs/engine/meta.inf", middle) }, false, queue},
		"the sum of the place":             {func(t *testing.T, s string) { os.Truncate(s+"/"+queue+"/obs/engine/meta.sum", 3) }, false, queue},
		"how far it is done is cut off":    {func(t *testing.T, s string) { cut(t, s+"/"+queue+"/obs/engine/o.dat") }, false, queue},
		"how far it is done is empty":      {func(t *testing.T, s string) { os.Truncate(s+"/"+queue+"/obs/engine/o.dat", 0) }, false, ""},
		"how far what is due is done":      {func(t *testing.T, s string) { cut(t, s+"/AVISO_LATER/obs/engine/o.dat") }, false, ""},
		"the times of what is scheduled":   {func(t *testing.T, s string) { cut(t, s+"/AVISO_LATER/msgs/sched.db") }, false, ""},
		"description of what is scheduled": {func(t *testing.T, s string) { flip(t, s+"/AVISO_LATER/meta.inf", middle) }, false, "AVISO_LATER"},
		"description of the verdicts":      {func(t *testing.T, s string) { flip(t, s+"/AVISO_VERDICTS/meta.inf", middle) }, false, "AVISO_VERDICTS"},
		"description of what is paused":    {func(t *testing.T, s string) { flip(t, s+"/KV_AVISO_CONTROL/meta.inf", middle) }, false, "KV_AVISO_CONTROL"},
		"a record of a queue":              {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/msgs/1.blk", middle) }, true, queue},
		"the end of a queue":               {func(t *testing.T, s string) { cut(t, s+"/"+queue+"/msgs/1.blk") }, true, queue},
		"a queue without data":             {func(t *testing.T, s string) { os.Truncate(s+"/"+queue+"/msgs/1.blk", 0) }, true, queue},
		"verdicts without data":            {func(t *testing.T, s string) { os.Truncate(s+"/AVISO_VERDICTS/msgs/1.blk", 0) }, false, "AVISO_VERDICTS"},
		"nothing that is paused":           {func(t *testing.T, s string) { os.Truncate(s+"/KV_AVISO_CONTROL/msgs/1.blk", 0) }, false, "KV_AVISO_CONTROL"},
		"what is paused is gone":           {func(t *testing.T, s string) { os.Remove(s + "/KV_AVISO_CONTROL/msgs/1.blk") }, false, "KV_AVISO_CONTROL"},
		"the index of verdicts": {func(t *testing.T, s string) {
			files, err := filepath.Glob(s + "/../../../../index/*.seg*")
			if err != nil || len(files) == 0 {
				files, _ = filepath.Glob(s + "/../../../../index/*")
			}
			for _, f := range files {
				if info, err := os.Stat(f); err == nil && info.Size() > 0 && !strings.HasSuffix(f, ".json") {
					flip(t, f, middle)
				}
			}
			if len(files) == 0 {
				t.Fatal("there is none")
			}
		}, false, ""},
		"a record of the verdicts": {func(t *testing.T, s string) { flip(t, s+"/AVISO_VERDICTS/msgs/1.blk", middle) }, false, "AVISO_VERDICTS"},
	}
	// What the log's server writes down without a sum.
	for file, size := range map[string]int64{queue + "/obs/engine/o.dat": 8, "AVISO_LATER/obs/engine/o.dat": 8, "AVISO_LATER/msgs/sched.db": 150} {
		for i := int64(0); i < size; i += 1 + size/40 {
			tests[fmt.Sprint("byte ", i, " of ", file)] = damage{func(t *testing.T, s string) {
				flip(t, s+"/"+file, func(size int64) int64 { return min(i, size-1) })
			}, false, ""}
		}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			virtually(t, func(t *testing.T) {
				apple := apnstest.StartMem(t, recording)
				var log bytes.Buffer
				r := newRig(t, apple, func(cfg *Config) {
					cfg.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), &slog.HandlerOptions{Level: slog.LevelError}))
				})
				for i := range 20 { // some verdicts
					r.wait(r.submit(hello(), devices(1000+i, 1001+i)...).Message)
				}
				r.must(r.PauseApp(t.Context(), "shop", ""))
				for i := range n {
					r.submit(hello(), devices(i, i+1)...)
				}
				later := hello()
				later.SendAt = time.Now().Add(time.Minute)
				r.submit(later, devices(n, n+3)...)
				time.Sleep(time.Second)
				r.close()
				began := time.Now()
				test.harm(t, streamsFolder(r.cfg.Store.Dir))
				r.open()
				r.must(r.ResumeApp(t.Context(), "shop"))
				if _, err := r.Submit(t.Context(), hello(), devices(500, 501)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(2 * time.Minute)
				s, err := r.Stats(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				missing := 0
				for _, l := range s.Lost {
					if l.Stream == queue {
						missing += int(l.Messages)
					}
				}
				if test.lost != (missing > 0) {
					t.Errorf("%d are told to be missing", missing)
				}
				if got, want := len(r.accepted(began)), n+3+1-missing; got != want {
					t.Errorf("%d of %d were accepted", got, want)
				}
				if test.want != "" && !strings.Contains(log.String(), "stream="+test.want) {
					t.Errorf("it was not said:\n%s", log.String())
				}
			})
		})
	}
}

// What was scheduled and is cut off is counted, and a batch's queue that was made anew
// with fewer chunks than the one before is not taken for damaged.
func TestCountedAfterAnOrderlyStop(t *testing.T) { virtually(t, testCountedAfterAnOrderlyStop) }

func testCountedAfterAnOrderlyStop(t *testing.T) {
	apple := apnstest.StartMem(t)
	r := newRig(t, apple)
	for i := range 10 {
		m := hello()
		m.SendAt = time.Now().Add(time.Duration(i+1) * time.Hour)
		r.submit(m, devices(i, i+1)...)
	}
	r.close()
	file := streamsFolder(r.cfg.Store.Dir) + "/AVISO_LATER/msgs/1.blk"
	info, err := os.Stat(file)
	r.must(err)
	r.must(os.Truncate(file, info.Size()/10*7)) // each record is as long
	r.open()
	s, err := r.Stats(t.Context())
	if err != nil || len(s.Lost) != 1 || s.Lost[0].Messages != 3 {
		t.Fatalf("%+v, %v", s.Lost, err)
	}
}

func TestQueueMadeAnew(t *testing.T) { virtually(t, testQueueMadeAnew) }

func testQueueMadeAnew(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	b := r.batch(BatchConfig{Paused: true})
	fill(t, b, 0, 5*maxChunk)
	b.Flush()
	time.Sleep(10 * time.Second) // how far it reaches is noted
	q := r.knownQueue(path{"shop", apns.Sandbox, Bulk}, b.ID())
	note, err := os.ReadFile(filepath.Join(r.cfg.Store.Dir, endsFile))
	if err != nil || !strings.Contains(string(note), q.name) {
		t.Fatalf("%s, %v", note, err)
	}
	r.must(r.ResumeBatch(t.Context(), b.ID()))
	if _, err := b.Close(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	r.waitBatch(b.ID(), isDone)
	for r.knownQueue(q.path, b.ID()) != nil {
		time.Sleep(time.Second)
	}
	if _, err := r.queueFor(t.Context(), q.path, b.ID()); err != nil { // for a retry, say
		t.Fatal(err)
	}
	r.close()
	// As after a kill -9 at this moment.
	r.must(os.WriteFile(filepath.Join(r.cfg.Store.Dir, endsFile), note, 0o600))
	r.must(os.WriteFile(filepath.Join(r.cfg.Store.Dir, runningFile), nil, 0o600))
	r.open()
	r.nothingLost()
}

// nothingLost checks that no damage is told.
func (r *rig) nothingLost() {
	r.t.Helper()
	if s, err := r.Stats(r.t.Context()); err != nil || len(s.Lost) > 0 {
		r.t.Errorf("%+v, %v", s.Lost, err)
	}
}

// A life that ended before it had noted how far the streams reach leaves the note of the
// one before, after which things were taken off: that is no loss.
func TestTakenOffAfterAnOrderlyStop(t *testing.T) { virtually(t, testTakenOffAfterAnOrderlyStop) }

func testTakenOffAfterAnOrderlyStop(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	var list []*Receipt
	for i := range 10 {
		m := hello()
		m.SendAt = time.Now().Add(time.Duration(i+1) * time.Hour)
		list = append(list, r.submit(m, devices(i, i+1)...))
	}
	r.close()
	r.open()
	file := filepath.Join(r.cfg.Store.Dir, endsFile)
	note, err := os.ReadFile(file)
	r.must(err)
	for _, receipt := range list[:3] {
		r.must(r.CancelMessage(t.Context(), receipt.Message))
	}
	r.close()
	r.must(os.WriteFile(file, note, 0o600)) // as if the log had not answered at the end
	r.open()
	r.nothingLost()
}

// Only what the log says it does not have is gone: not what has no consumer, nor
// anything while the log does not answer.
func TestStreamGone(t *testing.T) { virtually(t, testStreamGone) }

func testStreamGone(t *testing.T) {
	r := newRig(t, apnstest.StartMem(t))
	r.wait(r.submit(hello(), devices(0, 1)...).Message)
	q := r.knownQueue(path{"shop", apns.Sandbox, Normal}, BatchID{})
	r.must(q.stream.DeleteConsumer(t.Context(), consumerName))
	hungUp, cancel := context.WithCancel(t.Context())
	cancel()
	for name := range r.guarded() {
		if r.streamGone(t.Context(), name) {
			t.Errorf("%s is taken for gone", name)
		}
		end := streamEnd{Last: 10, Messages: 10}
		if n, err := r.missing(hungUp, name, end, true); n != 0 || err == nil {
			t.Errorf("%s: without an answer %d are missing, %v", name, n, err)
		}
	}
	r.must(r.store.DeleteStream(t.Context(), streamAside))
	if !r.streamGone(t.Context(), streamAside) {
		t.Error("what was deleted is not taken for gone")
	}
	if r.streamGone(hungUp, streamAside) {
		t.Error("without an answer it is taken for gone")
	}
	if n, err := r.missing(t.Context(), streamAside, streamEnd{Last: 10, Messages: 3}, true); n != 3 || err != nil {
		t.Errorf("%d of what was deleted are missing, %v", n, err)
	}
}

// The names of queues are read back, whatever the app is called.
func TestParseQueueName(t *testing.T) {
	for _, app := range []string{"a", "shop", "my-shop", "a-b-c_d-0"} {
		for _, batch := range []BatchID{{}, BatchID(newUnit(time.Now()))} {
			p := path{app, apns.Sandbox, Bulk}
			name, _ := p.name(batch)
			if got, id, ok := parseQueueName(name); !ok || got != p || id != batch {
				t.Errorf("%s: %+v %v %v", name, got, id, ok)
			}
		}
	}
	for _, name := range []string{"", "AVISO_LATER", "AVISO_Q_", "AVISO_Q_x-y-z", "AVISO_B_bulk-sandbox-shop", filepath.Join("AVISO_Q_bulk-sandbox-", "x")} {
		if _, _, ok := parseQueueName(name); ok {
			t.Errorf("%q was read", name)
		}
	}
}

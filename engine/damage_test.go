package engine

import (
	"bytes"
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
	middle := func(size int64) int64 { return size / 2 }
	const n = 40
	for name, test := range map[string]struct {
		harm func(t *testing.T, streams string)
		lost bool // some of it is
		want string
	}{
		"description of a queue":           {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/meta.inf", middle) }, false, queue},
		"its sum":                          {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/meta.sum", middle) }, false, queue},
		"its sum is gone":                  {func(t *testing.T, s string) { os.Remove(s + "/" + queue + "/meta.sum") }, false, queue},
		"its description is empty":         {func(t *testing.T, s string) { os.Truncate(s+"/"+queue+"/meta.inf", 0) }, false, queue},
		"the place in it":                  {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/obs/engine/meta.inf", middle) }, false, queue},
		"the sum of the place":             {func(t *testing.T, s string) { os.Truncate(s+"/"+queue+"/obs/engine/meta.sum", 3) }, false, queue},
		"what was handed out":              {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/obs/engine/o.dat", middle) }, false, ""},
		"description of what is scheduled": {func(t *testing.T, s string) { flip(t, s+"/AVISO_LATER/meta.inf", middle) }, false, "AVISO_LATER"},
		"description of the verdicts":      {func(t *testing.T, s string) { flip(t, s+"/AVISO_VERDICTS/meta.inf", middle) }, false, "AVISO_VERDICTS"},
		"description of what is paused":    {func(t *testing.T, s string) { flip(t, s+"/KV_AVISO_CONTROL/meta.inf", middle) }, false, "KV_AVISO_CONTROL"},
		"a record of a queue":              {func(t *testing.T, s string) { flip(t, s+"/"+queue+"/msgs/1.blk", middle) }, true, queue},
		"the end of a queue": {func(t *testing.T, s string) {
			info, err := os.Stat(s + "/" + queue + "/msgs/1.blk")
			if err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(s+"/"+queue+"/msgs/1.blk", info.Size()*3/4); err != nil {
				t.Fatal(err)
			}
		}, true, queue},
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
	} {
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

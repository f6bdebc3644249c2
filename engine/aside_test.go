package engine

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/apnstest"
)

// future is a chunk as a later version could write it.
func future(c *chunk) []byte {
	data := c.append(nil)
	data = data[:len(data)-4]
	data[0] = chunkFormat + 1
	return appendSum(data)
}

// someChunk is a chunk of a message to one device.
func (r *rig) someChunk(token string) *chunk {
	r.t.Helper()
	_, environment, tm, err := r.template(hello(), time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	parsed, _ := parseTarget(&Target{DeviceToken: token})
	tm.count, tm.accepted = 1, 1
	return &chunk{path: path{"shop", environment, Normal}, unit: newUnit(time.Now()), at: time.Now().UnixMilli(), templates: []template{tm}, targets: []target{parsed}}
}

// waitAside waits until so many chunks lie aside and nothing is on the queue.
func (r *rig) waitAside(want int64) {
	r.t.Helper()
	q, err := r.queueFor(r.t.Context(), path{"shop", apns.Sandbox, Normal}, BatchID{})
	if err != nil {
		r.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		s, err := r.Stats(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		info, err := q.stream.Info(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		if s.Aside == want && info.State.Msgs == 0 {
			return
		}
		if time.Now().After(end) {
			r.dump()
			r.t.Fatalf("%d chunks lie aside, not %d; %d are on the queue", s.Aside, want, info.State.Msgs)
		}
	}
}

// What cannot be read is set aside, told once, and keeps nothing else from being
// sent and purged; a version that can read it sends it, and once.
func TestSetAside(t *testing.T) { virtually(t, testSetAside) }

func testSetAside(t *testing.T) {
	apple := apnstest.StartMem(t)
	var log bytes.Buffer
	r := newRig(t, apple, func(cfg *Config) {
		cfg.Logger = slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), &slog.HandlerOptions{Level: slog.LevelWarn}))
	})
	r.only(r.submit(hello(), Target{DeviceToken: device(0)}))
	q := r.knownQueue(path{"shop", apns.Sandbox, Normal}, BatchID{})
	late := r.someChunk(device(1))
	for _, data := range [][]byte{[]byte("damaged"), future(late)} {
		if err := r.put(t.Context(), q, data); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.putAt(t.Context(), laterSubject(late, nil, false), []byte("damaged, and due"), time.Now()); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if d := r.only(r.submit(hello(), Target{DeviceToken: device(2 + i)})); d.State != Accepted {
			t.Errorf("%+v", d)
		}
	}
	r.waitAside(3)
	time.Sleep(3 * time.Hour)
	if n := strings.Count(log.String(), "level=ERROR"); n != 3 || !strings.Contains(log.String(), "from=AVISO_Q_normal-sandbox-shop sequence=2 aside=1") {
		t.Errorf("%d errors in\n%s", n, &log)
	}
	r.close()
	r.open()
	r.waitAside(3) // this version still cannot
	// As an earlier version may have left it: one that can be read here, and
	// another whose notification was sent before somebody went back.
	sent := r.submit(hello(), Target{DeviceToken: device(5)})
	r.only(sent)
	again := r.someChunk(device(5))
	again.unit, again.targets[0].number = split(sent.Message.First)
	again.templates[0].first = again.targets[0].number
	for _, c := range []*chunk{late, again} {
		if _, err := r.store.put(t.Context(), subjectAside, c.append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	before := apple.Stats().Requests
	r.close()
	r.open()
	r.waitAside(3)
	if s := r.wait(MessageID{late.unit, 1}); s.States[Accepted] != 1 {
		t.Errorf("%+v", s)
	}
	if n := apple.Stats().Requests - before; n != 1 {
		t.Errorf("APNs was asked %d times", n)
	}
	if d, err := r.Delivery(t.Context(), sent.Message.First); err != nil || states(d) != "accepted" {
		t.Errorf("%+v, %v", d, err)
	}
}

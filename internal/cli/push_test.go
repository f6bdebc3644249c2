package cli

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/engine"
	"aviso.example/internal/api"
	"aviso.example/internal/await"
)

// Flags are defaults for a batch, the file's own are stronger, and what excludes
// each other is not mixed.
func TestWithDefaults(t *testing.T) {
	for name, test := range map[string]struct {
		flags map[string]any
		input string
		want  string // the beginning of the body
		added bool
	}{
		"none in the file": {map[string]any{"title": "T"}, "{\"to\":\"aa\"}\n", `{"defaults":{"title":"T"}}` + "\n" + `{"to":"aa"}` + "\n", true},
		"blank lines":      {map[string]any{"title": "T"}, "\n \n{\"to\":\"aa\"}\n", `{"defaults":{"title":"T"}}` + "\n\n \n" + `{"to":"aa"}` + "\n", true},
		"both":             {map[string]any{"title": "T", "body": "B"}, "\n{\"defaults\":{\"title\":\"own\"}}\n", "\n" + `{"defaults":{"body":"B","title":"own"}}` + "\n", false},
		"payload there":    {map[string]any{"title": "T", "lane": "bulk"}, "{\"defaults\":{\"payload\":{\"aps\":{}}}}\n", `{"defaults":{"lane":"bulk","payload":{"aps":{}}}}` + "\n", false},
		"payload here":     {map[string]any{"payload": json.RawMessage(`{}`)}, "{\"defaults\":{\"title\":\"own\"}}\n", `{"defaults":{"title":"own"}}` + "\n", false},
		"topics":           {map[string]any{"topic": "a.b"}, "{\"defaults\":{\"bundle_id\":\"c.d\"}}\n", `{"defaults":{"bundle_id":"c.d"}}` + "\n", false},
		"wrong":            {map[string]any{"title": "T"}, "{\"defaults\":7}\n", "{\"defaults\":7}\n", false},
		"no line break":    {map[string]any{"title": "T"}, `{"to":"aa"}`, `{"defaults":{"title":"T"}}` + "\n" + `{"to":"aa"}`, true},
		"empty":            {map[string]any{"title": "T"}, "", `{"defaults":{"title":"T"}}` + "\n", true},
	} {
		first, added, err := withDefaults(bufio.NewReader(strings.NewReader(test.input)), test.flags)
		if err != nil || added != test.added || string(first) != test.want {
			t.Errorf("%s: %v %v\n%s", name, err, added, first)
		}
	}
}

// The body of a batch is the input, whatever its lines are like.
func TestBatchBody(t *testing.T) {
	long := strings.Repeat("x", 3*batchChunk)
	input := "\xef\xbb\xbf" + strings.Repeat("{\"to\":\"aa\"}\n", 20000) + long + "\n\nlast"
	b, added, err := batchBody(t.Context(), strings.NewReader(input), nil)
	if err != nil || added {
		t.Fatal(err, added)
	}
	got, err := io.ReadAll(b)
	if err != nil || string(got) != strings.TrimPrefix(input, "\xef\xbb\xbf") {
		t.Errorf("%d bytes of %d: %v", len(got), len(input), err)
	}
	if n := b.read.Load(); n != int64(len(got)) {
		t.Errorf("%d bytes were counted of %d", n, len(got))
	}
}

// serving is a server in this process that sends to the simulator.
type serving struct {
	*rig
	*server
	out *logWatch
}

func newServing(t *testing.T) *serving {
	t.Helper()
	apple := newRig(t)
	key := apple.file(t, "api-key", "0123456789abcdef0123")
	file := apple.file(t, "aviso.yaml", apple.configFor("AuthKey_"+apple.KeyID+".p8", apple.KeyID)+"\napi: {key_file: "+key+"}\n")
	c, _, err := loadConfig(configSource{file: file})
	if err != nil {
		t.Fatal(err)
	}
	s := &serving{rig: apple, out: newLogWatch()}
	s.server, err = startServer(t.Context(), c.engine, serverOptions{
		listen: c.listen, key: func() (string, error) { return c.apiKey, nil }, log: slog.New(slog.NewTextHandler(s.out, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.stop(10 * time.Second) })
	return s
}

// A batch that is interrupted ends at a line; the server says what it has, and
// sends it.
func TestPushBatchInterrupted(t *testing.T) {
	t.Parallel()
	s := newServing(t)
	in, input := io.Pipe()
	var out, errs bytes.Buffer
	a := &app{stdin: in, stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	ctx, interrupt := context.WithCancel(t.Context())
	var code int
	var running sync.WaitGroup
	running.Go(func() {
		code = a.run(ctx, []string{"push", "--server", s.url, "--api-key-file", s.path("api-key"), "--title", "x", "--batch", "-", "--json"})
	})
	for n := range 1000 {
		fmt.Fprintf(input, "{\"to\":%q}\n", deviceOfLine(n+1))
	}
	fmt.Fprintf(input, "{\"to\":\"cut of")
	await.Until(t, "the server to begin reading it", func() bool {
		list, err := s.engine.Batches(t.Context(), "", engine.BatchID{}, 1)
		if err != nil {
			t.Fatal(err)
		}
		return len(list) > 0
	})
	interrupt()
	running.Wait()
	input.Close()
	var receipt api.BatchReceipt
	if err := json.Unmarshal(out.Bytes(), &receipt); err != nil {
		t.Fatalf("%v: %s%s", err, &out, &errs)
	}
	if code != ExitUnreachable || receipt.Accepted == 0 || receipt.Refused != 0 || !strings.Contains(errs.String(), "interrupted") {
		t.Errorf("exit code %d: %+v %s", code, receipt, &errs)
	}
	id, err := engine.ParseBatchID(receipt.ID)
	if err != nil {
		t.Fatal(err)
	}
	await.Until(t, "the batch to be done", func() bool {
		b, err := s.engine.Batch(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		if b.Done && (b.Counts.Accepted != receipt.Accepted || b.Broken != "") {
			t.Errorf("%+v", b)
		}
		return b.Done
	})
}

// Many device tokens: the ids that the answer leaves out are known all the same.
func TestPushManyDevices(t *testing.T) {
	s := newServing(t)
	args := []string{"push", "--server", s.url, "--api-key-file", s.path("api-key"), "--title", "x", "--wait", "--json"}
	for n := range 1200 {
		args = append(args, "--to", deviceOfLine(n+1))
	}
	args = append(args, "--to", "nonsense")
	code, out, errs := runCLI(t, "", args...)
	list := strings.Split(strings.TrimSpace(out), "\n")
	if code != ExitUsage || len(list) != 1201 {
		t.Fatalf("exit code %d, %d lines: %s", code, len(list), errs)
	}
	for n, line := range list[:1200] {
		if !strings.HasPrefix(line, `{"device_token":"`+deviceOfLine(n+1)+`","outcome":"accepted"`) {
			t.Fatalf("line %d: %s", n, line)
		}
	}
	if !strings.HasPrefix(list[1200], `{"device_token":"nonsense","outcome":"not_sent"`) || !strings.Contains(list[1200], `hexadecimal`) {
		t.Error(list[1200])
	}
}

func TestPrintStatus(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
	ago := func(d time.Duration) *time.Time { return new(time.Now().Add(-d)) }
	err := a.printStatus(&api.Status{
		Version: "v1", Since: *ago(3 * time.Hour), Full: true, LogBytes: 5 << 20, LogLimit: 1 << 30, Suppressed: 1, Aside: 2,
		Apps: []api.App{{
			ID: "shop", BundleID: "com.example.app", Environments: []string{"production", "sandbox"}, Rate: 500,
			Paused: true, Note: "wrong link", PausedAt: ago(5 * time.Minute),
			Holds: []api.AppHold{{Environment: "production", Reason: "403 InvalidProviderToken"}, {Environment: "sandbox", Reason: "no answer", Until: ago(-time.Minute)}},
			Lanes: []api.AppLane{
				{Environment: "production", Lane: "urgent", Verdicts: map[string]int64{"accepted": 1000}},
				{
					Environment: "production", Lane: "bulk", QueuedChunks: 12, QueuedBytes: 3 << 20, OldestQueued: ago(50 * time.Hour), UnderWay: 1024, Connections: 1,
					Verdicts: map[string]int64{"accepted": 234, "rejected": 2}, Reasons: []api.ReasonCount{{Reason: "BadDeviceToken", Count: 2, Action: "fix", Advice: "Check it."}},
				},
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"aviso v1, up for 3 h\n", "log on disk        5 MiB of 1 GiB, full: nothing is accepted until there is space\n", "not sent to        1 dead device token\n", "set aside          2 chunks that cannot be read; the log says more\n",
		"shop  com.example.app  production and sandbox, at most 500 a second\n", "  paused for 5 min: wrong link; aviso app resume shop goes on\n",
		"  held in production, until aviso app resume shop, once that is put right: 403 InvalidProviderToken\n", "  held in sandbox, tried again at ",
		"  production, urgent: nothing queued, 0 under way, 0 connections\n", "  production, bulk: 12 chunks (3 MiB) queued, the oldest for 2 days, 1,024 under way, 1 connection\n",
		"  accepted by APNs            1,234\n", "  rejected                        2\n", "    BadDeviceToken                   2\n      fix. Check it.\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

// A delivery says how it got where it is.
func TestPrintDelivery(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	err := a.printDelivery(&api.Delivery{
		ID: "0190e8f2-6f3a-7c3e-9b1d-2f0a4c5d6e7f", Message: "msg_x", App: "shop", Environment: "sandbox", Lane: "normal", DeviceToken: someDevice,
		Verdict: api.Verdict{State: "retrying", At: at, Attempts: 2, Detail: "connection lost", RetryAt: new(at.Add(time.Minute))},
		History: []api.Verdict{{State: "retrying", At: at, Attempts: 1, Status: 503, Reason: "ServiceUnavailable", RetryAt: &at}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"app shop, sandbox, lane normal, of msg_x\n", "  2026-01-31T12:00:00Z  retrying: 503 ServiceUnavailable, again at 2026-01-31T12:00:00Z\n",
		"  retrying\n", "attempts        2\n", "due             2026-01-31T12:01:00Z\n", "why             connection lost\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), someDevice) {
		t.Error("the device token is there in full")
	}
}

// A message says where it went, and what to do about what did not arrive.
func TestPrintMessage(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
	err := a.printMessage(t.Context(), nil, &api.Message{
		ID: "msg_x", App: "shop", Environment: "production", Lane: "bulk", Count: 20, Accepted: 19, States: map[string]int{"accepted": 18, "rejected": 1},
		Reasons: []api.ReasonCount{{Reason: "BadDeviceToken", Count: 1, Action: "fix", Advice: "Check it."}}, Done: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"msg_x  done of app shop, production, lane bulk\n", "  accepted by APNs               18\n", "  refused here                    1\n", "    BadDeviceToken                   1\n      fix. Check it.\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, &out)
		}
	}
}

// What a server says and what a client of our own says are the same to scripts.
func TestDeliveryVerdicts(t *testing.T) {
	for state, want := range map[string]struct {
		outcome apns.Outcome
		code    int
	}{
		"accepted": {apns.Accepted, ExitOK}, "rejected": {apns.Rejected, ExitRejected}, "expired": {apns.NotSent, ExitUnreachable},
		"cancelled": {apns.NotSent, ExitUnreachable}, "unknown": {apns.Unknown, ExitUnreachable},
		"queued": {0, ExitUnreachable}, "scheduled": {0, ExitUnreachable}, "sending": {0, ExitUnreachable}, "retrying": {0, ExitUnreachable},
	} {
		v := deliveryVerdict(&api.Delivery{Verdict: api.Verdict{State: state}})
		if v.Outcome != want.outcome || v.exitCode() != want.code {
			t.Errorf("%s: %v, exit code %d", state, v.Outcome, v.exitCode())
		}
	}
}

package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/bits"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"aviso.example/apnstest"
	"aviso.example/sim"
)

// rig is a simulator with the files that a batch needs.
type rig struct {
	*apnstest.Server
	dir string
}

func newRig(t *testing.T, options ...apnstest.Option) *rig {
	r := &rig{apnstest.Start(t, options...), t.TempDir()}
	r.file(t, "ca.pem", string(r.CAPEM))
	r.file(t, "AuthKey_"+r.KeyID+".p8", string(r.KeyPEM))
	return r
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) file(t *testing.T, name, content string) string {
	t.Helper()
	if err := os.WriteFile(r.path(name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return r.path(name)
}

// send is the command line of a batch, to be run as a process of its own.
func (r *rig) send(args ...string) *exec.Cmd {
	return exec.Command("aviso", append([]string{
		"send", "--json", "--endpoint", r.Endpoint, "--ca", r.path("ca.pem"),
		"--key", r.path("AuthKey_" + r.KeyID + ".p8"), "--team", r.TeamID, "--topic", r.Topic}, args...)...)
}

// deviceOfLine makes a device token that tells the line.
func deviceOfLine(n int) string { return fmt.Sprintf("%064x", n) }

func lines(from, to int) string {
	var b strings.Builder
	for n := from; n <= to; n++ {
		fmt.Fprintf(&b, `{"to":"%s","title":"%d"}`+"\n", deviceOfLine(n), n)
	}
	return b.String()
}

// settledIn reads the state file as documented.
func settledIn(t *testing.T, path string) (settled map[int]bool, count int) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	settled = map[int]bool{}
	for at, octet := range b[resumeHeader:] {
		count += bits.OnesCount8(octet)
		for bit := range 8 {
			if octet&(1<<bit) != 0 {
				settled[at*8+bit] = true
			}
		}
	}
	return settled, count
}

// A batch is killed again and again. No line is lost, none is sent again whose
// outcome was known, and no more are sent twice than may be on their way.
func TestResumeAfterKill(t *testing.T) {
	t.Parallel()
	const total = 12000
	server := newRig(t, func(c *sim.Config) {
		c.MaxStreams, c.RoundTrip = 100, 10*time.Millisecond // slow enough to be interrupted
	})
	// Every seventh device is gone, so that --failures has something to keep.
	for n := 7; n <= total; n += 7 {
		if err := server.Devices().Put(sim.Device{DeviceToken: deviceOfLine(n), State: sim.Unregistered}, server.Now()); err != nil {
			t.Fatal(err)
		}
	}
	batch := server.file(t, "batch.ndjson", lines(1, total))
	state, failures := server.path("state"), server.path("failures.ndjson")
	args := []string{"--batch", batch, "--resume", state, "--failures", failures}

	settled, known := map[int]bool{}, 0
	sentAtKill := 0
	for _, at := range []uint64{1500, 4000, 7000} {
		cmd := server.send(args...)
		// However late the kill comes, it finds the run in the middle.
		held := server.AddFault(t, sim.Fault{Kind: sim.FaultSilence, After: int(at) + 2000 - sentAtKill})
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		server.WaitForPush(t, sim.Filter{After: at})
		cmd.Process.Kill()
		cmd.Wait()
		server.RemoveFault(held)
		// Nothing that had an outcome before was sent by this run.
		pushes := server.Pushes(sim.Filter{After: uint64(sentAtKill)})
		for _, p := range pushes {
			if n := lineOf(t, p); settled[n] {
				t.Fatalf("line %d had its outcome and was sent again", n)
			}
		}
		sentAtKill += len(pushes)
		before := known
		if settled, known = settledIn(t, state); known <= before {
			t.Errorf("the run up to push %d settled nothing", at)
		}
	}

	out, err := server.send(args...).Output()
	if code := exitCodeOf(err); code != ExitRejected {
		t.Fatalf("exit code %d: %s", code, out)
	}
	var sum struct{ Lines, Skipped, Accepted, Rejected int }
	if err := json.Unmarshal(out, &sum); err != nil {
		t.Fatal(err)
	}
	if sum.Skipped != known || sum.Lines != total-known {
		t.Errorf("the last run skipped %d lines and sent %d; %d were settled of %d", sum.Skipped, sum.Lines, known, total)
	}
	times := map[int]int{}
	for _, p := range server.Pushes(sim.Filter{}) {
		n := lineOf(t, p)
		times[n]++
		if p.Sequence > uint64(sentAtKill) && settled[n] {
			t.Errorf("line %d had its outcome and was sent again", n)
		}
	}
	twice := 0
	for n := 1; n <= total; n++ {
		if times[n] == 0 {
			t.Errorf("line %d was never sent", n)
		}
		twice += max(0, times[n]-1)
	}
	if limit := 3 * resumeWindow; twice > limit {
		t.Errorf("%d lines were sent twice; %d is the limit for three kills", twice, limit)
	}
	t.Logf("after three kills, %d of %d lines were sent twice", twice, total)

	// All that was rejected is listed.
	text, err := os.ReadFile(failures)
	if err != nil {
		t.Fatal(err)
	}
	listed := map[int]bool{}
	for row := range bytes.Lines(text) {
		var f failure
		if err := json.Unmarshal(row, &struct {
			*failure
			Outcome string `json:"outcome"`
		}{failure: &f}); err != nil {
			t.Fatalf("%s: %v", row, err)
		}
		listed[int(f.Line)] = true
	}
	for n := 7; n <= total; n += 7 {
		if !listed[n] {
			t.Errorf("line %d was rejected and is not listed", n)
		}
	}
	if len(listed) != total/7 {
		t.Errorf("%d lines are listed, want %d", len(listed), total/7)
	}
}

func lineOf(t *testing.T, p sim.Push) (n int) {
	t.Helper()
	if _, err := fmt.Sscanf(p.DeviceToken, "%x", &n); err != nil {
		t.Fatal(err)
	}
	return n
}

func exitCodeOf(err error) int {
	if exit, ok := err.(*exec.ExitError); ok {
		return exit.ExitCode()
	}
	if err != nil {
		return -1
	}
	return 0
}

// Ctrl-C ends a batch whose input is a pipe that says nothing: what was read is
// sent and counted.
func TestInterruptBatch(t *testing.T) {
	t.Parallel()
	server := newRig(t, func(c *sim.Config) { c.RoundTrip = 20 * time.Millisecond })
	cmd := server.send("--batch", "-", "--resume", server.path("state"))
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	// --resume looks at the beginning of its input, so there has to be one.
	const total = 2000
	if _, err := in.Write([]byte(lines(1, total))); err != nil {
		t.Fatal(err)
	}
	server.WaitForPush(t, sim.Filter{After: 200})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := exitCodeOf(cmd.Wait()); code != ExitUnreachable {
		t.Fatalf("exit code %d: %s", code, out.String())
	}
	var sum struct {
		Lines, Accepted int
		Stopped         string
	}
	if err := json.Unmarshal(out.Bytes(), &sum); err != nil {
		t.Fatalf("%v: %s", err, out.String())
	}
	if sum.Stopped != "interrupted" || sum.Accepted != sum.Lines {
		t.Errorf("%+v", sum)
	}
	if got := len(server.Pushes(sim.Filter{})); got != sum.Lines {
		t.Errorf("%d pushes arrived, and %d lines were counted", got, sum.Lines)
	}
	if _, known := settledIn(t, server.path("state")); known != sum.Lines {
		t.Errorf("%d lines are settled, and %d were counted", known, sum.Lines)
	}
}

// A second signal does not wait.
func TestInterruptTwice(t *testing.T) {
	t.Parallel()
	server := newRig(t)
	server.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
	cmd := server.send("--batch", server.file(t, "batch.ndjson", lines(1, 10)))
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	server.WaitForPush(t, sim.Filter{})
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for {
		cmd.Process.Signal(os.Interrupt)
		select {
		case err := <-ended:
			if exit, ok := err.(*exec.ExitError); !ok || exit.Exited() {
				t.Errorf("it ended with %v, and not by the signal", err)
			}
			return
		case <-time.After(100 * time.Millisecond):
		case <-t.Context().Done():
		}
	}
}

func TestResumeState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "state")
	input := strings.Repeat("line\n", 20000) // more than the fingerprint
	open := func(input, endpoint string) (*resumeState, error) {
		s, in, err := openResume(path, endpoint, strings.NewReader(input))
		if err == nil {
			var got bytes.Buffer
			if _, err := got.ReadFrom(in); err != nil || got.String() != input {
				t.Error("the input is not whole any more")
			}
		}
		return s, err
	}
	s, err := open(input, "a:1")
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int64{1, 8, 9, 100000, 5} {
		if s.has(n) {
			t.Errorf("line %d is settled already", n)
		}
		if err := s.record(n); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := open(input, "a:1"); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("opened twice: %v", err)
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct{ input, endpoint, want string }{
		"other endpoint": {input, "b:1", "belongs to a run that sent to a:1"},
		"other input":    {"x" + input, "a:1", "belongs to another input"},
		"shorter input":  {input[:100], "a:1", "belongs to another input"},
	} {
		if _, err := open(test.input, test.endpoint); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Lines may have been added.
	s, err = open(input+"more\n", "a:1")
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[int64]bool{0: false, 1: true, 2: false, 5: true, 8: true, 9: true, 10: false, 99999: false, 100000: true, 1 << 40: false} {
		if s.has(n) != want {
			t.Errorf("line %d: %v", n, !want)
		}
	}
	if err := s.record(maxResumeLines); err == nil {
		t.Error("recorded a line beyond the limit")
	}
	if err := s.close(); err != nil {
		t.Fatal(err)
	}

	// A header that is cut anywhere, or is something else, is refused.
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n < resumeHeader; n += 37 {
		if err := os.WriteFile(path, whole[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := open(input, "a:1"); err == nil || !strings.Contains(err.Error(), "not the state of a batch") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
}

// An input that fails is an error, but not before what was read is sent.
func TestBatchInputFails(t *testing.T) {
	server := newRig(t)
	var out, errs bytes.Buffer
	a := &app{
		stdin: &failingReader{strings.NewReader(lines(1, 3))}, stdout: &out, stderr: &errs,
		getenv: func(string) string { return "" },
	}
	args := server.send("--batch", "-").Args[1:]
	if code := a.run(context.Background(), args); code != ExitFailure {
		t.Errorf("exit code %d: %s", code, errs.String())
	}
	if !strings.Contains(out.String(), `"accepted":3`) || !strings.Contains(errs.String(), "after line 3: the disk is gone") {
		t.Errorf("%s%s", out.String(), errs.String())
	}
}

type failingReader struct{ *strings.Reader }

func (r *failingReader) Read(p []byte) (int, error) {
	if r.Len() == 0 {
		return 0, fmt.Errorf("the disk is gone")
	}
	return r.Reader.Read(p)
}

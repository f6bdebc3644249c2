package cli

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"aviso.example/engine"
	"aviso.example/internal/api"
	"aviso.example/internal/await"
	"aviso.example/sim"
)

// served is `aviso serve` as a process of its own.
type served struct {
	cmd *exec.Cmd
	url string
	out *logWatch
}

func serveProcess(t *testing.T, file string, args ...string) *served {
	t.Helper()
	s := &served{cmd: exec.Command("aviso", append([]string{"serve", "--config", file}, args...)...), out: newLogWatch()}
	s.cmd.Stderr = s.out
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill(); s.cmd.Wait() })
	r := bufio.NewReader(stdout)
	line, err := r.ReadString('\n')
	found := regexp.MustCompile(`^ready api (http://\S+)\n$`).FindStringSubmatch(line)
	if err != nil || found == nil {
		t.Fatalf("%q %v: %s", line, err, s.out.text.String())
	}
	go io.Copy(io.Discard, r)
	s.url = found[1]
	return s
}

// end sends a signal and expects the process to end well.
func (s *served) end(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, s.out.text.String())
	}
}

// Under load, keys change on SIGHUP and the server ends on SIGTERM. Whatever was
// accepted has its verdict after the next start, and nothing was sent twice.
func TestServeSignals(t *testing.T) {
	t.Parallel()
	second, option := withSecondKey(t)
	apple := newRig(t, option, func(c *sim.Config) { c.RoundTrip = 20 * time.Millisecond })
	key := apple.file(t, "key.p8", string(apple.KeyPEM))
	file := apple.file(t, "aviso.yaml", apple.configFor(key, apple.KeyID))
	s := serveProcess(t, file)
	apiKey, err := readAPIKeyFile(apple.path(filepath.Join("data", apiKeyName)))
	if err != nil {
		t.Fatal(err)
	}

	client := &apiClient{base: s.url, key: apiKey, http: newHTTPClient()}
	defer client.close()
	var mu sync.Mutex
	var accepted []string
	var next, asked atomic.Int64
	var workers sync.WaitGroup
	for range 4 {
		workers.Go(func() {
			for {
				to := []string{deviceOfLine(int(next.Add(2))), deviceOfLine(int(next.Add(2) - 1))}
				var receipt api.MessageReceipt
				if err := client.ask(t.Context(), http.MethodPost, "/v1/messages", map[string]any{"to": to, "title": "x"}, &receipt); err != nil {
					return // the server has ended, or is about to
				}
				mu.Lock()
				accepted = append(accepted, receipt.ID)
				mu.Unlock()
				asked.Add(1)
			}
		})
	}
	apple.WaitForPush(t, sim.Filter{Outcome: sim.Accepted})

	// Both files change, each at its own time; SIGHUP may come in between.
	write(t, key, string(second.PEM()))
	write(t, file, apple.configFor(key, second.KeyID()))
	if err := s.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.out.wait(t, "configuration loaded")
	waitForKey(t, apple, second.KeyID())
	at := asked.Load()
	for asked.Load() < at+50 {
		apple.WaitForPush(t, sim.Filter{After: apple.Stats().Requests})
	}

	s.end(t, syscall.SIGTERM)
	if said := s.out.text.String(); strings.Contains(said, "not everything that was under way has ended") {
		t.Errorf("it ended with its grace, and not with the last answer: %s", said)
	}
	workers.Wait()

	// The next one finishes what this one left.
	s = serveProcess(t, file)
	client.base = s.url
	for _, id := range accepted {
		parsed, err := engine.ParseMessageID(id)
		if err != nil {
			t.Fatal(err)
		}
		var m api.Message
		if err := poll(t.Context(), time.Until(await.Deadline(t)), func() (bool, error) {
			err := client.ask(t.Context(), http.MethodGet, "/v1/messages/"+id, nil, &m)
			return m.Done, err
		}); err != nil {
			t.Fatal(err)
		}
		if m.States["accepted"] != parsed.Count {
			t.Fatalf("%s: %+v", id, m)
		}
	}
	if n := apple.Stats().Duplicates; n > 0 {
		t.Errorf("%d notifications were sent twice", n)
	}
	s.end(t, os.Interrupt)
	t.Logf("%d messages", len(accepted))
}

// What does not end in time stays on disk; what is being sent of a batch by then
// is on disk too. The exit code is that of success.
func TestServeGrace(t *testing.T) {
	t.Parallel()
	apple := newRig(t)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
	file := apple.file(t, "aviso.yaml", apple.configFor("AuthKey_"+apple.KeyID+".p8", apple.KeyID))
	s := serveProcess(t, file, "--grace", "300ms")
	apiKey, err := readAPIKeyFile(apple.path(filepath.Join("data", apiKeyName)))
	if err != nil {
		t.Fatal(err)
	}
	client := &apiClient{base: s.url, key: apiKey, http: newHTTPClient()}
	defer client.close()
	var receipt api.MessageReceipt
	if err := client.ask(t.Context(), http.MethodPost, "/v1/messages", map[string]any{"to": someDevice, "title": "x"}, &receipt); err != nil {
		t.Fatal(err)
	}
	apple.WaitForPush(t, sim.Filter{})
	// A batch whose end never comes.
	body, lines := io.Pipe()
	defer lines.Close()
	var uploading sync.WaitGroup
	uploading.Go(func() {
		client.send(t.Context(), http.MethodPost, "/v1/batches", "application/x-ndjson", body, nil)
	})
	if _, err := lines.Write([]byte(`{"to":"` + deviceOfLine(1) + `","title":"of the batch"}` + "\n")); err != nil {
		t.Fatal(err)
	}
	var batches api.Batches
	if err := poll(t.Context(), time.Until(await.Deadline(t)), func() (bool, error) {
		err := client.ask(t.Context(), http.MethodGet, "/v1/batches", nil, &batches)
		return len(batches.Batches) > 0, err
	}); err != nil || len(batches.Batches) == 0 {
		t.Fatal(err, "no batch has begun")
	}

	// Neither the push nor the batch ever ends by itself.
	s.end(t, syscall.SIGTERM)
	s.out.wait(t, "not everything that was under way has ended")
	lines.Close()
	uploading.Wait()

	apple.ClearFaults()
	s = serveProcess(t, file)
	client.base = s.url
	var m api.Message
	if err := poll(t.Context(), time.Until(await.Deadline(t)), func() (bool, error) {
		err := client.ask(t.Context(), http.MethodGet, "/v1/messages/"+receipt.ID, nil, &m)
		return m.Done, err
	}); err != nil || m.States["accepted"] != 1 {
		t.Errorf("%v %+v", err, m)
	}
	var b json.RawMessage
	if err := poll(t.Context(), time.Until(await.Deadline(t)), func() (bool, error) {
		err := client.ask(t.Context(), http.MethodGet, "/v1/batches/"+batches.Batches[0].ID, nil, &b)
		return strings.Contains(string(b), `"done":true`), err
	}); err != nil || !strings.Contains(string(b), `"broken":"`) || !strings.Contains(string(b), `"outcomes":{"accepted":1`) {
		t.Errorf("%v %s", err, b)
	}
	s.end(t, syscall.SIGTERM)
}

// A second signal ends the process at once.
func TestServeSecondSignal(t *testing.T) {
	t.Parallel()
	apple := newRig(t)
	apple.AddFault(t, sim.Fault{Kind: sim.FaultSilence})
	file := apple.file(t, "aviso.yaml", apple.configFor("AuthKey_"+apple.KeyID+".p8", apple.KeyID))
	s := serveProcess(t, file, "--grace", "1m")
	apiKey, err := readAPIKeyFile(apple.path(filepath.Join("data", apiKeyName)))
	if err != nil {
		t.Fatal(err)
	}
	client := &apiClient{base: s.url, key: apiKey, http: newHTTPClient()}
	defer client.close()
	if err := client.ask(t.Context(), http.MethodPost, "/v1/messages", map[string]any{"to": someDevice, "title": "x"}, nil); err != nil {
		t.Fatal(err)
	}
	apple.WaitForPush(t, sim.Filter{})
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.out.wait(t, "stopping")
	ended := make(chan error, 1)
	go func() { ended <- s.cmd.Wait() }()
	tick := time.NewTicker(20 * time.Millisecond) // one that comes with the first is the same
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.cmd.Process.Signal(syscall.SIGTERM)
			continue
		case err := <-ended:
			if err == nil {
				t.Error("it ended well, and not by the signal")
			}
		}
		break
	}
}

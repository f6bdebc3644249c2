package interop

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// oldGateway starts `aviso gateway` in front of a simulator, for the program whose
// certificate openssl made, and returns where it listens.
func oldGateway(t *testing.T, keys *pki, s *simulator) (address, feedback string) {
	t.Helper()
	config := filepath.Join(t.TempDir(), "aviso.yaml")
	writeFile(t, config, fmt.Sprintf(`
gateway: {certificate: %s}
apps:
  old:
    bundle_id: %s
    environment: sandbox
    key: %s
    team: %s
    endpoint: %s
    ca: %s
    gateway_certificates: %s
`, keys.serverBoth, bundleID, keys.signingKey, teamID, s.addr, s.ca, keys.clientCert))
	path, err := aviso()
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, path, "gateway", "--config", config, "--listen", "127.0.0.1:0", "--feedback", "127.0.0.1:0")
	t.Cleanup(func() { // runs before the process is ended
		p.Process.Signal(syscall.SIGTERM)
		<-p.ended
		if code := p.ProcessState.ExitCode(); code != 0 {
			t.Errorf("aviso gateway ended with %d on SIGTERM", code)
		}
	})
	waitFor(t, "aviso gateway", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("aviso gateway ended:\n%s", p.out)
		default:
		}
		for line := range strings.Lines(p.out.String()) {
			if words := strings.Fields(line); len(words) == 3 && words[0] == "ready" {
				switch words[1] {
				case "gateway":
					address = words[2]
				case "feedback":
					feedback = words[2]
				}
			}
		}
		return address != "" && feedback != ""
	})
	return address, feedback
}

// TestGatewayAndApn1: npm's apn 1.7.8, a provider of 2016 with its own replay and
// nobody's idea of this gateway, sends 10,000 notifications of which one in a hundred
// has a device token of the other environment, and one in a thousand a dead one. Every
// good one is accepted exactly once, every bad one reported, the dead ones are on the
// feedback list.
//
// It remembers 10,000 notifications instead of 1,000 (cacheLength): what a busy
// machine keeps in the sockets of loopback can be more than 1,000, and what a program
// has forgotten it cannot report. A quiet machine needs no such option.
func TestGatewayAndApn1(t *testing.T) {
	const count = 10_000
	bad := func(i int) bool { return i%100 == 37 }
	dead := func(i int) bool { return i%1000 == 512 }
	keys := makePKI(t)
	s := simulate(t, keys)
	prefix := fmt.Sprintf("%048x", 0xabc)
	device := func(i int) string { return prefix + fmt.Sprintf("%016x", i) }
	good := 0
	for i := range count {
		put := map[string]any{"device_token": device(i)}
		switch {
		case bad(i):
			put["environment"] = "production"
		case dead(i):
			put["state"], put["since"] = "unregistered", unregisteredAt
		default:
			good++
			continue
		}
		s.call(t, "PUT", "/sim/v1/devices/"+device(i), put, nil)
	}
	address, feedback := oldGateway(t, keys, s)

	settings := map[string]any{
		"host": "127.0.0.1", "port": json.Number(port(address)), "ca": keys.ca, "cert": keys.clientCert, "key": keys.clientKey,
		"count": count, "prefix": prefix, "expiry": time.Now().Add(time.Hour).Unix(), "silence": 2000,
		"options": map[string]any{"cacheLength": 10_000},
	}
	var told struct {
		Failed []struct {
			Status, Number int
			Device         string
		}
		Forgotten, Connections int
		SocketErrors           []string
	}
	runScript(t, "apn1.cjs", settings, &told)

	reported := map[int]bool{}
	for _, f := range told.Failed {
		if !bad(f.Number) || f.Status != 8 || f.Device != device(f.Number) || reported[f.Number] {
			t.Errorf("reported: %+v", f)
		}
		reported[f.Number] = true
	}
	if len(reported) != count/100 || told.Forgotten > 0 || len(told.SocketErrors) > 0 {
		t.Errorf("%d of %d bad ones were reported; %d packets named something forgotten; socket errors %q", len(reported), count/100, told.Forgotten, told.SocketErrors)
	}
	times := map[string]int{}
	for _, p := range s.pushes(t) {
		if p.Outcome == "accepted" {
			times[p.DeviceToken]++
		}
	}
	lost, doubled := 0, 0
	for i := range count {
		switch n := times[device(i)]; {
		case bad(i), dead(i):
		case n == 0:
			lost++
		case n > 1:
			doubled++
		}
	}
	if len(times) != good || lost > 0 || doubled > 0 {
		t.Errorf("of %d good ones %d were accepted, %d not, %d more than once", good, len(times), lost, doubled)
	}
	t.Logf("%d notifications on %d connections: %d accepted once, %d reported", count, told.Connections, len(times), len(reported))

	var list struct {
		Feedback []struct {
			Time   int64
			Device string
		}
	}
	settings["port"] = json.Number(port(feedback))
	runScript(t, "apn1-feedback.cjs", settings, &list)
	for _, f := range list.Feedback {
		if !strings.HasPrefix(f.Device, prefix) || f.Time != unregisteredAt.Unix() {
			t.Errorf("on the feedback list: %+v", f)
		}
	}
	if len(list.Feedback) != count/1000 {
		t.Errorf("the feedback list has %d entries, want %d", len(list.Feedback), count/1000)
	}
}

// sentPush is what these tests want to know of a push.
type sentPush struct {
	Sequence    uint64
	DeviceToken string `json:"device_token"`
	Outcome     string
}

// pushes reads everything that the simulator recorded.
func (s *simulator) pushes(t *testing.T) (all []sentPush) {
	t.Helper()
	for after := uint64(0); ; {
		var page struct{ Pushes []sentPush }
		s.call(t, "GET", fmt.Sprintf("/sim/v1/pushes?limit=10000&after=%d", after), nil, &page)
		if len(page.Pushes) == 0 {
			return all
		}
		all = append(all, page.Pushes...)
		after = all[len(all)-1].Sequence
	}
}

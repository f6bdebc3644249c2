package interop

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// nodeResult is what the scripts in node/ print.
type nodeResult struct {
	Sent   int
	Failed []nodeFailure

	// Of the scripts about channels.
	Channel string
	Policy  int
	All     []string
	Unique  bool
}

type nodeFailure struct {
	Device, Reason, Error string
	Status, Timestamp     int64
}

// runNode runs one of the scripts in node/ against a simulator.
func runNode(t *testing.T, s *simulator, script string, settings map[string]any) (result nodeResult) {
	t.Helper()
	settings["host"], settings["port"], settings["ca"], settings["topic"] = "127.0.0.1", json.Number(port(s.addr)), s.ca, bundleID
	runScript(t, script, settings, &result)
	return result
}

// runScript runs a script of node/ with its settings, and reads what it prints.
func runScript(t *testing.T, script string, settings map[string]any, result any) {
	t.Helper()
	if _, err := os.Stat("node/node_modules"); err != nil {
		t.Fatal("node/node_modules is missing; `make interop` installs it")
	}
	input, err := json.Marshal(settings)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), find(t, "node"), script)
	cmd.Dir = "node"
	cmd.Env = append(os.Environ(), "SETTINGS="+string(input), "NODE_EXTRA_CA_CERTS="+fmt.Sprint(settings["ca"]))
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	timer := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.Output()
	if err == nil {
		err = json.Unmarshal(out, result)
	}
	if err != nil {
		t.Fatalf("%s: %v\n%s\n%s", script, err, out, stderr.String())
	}
}

// TestSimulatorAndNode runs the two provider libraries of Node.js that are kept
// up. node/package-lock.json pins them.
func TestSimulatorAndNode(t *testing.T) {
	const devices, times = 100, 10
	keys := makePKI(t)
	credentials := map[string]map[string]any{
		"provider token": {"key": keys.signingKey, "keyId": keyID, "teamId": teamID},
		"certificate":    {"cert": keys.clientCert, "certKey": keys.clientKey},
	}
	// First one active device, then those that fail and the rest.
	list := []string{activeDevice, unregisteredDevice, "12"}
	for i := range devices - 1 {
		list = append(list, deviceToken(i))
	}
	for _, script := range []string{"node-apn.cjs", "hapns.mjs"} {
		for name, credential := range credentials {
			t.Run(script+" with "+name, func(t *testing.T) {
				s := simulate(t, keys)
				settings := map[string]any{"devices": list, "times": times + 1, "calm": true}
				for k, v := range credential {
					settings[k] = v
				}
				rounds := times
				if script == "hapns.mjs" {
					rounds++ // it needs no calm start: one request for each connection
				}
				result := runNode(t, s, script, settings)
				unregistered, bad := 0, 0
				for _, f := range result.Failed {
					reason := strings.TrimSuffix(f.Reason, "Error") // hapns makes names of errors from Apple's words
					switch {
					case f.Device == unregisteredDevice && reason == "Unregistered" && (f.Timestamp == 0 || f.Timestamp == unregisteredAt.UnixMilli()):
						unregistered++
					case f.Device == "12" && reason == "BadDeviceToken":
						bad++
					case !t.Failed():
						t.Errorf("failed: %+v", f)
					}
				}
				sent := devices * rounds
				if rounds == times {
					sent++
				}
				if result.Sent != sent || unregistered != rounds || bad != rounds {
					t.Errorf("sent %d, unregistered %d, bad %d; want %d, %d, %d", result.Sent, unregistered, bad, sent, rounds, rounds)
				}
				s.want(t, sent)
			})
		}
	}
	// A new connection of a provider token has one stream, and node-apn writes before it
	// has heard of that. With APNs such bursts lose nothing, by the reports there are.
	t.Run("node-apn.cjs in a hurry", func(t *testing.T) {
		const burst = 5_000
		s := simulate(t, keys)
		settings := map[string]any{"devices": list[:1], "times": 1, "burst": burst}
		for k, v := range credentials["provider token"] {
			settings[k] = v
		}
		result := runNode(t, s, "node-apn.cjs", settings)
		if result.Sent != burst || len(result.Failed) > 0 {
			t.Errorf("sent %d of %d, failed %d, such as %+v", result.Sent, burst, len(result.Failed), result.Failed[:min(1, len(result.Failed))])
		}
		s.want(t, burst)
	})
}

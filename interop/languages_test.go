package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestSimulatorAndOtherLanguages runs provider libraries that people use with Apple and
// that an APNs which is stricter than Apple's refuses: pushy (Java) signs in DER, kalyke
// (Python) writes iat as text, aioapns (Python) sends a first burst.
func TestSimulatorAndOtherLanguages(t *testing.T) {
	const devices, times = 100, 10
	keys := makePKI(t)
	list := []string{unregisteredDevice, "12"}
	for i := range devices {
		list = append(list, deviceToken(i))
	}
	for name, test := range map[string]struct {
		times int
		run   func(*testing.T, *simulator, []string, int) []byte
	}{
		"pushy": {times, func(t *testing.T, s *simulator, list []string, times int) []byte {
			return runPushy(t, s, keys, list, times)
		}},
		"aioapns": {times, func(t *testing.T, s *simulator, list []string, times int) []byte {
			return runPython(t, s, keys, "aioapns_send.py", list, times)
		}},
		// It makes a connection, and reads all trusted certificates, for each push.
		"kalyke": {2, func(t *testing.T, s *simulator, list []string, times int) []byte {
			return runPython(t, s, keys, "kalyke_send.py", list, times)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := simulate(t, keys)
			var result nodeResult
			if out := test.run(t, s, list, test.times); json.Unmarshal(out, &result) != nil {
				t.Fatalf("it printed %s", out)
			}
			unregistered, bad := 0, 0
			for _, f := range result.Failed {
				switch {
				case f.Device == unregisteredDevice && f.Reason == "Unregistered" && (f.Timestamp == 0 || f.Timestamp == unregisteredAt.UnixMilli()):
					unregistered++
				case f.Device == "12" && f.Reason == "BadDeviceToken":
					bad++
				case !t.Failed():
					t.Errorf("failed: %+v", f)
				}
			}
			if result.Sent != devices*test.times || unregistered != test.times || bad != test.times {
				t.Errorf("sent %d, unregistered %d, bad %d; want %d, %d, %d", result.Sent, unregistered, bad, devices*test.times, test.times, test.times)
			}
			s.want(t, devices*test.times)
		})
	}
}

func runPython(t *testing.T, s *simulator, keys *pki, script string, list []string, times int) []byte {
	t.Helper()
	python := filepath.Join("python", "venv", "bin", "python")
	if _, err := os.Stat(python); err != nil {
		t.Fatal(python + " is missing; `make interop` installs it")
	}
	port, err := strconv.Atoi(port(s.addr))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]any{
		"host": "127.0.0.1", "port": port, "ca": s.ca, "key": keys.signingKey, "keyId": keyID, "teamId": teamID, "topic": bundleID, "devices": list, "times": times,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, filepath.Join("python", script))
	cmd.Env = append(os.Environ(), "SETTINGS="+string(settings), "SSL_CERT_FILE="+s.ca)
	return outputOf(t, cmd)
}

func runPushy(t *testing.T, s *simulator, keys *pki, list []string, times int) []byte {
	t.Helper()
	if _, err := os.Stat("java/out/classes/Push.class"); err != nil {
		t.Fatal("java/out/classes/Push.class is missing; `make interop` makes it")
	}
	args := append([]string{"-cp", "java/out/classes:java/out/lib/*", "Push", "127.0.0.1", port(s.addr), s.ca, keys.signingKey, teamID, keyID, bundleID, strconv.Itoa(times)}, list...)
	return outputOf(t, exec.CommandContext(t.Context(), find(t, "java"), args...))
}

// outputOf runs a program to its end, within a bound of time.
func outputOf(t *testing.T, cmd *exec.Cmd) []byte {
	t.Helper()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	timer := time.AfterFunc(2*patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, out, stderr.String())
	}
	return out
}

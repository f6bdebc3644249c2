package interop

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Devices of the simulator. An unknown one that is well-formed appears by
// itself, as an active device.
var (
	activeDevice       = strings.Repeat("a1", 32)
	unregisteredDevice = strings.Repeat("b2", 32)
	// unregisteredAt has milliseconds, as Apple's timestamps do.
	unregisteredAt = time.UnixMilli(1_700_000_000_123)
)

// aviso returns the path of the command, built once. That it is a process of
// its own is the point: it is what users in other languages test against.
var aviso = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "aviso-interop")
	if err != nil {
		return "", err
	}
	builtIn = dir
	return filepath.Join(dir, "aviso"), nil
})

var builtIn string

func TestMain(m *testing.M) {
	code := m.Run()
	if builtIn != "" {
		os.RemoveAll(builtIn)
	}
	os.Exit(code)
}

// simulator is a running `aviso simulate`.
type simulator struct {
	addr, api string
	ca        string // file
}

// simulate starts `aviso simulate`, which verifies provider tokens with the key
// that openssl made, and adds a device that is no longer registered.
func simulate(t *testing.T, keys *pki, args ...string) *simulator {
	t.Helper()
	path, err := aviso()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		run(t, "..", "go", "build", "-o", path, "./cmd/aviso")
	}
	s := &simulator{ca: filepath.Join(t.TempDir(), "ca.pem")}
	p := start(t, path, append([]string{
		"simulate", "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0", "--ca-out", s.ca,
		"--key", keys.signingKey, "--team", teamID, "--topic", bundleID,
	}, args...)...)
	t.Cleanup(func() { // runs before the process is ended
		p.Process.Signal(syscall.SIGTERM)
		<-p.ended
		if code := p.ProcessState.ExitCode(); code != 0 {
			t.Errorf("aviso simulate ended with %d on SIGTERM", code)
		}
	})
	waitFor(t, "aviso simulate", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("aviso simulate ended:\n%s", p.out)
		default:
		}
		for line := range strings.Lines(p.out.String()) {
			if words := strings.Fields(line); len(words) == 3 && words[0] == "ready" {
				switch words[1] {
				case "apns":
					s.addr = words[2]
				case "api":
					s.api = words[2]
				}
			}
		}
		return s.addr != "" && s.api != ""
	})
	s.call(t, "PUT", "/sim/v1/devices/"+unregisteredDevice, map[string]any{
		"device_token": unregisteredDevice, "topics": []string{bundleID},
		"state": "unregistered", "since": unregisteredAt,
	}, nil)
	return s
}

// call speaks to the test API.
func (s *simulator) call(t *testing.T, method, path string, in, out any) {
	t.Helper()
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, s.api+path, body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode/100 != 2 {
		t.Fatalf("%s %s: %s %v\n%s", method, path, res.Status, err, answer)
	}
	if out != nil {
		if err := json.Unmarshal(answer, out); err != nil {
			t.Fatalf("%s %s: %v\n%s", method, path, err, answer)
		}
	}
}

// stats is what the simulator counted, as far as strangers are judged by it.
type stats struct {
	Accepted, Rejected, Malformed, Duplicates int
	ProtocolErrors                            int            `json:"protocol_errors"`
	ByReason                                  map[string]int `json:"by_reason"`
}

// want fails the test unless the simulator accepted so many pushes and found no
// fault with how they came.
func (s *simulator) want(t *testing.T, accepted int) stats {
	t.Helper()
	var got stats
	s.call(t, "GET", "/sim/v1/stats", nil, &got)
	if got.Accepted != accepted || got.Malformed != 0 || got.Duplicates != 0 || got.ProtocolErrors != 0 {
		t.Errorf("the simulator counted %+v, want %d accepted and nothing wrong", got, accepted)
	}
	return got
}

// providerToken is made by openssl in a shell.
func providerToken(t *testing.T, key string, issuedAt time.Time) string {
	t.Helper()
	return strings.TrimSpace(run(t, "", "bash", "testdata/provider-token.sh", key, keyID, teamID, itoa(issuedAt.Unix())))
}

func lines(text string) (list []string) {
	for s := bufio.NewScanner(strings.NewReader(text)); s.Scan(); {
		list = append(list, s.Text())
	}
	return list
}

package interop

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// oldPorts are the simulator's two ports of the binary protocol.
type oldPorts struct{ Binary, Feedback string }

func simulateOld(t *testing.T, keys *pki) (*simulator, oldPorts) {
	t.Helper()
	s := simulate(t, keys, "--binary", "127.0.0.1:0", "--feedback", "127.0.0.1:0")
	var ports oldPorts
	s.call(t, "GET", "/sim/v1/info", nil, &ports)
	return s, ports
}

// accepted counts what the simulator took of each device token.
func (s *simulator) accepted(t *testing.T) map[string]int {
	t.Helper()
	var list struct {
		Pushes []struct {
			DeviceToken string `json:"device_token"`
		}
	}
	s.call(t, "GET", "/sim/v1/pushes?protocol=binary&outcome=accepted&limit=10000", nil, &list)
	times := map[string]int{}
	for _, p := range list.Pushes {
		times[p.DeviceToken]++
	}
	return times
}

// TestBinarySimulatorAndApn1: npm's apn 1.7.8, which was written against Apple's
// gateway, with its defaults. One device token in a hundred belongs to the other
// environment: it is told of each of these, and sends again what came after.
func TestBinarySimulatorAndApn1(t *testing.T) {
	const count = 1000
	keys := makePKI(t)
	s, ports := simulateOld(t, keys)
	prefix := fmt.Sprintf("%048x", 0xabc)
	device := func(i int) string { return prefix + fmt.Sprintf("%016x", i) }
	bad := map[string]bool{}
	for i := 37; i < count; i += 100 {
		bad[device(i)] = true
		s.call(t, "PUT", "/sim/v1/devices/"+device(i), map[string]any{"environment": "production"}, nil)
	}
	var result struct {
		Failed []struct {
			Status, Number int
			Device         string
		}
		Forgotten    int
		SocketErrors []string
		Connections  int
	}
	runScript(t, "apn1.cjs", map[string]any{
		"host": "127.0.0.1", "port": json.Number(port(ports.Binary)), "ca": s.ca, "cert": keys.clientCert, "key": keys.clientKey,
		"count": count, "prefix": prefix, "expiry": time.Now().Add(time.Hour).Unix(), "silence": 1000,
	}, &result)
	failed := map[string]int{}
	for _, f := range result.Failed {
		if f.Status != 8 || f.Device != device(f.Number) {
			t.Errorf("number %d: status %d, device token %s", f.Number, f.Status, f.Device)
		}
		failed[f.Device]++
	}
	taken := s.accepted(t)
	for i := range count {
		if d := device(i); bad[d] && (taken[d] != 0 || failed[d] != 1) || !bad[d] && (taken[d] != 1 || failed[d] != 0) {
			t.Errorf("number %d: taken %d times, told of %d failures", i, taken[d], failed[d])
		}
	}
	t.Logf("%d connections, %d times its cache was too small, socket errors %v", result.Connections, result.Forgotten, result.SocketErrors)
}

// sClient connects with `openssl s_client`, writes bytes and returns what came
// until the server closed.
func sClient(t *testing.T, s *simulator, keys *pki, addr string, send []byte) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), find(t, "openssl"), "s_client", "-connect", addr, "-servername", "localhost",
		"-CAfile", s.ca, "-verify_return_error", "-cert", keys.clientCert, "-key", keys.clientKey, "-quiet", "-no_ign_eof")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if _, err := in.Write(send); err != nil {
		t.Fatal(err)
	}
	err = cmd.Wait() // the server closes; standard input stays open till then
	in.Close()
	if err != nil {
		t.Fatalf("s_client: %v\n%s", err, said.String())
	}
	return hex.EncodeToString(out.Bytes())
}

// TestBinarySimulatorAndOpenSSL writes bytes through a TLS client that knows
// nothing of APNs: three commands are taken, the fourth notification is refused,
// the fifth discarded; then the feedback list.
func TestBinarySimulatorAndOpenSSL(t *testing.T) {
	keys := makePKI(t)
	s, ports := simulateOld(t, keys)
	frames := "00" + "0020" + activeDevice + "0002" + "7b7d" +
		"01" + "00000007" + "00000000" + "0020" + unregisteredDevice + "0002" + "7b7d" +
		wire(8) +
		"01" + "01020304" + "00000000" + "0004" + "deadbeef" + "0002" + "7b7d" +
		wire(9)
	send, err := hex.DecodeString(frames)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := sClient(t, s, keys, ports.Binary, send), "08"+"05"+"01020304"; got != want {
		t.Errorf("the packet is %s, want %s", got, want)
	}
	taken := s.accepted(t)
	if len(taken) != 3 || taken[activeDevice] != 1 || taken[unregisteredDevice] != 1 || taken[strings.Repeat("ab", 32)] != 1 {
		t.Errorf("taken: %v", taken)
	}
	since := fmt.Sprintf("%08x", unregisteredAt.Unix())
	for _, want := range []string{since + "0020" + unregisteredDevice, ""} {
		if got := sClient(t, s, keys, ports.Feedback, nil); got != want {
			t.Errorf("the list is %q, want %q", got, want)
		}
	}
}

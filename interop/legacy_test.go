package interop

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"aviso.example/apns"
	"aviso.example/auth"
	"aviso.example/legacy"
)

// sServer is `openssl s_server`: it demands a client certificate, prints what it
// receives, byte for byte, and sends what is written to it. It has never heard of
// the binary protocol.
type sServer struct {
	*process
	addr     string
	received *output
	send     io.WriteCloser
}

func startSServer(t *testing.T, p *pki, connections int) *sServer {
	t.Helper()
	s := &sServer{addr: freeAddr(t), received: &output{}}
	cmd := exec.Command(find(t, "openssl"), "s_server", "-accept", s.addr, "-cert", p.serverCert, "-key", p.serverKey,
		"-Verify", "1", "-verify_return_error", "-CAfile", p.ca, "-quiet", "-naccept", fmt.Sprint(connections))
	s.process = &process{Cmd: cmd, out: &output{}, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = s.received, s.out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var err error
	if s.send, err = cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(func() {
		s.send.Close()
		cmd.Process.Signal(syscall.SIGTERM)
		<-s.ended
		if t.Failed() {
			t.Logf("s_server said:\n%s", s.out)
		}
	})
	// It counts connections, so nobody may knock: the port is listened at when
	// the kernel says so.
	waitFor(t, "s_server listening", func() bool {
		return strings.Contains(string(readFile(t, "/proc/net/tcp")), fmt.Sprintf("0100007F:%04X 00000000:0000 0A", portNumber(t, s.addr)))
	})
	return s
}

func portNumber(t *testing.T, addr string) (n int) {
	t.Helper()
	if _, err := fmt.Sscan(port(addr), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// wire is command 2 as the protocol description has it, with a payload of two
// bytes and priority 10.
func wire(identifier int) string {
	return "02" + "00000033" + "010020" + strings.Repeat("ab", 32) + "020002" + "7b7d" + "030004" + fmt.Sprintf("%08x", identifier) + "050001" + "0a"
}

// three are notifications tagged 1, 2 and 3.
func three(yield func(*apns.Notification) bool) {
	for i := range 3 {
		if !yield(&apns.Notification{DeviceToken: strings.Repeat("ab", 32), Payload: []byte("{}"), Tag: i + 1}) {
			return
		}
	}
}

// The client of the binary protocol against openssl: its frames byte for byte,
// an error packet, and the replay on the next connection, with a .pem, a .p12 and
// an old .p12.
func TestLegacyClientAgainstOpenSSL(t *testing.T) {
	p := makePKI(t)
	both := writeFile(t, p.dir+"/client-both.pem", string(readFile(t, p.clientCert))+string(readFile(t, p.clientKey)))
	for _, file := range []struct{ path, password string }{{both, ""}, {p.clientP12, p12Password}, {p.old, p12Password}} {
		t.Run(file.path[len(p.dir)+1:], func(t *testing.T) {
			s := startSServer(t, p, 2)
			certificate, err := auth.LoadCertificate(file.path, file.password)
			if err != nil {
				t.Fatal(err)
			}
			client, err := legacy.New(legacy.Config{Certificate: certificate, Endpoint: s.addr, ExtraRoots: readFile(t, p.ca)})
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close(t.Context())
			done := make(chan map[any]error, 1)
			go func() {
				outcomes := map[any]error{}
				for r := range client.PushAll(t.Context(), three) {
					outcomes[r.Notification.Tag] = r.Err
				}
				done <- outcomes
			}()
			// The second of three is refused, as soon as all are there.
			all := wire(1) + wire(2) + wire(3)
			waitFor(t, "three notifications", func() bool { return len(s.received.String()) >= len(all)/2 })
			s.send.Write([]byte{8, 8, 0, 0, 0, 2})
			outcomes := <-done
			if outcomes[1] != nil || outcomes[3] != nil || !errors.Is(outcomes[2], legacy.StatusInvalidDeviceToken) {
				t.Errorf("%v", outcomes)
			}
			// The third came again, under another identifier, and nothing else.
			want := all + wire(4)
			if got := hex.EncodeToString([]byte(s.received.String())); got != want {
				t.Errorf("received %s, want %s", got, want)
			}
		})
	}
}

// A client certificate that openssl does not accept is reported at once.
func TestLegacyClientRefusedByOpenSSL(t *testing.T) {
	p, stranger := makePKI(t), makePKI(t)
	s := startSServer(t, p, 10)
	certificate, err := auth.LoadCertificate(stranger.clientP12, p12Password)
	if err != nil {
		t.Fatal(err)
	}
	client, err := legacy.New(legacy.Config{Certificate: certificate, Endpoint: s.addr, ExtraRoots: readFile(t, p.ca)})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close(t.Context())
	_, err = client.Push(t.Context(), &apns.Notification{DeviceToken: strings.Repeat("ab", 32), Payload: []byte("{}")})
	refused, ok := errors.AsType[*apns.ConnectError](err)
	if !ok || apns.OutcomeOf(err) != apns.NotSent || refused.Stage != "tls" {
		t.Errorf("%v: %v", apns.OutcomeOf(err), err)
	}
}

// The feedback client against openssl, which ends without TLS's goodbye.
func TestLegacyFeedbackFromOpenSSL(t *testing.T) {
	p := makePKI(t)
	s := startSServer(t, p, 1)
	certificate, err := auth.LoadCertificate(p.clientP12, p12Password)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		tuple, _ := hex.DecodeString("6955b900" + "0020" + strings.Repeat("ab", 32))
		s.send.Write(bytes.Repeat(tuple, 1000))
		s.send.Close()
	}()
	n := 0
	for entry, err := range legacy.Feedback(t.Context(), legacy.FeedbackConfig{Certificate: certificate, Endpoint: s.addr, ExtraRoots: readFile(t, p.ca)}) {
		if err != nil {
			t.Fatal(err)
		}
		if entry.DeviceToken != strings.Repeat("ab", 32) || entry.Since.Unix() != 1767225600 {
			t.Fatalf("%+v", entry)
		}
		n++
	}
	if n != 1000 {
		t.Errorf("%d entries of 1000", n)
	}
}

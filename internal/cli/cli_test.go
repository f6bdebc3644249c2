package cli

import (
	"bufio"
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"aviso.example/apns"
	"aviso.example/sim"
)

// runCLI runs a command line in this process.
func runCLI(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	a := &app{stdin: strings.NewReader(stdin), stdout: &out, stderr: &errs, getenv: func(string) string { return "" }}
	code = a.run(t.Context(), args)
	return code, out.String(), errs.String()
}

func TestQuote(t *testing.T) {
	for text, want := range map[string]string{
		"": "''", "plain-1.p8": "plain-1.p8", "two words": "'two words'", "it's": `'it'\''s'`, "$HOME": "'$HOME'", "ä": "'ä'", "~/x": "~/x",
	} {
		if got := quote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 1234567: "1,234,567", -1000: "-1,000"} {
		if got := grouped(n); got != want {
			t.Errorf("%d: %s", n, got)
		}
	}
}

func TestIsLoopback(t *testing.T) {
	for address, want := range map[string]bool{
		"127.0.0.1:0": true, "localhost:80": true, "[::1]:0": true, "127.9.9.9:1": true,
		"0.0.0.0:0": false, ":0": false, "[::]:0": false, "192.0.2.1:0": false, "example.com:0": false,
	} {
		if got, err := isLoopback(address); err != nil || got != want {
			t.Errorf("%s: %v %v", address, got, err)
		}
	}
	if _, err := isLoopback("127.0.0.1"); err == nil {
		t.Error("took an address without a port")
	}
}

// A batch that is configured wrongly stops by itself.
func TestHopelessBatches(t *testing.T) {
	server := newRig(t, func(c *sim.Config) { c.Topics = []string{"com.example.app"} })
	for name, test := range map[string]struct {
		line, want string
		code       int
	}{
		"wrong topic": {lines(1, 1), "TopicDisallowed", ExitUnreachable},
		"bad lines":   {`{"to":"aa","titel":"x"}` + "\n", `the first 1000 lines are all wrong (unknown key \"titel\"`, ExitUnreachable},
	} {
		t.Run(name, func(t *testing.T) {
			args := server.send("--batch", "-", "--topic", "com.example.other").Args[1:]
			code, out, errs := runCLI(t, strings.Repeat(test.line, 100_000), args...)
			if code != test.code || !strings.Contains(out, test.want) || !strings.Contains(out, `"stopped":"the first 1000`) {
				t.Errorf("exit code %d: %s%s", code, out, errs)
			}
			if strings.Count(errs, "\n") > shownBadLines+5 {
				t.Errorf("standard error has %d lines", strings.Count(errs, "\n"))
			}
		})
	}
	if n := server.Stats().Requests; n > 50_000 {
		t.Errorf("%d requests were made", n)
	}
}

func TestRate(t *testing.T) {
	server := newRig(t)
	begun := time.Now()
	code, out, errs := runCLI(t, lines(1, 60), server.send("--batch", "-", "--rate", "200").Args[1:]...)
	if code != ExitOK || !strings.Contains(out, `"accepted":60`) {
		t.Fatalf("exit code %d: %s%s", code, out, errs)
	}
	// A burst of 10 is free, then each takes 5 ms.
	if took := time.Since(begun); took < 240*time.Millisecond {
		t.Errorf("60 lines at 200 a second took %v", took)
	}
}

func TestFailuresContinue(t *testing.T) {
	path := filepath.Join(t.TempDir(), "failures.ndjson")
	if err := os.WriteFile(path, []byte("{\"line\":1}\n{\"line\":2,\"cu"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := openFailures(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.begin([]byte(`{"defaults":{}}`)); err != nil {
		t.Fatal(err)
	}
	l := &line{number: 3, original: []byte("no \xff object <&>")}
	if err := f.write(l, &verdict{DeviceToken: "aa", Outcome: apns.NotSent, invalid: true, ID: "x"}); err != nil {
		t.Fatal(err)
	}
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	want := "{\"line\":1}\n{\"line\":2,\"cu\n" + `{"line":3,"device_token":"aa","outcome":"not_sent","invalid":true,"original":"no ` + `\ufffd` + ` object <&>"}` + "\n"
	if string(got) != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if sameFile(strings.NewReader(""), path) {
		t.Error("a string is a file")
	}
}

// Interrupted before anything could be sent, every device token has a verdict.
func TestInterruptedSend(t *testing.T) {
	server := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out bytes.Buffer
	a := &app{stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(string) string { return "" }}
	code := a.run(ctx, server.send("--to", someDevice, "--to", someDevice, "--title", "x").Args[1:])
	if code != ExitUnreachable || strings.Count(out.String(), `"outcome":"not_sent"`) != 2 {
		t.Errorf("exit code %d: %s", code, out.String())
	}
}

// connectProxy is an HTTP proxy that knows CONNECT only; it counts.
func connectProxy(t *testing.T) (address string, tunnels *atomic.Int64) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	tunnels = new(atomic.Int64)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer in.Close()
				r, err := http.ReadRequest(bufio.NewReader(in))
				if err != nil || r.Method != http.MethodConnect {
					io.WriteString(in, "HTTP/1.1 403 Forbidden\r\n\r\n")
					return
				}
				out, err := net.Dial("tcp", r.Host)
				if err != nil {
					return
				}
				defer out.Close()
				tunnels.Add(1)
				io.WriteString(in, "HTTP/1.1 200 OK\r\n\r\n")
				running.Go(func() {
					io.Copy(out, in)
					out.Close()
				})
				io.Copy(in, out)
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return "http://" + l.Addr().String(), tunnels
}

func TestThroughProxy(t *testing.T) {
	server := newRig(t)
	proxy, tunnels := connectProxy(t)
	base := append(server.send().Args[2:], "--proxy", proxy)
	code, out, errs := runCLI(t, "", append([]string{"send", "--to", someDevice, "--title", "x"}, base...)...)
	if code != ExitOK || tunnels.Load() != 1 {
		t.Errorf("exit code %d after %d tunnels: %s%s", code, tunnels.Load(), out, errs)
	}
	code, out, errs = runCLI(t, "", append([]string{"doctor"}, base...)...)
	if code != ExitOK || tunnels.Load() != 3 || !strings.Contains(out, "the proxy connects") {
		t.Errorf("exit code %d after %d tunnels: %s%s", code, tunnels.Load(), out, errs)
	}
}

// Nothing that is secret leaves through any output.
func TestSecretsStayIn(t *testing.T) {
	server := newRig(t)
	password := server.file(t, "password.txt", "geheimgeheim\n")
	pem, err := selfSigned("Apple Push Services: com.example.app", time.Now().AddDate(1, 0, 0))
	if err != nil {
		t.Fatal(err)
	}
	cert := server.file(t, "cert.pem", string(pem))
	base := server.send().Args[2:] // without "send"
	for _, args := range [][]string{
		append([]string{"send", "-vv", "--to", someDevice, "--title", "x"}, base...),
		append([]string{"doctor", "-vv"}, base...),
		{"credential", cert, "--password-file", password, "-vv"},
		{"send", "-vv", "--endpoint", server.Endpoint, "--ca", server.path("ca.pem"), "--cert", cert, "--password-file", password, "--to", someDevice, "--title", "x"},
		{"send", "--sandbox", "--cert", password, "--password-file", cert},
	} {
		_, out, errs := runCLI(t, "", args...)
		for _, secret := range []string{"PRIVATE KEY", "geheim", "bearer", "eyJ", strings.Split(string(server.KeyPEM), "\n")[1]} {
			if strings.Contains(out+errs, secret) {
				t.Errorf("aviso %s printed %q", args[0], secret)
			}
		}
		if strings.Contains(errs, someDevice) {
			t.Errorf("aviso %s logged a whole device token", args[0])
		}
	}
}

package interop

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds whatever a test waits for.
const patience = 30 * time.Second

// find returns the path of a program. A missing one fails the test, since a
// proof that was skipped proves nothing.
func find(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		// Debian keeps servers where only root's PATH looks.
		if path, err = exec.LookPath(filepath.Join("/usr/sbin", name)); err != nil {
			t.Fatalf("%s is missing; `make interop` installs it", name)
		}
	}
	return path
}

// process is a stranger that runs until the test ends.
type process struct {
	*exec.Cmd
	out   *output
	ended chan struct{}
}

// start runs a program until the test ends, and shows what it said if the test
// fails.
func start(t *testing.T, name string, args ...string) *process {
	t.Helper()
	p := &process{Cmd: exec.Command(find(t, name), args...), out: &output{}, ended: make(chan struct{})}
	p.Stdout, p.Stderr = p.out, p.out
	// Should this process be killed, its children go with it.
	p.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		p.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(5 * time.Second):
			p.Process.Kill()
			<-p.ended
		}
		if t.Failed() {
			t.Logf("%s said:\n%s", name, p.out)
		}
	})
	return p
}

// listening waits until somebody accepts connections at addr.
func (p *process) listening(t *testing.T, addr string) {
	t.Helper()
	waitFor(t, p.Path+" listening at "+addr, func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v\n%s", p.Path, p.ProcessState, p.out)
		default:
		}
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// waitFor polls, since nobody outside this process can be asked to call back.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited %v for %s", patience, what)
		}
	}
}

// run runs a program to its end and returns what it printed to standard output.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	out, err := try(t, dir, name, args...)
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return out
}

func try(t *testing.T, dir, name string, args ...string) (string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, find(t, name), args...)
	cmd.Dir = dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, &stderr)
	}
	return string(out), err
}

// output is a buffer that may be read while a process writes.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.buf.Len() > 1<<20 {
		return len(p), nil // enough for any diagnosis
	}
	return o.buf.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

// freeAddr returns a loopback address nobody listens at.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func port(addr string) string {
	_, p, _ := net.SplitHostPort(addr)
	return p
}

func writeFile(t *testing.T, path, content string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// pki is what openssl made: an authority, a server of loopback, a client.
type pki struct {
	dir                                   string
	ca, serverCert, serverKey, serverBoth string
	clientCert, clientKey, clientP12, old string
	signingKey                            string
}

const (
	p12Password = "interop password"
	keyID       = "INTEROPKEY"
	teamID      = "INTEROPTEA"
	bundleID    = "com.example.interop"
)

// makePKI has openssl make every key and certificate, so that none of it comes
// from the code under test.
func makePKI(t *testing.T) *pki {
	t.Helper()
	p := &pki{dir: t.TempDir()}
	file := func(name string) string { return filepath.Join(p.dir, name) }
	p.ca, p.serverCert, p.serverKey, p.serverBoth = file("ca.pem"), file("server.pem"), file("server.key"), file("server-both.pem")
	p.clientCert, p.clientKey, p.clientP12, p.old = file("client.pem"), file("client.key"), file("client.p12"), file("client-old.p12")
	p.signingKey = file("AuthKey_" + keyID + ".p8")
	openssl := func(args ...string) { run(t, p.dir, "openssl", args...) }
	newKey := func(path string) {
		openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", path)
	}
	newKey("ca.key")
	openssl("req", "-x509", "-new", "-key", "ca.key", "-days", "2", "-subj", "/CN=Interop CA", "-out", p.ca)
	for _, leaf := range []struct{ name, subject, extensions string }{
		{"server", "/CN=localhost", "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth"},
		{"client", "/UID=" + bundleID + "/CN=Apple Push Services: " + bundleID + "/OU=" + teamID, "extendedKeyUsage=clientAuth"},
	} {
		newKey(leaf.name + ".key")
		openssl("req", "-new", "-key", leaf.name+".key", "-subj", leaf.subject, "-out", leaf.name+".csr")
		writeFile(t, file(leaf.name+".ext"), "basicConstraints=CA:FALSE\n"+leaf.extensions+"\n")
		openssl("x509", "-req", "-in", leaf.name+".csr", "-CA", p.ca, "-CAkey", "ca.key", "-CAcreateserial",
			"-days", "2", "-extfile", leaf.name+".ext", "-out", leaf.name+".pem")
	}
	writeFile(t, p.serverBoth, string(readFile(t, p.serverCert))+string(readFile(t, p.serverKey)))
	export := func(out string, more ...string) {
		openssl(append([]string{"pkcs12", "-export", "-in", p.clientCert, "-inkey", p.clientKey, "-passout", "pass:" + p12Password, "-out", out}, more...)...)
	}
	export(p.clientP12)
	export(p.old, "-legacy")
	newKey(p.signingKey)
	return p
}

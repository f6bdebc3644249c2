package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"aviso.example/auth"
)

// A certificate that is renewed on disk is shown to programs that connect from
// then on; one that lacks its key changes nothing.
func TestGatewayCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	certificate := func(name string) []byte {
		t.Helper()
		pem, err := selfSigned(name, time.Now().AddDate(0, 0, 30))
		if err != nil {
			t.Fatal(err)
		}
		return pem
	}
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	program := certificate("Old program")
	write(t, in("AuthKey_ABC123DEFG.p8"), string(key.PEM()))
	write(t, in("old-push.pem"), string(program))
	write(t, in("gateway.pem"), string(certificate("first")))
	write(t, in("aviso.yaml"), `
gateway: {certificate: gateway.pem, listen: "127.0.0.1:0", feedback: "127.0.0.1:0"}
apps:
  shop: {bundle_id: com.example.app, environment: production, key: AuthKey_ABC123DEFG.p8, team: A1B2C3D4E5, gateway_certificates: old-push.pem}
`)

	log, shown := runningGateway(t, in("aviso.yaml"), program)
	if got := shown().Subject.CommonName; got != "first" {
		t.Errorf("programs see %q", got)
	}
	renewed := certificate("second")
	write(t, in("gateway.pem"), string(renewed))
	if line := log.wait(t, "configuration loaded"); strings.Contains(line, "next start") {
		t.Error(line)
	}
	if got := shown().Subject.CommonName; got != "second" {
		t.Errorf("after the renewal programs see %q", got)
	}
	public, _, _ := strings.Cut(string(renewed), "-----BEGIN PRIVATE KEY")
	write(t, in("gateway.pem"), public)
	if line := log.wait(t, "goes on with the old one"); !strings.Contains(line, "gateway.certificate") {
		t.Error(line)
	}
	if got := shown().Subject.CommonName; got != "second" {
		t.Errorf("after a mistake programs see %q", got)
	}
}

// The certificate that a gateway made for itself stays while it runs, whatever becomes of
// its files: programs have pinned it.
func TestGatewayOwnCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	if err != nil {
		t.Fatal(err)
	}
	program, err := selfSigned("Old program", time.Now().AddDate(0, 0, 30))
	if err != nil {
		t.Fatal(err)
	}
	const config = `
gateway: {listen: "127.0.0.1:0", feedback: "127.0.0.1:0"}
apps:
  shop: {bundle_id: com.example.app, environment: production, key: AuthKey_ABC123DEFG.p8, team: A1B2C3D4E5, gateway_certificates: old-push.pem}
data: data
`
	write(t, in("AuthKey_ABC123DEFG.p8"), string(key.PEM()))
	write(t, in("old-push.pem"), string(program))
	write(t, in("aviso.yaml"), config)
	log, shown := runningGateway(t, in("aviso.yaml"), program)
	first := shown()
	for _, name := range []string{ownCertificateFile, ownKeyFile} {
		if err := os.Remove(filepath.Join(dir, "data", name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, in("aviso.yaml"), config+"# changed\n")
	log.wait(t, "configuration loaded")
	if !shown().Equal(first) {
		t.Error("programs see another certificate")
	}
}

// runningGateway runs `aviso gateway` until the end of the test. shown returns the
// certificate that a program sees which has the given one.
func runningGateway(t *testing.T, config string, program []byte) (log *logWatch, shown func() *x509.Certificate) {
	t.Helper()
	old, err := auth.ParseCertificate(program, "")
	if err != nil {
		t.Fatal(err)
	}
	out := newLogWatch()
	log = newLogWatch()
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		a := &app{stdin: strings.NewReader(""), stdout: out, stderr: log, getenv: func(string) string { return "" }}
		if code := a.run(ctx, []string{"gateway", "--config", config}); code != ExitOK {
			t.Errorf("exit code %d", code)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
	address := strings.TrimPrefix(out.wait(t, "ready gateway "), "ready gateway ")
	return log, func() *x509.Certificate {
		t.Helper()
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{old.TLS}})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		return conn.ConnectionState().PeerCertificates[0]
	}
}

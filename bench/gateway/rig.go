package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"aviso.example/apns"
	"aviso.example/auth"
)

const (
	keyID  = "BENCHKEY01"
	teamID = "BENCHTEAM1"
	topic  = "com.example.bench"

	// roundTrip is the far simulator's.
	roundTrip = 20 * time.Millisecond
)

// Files of a rig.
const (
	keyFile     = "AuthKey_" + keyID + ".p8"
	caFile      = "simulators.pem"
	gatewayFile = "gateway.pem" // the gateway's certificate and key
	programFile = "program.pem" // the old program's
)

// writeRig makes the credentials of all processes.
func writeRig(dir string) error {
	key, err := auth.GenerateSigningKey(keyID)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, keyFile), key.PEM(), 0o600); err != nil {
		return err
	}
	for file, topic := range map[string]string{gatewayFile: "", programFile: topic} {
		if err := writeIdentity(filepath.Join(dir, file), topic); err != nil {
			return err
		}
	}
	return nil
}

// oidUserID is where Apple puts the topic in a certificate's subject.
var oidUserID = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}

// writeIdentity makes a certificate that is signed by itself, for an old program
// of a topic, or, without one, for this host.
func writeIdentity(path, topic string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Apple Push Services: " + topic},
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 7),
		BasicConstraintsValid: true, IsCA: true,
	}
	if topic != "" {
		template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: oidUserID, Value: topic}}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return os.WriteFile(path, append(text, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...), 0o600)
}

// clientConfig is how the direct client and the gateways reach a simulator.
func clientConfig(s settings) (apns.Config, error) {
	key, err := auth.LoadSigningKey(filepath.Join(s.Dir, keyFile), keyID)
	if err != nil {
		return apns.Config{}, err
	}
	roots, err := os.ReadFile(filepath.Join(s.Dir, caFile))
	if err != nil {
		return apns.Config{}, err
	}
	return apns.Config{Key: key, TeamID: teamID, BundleID: topic, Environment: apns.Sandbox, Endpoint: s.Endpoint, ExtraRoots: roots}, nil
}

// ring is how many different device tokens there are, more than header
// compression remembers.
const ring = 16384

// payload has 170 bytes, as in the other benchmarks.
var payload = fmt.Appendf(nil, `{"aps":{"alert":"%s"}}`, strings.Repeat("x", 150))

// device is the device token of notification i, and of notification i+ring.
func device(i int) [32]byte { return sha256.Sum256(fmt.Append(nil, i%ring)) }

// badDevice is one that the simulators take for production's.
func badDevice(i int) [32]byte { return sha256.Sum256(fmt.Append(nil, "bad", i%badDevices)) }

const badDevices = 256

// bad says whether notification i goes to a bad device token: one in the middle of
// so many.
func (q *question) bad(i int) bool { return q.BadEvery > 0 && i%q.BadEvery == q.BadEvery/2 }

func (q *question) badOnes() (n int64) {
	for i := range q.N {
		if q.bad(i) {
			n++
		}
	}
	return n
}

func hexDevice(d [32]byte) string { return hex.EncodeToString(d[:]) }

// descriptors is how many files a process may have open.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 0
	}
	return int(min(limit.Cur, 1<<20))
}

// Package exampleapns stands in for Apple in the runnable examples: a simulator
// on loopback, a signing key in a file, and one device. Tests use apnstest,
// which needs a testing.TB that examples do not have.
package exampleapns

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"aviso.example/auth"
	"aviso.example/sim"
)

// Server is a simulator for one example.
type Server struct {
	// Endpoint and CA are for apns.Config; KeyFile is a .p8 file with Apple's
	// kind of name.
	Endpoint, KeyFile string
	CA                []byte
	DeviceToken       string

	sim *sim.Server
	dir string
}

// Start runs a simulator. It panics if it cannot, since an example has nowhere
// to report to.
func Start() *Server {
	key, err := auth.GenerateSigningKey("ABC123DEFG")
	check(err)
	s := &Server{DeviceToken: "00fc13adff785122b4ad28809a3420982341241421348097878e577c991de8f0"}
	s.dir, err = os.MkdirTemp("", "aviso-example-")
	check(err)
	s.KeyFile = filepath.Join(s.dir, "AuthKey_ABC123DEFG.p8")
	check(os.WriteFile(s.KeyFile, key.PEM(), 0o600))
	s.sim, err = sim.New(sim.Config{TeamID: "A1B2C3D4E5", Keys: []sim.Key{{KeyID: "ABC123DEFG", Public: key.Public()}}})
	check(err)
	s.Endpoint, err = s.sim.Start("127.0.0.1:0")
	check(err)
	s.CA = s.sim.CAPEM()
	return s
}

// CertificateFile makes a certificate for one topic, as Apple's Pass Type ID
// certificates are laid out, and returns a file with it and its key.
func (s *Server) CertificateFile(topic string) string {
	path := filepath.Join(s.dir, topic+".pem")
	check(os.WriteFile(path, CertificatePEM(topic), 0o600))
	return path
}

// CertificatePEM is what CertificateFile writes. The subject's UID is the topic, and
// no mark says for which environment it is.
func CertificatePEM(topic string) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject: pkix.Name{ExtraNames: []pkix.AttributeTypeAndValue{
			{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: topic},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "Pass Type ID: " + topic},
			{Type: asn1.ObjectIdentifier{2, 5, 4, 11}, Value: "A1B2C3D4E5"},
		}},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	check(err)
	private, err := x509.MarshalPKCS8PrivateKey(key)
	check(err)
	return append(
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

// Unregister makes the device's answer 410 from now on.
func (s *Server) Unregister(since time.Time) {
	check(s.sim.Devices().Put(sim.Device{DeviceToken: s.DeviceToken, State: sim.Unregistered, Since: since}, time.Now()))
}

// Simulator is the whole of it, for examples that look at devices: the people at
// the other end.
func (s *Server) Simulator() *sim.Server { return s.sim }

// Close ends the simulator and removes its files.
func (s *Server) Close() {
	s.sim.Close()
	os.RemoveAll(s.dir)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

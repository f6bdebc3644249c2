package apnstest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"

	"aviso.example/internal/memnet"
	"aviso.example/sim"
)

// Binary is where a Server speaks the binary protocol of 2009 to 2021, and what a
// client needs for it.
type Binary struct {
	// Gateway takes notifications (Apple's port 2195), Feedback tells dead device
	// tokens (2196): host and port of each.
	Gateway, Feedback string
	// Certificate is a client certificate of the app Server.Topic, for both
	// environments; CertificatePEM is the same with its key, in PEM, as
	// auth.ParseCertificate reads it.
	Certificate    tls.Certificate
	CertificatePEM []byte

	gateway, feedback *memnet.Listener // nil with sockets
}

// StartBinary opens the two ports of the binary protocol until the test ends:
//
//	old := apns.StartBinary(t)
//	certificate, err := auth.ParseCertificate(old.CertificatePEM, "")
//	client, err := legacy.New(legacy.Config{
//		Certificate: certificate, Endpoint: old.Gateway, ExtraRoots: apns.CAPEM, DialContext: old.DialContext,
//	})
//
// It works with Start and StartMem, and is called once.
func (s *Server) StartBinary(t testing.TB) *Binary {
	t.Helper()
	b := &Binary{}
	b.Certificate, b.CertificatePEM = ClientCertificate(t, s.Topic)
	if s.mem != nil {
		b.gateway, b.feedback = memnet.Listen("binary.memory.test:2195"), memnet.Listen("binary.memory.test:2196")
		b.Gateway, b.Feedback = "localhost:2195", "localhost:2196"
		served := make(chan error, 2)
		go func() { served <- s.Server.ServeBinary(b.gateway) }()
		go func() { served <- s.Server.ServeFeedback(b.feedback) }()
		t.Cleanup(func() {
			s.Close()
			for range 2 {
				if err := <-served; !errors.Is(err, sim.ErrServerClosed) {
					t.Errorf("apnstest: %v", err)
				}
			}
		})
		return b
	}
	var err error
	if b.Gateway, err = s.Server.StartBinary("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	if b.Feedback, err = s.Server.StartFeedback("127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	return b
}

// DialContext connects to the feedback service if that is its address, else to
// the gateway. It works with Start and StartMem.
func (b *Binary) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	switch {
	case b.gateway == nil && addr == b.Feedback:
		return new(net.Dialer).DialContext(ctx, "tcp", b.Feedback)
	case b.gateway == nil:
		return new(net.Dialer).DialContext(ctx, "tcp", b.Gateway)
	case addr == b.Feedback:
		return b.feedback.DialContext(ctx, network, addr)
	}
	return b.gateway.DialContext(ctx, network, addr)
}

// ClientCertificate makes a certificate as Apple issued them to an app, signed by
// itself: UID of the subject is the topic. An empty topic makes one that implies
// none. The second value is the certificate and its key in PEM.
func ClientCertificate(t testing.TB, topic string) (tls.Certificate, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: "Apple Push Services: " + topic, OrganizationalUnit: []string{TeamID}},
		// Before 2000, where the clock of a synctest bubble begins.
		NotBefore: time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2099, 1, 1, 0, 0, 0, 0, time.UTC),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if topic != "" {
		template.Subject.ExtraNames = []pkix.AttributeTypeAndValue{{Type: asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 1}, Value: topic}}
	}
	for _, environment := range []int{1, 2} { // sandbox, production
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{
			Id: asn1.ObjectIdentifier{1, 2, 840, 113635, 100, 6, 3, environment}, Value: asn1.NullBytes,
		})
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	public := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf},
		append(public, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
}

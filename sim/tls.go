package sim

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"time"

	"aviso.example/internal/proto"
)

// makeCertificate makes an authority and a server certificate signed by it. They
// are valid from before the year 2000 because a testing/synctest bubble starts
// there.
func makeCertificate(hosts []string, now time.Time) (tls.Certificate, []byte, error) {
	notBefore := time.Date(1999, 12, 1, 0, 0, 0, 0, time.UTC)
	notAfter := now.AddDate(10, 0, 0)
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	ca := &x509.Certificate{
		SerialNumber:          serial(),
		Subject:               pkix.Name{CommonName: "Aviso APNs simulator CA (not Apple)"},
		NotBefore:             notBefore,
		NotAfter:              notAfter,
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	caDER, err := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	leaf := &x509.Certificate{
		SerialNumber: serial(),
		Subject:      pkix.Name{CommonName: proto.HostSandbox},
		NotBefore:    notBefore,
		NotAfter:     notAfter,
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: []string{
			"localhost", proto.HostSandbox, proto.HostProduction, proto.HostSandboxAlias,
			proto.HostBroadcastSandbox, proto.HostBroadcastProduction,
			proto.HostManageSandbox, proto.HostManageProduction,
			proto.HostBinaryGatewaySandbox, proto.HostBinaryGatewayProduction,
			proto.HostBinaryFeedbackSandbox, proto.HostBinaryFeedbackProduction,
		},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, h := range hosts {
		if ip := net.ParseIP(h); ip != nil {
			leaf.IPAddresses = append(leaf.IPAddresses, ip)
		} else {
			leaf.DNSNames = append(leaf.DNSNames, h)
		}
	}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, ca, leafKey.Public(), caKey)
	if err != nil {
		return tls.Certificate{}, nil, err
	}
	caPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER})
	return tls.Certificate{Certificate: [][]byte{leafDER, caDER}, PrivateKey: leafKey}, caPEM, nil
}

func serial() *big.Int {
	n, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120)) // crypto/rand does not fail
	return n
}

func chainEnd(cert tls.Certificate) ([]byte, error) {
	if len(cert.Certificate) == 0 {
		return nil, errors.New("Config.Certificate holds no certificate")
	}
	last := cert.Certificate[len(cert.Certificate)-1]
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: last}), nil
}

var (
	errUntrustedCertificate = errors.New("the client certificate was not issued by an authority in ClientCAs")
	errRejectedByFault      = errors.New("the client certificate is rejected (fault)")
)

// tlsConfig is per connection, since a fault may reject one connection's
// certificate.
func (s *Server) tlsConfig(reject bool) *tls.Config {
	return &tls.Config{
		Certificates: []tls.Certificate{s.cert},
		MinVersion:   tls.VersionTLS12,
		NextProtos:   []string{proto.ALPN},
		// APNs asks every client for a certificate and takes an empty answer from
		// those that use provider tokens (observed).
		ClientAuth: tls.RequestClientCert,
		// Small first records help a browser's first paint; here they only cost.
		DynamicRecordSizingDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if reject {
				return errRejectedByFault
			}
			if s.cfg.ClientCAs == nil || len(state.PeerCertificates) == 0 {
				return nil
			}
			between := x509.NewCertPool()
			for _, c := range state.PeerCertificates[1:] {
				between.AddCert(c)
			}
			_, err := state.PeerCertificates[0].Verify(x509.VerifyOptions{
				Roots:         s.cfg.ClientCAs,
				Intermediates: between,
				// Age is judged by our own clock, with Apple's reason.
				CurrentTime: state.PeerCertificates[0].NotBefore,
				KeyUsages:   []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
			})
			if err != nil {
				return errUntrustedCertificate
			}
			return nil
		},
	}
}

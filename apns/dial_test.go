package apns

import (
	"crypto/tls"
	"errors"
	"net"
	"testing"
)

func TestOnlySomeAlertsArePermanent(t *testing.T) {
	a, b := net.Pipe()
	go func() { // a TLS peer that has trouble of its own: alert internal_error (80)
		buf := make([]byte, 4096)
		b.Read(buf)
		b.Write([]byte{21, 3, 3, 0, 2, 2, 80})
		b.Close()
	}()
	err := tls.Client(a, &tls.Config{ServerName: "x"}).Handshake()
	var op *net.OpError
	if errors.As(err, &op) && permanent(err) {
		t.Errorf("permanent: %v", err)
	}
	if permanent((&dialler{}).tlsError(err)) {
		t.Errorf("permanent: %v", (&dialler{}).tlsError(err))
	}
}

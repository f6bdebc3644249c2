package cli

import (
	"context"
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"aviso.example/auth"
	"aviso.example/internal/namedfile"
	"aviso.example/sim"
)

// farewell bounds the time that connections have to end when a server stops.
const farewell = 2 * time.Second

// simulator is a running APNs simulator with its test API.
type simulator struct {
	server *sim.Server
	apns   string // host and port
	api    string // URL without a path, or ""

	http   *http.Server
	served chan error // ends when the test API does
}

// startSimulator starts the APNs endpoint, and the test API unless its address
// is empty. With orFree, a port that is taken is replaced by a free one.
func startSimulator(cfg sim.Config, listen, api string, orFree bool) (*simulator, error) {
	server, err := sim.New(cfg)
	if err != nil {
		return nil, err
	}
	s := &simulator{server: server, served: make(chan error, 1)}
	s.apns, err = server.Start(listen)
	if orFree && errors.Is(err, syscall.EADDRINUSE) {
		s.apns, err = server.Start(freePort(listen))
	}
	if err != nil {
		server.Close()
		return nil, fmt.Errorf("--listen: %w", portHint(err))
	}
	if api == "" {
		return s, nil
	}
	l, err := net.Listen("tcp", api)
	if orFree && errors.Is(err, syscall.EADDRINUSE) {
		l, err = net.Listen("tcp", freePort(api))
	}
	if err != nil {
		server.Close()
		return nil, fmt.Errorf("--api: %w", portHint(err))
	}
	s.api = "http://" + l.Addr().String()
	s.http = &http.Server{Handler: server.Handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 2 * time.Minute, IdleTimeout: 2 * time.Minute}
	go func() { s.served <- s.http.Serve(l) }()
	return s, nil
}

// freePort is the same host with a port that the system chooses.
func freePort(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return net.JoinHostPort(host, "0")
}

func portHint(err error) error {
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%w; port 0 takes a free one", err)
	}
	return err
}

// stop says goodbye to the clients and waits until everything has ended. What
// has not ended after a moment, such as a long poll, is cut off.
func (s *simulator) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	if s.http != nil {
		quick, stop := context.WithTimeout(ctx, farewell/8)
		if s.http.Shutdown(quick) != nil {
			s.http.Close()
		}
		stop()
		<-s.served
	}
	s.server.Shutdown(ctx)
	s.server.Close()
}

// isLoopback reports whether nobody but this machine can reach an address. A
// name other than localhost may resolve to anything, and no host means all.
func isLoopback(address string) (bool, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false, err
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback(), nil
}

// loadPublicKey reads the public half of a signing key: from the .p8 itself, or
// from a public key in PEM, so that a shared simulator needs no private one.
func loadPublicKey(path, keyID string) (*ecdsa.PublicKey, string, error) {
	data, err := namedfile.Read(path, auth.MaxFileSize)
	if err != nil {
		return nil, "", err
	}
	if block, _ := pem.Decode(data); block != nil && block.Type == "PUBLIC KEY" {
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		key, ok := public.(*ecdsa.PublicKey)
		if err != nil || !ok {
			return nil, "", fmt.Errorf("%s holds a public key, but not one on P-256", path)
		}
		if err := auth.ValidateKeyID(keyID); err != nil {
			return nil, "", fmt.Errorf("--key-id: %s", inputProblem(err))
		}
		return key, keyID, nil
	}
	key, err := auth.LoadSigningKey(path, keyID)
	if err != nil {
		return nil, "", err
	}
	return key.Public(), key.KeyID(), nil
}
